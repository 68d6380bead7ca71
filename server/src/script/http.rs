//! XMPP over BOSH (XEP-0124, XEP-0206) over HTTP/1.1, as a browser would speak it.

use super::{Certificates, broken, driver::tcp, patiently};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use net::tls::client;
use script::{Channel, Character, Connection, Lost, Stage, standalone};
use std::{
    collections::VecDeque,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use xmpp_core::{
    ns,
    xml::{Element, Limits, Node, Scope, escape_into},
};

/// The largest answer that is read: many stanzas of the largest size that servers usually take, or very many small ones, of
/// which each declares its namespace and those of what is in it.
const RESPONSE: Limits = Limits {
    bytes: 16 * 1024 * 1024,
    elements: 1_048_576,
    declarations: 1_048_576,
    ..Limits::AFTER_AUTH
};

/// Sessions at a connection manager.
#[derive(Debug, Clone)]
pub struct Bosh {
    /// Where its service is.
    pub service: Service,
    /// Which certificates are good, over HTTPS.
    pub certificates: Certificates,
    /// How long every step of the server's may take.
    pub patience: Duration,
}

/// The URL of a BOSH service, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    host: String,
    /// `HOST:PORT`
    address: String,
    path: String,
    https: bool,
}

impl FromStr for Service {
    type Err = String;
    /// Reads `http://HOST:PORT/PATH` or `https://…`.
    fn from_str(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url:?} is no URL such as http://127.0.0.1:5280/http-bind");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { address: format!("{host}:{port}"), host, path, https })
    }
}

impl Stage for Bosh {
    type Connection = Session;
    async fn connect(&mut self, _character: &Character) -> Result<Session, Lost> {
        let http = Http {
            service: self.service.clone(),
            certificates: self.certificates.clone(),
            patience: self.patience,
            idle: Mutex::default(),
        };
        // Nothing in BOSH starts TLS: whether anybody may listen is known from the first connection.
        let (connection, channel) = http.connect().await?;
        http.give_back(connection);
        Ok(Session {
            http: Arc::new(http),
            channel,
            // XEP-0124 14: any start will do that leaves room to count.
            rid: 1_573_741_820,
            sid: None,
            domain: String::new(),
            pending: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: false,
        })
    }
    fn nonce(&mut self) -> String {
        net::random::token()
    }
}

/// One BOSH session.
pub struct Session {
    http: Arc<Http>,
    channel: Channel,
    /// Of the next request.
    rid: u64,
    sid: Option<String>,
    domain: String,
    /// Requests without an answer, oldest first.
    pending: VecDeque<JoinHandle<Result<Bytes, Lost>>>,
    arrived: VecDeque<Node>,
    /// The session was terminated.
    ended: bool,
}

/// XEP-0124 7.2: as many requests at a time as the manager may hold, and one to speak.
const REQUESTS: usize = 2;

impl Session {
    /// An element that has arrived and was not received. The manager may count it as delivered, since what was sent later says
    /// that its answer was read.
    pub fn arrived(&mut self) -> Option<Node> {
        self.arrived.pop_front()
    }

    /// Sends a body with these attributes and payloads.
    async fn post(&mut self, attributes: &str, payloads: &[Bytes]) -> Result<(), Lost> {
        while self.pending.len() >= REQUESTS {
            self.absorb().await?;
        }
        let mut body = BytesMut::from(format!("<body rid='{}'", self.rid).as_bytes());
        if let Some(sid) = &self.sid {
            body.extend_from_slice(b" sid='");
            escape_into(sid, &mut body);
            body.extend_from_slice(b"'");
        }
        body.extend_from_slice(
            format!("{attributes} xmlns='{}' xmlns:xmpp='{}'>", ns::HTTPBIND, ns::XBOSH).as_bytes(),
        );
        payloads.iter().for_each(|payload| body.extend_from_slice(payload));
        body.extend_from_slice(b"</body>");
        self.rid += 1;
        let http = Arc::clone(&self.http);
        self.pending.push_back(tokio::spawn(async move { http.post(body.freeze()).await }));
        Ok(())
    }

