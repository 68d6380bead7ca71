//! Stream management (XEP-0198) by real drivers, over connections that break and a clock that is moved.

use super::world::{Client, Verona};
use crate::Settings;
use router::{Answer, At, Declare, Kept, Module, Reply};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinHandle, time};
use xmpp_core::{
    StanzaError,
    error::StanzaCondition,
    sasl::{Credentials, MechanismName},
    stanza::IqType,
};

pub(super) const MAX: Duration = Duration::from_secs(600);
pub(super) const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// Nobody is asked for a sign of life for as long as anything here takes.
pub(super) fn patient() -> Settings {
    Settings { idle_timeout: 100 * MAX, ..Settings::new("verona.lit") }
}

pub(super) fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

pub(super) fn message(body: &str) -> String {
    format!("<message type='chat' to='juliet@verona.lit/home'><body>{body}</body></message>")
}

impl Client {
    /// Makes its stream resumable; its SM-ID.
    pub(super) async fn enable(&mut self) -> String {
        self.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
        let enabled = self.hear("/>").await;
        let (_, id) = enabled.split_once(" id='").unwrap_or_else(|| panic!("{enabled}"));
        id.split_once('\'').unwrap().0.into()
    }

    /// Asks for a former stream.
    pub(super) async fn ask_for(&mut self, token: &str, h: u32) {
        self.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>")).await;
    }

    /// Goes on with a former stream: the server's count.
    pub(super) async fn resume(&mut self, token: &str, h: u32) -> u32 {
        self.ask_for(token, h).await;
        let resumed = self.hear("/>").await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let (_, h) = resumed.split_once(" h='").unwrap();
        h.split_once('\'').unwrap().0.parse().unwrap()
    }

    /// Asks for a former stream that there is not; what it hears.
    pub(super) async fn fail_to_resume(&mut self, token: &str) -> String {
        self.ask_for(token, 0).await;
        let failed = self.hear("</failed>").await;
        assert!(failed.contains("<item-not-found "), "{failed}");
        failed
    }

    /// All that is said until the server answers a ping of sorts.
    pub(super) async fn sync(&mut self) -> String {
        self.say("<iq type='get' id='sync'><nothing xmlns='u:x'/></iq>").await;
        let heard = self.hear("</iq>").await;
        assert!(heard.contains("id='sync'"), "{heard}");
        heard
    }
}

impl Verona {
    /// Somebody who has logged in and is not bound.
    pub(super) async fn visitor(&self, user: &str) -> (Client, JoinHandle<()>) {
        let (mut client, task) = self.pipe();
        client.log_in(MechanismName::ScramSha256, user).await;
        (client, task)
    }

    /// Somebody at home whose stream is resumable.
    pub(super) async fn managed(&self, user: &str) -> (Client, JoinHandle<()>, String) {
        let (mut client, task) = self.resident(user).await;
        let token = client.enable().await;
        (client, task, token)
    }
}

/// The connection breaks, and the server notices.
pub(super) async fn cut(client: Client, task: JoinHandle<()>) {
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn xep0198_4_who_asks_is_told() {
    let verona = Verona::new().await;
    let (mut romeo, _task, _) = verona.managed("romeo").await;
    let (mut juliet, _task, _) = verona.managed("juliet").await;
    romeo.say(&format!("{}{}{ASK}", message("1"), message("2"))).await;
    romeo.hear(&a(2)).await;
    let heard = juliet.hear(ASK).await;
    assert!(heard.contains("<body>1</body>") && heard.contains("<body>2</body>"), "{heard}");
    assert_eq!(heard.matches("<r ").count(), 1, "in the same breath: {heard}");
    // what is refused is handled, and its sender knows
    romeo.say(&format!("<message to='x@far.away'/>{ASK}")).await;
    let heard = romeo.hear(&a(3)).await;
    assert!(heard.contains("<remote-server-not-found "), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn l01_xep0198_5_nothing_is_lost_between_two_connections_and_nothing_comes_twice() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("<presence to='romeo@verona.lit/home'/>").await;
    romeo.hear("<presence ").await;
    for body in ["1", "2", "3"] {
        romeo.say(&message(body)).await;
    }
    juliet.hear("<body>3</body>").await;
    juliet.say(&a(1)).await;
    cut(juliet, task).await;
    romeo.say(&message("4")).await;
    let heard = romeo.sync().await;
    assert!(!heard.contains("type='unavailable'"), "{heard}");

    let (mut juliet, task) = verona.visitor("juliet").await;
    assert_eq!(juliet.resume(&token, 2).await, 1);
    let heard = juliet.hear("<body>4</body>").await;
    assert!(heard.starts_with("<message ") && heard.contains("<body>3</body>"), "{heard}");
    assert!(!heard.contains("<body>2</body>"), "{heard}");
    juliet.hear(ASK).await;
    juliet.say(&a(4)).await;

    // and once more
    juliet.sync().await;
    cut(juliet, task).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    assert_eq!(juliet.resume(&token, 5).await, 2);
    let heard = juliet.sync().await;
    assert!(!heard.contains("<message "), "{heard}");
    juliet.say("<message to='romeo@verona.lit/home'><body>I am back</body></message>").await;
    let heard = romeo.hear("<body>I am back</body>").await;
    assert!(heard.contains("from='juliet@verona.lit/home'") && !heard.contains("<presence"));
}

#[tokio::test(start_paused = true)]
async fn xep0198_5_a_session_may_be_resumed_while_its_connection_looks_alive() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut old, task, token) = verona.managed("juliet").await;
    romeo.say(&message("1")).await;
    romeo.sync().await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.resume(&token, 0).await;
    juliet.hear("<body>1</body>").await;
    assert!(old.rest().await.contains("<conflict "));
    cut(old, task).await;
    romeo.say(&message("2")).await;
    juliet.hear("<body>2</body>").await;
}

