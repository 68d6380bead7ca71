//! What modules declare, collected: for each phase its functions, for each iq its handler, for each key its one owner.

use crate::{
    Account, Answer, At, Backlog, BoxFuture, Discovery, Keeping, Kept, Leaving, Module, Request,
    Router, Seat, Session, Side, Urgency, Xep,
    copy::{Copies, Copying},
    frozen::Memory,
    info::{Extension, Identity, Info, Offer},
};
use bytes::Bytes;
use std::{any::Any, collections::HashMap, sync::Arc};
use xmpp_core::{BareJid, Stanza, StanzaError, stanza::IqType};

/// What modules declare, collected. Two claims on the same are remembered and stop the start-up.
#[derive(Default)]
pub struct Declare {
    module: &'static str,
    pub(crate) xeps: Vec<Xep>,
    identities: Vec<(At, &'static str, Identity)>,
    features: Vec<(At, &'static str)>,
    nodes: Vec<Box<NodeFn>>,
    extensions: Vec<(At, &'static str, Extension)>,
    offers: Vec<(Offer, Box<OfferFn>)>,
    iqs: HashMap<(&'static str, &'static str), Vec<IqRoute>>,
    pub(crate) guards: Phase<GuardFn>,
    pub(crate) marks: Phase<MarkFn>,
    pub(crate) keeps: Vec<Box<KeepFn>>,
    pub(crate) taken: Option<(&'static str, Box<TakenFn>)>,
    pub(crate) copies: Option<(&'static str, Copies)>,
    pub(crate) urgency: Option<(&'static str, Arc<UrgencyFn>)>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) arrivals: Vec<Box<ArrivalFn>>,
    pub(crate) departures: Vec<Box<DepartureFn>>,
    pub(crate) backlog: Option<(&'static str, Box<BacklogFn>)>,
    pub(crate) absence: Option<(&'static str, Box<AbsenceFn>)>,
    pub(crate) subscriptions: Option<(&'static str, Box<HandleFn>)>,
    clash: Option<ClashError>,
}

/// The functions of one phase, for both sides.
pub(crate) struct Phase<F: ?Sized> {
    sender: Vec<Box<F>>,
    recipient: Vec<Box<F>>,
}

type GuardFn = dyn Fn(&Stanza, &Arc<Account>) -> Result<(), StanzaError> + Send + Sync;
type MarkFn = dyn Fn(Stanza, &Arc<Account>) -> Stanza + Send + Sync;
type KeepFn = dyn Fn(&Keeping<'_>) -> Option<Kept> + Send + Sync;
type TakenFn = dyn Fn(&BareJid, Vec<i64>) -> BoxFuture<'static, bool> + Send + Sync;
pub(crate) type UrgencyFn = dyn Fn(&Stanza) -> Urgency + Send + Sync;
type ArrivalFn = dyn Fn(Arc<Router>, Session) -> BoxFuture<'static, ()> + Send + Sync;
type DepartureFn = dyn Fn(&Leaving<'_>) -> BoxFuture<'static, ()> + Send + Sync;
type OfferFn = dyn Fn(&Info, &str) -> Bytes + Send + Sync;
type BacklogFn = dyn Fn(&BareJid, i64) -> BoxFuture<'static, Option<Backlog>> + Send + Sync;
type AbsenceFn = dyn Fn(&BareJid) -> BoxFuture<'static, Option<Bytes>> + Send + Sync;
type HandleFn = dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync;
type NodeFn = dyn Fn(&Request, Discovery, &str) -> Option<Result<Bytes, StanzaError>> + Send + Sync;
type AnswerFn = dyn Fn(&Request) -> Answer + Send + Sync;

struct IqRoute {
    kind: IqType,
    at: At,
    owner: &'static str,
    handler: Handler,
}

/// What answers an iq.
#[derive(Clone)]
pub(crate) enum Handler {
    /// At once.
    Now(Arc<AnswerFn>),
    /// After asking a store.
    Later(Arc<HandleFn>),
}

/// Two modules claim the same: the server does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the modules {first} and {second} both claim {what}")]
pub struct ClashError {
    /// What they claim.
    pub what: String,
    /// The module that claimed it first.
    pub first: &'static str,
    /// The other one.
    pub second: &'static str,
}

impl Declare {
    pub(crate) fn collect(modules: &[Arc<dyn Module>]) -> Result<Self, ClashError> {
        let mut all = Self::default();
        for module in modules {
            all.module = module.name();
            module.clone().declare(&mut all);
        }
        match all.clash.take() {
            Some(clash) => Err(clash),
            None => Ok(all),
        }
    }

    /// Implements this XEP.
    pub fn xep(&mut self, number: u16, name: &'static str, version: &'static str) {
        self.xeps.push(Xep { number, name, version, lacks: None });
    }

    /// Implements this XEP but for what it `lacks`.
    pub fn xep_without(
        &mut self,
        number: u16,
        name: &'static str,
        version: &'static str,
        lacks: &'static str,
    ) {
        self.xeps.push(Xep { number, name, version, lacks: Some(lacks) });
    }

    /// Service discovery says that the server, or an account ([`At::Own`]), is this.
    pub fn identity(&mut self, at: At, identity: Identity) {
        let Identity { category, kind, .. } = identity;
        let same = |other: &Identity| (other.category, other.kind) == (category, kind);
        if let Some((_, first, _)) =
            self.identities.iter().find(|(its, _, i)| *its == at && same(i))
        {
            self.claimed_twice(&format!("the identity {category}/{kind} at {at:?}"), first);
        }
        self.identities.push((at, self.module, identity));
    }

    /// Service discovery tells this of the server, or of an account ([`At::Own`]).
    pub fn extension(&mut self, at: At, extension: Extension) {
        let form_type = extension.form_type;
        let same = |other: &Extension| other.form_type == form_type;
        if let Some((_, first, _)) =
            self.extensions.iter().find(|(its, _, e)| *its == at && same(e))
        {
            self.claimed_twice(&format!("the form {form_type} at {at:?}"), first);
        }
        self.extensions.push((at, self.module, extension));
    }

    /// Streams offer this element, whole, in the scope of `jabber:client`. Made once for each domain, from what
    /// service discovery says of the server there and the domain.
    pub fn stream_feature(
        &mut self,
        offer: Offer,
        element: impl Fn(&Info, &str) -> Bytes + Send + Sync + 'static,
    ) {
        self.offers.push((offer, Box::new(element)));
    }

    /// Service discovery names this feature, at the server's address or at an account's ([`At::Own`]).
    pub fn feature(&mut self, at: At, var: &'static str) {
        self.features.push((at, var));
    }

    /// Answers service discovery of nodes, at the server's address and at accounts' that the asker may see: the first that
    /// knows the node gives what stands in the `<query/>`.
    pub fn nodes(
        &mut self,
        node: impl Fn(&Request, Discovery, &str) -> Option<Result<Bytes, StanzaError>>
        + Send
        + Sync
        + 'static,
    ) {
        self.nodes.push(Box::new(node));
    }

    /// Answers iqs of this type and payload at once.
    pub fn answer<const N: usize>(
        &mut self,
        kind: IqType,
        payload: (&'static str, &'static str),
        at: [At; N],
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) {
        self.iq(kind, payload, &at, &Handler::Now(Arc::new(handler)));
    }

    /// Answers iqs of this type and payload after asking a store; the session's next stanza waits for it.
    pub fn handle<const N: usize>(
        &mut self,
        kind: IqType,
        payload: (&'static str, &'static str),
        at: [At; N],
        handler: impl Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) {
        self.iq(kind, payload, &at, &Handler::Later(Arc::new(handler)));
    }

    fn iq(
        &mut self,
        kind: IqType,
        payload: (&'static str, &'static str),
        at: &[At],
        handler: &Handler,
    ) {
        let routes = self.iqs.entry(payload).or_default();
        for &at in at {
            if let Some(other) = routes.iter().find(|route| route.kind == kind && route.at == at) {
                let what = format!("iq {kind:?} {{{}}}{} at {at:?}", payload.0, payload.1);
                let clash = ClashError { what, first: other.owner, second: self.module };
                self.clash.get_or_insert(clash);
            }
            routes.push(IqRoute { kind, at, owner: self.module, handler: handler.clone() });
        }
    }

    /// Refuses stanzas: the first guard's error goes to the sender. Every kind of stanza passes; the account is the
    /// one of the side.
    pub fn guard(
        &mut self,
        side: Side,
        guard: impl Fn(&Stanza, &Arc<Account>) -> Result<(), StanzaError> + Send + Sync + 'static,
    ) {
        self.guards.of(side).push(Box::new(guard));
    }

    /// Changes stanzas: takes away what only the server may say, or adds it.
    pub fn mark(
        &mut self,
        side: Side,
        mark: impl Fn(Stanza, &Arc<Account>) -> Stanza + Send + Sync + 'static,
    ) {
        self.marks.of(side).push(Box::new(mark));
    }

    /// Takes messages to local accounts into a store, for both ends. Called under the guards of both, so that a write which
    /// is queued in the call stands in the order of delivery. The first that keeps the message is the only one.
    pub fn keep(&mut self, keep: impl Fn(&Keeping<'_>) -> Option<Kept> + Send + Sync + 'static) {
        self.keeps.push(Box::new(keep));
    }

    /// Hears which of an account's messages a client has now, by the numbers that [`keep`](Self::keep) or the
    /// [`backlog`](Self::backlog) gave them. May be called under the account's guard: the write must be queued in the call,
    /// for what is read later must not include them. False: it could not be written, and is said again later. One module may.
    pub fn taken(
        &mut self,
        taken: impl Fn(&BareJid, Vec<i64>) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        if let Some((first, _)) = self.taken {
            self.claimed_twice("what is taken", first);
        }
        self.taken = Some((self.module, Box::new(taken)));
    }

    /// Gives copies of messages to further sessions of an account: `wants` says whether a session may get any, `copy` makes
    /// the copy, without its recipient, where the message is one to be copied. It is called once for all who get it, and
    /// only where there are any. One module may.
    pub fn copy(
        &mut self,
        wants: impl Fn(&Seat) -> bool + Send + Sync + 'static,
        copy: impl Fn(Copying<'_>) -> Option<Stanza> + Send + Sync + 'static,
    ) {
        if let Some((first, _)) = self.copies {
            self.claimed_twice("copies", first);
        }
        let copies = Copies { wants: Box::new(wants), copy: Box::new(copy) };
        self.copies = Some((self.module, copies));
    }

    /// Says what an inactive session can wait for: a pure judgement of the stanza, made where it would be delivered.
    /// Nothing waits where no module says so. One module may.
    pub fn urgency(&mut self, urgency: impl Fn(&Stanza) -> Urgency + Send + Sync + 'static) {
        if let Some((first, _)) = self.urgency {
            self.claimed_twice("urgency", first);
        }
        self.urgency = Some((self.module, Arc::new(urgency)));
    }

    /// What is remembered of a session in a value of this type outlives the process: in these words, and read from them again
    /// (`None`: not understood). Under the module's own name: one for each module.
    pub fn remember<T: Any + Send>(
        &mut self,
        freeze: impl Fn(&T) -> Bytes + Send + Sync + 'static,
        thaw: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
    ) {
        let name = self.module;
        if self.memories.iter().any(|memory| memory.name == name) {
            self.claimed_twice("what it remembers", name);
        }
        self.memories.push(Memory::new(name, freeze, thaw));
    }

    /// Called when a session becomes available, after it was told who else is. Its account's roster is nobody else's to
    /// change meanwhile: what is read of it here and what is told of later changes follow each other without a gap. So a
    /// handler must not wait for the account's [`Turn`](crate::Turn).
    pub fn arrival(
        &mut self,
        arrival: impl Fn(Arc<Router>, Session) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        self.arrivals.push(Box::new(arrival));
    }

    /// Called when an account's last available session becomes unavailable, or ends. Called under the account's guard: a
    /// write that is queued in the call stands in the order of what happens to the account. Nothing in the account
    /// waits for what it gives, but the session's own task does.
    pub fn departure(
        &mut self,
        departure: impl Fn(&Leaving<'_>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        self.departures.push(Box::new(departure));
    }

    /// Reads some of what waits for an account, after this number: when its first session with a non-negative priority becomes
    /// available, when such a session was given all that was read before, and when another session did not take what it was
    /// sent. Called under the account's guard: what is read must include every write queued before the call. One module may.
    pub fn backlog(
        &mut self,
        backlog: impl Fn(&BareJid, i64) -> BoxFuture<'static, Option<Backlog>> + Send + Sync + 'static,
    ) {
        if let Some((first, _)) = self.backlog {
            self.claimed_twice("the backlog", first);
        }
        self.backlog = Some((self.module, Box::new(backlog)));
    }

    /// Says since when an account is away, for the answer to a probe by a subscriber: an element, whole, in the scope of
    /// `jabber:client` (RFC 6121 4.3.2 rule 3). One module may.
    pub fn absence(
        &mut self,
        absence: impl Fn(&BareJid) -> BoxFuture<'static, Option<Bytes>> + Send + Sync + 'static,
    ) {
        if let Some((first, _)) = self.absence {
            self.claimed_twice("the absence", first);
        }
        self.absence = Some((self.module, Box::new(absence)));
    }

    /// Handles the four subscription stanzas (RFC 6121 3), from and to a bare address. One module may. An error
    /// goes to the sender, a result is not sent.
    pub fn subscriptions(
        &mut self,
        handler: impl Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) {
        if let Some((first, _)) = self.subscriptions {
            self.claimed_twice("subscriptions", first);
        }
        self.subscriptions = Some((self.module, Box::new(handler)));
    }

    fn claimed_twice(&mut self, what: &str, first: &'static str) {
        let clash = ClashError { what: what.to_owned(), first, second: self.module };
        self.clash.get_or_insert(clash);
    }

    /// What answers an iq of this type and payload.
    pub(crate) fn handler<'a>(
        &'a self,
        kind: IqType,
        ns: &'a str,
        name: &'a str,
        at: At,
    ) -> Option<&'a Handler> {
        let iqs: &HashMap<(&'a str, &'a str), _> = &self.iqs;
        let route = iqs.get(&(ns, name))?.iter().find(|r| r.kind == kind && r.at == at);
        route.map(|route| &route.handler)
    }

    /// What a node that somebody knows has to say.
    pub(crate) fn node(
        &self,
        request: &Request,
        what: Discovery,
        node: &str,
    ) -> Option<Result<Bytes, StanzaError>> {
        self.nodes.iter().find_map(|knows| knows(request, what, node))
    }

    /// What streams to this domain offer, in the order of the modules.
    pub(crate) fn offers_at(&self, offer: Offer, info: &Info, domain: &str) -> Bytes {
        let offered = self.offers.iter().filter(|(its, _)| *its == offer);
        offered.flat_map(|(_, element)| element(info, domain)).collect()
    }

    /// What service discovery says of the server, or of an account ([`At::Own`]).
    pub(crate) fn info(&self, at: At) -> Info {
        let identities = self.identities.iter().filter(|(its, ..)| *its == at);
        let features = self.features.iter().filter(|(its, _)| *its == at);
        let extensions = self.extensions.iter().filter(|(its, ..)| *its == at);
        Info {
            identities: sorted(identities.map(|(.., identity)| identity.clone())),
            features: sorted(features.map(|(_, var)| *var)),
            extensions: sorted(extensions.map(|(.., extension)| extension.clone())),
        }
    }
}

/// Sorted, each once.
fn sorted<T: Ord>(found: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = found.collect();
    found.sort_unstable();
    found.dedup();
    found
}

impl<F: ?Sized> Phase<F> {
    fn of(&mut self, side: Side) -> &mut Vec<Box<F>> {
        match side {
            Side::Sender => &mut self.sender,
            Side::Recipient => &mut self.recipient,
        }
    }

    pub(crate) fn at(&self, side: Side) -> &[Box<F>] {
        match side {
            Side::Sender => &self.sender,
            Side::Recipient => &self.recipient,
        }
    }
}

impl<F: ?Sized> Default for Phase<F> {
    fn default() -> Self {
        Self { sender: Vec::new(), recipient: Vec::new() }
    }
}

/// The XEPs that these modules implement, by number.
///
/// # Errors
/// Two modules claim the same.
pub fn xeps(modules: &[Arc<dyn Module>]) -> Result<Vec<Xep>, ClashError> {
    let mut xeps = Declare::collect(modules)?.xeps;
    xeps.sort_unstable();
    xeps.dedup();
    Ok(xeps)
}
