//! XMPP over BOSH (XEP-0124, XEP-0206) over HTTP/1.1, as a browser would speak it.

use super::{broken, nonce, patiently};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use script::{Character, Connection, Lost, Stage, standalone};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpStream, task::JoinHandle};
use xmpp_core::{
    ns,
    xml::{Element, Limits, Node, Scope, escape_into},
};

/// Sessions at a connection manager.
pub struct Bosh {
    /// Its HTTP listener.
    pub address: SocketAddr,
    /// The path of its service.
    pub path: String,
}

impl Stage for Bosh {
    type Connection = Session;
    async fn connect(&mut self, _character: &Character) -> Result<Session, Lost> {
        let http = Arc::new(Http {
            address: self.address,
            path: self.path.clone(),
            idle: Mutex::default(),
        });
        Ok(Session {
            http,
            // XEP-0124 8: any start will do.
            rid: 1_573_741_820,
            sid: None,
            domain: String::new(),
            pending: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: false,
        })
    }
    fn nonce(&mut self) -> String {
        nonce()
    }
}

/// One BOSH session.
pub struct Session {
    http: Arc<Http>,
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
        let answer = patiently(oldest).await?;
        self.pending.pop_front();
        let answer = answer?;
        let body =
            Element::check(answer, &Scope::default(), &Limits::AFTER_AUTH).map_err(broken)?;
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
    /// Nothing in BOSH starts TLS; over the loopback the manager counts it as secure.
    fn is_secure(&self) -> bool {
        true
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
    address: SocketAddr,
    path: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Http {
    async fn post(&self, body: Bytes) -> Result<Bytes, Lost> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) if connection.is_ready() => connection,
            _ => self.connect().await?,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "text/xml; charset=utf-8")
            .body(Full::new(body))
            .map_err(broken)?;
        let response = connection.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(broken(format!("HTTP status {}", response.status())));
        }
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(body)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Lost> {
        let stream = TcpStream::connect(self.address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the connection; what goes wrong there is seen by the request.
        tokio::spawn(driver);
        Ok(connection)
    }
}