    /// Waits for the answer to the oldest request and takes in what it brings.
    async fn absorb(&mut self) -> Result<(), Lost> {
        let Some(oldest) = self.pending.front_mut() else { return Ok(()) };
        let answer = patiently(self.http.patience, oldest).await?;
        self.pending.pop_front();
        let answer = answer?;
        let body = Element::check(answer, &Scope::default(), &RESPONSE).map_err(broken)?;
        if !body.is(ns::HTTPBIND, "body") {
            return Err(broken(format!("<{}> instead of a body", body.name())));
        }
        for child in body.children() {
            let node = Node::parse(&body.standalone_child(&child), "").map_err(broken)?;
            self.arrived.push_back(node);
        }
        if let Some(sid) = body.attr("sid") {
            self.sid = Some(sid.into_owned());
        }
        self.ended |= body.attr("type").as_deref() == Some("terminate");
        match body.attr("condition") {
            // XEP-0206 5: the stream error came as a payload.
            None => Ok(()),
            Some(condition) if condition == "remote-stream-error" => Ok(()),
            Some(condition) => Err(broken(format!("terminated: {condition}"))),
        }
    }

    fn to(&self) -> String {
        let mut to = BytesMut::new();
        escape_into(&self.domain, &mut to);
        String::from_utf8_lossy(&to).into_owned()
    }
}

impl Connection for Session {
    fn channel(&self) -> Channel {
        self.channel
    }
    async fn open(&mut self, domain: &str) -> Result<(), Lost> {
        self.domain = domain.to_owned();
        let to = self.to();
        if self.sid.is_some() {
            // XEP-0206 5: the stream restarts within the session.
            return self.post(&format!(" to='{to}' xml:lang='en' xmpp:restart='true'"), &[]).await;
        }
        let attributes = format!(
            " to='{to}' xml:lang='en' wait='60' hold='1' ver='1.6' content='text/xml; charset=utf-8' xmpp:version='1.0'"
        );
        self.post(&attributes, &[]).await?;
        while self.sid.is_none() && !self.ended {
            self.absorb().await?;
        }
        Ok(())
    }
    async fn send(&mut self, elements: Bytes) -> Result<(), Lost> {
        let payloads = standalone(&elements).map_err(broken)?;
        self.post("", &payloads).await
    }
    async fn receive(&mut self) -> Result<Option<Node>, Lost> {
        loop {
            if let Some(node) = self.arrived.pop_front() {
                return Ok(Some(node));
            }
            if self.ended {
                return Ok(None);
            }
            if self.pending.is_empty() {
                self.post("", &[]).await?;
            }
            self.absorb().await?;
        }
    }
    async fn start_tls(&mut self, _domain: &str) -> Result<(), Lost> {
        Err(broken("there is no STARTTLS over BOSH"))
    }
    async fn close(&mut self) -> Result<(), Lost> {
        self.post(" type='terminate'", &[]).await?;
        while !self.pending.is_empty() {
            self.absorb().await?;
        }
        if self.ended { Ok(()) } else { Err(broken("a terminated session went on")) }
    }
}

/// Keep-alive connections of one session.
struct Http {
    service: Service,
    certificates: Certificates,
    patience: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Http {
    async fn post(&self, body: Bytes) -> Result<Bytes, Lost> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) if connection.is_ready() => connection,
            _ => self.connect().await?.0,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.service.path)
            .header(HOST, &self.service.address)
            .header(CONTENT_TYPE, "text/xml; charset=utf-8")
            .body(Full::new(body))
            .map_err(broken)?;
        let response = connection.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(broken(format!("HTTP status {}", response.status())));
        }
        let body = Limited::new(response.into_body(), RESPONSE.bytes);
        let body = body.collect().await.map_err(broken)?.to_bytes();
        self.give_back(connection);
        Ok(body)
    }

    fn give_back(&self, connection: SendRequest<Full<Bytes>>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, Channel), Lost> {
        let (stream, is_local) = tcp(&self.service.address, self.patience).await?;
        if !self.service.https {
            let channel = if is_local { Channel::Secure } else { Channel::Open };
            return Ok((self.speak(stream).await?, channel));
        }
        let config = self.certificates.of(is_local);
        let secured = client::connect(stream, &self.service.host, config);
        let stream = patiently(self.patience, secured).await?;
        Ok((self.speak(stream).await?, Channel::Secure))
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, Lost> {
        let (connection, driver) =
            patiently(self.patience, handshake(TokioIo::new(stream))).await?;
        // It ends with the connection; what goes wrong there is seen by the request.
        tokio::spawn(driver);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_bring_whatever_waited_for_somebody_who_comes_late() {
        let message = "<message xmlns='jabber:client'><body>x</body><delay xmlns='urn:xmpp:delay' stamp='x'/>\
                       <stanza-id xmlns='urn:xmpp:sid:0' id='x' by='x@x'/></message>";
        let body = format!("<body xmlns='{}'>{}</body>", ns::HTTPBIND, message.repeat(1_000));
        let body = Element::check(body.into(), &Scope::default(), &RESPONSE).expect("it is read");
        assert_eq!(body.children().count(), 1_000);
    }
}