#[tokio::test(start_paused = true)]
async fn s02_nobody_resumes_what_is_not_theirs() {
    let verona = Verona::new().await;
    let (mut juliet, _task, token) = verona.managed("juliet").await;
    let (mut nurse, _task) = verona.visitor("nurse").await;
    let failed = nurse.fail_to_resume(&token).await;
    assert!(!failed.contains(" h="), "not even that it exists: {failed}");
    nurse.fail_to_resume("").await;
    nurse.fail_to_resume(&token[1..]).await;
    nurse.bind("home").await; // XEP-0198 5: she may go on as herself
    juliet.sync().await;
    // the same user name at another domain is somebody else
    let (mut romeo, task, token) = verona.managed("romeo").await;
    romeo.sync().await;
    cut(romeo, task).await;
    let (mut nurse, _task) = verona.visitor("nurse").await;
    nurse.fail_to_resume(&token).await;
    let (mut romeo, _task) = verona.visitor("romeo").await;
    romeo.resume(&token, 1).await;
}

/// Each of them sends all at once, so that their drivers race.
#[tokio::test]
async fn s04_of_two_that_resume_at_once_one_does() {
    let verona = Verona::new().await;
    for round in 0..20 {
        let (client, task, token) = verona.managed("juliet").await;
        let (mut one, first) = verona.visitor("juliet").await;
        let (mut other, second) = verona.visitor("juliet").await;
        if round % 2 == 0 {
            cut(client, task).await;
        }
        tokio::join!(one.ask_for(&token, 0), other.ask_for(&token, 0));
        let (one, other) = tokio::join!(outcome(one), outcome(other));
        let resumed = [&one, &other].iter().filter(|said| said.contains("<resumed ")).count();
        let lost = [&one, &other]
            .iter()
            .filter(|said| said.contains("<item-not-found ") || said.contains("<conflict "))
            .count();
        assert!(resumed >= 1 && lost == 1, "{round}: {one} | {other}");
        first.await.unwrap();
        second.await.unwrap();
        // nobody is left behind with what both have finished
        let (mut late, _task) = verona.visitor("juliet").await;
        late.fail_to_resume(&token).await;
    }
}

/// What a client hears that closes its stream as soon as it has heard something.
async fn outcome(mut client: Client) -> String {
    let mut heard = client.hear("/>").await;
    tokio::task::yield_now().await;
    client.say("</stream:stream>").await;
    heard.push_str(&client.rest().await);
    heard
}

