//! Rules of rosters and subscriptions.

use crate::stage::{CAPS, Stage, jid, show};
use roster_store::{Notice, Reply, StoreError, Verb};

const JULIET: &str = "juliet@capulet.example";
const ROMEO: &str = "romeo@montague.example";
const PARIS: &str = "paris@verona.example"; // never an account here

fn notice(verb: Verb, deliver: bool) -> Notice {
    Notice { verb, deliver }
}

pub(crate) fn rfc6121_2_3_an_item_is_kept_as_it_was_set(stage: &mut Stage) {
    stage.create(JULIET);
    let set = stage.set(JULIET, ROMEO, "Love", &["b", "a", "b"]).expect("set");
    assert!(set.is_visible());
    let shown = format!("{ROMEO} none \"Love\" [\"a\", \"b\"]");
    assert_eq!(show(&Some(set)), format!("#1 {JULIET}: nothing -> {shown}"));
    assert_eq!(stage.shown(JULIET), [shown]);
    stage.set(JULIET, PARIS, "", &["c"]).expect("set");
    // RFC 6121 2.4.1: exactly as provided
    stage.set(JULIET, ROMEO, "", &[]).expect("set");
    assert_eq!(stage.shown(JULIET), [format!("{PARIS} none [\"c\"]"), format!("{ROMEO} none")]);
    assert_eq!(stage.roster(JULIET).items[1].name, None);
}

pub(crate) fn rfc6121_2_6_versions_rise_without_gaps(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    assert_eq!(stage.roster(JULIET).version, 0);
    assert_eq!(stage.set(JULIET, ROMEO, "Love", &[]).expect("set").version, 1);
    let same = stage.set(JULIET, ROMEO, "Love", &[]).expect("set");
    assert_eq!((same.version, same.is_visible()), (2, false));
    let asked = stage.say(ROMEO, Verb::Subscribe, JULIET);
    let (sender, recipient) = (asked.sender.expect("a change"), asked.recipient.expect("a change"));
    assert_eq!((sender.version, sender.is_visible()), (1, true));
    assert_eq!((recipient.version, recipient.is_visible()), (3, false), "a request is not shown");
    let agreed = stage.say(JULIET, Verb::Subscribed, ROMEO).sender.expect("a change");
    assert_eq!((agreed.version, agreed.is_visible()), (4, true));
    let removed = stage.remove(JULIET, ROMEO).expect("removed").owner;
    assert_eq!((removed.version, removed.is_visible()), (5, true));
    assert_eq!(stage.roster(JULIET).version, 5);
}

pub(crate) fn rfc6121_2_6_an_address_never_has_a_version_twice(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    stage.set(JULIET, ROMEO, "Love", &[]).expect("set");
    stage.set(JULIET, ROMEO, "", &[]).expect("set");
    let mut last = stage.roster(JULIET).version;
    for _ in 0..3 {
        stage.delete(JULIET);
        stage.create(JULIET);
        let empty = stage.roster(JULIET).version;
        assert!(empty > last, "an empty roster with version {empty} after {last}");
        last = stage.set(JULIET, ROMEO, "Love", &[]).expect("set").version;
        assert_eq!(last, empty + 1);
        // One that had fewer changes does not bring the next below those before.
        stage.delete(ROMEO);
        stage.create(ROMEO);
    }
}

pub(crate) fn rfc6121_3_1_a_subscription_from_request_to_agreement(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let asked = stage.say(ROMEO, Verb::Subscribe, JULIET);
    assert_eq!(show(&asked.sender), format!("#1 {ROMEO}: nothing -> {JULIET} none out"));
    assert_eq!(show(&asked.recipient), format!("#1 {JULIET}: nothing -> ({ROMEO} none in)"));
    assert_eq!((asked.route, asked.deliver, asked.reply), (true, true, None));
    let agreed = stage.say(JULIET, Verb::Subscribed, ROMEO);
    assert_eq!(show(&agreed.sender), format!("#2 {JULIET}: ({ROMEO} none in) -> {ROMEO} from"));
    assert_eq!(show(&agreed.recipient), format!("#2 {ROMEO}: {JULIET} none out -> {JULIET} to"));
    assert_eq!((agreed.route, agreed.deliver, agreed.reply), (true, true, None));
    let change = agreed.sender.expect("a change");
    let (before, after) = change.subscription();
    assert_eq!((before.from, after.from), (false, true));
    // Again: nothing changes, nothing is shown (RFC 6121 3.4.2 rule 1).
    let again = stage.say(JULIET, Verb::Subscribed, ROMEO);
    assert_eq!(
        (show(&again.sender), show(&again.recipient)),
        ("unchanged".into(), "unchanged".into())
    );
    assert_eq!((again.route, again.deliver), (false, false));
}

