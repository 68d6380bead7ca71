//! Rules of accounts.

use crate::{
    messages::{ALL, waiting},
    stage::{Stage, block_on, credentials, jid, show, written},
};
use roster_store::{Notice, Revoked, StoreError, Verb};

const JULIET: &str = "juliet@capulet.example";
const NURSE: &str = "nurse@capulet.example";
const ROMEO: &str = "romeo@montague.example";

pub(crate) fn a_new_account_exists_and_is_listed_in_order(stage: &mut Stage) {
    for account in [ROMEO, NURSE, JULIET] {
        assert_eq!(stage.run(|s| s.exists(&jid(account))), Ok(false));
        stage.create(account);
        assert_eq!(stage.run(|s| s.exists(&jid(account))), Ok(true));
    }
    assert_eq!(stage.run(|s| s.list()), Ok(vec![jid(JULIET), jid(NURSE), jid(ROMEO)]));
}

pub(crate) fn a_second_account_at_one_address_is_refused(stage: &mut Stage) {
    stage.create(JULIET);
    let second = stage.run(|s| s.create(&jid(JULIET), credentials(9)));
    assert_eq!(second, Err(StoreError::Exists));
    assert!(stage.run(|s| s.credentials(&jid(JULIET))) == Ok(Some(credentials(0))));
}

pub(crate) fn credentials_are_those_last_set(stage: &mut Stage) {
    stage.create(JULIET);
    stage.create(NURSE);
    stage.run(|s| s.set_credentials(&jid(JULIET), credentials(7))).expect("set");
    assert!(stage.run(|s| s.credentials(&jid(JULIET))) == Ok(Some(credentials(7))));
    assert!(stage.run(|s| s.credentials(&jid(NURSE))) == Ok(Some(credentials(0))));
}

pub(crate) fn what_is_unknown_is_not_found(stage: &mut Stage) {
    let nobody = &jid("nobody@capulet.example");
    let not_found = StoreError::NotFound;
    assert!(stage.run(|s| s.credentials(nobody)) == Ok(None));
    let set = stage.run(|s| s.set_credentials(nobody, credentials(1)));
    assert_eq!(set, Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.delete(nobody)), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.roster(nobody)), Err(not_found.clone()));
    let item = stage.run(|s| s.set_item(nobody, &jid(ROMEO), None, vec![]));
    assert_eq!(item, Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.remove_item(nobody, &jid(ROMEO))), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.requests(nobody)), Err(not_found.clone()));
    let hello = vec![waiting(nobody.as_str(), b"hello")];
    assert_eq!(written(stage.next().put(hello.into()).1), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.pending(nobody, 0, 1, ALL)), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.settle(nobody, vec![1])), Err(not_found.clone()));
    assert_eq!(stage.run(|s| s.count(nobody)), Err(not_found));
    assert_eq!(stage.run(|s| s.revoked(Some(0))), Ok((vec![], 0)));
}

pub(crate) fn the_masking_key_stays(stage: &mut Stage) {
    let key = stage.next().masking_key();
    assert_eq!(stage.next().masking_key(), key);
    assert_ne!(Stage::memory().next().masking_key(), key);
    assert_ne!(Stage::sqlite().next().masking_key(), key);
}

pub(crate) fn a_deleted_account_leaves_nothing_to_its_successor(stage: &mut Stage) {
    stage.create(JULIET);
    stage.set(JULIET, NURSE, "Angelica", &["Servants"]).expect("set");
    stage.say("paris@verona.example", Verb::Subscribe, JULIET);
    stage.run(|s| s.put(vec![waiting(JULIET, b"hello")].into()).1).expect("kept");
    assert_eq!(stage.delete(JULIET).len(), 1);
    assert!(stage.run(|s| s.credentials(&jid(JULIET))) == Ok(None));
    assert_eq!(stage.run(|s| s.list()), Ok(vec![]));
    stage.create(JULIET);
    assert_eq!(stage.roster(JULIET).items, []);
    assert_eq!(stage.pending(JULIET), []);
    assert_eq!(stage.run(|s| s.pending(&jid(JULIET), 0, 9, ALL)), Ok((vec![], false)));
    assert_eq!(stage.run(|s| s.count(&jid(JULIET))), Ok(0));
}

