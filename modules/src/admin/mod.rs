//! XEP-0133: Service Administration: the commands that operators need daily. They are for the whole server, whichever of
//! its domains is asked.

mod lists;
mod motd;
mod notices;
mod service;
mod users;

pub use service::{End, Power};

pub(crate) use motd::Motd;

use crate::{
    Registrar,
    commands::{Call, Command, Outcome, bad_payload},
    form::{Field, Form},
};
use futures_util::FutureExt;
use roster_store::Store;
use router::{BoxFuture, Router};
use std::sync::Arc;
use xmpp_core::{BareJid, Jid, StanzaError, error::StanzaCondition, ns};

/// What the commands work with.
pub(crate) struct Office {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) power: Arc<dyn Power>,
    pub(crate) motd: Arc<Motd>,
}

/// A command as it stands in the list.
struct Administration {
    node: &'static str,
    name: &'static str,
    form: fn() -> Option<Form>,
    run: fn(Arc<Office>, Call) -> BoxFuture<'static, Result<Outcome, StanzaError>>,
    office: Arc<Office>,
}

impl Command for Administration {
    fn node(&self) -> &'static str {
        self.node
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn form(&self) -> Option<Form> {
        (self.form)()
    }

    fn run(&self, call: Call) -> BoxFuture<'static, Result<Outcome, StanzaError>> {
        (self.run)(self.office.clone(), call)
    }
}

/// The commands in the order of XEP-0133 4.
macro_rules! commands {
    ($office:ident: $($node:literal $name:literal $form:expr => $run:expr;)*) => {
        vec![$(Arc::new(Administration {
            node: concat!("http://jabber.org/protocol/admin#", $node),
            name: $name,
            form: $form,
            run: |office, call| ($run)(office, call).boxed(),
            office: $office.clone(),
        })),*]
    };
}

/// All of them.
pub(crate) fn commands(office: &Arc<Office>) -> Vec<Arc<dyn Command>> {
    use lists::{Kind, count, list};
    commands! { office:
        "add-user" "Add User" users::ask_new => users::add;
        "delete-user" "Delete User" users::ask_leaving => users::delete;
        "end-user-session" "End User Session" users::ask_ending => users::end_sessions;
        "change-user-password" "Change User Password" users::ask_password => users::change_password;
        "get-user-lastlogin" "Get User Last Login Time" users::ask_last_login => users::last_login;
        "user-stats" "Get User Statistics" users::ask_statistics => users::statistics;
        "get-registered-users-num" "Get Number of Registered Users" nothing
            => |office, call| count(office, call, Kind::Registered);
        "get-online-users-num" "Get Number of Online Users" nothing
            => |office, call| count(office, call, Kind::Online);
        "get-active-users-num" "Get Number of Active Users" nothing
            => |office, call| count(office, call, Kind::Active);
        "get-idle-users-num" "Get Number of Idle Users" nothing
            => |office, call| count(office, call, Kind::Idle);
        "get-registered-users-list" "Get List of Registered Users" lists::ask
            => |office, call| list(office, call, Kind::Registered);
        "get-online-users-list" "Get List of Online Users" lists::ask
            => |office, call| list(office, call, Kind::Online);
        "get-active-users" "Get List of Active Users" lists::ask
            => |office, call| list(office, call, Kind::Active);
        "get-idle-users" "Get List of Idle Users" lists::ask
            => |office, call| list(office, call, Kind::Idle);
        "announce" "Send Announcement to Online Users" notices::ask_announcement
            => notices::announce;
        "set-motd" "Set Message of the Day" notices::ask_motd => notices::set_motd;
        "delete-motd" "Delete Message of the Day" nothing => notices::delete_motd;
        "restart" "Restart Service" service::ask_restart
            => |office, call| service::end(office, call, End::Restart);
        "shutdown" "Shut Down Service" service::ask_shutdown
            => |office, call| service::end(office, call, End::Stop);
    }
}

/// For commands that run at once.
fn nothing() -> Option<Form> {
    None
}

/// A form to be filled in.
fn ask<const N: usize>(
    title: &'static str,
    instructions: &'static str,
    fields: [Field; N],
) -> Option<Form> {
    let form = Form::ask(ns::ADMIN, title, instructions);
    Some(fields.into_iter().fold(form, Form::with))
}

/// A form with what was found.
fn found<const N: usize>(fields: [Field; N]) -> Outcome {
    let form = Form::result(ns::ADMIN);
    Outcome { result: Some(fields.into_iter().fold(form, Form::with)), note: None }
}

/// The accounts that a form names. All are of domains served here, and addresses of users.
fn accounts(router: &Router, jids: &[Jid]) -> Result<Vec<BareJid>, StanzaError> {
    let account = |jid: &Jid| {
        if !jid.is_bare() || jid.local().is_none() {
            Err(bad_payload("that is no user's address, such as juliet@example.org"))
        } else if !router.serves(jid.domain()) {
            Err(StanzaError::new(StanzaCondition::NotAllowed)
                .with_text("that domain is not served here"))
        } else {
            Ok(jid.to_bare())
        }
    };
    jids.iter().map(account).collect()
}
