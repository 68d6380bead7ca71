//! Stream errors close a stream; stanza errors become a reply.

use crate::{ns, xml::escape_into};
use bytes::{Bytes, BytesMut};

/// A stream error (RFC 6120 4.9): the condition and an optional text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamCondition,
    /// A text for people, in English.
    pub text: Option<&'static str>,
    /// A condition of the application's own (RFC 6120 4.9.4), serialised.
    pub application: Option<Bytes>,
}

/// The conditions of RFC 6120 4.9.3.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StreamCondition {
    BadFormat,
    BadNamespacePrefix,
    Conflict,
    ConnectionTimeout,
    HostGone,
    HostUnknown,
    ImproperAddressing,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    InvalidXml,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    RemoteConnectionFailed,
    Reset,
    ResourceConstraint,
    RestrictedXml,
    /// Where to connect instead.
    SeeOtherHost(Box<str>),
    SystemShutdown,
    UndefinedCondition,
    UnsupportedEncoding,
    UnsupportedFeature,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl StreamCondition {
    /// The element's name, such as `not-well-formed`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::BadNamespacePrefix => "bad-namespace-prefix",
            Self::Conflict => "conflict",
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::InvalidFrom => "invalid-from",
            Self::InvalidNamespace => "invalid-namespace",
            Self::InvalidXml => "invalid-xml",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::Reset => "reset",
            Self::ResourceConstraint => "resource-constraint",
            Self::RestrictedXml => "restricted-xml",
            Self::SeeOtherHost(_) => "see-other-host",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::UnsupportedFeature => "unsupported-feature",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }
}

impl StreamError {
    /// An error with this condition and no text.
    pub fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None, application: None }
    }
    /// The same with a text for people.
    pub fn with_text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }
    /// The same with a condition of the application's own (RFC 6120 4.9.4): one well-formed element.
    pub fn with_application(self, element: Bytes) -> Self {
        Self { application: Some(element), ..self }
    }
    /// Appends `<stream:error>…</stream:error>` (without closing the stream).
    pub fn write(&self, out: &mut BytesMut) {
        let data = match &self.condition {
            StreamCondition::SeeOtherHost(host) => Some(&**host), // RFC 6120 4.9.3.19
            _ => None,
        };
        out.extend_from_slice(b"<stream:error>");
        write_condition(out, self.condition.name(), ns::STREAM_ERRORS, data, self.text);
        out.extend_from_slice(self.application.as_deref().unwrap_or_default());
        out.extend_from_slice(b"</stream:error>");
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

/// A stanza error (RFC 6120 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What went wrong.
    pub condition: StanzaCondition,
    /// What the sender may do about it.
    pub action: ErrorAction,
    /// A text for people, in English.
    pub text: Option<&'static str>,
    /// An application-specific condition: a whole element, already serialised (RFC 6120 8.3.4).
    pub application: Option<&'static str>,
}

/// The `type` of a stanza error (RFC 6120 8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ErrorAction {
    Auth,
    Cancel,
    Continue,
    Modify,
    Wait,
}

/// The conditions of RFC 6120 8.3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StanzaCondition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    /// The new address, if known.
    Gone(Option<Box<str>>),
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RecipientUnavailable,
    /// Where to send it instead.
    Redirect(Box<str>),
    RegistrationRequired,
    RemoteServerNotFound,
    RemoteServerTimeout,
    ResourceConstraint,
    ServiceUnavailable,
    SubscriptionRequired,
    UndefinedCondition,
    UnexpectedRequest,
}

