//! In-band registration before authentication (XEP-0077).

use super::*;
use crate::Registration;

const GET: &str = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>";
const FORM: &str = "<iq type='result' id='r1'><query xmlns='jabber:iq:register'>\
    <instructions>Choose a user name and a password.</instructions><username/><password/></query></iq>";
const FEATURE: &str = "<register xmlns='http://jabber.org/features/iq-register'/>";

fn open_house() -> Settings {
    let mut settings = Settings::new("capulet.lit");
    settings.registration =
        Some(Registration { timeout: 300 * SECOND, per_hour: 10, reserved: Vec::new() });
    settings
}

fn talk() -> Talk {
    Talk::new(open_house(), true, false).opened()
}

fn set(fields: &str) -> String {
    format!("<iq type='set' id='r2'><query xmlns='jabber:iq:register'>{fields}</query></iq>")
}

fn fields(username: &str, password: &str) -> String {
    set(&format!("<username>{username}</username><password>{password}</password>"))
}

impl Talk {
    /// The driver is asked for this account.
    #[track_caller]
    fn registers(&mut self) -> (String, String) {
        match self.effect() {
            Effect::Register(account, password) => (account.to_string(), password),
            _ => panic!("another effect"),
        }
    }

    /// The request is refused, and nothing of it repeated.
    #[track_caller]
    fn refuses(&mut self, kind: &str, condition: &str) {
        assert!(self.poll().is_none(), "an effect, after {}", self.said());
        let said = self.said();
        let error = format!(
            "<iq type='error' id='r2'><error type='{kind}'><{condition} xmlns='{}'/>",
            ns::STANZA_ERRORS
        );
        assert!(said.starts_with(&error), "{said}");
        assert!(said.ends_with("</error></iq>") && !said.contains("query"), "{said}");
    }
}

#[test]
fn xep0077_3_1_1_a_stranger_registers_and_logs_in() {
    in_any_pieces(|| {
        let mut talk = talk();
        talk.hear(GET);
        talk.says(FORM);
        talk.hear(&fields("Juliet", "r0m30myr0m30"));
        // threat A13: the account that a login with this name will look for
        assert_eq!(talk.registers(), (JULIET.into(), "r0m30myr0m30".into()));
        talk.event(Event::Registered(Ok(())));
        talk.says("<iq type='result' id='r2'/>");
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(Ask::Begin { .. })));
    });
}

#[test]
fn xep0077_8_the_feature_is_there_where_it_can_be_used() {
    for (settings, secure, offered) in [
        (open_house(), true, true),
        (open_house(), false, false),
        (Settings { require_tls: false, ..open_house() }, false, false),
        (Settings::new("capulet.lit"), true, false),
    ] {
        let mut talk = Talk::new(settings, secure, false);
        talk.hear(&header("capulet.lit"));
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert_eq!(said.contains(FEATURE), offered, "{said}");
    }
    let mut talk = Talk::new(open_house(), true, false).authenticated_as_of_now();
    assert!(!talk.said().contains(FEATURE), "nobody is a stranger any more");
}

impl Talk {
    /// Authenticated, and the features that follow are not read yet.
    fn authenticated_as_of_now(self) -> Self {
        let mut talk = self.opened();
        talk.hear(&auth("PLAIN", PLAIN));
        assert!(matches!(talk.effect(), Effect::Authenticate(_)));
        talk.answer("juliet", b"");
        talk.hear(&header("capulet.lit"));
        assert!(talk.poll().is_none());
        talk
    }
}

#[test]
fn xep0077_11_nothing_is_said_of_it_in_the_clear() {
    in_any_pieces(|| {
        for request in [GET.to_owned(), fields("juliet", "secret")] {
            for require_tls in [true, false] {
                let settings = Settings { require_tls, ..open_house() };
                let mut talk = Talk::new(settings, false, false).opened();
                talk.hear(&request);
                talk.fails("not-authorized");
            }
        }
    });
}

#[test]
fn r01_where_it_is_off_it_is_no_service() {
    for request in [GET.replace("r1", "r2"), fields("juliet", "secret"), set("<remove/>")] {
        let mut talk = Talk::secure().opened();
        talk.hear(&request);
        talk.refuses("cancel", "service-unavailable");
    }
}

#[test]
fn xep0077_3_1_what_is_not_filled_in_is_not_acceptable() {
    in_any_pieces(|| {
        for request in [
            set(""),
            set("<username>juliet</username>"),
            set("<password>secret</password>"),
            fields("juliet", ""),
            set("<username>juliet</username><password/>"),
            fields("", "secret"),
            // fields of another namespace are none
            set("<username xmlns='urn:x'>juliet</username><password>secret</password>"),
            // a form that was not offered
            set("<x xmlns='jabber:x:data' type='submit'/>"),
        ] {
            let mut talk = talk();
            talk.hear(&request);
            talk.refuses("modify", "not-acceptable");
            talk.hear(&fields("juliet", "secret"));
            talk.registers();
        }
    });
}

