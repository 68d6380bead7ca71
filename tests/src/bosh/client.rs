//! The suite's client: sessions that behave, with every request in the row's hands.

use super::{
    AT_ONCE_TIME, LONGEST_SILENCE, PATIENCE, Stop,
    wire::{Answer, Connection, Dial},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::sleep;
use xmpp_core::{
    ns,
    sasl::{MechanismName, client::Client},
    xml::Node,
};

/// How many answers may pass by before the awaited one.
const STEPS: usize = 12;
/// The mechanisms that the suite knows, the cheapest first.
const MECHANISMS: [(&str, MechanismName); 4] = [
    ("PLAIN", MechanismName::Plain),
    ("SCRAM-SHA-1", MechanismName::ScramSha1),
    ("SCRAM-SHA-256", MechanismName::ScramSha256),
    ("SCRAM-SHA-512", MechanismName::ScramSha512),
];

/// An account at the server behind the manager.
#[derive(Clone)]
pub struct Account {
    /// Before the `@`.
    pub user: String,
    /// After it: what sessions are opened to.
    pub domain: String,
    /// Its password.
    pub password: String,
}

/// The manager under test, and who is known there.
#[derive(Clone)]
pub struct Lab {
    /// Opens connections.
    pub dial: Dial,
    /// Opens connections to the same manager that are less secure than those: over http, where those are over https.
    pub plain: Option<Dial>,
    /// The value of `Host`.
    pub host: String,
    /// The path of the endpoint.
    pub path: String,
    /// Two accounts of one domain.
    pub accounts: [Account; 2],
    /// The manager's process, if it may be ended with SIGTERM.
    pub process: Option<u32>,
    /// The process of the server behind it, if that may be ended.
    pub upstream: Option<u32>,
    /// A domain that the manager served once.
    pub gone: Option<String>,
}

impl Lab {
    pub(crate) async fn connect(&self) -> Result<Connection, Stop> {
        Ok(Connection::new((self.dial)().await?))
    }

    /// A request as it goes over the wire; every header line ends with CR LF.
    pub(crate) fn request(&self, headers: &str, body: &str) -> String {
        let (path, host, length) = (&self.path, &self.host, body.len());
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Posts on a new connection.
    pub(crate) async fn post(&self, body: &str) -> Result<Connection, Stop> {
        self.post_with("Content-Type: text/xml; charset=utf-8\r\n", body).await
    }

    /// Posts on a new connection with these header lines.
    pub(crate) async fn post_with(&self, headers: &str, body: &str) -> Result<Connection, Stop> {
        let mut connection = self.connect().await?;
        connection.write(self.request(headers, body)).await?;
        Ok(connection)
    }

    /// Posts, and waits for the answer.
    pub(crate) async fn ask_with(&self, headers: &str, body: &str) -> Result<Answer, Stop> {
        self.post_with(headers, body).await?.answer(PATIENCE).await
    }

    /// The usual request for a session.
    pub(crate) fn ask(self: &Arc<Self>) -> Ask {
        let mut bytes = [0; 8];
        net::random::fill(&mut bytes[..5]);
        let rid = u64::from_le_bytes(bytes) + 1;
        let own = [
            ("rid", rid.to_string()),
            ("to", self.accounts[0].domain.clone()),
            ("ver", "1.11".into()),
            ("wait", "60".into()),
            ("hold", "1".into()),
            ("xml:lang", "en".into()),
            ("xmpp:version", "1.0".into()),
        ];
        let attributes = own.map(|(name, value)| (name.to_owned(), value)).into();
        Ask { lab: Arc::clone(self), attributes }
    }

    /// A session of the first account, bound, without presence.
    pub(crate) async fn romeo(self: &Arc<Self>) -> Result<Session, Stop> {
        self.ask().login(0).await
    }

    /// A session of the second account.
    pub(crate) async fn juliet(self: &Arc<Self>) -> Result<Session, Stop> {
        self.ask().login(1).await
    }
}

/// A request for a session.
#[derive(Clone)]
pub(crate) struct Ask {
    lab: Arc<Lab>,
    attributes: Vec<(String, String)>,
}

impl Ask {
    /// With this attribute, its value escaped already.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.retain(|(n, _)| n != name);
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.attributes.retain(|(n, _)| n != name);
        self
    }

    pub(crate) fn body(&self) -> String {
        let attributes: String =
            self.attributes.iter().map(|(name, value)| format!(" {name}='{value}'")).collect();
        format!("<body{attributes} xmlns='{}' xmlns:xmpp='{}'/>", ns::HTTPBIND, ns::XBOSH)
    }

    /// The answer, whatever it is.
    pub(crate) async fn answer(&self) -> Result<Answer, Stop> {
        self.lab.post(&self.body()).await?.answer(PATIENCE).await
    }

    /// A session.
    pub(crate) async fn open(self) -> Result<Session, Stop> {
        let created = self.answer().await?;
        self.opened(created)
    }

    /// The session that this answer opened.
    pub(crate) fn opened(self, created: Answer) -> Result<Session, Stop> {
        let sid = created.alive()?.attr("sid").ok_or_else(|| Stop::fail("no sid"))?.to_owned();
        let rid = self.attributes.iter().find(|(name, _)| name == "rid");
        let rid = rid.and_then(|(_, rid)| rid.parse().ok()).expect("it was taken for a number");
        let log = vec![(self.body(), created.clone())];
        let lab = self.lab;
        let (jid, with, keys) = (String::new(), String::new(), VecDeque::new());
        Ok(Session { lab, created, sid, rid, jid, with, keys, log, unread: Vec::new() })
    }

    /// A session in which this account has bound a resource.
    pub(crate) async fn login(self, account: usize) -> Result<Session, Stop> {
        let mut session = self.open().await?;
        session.login(account).await?;
        Ok(session)
    }
}

/// A session. It sends each request on a new connection, so that none waits behind another.
pub(crate) struct Session {
    pub(crate) lab: Arc<Lab>,
    /// The answer to the creation.
    pub(crate) created: Answer,
    pub(crate) sid: String,
    /// The highest rid used.
    pub(crate) rid: u64,
    /// The bound address.
    pub(crate) jid: String,
    /// Attributes of every further request.
    pub(crate) with: String,
    /// Keys of the next requests (XEP-0124 15); none: the session has no keys.
    pub(crate) keys: VecDeque<String>,
    /// Every request that [`exchange`](Self::exchange) sent, with its answer.
    pub(crate) log: Vec<(String, Answer)>,
    /// Connections of messages whose answers nobody reads.
    unread: Vec<Connection>,
}

impl Session {
    /// A request of this session.
    pub(crate) fn body(&self, rid: u64, attributes: &str, payload: &str) -> String {
        format!(
            "<body rid='{rid}' sid='{}'{} {attributes} xmlns='{}' xmlns:xmpp='{}'>{payload}</body>",
            self.sid,
            self.with,
            ns::HTTPBIND,
            ns::XBOSH
        )
    }

    /// The next request.
    pub(crate) fn next(&mut self, attributes: &str, payload: &str) -> String {
        self.rid += 1;
        let key = self.keys.pop_front().map(|key| format!(" key='{key}'")).unwrap_or_default();
        self.body(self.rid, &format!("{attributes}{key}"), payload)
    }

    /// Sends the next request.
    pub(crate) async fn send(
        &mut self,
        attributes: &str,
        payload: &str,
    ) -> Result<Connection, Stop> {
        let body = self.next(attributes, payload);
        self.lab.post(&body).await
    }

    /// Sends the next request and waits for its answer.
    pub(crate) async fn turn(&mut self, attributes: &str, payload: &str) -> Result<Answer, Stop> {
        let body = self.next(attributes, payload);
        let answer = self.lab.post(&body).await?.answer(PATIENCE).await?;
        self.log.push((body, answer.clone()));
        Ok(answer)
    }

    /// Sends a payload, and empty requests after it, until a payload comes that is wanted.
    pub(crate) async fn exchange(
        &mut self,
        attributes: &str,
        payload: &str,
        wanted: impl Fn(&Node) -> bool,
    ) -> Result<Node, Stop> {
        let mut answer = self.turn(attributes, payload).await?;
        for _ in 0..STEPS {
            if let Some(found) = answer.alive()?.payloads().iter().find(|node| wanted(node)) {
                return Ok(found.clone());
            }
            answer = self.turn("", "").await?;
        }
        Err(Stop::fail("the server's answer does not come"))
    }

    /// The first stream features, from the creation or as soon as they come (XEP-0206 4).
    pub(crate) async fn features(&mut self) -> Result<Node, Stop> {
        match self.created.payload(ns::STREAMS, "features") {
            Some(features) => Ok(features.clone()),
            None => self.exchange("", "", |node| node.is(ns::STREAMS, "features")).await,
        }
    }

    /// From the first features to a bound resource.
    pub(crate) async fn login(&mut self, account: usize) -> Result<(), Stop> {
        let features = self.features().await?;
        self.authenticate(account, &features).await?;
        let features = self.restart("true", "").await?;
        ensure!(features.child(ns::BIND, "bind").is_some(), "no <bind/> after the restart");
        self.bind().await
    }

    /// SASL, with what these features offer.
    pub(crate) async fn authenticate(
        &mut self,
        account: usize,
        features: &Node,
    ) -> Result<(), Stop> {
        let offered: Vec<&str> = features
            .child(ns::SASL, "mechanisms")
            .map(|list| list.children.iter().map(|one| one.text.trim()).collect())
            .unwrap_or_default();
        let known = MECHANISMS.iter().find(|(name, _)| offered.contains(name));
        let (name, mechanism) =
            known.ok_or_else(|| Stop::fail("no SASL mechanism to log in with"))?;
        let account = self.lab.accounts[account].clone();
        let broken = |error| Stop::Fail(format!("SASL: {error}"));
        let nonce = net::random::token();
        let mut client = Client::new(*mechanism, &account.user, &account.password, &nonce)
            .map_err(|error| broken(error.to_string()))?;
        let first = BASE64.encode(client.first());
        let auth = format!("<auth xmlns='{}' mechanism='{name}'>{first}</auth>", ns::SASL);
        let mut outcome = self.exchange("", &auth, |node| node.ns == ns::SASL).await?;
        if outcome.is(ns::SASL, "challenge") {
            let challenge = BASE64.decode(outcome.text.trim());
            let challenge = challenge.map_err(|error| broken(error.to_string()))?;
            let response = client.respond(&challenge).map_err(|error| broken(error.to_string()))?;
            let response = BASE64.encode(response);
            let response = format!("<response xmlns='{}'>{response}</response>", ns::SASL);
            outcome = self.exchange("", &response, |node| node.ns == ns::SASL).await?;
        }
        ensure!(outcome.is(ns::SASL, "success"), "cannot log in: {outcome:?}");
        Ok(())
    }

    /// A new stream (XEP-0206 5); gives its features.
    pub(crate) async fn restart(&mut self, value: &str, payload: &str) -> Result<Node, Stop> {
        let domain = &self.lab.accounts[0].domain;
        let attributes = format!("xmpp:restart='{value}' to='{domain}' xml:lang='en'");
        self.exchange(&attributes, payload, |node| node.is(ns::STREAMS, "features")).await
    }

    /// Binds a resource that nobody else has.
    pub(crate) async fn bind(&mut self) -> Result<(), Stop> {
        self.bind_as(&net::random::token()).await
    }

    /// Binds this resource, or what the server makes of it.
    pub(crate) async fn bind_as(&mut self, resource: &str) -> Result<(), Stop> {
        let bind = format!(
            "<iq xmlns='{}' type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::CLIENT,
            ns::BIND
        );
        let bound = self.exchange("", &bind, |node| node.attr("id") == Some("bind")).await?;
        let jid = bound.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid"));
        self.jid = jid.ok_or_else(|| Stop::Fail(format!("not bound: {bound:?}")))?.text.clone();
        Ok(())
    }

    /// A message to oneself, which comes back as soon as the server has it.
    pub(crate) fn to_self(&self, id: &str) -> String {
        message(&self.jid, id)
    }

    /// Sends a message to oneself and waits until it is back.
    pub(crate) async fn echo(&mut self, id: &str) -> Result<Node, Stop> {
        let message = self.to_self(id);
        self.exchange("", &message, |node| is_message(node, id)).await
    }

    /// Sends a message, and takes no notice of what is answered.
    pub(crate) async fn tell(&mut self, to: &str, id: &str) -> Result<(), Stop> {
        // The request may be held; the next one gives it back.
        let told = self.send("", &message(to, id)).await?;
        self.unread.push(told);
        Ok(())
    }

    /// Reads these answers in order, then polls, until this message is there; gives the ids of all messages up to it.
    pub(crate) async fn ids_until(
        &mut self,
        pending: impl IntoIterator<Item = Connection, IntoIter: Send>,
        last: &str,
    ) -> Result<Vec<String>, Stop> {
        let mut ids = Vec::new();
        let mut pending = pending.into_iter();
        for _ in 0..STEPS {
            let mut next = match pending.next() {
                Some(next) => next,
                None => self.send("", "").await?,
            };
            let answer = next.answer(PATIENCE).await?;
            let found = answer.alive()?.payloads().iter().filter(|node| node.name == "message");
            ids.extend(found.filter_map(|node| node.attr("id").map(str::to_owned)));
            if ids.iter().any(|id| id == last) {
                return Ok(ids);
            }
        }
        Err(Stop::Fail(format!("message {last} does not arrive; {ids:?} did")))
    }

    /// Reads the answer to a message, and whatever is answered after it, until the error comes that tells of its fate.
    pub(crate) async fn error_to(&mut self, told: Connection, id: &str) -> Result<(), Stop> {
        let error = |answer: &Answer| {
            let mut found = answer.payloads().iter().filter(|node| is_message(node, id));
            found.any(|node| node.attr("type") == Some("error"))
        };
        let mut next = told;
        for _ in 0..STEPS {
            if error(next.answer(PATIENCE).await?.alive()?) {
                return Ok(());
            }
            next = self.send("", "").await?;
        }
        Err(Stop::Fail(format!("nobody tells what became of {id}")))
    }

    /// The seconds of silence that the session survives; not measured where they are too many to sit out.
    pub(crate) fn inactivity(&self) -> Result<u64, Stop> {
        match self.created.number("inactivity")? {
            None => Err(Stop::not_offered("no inactivity, so no limit")),
            Some(seconds) if seconds > LONGEST_SILENCE => {
                Err(Stop::NotMeasured(format!("inactivity='{seconds}' is too long to sit out")))
            }
            Some(seconds) => Ok(seconds),
        }
    }

    /// The longest pause, where pauses are supported.
    pub(crate) fn maxpause(&self) -> Result<u64, Stop> {
        self.created.number("maxpause")?.ok_or_else(|| Stop::not_offered("no maxpause"))
    }

    /// How many requests there may be at once; not offered where fewer than needed.
    pub(crate) fn requests(&self, needed: u64) -> Result<u64, Stop> {
        match self.created.number("requests")? {
            Some(requests) if requests < needed => {
                Err(Stop::NotOffered(format!("only {requests} requests at once")))
            }
            Some(requests) => Ok(requests),
            None => Err(Stop::fail("no requests in the creation response")),
        }
    }

    /// The session has to be gone, whatever is asked of it.
    pub(crate) async fn gone(&mut self) -> Result<(), Stop> {
        self.turn("", "").await?.expect("item-not-found")
    }

    /// The next request is held: it is not answered for a while.
    pub(crate) async fn hold(&mut self, payload: &str) -> Result<Connection, Stop> {
        let mut connection = self.send("", payload).await?;
        match connection.next(Duration::from_millis(400)).await? {
            None => Ok(connection),
            // Something of the login was still on its way.
            Some(answer) => {
                answer.alive()?;
                let mut connection = self.send("", &quiet()).await?;
                connection.held(AT_ONCE_TIME / 4).await?;
                Ok(connection)
            }
        }
    }
}

/// Lets the manager read and pass on what was written.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(400)).await;
}

/// Servers allow an account some sessions only, so none outlives its story.
impl Drop for Session {
    fn drop(&mut self) {
        self.with.clear();
        let (lab, end) = (Arc::clone(&self.lab), self.next("type='terminate'", ""));
        tokio::spawn(async move {
            if let Ok(mut connection) = lab.post(&end).await {
                // It may well be over already, which is as good.
                let _ended = connection.next(PATIENCE).await;
            }
        });
    }
}

/// A message of which the recipient sees the id.
pub(crate) fn message(to: &str, id: &str) -> String {
    format!(
        "<message xmlns='{}' to='{to}' type='chat' id='{id}'><body>{id}</body></message>",
        ns::CLIENT
    )
}

/// Whether this is that message. Some managers leave stanzas in the namespace of the `<body/>` (XEP-0206 2).
pub(crate) fn is_message(node: &Node, id: &str) -> bool {
    node.name == "message" && node.attr("id") == Some(id)
}

/// A payload to which nobody answers: makes a request that is not empty.
pub(crate) fn quiet() -> String {
    format!("<iq xmlns='{}' type='result' id='{}'/>", ns::CLIENT, net::random::token())
}
