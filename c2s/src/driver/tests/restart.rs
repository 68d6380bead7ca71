//! Sessions over a restart (XEP-0198 5): one process ends in good order, and another begins with the same store.

use super::{
    managed::{ASK, MAX, a, cut, message, patient},
    world::Verona,
};
use crate::Settings;
use std::time::Duration;
use tokio::time;

#[tokio::test(start_paused = true)]
async fn no_session_runs_out_while_the_server_stops() {
    let settings = Settings { resume: Duration::from_secs(1), ..Settings::new("verona.lit") };
    let mut verona = Verona::with(settings).await;
    let (mut romeo, romeo_task, _) = verona.managed("romeo").await;
    let (juliet, juliet_task, token) = verona.managed("juliet").await;
    cut(juliet, juliet_task).await;
    verona.door.close();
    // Somebody inside the process has clients of his own to see off.
    time::sleep(Duration::from_secs(5)).await;
    romeo.sync().await;
    cut(romeo, romeo_task).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.ask_for(&token, 0).await;
    let goodbye = juliet.rest().await;
    assert!(goodbye.contains("<system-shutdown ") && !goodbye.contains("<failed "), "{goodbye}");
    verona.restart().await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.resume(&token, 0).await;
}

#[tokio::test(start_paused = true)]
async fn l14_sessions_go_on_in_the_next_process() {
    let mut verona = Verona::new().await;
    let (mut romeo, romeo_task, of_romeo) = verona.managed("romeo").await;
    let (mut juliet, juliet_task, of_juliet) = verona.managed("juliet").await;
    juliet
        .say("<presence to='romeo@verona.lit/home'/><presence><priority>5</priority></presence>")
        .await;
    romeo.hear("<presence ").await;
    romeo.say(&format!("{}{}", message("1"), message("2"))).await;
    juliet.hear("<body>2</body>").await;
    juliet.say(&a(2)).await; // her own presence and the first message
    juliet.sync().await;
    // her connection is lost before the end, his at the end
    cut(juliet, juliet_task).await;
    romeo.say(&message("3")).await;
    romeo.sync().await;
    let restart = async {
        let goodbye = romeo.rest().await;
        assert!(goodbye.contains("<system-shutdown "), "{goodbye}");
        drop(romeo);
        romeo_task.await.unwrap();
    };
    tokio::join!(verona.restart(), restart);

    let (mut romeo, _task) = verona.visitor("romeo").await;
    assert_eq!(romeo.resume(&of_romeo, 2).await, 4);
    // she is still there for him, by her bare address too, and he by hers
    romeo.say("<message to='juliet@verona.lit' type='chat'><body>4</body></message>").await;
    let heard = romeo.sync().await;
    assert!(!heard.contains("unavailable' ") && !heard.contains("<message "), "{heard}");
    let (mut juliet, _task) = verona.visitor("juliet").await;
    assert_eq!(juliet.resume(&of_juliet, 2).await, 3);
    let heard = juliet.hear("<body>4</body>").await;
    let bodies: Vec<_> = heard.matches("<body>").collect();
    assert_eq!(bodies.len(), 3, "{heard}");
    for (first, second) in [("2", "3"), ("3", "4")] {
        let at = |body| heard.find(&format!("<body>{body}<")).unwrap();
        assert!(at(first) < at(second), "{heard}");
    }
    // whom she had told she tells that she goes
    juliet.say("</stream:stream>").await;
    let heard = romeo.hear("type='unavailable'").await;
    assert!(heard.contains("<presence "), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn l14_a_session_is_resumed_after_two_restarts() {
    let mut verona = Verona::new().await;
    let (mut romeo, task) = verona.resident("romeo").await;
    let (juliet, juliet_task, token) = verona.managed("juliet").await;
    cut(juliet, juliet_task).await;
    romeo.say(&message("1")).await;
    romeo.sync().await;
    cut(romeo, task).await;
    verona.restart().await;
    verona.restart().await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    assert_eq!(juliet.resume(&token, 0).await, 0);
    juliet.hear("<body>1</body>").await;
    juliet.hear(ASK).await;
}

#[tokio::test(start_paused = true)]
async fn l14_who_does_not_come_back_in_time_is_gone_and_the_senders_know() {
    let mut verona = Verona::with(patient()).await;
    let (mut romeo, romeo_task, of_romeo) = verona.managed("romeo").await;
    let (juliet, juliet_task, token) = verona.managed("juliet").await;
    time::advance(MAX / 2).await;
    cut(juliet, juliet_task).await;
    time::advance(MAX / 2).await;
    romeo.say(&message("1")).await;
    romeo.sync().await;
    cut(romeo, romeo_task).await;
    verona.restart().await;
    let (mut romeo, _task) = verona.visitor("romeo").await;
    romeo.resume(&of_romeo, 1).await;
    let heard = romeo.sync().await;
    assert!(!heard.contains("<message "), "{heard}");
    romeo.say(&a(2)).await;
    time::advance(MAX / 2 + Duration::from_secs(1)).await;
    let heard = romeo.hear("</message>").await;
    assert!(heard.contains("<service-unavailable "), "{heard}");
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.fail_to_resume(&token).await;
}

/// What is over stays over.
#[tokio::test(start_paused = true)]
async fn l14_nothing_else_goes_on() {
    let mut verona = Verona::new().await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("</stream:stream>").await;
    juliet.rest().await;
    cut(juliet, task).await;
    let (mut nurse, task) = verona.resident("nurse").await;
    nurse.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
    nurse.hear("/>").await;
    let end = async {
        nurse.rest().await;
        cut(nurse, task).await;
    };
    tokio::join!(verona.restart(), end);
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.fail_to_resume(&token).await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    romeo.say("<message to='nurse@verona.lit/home'><body>x</body></message>").await;
    assert!(romeo.sync().await.contains("<message type='error'"));
}