#[tokio::test(start_paused = true)]
async fn s04_at_the_instant_of_the_time_out_a_session_is_resumed_or_not_found() {
    let verona = Verona::with(patient()).await;
    let mut outcomes = [0, 0];
    for step in 0..40 {
        let (mut romeo, _task) = verona.resident("romeo").await;
        let (juliet, task, token) = verona.managed("juliet").await;
        cut(juliet, task).await;
        romeo.say(&message("late")).await;
        romeo.sync().await;
        time::advance(MAX - Duration::from_secs(20)).await;
        let (mut again, _task) = verona.visitor("juliet").await;
        time::advance(Duration::from_millis(19_980 + step)).await;
        again.ask_for(&token, 0).await;
        let late = again.hear("/>").await;
        let error = if late.starts_with("<resumed ") {
            outcomes[0] += 1;
            again.hear("<body>late</body>").await;
            again.say(&a(1)).await;
            romeo.sync().await
        } else {
            outcomes[1] += 1;
            assert!(late.contains("<item-not-found "), "{late}");
            romeo.hear("<service-unavailable ").await
        };
        let bounced = error.contains("<service-unavailable ") && error.contains("<message ");
        assert_eq!(bounced, !late.starts_with("<resumed "), "{step}: one of them: {error}");
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both happen: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn l02_what_was_not_acknowledged_in_time_goes_where_it_would_have_gone() {
    let verona = Verona::with(patient()).await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("<presence to='romeo@verona.lit/home'/><presence/>").await;
    romeo.hear("<presence ").await;
    romeo.say(&message("1")).await;
    juliet.hear("<body>1</body>").await;
    romeo.say("<iq type='get' id='q' to='juliet@verona.lit/home'><q xmlns='u:x'/></iq>").await;
    juliet.hear("id='q'").await;
    cut(juliet, task).await;
    romeo.say(&message("2")).await;
    romeo.sync().await;
    time::advance(MAX + Duration::from_secs(1)).await;
    // nothing keeps messages here: they come back, in order, once
    let heard = romeo.hear("type='unavailable'").await;
    let heard = heard + &romeo.sync().await;
    assert_eq!(heard.matches("<service-unavailable ").count(), 4, "{heard}"); // and the sync
    assert_eq!(heard.matches("<message ").count(), 2, "{heard}");
    assert!(heard.contains(" id='q'>"), "{heard}");
    // XEP-0198 5: who comes late hears what was handled
    let (mut juliet, _task) = verona.visitor("juliet").await;
    let failed = juliet.fail_to_resume(&token).await;
    assert!(failed.contains(" h='2'"), "{failed}");
    juliet.bind("home").await;
    romeo.say(&message("3")).await;
    juliet.hear("<body>3</body>").await;
}

#[tokio::test(start_paused = true)]
async fn l02_another_session_gets_what_the_one_that_is_gone_did_not() {
    let verona = Verona::with(patient()).await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, task, _) = verona.managed("juliet").await;
    let (mut other, _task) = verona.visitor("juliet").await;
    other.bind("garden").await;
    other.say("<presence/>").await;
    for body in ["1", "2"] {
        romeo.say(&message(body)).await;
    }
    juliet.hear("<body>2</body>").await;
    juliet.say(&a(1)).await;
    cut(juliet, task).await;
    romeo.say(&message("3")).await;
    romeo.sync().await;
    time::advance(MAX + Duration::from_secs(1)).await;
    let heard = other.hear("<body>3</body>").await;
    assert!(heard.contains("<body>2</body>") && !heard.contains("<body>1</body>"), "{heard}");
    let heard = romeo.sync().await;
    assert!(!heard.contains("<message "), "not bounced as well: {heard}");
}

/// Whoever hears a count must have heard of every error below it, and here nobody has.
#[tokio::test(start_paused = true)]
async fn xep0198_5_no_count_is_told_too_late_that_covers_an_error_nobody_saw() {
    let verona = Verona::with(patient()).await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("<message to='x@far.away'/>").await;
    juliet.hear("<remote-server-not-found ").await;
    cut(juliet, task).await;
    time::advance(MAX + Duration::from_secs(1)).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    let failed = juliet.fail_to_resume(&token).await;
    assert!(!failed.contains(" h="), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn xep0198_7_who_says_goodbye_is_not_waited_for() {
    let verona = Verona::new().await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("</stream:stream>").await;
    juliet.rest().await;
    cut(juliet, task).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.fail_to_resume(&token).await;
}

#[tokio::test(start_paused = true)]
async fn xep0198_5_a_new_session_with_the_same_resource_ends_one_that_waits() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    romeo.say(&message("1")).await;
    juliet.hear("<body>1</body>").await;
    cut(juliet, task).await;
    romeo.say(&message("2")).await;
    romeo.sync().await;
    let (mut juliet, _task) = verona.resident("juliet").await;
    // the address is hers, so what was for it is too, in order
    let heard = juliet.hear("<body>2</body>").await;
    assert!(heard.find("<body>1<").unwrap() < heard.find("<body>2<").unwrap(), "{heard}");
    let (mut late, _task) = verona.visitor("juliet").await;
    late.fail_to_resume(&token).await;
}

#[tokio::test(start_paused = true)]
async fn s01_only_so_many_sessions_of_an_account_wait() {
    let mut settings = Settings::new("verona.lit");
    settings.parked_per_account = 2;
    let verona = Verona::with(settings).await;
    let mut tokens = Vec::new();
    for resource in ["a", "b", "c"] {
        let (mut juliet, task) = verona.visitor("juliet").await;
        juliet.bind(resource).await;
        tokens.push(juliet.enable().await);
        cut(juliet, task).await;
    }
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.fail_to_resume(&tokens[0]).await;
    juliet.resume(&tokens[1], 0).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.resume(&tokens[2], 0).await;
}

#[tokio::test(start_paused = true)]
async fn s01_only_so_many_sessions_wait_in_all() {
    let mut settings = Settings::new("verona.lit");
    settings.parked = 1;
    let verona = Verona::with(settings).await;
    let (romeo, task, first) = verona.managed("romeo").await;
    cut(romeo, task).await;
    let (juliet, task, second) = verona.managed("juliet").await;
    cut(juliet, task).await;
    let (mut romeo, _task) = verona.visitor("romeo").await;
    romeo.fail_to_resume(&first).await;
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.resume(&second, 0).await;
}

/// Sessions that wait count among those of the account, but lock nobody out.
#[tokio::test(start_paused = true)]
async fn xep0198_5_who_is_here_comes_before_who_may_come_back() {
    let verona = Verona::new().await;
    let (juliet, task, token) = verona.managed("juliet").await;
    cut(juliet, task).await;
    let mut sessions = Vec::new();
    for number in 0..10 {
        let (mut juliet, task) = verona.visitor("juliet").await;
        let bound = juliet.bind(&format!("r{number}")).await;
        assert!(bound.contains("type='result'"), "{number}: {bound}");
        sessions.push((juliet, task));
    }
    let (mut juliet, _task) = verona.visitor("juliet").await;
    assert!(juliet.bind("one too many").await.contains("<resource-constraint "));
    juliet.fail_to_resume(&token).await;
}

#[tokio::test(start_paused = true)]
async fn l19_a_session_that_waits_and_gets_too_much_ends_and_nothing_is_lost() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (juliet, task, token) = verona.managed("juliet").await;
    cut(juliet, task).await;
    let body = "x".repeat(10_000);
    let count = 140; // what may be unacknowledged, and a mailbox
    for number in 0..count {
        romeo.say(&message(&format!("{number} {body}"))).await;
    }
    let mut heard = romeo.sync().await;
    heard.push_str(&romeo.sync().await);
    assert_eq!(heard.matches("<message ").count(), count, "all of them came back");
    let (mut juliet, _task) = verona.visitor("juliet").await;
    juliet.fail_to_resume(&token).await;
}

#[tokio::test(start_paused = true)]
async fn s01_who_never_acknowledges_ends_and_nothing_is_lost() {
    let verona = Verona::new().await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, task, _) = verona.managed("juliet").await;
    let reader = tokio::spawn(async move { juliet.rest().await });
    let body = "x".repeat(10_000);
    let count = 200;
    for number in 0..count {
        romeo.say(&message(&format!("{number} {body}"))).await;
    }
    let mut heard = romeo.sync().await;
    let said = reader.await.unwrap();
    task.await.unwrap();
    heard.push_str(&romeo.sync().await);
    let written = said.matches("<message ").count();
    assert!(written * body.len() < 1_200_000, "{written}");
    assert!(said.contains("<policy-violation "), "{}", &said[said.len() - 300..]);
    assert_eq!(heard.matches("<message ").count(), count, "none was acknowledged");
}

