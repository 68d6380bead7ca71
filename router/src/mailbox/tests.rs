//! What waits, what is held, and what becomes of it.

use super::*;
use bytes::Bytes;
use xmpp_core::stanza::{IqType, MessageType, PresenceType};

fn message(bytes: usize) -> Stanza {
    Stanza::new(Kind::Message(MessageType::Chat), Bytes::from(vec![b' '; bytes]))
}

fn lose(post: &Post) -> Option<Stanza> {
    match post.empty().pop_front().unwrap().into_undelivered() {
        Undelivered::Message(message) => Some(message),
        Undelivered::Nothing => None,
        Undelivered::Row => panic!("the store does not keep it"),
    }
}

#[test]
fn mail_comes_in_the_order_it_was_sent() {
    let post = Post::new(1_000_000, None);
    let mut mailbox = Mailbox::new(post.clone());
    assert!(mailbox.try_next().is_none());
    assert!(post.send(message(1), Owed::Routing));
    post.answer([message(2)]);
    for bytes in [1, 2] {
        let Some(Mail::Letter(Letter { stanza, .. })) = mailbox.try_next() else {
            panic!("no mail")
        };
        assert_eq!(stanza.inner().len(), bytes);
    }
}

#[test]
fn r03_a_slow_reader_is_closed_and_keeps_what_waits_for_routing() {
    let post = Post::new(4_096, None);
    let mut mailbox = Mailbox::new(post.clone());
    let sent = (0..100).take_while(|_| post.send(message(1_024), Owed::Routing)).count();
    assert!((1..4).contains(&sent), "{sent} of 1 KiB fit into 4 KiB");
    let Some(Mail::Close(error)) = mailbox.try_next() else { panic!("still open") };
    assert_eq!(error.condition, StreamCondition::PolicyViolation);
    assert_eq!(post.empty().len(), sent + 1, "the one that did not fit is kept too");
}

#[test]
fn one_large_stanza_passes_an_empty_mailbox() {
    let post = Post::new(100, None);
    assert!(post.send(message(10_000), Owed::Routing));
}

#[test]
fn what_the_session_asked_for_does_not_count_against_what_others_send() {
    let post = Post::new(4_096, None);
    post.ask();
    post.answer((0..100).map(|_| message(1_024)));
    post.answer((0..100).map(|_| message(1_024)));
    assert!(post.send(message(100), Owed::Routing));
    post.ask();
    assert!(post.has_overflowed(), "asking for more while that much is unread ends the session");
}

#[test]
fn a_fanned_out_message_is_undelivered_only_where_nobody_took_it() {
    let (one, two) = (Post::new(1_000, None), Post::new(1_000, None));
    let all = FanOut::new(2, &message(1));
    for post in [&one, &two] {
        assert!(post.send(message(1), Owed::Shared(all.clone())));
    }
    assert!(lose(&one).is_none(), "the other may still take it");
    assert!(lose(&two).is_some(), "the last one answers for all");

    let (one, two) = (Post::new(1_000, None), Post::new(1_000, None));
    let all = FanOut::new(2, &message(1));
    for post in [&one, &two] {
        assert!(post.send(message(1), Owed::Shared(all.clone())));
    }
    assert!(Mailbox::new(one).try_next().is_some());
    assert!(lose(&two).is_none());
}

