//! The program `bosh-cm`, as its user meets it.

use crate::stage::{Answer, BODY, Browser, FEATURES, HEADER};
use net::tls::{Mode, Tls};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const NO_TLS: &str = "upstream.tls=none";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bosh-cm"));
    command.args(arguments).env_remove("RUST_LOG");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program; it does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.0.id().to_string());
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
    }

    /// What it ends with.
    pub(crate) async fn status(mut self) -> Option<i32> {
        let wait = tokio::task::spawn_blocking(move || self.0.wait().unwrap().code());
        wait.await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
    }
}

/// A program that runs with these settings, and the address that it says it listens on.
pub(crate) fn running(sets: &[&str]) -> (Running, String) {
    let (child, listening) = listening(sets);
    (child, listening["http"].clone())
}

/// A program that runs with these settings, and the address of each kind that it says it listens on.
pub(crate) fn listening(sets: &[&str]) -> (Running, HashMap<String, String>) {
    let sets = ["http.listen=['127.0.0.1:0']"].iter().chain(sets);
    let arguments: Vec<_> = sets.flat_map(|set| ["--set", set]).collect();
    let mut child = Running(program(&arguments).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines = lines.take_while(|line| line != "ready").map(|line| {
        let (kind, address) = line.strip_prefix("listening ").unwrap().split_once(' ').unwrap();
        (kind.to_owned(), address.to_owned())
    });
    let addresses = lines.collect();
    (child, addresses)
}

/// The first answer of a session with this domain.
async fn opened(address: &str, domain: &str) -> Answer {
    let mut browser = Browser::new(TcpStream::connect(address).await.unwrap());
    browser.post(&format!("<body {BODY} rid='1' to='{domain}' ver='1.6'/>")).await
}

#[tokio::test]
async fn it_stands_before_any_server_and_stops_when_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    let (child, address) = running(&[&upstream, NO_TLS]);
    let mut browser = Browser::new(TcpStream::connect(address).await.unwrap());
    browser.send(&format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>")).await;

    let (mut upstream, _) = server.accept().await.unwrap();
    let mut header = [0; 1024];
    let read = upstream.read(&mut header).await.unwrap();
    assert!(std::str::from_utf8(&header[..read]).unwrap().contains("to='example.com'"));
    upstream.write_all(format!("{HEADER}{FEATURES}").as_bytes()).await.unwrap();
    let answer = browser.answer().await;
    assert!(answer.body.contains(FEATURES), "{answer:?}");

    let sid = crate::stage::attribute(&answer.body, "sid");
    browser.send(&format!("<body {BODY} rid='2' sid='{sid}'><a xmlns='x'/></body>")).await;
    let read = upstream.read(&mut header).await.unwrap();
    assert_eq!(&header[..read], b"<a xmlns='x'/>");
    child.terminate();
    assert!(browser.answer().await.is_terminal("system-shutdown"));
    let mut rest = String::new();
    upstream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "</stream:stream>");
    drop(upstream);
    assert_eq!(child.status().await, Some(0));
}

#[tokio::test]
async fn without_a_server_sessions_fail_and_the_program_does_not() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for upstream in [free.to_string(), "nowhere.invalid:5222".into()] {
        let (_child, address) = running(&[&format!("upstream.server={upstream}"), NO_TLS]);
        let answer = opened(&address, "x.example").await;
        assert!(answer.is_terminal("remote-connection-failed"), "{upstream}: {answer:?}");
    }
}

/// Asks for a session with this route.
async fn routed(address: &str, route: &str) -> Browser {
    let mut browser = Browser::new(TcpStream::connect(address).await.unwrap());
    let route = format!("to='example.com' route='{route}'");
    browser.send(&format!("<body {BODY} rid='1' ver='1.6' {route}/>")).await;
    browser
}

