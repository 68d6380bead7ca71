//! Stanzas (RFC 6120 8): a small owned head, and the payload exactly as it arrived.

use crate::{
    Jid, StanzaError, StreamError,
    error::{StanzaCondition, StreamCondition},
    ns,
    xml::{self, Child, Element, Limits, Node, Parsed, Scope, Span, Text, XmlError},
};
use bytes::{Bytes, BytesMut};
use compact_str::CompactString;
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

mod kind;

pub use kind::{IqType, Kind, MessageType, PresenceType};

/// Bytes of an `id`: as many as a part of an address may have. Ids are repeated in answers and kept in tables.
pub const ID_MAX: usize = 1_023;
/// Bytes of an `xml:lang`: RFC 5646 4.4.1 finds 35 enough for any language tag.
pub const LANG_MAX: usize = 64;

/// What a stanza's start tag says.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// Kind and type.
    pub kind: Kind,
    /// The recipient.
    pub to: Option<Jid>,
    /// The sender; stamped by the server (RFC 6120 8.1.2.1).
    pub from: Option<Jid>,
    /// The id, any text.
    pub id: Option<CompactString>,
    /// `xml:lang`.
    pub lang: Option<CompactString>,
    /// The rest of the start tag as it must be repeated: namespace declarations that `inner` takes from
    /// outside itself, and further attributes. Starts with a space where not empty.
    pub rest: Bytes,
}

/// A stanza: parsed once, forwarded without touching its payload. As large as a pointer; cloning bumps a counter, and
/// whoever changes the head of a stanza that others hold, too, has a head of its own from then on. Nobody ever has to copy
/// the payload.
///
/// `inner` stands in the scope of the stream's content namespace. Whether that is `jabber:client` or
/// `jabber:server` is a matter of the stream that it is written to (RFC 6120 4.8.3); children without a namespace of
/// their own are reported as `jabber:client`.
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza(Arc<Parts>);

/// What a [`Stanza`] holds.
#[derive(Clone)]
pub struct Parts {
    /// The start tag.
    pub head: Head,
    inner: Bytes,
    index: Index,
}

/// The direct children; most stanzas have one or two.
type Index = SmallVec<[Entry; 2]>;

/// A direct child. What it is called is asked for again and again, so it is at hand.
#[derive(Clone)]
struct Entry {
    ns: Text,
    name: CompactString,
    /// Where it stands in `inner`.
    span: Span,
}

/// Why an element that looks like a stanza is not routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StanzaFault {
    /// Its sender gets this error instead: the same `id`, addressed back where `from` and `to` are addresses.
    Reply(Stanza),
    /// It is an error or a result itself, so it must not be answered (RFC 6120 8.3.1).
    Ignore,
    /// It cannot be forwarded as it is: the stream ends.
    Close(StreamError),
}

/// No limits, for what the server made itself or has checked before.
const UNLIMITED: Limits = Limits {
    bytes: usize::MAX,
    elements: u32::MAX,
    depth: u32::MAX,
    attributes: u32::MAX,
    declarations: u32::MAX,
    name: usize::MAX,
};

