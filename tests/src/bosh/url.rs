//! What the command lines of the programs say.

use super::{Account, Dial, Lab, http};
use std::str::FromStr;
use xmpp_core::Jid;

/// The endpoint of a manager: `http://HOST:PORT/PATH` or `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `HOST:PORT`.
    pub address: String,
    /// The value of `Host`.
    pub host: String,
    /// From the first slash on.
    pub path: String,
    /// Whether TLS comes first.
    pub https: bool,
}

impl Url {
    /// A laboratory with these accounts, which have to be two of one domain.
    ///
    /// # Errors
    ///
    /// If they are not.
    pub fn lab(self, accounts: Vec<Account>) -> Result<Lab, String> {
        let accounts: [Account; 2] = accounts
            .try_into()
            .map_err(|accounts: Vec<_>| format!("two --user are needed, not {}", accounts.len()))?;
        if accounts[0].domain != accounts[1].domain {
            return Err("--user: of one domain, please".into());
        }
        let Self { address, host, path, https } = self;
        Ok(Lab {
            dial: http(address, https),
            plain: None,
            host,
            path,
            accounts,
            process: None,
            upstream: None,
            gone: None,
        })
    }

    /// How connections to it are opened.
    pub fn dial(self) -> Dial {
        http(self.address, self.https)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("has to be http://… or https://…")?;
        let (https, port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err("has to be http://… or https://…".into()),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if with_port { host.to_owned() } else { format!("{host}:{port}") };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, host: host.to_owned(), path: path.to_owned(), https })
    }
}

/// `JID:PASSWORD`, as in `romeo@example.org:secret`.
impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (jid, password) = text.split_once(':').ok_or("has to be JID:PASSWORD")?;
        let jid: Jid = jid.parse().map_err(|error| format!("{error}"))?;
        let user = jid.local().ok_or("has to have a local part")?.to_owned();
        Ok(Self { user, domain: jid.domain().to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_need_not_tell_its_port_and_path() {
        let url: Url = "https://chat.example.org".parse().unwrap();
        assert_eq!((&*url.address, &*url.host), ("chat.example.org:443", "chat.example.org"));
        assert_eq!((&*url.path, url.https), ("/", true));
        let url: Url = "http://127.0.0.1:5280/http-bind".parse().unwrap();
        assert_eq!((&*url.address, &*url.path), ("127.0.0.1:5280", "/http-bind"));
        assert!("ftp://example.org".parse::<Url>().is_err());
    }
}
