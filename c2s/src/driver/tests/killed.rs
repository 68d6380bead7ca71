//! Streams that go on although the server was killed (XEP-0198 5): nothing that was running runs to its end, and another process
//! begins with what was written.

use super::{
    managed::{ASK, a, cut, message, patient},
    world::Verona,
};
use crate::Settings;
use std::mem;
use tokio::runtime::Builder;
use xmpp_core::sasl::Credentials;

/// A process that is killed where this ends: nothing of it is dropped, and nothing runs any more.
fn until_killed<T>(life: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let outcome = runtime.block_on(life);
    mem::forget(runtime);
    outcome
}

/// What stands between tags, in order.
fn bodies(heard: &str) -> Vec<&str> {
    let parts = heard.split("<body>").skip(1);
    parts.map(|part| part.split_once("</body>").unwrap().0).collect()
}

#[test]
fn l05_streams_go_on_after_a_kill() {
    let (mut verona, of_romeo, of_juliet) = until_killed(async {
        let verona = Verona::new().await;
        let (mut romeo, _task, of_romeo) = verona.managed("romeo").await;
        let (mut juliet, _task, of_juliet) = verona.managed("juliet").await;
        juliet
            .say(
                "<presence to='romeo@verona.lit/home'/><presence><priority>5</priority></presence>",
            )
            .await;
        romeo.hear("<presence ").await;
        romeo.say(&format!("{}{}{ASK}", message("1"), message("2"))).await;
        romeo.hear(&a(2)).await;
        juliet.hear("<body>2</body>").await;
        juliet.say(&a(2)).await; // her own presence and the first message
        juliet.sync().await;
        romeo.say("<message to='x@far.away'/>").await;
        romeo.hear("<remote-server-not-found ").await; // and does not ask whether it is handled
        mem::forget((romeo, juliet));
        (verona, of_romeo, of_juliet)
    });
    until_killed(async {
        verona.begin().await;
        // she is still there for him, by her bare address too
        let (mut romeo, _task) = verona.visitor("romeo").await;
        assert_eq!(
            romeo.resume(&of_romeo, 1).await,
            3,
            "the error and the count are written at once"
        );
        let heard = romeo.hear("</message>").await;
        assert!(heard.contains("<remote-server-not-found "), "{heard}");
        romeo.say("<message to='juliet@verona.lit' type='chat'><body>3</body></message>").await;
        let heard = romeo.sync().await;
        assert!(!heard.contains("<message "), "{heard}");
        let (mut juliet, _task) = verona.visitor("juliet").await;
        assert_eq!(juliet.resume(&of_juliet, 2).await, 3);
        let heard = juliet.hear("<body>3</body>").await;
        assert_eq!(bodies(&heard), ["2", "3"], "{heard}");
        // whom she had told she tells that she goes
        juliet.say("</stream:stream>").await;
        romeo.hear("type='unavailable'").await;
    });
}

#[test]
fn l05_what_comes_for_a_stream_that_waits_is_written_too() {
    let (mut verona, token) = until_killed(async {
        let verona = Verona::with(patient()).await;
        let (mut romeo, _task) = verona.resident("romeo").await;
        let (juliet, task, token) = verona.managed("juliet").await;
        cut(juliet, task).await;
        romeo.say(&message("1")).await;
        romeo.say(&message("2")).await;
        romeo.sync().await;
        mem::forget(romeo);
        (verona, token)
    });
    until_killed(async { verona.begin().await });
    until_killed(async {
        verona.begin().await;
        let (mut juliet, _task) = verona.visitor("juliet").await;
        assert_eq!(juliet.resume(&token, 0).await, 0);
        assert_eq!(bodies(&juliet.hear("<body>2</body>").await), ["1", "2"]);
    });
}

/// What its books have no room for is in memory only, and another session may have got it for good.
#[test]
fn l19_a_stream_behind_which_more_waited_than_was_written_does_not_go_on() {
    let settings = || Settings { unacked: 4, ..patient() };
    for (count, goes_on) in [(2, true), (5, false)] {
        let (mut verona, token) = until_killed(async {
            let verona = Verona::with(settings()).await;
            let (mut romeo, _task) = verona.resident("romeo").await;
            let (mut juliet, task, token) = verona.managed("juliet").await;
            romeo.say(&message("0")).await;
            juliet.hear("<body>0</body>").await;
            juliet.say(&a(1)).await;
            juliet.sync().await;
            cut(juliet, task).await;
            for number in 1..=count {
                romeo.say(&message(&number.to_string())).await;
            }
            romeo.sync().await;
            mem::forget(romeo);
            (verona, token)
        });
        until_killed(async {
            verona.begin().await;
            let (mut juliet, _task) = verona.visitor("juliet").await;
            if goes_on {
                juliet.resume(&token, 1).await;
            } else {
                juliet.fail_to_resume(&token).await;
            }
        });
    }
}