impl ErrorAction {
    /// The value of the `type` attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

impl StanzaCondition {
    /// The element's name, such as `item-not-found`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Conflict => "conflict",
            Self::FeatureNotImplemented => "feature-not-implemented",
            Self::Forbidden => "forbidden",
            Self::Gone(_) => "gone",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found",
            Self::JidMalformed => "jid-malformed",
            Self::NotAcceptable => "not-acceptable",
            Self::NotAllowed => "not-allowed",
            Self::NotAuthorized => "not-authorized",
            Self::PolicyViolation => "policy-violation",
            Self::RecipientUnavailable => "recipient-unavailable",
            Self::Redirect(_) => "redirect",
            Self::RegistrationRequired => "registration-required",
            Self::RemoteServerNotFound => "remote-server-not-found",
            Self::RemoteServerTimeout => "remote-server-timeout",
            Self::ResourceConstraint => "resource-constraint",
            Self::ServiceUnavailable => "service-unavailable",
            Self::SubscriptionRequired => "subscription-required",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnexpectedRequest => "unexpected-request",
        }
    }
    /// The action RFC 6120 8.3.3 associates with the condition. Where it names two, the more careful one:
    /// `cancel` for `feature-not-implemented`, `modify` for `policy-violation`, `wait` for
    /// `unexpected-request`. `undefined-condition` has none (8.3.3.21) and counts as `cancel`.
    pub fn usual_action(&self) -> ErrorAction {
        match self {
            Self::Forbidden
            | Self::NotAuthorized
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => ErrorAction::Auth,
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect(_) => ErrorAction::Modify,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorAction::Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone(_)
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::UndefinedCondition => ErrorAction::Cancel,
        }
    }
}

impl StanzaError {
    /// An error with this condition and its usual action.
    pub fn new(condition: StanzaCondition) -> Self {
        Self { action: condition.usual_action(), condition, text: None, application: None }
    }
    /// The same with a text for people.
    pub fn with_text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }
    /// Appends `<error type='…'>…</error>`.
    pub fn write(&self, out: &mut BytesMut) {
        let data = match &self.condition {
            StanzaCondition::Gone(address) => address.as_deref(), // RFC 6120 8.3.3.5
            StanzaCondition::Redirect(address) => Some(&**address), // RFC 6120 8.3.3.14
            _ => None,
        };
        for part in ["<error type='", self.action.name(), "'>"] {
            out.extend_from_slice(part.as_bytes());
        }
        write_condition(out, self.condition.name(), ns::STANZA_ERRORS, data, self.text);
        out.extend_from_slice(self.application.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"</error>");
    }
}

impl From<StanzaCondition> for StanzaError {
    fn from(condition: StanzaCondition) -> Self {
        Self::new(condition)
    }
}

