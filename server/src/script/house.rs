//! A server for one script: in memory, with the accounts of its characters.

use crate::{Ephemeral, Server};
use script::Script;

/// The tag of a script for a setting that it needs, as after `--set`.
pub(super) const SET: &str = "set";

/// Starts a server for the domains of the script's characters and creates their accounts. `base` has the settings of
/// `--set`; what the script says in its tags counts more.
pub(super) async fn open(base: &Ephemeral, script: &Script) -> anyhow::Result<Server> {
    let own = script.tags.iter().filter(|tag| tag.name == SET);
    let own = own.filter_map(|tag| tag.value.as_deref());
    let server = own.fold(base.clone(), Ephemeral::set);
    let accounts = script.accounts();
    accounts.fold(server, |server, one| server.user(one.jid.as_str(), &one.password)).start().await
}
