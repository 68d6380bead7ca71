//! A client's way from a fresh connection to a bound resource, or to a new account, without the connection.
//!
//! ```text
//!  features ──starttls──> proceed ──> features ──mechanisms──> SASL ──success──> features ──> bind ──> bound
//!      └──────────────(secure already)───┘ └──(an account is wanted)──> registration ──> registered
//! ```

use crate::Channel;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use xmpp_core::{
    BareJid, Jid, ns,
    sasl::{
        MechanismName,
        client::{Client as Sasl, ClientError as SaslError},
    },
    xml::{Node, escape_into},
};

/// Who logs in.
pub struct Login {
    /// The account.
    pub account: BareJid,
    /// Its password.
    pub password: String,
    /// The resource to ask for; the server makes one where there is none (RFC 6120 7.6).
    pub resource: Option<String>,
    /// Random printable text without a comma, new for every login (RFC 5802 5.1).
    pub nonce: String,
}

/// What the client wants done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Open the stream, or open it again after TLS or SASL.
    Open,
    /// Send these elements.
    Send(Bytes),
    /// Start TLS now (RFC 6120 5.4.3).
    StartTls,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server closed the stream with this condition (RFC 6120 4.9).
    #[error("stream error {0}")]
    Stream(String),
    /// The server refused this step with this condition.
    #[error("{0} refused: {1}")]
    Refused(&'static str, String),
    /// The server offers no mechanism that the client has, or PLAIN alone where others may listen.
    #[error("no SASL mechanism in common")]
    NoMechanism,
    /// Without TLS, the password of a new account would be said where others may listen (XEP-0077 14).
    #[error("the server offers no TLS: an account is not registered where others may listen")]
    Unprotected,
    /// The client gave up on the exchange.
    #[error("SASL: {0}")]
    Sasl(#[from] SaslError),
    /// An element that has no place here.
    #[error("<{0}> while waiting for {1}")]
    Unexpected(String, &'static str),
}

impl ClientError {
    /// The refusal of a step with the condition of this error stanza.
    pub(crate) fn refused(step: &'static str, stanza: &Node) -> Self {
        Self::Refused(step, stanza.child(ns::CLIENT, "error").map_or_else(unsaid, condition))
    }
}

/// One login, or one registration. Perform what [`poll`](Self::poll) gives until it gives nothing, then
/// [`handle`](Self::handle) one element from the server, and again, until [`bound`](Self::bound) gives an address or
/// [`registered`](Self::registered) says so. Stanzas after that are not for it.
pub struct Client {
    login: Login,
    channel: Channel,
    /// An account is to be made with what the login says (XEP-0077 3.1).
    wants_account: bool,
    state: State,
    requests: VecDeque<Request>,
}

enum State {
    ExpectFeatures,
    ExpectProceed,
    ExpectSasl(Sasl),
    ExpectBindFeatures,
    ExpectBind { session: bool },
    ExpectSession(Jid),
    Bound(Jid),
    ExpectRegistration,
    Registered,
}

const BIND_ID: &str = "bind";
const SESSION_ID: &str = "session";
const REGISTER_ID: &str = "register";
/// XEP-0077: In-Band Registration.
pub(crate) const REGISTER: &str = "jabber:iq:register";

/// Strongest first; PLAIN last, and only where nobody listens (RFC 6120 13.8.3).
const MECHANISMS: [MechanismName; 4] = [
    MechanismName::ScramSha512,
    MechanismName::ScramSha256,
    MechanismName::ScramSha1,
    MechanismName::Plain,
];

impl Client {
    /// Starts a login.
    pub fn new(login: Login, channel: Channel) -> Self {
        let (state, requests) = (State::ExpectFeatures, VecDeque::from([Request::Open]));
        Self { login, channel, wants_account: false, state, requests }
    }

    /// Starts the registration of the account (XEP-0077 3.1).
    pub fn register(login: Login, channel: Channel) -> Self {
        Self { wants_account: true, ..Self::new(login, channel) }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The full JID that the server bound, once it has.
    pub fn bound(&self) -> Option<&Jid> {
        if let State::Bound(jid) = &self.state { Some(jid) } else { None }
    }

    /// Whether the account was made.
    pub fn registered(&self) -> bool {
        matches!(self.state, State::Registered)
    }

    /// Takes one element from the server.
    pub fn handle(&mut self, node: &Node) -> Result<(), ClientError> {
        if node.is(ns::STREAMS, "error") {
            return Err(ClientError::Stream(condition(node)));
        }
        let state = std::mem::replace(&mut self.state, State::ExpectFeatures);
        self.state = match state {
            State::ExpectFeatures => self.choose(expect(node, ns::STREAMS, "features")?)?,
            State::ExpectProceed => {
                refused(node, ns::TLS, "STARTTLS")?;
                expect(node, ns::TLS, "proceed")?;
                self.channel = Channel::Secure;
                self.requests.extend([Request::StartTls, Request::Open]);
                State::ExpectFeatures
            }
            State::ExpectSasl(sasl) => self.authenticate(sasl, node)?,
            State::ExpectBindFeatures => {
                let features = expect(node, ns::STREAMS, "features")?;
                features
                    .child(ns::BIND, "bind")
                    .ok_or_else(|| unexpected(node, "the bind feature"))?;
                self.send_bind();
                let session = features
                    .child(ns::SESSION, "session")
                    .is_some_and(|feature| feature.child(ns::SESSION, "optional").is_none());
                State::ExpectBind { session }
            }
            State::ExpectBind { session } => {
                let jid = answer(node, BIND_ID, "bind")?
                    .child(ns::BIND, "bind")
                    .and_then(|bind| bind.child(ns::BIND, "jid"))
                    .and_then(|jid| jid.text.parse().ok())
                    .ok_or_else(|| unexpected(node, "the bound address"))?;
                if session {
                    self.send_iq(
                        SESSION_ID,
                        format!("<session xmlns='{}'/>", ns::SESSION).as_bytes(),
                    );
                    State::ExpectSession(jid)
                } else {
                    State::Bound(jid)
                }
            }
            State::ExpectSession(jid) => {
                answer(node, SESSION_ID, "session")?;
                State::Bound(jid)
            }
            State::ExpectRegistration => {
                answer(node, REGISTER_ID, "registration")?;
                State::Registered
            }
            State::Bound(_) | State::Registered => {
                return Err(unexpected(node, "nothing: the login is over"));
            }
        };
        Ok(())
    }

    /// STARTTLS wherever it is offered, then the strongest mechanism.
    fn choose(&mut self, features: &Node) -> Result<State, ClientError> {
        let offers_tls = features.child(ns::TLS, "starttls").is_some();
        if self.channel != Channel::Secure && offers_tls {
            self.send(format!("<starttls xmlns='{}'/>", ns::TLS).into());
            return Ok(State::ExpectProceed);
        }
        if self.wants_account {
            if self.channel == Channel::Open {
                return Err(ClientError::Unprotected);
            }
            self.send_registration();
            return Ok(State::ExpectRegistration);
        }
        let offered = features.child(ns::SASL, "mechanisms").ok_or(ClientError::NoMechanism)?;
        let mechanism = MECHANISMS
            .into_iter()
            .filter(|mechanism| self.channel != Channel::Open || *mechanism != MechanismName::Plain)
            .find(|mechanism| offered.children.iter().any(|o| o.text == mechanism.as_str()))
            .ok_or(ClientError::NoMechanism)?;
        let user = self.login.account.local().unwrap_or_default();
        let sasl = Sasl::new(mechanism, user, &self.login.password, &self.login.nonce)?;
        let first = BASE64_STANDARD.encode(sasl.first());
        let name = mechanism.as_str();
        self.send(format!("<auth xmlns='{}' mechanism='{name}'>{first}</auth>", ns::SASL).into());
        Ok(State::ExpectSasl(sasl))
    }

    fn authenticate(&mut self, mut sasl: Sasl, node: &Node) -> Result<State, ClientError> {
        refused(node, ns::SASL, "authentication")?;
        let data = match node.text.trim() {
            "=" => Vec::new(), // RFC 6120 6.4.2: no data, as distinct from none given
            text => BASE64_STANDARD.decode(text).map_err(|_| SaslError::Malformed)?,
        };
        if node.is(ns::SASL, "challenge") {
            let response = BASE64_STANDARD.encode(sasl.respond(&data)?);
            self.send(format!("<response xmlns='{}'>{response}</response>", ns::SASL).into());
            return Ok(State::ExpectSasl(sasl));
        }
        expect(node, ns::SASL, "success")?;
        sasl.verify(&data)?;
        self.requests.push_back(Request::Open);
        Ok(State::ExpectBindFeatures)
    }

    fn send_registration(&mut self) {
        let user = self.login.account.local().unwrap_or_default();
        let mut payload = BytesMut::from(format!("<query xmlns='{REGISTER}'>").as_bytes());
        for (name, value) in [("username", user), ("password", &self.login.password)] {
            payload.extend_from_slice(format!("<{name}>").as_bytes());
            escape_into(value, &mut payload);
            payload.extend_from_slice(format!("</{name}>").as_bytes());
        }
        payload.extend_from_slice(b"</query>");
        self.send_iq(REGISTER_ID, &payload);
    }

    fn send_bind(&mut self) {
        let mut payload = BytesMut::from(format!("<bind xmlns='{}'>", ns::BIND).as_bytes());
        if let Some(resource) = &self.login.resource {
            payload.extend_from_slice(b"<resource>");
            escape_into(resource, &mut payload);
            payload.extend_from_slice(b"</resource>");
        }
        payload.extend_from_slice(b"</bind>");
        self.send_iq(BIND_ID, &payload);
    }

    fn send_iq(&mut self, id: &str, payload: &[u8]) {
        let mut iq = BytesMut::from(format!("<iq type='set' id='{id}'>").as_bytes());
        iq.extend_from_slice(payload);
        iq.extend_from_slice(b"</iq>");
        self.send(iq.freeze());
    }

    fn send(&mut self, elements: Bytes) {
        self.requests.push_back(Request::Send(elements));
    }
}

fn expect<'a>(node: &'a Node, ns: &str, name: &'static str) -> Result<&'a Node, ClientError> {
    if node.is(ns, name) { Ok(node) } else { Err(unexpected(node, name)) }
}

fn unexpected(node: &Node, waiting: &'static str) -> ClientError {
    ClientError::Unexpected(node.name.clone(), waiting)
}

fn refused(node: &Node, ns: &str, what: &'static str) -> Result<(), ClientError> {
    if node.is(ns, "failure") { Err(ClientError::Refused(what, condition(node))) } else { Ok(()) }
}

/// The result of an iq of ours.
fn answer<'a>(node: &'a Node, id: &str, what: &'static str) -> Result<&'a Node, ClientError> {
    if !node.is(ns::CLIENT, "iq") || node.attr("id") != Some(id) {
        return Err(unexpected(node, what));
    }
    if node.attr("type") == Some("error") {
        return Err(ClientError::refused(what, node));
    }
    Ok(node)
}

/// The defined condition: the first child that is no text.
fn condition(node: &Node) -> String {
    let child = node.children.iter().find(|child| child.name != "text");
    child.map_or_else(unsaid, |child| child.name.clone())
}

fn unsaid() -> String {
    "without a condition".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let block = crate::wire::elements(text).unwrap();
        let child = block.children().next().unwrap();
        Node::parse(&block.standalone_child(&child), "").unwrap()
    }

    fn login() -> Login {
        Login {
            account: "user@localhost".parse().unwrap(),
            password: "pencil".to_owned(),
            resource: Some("a<b".to_owned()),
            nonce: "fyko+d2lbbFgONRv9qkxdawL".to_owned(),
        }
    }

    fn client(channel: Channel) -> Client {
        opened(Client::new(login(), channel))
    }

    fn opened(mut client: Client) -> Client {
        assert_eq!(client.poll(), Some(Request::Open));
        assert_eq!(client.poll(), None);
        client
    }

    /// Handles an element and gives what was sent for it.
    fn sent(client: &mut Client, text: &str) -> String {
        client.handle(&node(text)).unwrap();
        let Some(Request::Send(bytes)) = client.poll() else { panic!("nothing was sent") };
        assert_eq!(client.poll(), None);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    const PLAIN: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
        <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";

    #[test]
    fn plain_logs_in_and_binds() {
        let mut client = client(Channel::Secure);
        assert_eq!(
            sent(&mut client, PLAIN),
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHVzZXIAcGVuY2ls</auth>"
        );
        client.handle(&node(SUCCESS)).unwrap();
        assert_eq!(client.poll(), Some(Request::Open));
        assert_eq!(
            sent(&mut client, &format!("<stream:features>{BIND}</stream:features>")),
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>a&lt;b</resource></bind></iq>"
        );
        assert_eq!(client.bound(), None);
        let bound = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
            <jid>user@localhost/r</jid></bind></iq>";
        client.handle(&node(bound)).unwrap();
        assert_eq!(client.bound().unwrap().as_str(), "user@localhost/r");
        assert!(client.handle(&node("<presence/>")).is_err());
    }

    #[test]
    fn scram_is_preferred_and_the_server_is_verified() {
        // RFC 5802 5
        let mut client = client(Channel::Secure);
        let features = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
            <mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
        let auth = sent(&mut client, features);
        assert!(
            auth.contains(
                "mechanism='SCRAM-SHA-1'>biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM<"
            )
        );
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let challenge = format!(
            "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</challenge>",
            BASE64_STANDARD.encode(challenge)
        );
        let response = sent(&mut client, &challenge);
        let proof = BASE64_STANDARD.encode(
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        );
        assert!(response.contains(&proof));
        let wrong = format!(
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</success>",
            BASE64_STANDARD.encode("v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        );
        assert_eq!(client.handle(&node(&wrong)), Err(ClientError::Sasl(SaslError::Signature)));
    }

    #[test]
    fn tls_comes_before_the_password() {
        let mut client = client(Channel::Open);
        let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
            <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
            </stream:features>";
        assert_eq!(
            sent(&mut client, features),
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        );
        client.handle(&node("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")).unwrap();
        assert_eq!(client.poll(), Some(Request::StartTls));
        assert_eq!(client.poll(), Some(Request::Open));
        assert!(sent(&mut client, PLAIN).contains("PLAIN"));
    }

    #[test]
    fn plain_is_never_sent_in_the_clear() {
        assert_eq!(client(Channel::Open).handle(&node(PLAIN)), Err(ClientError::NoMechanism));
    }

    #[test]
    fn on_this_machine_plain_may_be_said_but_tls_is_used_where_it_is() {
        assert!(sent(&mut client(Channel::Local), PLAIN).contains("PLAIN"));
        let both = PLAIN.replace(
            "<mechanisms",
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms",
        );
        assert!(sent(&mut client(Channel::Local), &both).starts_with("<starttls"));
    }

    #[test]
    fn an_account_is_registered_before_any_login() {
        // XEP-0077 3.1
        let mut client = opened(Client::register(login(), Channel::Secure));
        assert_eq!(
            sent(&mut client, PLAIN),
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>user</username>\
             <password>pencil</password></query></iq>"
        );
        assert!(!client.registered());
        client.handle(&node("<iq type='result' id='register'/>")).unwrap();
        assert!(client.registered());
    }

    #[test]
    fn a_registration_that_fails_says_why_and_is_never_said_in_the_clear() {
        let mut client = opened(Client::register(login(), Channel::Local));
        sent(&mut client, PLAIN);
        let conflict = "<iq type='error' id='register'><error type='cancel'>\
            <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
        assert_eq!(
            client.handle(&node(conflict)),
            Err(ClientError::Refused("registration", "conflict".to_owned()))
        );
        let mut open = opened(Client::register(login(), Channel::Open));
        assert_eq!(open.handle(&node(PLAIN)), Err(ClientError::Unprotected));
    }

    #[test]
    fn refusals_name_their_condition() {
        let mut client = client(Channel::Secure);
        sent(&mut client, PLAIN);
        let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><text>no</text><not-authorized/></failure>";
        assert_eq!(
            client.handle(&node(failure)),
            Err(ClientError::Refused("authentication", "not-authorized".to_owned()))
        );
        let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert_eq!(
            client.handle(&node(error)),
            Err(ClientError::Stream("host-unknown".to_owned()))
        );
    }

    #[test]
    fn a_required_session_is_established() {
        let mut client = client(Channel::Secure);
        sent(&mut client, PLAIN);
        client.handle(&node(SUCCESS)).unwrap();
        client.poll();
        let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
        sent(&mut client, &format!("<stream:features>{BIND}{session}</stream:features>"));
        let bound = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
            <jid>user@localhost/r</jid></bind></iq>";
        assert!(sent(&mut client, bound).contains(session));
        assert_eq!(client.bound(), None);
        client.handle(&node("<iq type='result' id='session'/>")).unwrap();
        assert!(client.bound().is_some());
    }
}
