//! The hostile client over BOSH (XEP-0124, XEP-0206), down to the bytes of its HTTP requests.

use crate::{
    case::{Case, MALLORY, Met, PASSWORD, Seen, Stage},
    stream::{DOMAIN, NONCE, auth, bind, condition, is_answer, judge, probe, split, stage_after},
    target::{PATIENCE, Target},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use xmpp_core::{
    ns,
    xml::{Element, Limits, Node, Scope},
};

/// Where a session begins to count.
const FIRST_RID: u64 = 1_573_741_820;

/// One HTTP connection.
pub struct Http {
    stream: TcpStream,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends a request in parts that end at these places of its body, and waits for the answer; `None` if the
    /// connection ends without one.
    pub async fn post(
        &mut self,
        headers: &str,
        body: &[u8],
        cuts: &[usize],
    ) -> Result<Option<Reply>, String> {
        self.send(headers, body, cuts).await;
        self.reply().await
    }

    pub async fn send(&mut self, headers: &str, body: &[u8], cuts: &[usize]) {
        let head = format!(
            "POST /http-bind HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let parts = split(body, cuts);
        self.write(&[&[head.as_bytes()], &parts[..]].concat()).await;
    }

    /// Writes; a server that has hung up is noticed when it is read from.
    pub async fn write(&mut self, parts: &[&[u8]]) {
        for part in parts {
            if self.stream.write_all(part).await.is_err() {
                return;
            }
        }
    }

    /// Reads one answer.
    pub async fn reply(&mut self) -> Result<Option<Reply>, String> {
        let mut bytes = Vec::new();
        loop {
            if let Some(reply) = Reply::parse(&bytes)? {
                return Ok(Some(reply));
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut bytes)).await;
            match read.map_err(|_| "no answer")? {
                Ok(0) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err("half an answer".into()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Reply {
    /// The answer at the front of these bytes, if it is whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).map_err(|e| e.to_string())?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let body = &bytes[end + 4..];
        let length = length.unwrap_or(0);
        if body.len() < length {
            return Ok(None);
        }
        let status = status.ok_or("no status")?;
        Ok(Some(Self { status, body: body[..length].to_vec() }))
    }

    /// The `<body/>`, what of its attributes matters, and its payloads.
    fn body(&self) -> Result<Node, String> {
        let scope = Scope::default();
        // A body may hold a whole stanza.
        let limits = Limits { depth: Limits::AFTER_AUTH.depth + 1, ..Limits::AFTER_AUTH };
        let element = Element::check(Bytes::copy_from_slice(&self.body), &scope, &limits)
            .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&self.body)))?;
        if !element.is(ns::HTTPBIND, "body") {
            return Err(format!("<{}>", element.name()));
        }
        let attribute = |name: &str| {
            let value = element.attr(name)?.into_owned();
            Some((String::new(), name.to_owned(), value))
        };
        let children = element.children().map(|child| element.standalone_child(&child));
        Ok(Node {
            ns: ns::HTTPBIND.into(),
            name: "body".into(),
            attributes: ["type", "condition", "sid"].into_iter().filter_map(attribute).collect(),
            children: children
                .map(|child| Node::parse(&child, ""))
                .collect::<Result<_, _>>()
                .map_err(|e| e.to_string())?,
            text: String::new(),
        })
    }
}

/// A hostile client. It behaves until it attacks.
pub struct Attacker {
    address: SocketAddr,
    http: Http,
    sid: String,
    rid: u64,
    met: Met,
}

impl Attacker {
    pub async fn enter(target: &Target) -> Self {
        let address = target.address("http");
        let http = Http::connect(address).await;
        Self { address, http, sid: String::new(), rid: FIRST_RID, met: Met::default() }
    }

    /// Goes as far as this stage in good order.
    pub async fn advance(&mut self, to: Stage) -> Result<(), String> {
        if matches!(to, Stage::Fresh | Stage::Encrypted) {
            return Ok(());
        }
        let create = format!(
            "<body rid='{}' to='{DOMAIN}' wait='60' hold='1' ver='1.6' xmpp:version='1.0' xmlns='{}' xmlns:xmpp='{}'/>",
            self.rid,
            ns::HTTPBIND,
            ns::XBOSH
        );
        let created = self.exchange(&create).await?;
        self.sid = created.attr("sid").ok_or("no sid")?.to_owned();
        payload(&created, ns::STREAMS, "features")?;
        if to == Stage::Challenged {
            let first = BASE64.encode(format!("n,,n=mallory,r={NONCE}"));
            let answer = self.say(&auth("SCRAM-SHA-1", &first)).await?;
            let challenge = payload(&answer, ns::SASL, "challenge")?;
            let challenge = BASE64.decode(&challenge.text).map_err(|e| e.to_string())?;
            self.met.challenge = String::from_utf8(challenge).map_err(|e| e.to_string())?;
        }
        if to <= Stage::Challenged {
            return Ok(());
        }
        let plain = BASE64.encode(format!("\0mallory\0{PASSWORD}"));
        payload(&self.say(&auth("PLAIN", &plain)).await?, ns::SASL, "success")?;
        if to == Stage::Authenticated {
            return Ok(());
        }
        let restart = self.body(" xmpp:restart='true' to='capulet.lit'", b"");
        let restarted = self.exchange(&String::from_utf8(restart).expect("text")).await?;
        payload(&restarted, ns::STREAMS, "features")?;
        if to == Stage::Restarted {
            return Ok(());
        }
        let resource = MALLORY.split('/').nth(1).expect("a resource");
        let bound = self.say(&bind(resource)).await?;
        let iq = payload(&bound, ns::CLIENT, "iq")?;
        if iq.attr("type") == Some("result") { Ok(()) } else { Err(format!("{iq:?}")) }
    }

    /// Sends the hostile bytes in parts that end at `cuts`, and tells what comes of it.
    pub async fn attack(mut self, case: &Case, silence: bool, cuts: &[usize]) -> Seen {
        self.met.sid.clone_from(&self.sid);
        self.met.rid = self.rid;
        let bytes = case.input.bytes(&self.met);
        let (body, lead) = if case.whole {
            (bytes, 0)
        } else {
            let body = self.body("", &bytes);
            let lead = body.len() - bytes.len() - "</body>".len();
            (body, lead)
        };
        let cuts: Vec<_> = cuts.iter().map(|cut| cut + lead).collect();
        self.http.send(case.headers, &body, &cuts).await;
        if silence {
            return self.listen(case.stage).await;
        }
        let seen = match self.http.reply().await {
            Ok(Some(reply)) => meaning(&reply),
            Ok(None) => return Seen::Wrong("the connection ended without an answer".into()),
            Err(error) => return Seen::Wrong(error),
        };
        match &seen {
            // What is not XML names no session, so none suffers from it (threat B10).
            Seen::Terminate(400, condition) if condition == "bad-request" && !case.whole => {}
            Seen::SaslFailure(_) | Seen::StanzaError(_) | Seen::Answer(_) if !case.whole => {
                self.rid += 1;
            }
            _ => return seen,
        }
        let goes_on = self.go_on(stage_after(case.stage, &seen)).await;
        self.leave().await;
        match goes_on {
            Ok(()) => seen,
            Err(error) => Seen::Wrong(format!("{seen:?}, and then {error}")),
        }
    }

    /// The stream must have gone on.
    async fn go_on(&mut self, stage: Stage) -> Result<(), String> {
        let answer = self.prove(stage).await?;
        if answer.children.first().is_some_and(is_answer) {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    }

    /// A request was sent that may never be answered: what comes before the answer to a probe?
    async fn listen(&mut self, stage: Stage) -> Seen {
        self.rid += 1;
        let mut second = Http::connect(self.address).await;
        std::mem::swap(&mut self.http, &mut second);
        let proved = self.prove(stage).await;
        let held = second.reply().await;
        let mut payloads = Vec::new();
        for answer in [held.map(|reply| reply.map(|reply| reply.body())), Ok(Some(proved))] {
            match answer {
                Ok(Some(Ok(body))) => payloads.extend(body.children),
                other => return Seen::Wrong(format!("{other:?}")),
            }
        }
        self.leave().await;
        match &payloads[..] {
            [answer] if is_answer(answer) => Seen::Silence,
            _ => Seen::Wrong(format!("{payloads:?}")),
        }
    }

    /// Asks for what [`is_answer`] knows.
    async fn prove(&mut self, stage: Stage) -> Result<Node, String> {
        if stage == Stage::Authenticated {
            let restart = self.body(" xmpp:restart='true' to='capulet.lit'", b"");
            return self.exchange(&String::from_utf8(restart).expect("text")).await;
        }
        self.say(&probe(stage)).await
    }

    /// Ends the session; the next one does not have to wait for its silence.
    async fn leave(&mut self) {
        let end = self.body(" type='terminate'", b"");
        // It may be over already.
        let _over = self.http.post("", &end, &[]).await;
    }

    async fn say(&mut self, payload: &str) -> Result<Node, String> {
        let body = self.body("", payload.as_bytes());
        self.exchange(&String::from_utf8(body).expect("text")).await
    }

    /// A request of the session.
    fn body(&self, attributes: &str, payload: &[u8]) -> Vec<u8> {
        let start = format!(
            "<body rid='{}' sid='{}'{attributes} xmlns='{}' xmlns:xmpp='{}' xmlns:stream='{}'>",
            self.rid,
            self.sid,
            ns::HTTPBIND,
            ns::XBOSH,
            ns::STREAMS
        );
        [start.as_bytes(), payload, b"</body>"].concat()
    }

    async fn exchange(&mut self, body: &str) -> Result<Node, String> {
        let reply = self.http.post("", body.as_bytes(), &[]).await?.ok_or("no answer")?;
        self.rid += 1;
        let answer = reply.body()?;
        match answer.attr("type") {
            None => Ok(answer),
            Some(kind) => Err(format!("{kind}: {answer:?}")),
        }
    }
}

/// What one answer means.
pub fn meaning(reply: &Reply) -> Seen {
    let body = match reply.body() {
        Ok(body) => body,
        Err(_) if reply.status != 200 => return Seen::Status(reply.status),
        Err(error) => return Seen::Wrong(error),
    };
    if body.attr("type") != Some("terminate") {
        let mut payloads = body.children.into_iter();
        return match (payloads.next(), payloads.next()) {
            (Some(only), None) => judge(only),
            other => Seen::Wrong(format!("{other:?}")),
        };
    }
    // What came before it, such as the features, may stand beside it.
    match (body.attr("condition"), body.children.last()) {
        (Some("remote-stream-error"), Some(error)) if error.is(ns::STREAMS, "error") => {
            Seen::StreamError(condition(error, ns::STREAM_ERRORS))
        }
        (None, Some(failure)) if failure.is(ns::TLS, "failure") => Seen::TlsFailure,
        (condition, _) => Seen::Terminate(reply.status, condition.unwrap_or_default().into()),
    }
}

fn payload(body: &Node, ns: &str, name: &str) -> Result<Node, String> {
    let found = body.child(ns, name).cloned();
    found.ok_or_else(|| format!("no <{name}/>: {body:?}"))
}
