//! Resource binding (RFC 6120 7).

use super::{
    Effect,
    stage::{Bound, ExpectBind, ExpectClaim, Stage, Stream, Transition},
};
use router::ClaimError;
use xmpp_core::{
    BareJid, Jid, Stanza, StreamError,
    error::{StanzaCondition, StanzaError, StreamCondition},
    ns,
    stanza::{IqType, Kind, StanzaFault},
    xml::{Element, Node, Writer},
};

/// Requests that may be refused before another closes the stream (RFC 6120 7.7.3: at least 5, at most 10).
const RETRIES: u32 = 5;

impl ExpectBind {
    pub(super) fn on_element(self, element: &Element, stream: &mut Stream) -> Transition {
        if element.ns() == ns::STREAM_MANAGEMENT {
            return self.on_management(element, stream);
        }
        if element.ns() != ns::CLIENT {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        if matches!(element.name(), "message" | "presence") {
            return Err(StreamCondition::NotAuthorized.into()); // RFC 6120 7.1
        }
        let mut request = match Stanza::parse(element) {
            Ok(Some(request)) => request,
            Ok(None) => return Err(StreamCondition::UnsupportedStanzaType.into()),
            Err(StanzaFault::Reply(reply)) => {
                return refuse(self.account, self.refused, Some(&reply), stream);
            }
            Err(StanzaFault::Ignore) => return Err(StreamCondition::NotAuthorized.into()),
            Err(StanzaFault::Close(error)) => return Err(error.into()),
        };
        let bind = element.children().find(|child| child.ns == ns::BIND && child.name == "bind");
        let (Some(bind), Kind::Iq(IqType::Get | IqType::Set)) = (bind, request.kind()) else {
            return Err(StreamCondition::NotAuthorized.into());
        };
        if !is_own(request.head.to.as_ref(), &self.account) {
            return Err(StreamCondition::NotAuthorized.into());
        }
        if request.head.from.as_ref().is_some_and(|from| from.to_bare() != self.account) {
            return Err(StreamCondition::InvalidFrom.into());
        }
        request.head.from = None; // RFC 6120 8.1.1.1: an answer is to the full address, which there is none of yet
        let bind = Node::parse(&element.standalone_child(&bind), "");
        match bind {
            Ok(bind) if request.kind() == Kind::Iq(IqType::Set) => {
                let wish = bind.child(ns::BIND, "resource").map(|resource| resource.text.clone());
                // RFC 6120 7.6, and 7.7.2.1 for an empty one: the server makes it
                let wish = wish.filter(|wish| !wish.is_empty());
                let Self { account, refused } = self;
                let effect = Effect::Claim(account.clone(), wish);
                Ok(Stage::Claim(Box::new(ExpectClaim { account, refused, request })).with(effect))
            }
            _ => {
                let error = StanzaError::new(StanzaCondition::BadRequest);
                refuse(self.account, self.refused, request.error(&error).as_ref(), stream)
            }
        }
    }
}

impl ExpectBind {
    /// One request more has failed.
    pub(super) fn retry(self) -> Transition {
        if self.refused == RETRIES {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("too many requests to bind a resource")
                .into());
        }
        Ok(Stage::Bind(Self { refused: self.refused + 1, ..self }).into())
    }
}

impl ExpectClaim {
    pub(super) fn on_claimed(
        self,
        outcome: Result<Jid, ClaimError>,
        stream: &mut Stream,
    ) -> Transition {
        let condition = match outcome {
            Ok(jid) => {
                let mut bind = Writer::new();
                bind.open_ns("bind", ns::BIND).open("jid").text(jid.as_str()).close().close();
                self.request.result(bind.finish()).write(&mut stream.output);
                return Ok(Stage::Bound(Bound { jid, pinged: false }).into());
            }
            Err(ClaimError::NoAccount) => return Err(StreamCondition::NotAuthorized.into()),
            Err(ClaimError::BadResource) => StanzaCondition::BadRequest, // RFC 6120 7.7.2.1
            Err(ClaimError::TooMany) => StanzaCondition::ResourceConstraint, // RFC 6120 7.6.2.1
            Err(ClaimError::Failed) => StanzaCondition::InternalServerError,
        };
        let reply = self.request.error(&StanzaError::new(condition));
        refuse(self.account, self.refused, reply.as_ref(), stream)
    }
}

/// RFC 6120 7.7.3: the client may try again, but not for ever.
fn refuse(
    account: BareJid,
    refused: u32,
    reply: Option<&Stanza>,
    stream: &mut Stream,
) -> Transition {
    if let Some(reply) = reply {
        reply.write(&mut stream.output);
    }
    ExpectBind { account, refused }.retry()
}

/// Whether a request is for the server or the account itself.
fn is_own(to: Option<&Jid>, account: &BareJid) -> bool {
    to.is_none_or(|to| to.as_str() == account.as_str() || to.as_str() == account.domain())
}