impl Stanza {
    /// Reads a checked element in `jabber:client` or `jabber:server`; which of them a stream takes is for the
    /// caller to say. `Ok(None)`: it is not a stanza.
    /// Refused: an address that is not a JID (`jid-malformed`, RFC 6120 8.3.3.8), an iq without id, type or with
    /// not exactly one child for get and set (`bad-request`, 8.2.3), a presence of unknown type (`bad-request`),
    /// an element of the streams namespace anywhere inside (`bad-request`: some clients take it for their
    /// stream's), a namespace that is no URI (`bad-request`: a parser that joins names and namespaces into one text
    /// takes one for the other, or gives up), an id over [`ID_MAX`] or a language over [`LANG_MAX`] (`bad-request`); with an end of the
    /// stream, a prefix on the stanza itself (`bad-namespace-prefix`, 4.8.5).
    /// A result with several children or an iq error without `<error/>` passes, though 8.2.3 forbids them: neither may be
    /// answered, and whoever asked would wait for ever if they were dropped.
    pub fn parse(element: &Element) -> Result<Option<Self>, StanzaFault> {
        if !matches!(element.ns(), ns::CLIENT | ns::SERVER) {
            return Ok(None);
        }
        let mut rest = BytesMut::new();
        let Tag { type_, to, from, id, lang } = Tag::read(element, &mut rest);
        let Some(kind) = Kind::parse(element.name(), type_.as_deref()) else { return Ok(None) };
        if element.has_prefix() {
            return Err(StanzaFault::Close(StreamCondition::BadNamespacePrefix.into()));
        }
        let address = |text: Option<Cow<'_, str>>| text.map(|text| text.parse::<Jid>()).transpose();
        let (to, from) = (address(to), address(from));
        let text = |text: Cow<'_, str>| CompactString::from(text);
        let (id, lang) = (id.map(text), lang.map(text));
        let too_long =
            |text: &Option<CompactString>, max| text.as_ref().is_some_and(|t| t.len() > max);

        let request = matches!(kind, Ok(Kind::Iq(IqType::Get | IqType::Set)));
        let bad = too_long(&id, ID_MAX)
            || too_long(&lang, LANG_MAX)
            || (id.is_none() && matches!(kind, Ok(Kind::Iq(_))))
            || (request && element.parsed().children.len() != 1) // RFC 6120 8.2.3
            || element.parsed().holds_stream
            || element.parsed().odd_namespace;
        match (kind, to, from) {
            (Ok(kind), Ok(to), Ok(from)) if !bad => {
                let head = Head { kind, to, from, id, lang, rest: rest.freeze() };
                let index = index(element.parsed(), element.raw());
                Ok(Some(Self::of(head, element.inner(), index)))
            }
            (kind, to, from) => {
                let condition = match (&to, &from) {
                    (Ok(_), Ok(_)) => StanzaCondition::BadRequest,
                    _ => StanzaCondition::JidMalformed,
                };
                let (to, from) = (to.ok().flatten(), from.ok().flatten());
                let kind = kind.map_or_else(Some, Kind::to_error);
                Err(kind.map_or(StanzaFault::Ignore, |kind| refuse(kind, id, to, from, condition)))
            }
        }
    }
    /// A stanza of the server's own; `inner` is well-formed in the scope of `jabber:client`.
    pub fn new(kind: Kind, inner: Bytes) -> Self {
        let mut stanza = Self::of(Head::new(kind), Bytes::new(), Index::new());
        if inner.is_empty() {
            return stanza;
        }
        match xml::content(&inner, &stanza.scope(), &UNLIMITED) {
            Ok(parsed) => {
                stanza.index = index(&parsed, &inner);
                stanza.inner = inner;
            }
            Err(error) => debug_assert!(false, "the server's own payload: {error}"),
        }
        stanza
    }
    /// The same to this recipient.
    pub fn to(mut self, to: Jid) -> Self {
        self.head.to = Some(to);
        self
    }
    /// The same from this sender.
    pub fn from(mut self, from: Jid) -> Self {
        self.head.from = Some(from);
        self
    }
    /// The same with this id.
    pub fn id(mut self, id: &str) -> Self {
        self.head.id = Some(id.into());
        self
    }
    /// A stanza of the server's own whose only child, of this namespace and name, carries this one whole (XEP-0297 3).
    /// It is written out here, once, however many sessions get the result.
    pub fn forwarded(&self, kind: Kind, ns: &'static str, name: &'static str) -> Self {
        let mut inner = BytesMut::with_capacity(self.weight() + 160);
        for part in ["<", name, " xmlns='", ns, "'><forwarded xmlns='", ns::FORWARD, "'>"] {
            inner.extend_from_slice(part.as_bytes());
        }
        self.write_with(" xmlns='jabber:client'", &mut inner);
        for part in ["</forwarded></", name, ">"] {
            inner.extend_from_slice(part.as_bytes());
        }
        let entry = Entry {
            ns: Text::Known(ns),
            name: CompactString::const_new(name),
            span: Span::new(0, inner.len()),
        };
        Self::of(Head::new(kind), inner.freeze(), Index::from_iter([entry]))
    }
    /// Its kind and type.
    pub fn kind(&self) -> Kind {
        self.head.kind
    }
    /// The payload, as it arrived.
    pub fn inner(&self) -> &Bytes {
        &self.inner
    }
    /// The direct children.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        self.index.iter().map(|entry| self.entry(entry))
    }
    /// The first direct child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<Child<'_>> {
        let found = self
            .index
            .iter()
            .find(|entry| entry.name == name && entry.ns.bytes(&self.inner) == ns.as_bytes());
        found.map(|entry| self.entry(entry))
    }
    /// A direct child as a checked element, to be taken apart as the bytes that arrived.
    pub fn element(&self, child: &Child<'_>) -> Result<Element, XmlError> {
        Element::check(self.inner.slice(child.span.clone()), &self.scope(), &UNLIMITED)
    }
    /// A direct child as a tree.
    pub fn node(&self, child: &Child<'_>) -> Result<Node, XmlError> {
        Node::parse_in(child.raw, &self.scope())
    }
    /// The same stanza with `element` (one whole element, serialised, in the scope of `jabber:client`) added as
    /// its last child. It must be well-formed; what is not is left out.
    pub fn with_child(mut self, element: &[u8]) -> Self {
        let parsed = match xml::content(element, &self.scope(), &UNLIMITED) {
            Ok(parsed) => parsed,
            Err(error) => {
                debug_assert!(false, "the server's own child: {error}");
                return self;
            }
        };
        let mut inner = BytesMut::with_capacity(self.inner.len() + element.len());
        inner.extend_from_slice(&self.inner);
        inner.extend_from_slice(element);
        let by = Span::new(0, self.inner.len()).end;
        let added = index(&parsed, element);
        let parts = &mut *self;
        parts.index.extend(added.into_iter().map(|e| Entry { span: e.span.on(by), ..e }));
        parts.inner = inner.freeze();
        self
    }
    /// The same stanza without the children for which `drop` is true. Copies only where there is one.
    pub fn without(mut self, drop: impl Fn(&Child<'_>) -> bool) -> Self {
        let dropped: SmallVec<[bool; 16]> = self.children().map(|child| drop(&child)).collect();
        if !dropped.contains(&true) {
            return self;
        }
        let mut inner = BytesMut::with_capacity(self.inner.len());
        let mut index = Index::new();
        let mut copied = 0;
        let mut gone = 0;
        for (entry, dropped) in self.index.iter().zip(dropped) {
            if dropped {
                inner.extend_from_slice(&self.inner[copied..entry.span.start as usize]);
                copied = entry.span.end as usize;
                gone += entry.span.end - entry.span.start;
            } else {
                index.push(Entry { span: entry.span.back(gone), ..entry.clone() });
            }
        }
        inner.extend_from_slice(&self.inner[copied..]);
        self.inner = inner.freeze();
        self.index = index;
        self
    }
    /// The result of an iq, to and from exchanged (RFC 6120 8.2.3).
    pub fn result(&self, inner: Bytes) -> Self {
        let mut result = Self::new(Kind::Iq(IqType::Result), inner);
        self.address_back(&mut result.head);
        result
    }
    /// The error in reply, to and from exchanged, with the payload of the original for iq only;
    /// `None` for errors and results, which are never answered (RFC 6120 8.3.1).
    pub fn error(&self, error: &StanzaError) -> Option<Self> {
        let kind = self.kind().to_error()?;
        let mut element = BytesMut::new();
        error.write(&mut element);
        let mut reply = if matches!(kind, Kind::Iq(_)) {
            let mut reply = self.clone().with_child(&element);
            reply.head.kind = kind;
            reply
        } else {
            Self::new(kind, element.freeze())
        };
        self.address_back(&mut reply.head);
        Some(reply)
    }
    /// Appends the stanza as it stands on a stream whose default namespace is the stanza's.
    pub fn write(&self, out: &mut BytesMut) {
        self.write_with("", out);
    }
    /// Bytes it takes when written, about: what bounded queues count.
    pub fn weight(&self) -> usize {
        /// Names, quotes and the two tags themselves.
        const TAGS: usize = 80;
        let Head { to, from, id, lang, rest, .. } = &self.head;
        let jid = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
        let text = |text: &Option<CompactString>| text.as_ref().map_or(0, CompactString::len);
        TAGS + jid(to) + jid(from) + text(id) + text(lang) + rest.len() + self.inner.len()
    }
    /// The stanza with a payload of its own allocation, for keeping long (a slice pins its read block).
    pub fn detached(mut self) -> Self {
        self.inner = Bytes::copy_from_slice(&self.inner);
        self
    }

    fn of(head: Head, inner: Bytes, index: Index) -> Self {
        Self(Arc::new(Parts { head, inner, index }))
    }

    /// Appends the stanza with this declaration in its start tag.
    fn write_with(&self, declaration: &str, out: &mut BytesMut) {
        let Head { kind, to, from, id, lang, rest } = &self.head;
        let name = kind.name();
        out.reserve(self.weight());
        for part in ["<", name, declaration] {
            out.extend_from_slice(part.as_bytes());
        }
        for (attribute, value) in [
            (" type='", kind.type_name()),
            (" to='", to.as_ref().map(Jid::as_str)),
            (" from='", from.as_ref().map(Jid::as_str)),
            (" id='", id.as_deref()),
            (" xml:lang='", lang.as_deref()),
        ] {
            if let Some(value) = value {
                out.extend_from_slice(attribute.as_bytes());
                xml::escape_into(value, out);
                out.extend_from_slice(b"'");
            }
        }
        out.extend_from_slice(rest);
        if self.inner.is_empty() {
            out.extend_from_slice(b"/>");
        } else {
            out.extend_from_slice(b">");
            out.extend_from_slice(&self.inner);
            out.extend_from_slice(b"</");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b">");
        }
    }

    fn entry<'a>(&'a self, entry: &'a Entry) -> Child<'a> {
        Child {
            ns: entry.ns.str(&self.inner),
            name: &entry.name,
            span: entry.span.range(),
            raw: &self.inner[entry.span.range()],
        }
    }

    fn address_back(&self, reply: &mut Head) {
        reply.to = self.head.from.clone();
        reply.from = self.head.to.clone();
        reply.id = self.head.id.clone();
        reply.lang = None;
    }

    /// The namespaces in force between the tags.
    fn scope(&self) -> Scope {
        let mut prefixes = Vec::new();
        if !self.head.rest.is_empty() {
            let tag = [b"<x".as_slice(), &self.head.rest, b">"].concat();
            match Element::check_header(tag.into(), &UNLIMITED) {
                Ok((_, scope)) => prefixes = scope.prefixes,
                Err(error) => debug_assert!(false, "the rest of a start tag: {error}"),
            }
        }
        Scope { default: ns::CLIENT.to_owned(), prefixes }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, to, from, id, lang, rest } = self;
        write!(f, "{kind:?} to {to:?} from {from:?} id {id:?} lang {lang:?} rest {}", rest.len())
    }
}

