//! What waited in the store for an account, handed over to a session that takes its messages.
//!
//! It is read a page at a time, by a task of its own: nobody's stanza waits for it, nor for a client that reads slowly.

use crate::{
    Backlog, BoxFuture, Router,
    account::{Account, State},
    lane::{Old, Turn},
    mailbox::Owed,
    route::After,
};
use futures_util::FutureExt;
use std::{collections::VecDeque, future::poll_fn, mem, sync::Arc};

impl Router {
    /// Reads what waits for the account, for this session. What was read before and is not handed over is read again.
    pub(crate) fn read_backlog(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
        session: u64,
    ) {
        let Some((_, read)) = &self.law.backlog else { return };
        self.settle_taken(account, mem::take(&mut state.unsettled));
        let ticket = state.lane.begin_reading(session);
        state.in_flight.begin_read();
        let reader = Reader { router: self.clone(), account: account.clone(), ticket };
        self.environment.spawn(reader.run(read(account.jid(), 0)).boxed());
    }

    /// Somebody let go of messages that no client has: whoever takes the account's messages gets them from the store, in
    /// their order; where nobody does they wait there.
    pub(crate) fn read_orphans(self: &Arc<Self>, account: &Arc<Account>, state: &mut State) {
        let number = state.seats.iter().find(|seat| seat.is_non_negative()).map(|seat| seat.number);
        if let Some(number) = number {
            self.read_backlog(account, state, number);
        }
    }

    /// Hands over what was read, as far as there is room. Whether the lane goes on.
    pub(crate) fn hand_backlog(
        self: &Arc<Self>,
        account: &Arc<Account>,
        state: &mut State,
    ) -> bool {
        let State { lane, seats, blocks, in_flight, .. } = state;
        let Some((reading, limit)) = lane.first_reading() else { return false };
        // Where that session has gone another one gets it that takes the account's messages; where there is none it stays.
        let fit = seats.iter().filter(|seat| seat.is_non_negative());
        let Some(seat) = fit.min_by_key(|seat| seat.number != reading.session) else {
            lane.end_reading();
            in_flight.end_read();
            return true;
        };
        let mut vanished = Vec::new();
        let goes_on = loop {
            if !seat.post.has_room_for_old() {
                reading.wait_for(&seat.post);
                break false;
            }
            let Some((row, stanza)) = reading.next_below(limit) else {
                if !reading.is_used_up() {
                    lane.step_behind(limit);
                } else if reading.wants_more() {
                    break false;
                } else {
                    lane.end_reading();
                }
                break true;
            };
            // XEP-0191 3.3: what somebody sent who was blocked since. It vanishes: an error now would show that the
            // account is there again.
            if faults::planted!("offline_delete_early") {
                vanished.push(row.clone());
            }
            if stanza.head.from.as_ref().is_some_and(|from| blocks.cover(from)) {
                vanished.push(row);
            } else {
                seat.post.send_old(stanza, Owed::Row(row));
                faults::site!("backlog-handed-over");
            }
        };
        self.settle_rows(account, vanished);
        goes_on
    }
}

/// The task that reads.
struct Reader {
    router: Arc<Router>,
    account: Arc<Account>,
    ticket: u64,
}

impl Reader {
    async fn run(self, mut read: BoxFuture<'static, Option<Backlog>>) {
        loop {
            let page = read.await;
            faults::site!("backlog-read");
            self.go_on(|state| state.turn_page(self.ticket, page)).await;
            read = loop {
                let turn = poll_fn(|cx| self.account.guard().lane.poll_reading(self.ticket, cx));
                match turn.await {
                    Turn::Done => return,
                    Turn::Room(post) => {
                        poll_fn(|cx| post.poll_room_for_old(cx)).await;
                        self.go_on(|_| ()).await;
                    }
                    Turn::Next(number) => break self.read_on(number),
                }
            };
        }
    }

    /// Does this under the guard, and lets leave what may.
    async fn go_on(&self, change: impl FnOnce(&mut State)) {
        let mut after = After::default();
        {
            let mut state = self.account.guard();
            change(&mut state);
            self.router.pump(&self.account, &mut state, &mut after);
        }
        self.router.finish(after).await;
    }

    fn read_on(&self, number: i64) -> BoxFuture<'static, Option<Backlog>> {
        let mut state = self.account.guard();
        match &self.router.law.backlog {
            Some((_, read)) if state.lane.is_reading(self.ticket) => {
                state.in_flight.begin_read();
                read(self.account.jid(), number)
            }
            _ => async { None }.boxed(),
        }
    }
}

impl State {
    /// This was read: what is not on its way already is on its way from now on. Without anything the reading is over.
    fn turn_page(&mut self, ticket: u64, backlog: Option<Backlog>) {
        if !self.lane.is_reading(ticket) {
            return;
        }
        let Some(Backlog { messages, next }) = backlog else {
            self.lane.end_reading();
            return self.in_flight.end_read();
        };
        let mut page: VecDeque<Old> = VecDeque::new();
        for (number, stanza) in messages {
            if !self.in_flight.has(number) {
                page.push_back((self.in_flight.add(number), stanza));
            }
        }
        self.in_flight.end_read();
        self.lane.turn_page(ticket, page, next);
    }
}
