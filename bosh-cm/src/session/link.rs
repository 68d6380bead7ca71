//! The stream to the server, as far as the connection manager understands it: header, features, the
//! outcome of SASL, and the end.

use super::{
    answer::{Kind, Payload},
    management::Nonza,
};
use bytes::{Bytes, BytesMut};
use xmpp_core::{
    ns,
    stream::{FOOTER, Header, write_initiating_header},
    xml::{Element, Frame, Framer, Limits, Node, Scope, Writer, XmlError},
};

/// What one element from the server may hold. The server is chosen by the operator, so these only keep
/// memory bounded; a large roster has to fit.
pub(super) const LIMITS: Limits = Limits {
    bytes: 1_048_576,
    elements: 65_536,
    depth: 256,
    attributes: 128,
    declarations: 1_024,
    name: 1_024,
};

/// Features that are of no use over HTTP: encryption and compression belong to HTTP (XEP-0206 4; RFC 7395 3.9), and
/// channel bindings would name a channel that is not the client's.
const USELESS: [(&str, &str); 3] = [
    (ns::TLS, "starttls"),
    ("http://jabber.org/features/compress", "compression"),
    ("urn:xmpp:sasl-cb:0", "sasl-channel-binding"),
];

/// Elements that list mechanisms: RFC 6120 6.4.1 and XEP-0388.
const MECHANISMS: [(&str, &str); 2] = [(ns::SASL, "mechanisms"), (SASL2, "authentication")];

/// XEP-0388.
const SASL2: &str = "urn:xmpp:sasl:2";

/// The stream to the server.
pub(crate) struct Link {
    to: String,
    from: Option<String>,
    lang: Option<String>,
    framer: Framer,
    scope: Scope,
    state: State,
    /// Whether the features offer stream management (XEP-0198 3).
    manages: bool,
    /// Whether a resource is bound (RFC 6120 7.6.1).
    bound: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A header was sent; the server's header or its features are still to come.
    Opening,
    /// Features have come.
    Open,
    /// SASL has succeeded: a restart is due.
    Authenticated,
}

/// What came from the server.
pub(crate) enum News {
    /// Its stream header.
    Header {
        /// Who it says it is.
        from: Option<String>,
        /// Who it says the client is.
        to: Option<String>,
        /// The stream's identifier.
        id: Option<String>,
        /// The language of what it sends.
        lang: Option<String>,
    },
    /// The success of SASL, for the client.
    Success {
        /// It.
        payload: Payload,
        /// Whether it says, too, that the client's stream is managed from here on (XEP-0198 9).
        managed: bool,
    },
    /// Something else for the client.
    Payload(Payload),
    /// An element of stream management, for the client unless it is managed in its stead.
    Management(Nonza, Payload),
    /// A stream error, for the client too.
    Error(Payload),
    /// The end of the stream.
    Footer,
}

/// The server does not speak XMPP.
#[derive(Debug)]
pub(crate) struct Broken;

impl Link {
    /// A stream to be opened with [`Link::header`].
    pub(crate) fn new(to: String, from: Option<String>, lang: Option<String>) -> Self {
        let framer = Framer::new(LIMITS);
        let (scope, state) = (Scope::default(), State::Opening);
        Self { to, from, lang, framer, scope, state, manages: false, bound: false }
    }

    /// The domain at the other end.
    pub(crate) fn domain(&self) -> &str {
        &self.to
    }

    /// The stream header to send, for the first stream and after [`Link::restart`].
    pub(crate) fn header(&self) -> Bytes {
        let mut out = BytesMut::new();
        write_initiating_header(&mut out, &self.to, self.from.as_deref(), self.lang.as_deref());
        out.freeze()
    }

    /// The end of the stream.
    pub(crate) fn footer(&self) -> Bytes {
        Bytes::from_static(FOOTER.as_bytes())
    }

