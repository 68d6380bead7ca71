//! Stream headers and features (RFC 6120 4).

use crate::{
    StreamError,
    error::StreamCondition,
    ns,
    xml::{Element, Limits, Scope, XmlError, escape_into, is_uri},
};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;

/// Bytes of namespace declarations that a header may carry beyond its own two. Each stanza that uses them
/// repeats them for every recipient, so a short stanza must not become a long one.
pub const HEADER_DECLARATIONS_MAX: usize = 1_024;

/// What the peer's stream header said (RFC 6120 4.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `to`, as written.
    pub to: Option<String>,
    /// `from`, as written.
    pub from: Option<String>,
    /// `id` (servers only).
    pub id: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// `version`, major and minor; `None` where absent (before 1.0).
    pub version: Option<(u32, u32)>,
    /// The namespaces the header opens.
    pub scope: Scope,
}

/// A header that is well-formed and nothing more: enough to know who speaks, so that what is wrong with it can be told to
/// them (RFC 6120 4.9.1.2).
#[derive(Debug)]
pub struct RawHeader {
    element: Element,
    scope: Scope,
}

impl RawHeader {
    /// Reads the header as the framer cut it.
    ///
    /// # Errors
    /// It is not well-formed, or over a limit.
    pub fn read(raw: Bytes, limits: &Limits) -> Result<Self, XmlError> {
        let (element, scope) = Element::check_header(raw, limits)?;
        Ok(Self { element, scope })
    }

    /// `to`, as written.
    pub fn to(&self) -> Option<Cow<'_, str>> {
        self.element.attr("to")
    }

    /// `from`, as written.
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.element.attr("from")
    }

    /// Judges it. The element must be `stream` (else `bad-format`) in the streams namespace, the content namespace
    /// `content` its default, or else none be declared, so that each child says its own (RFC 6120 4.8.2), and what else it
    /// declares URIs (else `invalid-namespace`).
    /// A version that is not two numbers is `unsupported-version`; an old or a missing one is for the caller
    /// to judge (4.7.5). More than [`HEADER_DECLARATIONS_MAX`] is `policy-violation`.
    ///
    /// # Errors
    /// The stream ends with them.
    pub fn judge(self, content: &str) -> Result<Header, StreamError> {
        let Self { element, scope } = self;
        if element.name() != "stream" {
            return Err(StreamCondition::BadFormat.into());
        }
        // RFC 6120 4.9.3.10
        if element.ns() != ns::STREAMS || ![content, ns::STREAMS, ""].contains(&&*scope.default) {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        if !scope.prefixes.iter().all(|(_, ns)| is_uri(ns.as_bytes())) {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let extra = scope.prefixes.iter().filter(|(_, ns)| ns != ns::STREAMS);
        if extra.map(|(prefix, ns)| prefix.len() + ns.len()).sum::<usize>()
            > HEADER_DECLARATIONS_MAX
        {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("too many namespaces on the stream header"));
        }
        let version = match element.attr("version") {
            Some(text) => Some(
                version(&text)
                    .ok_or_else(|| StreamError::new(StreamCondition::UnsupportedVersion))?,
            ),
            None => None,
        };
        let attr = |name| element.attr(name).map(String::from);
        Ok(Header {
            to: attr("to"),
            from: attr("from"),
            id: attr("id"),
            lang: element.attr_ns(ns::XML, "lang").map(String::from),
            version,
            scope,
        })
    }
}

impl Header {
    /// Reads and judges the header as the framer cut it: [`RawHeader::read`] and [`RawHeader::judge`] at once.
    ///
    /// # Errors
    /// Theirs.
    pub fn parse(raw: Bytes, content: &str, limits: &Limits) -> Result<Self, StreamError> {
        RawHeader::read(raw, limits)?.judge(content)
    }
}

/// A `version`: two numbers with a dot between; leading zeros do not count (RFC 6120 4.7.5). `None`: it is not one.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let number = |digits: &str| {
        // `u32::from_str` would take a sign too
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let (major, minor) = text.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

/// Appends the server's answer: XML declaration and start tag (RFC 6120 4.7).
pub fn write_header(out: &mut BytesMut, from: &str, to: Option<&str>, id: &str, lang: &str) {
    open(out);
    attribute(out, "id", Some(id));
    attribute(out, "from", Some(from));
    attribute(out, "to", to);
    attribute(out, "xml:lang", Some(lang));
    out.extend_from_slice(b">");
}

/// Appends an initiating entity's header (what a client or a connection manager sends).
pub fn write_initiating_header(
    out: &mut BytesMut,
    to: &str,
    from: Option<&str>,
    lang: Option<&str>,
) {
    open(out);
    attribute(out, "to", Some(to));
    attribute(out, "from", from);
    attribute(out, "xml:lang", lang);
    out.extend_from_slice(b">");
}

