//! XEP-0050: Ad-Hoc Commands, at the server's address and for its operators.
//!
//! A [`Command`] has at most one form. It runs at once where it has none, and else when the form comes back; until then a
//! session remembers who was asked.

mod session;

use crate::form::{Form, Submission};
use bytes::Bytes;
use futures_util::FutureExt;
use router::{Answer, At, BoxFuture, Declare, Discovery, Module, Reply, Request, Router, Session};
use session::{Ended, Sessions};
use std::{collections::HashSet, sync::Arc};
use xmpp_core::{
    BareJid, StanzaError,
    error::StanzaCondition,
    ns,
    stanza::IqType,
    xml::{Node, Writer},
};

/// Something that operators can have done.
pub(crate) trait Command: Send + Sync {
    /// Its node, by which it is called.
    fn node(&self) -> &'static str;
    /// Its name, for people.
    fn name(&self) -> &'static str;
    /// What is to be filled in before it runs; `None` where it runs at once.
    fn form(&self) -> Option<Form>;
    /// Does it.
    fn run(&self, call: Call) -> BoxFuture<'static, Result<Outcome, StanzaError>>;
}

/// What a command runs with.
pub(crate) struct Call {
    pub(crate) router: Arc<Router>,
    /// The operator's session.
    pub(crate) operator: Session,
    /// What was filled in; nothing where there was no form.
    pub(crate) form: Submission,
}

/// What a command has to say when it is done.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was found.
    pub(crate) result: Option<Form>,
    /// A line for people.
    pub(crate) note: Option<String>,
}

/// Answers to operators' commands.
pub(crate) struct Commands {
    commands: Vec<Arc<dyn Command>>,
    operators: HashSet<BareJid>,
    sessions: Sessions,
}

/// What the client wants (XEP-0050 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Execute,
    Cancel,
    Previous,
    Next,
    Complete,
}

impl Commands {
    pub(crate) fn new(operators: Vec<BareJid>, commands: Vec<Arc<dyn Command>>) -> Self {
        let operators = operators.into_iter().collect();
        Self { commands, operators, sessions: Sessions::default() }
    }
}

impl Module for Commands {
    fn name(&self) -> &'static str {
        "commands"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(4, "Data Forms", "2.13.2");
        declare.xep(50, "Ad-Hoc Commands", "1.3.0");
        declare.xep(133, "Service Administration", "1.3.1");
        declare.feature(At::Server, ns::COMMANDS);
        declare.feature(At::Server, ns::DATA_FORM);
        let this = self.clone();
        declare.nodes(move |request, what, node| this.discover(request, what, node));
        let at = [At::Server];
        declare.handle(IqType::Set, (ns::COMMANDS, "command"), at, move |request| {
            let this = self.clone();
            async move {
                let answer = this.answer(&request).await;
                without_echo(&request, answer)
            }
            .boxed()
        });
    }
}

impl Commands {
    fn is_for(&self, request: &Request) -> bool {
        self.operators.contains(request.session.account().jid())
    }

    /// XEP-0050 2.2: operators find the commands; others find none.
    fn discover(
        &self,
        request: &Request,
        what: Discovery,
        node: &str,
    ) -> Option<Result<Bytes, StanzaError>> {
        if request.at != At::Server {
            return None;
        }
        let mut out = Writer::new();
        match (node == ns::COMMANDS, self.find(node), what) {
            (true, _, Discovery::Info) => {
                out.open("identity").attr("category", "automation");
                out.attr("type", "command-list").attr("name", "Commands").close();
                out.open("feature").attr("var", ns::COMMANDS).close();
            }
            (true, _, Discovery::Items) if self.is_for(request) => {
                let here = request.stanza.head.to.as_ref().map_or("", |to| to.as_str());
                for command in &self.commands {
                    out.open("item").attr("jid", here).attr("node", command.node());
                    out.attr("name", command.name()).close();
                }
            }
            (true, _, Discovery::Items) => {}
            (false, None, _) => return None,
            (false, Some(_), _) if !self.is_for(request) => {
                return Some(Err(StanzaError::new(StanzaCondition::Forbidden)));
            }
            (false, Some(command), Discovery::Info) => {
                out.open("identity").attr("category", "automation");
                out.attr("type", "command-node").attr("name", command.name()).close();
                for feature in [ns::COMMANDS, ns::DATA_FORM] {
                    out.open("feature").attr("var", feature).close();
                }
            }
            (false, Some(_), Discovery::Items) => {}
        }
        Some(Ok(out.finish()))
    }

    fn find(&self, node: &str) -> Option<&Arc<dyn Command>> {
        self.commands.iter().find(|command| command.node() == node)
    }

