//! A client on a blocking socket: the login of `script`, and stanzas as text.

use super::PATIENCE;
use script::{Channel, Client, ClientError, FOOTER, Incoming, Login, Reader, Request, header};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{SystemTime, UNIX_EPOCH},
};
use xmpp_core::{Jid, ns, xml::Node};

/// A logged-in client without TLS.
pub(crate) struct User {
    socket: TcpStream,
    reader: Reader,
    pub(crate) jid: Jid,
}

impl User {
    /// Logs in, where TLS is not required, and becomes available.
    #[track_caller]
    pub(crate) fn login(to: SocketAddr, jid: &str, password: &str) -> Self {
        Self::try_login(to, jid, password).expect("the login succeeds")
    }

    /// Logs in, or says why not.
    pub(crate) fn try_login(
        to: SocketAddr,
        jid: &str,
        password: &str,
    ) -> Result<Self, ClientError> {
        let mut socket = TcpStream::connect(to).expect("somebody listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let account: xmpp_core::BareJid = jid.parse().expect("an address");
        let domain = account.domain().to_owned();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let (password, nonce) = (password.to_owned(), now.as_nanos().to_string());
        // Loopback counts as protected, so that STARTTLS is not asked for.
        let mut client =
            Client::new(Login { account, password, resource: None, nonce }, Channel::Secure);
        let mut reader = Reader::new();
        loop {
            while let Some(request) = client.poll() {
                match request {
                    Request::Open => {
                        reader.restart();
                        socket.write_all(&header(&domain)).expect("written");
                    }
                    Request::Send(bytes) => socket.write_all(&bytes).expect("written"),
                    Request::StartTls => unreachable!("it was told that this is secure"),
                }
            }
            if let Some(jid) = client.bound() {
                let jid = jid.clone();
                let mut user = Self { socket, reader, jid };
                user.send("<presence/>");
                user.receive("presence");
                return Ok(user);
            }
            let element = next(&mut socket, &mut reader).expect("the stream goes on");
            client.handle(&element)?;
        }
    }

    pub(crate) fn send(&mut self, stanza: &str) {
        self.socket.write_all(stanza.as_bytes()).expect("written");
    }

    /// The next stanza of this name; others are skipped.
    #[track_caller]
    pub(crate) fn receive(&mut self, name: &str) -> Node {
        loop {
            let node = next(&mut self.socket, &mut self.reader).expect("the stream goes on");
            if node.is(ns::CLIENT, name) {
                return node;
            }
        }
    }

    /// Asks and gets the answer.
    #[track_caller]
    pub(crate) fn iq(&mut self, kind: &str, payload: &str) -> Node {
        self.send(&format!("<iq type='{kind}' id='q'>{payload}</iq>"));
        self.receive("iq")
    }

    /// Waits for the stream's end, and gives the condition and the text of its error, if there was one.
    pub(crate) fn end(mut self) -> Option<(String, String)> {
        let mut last = None;
        while let Some(node) = next(&mut self.socket, &mut self.reader) {
            last = Some(node);
        }
        let error = last.filter(|node| node.is(ns::STREAMS, "error"))?;
        let condition = error.children.iter().find(|child| child.name != "text")?;
        let text = error.child(ns::STREAM_ERRORS, "text").map(|text| text.text.clone());
        Some((condition.name.clone(), text.unwrap_or_default()))
    }

    /// Whether the stream still answers.
    #[track_caller]
    pub(crate) fn is_alive(&mut self) -> bool {
        let answer = self.iq("get", "<ping xmlns='urn:xmpp:ping'/>");
        answer.attr("type") == Some("result")
    }

    /// Takes leave.
    pub(crate) fn close(mut self) {
        self.socket.write_all(FOOTER).expect("written");
        while next(&mut self.socket, &mut self.reader).is_some() {}
    }
}

/// The next element; `None` at the end of the stream, however it ends.
fn next(socket: &mut TcpStream, reader: &mut Reader) -> Option<Node> {
    loop {
        match reader.incoming().expect("the server writes good XML") {
            Some(Incoming::Element(node)) => return Some(node),
            Some(Incoming::Header) => continue,
            Some(Incoming::End) => return None,
            None => {}
        }
        let mut part = [0; 4096];
        match socket.read(&mut part).expect("the server says something in time") {
            0 => return None,
            read => reader.push(&part[..read]),
        }
    }
}