pub(crate) fn rfc6121_3_1_2_a_request_to_another_domain_changes_the_sender_only(stage: &mut Stage) {
    stage.create(ROMEO);
    let asked = stage.say(ROMEO, Verb::Subscribe, PARIS);
    assert_eq!(show(&asked.sender), format!("#1 {ROMEO}: nothing -> {PARIS} none out"));
    assert_eq!((asked.route, asked.deliver, asked.recipient), (true, false, None));
    let agreed = stage.say(PARIS, Verb::Subscribed, ROMEO);
    assert_eq!(show(&agreed.recipient), format!("#2 {ROMEO}: {PARIS} none out -> {PARIS} to"));
    assert_eq!((agreed.route, agreed.deliver, agreed.sender), (true, true, None));
    // RFC 6121 3.1.6: what was not asked for is ignored.
    let forced = stage.say("tybalt@verona.example", Verb::Subscribed, ROMEO);
    assert_eq!((forced.deliver, forced.recipient), (false, None));
}

pub(crate) fn rfc6121_3_1_3_the_first_request_is_kept_whole_until_answered(stage: &mut Stage) {
    stage.create(JULIET);
    stage.set(JULIET, ROMEO, "Love", &[]).expect("set");
    let first = stage.try_say(ROMEO, Verb::Subscribe, JULIET, "<first/>").expect("applied");
    assert!(first.deliver);
    let second = stage.try_say(ROMEO, Verb::Subscribe, JULIET, "<second/>").expect("applied");
    assert_eq!((second.deliver, second.recipient), (false, None));
    stage.try_say("abram@montague.example", Verb::Subscribe, JULIET, "<later/>").expect("applied");
    let waiting =
        [(ROMEO.into(), "<first/>".into()), ("abram@montague.example".into(), "<later/>".into())];
    assert_eq!(stage.pending(JULIET), waiting, "oldest first, not by name");
    stage.say(JULIET, Verb::Subscribed, ROMEO);
    assert_eq!(stage.pending(JULIET), waiting[1..]);
    stage.say(JULIET, Verb::Unsubscribed, "abram@montague.example");
    assert_eq!(stage.pending(JULIET), []);
    assert_eq!(stage.shown(JULIET), [format!("{ROMEO} from \"Love\"")]);
    // RFC 6121 3.3.3: taken back before it was answered
    stage.say("abram@montague.example", Verb::Subscribe, JULIET);
    let back = stage.say("abram@montague.example", Verb::Unsubscribe, JULIET);
    assert!(back.deliver);
    assert_eq!(stage.pending(JULIET), []);
}

pub(crate) fn rfc6121_3_1_3_an_agreed_subscription_answers_by_itself(stage: &mut Stage) {
    stage.create(JULIET);
    stage.say(PARIS, Verb::Subscribe, JULIET);
    stage.say(JULIET, Verb::Subscribed, PARIS);
    let again = stage.say(PARIS, Verb::Subscribe, JULIET);
    assert_eq!((again.deliver, again.recipient), (false, None));
    let reply = Reply { verb: Verb::Subscribed, change: None, deliver: false };
    assert_eq!(again.reply, Some(reply));
    assert_eq!(stage.pending(JULIET), []);
}

