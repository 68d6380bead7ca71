//! A case is data: what is sent, when, and what must come of it.

use xmpp_core::xml::Node;

/// Where a stream stands when the hostile bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was said, nothing is encrypted. Over BOSH: the bytes are the whole HTTP body.
    Fresh,
    /// The header and the features are exchanged, in the clear. Over BOSH: a session was created.
    Clear,
    /// Encrypted, and no header yet. Over BOSH like [`Stage::Fresh`].
    Encrypted,
    /// Encrypted, the mechanisms are on offer. Over BOSH: a session was created.
    Offered,
    /// SCRAM-SHA-1 has begun: the server's challenge is there.
    Challenged,
    /// SASL has succeeded, and no header has come since. Over BOSH: no restart.
    Authenticated,
    /// The stream is restarted: a resource may be bound.
    Restarted,
    /// Bound as [`MALLORY`].
    Bound,
}

/// The hostile client.
pub const MALLORY: &str = "mallory@capulet.lit/x";
/// Whom nothing of it may reach.
pub const NURSE: &str = "nurse@capulet.lit/garden";
/// Their password.
pub const PASSWORD: &str = "wherefore";

/// What the hostile client has learned by the time it speaks.
#[derive(Debug, Default)]
pub struct Met {
    /// The SCRAM challenge, decoded.
    pub challenge: String,
    /// The BOSH session, and the number of its next request.
    pub sid: String,
    pub rid: u64,
}

/// What is sent.
pub enum Input {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this makes of the server's words.
    Made(fn(&Met) -> Vec<u8>),
}

/// What must come of it.
#[derive(Clone, Copy)]
pub enum Expect {
    /// This stream error, the end of the stream, and the end of the connection.
    StreamError(&'static str),
    /// This failure of SASL; the stream goes on.
    SaslFailure(&'static str),
    /// `<failure/>` of STARTTLS and the end (RFC 6120 5.4.2.2).
    TlsFailure,
    /// This stanza error; the stream goes on.
    StanzaError(&'static str),
    /// The end of the stream and of the connection, in good order.
    Goodbye,
    /// No answer; the stream goes on.
    Silence,
    /// An answer of which this holds; the stream goes on.
    Answer(fn(&Node) -> bool),
    /// BOSH: `terminate` with this condition.
    Terminate(&'static str),
    /// BOSH: this HTTP status, whatever the body.
    Status(u16),
}

/// The ways into the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A byte stream, in memory and over TCP.
    Stream,
    /// HTTP bodies.
    Bosh,
}

/// One hostile act.
pub struct Case {
    /// The row of the threat, `_`, and what is hostile about it.
    pub name: &'static str,
    pub stage: Stage,
    pub input: Input,
    expect: Expect,
    /// Where BOSH must answer otherwise.
    over_bosh: Option<Expect>,
    /// The only door that can carry it, and why the other cannot.
    only: Option<(Door, &'static str)>,
    /// Over BOSH the bytes are the whole HTTP body, whatever the stage.
    pub whole: bool,
    /// Further HTTP headers, each with its line end.
    pub headers: &'static str,
}

/// A case for both doors.
pub fn case(name: &'static str, stage: Stage, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    of(name, stage, Input::Bytes(bytes.into()), expect)
}

/// A case for both doors whose bytes depend on what the server said.
pub fn made(name: &'static str, stage: Stage, make: fn(&Met) -> Vec<u8>, expect: Expect) -> Case {
    of(name, stage, Input::Made(make), expect)
}

/// A case that only an HTTP body makes: what would be a stream's is written by the connection manager itself.
pub fn body(name: &'static str, stage: Stage, make: fn(&Met) -> Vec<u8>, expect: Expect) -> Case {
    let only = Some((Door::Bosh, "it is a matter of the <body/> itself"));
    Case { only, whole: true, ..made(name, stage, make, expect) }
}

fn of(name: &'static str, stage: Stage, input: Input, expect: Expect) -> Case {
    let whole = matches!(stage, Stage::Fresh | Stage::Encrypted);
    Case { name, stage, input, expect, over_bosh: None, only: None, whole, headers: "" }
}

impl Case {
    /// Over BOSH the answer is this one.
    pub fn bosh(self, expect: Expect) -> Self {
        Self { over_bosh: Some(expect), ..self }
    }

    /// Not over BOSH, and why.
    pub fn stream_only(self, why: &'static str) -> Self {
        Self { only: Some((Door::Stream, why)), ..self }
    }

    /// Not over a byte stream, and why.
    pub fn bosh_only(self, why: &'static str) -> Self {
        Self { only: Some((Door::Bosh, why)), ..self }
    }

    /// With these HTTP headers.
    pub fn headers(self, headers: &'static str) -> Self {
        Self { headers, ..self }
    }

    /// The row of the threat.
    pub fn row(&self) -> &'static str {
        self.name.split('_').next().expect("a name")
    }

    /// What must come of it at this door; `None` where the door cannot carry it.
    pub fn expected(&self, door: Door) -> Option<Expect> {
        match (self.only, door) {
            (Some((only, _)), door) if only != door => None,
            (_, Door::Stream) => Some(self.expect),
            (_, Door::Bosh) => Some(self.over_bosh.unwrap_or_else(|| self.expect.over_bosh())),
        }
    }
}

impl Expect {
    /// What is not XML never gets past the connection manager, which says so in its own words (XEP-0124 17.2); what is
    /// wrong with the stream comes from the server and is passed on (`remote-stream-error`).
    fn over_bosh(self) -> Self {
        match self {
            Self::StreamError(
                "not-well-formed" | "restricted-xml" | "bad-format" | "unsupported-encoding",
            ) => Self::Terminate("bad-request"),
            other => other,
        }
    }

    /// Whether this is what came.
    pub fn allows(self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::StreamError(wanted), Seen::StreamError(seen))
            | (Self::SaslFailure(wanted), Seen::SaslFailure(seen))
            | (Self::StanzaError(wanted), Seen::StanzaError(seen))
            | (Self::Terminate(wanted), Seen::Terminate(_, seen)) => wanted == seen,
            (Self::TlsFailure, Seen::TlsFailure)
            | (Self::Goodbye, Seen::Goodbye)
            | (Self::Silence, Seen::Silence) => true,
            (Self::Answer(holds), Seen::Answer(node)) => holds(node),
            (Self::Status(wanted), Seen::Status(status) | Seen::Terminate(status, _)) => {
                wanted == *status
            }
            _ => false,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::StreamError(condition) => format!("stream error {condition}"),
            Self::SaslFailure(condition) => format!("SASL failure {condition}"),
            Self::TlsFailure => "failure of STARTTLS".into(),
            Self::StanzaError(condition) => format!("stanza error {condition}"),
            Self::Goodbye => "a good end".into(),
            Self::Silence => "silence".into(),
            Self::Answer(_) => "a certain answer".into(),
            Self::Terminate(condition) => format!("terminate {condition}"),
            Self::Status(status) => format!("HTTP {status}"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    StreamError(String),
    SaslFailure(String),
    TlsFailure,
    StanzaError(String),
    Goodbye,
    Silence,
    Answer(Node),
    /// The HTTP status and the condition, empty if there is none.
    Terminate(u16, String),
    /// An HTTP answer without a `<body/>`.
    Status(u16),
    /// Something that is right in no case.
    Wrong(String),
}