/// The end of a stream.
pub const FOOTER: &str = "</stream:stream>";

/// What `<stream:features/>` offers (RFC 6120 4.3.2), in the order they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    elements: Vec<u8>,
}

impl Features {
    /// STARTTLS (RFC 6120 5.4.1).
    pub fn starttls(&mut self, required: bool) -> &mut Self {
        self.put("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'");
        self.put(if required { "><required/></starttls>" } else { "/>" })
    }
    /// SASL mechanisms (RFC 6120 6.4.1).
    pub fn mechanisms<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.put("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
        for name in names {
            self.put("<mechanism>").put(name).put("</mechanism>");
        }
        self.put("</mechanisms>")
    }
    /// Resource binding (RFC 6120 7.4).
    pub fn bind(&mut self) -> &mut Self {
        self.put("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
    }
    /// Legacy session establishment, optional (draft-cridland-xmpp-session).
    pub fn session(&mut self) -> &mut Self {
        self.put("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>")
    }
    /// What a stream may send, and how long it may be silent (XEP-0478 3.1).
    pub fn limits(&mut self, max_bytes: usize, idle_seconds: u64) -> &mut Self {
        let limits = format!(
            "<limits xmlns='{}'><max-bytes>{max_bytes}</max-bytes>\
             <idle-seconds>{idle_seconds}</idle-seconds></limits>",
            ns::STREAM_LIMITS
        );
        self.put(&limits)
    }
    /// Any other features, serialised.
    pub fn other(&mut self, element: &[u8]) -> &mut Self {
        self.elements.extend_from_slice(element);
        self
    }
    /// Appends the element.
    pub fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"<stream:features>");
        out.extend_from_slice(&self.elements);
        out.extend_from_slice(b"</stream:features>");
    }

    fn put(&mut self, text: &str) -> &mut Self {
        self.other(text.as_bytes())
    }
}

fn open(out: &mut BytesMut) {
    out.extend_from_slice(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
          xmlns:stream='http://etherx.jabber.org/streams' version='1.0'",
    );
}