pub(crate) fn xep0191_3_3_a_request_that_is_not_heard_changes_the_sender_only(stage: &mut Stage) {
    stage.create(ROMEO);
    stage.create(JULIET);
    // Had she heard it, she would have answered at once (RFC 6121 3.4).
    stage.say(JULIET, Verb::Subscribed, ROMEO);
    let hers = stage.shown(JULIET);
    let (romeo, juliet) = (jid(ROMEO), jid(JULIET));
    let change = stage.run(|s| s.ask_in_vain(&romeo, &juliet)).expect("asked");
    assert!(show(&change).ends_with(&format!("nothing -> {JULIET} none out")), "{}", show(&change));
    assert_eq!(stage.shown(ROMEO), [format!("{JULIET} none out")]);
    assert_eq!(stage.shown(JULIET), hers);
    assert_eq!(stage.pending(JULIET), []);
    // The same as for somebody who does not answer, the second time too.
    assert_eq!(stage.run(|s| s.ask_in_vain(&romeo, &juliet)), Ok(None));
    let nobody = jid("nobody@localhost");
    assert_eq!(stage.run(|s| s.ask_in_vain(&nobody, &juliet)), Err(StoreError::NotFound));
}

pub(crate) fn rfc6121_3_2_denial_and_cancellation(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    stage.say(ROMEO, Verb::Subscribe, JULIET);
    let denied = stage.say(JULIET, Verb::Unsubscribed, ROMEO);
    assert_eq!(show(&denied.sender), format!("#2 {JULIET}: ({ROMEO} none in) -> nothing"));
    assert_eq!(show(&denied.recipient), format!("#2 {ROMEO}: {JULIET} none out -> {JULIET} none"));
    assert_eq!((denied.route, denied.deliver), (true, true));
    stage.befriend(ROMEO, JULIET);
    let cancelled = stage.say(JULIET, Verb::Unsubscribed, ROMEO);
    assert_eq!(show(&cancelled.sender), format!("#7 {JULIET}: {ROMEO} both -> {ROMEO} to"));
    assert_eq!(show(&cancelled.recipient), format!("#7 {ROMEO}: {JULIET} both -> {JULIET} from"));
    assert_eq!((cancelled.route, cancelled.deliver, cancelled.reply), (true, true, None));
    // RFC 6121 3.2.2 rule 1: there is nothing left to cancel.
    let again = stage.say(JULIET, Verb::Unsubscribed, ROMEO);
    assert_eq!((again.route, again.deliver, again.sender), (false, false, None));
}

pub(crate) fn rfc6121_3_3_unsubscribing_is_confirmed(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    stage.befriend(ROMEO, JULIET);
    let ended = stage.say(ROMEO, Verb::Unsubscribe, JULIET);
    assert_eq!(show(&ended.sender), format!("#5 {ROMEO}: {JULIET} both -> {JULIET} from"));
    assert_eq!(show(&ended.recipient), format!("#5 {JULIET}: {ROMEO} both -> {ROMEO} to"));
    assert_eq!((ended.route, ended.deliver), (true, true));
    let reply = Reply { verb: Verb::Unsubscribed, change: None, deliver: false };
    assert_eq!(ended.reply, Some(reply), "for another domain; here it has nothing left to end");
}

pub(crate) fn rfc6121_3_4_a_request_approved_beforehand_is_answered_at_once(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let approved = stage.say(JULIET, Verb::Subscribed, ROMEO);
    assert_eq!(show(&approved.sender), format!("#1 {JULIET}: nothing -> {ROMEO} none approved"));
    assert_eq!((approved.route, approved.deliver, approved.recipient), (false, false, None));
    let asked = stage.say(ROMEO, Verb::Subscribe, JULIET);
    assert_eq!(show(&asked.sender), format!("#1 {ROMEO}: nothing -> {JULIET} none out"));
    let agreed = format!("#2 {JULIET}: {ROMEO} none approved -> {ROMEO} from");
    assert_eq!(show(&asked.recipient), agreed);
    assert_eq!((asked.route, asked.deliver), (true, false));
    let reply = asked.reply.expect("a reply");
    assert_eq!((reply.verb, reply.deliver), (Verb::Subscribed, true));
    assert_eq!(show(&reply.change), format!("#2 {ROMEO}: {JULIET} none out -> {JULIET} to"));
    assert_eq!(stage.pending(JULIET), []);
    // RFC 6121 3.2.2 rule 2
    stage.say(JULIET, Verb::Subscribed, PARIS);
    let back = stage.say(JULIET, Verb::Unsubscribed, PARIS);
    let taken = format!("#4 {JULIET}: {PARIS} none approved -> {PARIS} none");
    assert_eq!((show(&back.sender), back.route), (taken, false));
}

