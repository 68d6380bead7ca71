//! The hostile client on a byte stream: in memory, where every cut is exact, and over TCP.

use crate::{
    case::{Case, Input, MALLORY, Met, PASSWORD, Seen, Stage},
    sliced::{self, Cuts},
    target::{PATIENCE, Target},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use net::tls::client;
use script::{Incoming, Reader, header};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use xmpp_core::{ns, xml::Node};

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Its domain.
pub const DOMAIN: &str = "capulet.lit";
/// The client's part of the nonce.
pub const NONCE: &str = "fyko";

/// A hostile client. It behaves until it attacks.
pub struct Attacker {
    pub io: Box<dyn Duplex>,
    reader: Reader,
    /// In memory: where what the server reads is cut.
    cuts: Option<Cuts>,
    /// Whether nobody else can read it.
    secure: bool,
    pub met: Met,
}

impl Attacker {
    /// In the server's own process: `secure` as it counts there.
    pub fn in_memory(target: &Target, secure: bool) -> Self {
        let (near, far, cuts) = sliced::duplex();
        target.server.attach(far, secure);
        Self::new(Box::new(near), Some(cuts), secure)
    }

    /// Over TCP, in the clear at first.
    pub async fn over_tcp(target: &Target) -> Self {
        let stream = TcpStream::connect(target.address("c2s")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(Box::new(stream))
    }

    /// On a connection that is there, in the clear.
    pub fn on(io: Box<dyn Duplex>) -> Self {
        Self::new(io, None, false)
    }

    fn new(io: Box<dyn Duplex>, cuts: Option<Cuts>, secure: bool) -> Self {
        Self { io, reader: Reader::new(), cuts, secure, met: Met::default() }
    }

    /// Goes as far as this stage in good order.
    pub async fn advance(&mut self, to: Stage) -> Result<(), String> {
        self.advance_as(to, MALLORY).await
    }

    /// The same for an address of one's choice.
    pub async fn advance_as(&mut self, to: Stage, jid: &str) -> Result<(), String> {
        let (user, resource) = (jid.split('@').next().expect("a name"), jid.split('/').nth(1));
        if to == Stage::Fresh {
            return Ok(());
        }
        if to == Stage::Clear {
            return self.open().await;
        }
        if !self.secure {
            self.open().await?;
            self.write(format!("<starttls xmlns='{}'/>", ns::TLS).as_bytes()).await;
            self.expect(ns::TLS, "proceed").await?;
            self.start_tls().await?;
        }
        if to == Stage::Encrypted {
            return Ok(());
        }
        self.open().await?;
        if to == Stage::Challenged {
            let first = BASE64.encode(format!("n,,n={user},r={NONCE}"));
            self.write(auth("SCRAM-SHA-1", &first).as_bytes()).await;
            let challenge = self.expect(ns::SASL, "challenge").await?;
            let challenge = BASE64.decode(challenge.text).map_err(|e| e.to_string())?;
            self.met.challenge = String::from_utf8(challenge).map_err(|e| e.to_string())?;
            return Ok(());
        }
        if to == Stage::Offered {
            return Ok(());
        }
        let plain = BASE64.encode(format!("\0{user}\0{PASSWORD}"));
        self.write(auth("PLAIN", &plain).as_bytes()).await;
        self.expect(ns::SASL, "success").await?;
        if to == Stage::Authenticated {
            self.reader.restart();
            return Ok(());
        }
        self.open().await?;
        if to == Stage::Restarted {
            return Ok(());
        }
        self.write(bind(resource.expect("a resource")).as_bytes()).await;
        let bound = self.expect(ns::CLIENT, "iq").await?;
        if bound.attr("type") == Some("result") { Ok(()) } else { Err(format!("{bound:?}")) }
    }

    /// A header, and the features that answer it.
    pub async fn open(&mut self) -> Result<(), String> {
        self.reader.restart();
        self.write(&header(DOMAIN)).await;
        match self.next().await? {
            Some(Incoming::Header) => {}
            other => return Err(format!("no header: {other:?}")),
        }
        self.expect(ns::STREAMS, "features").await.map(drop)
    }

    pub async fn start_tls(&mut self) -> Result<(), String> {
        let io = std::mem::replace(&mut self.io, Box::new(io::empty()));
        let secured =
            timeout(PATIENCE, client::connect(io, DOMAIN, client::trusting_anyone(&[]))).await;
        self.io = Box::new(secured.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?);
        self.secure = true;
        self.reader.restart();
        Ok(())
    }

    /// Writes; a server that has hung up is noticed when it is read from.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _hung_up = write_parts(&mut self.io, &[bytes]).await;
    }

    /// Writes what the server reads in two pieces. In memory only.
    pub async fn write_cut(&mut self, bytes: &[u8], cut: usize) {
        let cuts = self.cuts.as_ref().expect("in memory");
        cuts.set([cut, bytes.len() - cut].into_iter().filter(|length| *length > 0));
        self.write(bytes).await;
    }

    /// The next part of the server's stream; `None` at the end of the connection.
    pub async fn next(&mut self) -> Result<Option<Incoming>, String> {
        next(&mut self.io, &mut self.reader).await
    }

    async fn expect(&mut self, ns: &str, name: &str) -> Result<Node, String> {
        match self.next().await? {
            Some(Incoming::Element(node)) if node.is(ns, name) => Ok(node),
            other => Err(format!("no <{name}/>: {other:?}")),
        }
    }

    /// Sends the hostile bytes in parts that end at `cuts`, and tells what comes of it.
    pub async fn attack(mut self, case: &Case, silence: bool, cuts: &[usize]) -> Seen {
        let bytes = case.input.bytes(&self.met);
        let mut parts = split(&bytes, cuts);
        if let Some(at) = &self.cuts {
            at.set(parts.iter().map(|part| part.len()));
            parts = vec![&bytes];
        }
        let first = probe(case.stage);
        if silence {
            parts.push(first.as_bytes());
        }
        let (mut from, mut to) = io::split(self.io);
        let writing = write_parts(&mut to, &parts);
        let watching = watch(&mut from, &mut self.reader, silence);
        let (_hung_up, seen) = tokio::join!(writing, watching);
        if seen.is_over() || silence {
            return seen;
        }
        // The stream must have gone on.
        let stage = stage_after(case.stage, &seen);
        if stage == Stage::Authenticated {
            self.reader.restart();
        }
        let _hung_up = write_parts(&mut to, &[probe(stage).as_bytes()]).await;
        match watch(&mut from, &mut self.reader, true).await {
            Seen::Silence => seen,
            other => Seen::Wrong(format!("{seen:?}, and then {other:?}")),
        }
    }
}

impl Input {
    /// The bytes, for who has learned this.
    pub fn bytes(&self, met: &Met) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Made(make) => make(met),
        }
    }
}

