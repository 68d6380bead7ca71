//! What a client sends: one `<body/>` element, checked once.

use super::{answer::Condition, contract::Terms};
use bytes::{Bytes, BytesMut};
use std::{fmt, ops::Range, str::FromStr};
use xmpp_core::{
    Jid, ns,
    xml::{self, Element, Frame, Framer, Limits, Scope},
};

/// The highest `rid` there is (XEP-0124 14.1): integers above 2^53 - 1 are not exact in JavaScript.
pub const RID_MAX: u64 = 9_007_199_254_740_991;

/// The version of the protocol spoken here (XEP-0124 7.1, `ver`).
pub const VERSION: Version = Version { major: 1, minor: 11 };

/// Bytes that a request for a session has at most (RFC 3921 3), whatever its id is.
const SESSION_REQUEST: usize = 512;

/// A request whose form is acceptable.
pub struct Request {
    /// The request's number, 1 to [`RID_MAX`].
    pub rid: u64,
    /// The session it claims to belong to; `None` asks for a new one.
    pub sid: Option<String>,
    /// What it asks for beside delivering its payloads.
    pub wish: Wish,
    /// Its payloads, one after the other, fit for the server's stream as they are: what stands in the namespace
    /// of the `<body/>` by inheritance falls into the stream's own (XEP-0206 2).
    pub payloads: Bytes,
    /// Where the client speaks of stream management in them (XEP-0198); mostly nowhere.
    pub management: Vec<Managing>,
    /// Its length as it came, in bytes.
    pub bytes: usize,
    /// The other attributes, read when needed: a request that waits for its turn keeps no more than it brings.
    attributes: Vec<Attribute>,
}

/// An element of stream management among the payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managing {
    /// Its bytes.
    pub place: Range<usize>,
    /// Whether it waits for an answer: `<enable/>` or `<resume/>`.
    pub asks: bool,
}

struct Attribute {
    ns: String,
    name: String,
    value: String,
}

/// What a request wants beside the delivery of its payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing more.
    Payloads,
    /// A new stream on the same connection (XEP-0206 5).
    Restart,
    /// Another stream beside those that there are, where that is offered; otherwise nothing more (XEP-0124 16.3).
    Stream,
    /// Every request back, and so many seconds of silence allowed (XEP-0124 10).
    Pause(u64),
    /// The end of the session (XEP-0124 13).
    Terminate,
}

/// A request whose form is not acceptable: `bad-request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// Not one well-formed `<body/>` element, so nothing is known of the client.
    Xml,
    /// A `<body/>` with an unacceptable attribute or with text in it.
    Body {
        /// The session it names.
        sid: Option<String>,
        /// Whether it has a `ver`.
        ver: bool,
    },
}

/// A version of BOSH: two integers, not a decimal fraction (XEP-0124 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u64,
    minor: u64,
}

impl Request {
    /// Checks one HTTP body. White space between payloads is ignored; other text directly inside is
    /// refused (XEP-0124 6).
    pub fn parse(raw: BytesMut, limits: &Limits) -> Result<Self, Malformed> {
        let bytes = raw.len();
        let body = document(raw, limits).ok_or(Malformed::Xml)?;
        if !body.is(ns::HTTPBIND, "body") {
            return Err(Malformed::Xml);
        }
        let sid = body.attr("sid").map(|sid| sid.into_owned());
        let (Some(rid), Some(mut wish), false) = (rid(&body), wish(&body), body.has_text()) else {
            return Err(Malformed::Body { sid, ver: body.attr("ver").is_some() });
        };
        let (payloads, management) = payloads(&body);
        if wish == Wish::Payloads && sid.is_some() && payloads.is_empty() {
            let asks = body.attr("to").is_some_and(|to| !to.is_empty());
            wish = if asks { Wish::Stream } else { wish };
        }
        let attributes = attributes(&body);
        Ok(Self { rid, sid, wish, payloads, management, bytes, attributes })
    }

