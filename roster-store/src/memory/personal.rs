//! Documents, block lists, archive preferences, last activity, notices and parked streams in memory.

use super::{Memory, State};
use crate::{
    ArchivePreferences, BlockLists, BoxFuture, Document, DocumentKey, Documents, Heard, Journal,
    LastActivity, Left, LeftStreams, Motd, Notices, Preferences, Result, Sessions, Source,
    law::{self, AccountId, BlockRows, DocumentRows, PreferenceRows},
};
use xmpp_core::{BareJid, Jid};

impl DocumentRows for State {
    fn documents(&self, owner: AccountId) -> Result<(usize, usize)> {
        let documents = &self.of(owner).documents;
        Ok((documents.len(), documents.values().map(Vec::len).sum()))
    }
    fn document_bytes(&self, owner: AccountId, key: &DocumentKey) -> Result<Option<usize>> {
        Ok(self.of(owner).documents.get(key).map(Vec::len))
    }
    fn put_document(&mut self, owner: AccountId, key: &DocumentKey, data: &[u8]) -> Result<()> {
        self.of_mut(owner).documents.insert(key.clone(), data.to_vec());
        Ok(())
    }
    fn drop_document(&mut self, owner: AccountId, key: &DocumentKey) -> Result<()> {
        self.of_mut(owner).documents.remove(key);
        Ok(())
    }
}

impl Documents for Memory {
    fn document(&self, owner: &BareJid, key: &DocumentKey) -> BoxFuture<Result<Option<Vec<u8>>>> {
        self.run(|state| Ok(state.find(owner)?.documents.get(key).cloned()))
    }
    fn put_documents(&self, owner: &BareJid, documents: Vec<Document>) -> BoxFuture<Result<()>> {
        self.run(|state| law::put_documents(state, &self.caps, owner, &documents))
    }
}

impl BlockRows for State {
    fn blocked(&self, owner: AccountId) -> Result<Vec<Jid>> {
        Ok(self.of(owner).blocked.iter().cloned().collect())
    }
    fn put_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()> {
        self.of_mut(owner).blocked.insert(jid.clone());
        Ok(())
    }
    fn drop_blocked(&mut self, owner: AccountId, jid: &Jid) -> Result<()> {
        self.of_mut(owner).blocked.remove(jid);
        Ok(())
    }
}

impl BlockLists for Memory {
    fn blocked(&self, owner: &BareJid) -> BoxFuture<Result<Vec<Jid>>> {
        self.run(|state| BlockRows::blocked(state, law::account(state, owner)?))
    }
    fn block(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>> {
        self.run(|state| law::block(state, &self.caps, owner, &jids))
    }
    fn unblock(&self, owner: &BareJid, jids: Vec<Jid>) -> BoxFuture<Result<Vec<Jid>>> {
        self.run(|state| law::unblock(state, owner, &jids))
    }
}

impl PreferenceRows for State {
    fn preferences(&self, owner: AccountId) -> Result<Option<Preferences>> {
        Ok(self.of(owner).preferences.clone())
    }
    fn put_preferences(&mut self, owner: AccountId, preferences: &Preferences) -> Result<()> {
        self.of_mut(owner).preferences = Some(preferences.clone());
        Ok(())
    }
}

impl ArchivePreferences for Memory {
    fn set_preferences(
        &self,
        owner: &BareJid,
        preferences: Preferences,
    ) -> BoxFuture<Result<Preferences>> {
        self.run(|state| law::set_preferences(state, &self.caps, owner, &preferences))
    }
}

impl Sessions for Memory {
    fn journal(&self) -> Result<Option<(Journal, LeftStreams)>> {
        Ok(None)
    }
    fn heard(&self, streams: Vec<u32>) -> BoxFuture<Result<Vec<(u32, Heard)>>> {
        self.run(|state| {
            state.heard.retain(|(stream, _), _| streams.contains(stream));
            let heard = state.heard.iter();
            Ok(heard.map(|((stream, number), mark)| (*stream, (*number, *mark))).collect())
        })
    }
    fn forget(&self, stream: u32) -> BoxFuture<Result<()>> {
        self.run(|state| {
            state.heard.retain(|(its, _), _| *its != stream);
            Ok(())
        })
    }
}

impl State {
    pub(super) fn note_heard(&mut self, source: Source) {
        let Source { stream, number, mark, handled } = source;
        if let Some(handled) = handled {
            let is_over = |number: u32| handled.wrapping_sub(number) < 1 << 31;
            self.heard.retain(|(its, number), _| *its != stream || !is_over(*number));
        }
        self.heard.insert((stream, number), mark);
    }
}

impl LastActivity for Memory {
    fn left(&self, owner: &BareJid, left: Left) -> BoxFuture<Result<()>> {
        self.run(|state| {
            state.find(owner)?.left = Some(law::left(&self.caps, left));
            Ok(())
        })
    }
    fn last_left(&self, owner: &BareJid) -> BoxFuture<Result<Option<Left>>> {
        self.run(|state| Ok(state.find(owner)?.left.clone()))
    }
}

impl Notices for Memory {
    fn motd(&self) -> BoxFuture<Result<Option<Motd>>> {
        self.run(|state| Ok(state.motd.clone()))
    }
    fn set_motd(&self, motd: Option<Motd>) -> BoxFuture<Result<()>> {
        self.run(|state| {
            state.motd = motd;
            Ok(())
        })
    }
}
