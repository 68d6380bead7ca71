//! What a door must know, each limit with its reason.

use ipnet::IpNet;
use net::tls::HANDSHAKE_DEADLINE;
use std::time::Duration;
use xmpp_core::{BareJid, sasl::MechanismName, xml::Limits};

/// Settings of a [`Door`](crate::Door). [`Settings::new`] gives the defaults; the fields may be changed freely.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain that the server calls itself where a client names none that is served (RFC 6120 4.9.1.3).
    pub domain: String,
    /// STARTTLS before anything else (RFC 6120 5.3.1). Nothing but STARTTLS is offered before.
    pub require_tls: bool,
    /// The mechanisms on offer, in the order they are offered. Not offered is not accepted (threat A02).
    pub mechanisms: Vec<MechanismName>,
    /// PBKDF2 rounds of new accounts: accounts that do not exist look like these.
    pub iterations: u32,
    /// What a stream may send before it has authenticated.
    pub before_auth: Limits,
    /// What it may send after.
    pub after_auth: Limits,
    /// From the connection to the success of SASL, and again from there to a bound resource. It is no idle timer:
    /// bytes do not extend it (threat X17).
    pub auth_timeout: Duration,
    /// For a TLS handshake (threat T05).
    pub tls_timeout: Duration,
    /// A bound stream that sends no byte for so long is asked for a sign of life (RFC 6120 4.6.1).
    pub idle_timeout: Duration,
    /// It has so long to give one.
    pub idle_grace: Duration,
    /// A client that reads nothing for so long, while something waits to be written, is gone.
    pub write_timeout: Duration,
    /// Stanzas that wait for a client's acknowledgement (XEP-0198). What comes then waits in its mailbox, so that a client
    /// that never acknowledges anything ends as one that never reads.
    pub unacked: usize,
    /// Bytes of them.
    pub unacked_bytes: usize,
    /// A client that says nothing for so long after it was asked what it has is gone.
    pub ack_timeout: Duration,
    /// A stream that is cut off may be resumed for so long; zero: not at all.
    pub resume: Duration,
    /// Streams of one account that wait to be resumed; one more ends the oldest. Less than the sessions it may have, or a
    /// client that never resumes would lock itself out.
    pub parked_per_account: usize,
    /// Streams in all that wait to be resumed: each may hold what `unacked_bytes` and its mailbox do.
    pub parked: usize,
    /// Failed logins after which another one closes the stream (RFC 6120 6.4.5: at least 2, at most 5).
    pub login_retries: u32,
    /// Failed logins of one address (an IPv6 /64) in one minute; more are refused unseen (threat A08).
    pub failed_logins_per_minute: u32,
    /// Bytes that one stream may send. Over it, it is not read.
    pub bytes: Rate,
    /// Stanzas that one stream may send. Over it, it is not read.
    pub stanzas: Rate,
    /// In-band registration (XEP-0077); `None`: strangers cannot register.
    pub registration: Option<Registration>,
    /// What [`Door::shut`](crate::Door::shut) waits for clients to go.
    pub shutdown_timeout: Duration,
    /// Addresses that no rate and no limit of failed logins holds for.
    pub trusted: Vec<IpNet>,
}

/// How strangers may register. Only over streams that nobody else can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// From the connection to the success of SASL, for a client that was told what to fill in.
    pub timeout: Duration,
    /// Attempts of one address (an IPv6 /64) in one hour, whatever comes of them (threat R01).
    pub per_hour: u32,
    /// Accounts that nobody can register, such as those of operators: to who asks they are taken.
    pub reserved: Vec<BareJid>,
}

/// A token bucket: so many per second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run; 0 counts as 1.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Settings {
    /// The defaults, for a server that calls itself `domain`.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            require_tls: true,
            mechanisms: vec![
                MechanismName::ScramSha512,
                MechanismName::ScramSha256,
                MechanismName::ScramSha1,
                MechanismName::Plain,
            ],
            iterations: 10_000,
            before_auth: Limits::BEFORE_AUTH,
            after_auth: Limits::AFTER_AUTH,
            auth_timeout: Duration::from_secs(30),
            tls_timeout: HANDSHAKE_DEADLINE,
            idle_timeout: Duration::from_secs(300),
            idle_grace: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            unacked: 1_000,
            unacked_bytes: 1_024 * 1_024,
            ack_timeout: Duration::from_secs(60),
            resume: Duration::from_secs(600),
            parked_per_account: 5,
            parked: 10_000,
            login_retries: 5,
            failed_logins_per_minute: 10,
            bytes: Rate { per_second: 20 * 1_024, burst: 256 * 1_024 },
            stanzas: Rate { per_second: 50, burst: 200 },
            registration: None,
            shutdown_timeout: Duration::from_secs(5),
            trusted: Vec::new(),
        }
    }
}