pub(crate) fn rfc6121_2_5_removal_ends_both_directions(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    stage.befriend(ROMEO, JULIET);
    stage.set(JULIET, ROMEO, "Love", &["Friends"]).expect("set");
    let removal = stage.remove(ROMEO, JULIET).expect("removed");
    assert_eq!(show(&Some(removal.owner)), format!("#5 {ROMEO}: {JULIET} both -> nothing"));
    let parting = removal.parting;
    assert_eq!(
        show(&parting.change),
        format!(
            "#6 {JULIET}: {ROMEO} both \"Love\" [\"Friends\"] -> {ROMEO} none \"Love\" [\"Friends\"]"
        )
    );
    assert_eq!(parting.contact, jid(JULIET));
    assert_eq!(
        parting.notices,
        [notice(Verb::Unsubscribe, true), notice(Verb::Unsubscribed, true)]
    );
    assert_eq!(stage.shown(ROMEO), Vec::<String>::new());
    // What has no subscription ends nothing, and a name does not survive its item.
    let plain = stage.remove(JULIET, ROMEO).expect("removed").parting;
    assert_eq!((plain.change, plain.notices), (None, vec![]));
    stage.say(JULIET, Verb::Subscribe, ROMEO);
    assert_eq!(stage.shown(JULIET), [format!("{ROMEO} none out")]);
}

pub(crate) fn rfc6121_2_5_removal_takes_requests_back(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    stage.say(ROMEO, Verb::Subscribe, JULIET);
    let removal = stage.remove(ROMEO, JULIET).expect("removed");
    assert_eq!(removal.parting.notices, [notice(Verb::Unsubscribe, true)]);
    let forgotten = format!("#2 {JULIET}: ({ROMEO} none in) -> nothing");
    assert_eq!(show(&removal.parting.change), forgotten);
    assert_eq!(stage.pending(JULIET), []);
    // A request that came in for a listed contact is denied.
    stage.set(JULIET, ROMEO, "Love", &[]).expect("set");
    stage.say(ROMEO, Verb::Subscribe, JULIET);
    let removal = stage.remove(JULIET, ROMEO).expect("removed");
    assert_eq!(removal.parting.notices, [notice(Verb::Unsubscribed, true)]);
    let denied = format!("#4 {ROMEO}: {JULIET} none out -> {JULIET} none");
    assert_eq!(show(&removal.parting.change), denied);
    assert_eq!(stage.pending(JULIET), []);
}

pub(crate) fn rfc6121_2_5_3_what_is_not_listed_cannot_be_removed(stage: &mut Stage) {
    stage.create(JULIET);
    assert_eq!(stage.remove(JULIET, ROMEO), Err(StoreError::NotFound));
    stage.say(ROMEO, Verb::Subscribe, JULIET);
    assert_eq!(stage.remove(JULIET, ROMEO), Err(StoreError::NotFound), "a request is not an item");
    assert_eq!(stage.pending(JULIET).len(), 1);
}

pub(crate) fn a_subscription_to_oneself_does_nothing(stage: &mut Stage) {
    stage.create(JULIET);
    for verb in [Verb::Subscribe, Verb::Subscribed, Verb::Unsubscribe, Verb::Unsubscribed] {
        let said = stage.say(JULIET, verb, JULIET);
        assert_eq!((said.sender, said.recipient, said.reply), (None, None, None), "{verb:?}");
        assert_eq!((said.route, said.deliver), (false, false), "{verb:?}");
    }
    // An item for oneself is a plain item.
    stage.set(JULIET, JULIET, "Me", &[]).expect("set");
    let removal = stage.remove(JULIET, JULIET).expect("removed");
    assert_eq!((removal.parting.change, removal.parting.notices), (None, vec![]));
}