#[tokio::test]
async fn b07_a_route_leads_where_the_operator_lets_it_and_nowhere_else() {
    let [usual, other, inner] =
        [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |listener: &std::net::TcpListener| listener.local_addr().unwrap().to_string();
    let (there, elsewhere) = (at(&other), at(&inner));
    for listener in [&usual, &other, &inner] {
        listener.set_nonblocking(true).unwrap();
    }
    let upstream = format!("upstream.server={}", at(&usual));
    let routes = format!("upstream.routes=['{there}']");
    let (_child, address) = running(&[&upstream, NO_TLS, &routes]);

    let mut browser = routed(&address, &format!("xmpp:{there}")).await;
    let other = TcpListener::from_std(other).unwrap();
    let (server, _) = other.accept().await.unwrap();
    let said = tokio::spawn(says(server, FEATURES));
    assert!(browser.answer().await.body.contains(FEATURES));
    drop(browser);
    for route in [
        &*format!("xmpp:{elsewhere}"),
        &there,
        &format!("http:{there}"),
        &format!("xmpp://{there}"),
        &format!("xmpp:{there}/"),
        &format!("xmpp:{elsewhere}#@{there}"),
        "xmpp:198.51.100.9:25",
        "xmpp:",
    ] {
        let answer = routed(&address, route).await.answer().await;
        assert!(answer.is_terminal("host-unknown"), "{route}: {answer:?}");
    }
    for listener in [&usual, &inner] {
        let visited = listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(visited, Err(std::io::ErrorKind::WouldBlock));
    }
    said.abort();
}

#[tokio::test]
async fn b07_where_no_route_is_allowed_none_is_heard() {
    let [usual, inner] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let upstream = format!("upstream.server={}", usual.local_addr().unwrap());
    let route = format!("xmpp:{}", inner.local_addr().unwrap());
    for listener in [&usual, &inner] {
        listener.set_nonblocking(true).unwrap();
    }
    let (_child, address) = running(&[&upstream, NO_TLS]);
    let mut browser = routed(&address, &route).await;
    let (server, _) = TcpListener::from_std(usual).unwrap().accept().await.unwrap();
    let said = tokio::spawn(says(server, FEATURES));
    assert!(browser.answer().await.body.contains(FEATURES));
    let visited = inner.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(visited, Err(std::io::ErrorKind::WouldBlock));
    said.abort();
}

/// A server at the end of one connection: says its header and these features, and gives what came.
async fn says(mut stream: TcpStream, features: &str) -> String {
    stream.write_all(format!("{HEADER}{features}").as_bytes()).await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    got
}

#[tokio::test]
async fn t02_without_starttls_there_is_no_session() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    let (_child, address) = running(&[&upstream]);
    let (answer, got) = tokio::join!(opened(&address, "example.com"), async {
        says(server.accept().await.unwrap().0, FEATURES).await
    });
    assert!(answer.is_terminal("remote-connection-failed"), "{answer:?}");
    assert!(got.contains("<stream:stream") && got.ends_with('>'), "{got}");
    assert_eq!(got.matches('<').count(), 2, "nothing but a declaration and a header: {got}");
}

#[tokio::test]
async fn b07_nothing_is_connected_to_for_domains_that_are_not_served() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("domain.a.example.server={}", server.local_addr().unwrap());
    let (_child, address) = running(&[&upstream, "domain.a.example.tls=none"]);
    let mut browser = Browser::new(TcpStream::connect(&address).await.unwrap());
    let route = format!("route='xmpp:{}'", server.local_addr().unwrap());
    for domain in ["b.example", "localhost", "127.0.0.1", "sub.a.example"] {
        let body = format!("<body {BODY} rid='1' to='{domain}' ver='1.6' {route}/>");
        assert!(browser.post(&body).await.is_terminal("host-unknown"), "{domain}");
    }
    let (session, connection) = tokio::join!(
        async {
            // The way that is configured is taken, not the one that is asked for.
            let elsewhere = "route='xmpp:192.0.2.1:25'";
            let body = format!("<body {BODY} rid='1' to='a.example' ver='1.6' {elsewhere}/>");
            browser.post(&body).await
        },
        async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(format!("{HEADER}{FEATURES}").as_bytes()).await.unwrap();
            stream
        }
    );
    assert!(session.body.contains("PLAIN"), "{session:?}");
    drop(connection);
}

#[tokio::test]
async fn b08_a_server_that_wants_to_know_is_told_the_visitor_s_address_first() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    let (_child, address) = running(&[&upstream, NO_TLS, "upstream.proxy_protocol=true"]);
    let mut browser = Browser::new(TcpStream::connect(&address).await.unwrap());
    let body = format!("<body {BODY} rid='1' to='example.com' ver='1.6'/>");
    browser.send_with("Forwarded: for=203.0.113.9;proto=https\r\n", &body).await;
    let (mut stream, _) = server.accept().await.unwrap();
    assert_eq!(net::proxy::read(&mut stream).await.unwrap(), Some([203, 0, 113, 9].into()));
    let mut next = [0; 5];
    stream.read_exact(&mut next).await.unwrap();
    assert_eq!(&next, b"<?xml");
}