#[test]
fn without_room_only_the_end_comes_through_and_wakes() {
    use futures_util::task::{ArcWake, waker};
    struct Count(AtomicUsize);
    impl ArcWake for Count {
        fn wake_by_ref(this: &Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = waker(count.clone());
    let mut cx = Context::from_waker(&waker);
    let woken = || count.0.load(Ordering::Relaxed);
    let post = Post::new(1_000, None);
    let mut mailbox = Mailbox::new(post.clone());

    assert!(mailbox.poll_next(&mut cx, false).is_pending());
    assert!(post.send(message(1), Owed::Routing));
    assert_eq!(woken(), 0, "there is no room for it");
    assert!(mailbox.poll_next(&mut cx, false).is_pending());
    assert!(matches!(mailbox.poll_next(&mut cx, true), Poll::Ready(Mail::Letter(_))));
    assert!(mailbox.poll_next(&mut cx, true).is_pending());
    assert!(post.send(message(1), Owed::Routing));
    assert_eq!(woken(), 1);
    assert!(mailbox.poll_next(&mut cx, false).is_pending());
    post.close(StreamError::new(StreamCondition::Conflict));
    assert_eq!(woken(), 2);
    assert!(matches!(mailbox.poll_next(&mut cx, false), Poll::Ready(Mail::Close(_))));
    assert!(mailbox.poll_next(&mut cx, true).is_pending(), "nothing comes after it");
}

#[test]
fn closing_comes_first_and_once_for_all() {
    let post = Post::new(1_000, None);
    let mut mailbox = Mailbox::new(post.clone());
    assert!(post.send(message(1), Owed::Routing));
    post.close(StreamError::new(StreamCondition::Conflict));
    post.close(StreamError::new(StreamCondition::NotAuthorized));
    let Some(Mail::Close(error)) = mailbox.try_next() else { panic!("open") };
    assert_eq!(error.condition, StreamCondition::Conflict);
    post.close(StreamError::new(StreamCondition::NotAuthorized));
    assert!(mailbox.try_next().is_none());
    assert_eq!(post.empty().len(), 1, "what waited is there to be routed again");
}

/// What somebody can wait for, as a module might say it.
fn urgency(stanza: &Stanza) -> Urgency {
    match stanza.kind() {
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => Urgency::Later,
        Kind::Message(MessageType::Chat) if stanza.inner().is_empty() => Urgency::Never,
        _ => Urgency::Now,
    }
}

fn inactive(limit: usize) -> (Arc<Post>, Mailbox) {
    let post = Post::new(limit, Some(Arc::new(urgency)));
    let mut mailbox = Mailbox::new(post.clone());
    mailbox.set_active(false);
    (post, mailbox)
}

fn presence(from: &str, id: &str) -> Stanza {
    Stanza::new(Kind::Presence(PresenceType::Available), Bytes::new())
        .from(from.parse().unwrap())
        .id(id)
}

fn send(post: &Post, stanza: Stanza) {
    assert!(post.send(stanza, Owed::Routing), "it fits");
}

fn ids(mailbox: &mut Mailbox) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(Mail::Letter(Letter { stanza, .. })) = mailbox.try_next() {
        ids.push(stanza.head.id.as_deref().unwrap_or_default().to_owned());
    }
    ids
}

#[test]
fn xep0352_3_2_presence_is_held_until_the_client_is_active() {
    let (post, mut mailbox) = inactive(10_000);
    send(&post, presence("romeo@localhost/orchard", "1"));
    send(&post, presence("nurse@localhost/kitchen", "2"));
    assert_eq!(ids(&mut mailbox), [""; 0]);
    mailbox.set_active(true);
    assert_eq!(ids(&mut mailbox), ["1", "2"]);
    send(&post, presence("romeo@localhost/orchard", "3"));
    assert_eq!(ids(&mut mailbox), ["3"], "and no longer");
}

#[test]
fn xep0352_3_2_of_one_address_the_last_presence_is_enough() {
    let (post, mut mailbox) = inactive(10_000);
    for (from, id) in [
        ("romeo@localhost/orchard", "1"),
        ("romeo@localhost/street", "2"),
        ("romeo@localhost/orchard", "3"),
        ("romeo@localhost", "4"),
        ("romeo@localhost/orchard", "5"),
    ] {
        send(&post, presence(from, id));
    }
    mailbox.set_active(true);
    assert_eq!(ids(&mut mailbox), ["2", "4", "5"]);
    let queue = lock(&post.queue);
    assert_eq!((queue.bytes, queue.held_bytes), ([0; 3], 0), "every byte was given back");
}

#[test]
fn xep0352_5_what_is_urgent_comes_behind_all_that_was_held() {
    let (post, mut mailbox) = inactive(10_000);
    send(&post, presence("romeo@localhost/orchard", "1"));
    send(&post, message(1).id("2"));
    send(&post, presence("romeo@localhost/orchard", "3"));
    assert_eq!(ids(&mut mailbox), ["1", "2"]);
    post.answer([Stanza::new(Kind::Iq(IqType::Result), Bytes::new()).id("pong")]);
    assert_eq!(ids(&mut mailbox), ["pong"], "the answer to an iq says nothing of anybody's state");
    // Asked for again, the presence is newer than the one that is held.
    post.answer([presence("romeo@localhost/orchard", "4")]);
    assert_eq!(ids(&mut mailbox), ["3", "4"]);
}

#[test]
fn xep0352_3_2_what_is_of_no_use_later_is_not_kept() {
    let (post, mut mailbox) = inactive(10_000);
    send(&post, message(0));
    mailbox.set_active(true);
    assert_eq!(ids(&mut mailbox), [""; 0]);
    send(&post, message(0));
    assert_eq!(ids(&mut mailbox), [""], "of use while somebody looks");
}

#[test]
fn a_copy_is_as_urgent_as_the_message() {
    let (post, mut mailbox) = inactive(10_000);
    assert!(post.send_copy(message(100).id("1"), &message(0), Owed::Nothing));
    assert!(post.send_copy(message(100).id("2"), &message(1), Owed::Nothing));
    assert_eq!(ids(&mut mailbox), ["2"]);
}

#[test]
fn l20_what_is_held_is_there_to_be_routed_again() {
    let (post, _mailbox) = inactive(10_000);
    send(&post, presence("romeo@localhost/orchard", "1"));
    assert_eq!(post.empty().len(), 1);
}

#[test]
fn r03_so_much_is_held_and_no_more() {
    let (post, mut mailbox) = inactive(8_192);
    let mut held = 0;
    while ids(&mut mailbox).is_empty() {
        held += 1;
        assert!(held < 100, "held without end");
        send(&post, presence(&format!("romeo@localhost/{held}"), "p"));
        assert!(lock(&post.queue).held_bytes <= 8_192 / HELD_SHARE);
    }
    assert!(held > 10);
}

#[test]
fn what_is_held_closes_nobody() {
    let (post, mut mailbox) = inactive(8_192);
    for number in 0..15 {
        send(&post, presence(&format!("romeo@localhost/{number}"), "p"));
    }
    assert!(lock(&post.queue).held_bytes > 1_000, "something is held");
    send(&post, message(8_000));
    assert_eq!(ids(&mut mailbox).len(), 16);
}

#[test]
fn a_copy_of_what_was_sent_or_kept_is_not_routed() {
    let post = Post::new(1_000, None);
    assert!(post.send_copy(message(1), &message(1), Owed::Nothing));
    assert!(lose(&post).is_none());
}

#[test]
fn a_message_known_in_copy_is_delivered_and_one_lost_in_copy_is_routed_itself() {
    let original = message(1);
    let copied = || {
        let (one, two) = (Post::new(1_000, None), Post::new(1_000, None));
        let owed = Owed::Shared(FanOut::new(2, &original));
        assert!(one.send(original.clone(), owed.clone()));
        assert!(two.send_copy(message(100), &original, owed));
        (one, two)
    };
    let (one, two) = copied();
    assert!(lose(&one).is_none(), "the other may still take the copy");
    assert_eq!(lose(&two), Some(original.clone()), "and not the copy");

    let (one, two) = copied();
    assert!(Mailbox::new(two).try_next().is_some());
    assert!(lose(&one).is_none());
}

#[test]
fn who_asked_for_the_end_gets_first_what_waits() {
    let (post, mut mailbox) = inactive(8_192);
    send(&post, presence("romeo@localhost/orchard", "p"));
    post.close_last(StreamError::new(StreamCondition::NotAuthorized));
    post.answer([message(1)]);
    for _what_was_held_too in 0..2 {
        assert!(matches!(mailbox.try_next(), Some(Mail::Letter(_))));
    }
    assert!(matches!(mailbox.try_next(), Some(Mail::Close(_))));
    assert!(mailbox.try_next().is_none());

    let post = Post::new(1_000, None);
    let mut mailbox = Mailbox::new(post.clone());
    post.answer([message(1)]);
    post.close_last(StreamError::new(StreamCondition::NotAuthorized));
    post.close(StreamError::new(StreamCondition::Conflict));
    let Some(Mail::Close(error)) = mailbox.try_next() else { panic!("open") };
    assert_eq!(error.condition, StreamCondition::Conflict, "what cannot wait does not");
}
