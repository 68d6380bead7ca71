//! What modules declare of the server, and when they are called as accounts leave.

mod common;

use bytes::Bytes;
use common::{Clock, People, World};
use futures_util::FutureExt;
use router::{At, Declare, Extension, Identity, Module, Offer, Router, Settings};
use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

/// Declares two features in the wrong order, one twice, and offers what it saw.
struct Herald(&'static str);

impl Module for Herald {
    fn name(&self) -> &'static str {
        self.0
    }
    fn declare(self: Arc<Self>, declare: &mut Declare) {
        for feature in ["urn:b", "urn:a", "urn:b"] {
            declare.feature(At::Server, feature);
        }
        let name = Some("Verona".into());
        declare.identity(At::Server, Identity { category: "server", kind: "im", name });
        declare.extension(
            At::Own,
            Extension { form_type: "urn:form", fields: vec![("f", "F", vec![])] },
        );
        declare.stream_feature(Offer::BeforeAuth, |_, _| Bytes::from_static(b"<before/>"));
        for offer in [Offer::BeforeAuth, Offer::AfterAuth] {
            declare.stream_feature(offer, |info, domain| {
                format!("<has at='{domain}'>{}</has>", info.features.concat()).into()
            });
        }
    }
}

fn router(modules: &[Arc<dyn Module>]) -> Result<Arc<Router>, router::ClashError> {
    let domains = vec!["one.example".into(), "two.example".into()];
    Router::new(
        Settings::new(domains),
        modules,
        Arc::new(People::default()),
        Arc::new(Clock::default()),
    )
}

#[test]
fn xep0030_3_1_what_is_declared_is_told_sorted_and_once() {
    let router = router(&[Arc::new(Herald("herald"))]).unwrap();
    let server = router.info(At::Server);
    assert_eq!(server.features, ["urn:a", "urn:b"]);
    assert_eq!(server.identities[0].name.as_deref(), Some("Verona"));
    assert!(server.extensions.is_empty());
    let account = router.info(At::Own);
    assert_eq!(account.extensions[0].form_type, "urn:form");
    assert!(account.features.is_empty() && account.identities.is_empty());
}

#[test]
fn rfc6120_4_3_2_stream_features_are_made_for_each_domain() {
    let router = router(&[Arc::new(Herald("herald"))]).unwrap();
    let offered = |offer, domain| router.stream_features(offer, domain);
    let has = |domain: &str| format!("<has at='{domain}'>urn:aurn:b</has>");
    assert_eq!(offered(Offer::AfterAuth, "one.example"), has("one.example"));
    assert_eq!(offered(Offer::AfterAuth, "two.example"), has("two.example"));
    let before = format!("<before/>{}", has("one.example"));
    assert_eq!(offered(Offer::BeforeAuth, "one.example"), before);
    assert!(offered(Offer::AfterAuth, "three.example").is_empty());
}

#[test]
fn two_that_say_what_the_server_is_do_not_start() {
    let clash = router(&[Arc::new(Herald("first")), Arc::new(Herald("second"))]).unwrap_err();
    assert_eq!((clash.first, clash.second), ("first", "second"));
    assert!(clash.what.contains("server/im"), "{clash}");
}

/// Notes who leaves, when, and with what words.
#[derive(Default)]
struct Porter(Mutex<Vec<String>>);

impl Module for Porter {
    fn name(&self) -> &'static str {
        "porter"
    }
    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.departure(move |leaving| {
            let seconds = leaving.at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            let words = String::from_utf8(leaving.presence.inner().to_vec()).expect("UTF-8");
            let line = format!("{} {} {words}", leaving.account, seconds.as_secs());
            self.0.lock().expect("nobody panics").push(line);
            futures_util::future::ready(()).boxed()
        });
    }
}

impl Porter {
    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nobody panics"))
    }
}

#[test]
fn xep0012_3_modules_hear_when_the_last_available_session_leaves() {
    let porter = Arc::new(Porter::default());
    let modules: [Arc<dyn Module>; 1] = [porter.clone()];
    let world = World::new(&modules);
    let nothing = Vec::<String>::new();

    let balcony = world.online("juliet@localhost/balcony");
    let chamber = world.online("juliet@localhost/chamber");
    let silent = world.connect("juliet@localhost/silent");
    balcony.send("<presence type='unavailable'/>");
    assert_eq!(porter.noted(), nothing, "the chamber is still there");

    world.clock.advance(7);
    chamber.send("<presence type='unavailable'><status>To bed</status></presence>");
    assert_eq!(porter.noted(), ["juliet@localhost 7 <status>To bed</status>"]);
    chamber.send("<presence type='unavailable'/>");
    silent.disconnect();
    balcony.disconnect();
    assert_eq!(porter.noted(), nothing, "none of them was available");

    world.clock.advance(1);
    chamber.send("<presence/>");
    chamber.disconnect();
    assert_eq!(porter.noted(), ["juliet@localhost 8 "], "without a word");

    let abrupt = world.online("juliet@localhost/balcony");
    drop(abrupt);
    assert_eq!(porter.noted(), ["juliet@localhost 8 "], "a fault is an end, too");
}