/// The defined condition with its character data, and the text after it (RFC 6120 4.9.2, 8.3.2).
fn write_condition(
    out: &mut BytesMut,
    name: &str,
    ns: &str,
    data: Option<&str>,
    text: Option<&str>,
) {
    for part in ["<", name, " xmlns='", ns, "'"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(data) = data {
        out.extend_from_slice(b">");
        escape_into(data, out);
        for part in ["</", name, ">"] {
            out.extend_from_slice(part.as_bytes());
        }
    } else {
        out.extend_from_slice(b"/>");
    }
    if let Some(text) = text {
        for part in ["<text xmlns='", ns, "' xml:lang='en'>"] {
            out.extend_from_slice(part.as_bytes());
        }
        escape_into(text, out);
        out.extend_from_slice(b"</text>");
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorAction::*, StanzaCondition as Stanza, StreamCondition as Stream, *};
    use crate::xml::{Node, XmlError};

    fn written(write: impl Fn(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn stream_conditions_of_rfc_6120_4_9_3() {
        // in the order of their sections
        let all = [
            (Stream::BadFormat, "bad-format"),
            (Stream::BadNamespacePrefix, "bad-namespace-prefix"),
            (Stream::Conflict, "conflict"),
            (Stream::ConnectionTimeout, "connection-timeout"),
            (Stream::HostGone, "host-gone"),
            (Stream::HostUnknown, "host-unknown"),
            (Stream::ImproperAddressing, "improper-addressing"),
            (Stream::InternalServerError, "internal-server-error"),
            (Stream::InvalidFrom, "invalid-from"),
            (Stream::InvalidNamespace, "invalid-namespace"),
            (Stream::InvalidXml, "invalid-xml"),
            (Stream::NotAuthorized, "not-authorized"),
            (Stream::NotWellFormed, "not-well-formed"),
            (Stream::PolicyViolation, "policy-violation"),
            (Stream::RemoteConnectionFailed, "remote-connection-failed"),
            (Stream::Reset, "reset"),
            (Stream::ResourceConstraint, "resource-constraint"),
            (Stream::RestrictedXml, "restricted-xml"),
            (Stream::SeeOtherHost("b.example:5222".into()), "see-other-host"),
            (Stream::SystemShutdown, "system-shutdown"),
            (Stream::UndefinedCondition, "undefined-condition"),
            (Stream::UnsupportedEncoding, "unsupported-encoding"),
            (Stream::UnsupportedFeature, "unsupported-feature"),
            (Stream::UnsupportedStanzaType, "unsupported-stanza-type"),
            (Stream::UnsupportedVersion, "unsupported-version"),
        ];
        assert_eq!(all.len(), 25);
        for (condition, name) in all {
            assert_eq!(condition.name(), name);
            let error = StreamError::new(condition).with_text("a < b");
            let text = written(|out| error.write(out));
            let declared = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>";
            let node =
                Node::parse(text.replace("<stream:error>", declared).as_bytes(), "").unwrap();
            assert!(node.is(ns::STREAMS, "error"));
            assert!(node.children[0].is(ns::STREAM_ERRORS, name));
            assert_eq!(node.child(ns::STREAM_ERRORS, "text").unwrap().text, "a < b");
        }
    }

    #[test]
    fn stanza_conditions_of_rfc_6120_8_3_3() {
        let all = [
            (Stanza::BadRequest, "bad-request", Modify),
            (Stanza::Conflict, "conflict", Cancel),
            (Stanza::FeatureNotImplemented, "feature-not-implemented", Cancel),
            (Stanza::Forbidden, "forbidden", Auth),
            (Stanza::Gone(None), "gone", Cancel),
            (Stanza::InternalServerError, "internal-server-error", Cancel),
            (Stanza::ItemNotFound, "item-not-found", Cancel),
            (Stanza::JidMalformed, "jid-malformed", Modify),
            (Stanza::NotAcceptable, "not-acceptable", Modify),
            (Stanza::NotAllowed, "not-allowed", Cancel),
            (Stanza::NotAuthorized, "not-authorized", Auth),
            (Stanza::PolicyViolation, "policy-violation", Modify),
            (Stanza::RecipientUnavailable, "recipient-unavailable", Wait),
            (Stanza::Redirect("xmpp:a@b".into()), "redirect", Modify),
            (Stanza::RegistrationRequired, "registration-required", Auth),
            (Stanza::RemoteServerNotFound, "remote-server-not-found", Cancel),
            (Stanza::RemoteServerTimeout, "remote-server-timeout", Wait),
            (Stanza::ResourceConstraint, "resource-constraint", Wait),
            (Stanza::ServiceUnavailable, "service-unavailable", Cancel),
            (Stanza::SubscriptionRequired, "subscription-required", Auth),
            (Stanza::UndefinedCondition, "undefined-condition", Cancel),
            (Stanza::UnexpectedRequest, "unexpected-request", Wait),
        ];
        assert_eq!(all.len(), 22);
        for (condition, name, action) in all {
            assert_eq!((condition.name(), condition.usual_action()), (name, action));
            let text = written(|out| StanzaError::from(condition.clone()).write(out));
            let node = Node::parse(text.as_bytes(), ns::CLIENT).unwrap();
            assert!(node.is(ns::CLIENT, "error"));
            assert_eq!(node.attr("type"), Some(action.name()));
            assert_eq!(node.children.len(), 1);
            assert!(node.children[0].is(ns::STANZA_ERRORS, name));
        }
    }

    #[test]
    fn data_text_and_application_conditions_are_written() {
        assert_eq!(
            written(|out| StreamError::new(Stream::SeeOtherHost("[::1]:5222".into())).write(out)),
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[::1]:5222\
             </see-other-host></stream:error>"
        );
        let error = StanzaError {
            condition: Stanza::Gone(Some("xmpp:a&b@c".into())),
            action: Modify,
            text: Some("moved"),
            application: Some("<x xmlns='urn:x'/>"),
        };
        assert_eq!(
            written(|out| error.write(out)),
            "<error type='modify'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a&amp;b@c</gone>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>moved</text><x xmlns='urn:x'/></error>"
        );
    }

    #[test]
    fn xml_errors_are_stream_errors() {
        for (error, condition) in [
            (XmlError::NotWellFormed("x"), Stream::NotWellFormed),
            (XmlError::BadPrefix("x"), Stream::NotWellFormed),
            (XmlError::Restricted("x"), Stream::RestrictedXml),
            (XmlError::BadFormat("x"), Stream::BadFormat),
            (XmlError::Encoding, Stream::UnsupportedEncoding),
            (XmlError::Limit("x"), Stream::PolicyViolation),
        ] {
            assert_eq!(StreamError::from(error).condition, condition);
        }
    }
}