impl fmt::Debug for Stanza {
    /// Without the payload: what people write to each other does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stanza({:?} inner {})", self.head, self.inner.len())
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.inner == other.inner // the index follows from these
    }
}

impl Eq for Parts {}

impl Deref for Stanza {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Stanza {
    /// Where others hold the stanza, too, this is a copy.
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

impl Head {
    fn new(kind: Kind) -> Self {
        Self { kind, to: None, from: None, id: None, lang: None, rest: Bytes::new() }
    }
}

/// The attributes that [`Head`] has a field for.
#[derive(Default)]
struct Tag<'a> {
    type_: Option<Cow<'a, str>>,
    to: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    lang: Option<Cow<'a, str>>,
}

impl<'a> Tag<'a> {
    /// What else is to be repeated goes to `rest`.
    fn read(element: &'a Element, rest: &mut BytesMut) -> Self {
        let mut tag = Self::default();
        element.take_tag(rest, |ns, name, value| {
            let place = match (ns, name) {
                ("", b"to") => &mut tag.to,
                ("", b"from") => &mut tag.from,
                ("", b"id") => &mut tag.id,
                ("", b"type") => &mut tag.type_,
                (ns::XML, b"lang") => &mut tag.lang,
                _ => return false,
            };
            *place = Some(element.decode(value));
            true
        });
        tag
    }
}

/// The error of this kind to a stanza with these attributes. Nothing of the payload is repeated, since that may
/// be what is wrong (RFC 6120 8.3.1).
fn refuse(
    kind: Kind,
    id: Option<CompactString>,
    to: Option<Jid>,
    from: Option<Jid>,
    condition: StanzaCondition,
) -> StanzaFault {
    let mut inner = BytesMut::new();
    StanzaError::new(condition).write(&mut inner);
    let mut reply = Stanza::new(kind, inner.freeze());
    reply.head.to = from;
    reply.head.from = to;
    // RFC 6120 8.3.1: an error to an iq has an id, if an empty one
    let needed = matches!(kind, Kind::Iq(_)).then(CompactString::default);
    reply.head.id = id.or(needed);
    StanzaFault::Reply(reply)
}

/// The children of checked bytes, by offsets into what stands between the tags.
fn index(parsed: &Parsed, raw: &[u8]) -> Index {
    let start = parsed.inner.start;
    let children = parsed.children.iter().map(|child| Entry {
        ns: match &parsed.namespaces[child.ns as usize] {
            _ if child.ns == parsed.inner_default() => Text::Known(ns::CLIENT),
            other => Text::copy(other.str(raw)),
        },
        name: child.name.local.str(raw).into(),
        span: child.span.back(start),
    });
    children.collect()
}
