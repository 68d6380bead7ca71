//! Features that a user can name, one file per XEP family.
//!
//! [`all`] is the one list. What a module does is what it declares to the router; service discovery, the table of
//! XEPs and the documentation are derived from that.

mod accounts;
mod activity;
mod admin;
mod archive;
mod blocking;
mod caps;
mod carbons;
mod chat_state;
mod client_state;
mod commands;
mod contact;
mod delay;
mod directory;
mod disco;
mod form;
mod hints;
mod offline;
mod ping;
mod private;
mod register;
mod roster;
mod session;
mod stanza_id;
mod stored;
mod subscription;
mod time;
mod vcard;
mod version;

pub use accounts::{Passwords, Registrar};
pub use admin::{End, Power};
pub use archive::Settings as ArchiveSettings;
pub use contact::Contacts;
pub use directory::StoreDirectory;
pub use router::{Xep, xeps as declarations};
pub use version::Software;

use roster_store::{Caps, Store};
use router::Module;
use std::sync::Arc;
use xmpp_core::BareJid;

/// What the modules are made of.
#[derive(Clone)]
pub struct Deps {
    /// Where rosters and offline messages are kept.
    pub store: Arc<dyn Store>,
    /// The limits that the store was opened with.
    pub caps: Caps,
    /// How archives are kept and read.
    pub archive: ArchiveSettings,
    /// The domains served here, in prepared form.
    pub domains: Vec<String>,
    /// What the server calls itself.
    pub software: Software,
    /// Whom to write to about the service.
    pub contacts: Contacts,
    /// Who may administer it.
    pub admins: Vec<BareJid>,
    /// What changes accounts.
    pub registrar: Arc<Registrar>,
    /// What ends the server.
    pub power: Arc<dyn Power>,
}

/// All modules, in order.
pub fn all(deps: &Deps) -> Vec<Arc<dyn Module>> {
    let Deps { store, caps, archive, domains, software, contacts, admins, registrar, power } =
        deps.clone();
    let motd = admin::Motd::new(store.clone());
    let office = Arc::new(admin::Office {
        store: store.clone(),
        registrar: registrar.clone(),
        power,
        motd: motd.clone(),
    });
    vec![
        // what only the server may say of a stanza's past: before anything reads it
        Arc::new(delay::Delay { domains: domains.clone() }),
        // ids that only accounts and servers give
        Arc::new(stanza_id::StanzaIds { domains }),
        // who is not heard: before anybody is told anything
        Arc::new(blocking::Blocking { store: store.clone() }),
        // who knows whom
        Arc::new(roster::Rosters { store: store.clone(), caps }),
        // who may see whose presence
        Arc::new(subscription::Subscriptions {
            store: store.clone(),
            request_bytes: caps.request_bytes,
        }),
        // when somebody was last here
        Arc::new(activity::Activity { store: store.clone() }),
        // what clients keep for themselves, and what they show the world
        Arc::new(private::Private { store: store.clone() }),
        Arc::new(vcard::VCards { store: store.clone() }),
        // messages for those who are not there: the last resort of delivery
        Arc::new(offline::Offline { store: store.clone() }),
        // what was said, for those who were not there or forget
        Arc::new(archive::Archive { store, settings: archive }),
        // both sides of a conversation for all of a user's clients
        Arc::new(carbons::Carbons),
        // what clients can wait for while nobody looks at them
        Arc::new(client_state::ClientState),
        // what there is to be found here
        Arc::new(disco::Disco { name: software.name.clone() }),
        // the same in short
        Arc::new(caps::Capabilities::default()),
        // whom to write to
        Arc::new(contacts),
        // another password, and the end of an account
        Arc::new(register::Register { registrar }),
        // what operators can have done
        Arc::new(commands::Commands::new(admins, admin::commands(&office))),
        // what operators tell everybody who comes
        motd,
        // whether anybody is there
        Arc::new(ping::Ping),
        // what runs here
        Arc::new(version::Version { software }),
        // what time it is here
        Arc::new(time::Time),
        // a step of older clients' logins that does nothing any more
        Arc::new(session::Session),
    ]
}