    /// Whether it only asks for payloads and brings none: what polling limits count (XEP-0124 11, 12).
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty() && self.wish == Wish::Payloads
    }

    /// Whether it may be one more than there may be at once: it pauses or terminates (XEP-0124 11).
    pub fn is_extra(&self) -> bool {
        matches!(self.wish, Wish::Pause(_) | Wish::Terminate)
    }

    /// Whether the client names a version, and so understands terminal conditions (XEP-0124 17.1).
    pub fn has_version(&self) -> bool {
        self.attr("ver").is_some()
    }

    /// The version to be spoken: the lower of both (XEP-0124 7.2).
    pub fn version(&self) -> Result<Version, Condition> {
        match self.attr("ver") {
            None => Ok(VERSION),
            Some(text) => text.parse().map(|theirs| VERSION.min(theirs)),
        }
    }

    /// The domain asked for.
    pub fn to(&self) -> Result<String, Condition> {
        let to = self.attr("to").unwrap_or_default();
        let to: Jid = to.parse().map_err(|_| Condition::ImproperAddressing)?;
        match to.local().is_none() && to.resource().is_none() {
            true => Ok(to.domain().to_owned()),
            false => Err(Condition::ImproperAddressing),
        }
    }

    /// The domain asked for, if it is served here.
    pub fn domain(&self, terms: &Terms) -> Result<String, Condition> {
        let to = self.to()?;
        match terms.domains.is_empty() || terms.domains.contains(&to) {
            _ if terms.gone.contains(&to) => Err(Condition::HostGone),
            true => Ok(to),
            false => Err(Condition::HostUnknown),
        }
    }

    /// The stream that it is about (XEP-0124 16.4).
    pub fn stream(&self) -> Option<&str> {
        self.attr("stream")
    }

    /// Whether the client names a domain.
    pub fn has_to(&self) -> bool {
        self.attr("to").is_some_and(|to| !to.is_empty())
    }

    /// The server that it would have for its domain (XEP-0124 7.1).
    pub fn route(&self) -> Option<String> {
        self.attr("route").filter(|route| !route.is_empty()).map(str::to_owned)
    }

    /// Who the client says it is (XEP-0206 3).
    pub fn from(&self) -> Option<String> {
        self.attr("from").map(str::to_owned)
    }

    /// The language of what it sends.
    pub fn lang(&self) -> Option<String> {
        self.attr_ns(ns::XML, "lang").map(str::to_owned)
    }

    /// The highest request whose answer the client has, with all before it (XEP-0124 9.2). In the request that
    /// opens a session 1 announces that later ones will tell, and their silence too.
    pub fn ack(&self) -> Result<Option<u64>, Condition> {
        self.number("ack")
    }

    /// Its place in a key sequence, as it is written (XEP-0124 15.4).
    pub fn key(&self) -> Option<&str> {
        self.attr("key")
    }

    /// The first key of a new sequence, as it is written (XEP-0124 15.4).
    pub fn new_key(&self) -> Option<&str> {
        self.attr("newkey")
    }

    /// A number among the attributes, such as `hold` or `wait`.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Condition> {
        let Some(text) = self.attr(name) else { return Ok(None) };
        number(text).map(Some).ok_or(Condition::BadRequest)
    }

    /// The `Content-Type` that every response of the session carries, unchanged (XEP-0124 7.1). Only
    /// types that browsers may be given are taken, and no other character encoding.
    pub fn content(&self) -> Result<Option<String>, Condition> {
        const TYPES: [&str; 4] = ["text/xml", "application/xml", "text/plain", "text/html"];
        let Some(text) = self.attr("content") else { return Ok(None) };
        let (kind, charset) = match text.split_once(';') {
            Some((kind, rest)) => (kind, rest.trim_matches(' ')),
            None => (text, "charset=utf-8"),
        };
        let known = TYPES.iter().any(|one| kind.eq_ignore_ascii_case(one));
        match known && charset.eq_ignore_ascii_case("charset=utf-8") {
            true => Ok(Some(text.to_owned())),
            false => Err(Condition::BadRequest),
        }
    }

    /// Whether it brings more than the request for a session that was once needed after binding (RFC 3921 3).
    pub fn speaks(&self) -> bool {
        let text = std::str::from_utf8(&self.payloads).unwrap_or_default();
        let asks = text.len() <= SESSION_REQUEST && text.contains(ns::SESSION);
        !text.is_empty() && !asks
    }

    /// The payloads without what the client says of stream management.
    pub fn unmanaged(&self) -> Bytes {
        let mut rest = BytesMut::with_capacity(self.payloads.len());
        let mut from = 0;
        for Managing { place, .. } in &self.management {
            rest.extend_from_slice(&self.payloads[from..place.start]);
            from = place.end;
        }
        rest.extend_from_slice(&self.payloads[from..]);
        rest.freeze()
    }

    fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|one| one.name == name && one.ns == ns)?;
        Some(&found.value)
    }
}

