//! Logins over a stage, and accounts that exist for one script only.

use crate::{
    Cause, Character, Client, ClientError, Connection, Login, Request, Script, Stage,
    client::REGISTER,
};
use xmpp_core::{Jid, ns};

impl Script {
    /// The accounts of the characters, each once, by the first character that has it.
    pub fn accounts(&self) -> impl Iterator<Item = &Character> {
        let cast = &self.characters;
        cast.iter().enumerate().filter_map(|(number, character)| {
            let is_first = cast[..number].iter().all(|other| other.jid != character.jid);
            is_first.then_some(character)
        })
    }
}

/// Registers the character's account at the server (XEP-0077 3.1), over a connection of its own. `false`: there is an
/// account of that name already.
///
/// # Errors
/// The server does not let anybody register, or the connection failed.
pub async fn register<S: Stage>(character: &Character, stage: &mut S) -> Result<bool, Cause> {
    let login = login_of(character, stage);
    let mut connection = stage.connect(character).await?;
    let mut client = Client::register(login, connection.channel());
    while !client.registered() {
        match advance(character, &mut client, &mut connection).await {
            Ok(()) => {}
            Err(Cause::Login(ClientError::Refused(_, reason))) if reason == "conflict" => break,
            Err(cause) => return Err(cause),
        }
    }
    connection.close().await?;
    Ok(client.registered())
}

/// Removes the character's account from the server (XEP-0077 3.2), over a session of its own.
///
/// # Errors
/// The login failed, or the server does not want to.
pub async fn unregister<S: Stage>(character: &Character, stage: &mut S) -> Result<(), Cause> {
    const ID: &str = "unregister";
    let (mut connection, _) = login(character, stage).await?;
    let iq = format!("<iq type='set' id='{ID}'><query xmlns='{REGISTER}'><remove/></query></iq>");
    connection.send(iq.into()).await?;
    // The server may close the stream instead of answering, or after it.
    while let Some(node) = connection.receive().await? {
        if !node.is(ns::CLIENT, "iq") || node.attr("id") != Some(ID) {
            continue;
        }
        if node.attr("type") == Some("error") {
            return Err(ClientError::refused("removal of the account", &node).into());
        }
        // The stream ends with the account (XEP-0077 3.2): whoever closes it first.
        let _closed = connection.close().await;
        break;
    }
    Ok(())
}

/// A session of the character's.
pub(crate) async fn login<S: Stage>(
    character: &Character,
    stage: &mut S,
) -> Result<(S::Connection, Jid), Cause> {
    let login = login_of(character, stage);
    let mut connection = stage.connect(character).await?;
    let mut client = Client::new(login, connection.channel());
    loop {
        if let Some(jid) = client.bound() {
            return Ok((connection, jid.clone()));
        }
        advance(character, &mut client, &mut connection).await?;
    }
}

fn login_of(character: &Character, stage: &mut impl Stage) -> Login {
    Login {
        account: character.jid.clone(),
        password: character.password.clone(),
        resource: character.resource.clone(),
        nonce: stage.nonce(),
    }
}

/// What the client asks for, and the server's next word on it.
async fn advance(
    character: &Character,
    client: &mut Client,
    connection: &mut impl Connection,
) -> Result<(), Cause> {
    let domain = character.jid.domain();
    while let Some(request) = client.poll() {
        match request {
            Request::Open => connection.open(domain).await?,
            Request::StartTls => connection.start_tls(domain).await?,
            Request::Send(elements) => connection.send(elements).await?,
        }
    }
    let node = connection.receive().await?.ok_or(Cause::Ended)?;
    Ok(client.handle(&node)?)
}
