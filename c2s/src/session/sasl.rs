//! STARTTLS and SASL as they stand on the stream (RFC 6120 5.4, 6.4).

use super::{
    Answer, Ask, Effect, End, Side, register,
    stage::{
        ExpectAuth, ExpectHeader, ExpectSaslResponse, ExpectSaslResult, ExpectTls, Stage, Step,
        Stream, Transition,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use xmpp_core::{
    BareJid, StreamError,
    error::StreamCondition,
    ns,
    sasl::{self, Failure, Identity, MechanismName, Response},
    xml::Element,
};

impl ExpectAuth {
    pub(super) fn on_element(self, element: &Element, stream: &mut Stream) -> Transition {
        match (element.ns(), element.name()) {
            (ns::TLS, "starttls") => start_tls(element, stream),
            (ns::SASL, "auth") => authenticate(element, stream),
            (ns::SASL, "abort") => refuse(Failure::Aborted, stream),
            (ns::SASL, "response") => refuse(Failure::MalformedRequest, stream), // nothing was asked
            _ if register::is_request(element, stream) => register::on_request(element, stream),
            _ => Err(not_yet(element)),
        }
    }
}

impl ExpectSaslResponse {
    pub(super) fn on_element(self, element: &Element, stream: &mut Stream) -> Transition {
        match (element.ns(), element.name()) {
            (ns::SASL, "response") => match self.respond(element, stream) {
                Ok(step) => Ok(step),
                Err(failure) => refuse(failure, stream),
            },
            (ns::SASL, "abort") => refuse(Failure::Aborted, stream), // RFC 6120 6.4.4
            (ns::SASL, "auth") => {
                // RFC 6120 6.4.2: the exchange under way is discarded, which uses up a try
                count_failure(stream)?;
                authenticate(element, stream)
            }
            _ => Err(not_yet(element)),
        }
    }

    fn respond(self, element: &Element, stream: &Stream) -> Result<Step, Failure> {
        let message = data(element)?.unwrap_or_default();
        match self {
            Self::First(mechanism) => ask_first(mechanism, message, stream),
            Self::Next { account, exchange } => Ok(Stage::SaslResult(ExpectSaslResult { account })
                .with(Effect::Authenticate(Ask::Continue { exchange, message }))),
        }
    }
}

impl ExpectSaslResult {
    pub(super) fn on_answer(self, answer: Answer, stream: &mut Stream) -> Transition {
        let account = self.account;
        match answer {
            Answer::Refused(failure) => refuse(failure, stream),
            Answer::Responded(exchange, Response::Proceed(challenge)) => {
                write_data("challenge", &challenge, stream);
                Ok(Stage::SaslResponse(ExpectSaslResponse::Next { account, exchange }).into())
            }
            Answer::Responded(_, Response::Success(Identity::Username(name), data))
                if account.local() == Some(&name) =>
            {
                succeed(account, &data, stream)
            }
            Answer::Responded(_, Response::Success(..)) => {
                debug_assert!(false, "an exchange is about one account");
                refuse(Failure::NotAuthorized, stream)
            }
        }
    }
}

/// `<starttls/>` (RFC 6120 5.4.2.1).
fn start_tls(element: &Element, stream: &mut Stream) -> Transition {
    if !stream.offers_tls() || element.children().next().is_some() || element.has_text() {
        return Err(refuse_tls(stream));
    }
    // RFC 6120 5.3.3, threat T01: what was sent ahead in the clear must not be read as if it were encrypted
    if !stream.input.is_empty() {
        return Err(StreamError::new(StreamCondition::PolicyViolation)
            .with_text("data after starttls")
            .into());
    }
    stream.write(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    Ok(Stage::Tls(ExpectTls).with(Effect::StartTls))
}

/// RFC 6120 5.4.2.2: the stream ends with it.
pub(super) fn refuse_tls(stream: &mut Stream) -> End {
    stream.write(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    End::Footer(Side::Server, "starttls out of place")
}

/// `<auth/>` (RFC 6120 6.4.2).
fn authenticate(element: &Element, stream: &mut Stream) -> Transition {
    begin(element, stream).map_or_else(|failure| refuse(failure, stream), Ok)
}

fn begin(element: &Element, stream: &mut Stream) -> Result<Step, Failure> {
    if !stream.secure && stream.host.settings().require_tls {
        return Err(Failure::EncryptionRequired); // threat T02
    }
    let mechanism = element
        .attr("mechanism")
        .and_then(|name| MechanismName::from_name(&name))
        .filter(|mechanism| stream.mechanisms().contains(mechanism)) // threat A02
        .ok_or(Failure::InvalidMechanism)?;
    match data(element)? {
        Some(first) => ask_first(mechanism, first, stream),
        None => {
            // each mechanism of ours begins with the client: an empty challenge asks it to (RFC 4422 5.1)
            stream.write(b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            Ok(Stage::SaslResponse(ExpectSaslResponse::First(mechanism)).into())
        }
    }
}

fn ask_first(mechanism: MechanismName, first: Vec<u8>, stream: &Stream) -> Result<Step, Failure> {
    let domain = stream.domain.as_ref().expect("a header came before");
    let account = sasl::account(mechanism, domain.domain(), &first)?;
    Ok(Stage::SaslResult(ExpectSaslResult { account: account.clone() })
        .with(Effect::Authenticate(Ask::Begin { mechanism, account, first })))
}

/// RFC 6120 6.4.6.
fn succeed(account: BareJid, data: &[u8], stream: &mut Stream) -> Transition {
    // what an encrypted header said must be true
    if stream.secure && stream.peer.as_ref().is_some_and(|peer| *peer != account) {
        return Err(StreamCondition::InvalidFrom.into());
    }
    write_data("success", data, stream);
    stream.restart(stream.host.settings().after_auth.clone());
    Ok(Stage::Header(ExpectHeader { account: Some(account) }).into())
}

/// RFC 6120 6.4.5: the client may try again, but not for ever.
fn refuse(failure: Failure, stream: &mut Stream) -> Transition {
    for part in ["<failure xmlns='", ns::SASL, "'><", failure.name(), "/></failure>"] {
        stream.write(part.as_bytes());
    }
    count_failure(stream)?;
    Ok(Stage::Auth(ExpectAuth).into())
}

fn count_failure(stream: &mut Stream) -> Result<(), StreamError> {
    stream.failures += 1;
    if stream.failures > stream.host.settings().login_retries {
        return Err(
            StreamError::new(StreamCondition::PolicyViolation).with_text("too many failed logins")
        );
    }
    Ok(())
}

/// What came instead of authentication (threat A09).
pub(super) fn not_yet(element: &Element) -> End {
    match (element.ns(), element.name()) {
        (ns::CLIENT, "message" | "presence" | "iq") => StreamCondition::NotAuthorized.into(),
        _ => StreamCondition::UnsupportedStanzaType.into(),
    }
}

/// The data in an element: `None` where it is empty, no bytes where it says `=` (RFC 6120 6.4.2).
fn data(element: &Element) -> Result<Option<Vec<u8>>, Failure> {
    if element.children().next().is_some() {
        return Err(Failure::MalformedRequest);
    }
    match &*element.text() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        // RFC 6120 6.3.5: no white space, padding bits zero; the engine is strict about both
        text => STANDARD.decode(text).map(Some).map_err(|_| Failure::IncorrectEncoding),
    }
}

fn write_data(name: &str, data: &[u8], stream: &mut Stream) {
    for part in ["<", name, " xmlns='", ns::SASL, "'>", &STANDARD.encode(data), "</", name, ">"] {
        stream.write(part.as_bytes());
    }
}
