//! Stream headers: who is asked for, who asks, and what is on offer (RFC 6120 4.7, 4.3.2).

use super::stage::{ExpectAuth, ExpectBind, ExpectHeader, Stage, Stream, Transition};
use bytes::Bytes;
use compact_str::CompactString;
use router::Offer;
use std::time::Duration;
use xmpp_core::{
    Jid, StreamError,
    error::StreamCondition,
    ns,
    sasl::MechanismName,
    stream::{Features, RawHeader},
};

/// Bytes of a language tag that is repeated on stanzas: RFC 5646 4.4.1 finds 35 enough for every tag in use.
const LANG_MAX: usize = 35;

impl ExpectHeader {
    pub(super) fn on_header(self, raw: Bytes, stream: &mut Stream) -> Transition {
        let raw = RawHeader::read(raw, &stream.limits).map_err(StreamError::from)?;
        // Whatever is wrong with it is told by whom it was for to whom it was from (RFC 6120 4.7.1, 4.7.2, 4.9.1.2).
        let domain = asked_domain(raw.to().as_deref(), stream);
        if let Ok(domain) = &domain {
            stream.domain.get_or_insert_with(|| domain.clone());
        }
        let from = raw.from().map(|from| from.parse::<Jid>()).transpose();
        stream.peer = from.as_ref().ok().and_then(|from| from.as_ref().map(Jid::to_bare));

        let header = raw.judge(ns::CLIENT)?;
        if stream.domain != Some(domain?) {
            // threat X14: who is known at one domain is nobody at another
            return Err(StreamError::new(StreamCondition::NotAuthorized)
                .with_text("the domain changed within one connection")
                .into());
        }
        from.map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?;
        // RFC 6120 4.7.5, 4.9.3.25
        if header.version.is_none_or(|(major, _)| major == 0) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        stream.scope = header.scope;
        stream.lang =
            header.lang.as_deref().filter(|lang| is_language(lang)).map(CompactString::new);

        match self.account {
            None => {
                stream.write_header_once();
                stream.offer_authentication();
                Ok(Stage::Auth(ExpectAuth).into())
            }
            Some(account) => {
                if stream.peer.as_ref().is_some_and(|peer| *peer != account) {
                    return Err(StreamCondition::InvalidFrom.into()); // RFC 6120 4.9.3.9
                }
                stream.write_header_once();
                stream.offer_binding();
                Ok(Stage::Bind(ExpectBind { account, refused: 0 }).into())
            }
        }
    }
}

impl Stream {
    /// Whether STARTTLS is on offer.
    pub(super) fn offers_tls(&self) -> bool {
        !self.secure
    }

    /// The mechanisms on offer: none in the clear where TLS is required (RFC 6120 6.3.4, threat T02).
    pub(super) fn mechanisms(&self) -> &[MechanismName] {
        let settings = self.host.settings();
        if self.secure || !settings.require_tls { &settings.mechanisms } else { &[] }
    }

    fn offer_authentication(&mut self) {
        let mut features = Features::default();
        if self.offers_tls() {
            features.starttls(self.host.settings().require_tls);
        }
        if !self.mechanisms().is_empty() {
            features.mechanisms(self.mechanisms().iter().map(|mechanism| mechanism.as_str()));
            features.other(&self.modules_offer(Offer::BeforeAuth));
        }
        if self.offers_registration() {
            features.other(b"<register xmlns='http://jabber.org/features/iq-register'/>"); // XEP-0077 8
        }
        // Whatever is said in between: see `Session::deadline`.
        self.offer(features, self.host.settings().auth_timeout);
    }

    fn offer_binding(&mut self) {
        let mut features = Features::default();
        features.bind().session(); // RFC 6120 7.4
        features.other(b"<sm xmlns='urn:xmpp:sm:3'/>"); // XEP-0198 2
        features.other(&self.modules_offer(Offer::AfterAuth));
        self.offer(features, self.host.settings().idle_timeout);
    }

    fn modules_offer(&self, offer: Offer) -> Bytes {
        let domain = self.domain.as_ref().map_or("", Jid::domain);
        self.host.features(offer, domain)
    }

    /// XEP-0478 3.1: the limits that hold for what comes next, as they are enforced.
    fn offer(&mut self, mut features: Features, idle: Duration) {
        features.limits(self.limits.bytes, idle.as_secs()).write(&mut self.output);
    }
}

/// The domain that a header is for, if it is served here.
fn asked_domain(to: Option<&str>, stream: &Stream) -> Result<Jid, StreamError> {
    let unknown = || StreamError::new(StreamCondition::HostUnknown);
    // RFC 6120 4.7.2: a client must say whom it wants. Without it older ones would have to be put with a domain that they
    // did not ask for.
    let domain: Jid = to
        .ok_or_else(unknown)?
        .parse()
        .map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?;
    if domain.local().is_some() || !domain.is_bare() {
        return Err(StreamCondition::ImproperAddressing.into());
    }
    if stream.host.serves(domain.domain()) { Ok(domain) } else { Err(unknown()) }
}

/// Whether it has the form of a language tag; anything else is as good as none.
fn is_language(tag: &str) -> bool {
    (1..=LANG_MAX).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