pub(crate) fn rfc6121_2_5_2_deletion_parts_from_every_contact(stage: &mut Stage) {
    for account in [JULIET, NURSE, ROMEO] {
        stage.create(account);
    }
    stage.befriend(JULIET, ROMEO);
    stage.set(ROMEO, JULIET, "Love", &[]).expect("set");
    stage.say(JULIET, Verb::Subscribe, NURSE); // not answered
    stage.say(JULIET, Verb::Subscribe, "paris@verona.example"); // another domain
    stage.set(JULIET, "tybalt@verona.example", "", &[]).expect("set"); // nothing to end
    let notice = |verb, deliver| Notice { verb, deliver };
    let partings = stage.delete(JULIET);
    let told: Vec<_> =
        partings.iter().map(|p| (p.contact.as_str(), show(&p.change), p.notices.clone())).collect();
    assert_eq!(
        told,
        [
            (
                NURSE,
                format!("#2 {NURSE}: ({JULIET} none in) -> nothing"),
                vec![notice(Verb::Unsubscribe, true)],
            ),
            ("paris@verona.example", "unchanged".into(), vec![notice(Verb::Unsubscribe, false)]),
            (
                ROMEO,
                format!("#6 {ROMEO}: {JULIET} both \"Love\" -> {JULIET} none \"Love\""),
                vec![notice(Verb::Unsubscribe, true), notice(Verb::Unsubscribed, true)],
            ),
        ]
    );
    assert_eq!(stage.pending(NURSE), []);
    assert_eq!(stage.shown(ROMEO), [format!("{JULIET} none \"Love\"")]);
}

pub(crate) fn p08_nothing_granted_to_an_address_passes_on_to_its_next_owner(stage: &mut Stage) {
    for account in [JULIET, NURSE, ROMEO] {
        stage.create(account);
    }
    stage.say(NURSE, Verb::Subscribed, JULIET); // approved beforehand
    // Juliet's side knows nothing of what Romeo's holds, as after she was restored from a backup.
    stage.say(ROMEO, Verb::Subscribe, JULIET);
    stage.say(JULIET, Verb::Subscribed, ROMEO);
    stage.say("elsewhere@montague.example", Verb::Subscribe, ROMEO);
    stage.delete(JULIET);
    stage.create(JULIET);
    assert_eq!(stage.shown(NURSE), [format!("{JULIET} none")]);
    assert_eq!(stage.shown(ROMEO).len(), 2);
    let asked = stage.say(JULIET, Verb::Subscribe, NURSE);
    assert!(asked.deliver);
    assert_eq!(asked.reply, None);
}

pub(crate) fn revocations_are_told_once_and_the_last_of_a_kind_counts(stage: &mut Stage) {
    for account in [JULIET, NURSE, ROMEO] {
        stage.create(account);
    }
    stage.befriend(JULIET, NURSE);
    stage.run(|s| s.set_credentials(&jid(ROMEO), credentials(1))).expect("set");
    let (told, since) = stage.run(|s| s.revoked(None)).expect("a number");
    assert_eq!(told, []);
    let news = |stage: &mut Stage, since| {
        let (told, next) = stage.run(|s| s.revoked(Some(since))).expect("revocations");
        assert_eq!(stage.run(|s| s.revoked(Some(next))), Ok((vec![], next)));
        let told: Vec<_> = told.into_iter().map(|r| (r.account.to_string(), r.what)).collect();
        (told, next)
    };
    stage.run(|s| s.set_credentials(&jid(ROMEO), credentials(2))).expect("set");
    stage.run(|s| s.set_credentials(&jid(JULIET), credentials(2))).expect("set");
    stage.run(|s| s.set_credentials(&jid(ROMEO), credentials(3))).expect("set");
    let (told, since) = news(stage, since);
    assert_eq!(told, [(JULIET.into(), Revoked::Password), (ROMEO.into(), Revoked::Password)]);
    stage.delete(JULIET);
    let (told, _) = news(stage, since);
    assert_eq!(told, [(NURSE.into(), Revoked::Subscriptions), (JULIET.into(), Revoked::Account)]);
}

pub(crate) fn a_closed_store_refuses(stage: &mut Stage) {
    let store = stage.next();
    let queued = store.create(&jid(JULIET), credentials(0));
    block_on(store.close());
    assert_eq!(block_on(queued), Ok(()), "it was queued before");
    block_on(store.close()); // again
    let closed = Err(StoreError::Failed("closed".into()));
    assert_eq!(block_on(store.create(&jid(NURSE), credentials(0))), closed);
    assert_eq!(block_on(store.exists(&jid(JULIET))).map(|_| ()), closed);
    assert_eq!(block_on(store.roster(&jid(JULIET))).map(|_| ()), closed);
}
