//! Who was sent which form, and until when it may come back (XEP-0050 3.3).

use crate::form::Form;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use xmpp_core::Jid;

/// How long a form may be filled in: people are called away from it.
const LIFE: Duration = Duration::from_secs(600);
/// Forms that one account may have before it, in all its sessions: more than it has screens. Clients do not always say that
/// a form was put away, so the oldest makes room for the next.
const PER_ACCOUNT: usize = 10;
/// Forms that all may have before them: operators are few.
const IN_ALL: usize = 1_000;
/// Sessions remembered after their end, so that who comes too late hears that.
const ENDED: usize = 1_000;

/// The sessions of commands, each between the server and one session of an account.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    running: HashMap<String, Running>,
    /// Their ids and owners, oldest first.
    ended: VecDeque<(String, Jid)>,
}

struct Running {
    owner: Jid,
    node: &'static str,
    form: Arc<Form>,
    until: Duration,
}

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There was never such a session of this owner and command.
    Unknown,
    /// It is over.
    Expired,
}

impl Sessions {
    /// A session under this id; false where there are too many.
    pub(super) fn begin(
        &self,
        id: String,
        owner: &Jid,
        node: &'static str,
        form: Form,
        now: Duration,
    ) -> bool {
        let mut table = self.table();
        table.expire(now);
        let bare = owner.bare_str();
        let own = table.running.iter().filter(|(_, running)| running.owner.bare_str() == bare);
        if own.clone().count() >= PER_ACCOUNT {
            let oldest = own.min_by_key(|(_, running)| running.until).map(|(id, _)| id.clone());
            if let Some((id, running)) = oldest.and_then(|id| table.running.remove_entry(&id)) {
                table.remember(id, running.owner);
            }
        }
        if table.running.len() >= IN_ALL {
            return false;
        }
        let running = Running { owner: owner.clone(), node, form: form.into(), until: now + LIFE };
        table.running.insert(id, running);
        true
    }

    /// The form that was sent to this owner under this id.
    pub(super) fn form(
        &self,
        id: &str,
        owner: &Jid,
        node: &str,
        now: Duration,
    ) -> Result<Arc<Form>, Ended> {
        let mut table = self.table();
        table.expire(now);
        match table.running.get(id) {
            Some(running) if running.owner == *owner && running.node == node => {
                Ok(running.form.clone())
            }
            // Whose it is, and that it is, is nobody else's business.
            Some(_) => Err(Ended::Unknown),
            None if table.ended.iter().any(|(ended, its)| ended == id && its == owner) => {
                Err(Ended::Expired)
            }
            None => Err(Ended::Unknown),
        }
    }

    /// It is over.
    pub(super) fn end(&self, id: &str, owner: &Jid) {
        let mut table = self.table();
        table.running.remove(id);
        table.remember(id.to_owned(), owner.clone());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in it can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn expire(&mut self, now: Duration) {
        let late: Vec<_> = self.running.extract_if(|_, running| running.until <= now).collect();
        for (id, running) in late {
            self.remember(id, running.owner);
        }
    }

    fn remember(&mut self, id: String, owner: Jid) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, owner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn jid(text: &str) -> Jid {
        text.parse().unwrap()
    }

    fn begin(sessions: &Sessions, id: usize, owner: &str, now: Duration) -> bool {
        let form = Form::ask("urn:test", "", "");
        sessions.begin(id.to_string(), &jid(owner), "node", form, now)
    }

    #[test]
    fn r03_sessions_are_bounded_per_account_and_in_all() {
        let sessions = Sessions::default();
        for id in 0..=PER_ACCOUNT {
            let now = SECOND + Duration::from_millis(id as u64);
            assert!(begin(&sessions, id, &format!("a@b/{id}"), now));
        }
        let form = |id: &str| sessions.form(id, &jid(&format!("a@b/{id}")), "node", 2 * SECOND);
        assert_eq!(form("0").map(|_| ()), Err(Ended::Expired), "of all sessions of the account");
        assert!(form("1").is_ok());
        for id in PER_ACCOUNT + 1..=IN_ALL {
            assert!(begin(&sessions, id, &format!("{id}@b/c"), SECOND));
        }
        assert!(!begin(&sessions, 0, "new@b/c", SECOND));
        assert!(begin(&sessions, 0, "new@b/c", 2 * SECOND + LIFE), "those that ran out make room");
        for id in 0..2 * ENDED {
            sessions.end(&id.to_string(), &jid("a@b/c"));
        }
        assert!(sessions.table().ended.len() <= ENDED);
    }

    #[test]
    fn xep0050_3_3_a_session_is_its_owner_s_and_its_command_s_and_ends() {
        let sessions = Sessions::default();
        begin(&sessions, 1, "a@b/c", SECOND);
        let form = |id: &str, owner: &str, node: &str, now| {
            sessions.form(id, &jid(owner), node, now).map(|_| ())
        };
        assert_eq!(form("1", "a@b/c", "node", SECOND), Ok(()));
        assert_eq!(form("2", "a@b/c", "node", SECOND), Err(Ended::Unknown));
        assert_eq!(form("1", "a@b/other", "node", SECOND), Err(Ended::Unknown));
        assert_eq!(form("1", "a@b/c", "other", SECOND), Err(Ended::Unknown));
        let end = SECOND + LIFE;
        assert_eq!(form("1", "a@b/c", "node", end - Duration::from_millis(1)), Ok(()));
        assert_eq!(form("1", "a@b/c", "node", end), Err(Ended::Expired));
        assert_eq!(form("1", "a@b/other", "node", end), Err(Ended::Unknown));
        begin(&sessions, 2, "a@b/c", SECOND);
        sessions.end("2", &jid("a@b/c"));
        assert_eq!(form("2", "a@b/c", "node", SECOND), Err(Ended::Expired));
    }
}
