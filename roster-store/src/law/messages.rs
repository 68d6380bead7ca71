//! What putting messages does (XEP-0160, XEP-0313).

use super::{AccountId, Rows, account};
use crate::{Caps, MessageId, NewMessage, Result, StoreError};

/// The rows of messages.
pub(crate) trait MessageRows: Rows {
    /// How many messages are pending and not archived, and their bytes.
    fn waiting(&self, owner: AccountId) -> Result<(usize, usize)>;
    /// Adds a message.
    fn put_message(&mut self, owner: AccountId, id: MessageId, message: &NewMessage) -> Result<()>;
}

/// Adds messages, all or none. Those that are neither archived nor pending are nobody's.
pub(crate) fn put_messages(
    rows: &mut impl MessageRows,
    caps: &Caps,
    messages: &[(MessageId, NewMessage)],
) -> Result<()> {
    let mut owners = Vec::with_capacity(messages.len());
    for (place, (id, message)) in messages.iter().enumerate() {
        if id.number() >= MessageId::LAST {
            return Err(StoreError::Full("messages"));
        }
        let owner = account(rows, &message.owner)?;
        owners.push(owner);
        if waits_only(message) && !message.delivered {
            let (mut count, mut bytes) = rows.waiting(owner)?;
            let before = owners.iter().zip(messages).take(place);
            for (_, (_, other)) in before.filter(|(o, (_, m))| **o == owner && waits_only(m)) {
                count += 1;
                bytes += other.stanza.len();
            }
            if count >= caps.offline_messages || bytes + message.stanza.len() > caps.offline_bytes {
                return Err(StoreError::Full("offline messages"));
            }
        }
    }
    for (owner, (id, message)) in owners.into_iter().zip(messages) {
        if message.archived || message.pending {
            rows.put_message(owner, *id, message)?;
            faults::site!("row-put");
        }
    }
    Ok(())
}

/// Whether it is kept for no archive.
fn waits_only(message: &NewMessage) -> bool {
    message.pending && !message.archived
}