    async fn answer(&self, request: &Request) -> Answer {
        let asked = request.payload()?;
        let Some(node) = asked.attr("node") else {
            // XEP-0050 4.1
            return Err(StanzaError::new(StanzaCondition::BadRequest));
        };
        let command = self.find(node);
        let command = command.ok_or(StanzaError::new(StanzaCondition::ItemNotFound))?;
        if !self.is_for(request) {
            return Err(StanzaError::new(StanzaCondition::Forbidden));
        }
        let action = Action::read(&asked)?;
        if !speaks_english(&asked) {
            return Err(bad_request(BAD_LOCALE));
        }
        let Some(id) = asked.attr("sessionid") else {
            return self.begin(request, command, action).await;
        };
        let now = request.router.environment().monotonic();
        let form = match self.sessions.form(id, request.session.jid(), command.node(), now) {
            Ok(form) => form,
            Err(Ended::Unknown) => return Err(bad_request(BAD_SESSION)),
            Err(Ended::Expired) => {
                return Err(StanzaError {
                    application: Some(SESSION_EXPIRED),
                    ..StanzaError::new(StanzaCondition::NotAllowed)
                });
            }
        };
        match action {
            Action::Cancel => {
                self.sessions.end(id, request.session.jid());
                Ok(reply(command, id, "canceled", |_| {}))
            }
            // There is one form, and nothing before it or after it.
            Action::Previous | Action::Next => Err(bad_request(BAD_ACTION)),
            Action::Execute | Action::Complete => {
                let x =
                    asked.child(ns::DATA_FORM, "x").ok_or(bad_payload("the form is missing"))?;
                let form = form.read(x).map_err(|error| bad_payload(error.0))?;
                let done = self.run(request, command, form).await?;
                self.sessions.end(id, request.session.jid());
                Ok(completed(command, id, &done))
            }
        }
    }

    /// The first request: the command's form, or what it has to say.
    async fn begin(&self, request: &Request, command: &Arc<dyn Command>, action: Action) -> Answer {
        if action != Action::Execute {
            return Err(bad_request(BAD_ACTION));
        }
        let environment = request.router.environment();
        let id = environment.token();
        let Some(form) = command.form() else {
            let done = self.run(request, command, Submission::default()).await?;
            return Ok(completed(command, &id, &done));
        };
        let asked = reply(command, &id, "executing", |out| {
            out.open("actions").attr("execute", "complete").open("complete").close().close();
            form.write(out);
        });
        let owner = request.session.jid();
        if !self.sessions.begin(id, owner, command.node(), form, environment.monotonic()) {
            return Err(StanzaError::new(StanzaCondition::ResourceConstraint)
                .with_text("too many commands wait for their form"));
        }
        Ok(asked)
    }

    async fn run(
        &self,
        request: &Request,
        command: &Arc<dyn Command>,
        form: Submission,
    ) -> Result<Outcome, StanzaError> {
        let operator = request.session.clone();
        // What was filled in is nobody's business.
        tracing::info!(operator = %operator.jid(), command = command.name(), "command");
        let call = Call { router: request.router.clone(), operator, form };
        command.run(call).await
    }
}

impl Action {
    fn read(command: &Node) -> Result<Self, StanzaError> {
        Ok(match command.attr("action") {
            None | Some("execute") => Self::Execute,
            Some("cancel") => Self::Cancel,
            Some("prev") => Self::Previous,
            Some("next") => Self::Next,
            Some("complete") => Self::Complete,
            Some(_) => return Err(bad_request(MALFORMED_ACTION)),
        })
    }
}

/// What came was no submission of the command's form, or what it says cannot be so.
pub(crate) fn bad_payload(text: &'static str) -> StanzaError {
    bad_request(BAD_PAYLOAD).with_text(text)
}

/// An error that does not repeat the request: passwords are in forms.
pub(crate) fn without_echo(request: &Request, answer: Answer) -> Answer {
    if let Err(error) = &answer
        && let Some(reply) = request.stanza.clone().without(|_| true).error(error)
    {
        request.session.answer(reply);
        return Ok(Reply::Sent);
    }
    answer
}

/// All that the server says is English. A language on the command itself was asked for; one on the iq may be no more than
/// the stream's (XEP-0050 3.7).
fn speaks_english(command: &Node) -> bool {
    let lang = command.attributes.iter().find(|(ns, name, _)| ns == ns::XML && name == "lang");
    lang.is_none_or(|(_, _, lang)| {
        lang.is_empty() || lang.split('-').next().is_some_and(|tag| tag.eq_ignore_ascii_case("en"))
    })
}

fn completed(command: &Arc<dyn Command>, id: &str, done: &Outcome) -> Reply {
    reply(command, id, "completed", |out| {
        if let Some(note) = &done.note {
            out.open("note").attr("type", "info").text(note).close();
        }
        if let Some(result) = &done.result {
            result.write(out);
        }
    })
}

fn reply(
    command: &Arc<dyn Command>,
    id: &str,
    status: &str,
    content: impl FnOnce(&mut Writer),
) -> Reply {
    let mut out = Writer::new();
    out.open_ns("command", ns::COMMANDS).attr("node", command.node());
    out.attr("sessionid", id).attr("status", status).attr("xml:lang", "en");
    content(&mut out);
    out.close();
    out.finish().into()
}

/// One of the specific conditions below.
fn bad_request(condition: &'static str) -> StanzaError {
    StanzaError { application: Some(condition), ..StanzaError::new(StanzaCondition::BadRequest) }
}

// The specific conditions of XEP-0050 4.4.
const BAD_ACTION: &str = "<bad-action xmlns='http://jabber.org/protocol/commands'/>";
const BAD_LOCALE: &str = "<bad-locale xmlns='http://jabber.org/protocol/commands'/>";
const BAD_PAYLOAD: &str = "<bad-payload xmlns='http://jabber.org/protocol/commands'/>";
const BAD_SESSION: &str = "<bad-sessionid xmlns='http://jabber.org/protocol/commands'/>";
const MALFORMED_ACTION: &str = "<malformed-action xmlns='http://jabber.org/protocol/commands'/>";
const SESSION_EXPIRED: &str = "<session-expired xmlns='http://jabber.org/protocol/commands'/>";
