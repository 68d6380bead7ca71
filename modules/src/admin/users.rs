//! Commands about one account, or some (XEP-0133 4.1 to 4.10).

use super::{Office, accounts, ask, found};
use crate::{
    commands::{Call, Outcome, bad_payload},
    form::{
        Field,
        FieldType::{JidMulti, JidSingle, TextMulti, TextPrivate, TextSingle},
        Form,
    },
    stored::refusal,
    time::stamp,
};
use roster_store::StoreError;
use router::{Account, Router};
use std::{sync::Arc, time::SystemTime};
use xmpp_core::{
    BareJid, Jid, StanzaError, StreamError,
    error::{StanzaCondition, StreamCondition},
};

type Done = Result<Outcome, StanzaError>;

pub(super) fn ask_new() -> Option<Form> {
    ask(
        "Adding a User",
        "Fill out this form to add a user.",
        [
            Field::new(JidSingle, "accountjid", "The address of the new account").required(),
            Field::new(TextPrivate, "password", "Its password").required(),
            Field::new(TextPrivate, "password-verify", "The password once more").required(),
        ],
    )
}

/// XEP-0133 4.1
pub(super) async fn add(office: Arc<Office>, call: Call) -> Done {
    let Call { router, form, .. } = &call;
    let account = one(router, form.jids("accountjid"))?;
    let password = form.text("password").unwrap_or_default();
    if form.text("password-verify").as_ref() != Some(&password) {
        return Err(bad_payload("the two passwords differ"));
    }
    office.registrar.create(router, &account, password).await?;
    Ok(Outcome::default())
}

pub(super) fn ask_leaving() -> Option<Form> {
    ask(
        "Deleting a User",
        "Fill out this form to delete users, with all that they own. There is no way back.",
        [Field::new(JidMulti, "accountjids", "The accounts to delete").required()],
    )
}

/// XEP-0133 4.2: all of them, or none where one does not exist.
pub(super) async fn delete(office: Arc<Office>, call: Call) -> Done {
    let Call { router, operator, form } = &call;
    let accounts = accounts(router, form.jids("accountjids"))?;
    all_exist(&office, &accounts).await?;
    for account in &accounts {
        office.registrar.delete(router, account, operator).await?;
    }
    Ok(Outcome::default())
}

pub(super) fn ask_ending() -> Option<Form> {
    ask(
        "Ending a User Session",
        "Fill out this form to end sessions: all of an account's, or the one of a full address.",
        [Field::new(JidMulti, "accountjids", "Whose sessions to end").required()],
    )
}

/// XEP-0133 4.5
pub(super) async fn end_sessions(_office: Arc<Office>, call: Call) -> Done {
    let Call { router, operator, form } = &call;
    let jids = form.jids("accountjids");
    let bare: Vec<Jid> = jids.iter().map(|jid| jid.to_bare().as_jid().clone()).collect();
    let accounts = accounts(router, &bare)?;
    let error = StreamError::new(StreamCondition::PolicyViolation)
        .with_text("an operator has ended this session");
    let mut ended = 0;
    for (jid, account) in jids.iter().zip(&accounts) {
        let meant = |seat: &Jid| jid.is_bare() || seat == jid;
        if account == operator.account().jid() && meant(operator.jid()) {
            operator.close(&error);
            ended += 1;
        }
        ended += router
            .close_sessions(account, &error, |seat| meant(seat.jid()) && !seat.is_of(operator));
    }
    Ok(Outcome { result: None, note: Some(format!("Sessions ended: {ended}.")) })
}

pub(super) fn ask_password() -> Option<Form> {
    ask(
        "Changing a User Password",
        "Fill out this form to change a user's password. The user's sessions end.",
        [
            Field::new(JidSingle, "accountjid", "The account").required(),
            Field::new(TextPrivate, "password", "Its new password").required(),
        ],
    )
}

/// XEP-0133 4.7
pub(super) async fn change_password(office: Arc<Office>, call: Call) -> Done {
    let Call { router, operator, form } = &call;
    let account = one(router, form.jids("accountjid"))?;
    let password = form.text("password").unwrap_or_default();
    // Before a password is hashed for nobody.
    all_exist(&office, std::slice::from_ref(&account)).await?;
    office.registrar.change_password(router, &account, password, operator).await?;
    Ok(Outcome::default())
}

pub(super) fn ask_last_login() -> Option<Form> {
    ask(
        "Getting a User's Last Login Time",
        "Fill out this form to learn when users were last here: since when they are, or when they left.",
        [Field::new(JidMulti, "accountjids", "The accounts").required()],
    )
}

/// XEP-0133 4.9. A value for each account, in order; an empty one for who was never here.
pub(super) async fn last_login(office: Arc<Office>, call: Call) -> Done {
    let accounts = accounts(&call.router, call.form.jids("accountjids"))?;
    let mut times = Vec::new();
    for jid in &accounts {
        let left = office.store.last_left(jid).await.map_err(|error| refusal(&error))?;
        let account = load(&call.router, jid).await?;
        let since =
            sessions(&call.router, &account).await.into_iter().map(|(_, since)| since).max();
        times.push(since.or(left.map(|left| left.at)).map(stamp).unwrap_or_default());
    }
    Ok(found([
        Field::new(JidMulti, "accountjids", "The accounts")
            .values(accounts.iter().map(BareJid::as_str)),
        Field::new(TextMulti, "lastlogin", "When they were last here").values(times),
    ]))
}

pub(super) fn ask_statistics() -> Option<Form> {
    ask(
        "Get User Statistics",
        "Fill out this form to gather user statistics.",
        [Field::new(JidSingle, "accountjid", "The account").required()],
    )
}

/// XEP-0133 4.10
pub(super) async fn statistics(office: Arc<Office>, call: Call) -> Done {
    let jid = one(&call.router, call.form.jids("accountjid"))?;
    let roster = office.store.roster(&jid).await.map_err(|error| refusal(&error))?;
    let listed = roster.items.iter().filter(|item| item.listed).count();
    let account = load(&call.router, &jid).await?;
    let sessions = sessions(&call.router, &account).await;
    let resources = sessions.iter().filter_map(|(jid, _)| jid.resource());
    Ok(found([
        Field::new(TextSingle, "rostersize", "Contacts").values([listed.to_string()]),
        Field::new(TextMulti, "onlineresources", "Resources of its sessions").values(resources),
    ]))
}

/// The account that a field for one names.
fn one(router: &Router, jids: &[Jid]) -> Result<BareJid, StanzaError> {
    let mut accounts = accounts(router, jids)?;
    accounts.pop().ok_or(bad_payload("the account is missing"))
}

async fn all_exist(office: &Office, accounts: &[BareJid]) -> Result<(), StanzaError> {
    for account in accounts {
        if !office.store.exists(account).await.map_err(|error| refusal(&error))? {
            return Err(refusal(&StoreError::NotFound));
        }
    }
    Ok(())
}

async fn load(router: &Router, jid: &BareJid) -> Result<Arc<Account>, StanzaError> {
    let account = router.account(jid.as_jid()).await;
    account.map_err(|_| StanzaError::new(StanzaCondition::InternalServerError))
}

/// The account's sessions, and since when they are connected.
async fn sessions(router: &Arc<Router>, account: &Arc<Account>) -> Vec<(Jid, SystemTime)> {
    let sessions = router.enter(account, |view| {
        view.seats().iter().map(|seat| (seat.jid().clone(), seat.since())).collect()
    });
    sessions.await
}