// Neither the session's secret nor the content belongs in a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("wish", &self.wish).finish_non_exhaustive()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Condition;
    fn from_str(text: &str) -> Result<Self, Condition> {
        let parts = text.split_once('.').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        parts.map(|(major, minor)| Self { major, minor }).ok_or(Condition::BadRequest)
    }
}

/// One strict parser for every number of the protocol: decimal digits, no sign, no leading zero, at most
/// [`RID_MAX`].
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    (digits && plain).then(|| text.parse().ok())?.filter(|value| *value <= RID_MAX)
}

/// The single element of a document, with nothing but white space around it.
fn document(mut raw: BytesMut, limits: &Limits) -> Option<Element> {
    let mut framer = Framer::document(limits.clone());
    let mut body = None;
    while let Some(frame) = framer.next(&mut raw).ok()? {
        match frame {
            Frame::Whitespace => {}
            Frame::Element(found) if body.is_none() => body = Some(found),
            _ => return None,
        }
    }
    if !raw.is_empty() {
        return None;
    }
    Element::check(body?, &Scope::default(), limits).ok()
}

/// The attributes that are not read at once.
fn attributes(body: &Element) -> Vec<Attribute> {
    let later =
        body.attributes().filter(|one| !one.ns.is_empty() || !matches!(one.name, "rid" | "sid"));
    let owned = |one: xml::Attribute<'_>| Attribute {
        ns: one.ns.to_owned(),
        name: one.name.to_owned(),
        value: one.value.into_owned(),
    };
    later.map(owned).collect()
}

/// The payloads in one piece, a single one without a copy, and where they speak of stream management.
fn payloads(body: &Element) -> (Bytes, Vec<Managing>) {
    let mut management = Vec::new();
    let mut end = 0;
    let mut children = body.children().map(|child| {
        let payload = body.child_within(&child, ns::HTTPBIND);
        let place = end..end + payload.len();
        end = place.end;
        if child.ns == ns::STREAM_MANAGEMENT {
            let asks = matches!(child.name, "enable" | "resume");
            management.push(Managing { place, asks });
        }
        payload
    });
    let first = children.next().unwrap_or_default();
    let all = match children.next() {
        None => first,
        Some(second) => {
            let mut all = BytesMut::with_capacity(body.inner().len());
            [first, second].iter().for_each(|payload| all.extend_from_slice(payload));
            children.by_ref().for_each(|payload| all.extend_from_slice(&payload));
            all.freeze()
        }
    };
    drop(children);
    (all, management)
}

fn rid(body: &Element) -> Option<u64> {
    number(&body.attr("rid")?).filter(|rid| *rid > 0)
}