/// Answers in its own time.
struct Slow(Arc<Notify>);

impl Module for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        let at = [At::Server, At::Own];
        declare.handle(IqType::Get, ("u:slow", "slow"), at, move |_| {
            let gate = Arc::clone(&self.0);
            Box::pin(async move {
                gate.notified().await;
                Answer::Ok(Reply::Result(bytes::Bytes::new()))
            })
        });
    }
}

/// Cannot keep a message, and does not know it yet.
struct Doubtful(Arc<Notify>);

impl Module for Doubtful {
    fn name(&self) -> &'static str {
        "doubtful"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.keep(move |_| {
            let gate = Arc::clone(&self.0);
            let receipt = Box::pin(async move {
                gate.notified().await;
                Err(StanzaError::new(StanzaCondition::ResourceConstraint).into())
            });
            let (row, sender_id, recipient_id) = (None, None, None);
            Some(Kept { receipt, fenced: true, again: false, row, sender_id, recipient_id })
        });
    }
}

/// Who has heard an error and goes on after a kill sends it again, unless the count covers it: then it would be kept.
#[tokio::test(start_paused = true)]
async fn l15_no_error_is_told_before_the_count_that_covers_it_can_be() {
    let gate = Arc::new(Notify::new());
    let verona = Verona::of(patient(), &[Arc::new(Doubtful(Arc::clone(&gate)))]).await;
    let (_juliet, _task) = verona.resident("juliet").await;
    let (mut romeo, _task, _) = verona.managed("romeo").await;
    romeo.say(&message("1")).await;
    romeo.say(&format!("<message to='x@far.away'/>{ASK}")).await;
    let heard = romeo.sync().await;
    assert!(!heard.contains("<remote-server-not-found ") && !heard.contains(&a(2)), "{heard}");
    gate.notify_one();
    let heard = romeo.hear(&a(2)).await;
    let place = |what| heard.find(what).unwrap_or_else(|| panic!("no {what} in {heard}"));
    assert!(place("<resource-constraint ") < place("<remote-server-not-found "), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn r05_mail_comes_while_a_stanza_of_the_client_waits_for_the_store() {
    let gate = Arc::new(Notify::new());
    let verona =
        Verona::of(Settings::new("verona.lit"), &[Arc::new(Slow(Arc::clone(&gate)))]).await;
    let (mut romeo, _task) = verona.resident("romeo").await;
    let (mut juliet, _task, _) = verona.managed("juliet").await;
    juliet
        .say(&format!("<iq type='get' id='slow'><slow xmlns='u:slow'/></iq>{ASK}<presence/>"))
        .await;
    let body = "x".repeat(10_000);
    for number in 0..60 {
        romeo.say(&message(&format!("{number} {body}"))).await;
        let heard = juliet.hear("</message>").await;
        assert!(heard.contains(&format!("<body>{number} ")) && !heard.contains("id='slow'"));
    }
    gate.notify_one();
    let heard = juliet.hear(&a(1)).await;
    assert!(heard.contains("id='slow'"), "the answer comes before it counts: {heard}");
}

/// What it sent last is taken in before anything is resumed: the counts agree.
#[tokio::test(start_paused = true)]
async fn xep0198_5_a_stream_is_resumed_once_all_that_was_sent_on_it_has_settled() {
    let gate = Arc::new(Notify::new());
    let verona =
        Verona::of(Settings::new("verona.lit"), &[Arc::new(Slow(Arc::clone(&gate)))]).await;
    let (mut juliet, task, token) = verona.managed("juliet").await;
    juliet.say("<iq type='get' id='slow'><slow xmlns='u:slow'/></iq>").await;
    tokio::task::yield_now().await;
    let (mut again, _task) = verona.visitor("juliet").await;
    again.ask_for(&token, 0).await;
    tokio::task::yield_now().await;
    gate.notify_one();
    let heard = again.hear("id='slow'").await;
    assert!(heard.starts_with("<resumed ") && heard.contains(" h='1'"), "{heard}");
    drop(juliet);
    task.await.unwrap();
}

/// What a session that waits costs besides what waits for it: its task, its books and its place.
#[tokio::test(start_paused = true)]
async fn s01_a_session_that_waits_is_small() {
    let verona = Verona::new().await;
    let (juliet, task, token) = verona.managed("juliet").await;
    cut(juliet, task).await;
    let account = "juliet@verona.lit".parse().unwrap();
    let parked = verona.door.resumptions.resume(&token, &account).unwrap().await.unwrap();
    let ticket = verona.door.resumptions.enter(&token, &account);
    let books = size_of_val(&*parked.ledger);
    let waiting = Arc::clone(&verona.door).keep(parked, ticket, time::Instant::now());
    let task = size_of_val(&waiting);
    assert!(task <= 1_536 && books <= 192, "{task} and {books} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_resumes_nothing() {
    let verona = Verona::new().await;
    let (juliet, task, token) = verona.managed("juliet").await;
    cut(juliet, task).await;
    let (mut again, _task) = verona.visitor("juliet").await;
    let other = Credentials::derive("another", 2, &[[9; 16]; 3]).unwrap();
    let account = "juliet@verona.lit".parse().unwrap();
    verona.door.accounts.set_credentials(&account, other).await.unwrap();
    again.fail_to_resume(&token).await;
}