#[test]
fn a13_what_is_no_name_is_not_acceptable_and_lookalikes_are_one() {
    for name in [
        "juliet@capulet.lit",
        "juliet/balcony",
        "juliet capulet",
        " juliet",
        "a&amp;b",
        "a'b",
        "a&quot;b",
        "a:b",
        "a&lt;b",
        "jul\u{ad}iet",
        "jul\u{200b}iet",
        "\u{1F339}",
        &"j".repeat(1_024),
    ] {
        let mut talk = talk();
        talk.hear(&fields(name, "secret"));
        talk.refuses("modify", "not-acceptable");
    }
    for name in ["JULIET", "\u{ff2a}uliet", "juliet", "&#106;uliet"] {
        let mut talk = talk();
        talk.hear(&fields(name, "secret"));
        assert_eq!(talk.registers().0, JULIET);
    }
}

#[test]
fn xep0077_3_1_each_refusal_has_its_condition_and_may_be_tried_again() {
    let mut talk = talk();
    for (error, kind, condition) in [
        (RegisterError::Taken, "cancel", "conflict"),
        (RegisterError::BadPassword, "modify", "not-acceptable"),
        (RegisterError::TooMany, "wait", "resource-constraint"),
        (RegisterError::Failed, "wait", "internal-server-error"),
    ] {
        talk.hear(&fields("juliet", "canary"));
        talk.registers();
        talk.event(Event::Registered(Err(error)));
        talk.refuses(kind, condition);
    }
}

#[test]
fn xep0077_3_1_1_one_account_to_a_stream() {
    let mut talk = talk();
    talk.hear(&fields("juliet", "secret"));
    talk.registers();
    talk.event(Event::Registered(Ok(())));
    talk.says("<iq type='result' id='r2'/>");
    talk.hear(&fields("romeo", "secret"));
    talk.refuses("modify", "not-acceptable");
}

#[test]
fn xep0077_3_2_nobody_in_particular_cannot_be_removed() {
    let mut talk = talk();
    talk.hear(&set("<remove/>"));
    talk.refuses("wait", "unexpected-request");
}

#[test]
fn requests_to_others_and_malformed_ones_are_refused() {
    let mut talk = talk();
    for (to, answered) in
        [("capulet.lit", true), ("montague.lit", false), ("juliet@capulet.lit", false)]
    {
        talk.hear(&GET.replace("<iq", &format!("<iq to='{to}'")));
        assert!(talk.poll().is_none());
        let said = talk.said();
        assert_eq!(said.contains("<username/>"), answered, "{to}: {said}");
        assert!(answered || said.contains("<service-unavailable "), "{to}: {said}");
    }
    talk.hear(&GET.replace("<query", "<other xmlns='urn:x'/><query"));
    assert!(talk.poll().is_none());
    assert!(talk.said().contains("<bad-request "));
    for kind in ["result", "error"] {
        let mut talk = register::talk();
        talk.hear(&GET.replace("'get'", &format!("'{kind}'")));
        talk.fails("not-authorized");
    }
}

#[test]
fn p01_the_sender_that_a_stranger_names_is_not_repeated() {
    let mut talk = talk();
    talk.hear(&GET.replace("<iq", "<iq from='romeo@montague.lit'"));
    talk.says(FORM);
}

#[test]
fn x17_who_was_sent_the_form_has_so_much_time_and_no_more() {
    let mut talk = talk();
    talk.hear(GET);
    talk.says(FORM);
    talk.wait(299 * SECOND);
    talk.hear(GET); // another form is no more time
    talk.says(FORM);
    talk.wait(SECOND);
    talk.fails("policy-violation");

    let mut talk = register::talk();
    talk.hear(&fields("juliet", ""));
    talk.refuses("modify", "not-acceptable");
    talk.wait(30 * SECOND);
    talk.fails("policy-violation");
}

#[test]
fn nothing_is_read_while_an_account_is_made() {
    let mut talk = talk();
    talk.hear(&(fields("juliet", "secret") + &auth("PLAIN", PLAIN)));
    talk.registers();
    assert!(!talk.session.wants_input());
    talk.says("");
    talk.event(Event::Registered(Ok(())));
    assert!(matches!(talk.effect(), Effect::Authenticate(_)));
    assert_eq!(talk.said(), "<iq type='result' id='r2'/>");
}
