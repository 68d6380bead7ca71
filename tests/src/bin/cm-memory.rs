//! What a session costs the connection manager in memory.
//!
//!     cargo build --release -p bosh-cm && cargo run -p tests --bin cm-memory
//!
//! Starts `bosh-cm` in front of a server that says the least it can, logs in so many clients over BOSH that ask for nothing
//! more, so many whose request is held, and so many over WebSocket, and reads how much of the process is resident before and
//! after each. What the kernel keeps for its sockets is not in it. `ulimit -n` has to allow six descriptors for each of
//! `--sessions`.

use anyhow::{Context, ensure};
use clap::Parser;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sessions that are opened at a time.
const AT_ONCE: usize = 50;
/// Sessions that are opened and closed before anything is measured: what every process has once.
const WARM: usize = 100;

const BODY: &str = "xmlns='http://jabber.org/protocol/httpbind'";
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' version='1.0'>";
const FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

/// Measures what a session costs `bosh-cm` in memory.
#[derive(Parser)]
struct Arguments {
    /// Sessions of each kind
    #[arg(long, default_value_t = 2_000)]
    sessions: usize,
    /// The program [default: target/release/bosh-cm]
    #[arg(long)]
    program: Option<PathBuf>,
    /// Fail where a session costs more bytes than this
    #[arg(long)]
    most: Option<u64>,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the table is what this program is for")]
async fn main() -> anyhow::Result<()> {
    let Arguments { sessions, program, most } = Arguments::parse();
    let program = program.unwrap_or_else(|| PathBuf::from("target/release/bosh-cm"));
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let (manager, address) = Manager::start(&program, server.local_addr()?)?;
    tokio::spawn(serve(server));

    let warm = (open(WARM, || bosh(address)).await?, open(WARM, || websocket(address)).await?);
    drop(warm);
    let idle = manager.resident()?;
    println!("{:<20} {:>10} {:>12} {:>14}", "", "sessions", "resident", "a session");
    println!("{:<20} {:>10} {:>8} KiB", "none", 0, idle / 1024);
    let mut before = idle;
    let mut kept = Vec::new();
    for over in ["BOSH", "BOSH, request held", "WebSocket"] {
        match over {
            "BOSH" => {
                // Each connection is closed at once, the sessions stay.
                let quiet = || async move { logged_in(address).await.map(drop) };
                open(sessions, quiet).await?;
            }
            "WebSocket" => kept.extend(open(sessions, || websocket(address)).await?),
            _ => kept.extend(open(sessions, || bosh(address)).await?),
        }
        let after = manager.resident()?;
        let each = after.saturating_sub(before) / u64::try_from(sessions)?;
        println!("{over:<20} {sessions:>10} {:>8} KiB {each:>8} bytes", after / 1024);
        ensure!(most.is_none_or(|most| each <= most), "a session over {over} costs {each} bytes");
        before = after;
    }
    drop(kept);
    Ok(())
}

/// The program, ended on drop.
struct Manager(Child);

impl Manager {
    /// Starts it in front of this server; gives where it listens.
    fn start(program: &PathBuf, server: SocketAddr) -> anyhow::Result<(Self, SocketAddr)> {
        let mut command = Command::new(program);
        command.arg("--set").arg(format!("upstream.server={server}"));
        // Nothing happens while it is measured.
        for set in [
            "upstream.tls=none",
            "http.listen=['127.0.0.1:0']",
            "http.websocket=/ws",
            "limits.wait=3600",
            "limits.inactivity=3600",
            "limits.sessions=1000000",
            "limits.connections=1000000",
        ] {
            command.args(["--set", set]);
        }
        command.env("RUST_LOG", "warn").stdout(Stdio::piped());
        let child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut manager = Self(child);
        let out = manager.0.stdout.take().expect("piped");
        let lines: Vec<_> = BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| line != "ready")
            .collect();
        let address = lines.iter().find_map(|line| line.strip_prefix("listening http "));
        Ok((manager, address.context("it does not listen")?.parse()?))
    }

    /// Bytes of it in memory.
    fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // Nothing to be done where it has ended already.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Says what every client needs to log in, to all who connect.
async fn serve(server: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = server.accept().await?;
        tokio::spawn(async move {
            let mut got = [0; 1024];
            loop {
                let said = match stream.read(&mut got).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => String::from_utf8_lossy(&got[..read]).into_owned(),
                };
                let answer = match &said {
                    said if said.contains("<auth") => SUCCESS.to_owned(),
                    said if said.contains("<stream:stream") => format!("{HEADER}{FEATURES}"),
                    _ => continue,
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Opens so many sessions, some at once.
async fn open<F, S>(sessions: usize, session: impl Fn() -> F) -> anyhow::Result<Vec<S>>
where
    F: Future<Output = anyhow::Result<S>> + Send + 'static,
    S: Send + 'static,
{
    let mut streams = Vec::with_capacity(sessions);
    while streams.len() < sessions {
        let some = AT_ONCE.min(sessions - streams.len());
        let opening: Vec<_> = (0..some).map(|_| tokio::spawn(session())).collect();
        for one in opening {
            streams.push(timeout(PATIENCE, one).await.context("too slow")???);
        }
    }
    Ok(streams)
}

/// A session over BOSH whose request is held.
async fn bosh(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let (mut stream, sid) = logged_in(address).await?;
    send(&mut stream, &format!("{sid} rid='4'"), "").await?;
    Ok(stream)
}

/// A session over BOSH that has logged in: its connection, and its identifier as an attribute.
async fn logged_in(address: SocketAddr) -> anyhow::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let first = "rid='1' to='localhost' ver='1.6' hold='1' wait='3600' \
        xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'";
    let answer = post(&mut stream, first, "").await?;
    let sid = answer.split(" sid='").nth(1).and_then(|rest| rest.split('\'').next());
    let sid = format!("sid='{}'", sid.context("no sid")?);
    ensure!(post(&mut stream, &format!("{sid} rid='2'"), AUTH).await?.contains("<success"));
    let restart = format!("{sid} rid='3' xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true'");
    ensure!(post(&mut stream, &restart, "").await?.contains("features"));
    Ok((stream, sid))
}

async fn post(stream: &mut TcpStream, attributes: &str, inner: &str) -> anyhow::Result<String> {
    send(stream, attributes, inner).await?;
    until(stream, "</body>").await
}

async fn send(stream: &mut TcpStream, attributes: &str, inner: &str) -> anyhow::Result<()> {
    let body = format!("<body {BODY} {attributes}>{inner}</body>");
    let length = body.len();
    let head = format!("POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}");
    Ok(stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?)
}

/// A session over WebSocket that has logged in.
async fn websocket(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: xmpp\r\n\r\n";
    stream.write_all(handshake.as_bytes()).await?;
    until(&mut stream, "\r\n\r\n").await?;
    for (message, answer) in [(OPEN, "features>"), (AUTH, "<success"), (OPEN, "features>")] {
        stream.write_all(&masked(message)).await?;
        until(&mut stream, answer).await?;
    }
    Ok(stream)
}

/// One text message, masked with zeros (RFC 6455 5.2).
fn masked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
    let length = length.expect("the messages here are short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Reads to this text.
async fn until(stream: &mut TcpStream, end: &str) -> anyhow::Result<String> {
    let mut got = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut got).await? > 0, "closed: {}", String::from_utf8_lossy(&got));
        let text = String::from_utf8_lossy(&got);
        if text.contains(end) {
            return Ok(text.into_owned());
        }
    }
}
