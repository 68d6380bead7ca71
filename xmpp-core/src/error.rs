//! Stream errors close a stream; stanza errors become a reply.

use bytes::BytesMut;

/// A stream error (RFC 6120 4.9): the condition and an optional text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamCondition,
    /// A text for people, in English.
    pub text: Option<&'static str>,
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
        todo!()
    }
}

impl StreamError {
    /// An error with this condition and no text.
    pub fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None }
    }
    /// The same with a text for people.
    pub fn with_text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }
    /// Appends `<stream:error>…</stream:error>` (without closing the stream).
    pub fn write(&self, _out: &mut BytesMut) {
        todo!()
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

impl StanzaCondition {
    /// The element's name, such as `item-not-found`.
    pub fn name(&self) -> &'static str {
        todo!()
    }
    /// The action RFC 6120 8.3.3 associates with the condition.
    pub fn usual_action(&self) -> ErrorAction {
        todo!()
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
    pub fn write(&self, _out: &mut BytesMut) {
        todo!()
    }
}
