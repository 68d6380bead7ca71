//! Streams that go on in the next process (XEP-0198 5), whichever way their clients come.

mod common;

use common::{Daemon, Folder, NO_TLS, PATIENCE};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
/// What PLAIN says for each, with the password `secret`.
const ROMEO: &str = "AHJvbWVvAHNlY3JldA==";
const JULIET: &str = "AGp1bGlldABzZWNyZXQ=";
const BIND: &str = "<iq type='set' id='b' xmlns='jabber:client'>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

fn auth(words: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{words}</auth>")
}

fn resume(token: &str, h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>")
}

fn message(body: &str) -> String {
    format!("<message to='juliet@localhost/r' type='chat'><body>{body}</body></message>")
}

/// The SM-ID in what was heard.
fn token(heard: &str) -> String {
    let (_, enabled) = heard.split_once("<enabled ").expect("it is enabled");
    let (_, id) = enabled.split_once("id='").expect("and resumable");
    id.split_once('\'').expect("an attribute").0.to_owned()
}

/// A client's connection.
struct Tcp {
    socket: TcpStream,
    heard: String,
}

impl Tcp {
    /// Authenticates.
    fn login(to: SocketAddr, words: &str) -> Self {
        let socket = TcpStream::connect(to).expect("somebody listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let mut tcp = Self { socket, heard: String::new() };
        tcp.say(HEADER);
        tcp.hear("</stream:features>");
        tcp.say(&auth(words));
        tcp.hear("<success ");
        tcp.say(HEADER);
        tcp.hear("</stream:features>");
        tcp
    }

    fn say(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("written");
    }

    /// All up to this and with it.
    #[track_caller]
    fn hear(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(text) {
                let rest = self.heard.split_off(at + text.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            let mut part = [0; 4_096];
            let count = self.socket.read(&mut part).expect("something in time");
            assert!(count > 0, "it ended before {text}: {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&part[..count]).expect("UTF-8"));
        }
    }
}

/// A client that speaks HTTP: one connection for each request.
struct Bosh {
    to: SocketAddr,
    sid: String,
    rid: u64,
}

impl Bosh {
    /// Authenticates.
    fn login(to: SocketAddr, words: &str) -> Self {
        let mut bosh = Self { to, sid: String::new(), rid: 1_000 };
        let created = bosh.post(
            "to='localhost' ver='1.11' wait='1' hold='1' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'",
            "",
        );
        let (_, sid) = created.split_once("sid='").expect("a session");
        bosh.sid = sid.split_once('\'').expect("an attribute").0.to_owned();
        if !created.contains("<mechanisms ") {
            bosh.hear("", "<mechanisms ");
        }
        bosh.hear(&auth(words), "<success ");
        let restart = "xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'";
        assert!(bosh.post(restart, "").contains("urn:xmpp:sm:3"));
        bosh
    }

    /// Says this, and asks until it has heard that.
    #[track_caller]
    fn hear(&mut self, say: &str, text: &str) -> String {
        let mut heard = self.post("", say);
        for _ in 0..10 {
            if heard.contains(text) {
                return heard;
            }
            heard.push_str(&self.post("", ""));
        }
        panic!("no {text} in {heard}");
    }

    fn post(&mut self, attributes: &str, payload: &str) -> String {
        self.rid += 1;
        let sid = if self.sid.is_empty() { String::new() } else { format!("sid='{}'", self.sid) };
        let body = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='{}' {sid} {attributes}>{payload}</body>",
            self.rid
        );
        let mut socket = TcpStream::connect(self.to).expect("somebody listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let request = format!(
            "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer in time");
        answer
    }
}

fn start(folder: &Folder) -> Daemon {
    folder.serve(&NO_TLS)
}

/// One on whom the server pulls the plug, one whose connection was lost before, and one behind HTTP.
#[test]
fn l14_xep0198_5_streams_survive_a_restart_in_good_order() {
    let folder = Folder::new();
    let server = start(&folder);
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(&format!("{BIND}{ENABLE}"));
    let of_romeo = token(&romeo.hear("max='600'/>"));
    let mut juliet = Bosh::login(server.address("http"), JULIET);
    juliet.hear(BIND, "</iq>");
    let of_juliet = token(&juliet.hear(ENABLE, "<enabled "));
    romeo.say(&format!("{}<r xmlns='urn:xmpp:sm:3'/>", message("1")));
    romeo.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    juliet.hear("", "<body>1</body>"); // and never says that she has it
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    romeo.hear("<system-shutdown ");

    let server = start(&folder);
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(&resume(&of_romeo, 0));
    romeo.hear("<resumed ");
    romeo.say(&message("2"));
    // what began over HTTP goes on over TCP
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    juliet.say(&resume(&of_juliet, 0));
    let heard = juliet.hear("<body>2</body>");
    assert!(heard.contains("<resumed "), "{heard}");
    assert_eq!(heard.matches("<body>1</body>").count(), 1, "{heard}");
    juliet.say("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    juliet.say(&format!("<presence/>{}", message("me")));
    juliet.hear("<body>me</body>");

    // and over HTTP again, with nothing but what she does not have
    drop(juliet);
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    let server = start(&folder);
    let mut juliet = Bosh::login(server.address("http"), JULIET);
    let heard = juliet.hear(&resume(&of_juliet, 2), "<body>me</body>");
    assert!(heard.contains("<resumed ") && heard.contains(" h='2'"), "{heard}");
    assert!(!heard.contains("<body>2</body>"), "{heard}");
}

/// Acknowledged to its sender, sent to a client that is gone, and neither lost nor given twice.
#[test]
fn l02_l07_what_no_client_has_acknowledged_waits_for_the_next_one() {
    let folder = Folder::new();
    let server = folder.serve(&[NO_TLS[0], "--set=limits.sm_resume=1"]);
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(&format!("{BIND}{ENABLE}"));
    romeo.hear("<enabled ");
    let login = || {
        let mut juliet = Tcp::login(server.address("c2s"), JULIET);
        juliet.say(&format!("{BIND}{ENABLE}<presence/>"));
        let heard = juliet.hear("max='1'/>");
        (juliet, heard)
    };
    let (mut juliet, _) = login();
    romeo.say(&format!("{}{}", message("one"), message("two")));
    romeo.say("<r xmlns='urn:xmpp:sm:3'/>");
    romeo.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    juliet.hear("<body>two</body>");
    juliet.say("<a xmlns='urn:xmpp:sm:3' h='2'/>"); // her presence and the first
    juliet.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    juliet.hear("id='p'");
    drop(juliet);
    // she is away for a second more, and then gone for longer
    romeo.say("<iq type='get' id='p' to='juliet@localhost/r'><ping xmlns='urn:xmpp:ping'/></iq>");
    let heard = romeo.hear("</iq>");
    assert!(heard.contains("<service-unavailable "), "{heard}");
    assert!(!heard.contains("<message "), "nothing is bounced that is kept: {heard}");
    let (mut juliet, heard) = login();
    let heard = heard + &juliet.hear("</message>");
    assert!(
        heard.contains("<body>two</body><delay ") && !heard.contains("<body>one</body>"),
        "{heard}"
    );
    // not acknowledged: its connection breaks, and it comes again
    drop(juliet);
    let (mut again, _) = login();
    let heard = again.hear("<body>two</body>");
    assert_eq!(heard.matches("<message ").count(), 1, "{heard}");
    again.say("<a xmlns='urn:xmpp:sm:3' h='2'/></stream:stream>"); // her presence and that
    again.hear("</stream:stream>");
    let (mut juliet, heard) = login();
    juliet.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    let heard = heard + &juliet.hear("id='p'");
    assert!(!heard.contains("<message "), "{heard}");
}

/// The session over HTTP is forgotten, the client's stream is not: any way leads back to it.
#[test]
fn l09_l10_a_stream_outlives_its_session_over_http() {
    let folder = Folder::new();
    let mut server = folder.serve(&[NO_TLS[0], "--set=limits.bosh_inactivity=1"]);
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(BIND);
    romeo.hear("</iq>");
    let mut juliet = Bosh::login(server.address("http"), JULIET);
    juliet.hear(BIND, "</iq>");
    let id = token(&juliet.hear(ENABLE, "<enabled "));
    romeo.say(&message("1"));
    let lost = juliet.hear("", "<body>1</body>"); // an answer that never arrives
    assert!(lost.contains("urn:xmpp:sm:3"), "and asks whether it has: {lost}");
    // nobody asks for more, until nobody knows the session any more
    server.wait_for("parked");
    romeo.say(&message("2"));
    romeo.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    let heard = romeo.hear("id='p'");
    assert!(!heard.contains("<message "), "{heard}");
    let mut juliet = Bosh::login(server.address("http"), JULIET);
    let heard = juliet.hear(&resume(&id, 0), "<body>2</body>");
    assert!(heard.contains("<resumed ") && heard.contains("<body>1</body>"), "{heard}");
}

/// Sends its presence and makes its stream resumable: its SM-ID.
fn settle(tcp: &mut Tcp) -> String {
    tcp.say(&format!("{BIND}{ENABLE}"));
    let id = token(&tcp.hear("max='600'/>"));
    tcp.say("<presence/>");
    tcp.hear("<presence ");
    id
}

fn kill(server: Daemon) {
    let (status, _, log) = server.stop_by("KILL");
    assert!(!status.success(), "{log}");
}

/// Both streams go on, with what was sent on them and what was not, and no message is there twice.
#[test]
fn l05_n2_streams_survive_a_kill() {
    let folder = Folder::new();
    let server = start(&folder);
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    let of_romeo = settle(&mut romeo);
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    let of_juliet = settle(&mut juliet);
    romeo.say(&format!("{}{}<r xmlns='urn:xmpp:sm:3'/>", message("1"), message("2")));
    romeo.hear("<a xmlns='urn:xmpp:sm:3' h='3'/>"); // and his presence
    juliet.hear("<body>2</body>");
    juliet.say("<a xmlns='urn:xmpp:sm:3' h='2'/>"); // her presence and the first
    // what he does not ask about, and she has
    romeo.say(&message("3"));
    juliet.hear("<body>3</body>");
    kill(server);

    let server = start(&folder);
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(&resume(&of_romeo, 1));
    let heard = romeo.hear("/>");
    assert!(heard.contains("<resumed ") && heard.contains(" h='3'"), "{heard}");
    romeo.say(&format!("{}{}<r xmlns='urn:xmpp:sm:3'/>", message("3"), message("4")));
    romeo.hear("<a xmlns='urn:xmpp:sm:3' h='5'/>");
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    juliet.say(&resume(&of_juliet, 3));
    let heard = juliet.hear("<body>4</body>");
    assert!(heard.contains("<resumed "), "{heard}");
    for (body, times) in [("1", 0), ("2", 0), ("3", 1), ("4", 1)] {
        let count = heard.matches(&format!("<body>{body}</body>")).count();
        assert_eq!(count, times, "{body} in {heard}");
    }
    kill(server);

    // and once more, with nothing new
    let server = start(&folder);
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    juliet.say(&resume(&of_juliet, 5));
    juliet.hear("<resumed ");
    juliet.say("<a xmlns='urn:xmpp:sm:3' h='5'/>");
    juliet.say("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>");
    let heard = juliet.hear("<fin ");
    for body in ["1", "2", "3", "4"] {
        let count = heard.matches(&format!("<body>{body}</body>")).count();
        assert_eq!(count, 1, "{body} in {heard}");
    }
}

/// To a stream that waits; and what it has had is not for others.
#[test]
fn l07_what_comes_for_a_stream_that_waits_is_there_after_a_kill() {
    let folder = Folder::new();
    let mut server = start(&folder);
    folder.add("romeo@localhost", "secret");
    folder.add("juliet@localhost", "secret");
    let mut romeo = Tcp::login(server.address("c2s"), ROMEO);
    romeo.say(&format!("{BIND}{ENABLE}"));
    romeo.hear("<enabled ");
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    let id = settle(&mut juliet);
    romeo.say(&message("1"));
    juliet.hear("<body>1</body>");
    juliet.say("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    drop(juliet);
    server.wait_for("parked");
    romeo.say(&format!("{}<r xmlns='urn:xmpp:sm:3'/>", message("2")));
    romeo.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    kill(server);

    let server = start(&folder);
    let mut juliet = Tcp::login(server.address("c2s"), JULIET);
    juliet.say(&resume(&id, 2));
    let heard = juliet.hear("<body>2</body>");
    assert!(heard.contains("<resumed ") && !heard.contains("<body>1</body>"), "{heard}");
    juliet.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    let heard = juliet.hear("id='p'");
    assert!(!heard.contains("<message "), "{heard}");
}