impl Seen {
    /// Whether nothing more can come.
    fn is_over(&self) -> bool {
        matches!(self, Self::StreamError(_) | Self::TlsFailure | Self::Goodbye | Self::Wrong(_))
    }
}

/// The bytes in parts that end at these places.
pub fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().filter(|cut| **cut < bytes.len()).chain([&bytes.len()]) {
        parts.push(&bytes[from..cut]);
        from = cut;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `<auth/>` with this initial response.
pub fn auth(mechanism: &str, first: &str) -> String {
    format!("<auth xmlns='{}' mechanism='{mechanism}'>{first}</auth>", ns::SASL)
}

/// A request to bind this resource.
pub fn bind(resource: &str) -> String {
    format!(
        "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
        ns::BIND
    )
}

/// What a stream that goes on has one answer to, which [`is_answer`] knows.
pub fn probe(stage: Stage) -> String {
    match stage {
        Stage::Fresh | Stage::Encrypted | Stage::Authenticated => {
            String::from_utf8(header(DOMAIN).to_vec()).expect("text")
        }
        Stage::Clear | Stage::Offered | Stage::Challenged => {
            format!("<abort xmlns='{}'/>", ns::SASL)
        }
        Stage::Restarted => bind("x").replace("id='bind'", "id='probe'"),
        Stage::Bound => {
            "<iq type='get' id='probe' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>".into()
        }
    }
}

/// Where a stream stands after an answer.
pub fn stage_after(stage: Stage, seen: &Seen) -> Stage {
    match seen {
        Seen::Answer(node) if node.is(ns::SASL, "success") => Stage::Authenticated,
        Seen::Answer(node) if node.is(ns::STREAMS, "features") => Stage::Offered,
        Seen::Answer(node) if node.child(ns::BIND, "bind").is_some() => Stage::Bound,
        _ => stage,
    }
}

/// Whether this answers the probe.
pub fn is_answer(node: &Node) -> bool {
    node.is(ns::STREAMS, "features")
        || (node.is(ns::SASL, "failure") && node.child(ns::SASL, "aborted").is_some())
        || (node.attr("id") == Some("probe") && node.attr("type") == Some("result"))
}

/// The name of the condition in an error or a failure.
pub fn condition(node: &Node, ns: &str) -> String {
    node.children.iter().find(|child| child.ns == ns).map_or(String::new(), |c| c.name.clone())
}

/// What one element means.
pub fn judge(node: Node) -> Seen {
    match (&*node.ns, &*node.name) {
        (ns::STREAMS, "error") => Seen::StreamError(condition(&node, ns::STREAM_ERRORS)),
        (ns::SASL, "failure") => Seen::SaslFailure(condition(&node, ns::SASL)),
        (ns::TLS, "failure") => Seen::TlsFailure,
        (ns::CLIENT, "message" | "presence" | "iq") if node.attr("type") == Some("error") => {
            match node.child(ns::CLIENT, "error") {
                Some(error) => Seen::StanzaError(condition(error, ns::STANZA_ERRORS)),
                None => Seen::Wrong(format!("an error without one: {node:?}")),
            }
        }
        _ => Seen::Answer(node),
    }
}

async fn write_parts(to: &mut (impl AsyncWrite + Unpin), parts: &[&[u8]]) -> io::Result<()> {
    for part in parts {
        to.write_all(part).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Reads up to what decides. `probed`: a probe is on its way, so its answer is silence.
async fn watch(from: &mut (impl AsyncRead + Unpin), reader: &mut Reader, probed: bool) -> Seen {
    let seen = loop {
        match next(from, reader).await {
            Ok(Some(Incoming::Header)) => {}
            Ok(Some(Incoming::Element(node))) if probed && is_answer(&node) => {
                return Seen::Silence;
            }
            Ok(Some(Incoming::Element(node))) => break judge(node),
            Ok(Some(Incoming::End)) => {
                return match next(from, reader).await {
                    Ok(None) => Seen::Goodbye,
                    other => Seen::Wrong(format!("after the end of the stream {other:?}")),
                };
            }
            Ok(None) => return Seen::Wrong("the connection ended without a word".into()),
            Err(error) => return Seen::Wrong(error),
        }
    };
    if !seen.is_over() {
        return seen;
    }
    // RFC 6120 4.9.1.1: an error closes the stream, and the connection with it.
    match (next(from, reader).await, next(from, reader).await) {
        (Ok(Some(Incoming::End)), Ok(None)) => seen,
        other => Seen::Wrong(format!("{seen:?}, and then {other:?}")),
    }
}

async fn next(
    from: &mut (impl AsyncRead + Unpin),
    reader: &mut Reader,
) -> Result<Option<Incoming>, String> {
    loop {
        if let Some(incoming) = reader.incoming().map_err(|e| format!("unreadable: {e}"))? {
            return Ok(Some(incoming));
        }
        let mut space = [0; 4_096];
        match timeout(PATIENCE, from.read(&mut space)).await {
            Err(_) => return Err("nothing more came, and no end".into()),
            Ok(Err(error)) => return Err(format!("the connection broke: {error}")),
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(count)) => reader.push(&space[..count]),
        }
    }
}