#[tokio::test]
async fn t07_only_the_domain_s_certificate_from_a_trusted_authority_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Arc::new(Tls::self_signed(folder.path(), &["example.com", "ünï.example"]).unwrap());
    let ca = format!("upstream.ca={}", folder.path().join("self-signed.crt").display());
    for (sets, domain, good) in [
        (&[&*ca, "upstream.tls=direct"][..], "example.com", true),
        (&[&*ca, "upstream.tls=starttls"], "example.com", true),
        (&[&*ca, "upstream.tls=direct"], "ünï.example", true),
        (&[&*ca, "upstream.tls=direct"], "other.example", false),
        (&[&*ca, "upstream.tls=starttls"], "other.example", false),
        (&["upstream.tls=direct"], "example.com", false),
        (&["upstream.tls=starttls"], "example.com", false),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("upstream.server={}", server.local_addr().unwrap());
        let (_child, address) = running(&[&[&*upstream][..], sets].concat());
        let protected = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut mode = Mode::Direct;
            if sets.contains(&"upstream.tls=starttls") {
                mode = Mode::StartTls;
                ask_for_tls(&mut stream, domain).await;
            }
            let mut stream = tls.accept(stream, mode, PATIENCE).await.ok()?;
            stream.write_all(format!("{HEADER}{FEATURES}").as_bytes()).await.ok()?;
            Some(stream)
        };
        let (answer, protected) = tokio::join!(opened(&address, domain), protected);
        assert_eq!(protected.is_some(), good, "{sets:?} {domain}");
        assert_eq!(answer.body.contains("PLAIN"), good, "{sets:?} {domain}: {answer:?}");
        assert_eq!(answer.is_terminal("remote-connection-failed"), !good, "{answer:?}");
    }
}

/// The server's side of STARTTLS.
async fn ask_for_tls(stream: &mut TcpStream, domain: &str) {
    let mut got = [0; 1024];
    let read = stream.read(&mut got).await.unwrap();
    assert!(std::str::from_utf8(&got[..read]).unwrap().contains(&format!("to='{domain}'")));
    let offer =
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    stream.write_all(format!("{HEADER}{offer}").as_bytes()).await.unwrap();
    let read = stream.read(&mut got).await.unwrap();
    assert_eq!(&got[..read], b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    stream.write_all(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await.unwrap();
}

#[tokio::test]
async fn t01_what_comes_between_starttls_and_tls_ends_the_connection() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("upstream.server={}", server.local_addr().unwrap());
    let (_child, address) = running(&[&upstream]);
    let injected = async {
        let (mut stream, _) = server.accept().await.unwrap();
        let offer = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        let proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        let all = format!("{HEADER}{offer}{proceed}<stream:features/>");
        stream.write_all(all.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        let _reset = stream.read_to_end(&mut got).await;
        assert!(!got.contains(&0x16), "no handshake begins");
    };
    let (answer, ()) = tokio::join!(opened(&address, "example.com"), injected);
    assert!(answer.is_terminal("remote-connection-failed"), "{answer:?}");
}

#[tokio::test]
async fn a_mistake_ends_in_one_clear_line_and_status_2() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = format!("http.listen=['{}']", taken.local_addr().unwrap());
    for (arguments, words) in [
        (&[][..], "upstream.server: "),
        (&["--frobnicate"], "--frobnicate"),
        (&["--config", "none.toml"], "none.toml"),
        (&["--set", "domains=['a@b']"], "domains: "),
        (&["--set", "domains=['a.example']", "--set", &listen], "http.listen: "),
        (&["--set", "domains=['a.example']", "--set", "upstream.ca=none.pem"], "upstream.ca: "),
        (&["check", "--set", "colour=red"], "unknown key `colour`"),
    ] {
        let output = program(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with("bosh-cm: ") && text.contains(words), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(output.stdout.is_empty());
    }
    let filtered = program(&["--set", "domains=['a.example']"]).env("RUST_LOG", "a=b=c").output();
    let filtered = filtered.unwrap();
    assert_eq!(filtered.status.code(), Some(2));
    assert!(String::from_utf8(filtered.stderr).unwrap().starts_with("bosh-cm: RUST_LOG: "));
}

#[test]
fn its_example_is_a_configuration_once_it_says_where_the_server_is() {
    let example = program(&["example-config"]).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bosh-cm.toml");
    std::fs::write(&file, &example.stdout).unwrap();
    let file = file.to_str().unwrap();
    let set = ["--set", "upstream.server=localhost:5222"];
    let checked = program(&[&["check", "--config", file][..], &set].concat()).output().unwrap();
    let text = String::from_utf8(checked.stderr).unwrap();
    assert_eq!((checked.status.code(), &*text), (Some(0), "the configuration is good\n"));
}
