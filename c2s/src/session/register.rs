//! In-band registration on a stream that has not authenticated (XEP-0077 3.1.1).

use super::{
    Effect,
    sasl::not_yet,
    stage::{ExpectAuth, ExpectRegistration, Stage, Stream, Transition},
};
use xmpp_core::{
    BareJid, Jid, Stanza, StanzaError,
    error::{ErrorAction, StanzaCondition, StreamCondition},
    ns,
    stanza::{IqType, Kind, StanzaFault},
    xml::{Element, Writer},
};

/// Why an account is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegisterError {
    /// The name is taken.
    Taken,
    /// The password is none (RFC 8265 4.2).
    BadPassword,
    /// The address has tried too often, or the store has too much to do.
    TooMany,
    /// The store failed.
    Failed,
}

/// What is asked for.
enum Wish {
    /// To know what has to be filled in.
    Form,
    /// An account with this password.
    Account(BareJid, String),
}

impl Stream {
    /// Whether strangers may register. Never where others can read the password (XEP-0077 11).
    pub(super) fn offers_registration(&self) -> bool {
        self.secure && self.host.settings().registration.is_some()
    }
}

/// Whether it is about registration, where that can be talked about: in the clear no stanza is answered.
pub(super) fn is_request(element: &Element, stream: &Stream) -> bool {
    stream.secure
        && element.is(ns::CLIENT, "iq")
        && element.children().any(|child| child.is(ns::REGISTER, "query"))
}

pub(super) fn on_request(element: &Element, stream: &mut Stream) -> Transition {
    let mut request = match Stanza::parse(element) {
        Ok(Some(request)) => request,
        Ok(None) => return Err(StreamCondition::UnsupportedStanzaType.into()),
        Err(StanzaFault::Reply(reply)) => {
            reply.write(&mut stream.output);
            return Ok(Stage::Auth(ExpectAuth).into());
        }
        Err(StanzaFault::Ignore) => return Err(not_yet(element)),
        Err(StanzaFault::Close(error)) => return Err(error.into()),
    };
    let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = request.kind() else {
        return Err(not_yet(element));
    };
    request.head.from = None; // nobody has said yet who it is
    match wish(&request, kind, stream) {
        Ok(Wish::Form) => {
            stream.form_sent = true;
            request.result(form()).write(&mut stream.output);
            Ok(Stage::Auth(ExpectAuth).into())
        }
        Ok(Wish::Account(account, password)) => {
            // Its password waits nowhere.
            let request = request.without(|_| true);
            let effect = Effect::Register(account, password);
            Ok(Stage::Registration(Box::new(ExpectRegistration { request })).with(effect))
        }
        Err(error) => {
            refuse(request, &error, stream);
            Ok(Stage::Auth(ExpectAuth).into())
        }
    }
}

impl ExpectRegistration {
    pub(super) fn on_registered(
        self,
        outcome: Result<(), RegisterError>,
        stream: &mut Stream,
    ) -> Transition {
        let error = |condition| StanzaError::new(condition);
        let refusal = match outcome {
            Ok(()) => {
                stream.registered = true;
                self.request.result([].as_slice().into()).write(&mut stream.output);
                return Ok(Stage::Auth(ExpectAuth).into());
            }
            Err(RegisterError::Taken) => error(StanzaCondition::Conflict),
            Err(RegisterError::BadPassword) => error(StanzaCondition::NotAcceptable)
                .with_text("the password is too long or has forbidden characters"),
            Err(RegisterError::TooMany) => error(StanzaCondition::ResourceConstraint)
                .with_text("too many registrations: try again later"),
            Err(RegisterError::Failed) => StanzaError {
                action: ErrorAction::Wait,
                ..error(StanzaCondition::InternalServerError)
            },
        };
        refuse(self.request, &refusal, stream);
        Ok(Stage::Auth(ExpectAuth).into())
    }
}

fn wish(request: &Stanza, kind: IqType, stream: &Stream) -> Result<Wish, StanzaError> {
    let refuse = |condition| Err(StanzaError::new(condition));
    let domain = stream.domain.as_ref().expect("a header came before");
    let elsewhere = request.head.to.as_ref().is_some_and(|to| to != domain);
    if elsewhere || !stream.offers_registration() {
        // XEP-0077 3.1
        return refuse(StanzaCondition::ServiceUnavailable);
    }
    if kind == IqType::Get {
        return Ok(Wish::Form);
    }
    if stream.registered {
        // XEP-0077 3.1.1: one account to a stream
        return Err(StanzaError::new(StanzaCondition::NotAcceptable)
            .with_text("this stream has registered an account: log in with it"));
    }
    let query = request.children().next().and_then(|query| request.node(&query).ok());
    let Some(query) = query else { return refuse(StanzaCondition::BadRequest) };
    if query.child(ns::REGISTER, "remove").is_some() {
        // XEP-0077 3.2: nobody in particular
        return refuse(StanzaCondition::UnexpectedRequest);
    }
    // XEP-0077 3.1: all that was asked for, and no empty password
    let field = |name| query.child(ns::REGISTER, name).map(|field| &*field.text);
    let filled_in = |name| field(name).filter(|text| !text.is_empty());
    let (Some(username), Some(password)) = (filled_in("username"), filled_in("password")) else {
        return Err(StanzaError::new(StanzaCondition::NotAcceptable)
            .with_text("user name and password are required"));
    };
    // threat A13: as a login prepares it
    match Jid::new(Some(username), domain.domain(), None) {
        Ok(jid) => Ok(Wish::Account(jid.to_bare(), password.to_owned())),
        Err(_) => Err(StanzaError::new(StanzaCondition::NotAcceptable)
            .with_text("that cannot be a user name")),
    }
}

/// XEP-0077 3.1: what has to be filled in.
fn form() -> bytes::Bytes {
    let mut out = Writer::new();
    out.open_ns("query", ns::REGISTER);
    out.open("instructions").text("Choose a user name and a password.").close();
    out.open("username").close().open("password").close().close();
    out.finish()
}

/// Answers with an error that does not repeat the request, in which a password may be (XEP-0077 3.3).
fn refuse(request: Stanza, error: &StanzaError, stream: &mut Stream) {
    if let Some(reply) = request.without(|_| true).error(error) {
        reply.write(&mut stream.output);
    }
}