#[test]
fn xep0198_5_of_two_streams_at_one_address_the_later_goes_on() {
    let (mut verona, token) = until_killed(async {
        let verona = Verona::new().await;
        let (old, _task, _) = verona.managed("juliet").await;
        let (mut new, _task) = verona.visitor("juliet").await;
        new.bind("home").await;
        let token = new.enable().await;
        new.sync().await;
        mem::forget((old, new)); // the old one has not closed its side
        (verona, token)
    });
    until_killed(async {
        verona.begin().await;
        let (mut juliet, _task) = verona.visitor("juliet").await;
        juliet.resume(&token, 1).await;
    });
}

/// Longer than any place in the journal.
#[test]
fn l05_a_long_conversation_goes_on_where_it_was() {
    let count = 400;
    let (mut verona, of_romeo, of_juliet) = until_killed(async {
        let verona = Verona::new().await;
        let (mut romeo, _task, of_romeo) = verona.managed("romeo").await;
        let (mut juliet, _task, of_juliet) = verona.managed("juliet").await;
        for number in 1..=count {
            romeo.say(&message(&format!("{number} {}", "x".repeat(500)))).await;
            juliet.hear("</message>").await;
            if number % 7 == 0 {
                juliet.say(&a(number - 3)).await;
            }
        }
        romeo.say(ASK).await;
        romeo.hear(&a(count)).await;
        mem::forget((romeo, juliet));
        (verona, of_romeo, of_juliet)
    });
    until_killed(async {
        verona.begin().await;
        let (mut romeo, _task) = verona.visitor("romeo").await;
        assert_eq!(romeo.resume(&of_romeo, 0).await, count);
        let (mut juliet, _task) = verona.visitor("juliet").await;
        juliet.resume(&of_juliet, count - 2).await;
        romeo.say(&message("last")).await;
        let heard = juliet.hear("<body>last</body>").await;
        let numbers: Vec<_> =
            bodies(&heard).iter().map(|body| body.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(numbers, ["399", "400", "last"]);
    });
}

#[test]
fn l05_after_a_power_cut_streams_do_not_go_on_and_after_a_good_end_they_do() {
    let (mut verona, token) = until_killed(async {
        let verona = Verona::new().await;
        let (juliet, _task, token) = verona.managed("juliet").await;
        mem::forget(juliet);
        (verona, token)
    });
    verona.boot();
    let other = until_killed(async {
        verona.begin().await;
        let (mut juliet, _task) = verona.visitor("juliet").await;
        juliet.fail_to_resume(&token).await;
        juliet.bind("garden").await;
        let other = juliet.enable().await;
        drop(juliet);
        verona.door.shut().await;
        other
    });
    verona.boot();
    until_killed(async {
        verona.begin().await;
        let (mut juliet, _task) = verona.visitor("juliet").await;
        juliet.fail_to_resume(&token).await;
        assert_eq!(juliet.resume(&other, 0).await, 0);
    });
}

#[test]
fn what_is_over_does_not_go_on_after_a_kill() {
    let (mut verona, tokens) = until_killed(async {
        let verona = Verona::new().await;
        let (mut juliet, task, first) = verona.managed("juliet").await;
        juliet.say("</stream:stream>").await;
        juliet.rest().await;
        cut(juliet, task).await;
        let (nurse, _task, second) = verona.managed("nurse").await;
        let (romeo, _task, third) = verona.managed("romeo").await;
        mem::forget((nurse, romeo));
        (verona, [first, second, third])
    });
    until_killed(async {
        // while no server runs
        let account = "nurse@verona.lit".parse().unwrap();
        let other = Credentials::derive("another", 2, &[[9; 16]; 3]).unwrap();
        verona.door.accounts.set_credentials(&account, other).await.unwrap();
        verona.begin().await;
        assert_eq!(verona.door.router.counts().sessions, 1);
        let (mut juliet, _task) = verona.visitor("juliet").await;
        juliet.fail_to_resume(&tokens[0]).await;
        let (mut romeo, _task) = verona.visitor("romeo").await;
        romeo.fail_to_resume(&tokens[1]).await;
        romeo.resume(&tokens[2], 0).await;
    });
}

/// A client that says nothing more about what it got, and a server that is killed again and again.
#[test]
fn xep0198_5_kills_in_a_row_change_nothing() {
    let (mut verona, token) = until_killed(async {
        let verona = Verona::new().await;
        let (mut romeo, _task) = verona.resident("romeo").await;
        let (mut juliet, _task, token) = verona.managed("juliet").await;
        juliet.say("<presence/>").await;
        juliet.hear("<presence ").await;
        romeo.say(&message("1")).await;
        juliet.hear("<body>1</body>").await;
        mem::forget((romeo, juliet));
        (verona, token)
    });
    for round in 2..5 {
        until_killed(async {
            verona.begin().await;
            let (mut romeo, _task) = verona.resident("romeo").await;
            let (mut juliet, _task) = verona.visitor("juliet").await;
            assert_eq!(juliet.resume(&token, 1).await, 1, "the presence");
            romeo.say(&message(&round.to_string())).await;
            let heard = juliet.hear(&format!("<body>{round}</body>")).await;
            let expected: Vec<_> = (1..=round).map(|number| number.to_string()).collect();
            assert_eq!(bodies(&heard), expected);
            mem::forget((romeo, juliet));
        });
    }
}