    /// Whether features have come.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Opening
    }

    /// Whether the server expects a new stream, and nothing before it (RFC 6120 6.4.6).
    pub(crate) fn awaits_restart(&self) -> bool {
        self.state == State::Authenticated
    }

    /// Whether stream management can be had now (XEP-0198 3): a resource is bound, by the iq and not inside of SASL,
    /// where the client could have asked for it, too.
    pub(crate) fn is_manageable(&self) -> bool {
        self.manages && self.bound
    }

    /// A new stream on the same connection, in `lang` if it is given (XEP-0206 5). Refused before SASL has
    /// succeeded, and to another domain: what was authenticated there is nobody here (CVE-2018-10847).
    pub(crate) fn restart(&mut self, to: Option<&str>, lang: Option<String>) -> Result<(), Broken> {
        let same = to.is_none_or(|to| to == self.to);
        if self.state != State::Authenticated || !same {
            return Err(Broken);
        }
        self.lang = lang.or(self.lang.take());
        self.framer = Framer::new(LIMITS);
        self.state = State::Opening;
        Ok(())
    }

    /// The next thing in what was read, which is taken out of `input`. Call again until `None`.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<News>, Broken> {
        loop {
            return Ok(Some(match self.framer.next(input)? {
                None => return Ok(None),
                Some(Frame::Whitespace) => continue,
                Some(Frame::Footer) => News::Footer,
                Some(Frame::Header(raw)) => {
                    let header = Header::parse(raw, ns::CLIENT, &LIMITS).map_err(|_| Broken)?;
                    self.scope = header.scope;
                    News::Header {
                        from: header.from,
                        to: header.to,
                        id: header.id,
                        lang: header.lang,
                    }
                }
                Some(Frame::Element(raw)) => {
                    self.element(Element::check(raw, &self.scope, &LIMITS)?)?
                }
            }));
        }
    }

    fn element(&mut self, element: Element) -> Result<News, Broken> {
        let (kind, bytes) = match (element.ns(), element.name()) {
            (ns::STREAMS, "features") => {
                self.state = State::Open;
                self.manages = element.children().any(|one| one.is(ns::STREAM_MANAGEMENT, "sm"));
                (Kind::Stream, features(&element)?)
            }
            (ns::STREAMS, "error") => {
                let inside = element.children().map(|child| element.standalone_child(&child));
                let bytes = rewrap("stream:error", inside.collect());
                return Ok(News::Error(Payload::new(bytes, Kind::Stream)));
            }
            (ns::SASL, "success") => {
                self.state = State::Authenticated;
                let bytes = element.standalone();
                let payload = Payload::new(bytes, Kind::Sasl);
                return Ok(News::Success { payload, managed: false });
            }
            // XEP-0388 4: no restart follows.
            (SASL2, "success") => {
                let bytes = element.standalone();
                let managed = is_managed(&Node::parse(&bytes, SASL2)?);
                return Ok(News::Success { payload: Payload::new(bytes, Kind::Other), managed });
            }
            (ns::SASL, _) => (Kind::Sasl, element.standalone()),
            (ns::CLIENT, "message" | "presence" | "iq") => {
                self.bound |= element.name() == "iq" && is_bind_result(&element);
                (Kind::Stanza, element.standalone())
            }
            _ => (Kind::Other, element.standalone()),
        };
        let payload = Payload::new(bytes, kind);
        Ok(match Nonza::of(&element) {
            Some(nonza) => News::Management(nonza, payload),
            None => News::Payload(payload),
        })
    }
}

impl From<XmlError> for Broken {
    fn from(_: XmlError) -> Self {
        Self
    }
}

/// RFC 6120 7.6.1
fn is_bind_result(iq: &Element) -> bool {
    iq.children().any(|one| one.is(ns::BIND, "bind"))
        && iq.attr("type").is_some_and(|kind| kind == "result")
}

/// Whether SASL brings back a managed stream, or begins one with the resource that it binds (XEP-0198 9, XEP-0386).
fn is_managed(success: &Node) -> bool {
    let bound = success.children.iter().find(|child| child.name == "bound");
    let enabled = bound.and_then(|bound| bound.child(ns::STREAM_MANAGEMENT, "enabled"));
    enabled.or_else(|| success.child(ns::STREAM_MANAGEMENT, "resumed")).is_some()
}

/// The features that are of use to a client over HTTP.
fn features(element: &Element) -> Result<Bytes, Broken> {
    let mut kept = Vec::new();
    for child in element.children() {
        let named = |one: &&(&str, &str)| **one == (child.ns, child.name);
        if USELESS.iter().find(named).is_some() {
            continue;
        }
        let bytes = element.standalone_child(&child);
        kept.push(match MECHANISMS.iter().find(named) {
            Some((ns, name)) => useful(ns, name, bytes)?,
            None => bytes,
        });
    }
    Ok(rewrap("stream:features", kept))
}

/// A list of mechanisms without those that look at the TLS connection to the server, which is not the client's: it
/// would be bound to another channel than it has, and with EXTERNAL be whoever this connection manager is.
fn useful(ns: &str, name: &'static str, list: Bytes) -> Result<Bytes, Broken> {
    let list = Element::check(list, &Scope::default(), &LIMITS)?;
    let mut out = Writer::new();
    out.open_ns(name, ns);
    for child in list.children() {
        let bytes = list.child_within(&child, ns);
        if child.name == "mechanism" {
            let name = Node::parse(&bytes, ns)?.text;
            if name.trim() == "EXTERNAL" || name.ends_with("-PLUS") {
                continue;
            }
        }
        out.raw(&bytes);
    }
    out.close();
    Ok(out.finish())
}

/// An element of the stream's namespace under the prefix that clients look for.
fn rewrap(name: &'static str, children: Vec<Bytes>) -> Bytes {
    let mut out = Writer::new();
    out.open(name);
    for child in children {
        out.raw(&child);
    }
    out.close();
    out.finish()
}