pub(crate) fn a05_an_address_without_an_account_looks_like_one_that_does_not_answer(
    stage: &mut Stage,
) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let nobody = "nobody@capulet.example";
    let known = stage.say(ROMEO, Verb::Subscribe, JULIET);
    let unknown = stage.say(ROMEO, Verb::Subscribe, nobody);
    let (known_change, unknown_change) = (show(&known.sender), show(&unknown.sender));
    assert_eq!(known_change, format!("#1 {ROMEO}: nothing -> {JULIET} none out"));
    assert_eq!(unknown_change, format!("#2 {ROMEO}: nothing -> {nobody} none out"));
    assert_eq!((known.route, known.reply), (unknown.route, unknown.reply));
    // RFC 6121 8.5.1
    assert_eq!((unknown.deliver, unknown.recipient), (false, None));
}

pub(crate) fn r03_caps_of_a_roster(stage: &mut Stage) {
    stage.create(JULIET);
    for n in 0..CAPS.roster_items {
        stage.set(JULIET, &format!("n{n}@verona.example"), "", &[]).expect("set");
    }
    let full = StoreError::Full("roster items");
    assert_eq!(stage.set(JULIET, PARIS, "", &[]), Err(full.clone()));
    for verb in [Verb::Subscribe, Verb::Subscribed] {
        assert_eq!(stage.try_say(JULIET, verb, PARIS, ""), Err(full.clone()), "{verb:?}");
    }
    assert_eq!(stage.roster(JULIET).version, 4);
    let groups = Err(StoreError::Full("groups of a roster item"));
    assert_eq!(stage.set(JULIET, "n0@verona.example", "", &["1", "2", "3", "4"]), groups);
    stage.set(JULIET, "n0@verona.example", "", &["1", "2", "3", "3"]).expect("three of them");
    let text = Err(StoreError::Full("bytes of a roster name"));
    let (fits, long) = ("x".repeat(CAPS.roster_text), "x".repeat(CAPS.roster_text + 1));
    stage.set(JULIET, "n0@verona.example", &fits, &[&fits]).expect("set");
    assert_eq!(stage.set(JULIET, "n0@verona.example", &long, &[]), text);
    assert_eq!(stage.set(JULIET, "n0@verona.example", "", &[&long]), text);
    stage.remove(JULIET, "n3@verona.example").expect("removed");
    stage.set(JULIET, PARIS, "", &[]).expect("there is room again");
}

pub(crate) fn r03_a_roster_of_long_texts_is_full_before_it_has_all_items(stage: &mut Stage) {
    stage.create(JULIET);
    let [a, b, c] = ["a", "b", "c"].map(|text| text.repeat(CAPS.roster_text));
    let (first, second) = ("n1@verona.example", "n2@verona.example");
    let full = StoreError::Full("bytes of a roster");
    stage.set(JULIET, first, &a, &[&a, &b, &c]).expect("set");
    assert_eq!(stage.set(JULIET, second, &a, &[]), Err(full.clone()));
    stage.set(JULIET, second, "", &[]).expect("a short one still fits");
    for verb in [Verb::Subscribe, Verb::Subscribed] {
        assert_eq!(stage.try_say(JULIET, verb, PARIS, ""), Err(full.clone()), "{verb:?}");
    }
    // A request is not in the roster yet, and an agreement adds no text.
    assert!(stage.say(PARIS, Verb::Subscribe, JULIET).deliver);
    assert!(stage.say(first, Verb::Subscribe, JULIET).deliver);
    assert!(stage.say(JULIET, Verb::Subscribed, first).route);
    assert_eq!(stage.try_say(JULIET, Verb::Subscribed, PARIS, ""), Err(full));
    stage.set(JULIET, first, &a, &[&a, &b]).expect("less is always taken");
    stage.say(JULIET, Verb::Subscribed, PARIS);
    stage.remove(JULIET, first).expect("removed");
    stage.set(JULIET, second, &a, &[&a, &b, &c]).expect("there is room again");
}