fn attribute(out: &mut BytesMut, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        for part in [" ", name, "='"] {
            out.extend_from_slice(part.as_bytes());
        }
        escape_into(value, out);
        out.extend_from_slice(b"'");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StreamCondition::*;

    const STREAM: &str = "xmlns:stream='http://etherx.jabber.org/streams'";

    fn parse(tag: &str) -> Result<Header, StreamCondition> {
        let raw = Bytes::copy_from_slice(tag.as_bytes());
        Header::parse(raw, ns::CLIENT, &Limits::BEFORE_AUTH).map_err(|error| error.condition)
    }

    #[test]
    fn what_the_header_says() {
        let header = parse(&format!(
            "<stream:stream to='b.example' from=\"r@b\" id='1' xml:lang='de' version='1.0' \
             xmlns='jabber:client' {STREAM} xmlns:db='urn:db'>"
        ));
        let scope = Scope {
            default: "jabber:client".into(),
            prefixes: vec![("stream".into(), ns::STREAMS.into()), ("db".into(), "urn:db".into())],
        };
        assert_eq!(
            header,
            Ok(Header {
                to: Some("b.example".into()),
                from: Some("r@b".into()),
                id: Some("1".into()),
                lang: Some("de".into()),
                version: Some((1, 0)),
                scope
            })
        );
    }

    #[test]
    fn x18_versions() {
        for (text, version) in [
            ("1.0", Ok(Some((1, 0)))),
            ("01.00", Ok(Some((1, 0)))), // leading zeros are ignored, RFC 6120 4.7.5
            ("1.10", Ok(Some((1, 10)))),
            ("0.9", Ok(Some((0, 9)))),
            ("2.0", Ok(Some((2, 0)))),
            ("11.0", Ok(Some((11, 0)))),
            ("4294967295.0", Ok(Some((u32::MAX, 0)))),
            ("4294967296.0", Err(UnsupportedVersion)),
            ("18446744073709551617.0", Err(UnsupportedVersion)),
            ("", Err(UnsupportedVersion)),
            ("1", Err(UnsupportedVersion)),
            ("1.", Err(UnsupportedVersion)),
            (".0", Err(UnsupportedVersion)),
            ("1.0.0", Err(UnsupportedVersion)),
            ("+1.0", Err(UnsupportedVersion)),
            ("-1.0", Err(UnsupportedVersion)),
            ("1.-0", Err(UnsupportedVersion)),
            (" 1.0", Err(UnsupportedVersion)),
            ("1.0 ", Err(UnsupportedVersion)),
            ("1e0.0", Err(UnsupportedVersion)),
            ("1,0", Err(UnsupportedVersion)),
            ("\u{661}.\u{660}", Err(UnsupportedVersion)),
        ] {
            let header =
                parse(&format!("<stream:stream version='{text}' xmlns='jabber:client' {STREAM}>"));
            assert_eq!(header.map(|h| h.version), version, "{text}");
        }
        let header = parse(&format!("<stream:stream xmlns='jabber:client' {STREAM}>")).unwrap();
        assert_eq!(header.version, None);
    }

    #[test]
    fn headers_that_are_none() {
        for (tag, condition) in [
            (
                "<stream:stream xmlns='jabber:client' xmlns:stream='http://wrong.example/'>",
                InvalidNamespace,
            ),
            ("<stream xmlns='jabber:client'>", InvalidNamespace),
            ("<stream:stream xmlns='jabber:server' S>", InvalidNamespace),
            ("<stream:stream xmlns='urn:example' S>", InvalidNamespace),
            ("<stream:stream xmlns='jabber:client' S xmlns:p='a b'>", InvalidNamespace),
            ("<stream:features xmlns='jabber:client' S>", BadFormat),
            ("<stream:streaM xmlns='jabber:client' S>", BadFormat),
            ("<html>", BadFormat),
            ("<stream:stream xmlns='jabber:client'>", NotWellFormed),
            ("<stream:stream xmlns='jabber:client' S/>", NotWellFormed),
            ("<stream:stream xmlns='jabber:client' S", NotWellFormed),
            ("<stream:stream xmlns='jabber:client' S>x", NotWellFormed),
            ("<stream:stream to='1' to='1' xmlns='jabber:client' S>", NotWellFormed),
            ("", NotWellFormed),
        ] {
            assert_eq!(parse(&tag.replace('S', STREAM)), Err(condition), "{tag}");
        }
    }

    #[test]
    fn another_prefix_for_the_stream_is_fine() {
        let tag = "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>";
        assert!(parse(tag).is_ok());
    }

    /// RFC 6120 4.8.2: both styles are acceptable.
    #[test]
    fn the_content_namespace_need_not_be_declared() {
        for tag in [
            "<stream xmlns='http://etherx.jabber.org/streams'>",
            "<stream:stream xmlns='' xmlns:stream='http://etherx.jabber.org/streams'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
        ] {
            assert!(parse(tag).is_ok(), "{tag}");
        }
    }

    #[test]
    fn x08_a_header_full_of_namespaces_is_refused() {
        let tag = |bytes: usize| {
            let ns = "n".repeat(bytes - 1);
            parse(&format!("<stream:stream xmlns='jabber:client' {STREAM} xmlns:p='{ns}'>"))
        };
        assert!(tag(HEADER_DECLARATIONS_MAX).is_ok());
        assert_eq!(tag(HEADER_DECLARATIONS_MAX + 1), Err(PolicyViolation));
    }

    #[test]
    fn a_header_written_is_read() {
        let mut out = BytesMut::new();
        write_header(&mut out, "b.example", Some("r@b/<'"), "i&d", "en");
        let tag = out.strip_prefix(b"<?xml version='1.0'?>").unwrap();
        let header = parse(str::from_utf8(tag).unwrap()).unwrap();
        assert_eq!(header.from.as_deref(), Some("b.example"));
        assert_eq!(header.to.as_deref(), Some("r@b/<'"));
        assert_eq!(header.id.as_deref(), Some("i&d"));
        assert_eq!((header.lang.as_deref(), header.version), (Some("en"), Some((1, 0))));
        out.clear();
        write_initiating_header(&mut out, "b.example", None, None);
        let tag = out.strip_prefix(b"<?xml version='1.0'?>").unwrap();
        let header = parse(str::from_utf8(tag).unwrap()).unwrap();
        assert_eq!(header.to.as_deref(), Some("b.example"));
        assert_eq!((header.from, header.lang), (None, None));
    }

    #[test]
    fn features_come_in_the_order_of_the_calls() {
        let mut out = BytesMut::new();
        let mut features = Features::default();
        features.starttls(true).mechanisms(["PLAIN", "SCRAM-SHA-1"]).bind().session();
        features.other(b"<ver xmlns='urn:xmpp:features:rosterver'/>").write(&mut out);
        assert_eq!(
            out,
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
             <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
             <mechanism>SCRAM-SHA-1</mechanism></mechanisms><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
             <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
             <ver xmlns='urn:xmpp:features:rosterver'/></stream:features>"
        );
        out.clear();
        Features::default().starttls(false).write(&mut out);
        assert_eq!(
            out,
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        );
    }
}
