//! Where a stanza to a local account goes: RFC 6121 8.5 as one pure function.
//!
//! Where the RFC leaves a choice: several resources, all of those with a non-negative priority; not deliverable, an error
//! and not silence; an error stanza, dropped (RFC 6120 8.3.1); an iq to the resource of somebody who does not share
//! presence with the asker, `service-unavailable`, as for a resource that is not there.
//!
//! Before all of that stands the recipient's block list (8.1, security warning; XEP-0191 3.3).

use smallvec::SmallVec;
use xmpp_core::{
    Jid, Kind,
    error::StanzaCondition,
    stanza::{Head, IqType, MessageType, PresenceType},
};

/// What becomes of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It goes to these resources, by their place in the account; never empty.
    Deliver(Places),
    /// Nobody is there: it is kept for later, or comes back as `service-unavailable` if nothing keeps it.
    Keep,
    /// The server answers on the account's behalf: iqs to a bare address, probes, subscriptions.
    Answer,
    /// The sender gets this error.
    Refuse(StanzaCondition),
    /// Nothing happens.
    Drop,
}

/// Places in the list of an account's resources.
pub(crate) type Places = SmallVec<[usize; 4]>;

/// What the law must know of a connected resource.
pub(crate) trait Resource {
    /// The resource part of its address.
    fn resource(&self) -> &str;
    /// Its priority; `None` while it is connected but not available (RFC 6121 2.2).
    fn priority(&self) -> Option<i8>;
}

/// What the law must know of the recipient.
pub(crate) trait Recipient {
    /// Its resources.
    type Resource: Resource;
    /// Whether there is such an account.
    fn exists(&self) -> bool;
    /// Its connected resources.
    fn resources(&self) -> &[Self::Resource];
    /// Whether it has blocked this sender (XEP-0191).
    fn blocks(&self, sender: &Jid) -> bool;
    /// Whether it shares the presence of the resource at this place with this entity: by a subscription, or by directed
    /// presence (RFC 6121 8.5.3.1).
    fn shows(&self, place: usize, to: &Jid) -> bool;
}

/// Decides where a stanza to a local account goes. `head.to` has a local part.
pub(crate) fn plan<R: Recipient>(head: &Head, account: &R) -> Plan {
    if head.from.as_ref().is_some_and(|from| account.blocks(from)) {
        return plan_blocked(head.kind);
    }
    let resource = head.to.as_ref().and_then(Jid::resource);
    match head.kind {
        Kind::Message(kind) => plan_message(kind, resource, account),
        Kind::Presence(kind) => plan_presence(kind, resource, account),
        Kind::Iq(kind) => plan_iq(kind, resource, head, account),
    }
}

/// XEP-0191 3.3: the account looks offline to whom it has blocked.
fn plan_blocked(kind: Kind) -> Plan {
    use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
    match kind {
        Kind::Message(MessageType::Error) | Kind::Iq(IqType::Result | IqType::Error) => Plan::Drop,
        Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Set) => {
            Plan::Refuse(StanzaCondition::ServiceUnavailable)
        }
        // What they do to the sender's own roster is not the recipient's to forbid, and would tell if it did not happen.
        Kind::Presence(Subscribe | Subscribed | Unsubscribe | Unsubscribed) => Plan::Answer,
        Kind::Presence(_) => Plan::Drop,
    }
}

fn plan_message<R: Recipient>(kind: MessageType, resource: Option<&str>, account: &R) -> Plan {
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};
    // RFC 6121 8.5.3.1: a connected resource is enough for a full address.
    if let Some(place) = matching(resource, account) {
        return Plan::Deliver(Places::from_elem(place, 1));
    }
    let unavailable = Plan::Refuse(StanzaCondition::ServiceUnavailable);
    let full = resource.is_some();
    match kind {
        // RFC 6121 8.5.2.1.1, 8.5.2.2.1, 8.5.3.2.1
        Error => Plan::Drop,
        // RFC 6121 Table 1: a headline to nobody is not worth an answer, except where it named a resource.
        Headline if !full && !account.exists() => Plan::Drop,
        // RFC 6121 8.5.1
        _ if !account.exists() => unavailable,
        // RFC 6121 8.5.3.2.1: only chat falls back from a full address to the account.
        Normal | Groupchat | Headline if full => unavailable,
        // RFC 6121 8.5.2.1.1, 8.5.2.2.1
        Groupchat => unavailable,
        Normal | Chat => some_or(non_negative(account), Plan::Keep),
        Headline => some_or(non_negative(account), Plan::Drop),
    }
}

fn plan_presence<R: Recipient>(kind: PresenceType, resource: Option<&str>, account: &R) -> Plan {
    use PresenceType::{
        Available, Error, Probe, Subscribe, Subscribed, Unavailable, Unsubscribe, Unsubscribed,
    };
    match kind {
        // RFC 6121 3 and 4.3: what they mean depends on the roster, not on who is there.
        Subscribe | Subscribed | Unsubscribe | Unsubscribed | Probe => Plan::Answer,
        // RFC 6121 8.5.3.1, 8.5.3.2.2
        Available | Unavailable | Error if resource.is_some() => matching(resource, account)
            .map_or(Plan::Drop, |place| Plan::Deliver(Places::from_elem(place, 1))),
        // RFC 6121 8.5.2.1.2, 8.5.2.2.2
        Available | Unavailable => {
            let available = places(account, |resource| resource.priority().is_some());
            some_or(available, Plan::Drop)
        }
        // RFC 6120 8.3.1: nobody asked for it.
        Error => Plan::Drop,
    }
}

fn plan_iq<R: Recipient>(kind: IqType, resource: Option<&str>, head: &Head, account: &R) -> Plan {
    match (matching(resource, account), kind) {
        // RFC 6121 8.5.3.1: an answer was asked for; a question shows that somebody is there.
        (Some(place), IqType::Result | IqType::Error) => Plan::Deliver(Places::from_elem(place, 1)),
        (Some(place), _) if head.from.as_ref().is_none_or(|from| account.shows(place, from)) => {
            Plan::Deliver(Places::from_elem(place, 1))
        }
        // RFC 6120 8.3.1, 10.3.3
        (None, IqType::Result | IqType::Error) => Plan::Drop,
        // RFC 6121 8.5.3.1, 8.5.3.2.3: the same, so that it tells nobody who is there.
        _ if resource.is_some() => Plan::Refuse(StanzaCondition::ServiceUnavailable),
        // RFC 6121 8.5.2.1.3, 8.5.2.2.3; whether the account exists is not told to just anybody.
        _ => Plan::Answer,
    }
}

fn matching<R: Recipient>(resource: Option<&str>, account: &R) -> Option<usize> {
    let resource = resource?;
    account.resources().iter().position(|r| r.resource() == resource)
}

fn non_negative<R: Recipient>(account: &R) -> Places {
    places(account, |resource| resource.priority().is_some_and(|p| p >= 0))
}

fn places<R: Recipient>(account: &R, fits: impl Fn(&R::Resource) -> bool) -> Places {
    let resources = account.resources().iter().enumerate();
    resources.filter(|(_, resource)| fits(resource)).map(|(place, _)| place).collect()
}

fn some_or(places: Places, none: Plan) -> Plan {
    if places.is_empty() { none } else { Plan::Deliver(places) }
}

#[cfg(test)]
mod tests;