pub(crate) fn r03_strangers_cannot_fill_a_roster(stage: &mut Stage) {
    stage.create(JULIET);
    for n in 0..CAPS.requests {
        stage.say(&format!("stranger{n}@verona.example"), Verb::Subscribe, JULIET);
    }
    let full = Err(StoreError::Full("subscription requests"));
    assert_eq!(stage.try_say(PARIS, Verb::Subscribe, JULIET, ""), full);
    for n in 0..CAPS.roster_items {
        stage.set(JULIET, &format!("n{n}@verona.example"), "", &[]).expect("set");
    }
    // Whom she has listed may still ask. To agree with a stranger she must make room.
    assert!(stage.say("n0@verona.example", Verb::Subscribe, JULIET).deliver);
    let agreed = stage.try_say(JULIET, Verb::Subscribed, "stranger0@verona.example", "");
    assert_eq!(agreed, Err(StoreError::Full("roster items")));
    stage.say(JULIET, Verb::Unsubscribed, "stranger0@verona.example");
    assert!(stage.say(PARIS, Verb::Subscribe, JULIET).deliver, "there is room again");
}

pub(crate) fn r03_a_refused_request_changes_neither_side(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    let long = "x".repeat(CAPS.request_bytes + 1);
    let full = Err(StoreError::Full("bytes of a subscription request"));
    assert_eq!(stage.try_say(ROMEO, Verb::Subscribe, JULIET, &long), full);
    for owner in [JULIET, ROMEO] {
        assert_eq!(stage.roster(owner), Default::default());
    }
    // Threat A05: it does not tell that there is no such account.
    assert_eq!(stage.try_say(ROMEO, Verb::Subscribe, PARIS, &long), full);
}

pub(crate) fn r08_texts_are_kept_as_they_are(stage: &mut Stage) {
    stage.create(JULIET);
    let odd = ["%", "_", "a%b_c", "'; DROP TABLE roster; --", "\0", "a\0b", "\r\n\x1b[2J", "é😀"];
    for text in odd {
        stage.set(JULIET, "percent%and_score@verona.example", text, &[text]).expect("set");
        let item = stage.roster(JULIET).items.remove(0);
        assert_eq!((item.name.as_deref(), &item.groups[..]), (Some(text), &[text.to_owned()][..]));
    }
    stage.set(JULIET, "percent-and-score@verona.example", "", &[]).expect("set");
    stage.remove(JULIET, "percent%and_score@verona.example").expect("removed");
    assert_eq!(stage.shown(JULIET), ["percent-and-score@verona.example none"], "no wildcards");
}

pub(crate) fn p08_all_nine_states_are_kept_on_both_sides(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(ROMEO);
    // Who says what, and how each then stands to the other.
    let walk = [
        (ROMEO, Verb::Subscribe, "none out", "none in"),
        (JULIET, Verb::Subscribe, "none out in", "none out in"),
        (JULIET, Verb::Subscribed, "to in", "from out"),
        (ROMEO, Verb::Subscribed, "both", "both"),
        (ROMEO, Verb::Unsubscribed, "to", "from"),
        (ROMEO, Verb::Unsubscribe, "none", "none"),
        (JULIET, Verb::Subscribe, "none in", "none out"),
        (ROMEO, Verb::Subscribed, "from", "to"),
        (ROMEO, Verb::Subscribe, "from out", "to in"),
        (JULIET, Verb::Subscribed, "both", "both"),
    ];
    for (sender, verb, romeo, juliet) in walk {
        let recipient = if sender == ROMEO { JULIET } else { ROMEO };
        let said = stage.say(sender, verb, recipient);
        for (owner, contact, state) in [(ROMEO, JULIET, romeo), (JULIET, ROMEO, juliet)] {
            let roster = stage.roster(owner);
            let change = if owner == sender { &said.sender } else { &said.recipient };
            let change = change.as_ref().expect("a change");
            assert_eq!(
                (roster.items.first(), roster.version),
                (change.after.as_ref(), change.version)
            );
            let shown = stage.shown(owner).remove(0);
            let shown = shown.trim_matches(['(', ')']);
            assert_eq!(shown, format!("{contact} {state}"), "{owner} after {sender} {verb:?}");
            assert_eq!(state.ends_with("in"), !stage.pending(owner).is_empty());
        }
    }
}