fn wish(body: &Element) -> Option<Wish> {
    if body.attr("type").is_some_and(|kind| kind == "terminate") {
        return Some(Wish::Terminate);
    }
    if let Some(seconds) = body.attr("pause") {
        return number(&seconds).map(Wish::Pause);
    }
    let restart = body.attr_ns(ns::XBOSH, "restart");
    match restart.as_deref() {
        Some("true" | "1") => Some(Wish::Restart),
        _ => Some(Wish::Payloads),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Malformed> {
        Request::parse(text.into(), &Limits::AFTER_AUTH)
    }

    fn with(attributes: &str) -> Request {
        parse(&format!("<body xmlns='{}' rid='1' {attributes}/>", ns::HTTPBIND)).unwrap()
    }

    #[test]
    fn x18_a_number_is_plain_digits_up_to_2_to_53_less_1() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("9007199254740991"), Some(RID_MAX));
        let digits = "9".repeat(400);
        for bad in [
            "",
            "-0",
            "-1",
            "+1",
            "01",
            "00",
            "1e3",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "١",
            "１",
            "9007199254740992",
            "9223372036854775808",
            "18446744073709551616",
            &digits,
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn row_11_a_missing_or_odd_rid_is_a_bad_request() {
        for rid in ["", "rid='0'", "rid='-1'", "rid='x'", "rid='9007199254740992'", "rid=' 7'"] {
            let text = format!("<body xmlns='{}' ver='1.6' {rid}/>", ns::HTTPBIND);
            assert_eq!(parse(&text).err(), Some(Malformed::Body { sid: None, ver: true }), "{rid}");
        }
    }

    #[test]
    fn row_7_the_body_is_one_element_of_its_namespace() {
        let body = format!("<body xmlns='{}' rid='1'/>", ns::HTTPBIND);
        assert!(parse(&body).is_ok());
        assert!(parse(&format!(" {body}\r\n")).is_ok(), "white space around it is nothing");
        for bad in [
            String::new(),
            format!("{body}{body}"),
            format!("{body}x"),
            format!("{body}<"),
            body.replace("httpbind", "other"),
            body.replace("<body", "<bodies"),
            body.replace("/>", ">"),
            format!("<!-- -->{body}"),
            format!("<!DOCTYPE body []>{body}"),
            body.replace("/>", "><?x y?></body>"),
            body.replace("/>", "><a>&x;</a></body>"),
        ] {
            assert_eq!(parse(&bad).err(), Some(Malformed::Xml), "{bad}");
        }
    }

    #[test]
    fn row_9_white_space_between_payloads_is_ignored_and_text_refused() {
        let body = |inner| format!("<body xmlns='{}' rid='1' sid='s'>{inner}</body>", ns::HTTPBIND);
        let request = parse(&body(" <a xmlns='x'/>\n <b xmlns='y'/> ")).unwrap();
        assert_eq!(request.payloads, "<a xmlns='x'/><b xmlns='y'/>");
        let bad = Malformed::Body { sid: Some("s".into()), ver: false };
        assert_eq!(parse(&body("<a xmlns='x'/>hm")).err(), Some(bad));
    }

    #[test]
    fn row_14_a_minor_version_is_an_integer_of_its_own() {
        let version = |text: &str| with(&format!("ver='{text}'")).version().map(|v| v.to_string());
        assert_eq!(version("1.6"), Ok("1.6".into()));
        assert_eq!(version("1.10"), Ok("1.10".into()));
        assert_eq!(version("1.100"), Ok("1.11".into()));
        assert_eq!(version("2.0"), Ok("1.11".into()));
        assert_eq!(with("").version().map(|v| v.to_string()), Ok("1.11".into()));
        for bad in ["", "1", "1.", ".6", "1.6.1", "1.x", "+1.6"] {
            assert_eq!(version(bad), Err(Condition::BadRequest), "{bad}");
        }
    }

    #[test]
    fn row_4_a_content_type_is_taken_from_a_fixed_list_only() {
        for good in ["text/xml", "text/xml; charset=utf-8", "text/html;charset=UTF-8", "text/plain"]
        {
            let request = with(&format!("content='{good}'"));
            assert_eq!(request.content(), Ok(Some(good.into())));
        }
        for bad in [
            "image/svg+xml",
            "text/xml; charset=utf-16",
            "text/html; charset=utf-8; x=y",
            "text/xml&#13;&#10;X: y",
            "",
        ] {
            let request = with(&format!("content='{bad}'"));
            assert_eq!(request.content(), Err(Condition::BadRequest), "{bad}");
        }
    }

    #[test]
    fn row_19_an_address_is_a_domain_that_is_served() {
        let (domains, gone) = (vec!["example.com".to_owned()], vec!["old.example".to_owned()]);
        let terms = Terms { domains, gone, ..Terms::default() };
        let domain = |to: &str| with(&format!("to='{to}'")).domain(&terms);
        assert_eq!(domain("example.com"), Ok("example.com".into()));
        assert_eq!(domain("EXAMPLE.com"), Ok("example.com".into()));
        assert_eq!(domain("other.example"), Err(Condition::HostUnknown));
        assert_eq!(domain("old.example"), Err(Condition::HostGone));
        for bad in ["", "a@example.com", "example.com/r"] {
            assert_eq!(domain(bad), Err(Condition::ImproperAddressing), "{bad}");
        }
        assert_eq!(with("").domain(&terms), Err(Condition::ImproperAddressing));
        assert_eq!(with("to='any.example'").domain(&Terms::default()), Ok("any.example".into()));
    }

    #[test]
    fn row_74_both_styles_of_stanza_arrive_in_the_stream_s_namespace() {
        let own = parse(&format!(
            "<body xmlns='{}' xmlns:xmpp='{}' rid='1'><message xmlns='jabber:client'><body>a</body></message></body>",
            ns::HTTPBIND,
            ns::XBOSH,
        ));
        let own = own.unwrap().payloads;
        assert_eq!(own, "<message xmlns='jabber:client'><body>a</body></message>");
        let inherited = parse(&format!(
            "<body xmlns='{}' rid='1'><message><body>a</body></message></body>",
            ns::HTTPBIND,
        ));
        assert_eq!(inherited.unwrap().payloads, "<message><body>a</body></message>");
    }

    #[test]
    fn row_10_a_prefix_declared_on_the_body_travels_with_the_payload() {
        let request = parse(&format!(
            "<b:body xmlns:b='{}' xmlns='urn:x' xmlns:j='urn:json' rid='1'><j:json>[]</j:json><x/></b:body>",
            ns::HTTPBIND,
        ));
        assert_eq!(
            request.unwrap().payloads,
            "<j:json xmlns:j='urn:json'>[]</j:json><x xmlns='urn:x'/>"
        );
    }

    #[test]
    fn x08_declarations_on_the_body_are_not_multiplied_by_its_payloads() {
        let bomb = |declaration: &str, payload: &str| {
            let payloads = payload.repeat(1_000);
            let bound = format!("xmlns:b='{}' {declaration}", ns::HTTPBIND);
            parse(&format!("<b:body {bound} rid='1' sid='s'>{payloads}</b:body>"))
        };
        let long = "u".repeat(2_000);
        assert_eq!(bomb(&format!("xmlns:p='{long}'"), "<p:a/>").err(), Some(Malformed::Xml));
        assert_eq!(bomb(&format!("xmlns='{long}'"), "<a/>").err(), Some(Malformed::Xml));
        let taken = bomb("xmlns:p='urn:p'", "<p:a/>").unwrap().payloads;
        assert_eq!(taken, "<p:a xmlns:p='urn:p'/>".repeat(1_000), "within the limit they may grow");
    }

    #[test]
    fn row_73_a_restart_is_true_or_1() {
        let wish = |value| with(&format!("xmlns:xmpp='{}' xmpp:restart='{value}'", ns::XBOSH)).wish;
        assert_eq!(wish("true"), Wish::Restart);
        assert_eq!(wish("1"), Wish::Restart);
        assert_eq!(wish("false"), Wish::Payloads);
        assert_eq!(with("restart='true'").wish, Wish::Payloads, "only in its namespace");
    }
}
