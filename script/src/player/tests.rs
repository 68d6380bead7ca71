//! Scripts played against a server of a hundred lines that routes by full JID.

use super::*;
use crate::{Channel, Lost};
use bytes::Bytes;
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

/// Every future here is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the fake server never waits"),
    }
}

/// What is on its way to each connection; `None` is the end of the stream.
type Queues = Arc<Mutex<Vec<(String, VecDeque<Option<Node>>)>>>;

#[derive(Default)]
struct Fake {
    queues: Queues,
}

struct FakeConnection {
    queues: Queues,
    own: usize,
    jid: String,
    authenticated: bool,
}

impl Stage for Fake {
    type Connection = FakeConnection;
    async fn connect(&mut self, character: &Character) -> Result<FakeConnection, Lost> {
        let mut queues = self.queues.lock().unwrap();
        let jid = character.jid.to_string();
        queues.push((String::new(), VecDeque::new()));
        let own = queues.len() - 1;
        Ok(FakeConnection { queues: Arc::clone(&self.queues), own, jid, authenticated: false })
    }
    fn nonce(&mut self) -> String {
        "nonce".to_owned()
    }
}

impl FakeConnection {
    fn push(&self, text: &str) {
        let node = nodes(text.as_bytes()).remove(0);
        self.queues.lock().unwrap()[self.own].1.push_back(Some(node));
    }
    fn answer(&mut self, mut node: Node) {
        match (node.name.as_str(), node.attr("to").map(str::to_owned)) {
            ("auth", _) => {
                self.authenticated = true;
                self.push("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            }
            ("iq", None) => {
                self.jid = format!("{}/r{}", self.jid, self.own);
                self.queues.lock().unwrap()[self.own].0 = self.jid.clone();
                self.push(&format!(
                    "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <jid>{}</jid></bind></iq>",
                    self.jid
                ));
            }
            ("iq", _) => {
                let id = node.attr("id").unwrap();
                self.push(&format!("<iq type='error' id='{id}'/>"));
            }
            ("presence", None) => {
                self.queues.lock().unwrap()[self.own].1.push_back(None);
            }
            (_, to) => {
                node.attributes.push((String::new(), "from".to_owned(), self.jid.clone()));
                let mut queues = self.queues.lock().unwrap();
                for (jid, queue) in queues.iter_mut() {
                    if Some(&*jid) == to.as_ref() {
                        queue.push_back(Some(node.clone()));
                    }
                }
            }
        }
    }
}

impl Connection for FakeConnection {
    fn channel(&self) -> Channel {
        Channel::Secure
    }
    async fn open(&mut self, _domain: &str) -> Result<(), Lost> {
        self.push(if self.authenticated {
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
        } else {
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             <mechanism>PLAIN</mechanism></mechanisms></stream:features>"
        });
        Ok(())
    }
    async fn send(&mut self, elements: Bytes) -> Result<(), Lost> {
        nodes(&elements).into_iter().for_each(|node| self.answer(node));
        Ok(())
    }
    async fn receive(&mut self) -> Result<Option<Node>, Lost> {
        self.queues.lock().unwrap()[self.own].1.pop_front().ok_or(Lost::Silence)
    }
    async fn start_tls(&mut self, _domain: &str) -> Result<(), Lost> {
        panic!("it is secure")
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.queues.lock().unwrap()[self.own].0.clear();
        Ok(())
    }
}

fn nodes(elements: &[u8]) -> Vec<Node> {
    let elements = wire::standalone(elements).unwrap();
    elements.iter().map(|element| Node::parse(element, "").unwrap()).collect()
}

const CAST: &str = "[Client] Romeo\n jid: romeo@localhost\n password: x\n\
    [Client] Juliet\n jid: juliet@localhost\n password: x\n---\n";

fn run(actions: &str) -> Result<(), Failure> {
    run_by(Rules::Strict, actions)
}

fn run_by(rules: Rules, actions: &str) -> Result<(), Failure> {
    let script = Script::parse(&format!("{CAST}{actions}")).unwrap();
    now(play(&script, &mut Fake::default(), rules))
}

#[track_caller]
fn failure(actions: &str) -> String {
    run(actions).expect_err("a failure").to_string()
}

const BOTH: &str = "Romeo connects\nJuliet connects\n";
const HELLO: &str =
    "Romeo sends: <message to=\"${Juliet's full JID}\" id='1'><body>Hi</body></message>\n";

#[test]
fn a_message_arrives() {
    let heard =
        "Juliet receives:\n <message from=\"${Romeo's full JID}\"><body>Hi</body></message>\n";
    let rest = "Juliet receives: nothing\nRomeo disconnects\nRomeo disconnects\n";
    assert_eq!(run(&format!("{BOTH}{HELLO}{heard}{rest}")), Ok(()));
}

#[test]
fn a_mismatch_shows_both_sides() {
    let expected = "Juliet receives: <message id='2'/>\n";
    assert_eq!(
        failure(&format!("{BOTH}{HELLO}{expected}")),
        "line 11: Juliet: message: attribute id: expected \"2\", received \"1\"\n    - <message id='2'>\n    \
         + <message to='juliet@localhost/r1' id='1' from='romeo@localhost/r0'>\n        <body>Hi</body>\n      </message>"
    );
}

#[test]
fn stanzas_come_in_order() {
    let second = HELLO.replace("'1'", "'2'");
    let wrong = "Juliet receives: <message id='2'/>\n";
    assert!(failure(&format!("{BOTH}{HELLO}{second}{wrong}")).contains("received \"1\""));
}

#[test]
fn several_in_one_block_come_in_any_order() {
    let sent = "Romeo sends:\n <message to=\"${Juliet's full JID}\" id='1'/>\n <message to=\"${Juliet's full JID}\" id='2'/>\n";
    let heard =
        "Juliet receives:\n <message id='2'/>\n <message id='1'/>\nJuliet receives: nothing\n";
    assert_eq!(run(&format!("{BOTH}{sent}{heard}")), Ok(()));
    let wrong = "Juliet receives:\n <message id='2'/>\n <message id='3'/>\n";
    assert!(failure(&format!("{BOTH}{sent}{wrong}")).contains("none of what was expected"));
}

#[test]
fn nothing_means_nothing() {
    let nothing = "Juliet receives: nothing\n";
    assert_eq!(run(&format!("{BOTH}{nothing}")), Ok(()));
    assert_eq!(
        failure(&format!("{BOTH}{HELLO}{nothing}")),
        "line 11: Juliet: expected nothing, received:\n    + <message to='juliet@localhost/r1' id='1' \
         from='romeo@localhost/r0'>\n    +   <body>Hi</body>\n    + </message>"
    );
}

#[test]
fn what_nobody_asked_for_fails_strictly_and_else_does_not() {
    for last in ["", "Juliet disconnects\n"] {
        let actions = format!("{BOTH}{HELLO}{last}");
        assert!(failure(&actions).contains(" received what nobody asked for:\n    + <message"));
        assert_eq!(run_by(Rules::Scansion, &actions), Ok(()));
    }
}

#[test]
fn scansion_passes_over_what_does_not_match() {
    let second = HELLO.replace("'1'", "'2'");
    let sent = format!("{BOTH}{HELLO}{second}");
    assert_eq!(
        run_by(Rules::Scansion, &format!("{sent}Juliet receives: <message id='2'/>\n")),
        Ok(())
    );
    let report = |wanted: &str| {
        run_by(Rules::Scansion, &format!("{sent}{wanted}")).expect_err("a failure").to_string()
    };
    let none = report("Juliet receives: <message id='2' type='chat'/>\n");
    let beside =
        "\n    - <message id='2' type='chat'>\n    + <message to='juliet@localhost/r1' id='";
    assert!(
        none.starts_with("line 12: Juliet: nothing came in time that is what was expected"),
        "{none}"
    );
    assert!(none.contains(beside), "{none}");
    // What was passed over may be expected later, and is not what `nothing` looks for.
    let (one, two) =
        ("Juliet receives: <message id='1'/>\n", "Juliet receives: <message id='2'/>\n");
    assert_eq!(
        run_by(Rules::Scansion, &format!("{sent}{two}Juliet receives: nothing\n{one}")),
        Ok(())
    );
    assert!(report(&format!("{one}Juliet receives: nothing\n")).contains("expected nothing"));
}

#[test]
fn silence_is_a_failure() {
    let waits = "Juliet receives: <presence/>\n";
    assert_eq!(
        failure(&format!("{BOTH}{waits}")),
        "line 10: Juliet: nothing came in time\n    - <presence/>"
    );
}

#[test]
fn the_end_of_the_stream_is_noticed() {
    let ended = "line 11: Romeo: the server has closed the stream\n    - <presence/>";
    let sends = "Romeo sends: <presence/>\n";
    assert_eq!(failure(&format!("{BOTH}{sends}Romeo receives: <presence/>\n")), ended);
    assert_eq!(run(&format!("{BOTH}{sends}Romeo disconnects\nRomeo connects\n")), Ok(()));
}

#[test]
fn actions_need_a_connection() {
    assert_eq!(failure("Romeo sends: <presence/>"), "line 8: Romeo: is not connected");
    assert_eq!(failure("Romeo receives: nothing"), "line 8: Romeo: is not connected");
    assert_eq!(failure("Romeo connects\nRomeo connects"), "line 9: Romeo: is connected already");
    assert_eq!(
        failure(&format!("Romeo connects\n{HELLO}")),
        "line 9: Romeo: Juliet was never connected: no full JID"
    );
}

#[test]
fn captured_values_can_be_sent() {
    let heard = "Juliet receives: <message id='{scansion:capture:id}'/>\n";
    let back = "Juliet sends: <message to=\"${Romeo's full JID}\" id='re-1' thread='{scansion:capture:id}'/>\n";
    let read = "Romeo receives: <message id='re-1' thread='1'/>\n";
    assert_eq!(run(&format!("{BOTH}{HELLO}{heard}{back}{read}")), Ok(()));
    assert_eq!(
        failure(&format!("{BOTH}{back}")),
        "line 10: Juliet: nothing was captured as \"id\""
    );
}
