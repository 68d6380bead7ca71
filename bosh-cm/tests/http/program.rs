//! The program `bosh-cm`, as its user meets it.

use crate::stage::{BODY, Browser, FEATURES, HEADER};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bosh-cm"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program; it does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
    }
}

/// A running program and the address that it says it listens on.
fn running(upstream: &str) -> (Running, String) {
    let arguments = ["--upstream", upstream, "--listen", "127.0.0.1:0"];
    let mut child = Running(program(&arguments).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("listening http ").expect("where it listens").to_owned();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    (child, address)
}

#[tokio::test]
async fn it_stands_before_any_server_and_stops_when_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut child, address) = running(&server.local_addr().unwrap().to_string());
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
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(browser.answer().await.is_terminal("system-shutdown"));
    let mut rest = String::new();
    upstream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "</stream:stream>");
    drop(upstream);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn without_a_server_sessions_fail_and_the_program_does_not() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for upstream in [free.to_string(), "192.0.2.1:5222".into(), "nowhere.invalid:5222".into()] {
        let (_child, address) = running(&upstream);
        let mut browser = Browser::new(TcpStream::connect(address).await.unwrap());
        let answer =
            browser.post(&format!("<body {BODY} rid='1' to='x.example' ver='1.6'/>")).await;
        assert!(answer.is_terminal("remote-connection-failed"), "{upstream}: {answer:?}");
    }
}

#[tokio::test]
async fn a_mistake_ends_in_one_clear_line_and_status_2() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, word) in [
        (vec!["--listen", &address], "the port is in use"),
        (vec!["--path", "bind"], "has to begin with /"),
        (vec!["--listen", "nonsense"], "--listen"),
        (vec!["--trusted", "nonsense"], "--trusted"),
        (vec!["--domain", "a@b"], "--domain"),
    ] {
        let output =
            program(&[&["--upstream", "127.0.0.1:5222"], &*arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(word), "{text}");
        assert!(output.stdout.is_empty());
    }
}
