//! A stream in words, so that it goes on in another process (XEP-0198 5). Only we write them and only we read them.
//!
//! A word is a byte for its kind, its length, and what it says. Later words overrule earlier ones or add to them: so what is
//! true is written by and by, as it changes, and a [`Page`] is all that is true at the end of a row of words.

use super::ledger::{Counts, Terms};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use router::{Frozen, Letter};
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use xmpp_core::{
    Jid, Stanza, ns,
    xml::{Element, Limits, Scope},
};

/// A stream without a connection, as a value.
pub(crate) struct State {
    /// What the router knows of it.
    pub(crate) seat: Frozen,
    pub(crate) terms: Terms,
    /// What tells its account from another one at the same address.
    pub(crate) mark: u64,
    pub(crate) standing: Standing,
    pub(crate) counts: Counts,
    /// What the client has not acknowledged, as far as is written, in order.
    pub(crate) letters: Vec<Saved>,
    /// Numbers in the store of what it has acknowledged, which the store may not have heard.
    pub(crate) taken: Vec<i64>,
    /// The highest number in the store of anything that the client was ever sent.
    pub(crate) last: i64,
}

/// A letter as a value.
pub(crate) struct Saved {
    pub(crate) stanza: Stanza,
    /// Something becomes of it where the client does not get it.
    pub(crate) owed: bool,
    /// Its number in the store, where that keeps it until the client has it.
    pub(crate) row: Option<i64>,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Until when it waits for its client, to the second; `None` while it has a connection.
    pub(crate) until: Option<SystemTime>,
    /// The server was killed since its client last saw its contacts' presence.
    pub(crate) stale: bool,
    /// More may be on its way to the client than is written: other sessions may have got that for good.
    pub(crate) behind: bool,
}

/// What is true at the end of a row of words.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    terms: &'a [u8],
    seat: &'a [u8],
    standing: &'a [u8],
    counts: Option<Counts>,
    letters: VecDeque<(&'a [u8], Option<i64>)>,
    /// Numbers in the store of letters that the client has acknowledged.
    pub(crate) taken: Vec<i64>,
    last: i64,
}

const TERMS: u8 = 1;
const SEAT: u8 = 2;
const STANDING: u8 = 3;
const COUNTS: u8 = 4;
const LETTER: u8 = 5;
const TAKEN: u8 = 6;
const LAST: u8 = 7;

/// In a letter's first byte.
const OWED: u8 = 1;
const HAS_ROW: u8 = 2;

/// What was checked when it came in is only read again, so these are no limits.
const WRITTEN: Limits = Limits {
    bytes: usize::MAX,
    elements: u32::MAX,
    depth: u32::MAX,
    attributes: u32::MAX,
    declarations: u32::MAX,
    name: usize::MAX,
};

/// How the stream may be resumed, and by whom.
pub(crate) fn put_terms(out: &mut BytesMut, terms: &Terms, mark: u64) {
    word(out, TERMS, |out| {
        text(out, terms.token.as_bytes());
        out.put_u64(terms.max.as_secs());
        out.put_u64(mark);
    });
}

/// What the router knows of it.
pub(crate) fn put_seat(out: &mut BytesMut, seat: &Frozen) {
    word(out, SEAT, |out| {
        text(out, seat.jid.as_str().as_bytes());
        out.put_u64(seconds(seat.since));
        sized(out, |out| {
            if let Some(presence) = &seat.presence {
                presence.write(out);
            }
        });
        sized(out, |out| seat.directed.iter().for_each(|jid| text(out, jid.as_str().as_bytes())));
        for (name, words) in &seat.remembered {
            text(out, name.as_bytes());
            text(out, words);
        }
    });
}

/// How it stands.
pub(crate) fn put_standing(out: &mut BytesMut, standing: Standing) {
    word(out, STANDING, |out| {
        // Not before its time is over: rounded up.
        out.put_u64(standing.until.map_or(0, |until| seconds(until + ALMOST)));
        out.put_u8(u8::from(standing.stale) | u8::from(standing.behind) << 1);
    });
}

/// The counts: so many of the letters before are acknowledged.
pub(crate) fn put_counts(out: &mut BytesMut, counts: Counts) {
    word(out, COUNTS, |out| {
        out.put_u32(counts.handled);
        out.put_u32(counts.acknowledged);
    });
}

/// A letter that is sent.
pub(crate) fn put_letter(out: &mut BytesMut, letter: &Letter) {
    put_saved(out, letter.stanza(), letter.is_owed(), letter.row());
}

fn put_saved(out: &mut BytesMut, stanza: &Stanza, owed: bool, row: Option<i64>) {
    word(out, LETTER, |out| {
        let owed = if owed { OWED } else { 0 };
        let has_row = if row.is_some() { HAS_ROW } else { 0 };
        out.put_u8(owed | has_row);
        out.put_i64(row.unwrap_or_default());
        stanza.write(out);
    });
}

/// Numbers in the store of letters that the client has acknowledged.
pub(crate) fn put_taken(out: &mut BytesMut, taken: &[i64]) {
    if !taken.is_empty() {
        word(out, TAKEN, |out| taken.iter().for_each(|row| out.put_i64(*row)));
    }
}

/// The highest number in the store of anything that the client was ever sent.
pub(crate) fn put_last(out: &mut BytesMut, last: i64) {
    word(out, LAST, |out| out.put_i64(last));
}

impl<'a> Page<'a> {
    /// `None`: they are not ours.
    pub(crate) fn read(mut words: &'a [u8]) -> Option<Self> {
        let mut page = Self::default();
        while let Some((kind, rest)) = words.split_first() {
            let says;
            (says, words) = take_sized(rest)?;
            match *kind {
                TERMS => page.terms = says,
                SEAT => page.seat = says,
                STANDING => page.standing = says,
                COUNTS => page.count(says)?,
                LETTER => {
                    let row = letter_row(says)?;
                    page.last = page.last.max(row.unwrap_or_default());
                    page.letters.push_back((says, row));
                }
                LAST => page.last = page.last.max({ says }.try_get_i64().ok()?),
                TAKEN => {
                    let (rows, rest) = says.as_chunks();
                    page.taken.extend(rows.iter().map(|row| i64::from_be_bytes(*row)));
                    rest.is_empty().then_some(())?;
                }
                _ => return None,
            }
        }
        Some(page)
    }

    fn count(&mut self, mut says: &[u8]) -> Option<()> {
        let (handled, acknowledged) = (says.try_get_u32().ok()?, says.try_get_u32().ok()?);
        let before = self.counts.replace(Counts { handled, acknowledged });
        if let Some(before) = before {
            let more = usize::try_from(acknowledged.wrapping_sub(before.acknowledged)).ok()?;
            if more > self.letters.len() {
                return None;
            }
            self.taken.extend(self.letters.drain(..more).filter_map(|(_, row)| row));
        }
        Some(())
    }

    /// The same in as few words as can be.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        for (kind, says) in [(TERMS, self.terms), (SEAT, self.seat), (STANDING, self.standing)] {
            if !says.is_empty() {
                word(out, kind, |out| out.put_slice(says));
            }
        }
        if let Some(counts) = self.counts {
            put_counts(out, counts);
        }
        put_taken(out, &self.taken);
        put_last(out, self.last);
        for (says, _) in &self.letters {
            word(out, LETTER, |out| out.put_slice(says));
        }
    }
}

impl State {
    /// From words; `None`: they are not ours.
    pub(crate) fn read(words: &[u8]) -> Option<Self> {
        let page = Page::read(words)?;
        let (token, mut rest) = take_sized(page.terms)?;
        let token = std::str::from_utf8(token).ok()?.into();
        let max = Duration::from_secs(rest.try_get_u64().ok()?);
        let mark = rest.try_get_u64().ok()?;
        let mut standing = page.standing;
        let until = standing.try_get_u64().ok()?;
        let until = if until == 0 { None } else { Some(time(until)?) };
        let flags = standing.try_get_u8().ok()?;
        let standing = Standing { until, stale: flags & 1 != 0, behind: flags & 2 != 0 };
        Some(Self {
            seat: seat(page.seat)?,
            terms: Terms { token, max },
            mark,
            standing,
            counts: page.counts?,
            letters: page
                .letters
                .into_iter()
                .map(|(says, row)| saved(says, row))
                .collect::<Option<_>>()?,
            taken: page.taken,
            last: page.last,
        })
    }
}

fn seat(says: &[u8]) -> Option<Frozen> {
    let (jid, mut rest) = take_sized(says)?;
    let since = time(rest.try_get_u64().ok()?)?;
    let (presence, rest) = take_sized(rest)?;
    let (mut told, mut rest) = take_sized(rest)?;
    let mut directed = Vec::new();
    while !told.is_empty() {
        let one;
        (one, told) = take_sized(told)?;
        directed.push(address(one)?);
    }
    let mut remembered = Vec::new();
    while !rest.is_empty() {
        let (name, more) = take_sized(rest)?;
        let words;
        (words, rest) = take_sized(more)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        remembered.push((name, Bytes::copy_from_slice(words)));
    }
    let presence = if presence.is_empty() { None } else { Some(stanza(presence)?) };
    Some(Frozen { jid: address(jid)?, since, presence, directed, remembered })
}

fn saved(says: &[u8], row: Option<i64>) -> Option<Saved> {
    let owed = says.first()? & OWED != 0;
    Some(Saved { stanza: stanza(says.get(9..)?)?, owed, row })
}

fn letter_row(mut says: &[u8]) -> Option<Option<i64>> {
    let flags = says.try_get_u8().ok()?;
    let row = says.try_get_i64().ok()?;
    Some((flags & HAS_ROW != 0).then_some(row))
}

fn address(says: &[u8]) -> Option<Jid> {
    std::str::from_utf8(says).ok()?.parse().ok()
}

fn stanza(says: &[u8]) -> Option<Stanza> {
    let scope = Scope { default: ns::CLIENT.to_owned(), ..Scope::default() };
    let element = Element::check(Bytes::copy_from_slice(says), &scope, &WRITTEN).ok()?;
    Stanza::parse(&element).ok().flatten()
}

/// A second, nearly.
const ALMOST: Duration = Duration::from_nanos(999_999_999);

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn word(out: &mut BytesMut, kind: u8, says: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    sized(out, says);
}

fn text(out: &mut BytesMut, text: &[u8]) {
    sized(out, |out| out.put_slice(text));
}

/// What this writes, behind its length.
fn sized(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    write(out);
    let length = u32::try_from(out.len() - at - 4).expect("what a stream holds is bounded");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn take_sized(mut from: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(from.try_get_u32().ok()?).ok()?;
    from.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xmpp_core::stanza::{Kind, MessageType, PresenceType};

    fn written(stanza: &Stanza) -> BytesMut {
        let mut out = BytesMut::new();
        stanza.write(&mut out);
        out
    }

    fn message(id: &str) -> Stanza {
        let body = Bytes::from_static(b"<body>a &lt; b</body><x xmlns='u:x'>\xC3\xA9</x>");
        let to: Jid = "juliet@capulet.lit/<&'\"balcony\u{1F339}".parse().expect("an address");
        Stanza::new(Kind::Message(MessageType::Chat), body).id(id).to(to)
    }

    fn begin(out: &mut BytesMut, counts: Counts) -> Frozen {
        let status = Bytes::from_static(b"<priority>-1</priority><status>&amp;</status>");
        let presence = Stanza::new(Kind::Presence(PresenceType::Available), status);
        let seat = Frozen {
            jid: "juliet@capulet.lit/<&'\"balcony\u{1F339}".parse().expect("an address"),
            since: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            presence: Some(presence),
            directed: vec!["romeo@montague.lit/orchard".parse().expect("an address")],
            remembered: vec![("carbons".into(), "enabled".into()), ("roster".into(), "".into())],
        };
        put_terms(out, &Terms { token: "a'b".into(), max: Duration::from_secs(600) }, 7);
        put_seat(out, &seat);
        put_standing(out, Standing::default());
        put_counts(out, counts);
        seat
    }

    #[test]
    fn xep0198_5_a_stream_in_words_is_the_same_stream() {
        let mut words = BytesMut::new();
        let counts = Counts { handled: u32::MAX, acknowledged: 7 };
        let seat = begin(&mut words, counts);
        put_saved(&mut words, &message("1 & 2"), true, Some(7));
        put_saved(&mut words, &message("3"), false, None);
        let until = UNIX_EPOCH + Duration::from_secs(9);
        let standing = Standing { until: Some(until), stale: false, behind: true };
        let sooner = Some(until - Duration::from_millis(999));
        put_standing(&mut words, Standing { until: sooner, ..standing });
        let read = State::read(&words).expect("our words");
        assert_eq!(read.seat.jid, seat.jid);
        assert_eq!(read.seat.since, seat.since);
        assert_eq!(read.seat.directed, seat.directed);
        assert_eq!(read.seat.remembered, seat.remembered);
        let presence = |seat: &Frozen| seat.presence.as_ref().map(written);
        assert_eq!(presence(&read.seat), presence(&seat));
        assert_eq!((read.counts, read.standing, read.mark), (counts, standing, 7));
        assert_eq!(read.terms, Terms { token: "a'b".into(), max: Duration::from_secs(600) });
        assert_eq!(written(&read.letters[0].stanza), written(&message("1 & 2")));
        assert!(read.letters[0].owed && !read.letters[1].owed);
        assert_eq!((read.letters[0].row, read.letters[1].row), (Some(7), None));
    }

    #[test]
    fn xep0198_5_words_that_are_not_ours_are_no_stream() {
        let mut words = BytesMut::new();
        begin(&mut words, Counts { handled: 0, acknowledged: 0 });
        put_saved(&mut words, &message("1"), true, Some(7));
        let whole = words.clone();
        assert!(State::read(&whole).is_some());
        for end in 0..whole.len() {
            // Words end where words end: the first that say enough are before the letter.
            let is_enough = Page::read(&whole[..end]).is_some_and(|page| page.counts.is_some());
            assert_eq!(State::read(&whole[..end]).is_some(), is_enough, "{end}");
        }
        // more acknowledged than sent
        put_counts(&mut words, Counts { handled: 0, acknowledged: 2 });
        assert!(State::read(&words).is_none());
        let mut unknown = whole;
        word(&mut unknown, 99, |_| ());
        assert!(State::read(&unknown).is_none());
    }

    proptest! {
        /// However often they are said anew in fewer words, and wherever the counts stand on their circle.
        #[test]
        fn xep0198_4_what_is_true_is_the_same_in_few_words(
            base in prop_oneof![Just(0), u32::MAX - 8..=u32::MAX],
            moves in proptest::collection::vec((0..4_u8, 0..3_u32), 0..60),
        ) {
            let mut words = BytesMut::new();
            let mut counts = Counts { handled: base, acknowledged: base };
            begin(&mut words, counts);
            let (mut waiting, mut taken) = (VecDeque::new(), Vec::new());
            let mut row = 0;
            for (kind, more) in moves {
                match kind {
                    0 => {
                        row += 1;
                        waiting.push_back(row);
                        put_saved(&mut words, &message(&row.to_string()), true, Some(row));
                    }
                    1 => {
                        let more = more.min(u32::try_from(waiting.len()).expect("few"));
                        counts.acknowledged = counts.acknowledged.wrapping_add(more);
                        taken.extend(waiting.drain(..more as usize));
                        put_counts(&mut words, counts);
                    }
                    2 => {
                        counts.handled = counts.handled.wrapping_add(more);
                        put_counts(&mut words, counts);
                    }
                    _ => {
                        let before = words.split();
                        Page::read(&before).expect("our words").write(&mut words);
                    }
                }
            }
            let state = State::read(&words).expect("our words");
            prop_assert_eq!(state.counts, counts);
            prop_assert_eq!(state.taken, taken);
            prop_assert_eq!(state.last, row);
            let rows: Vec<_> = state.letters.iter().filter_map(|letter| letter.row).collect();
            prop_assert_eq!(rows, Vec::from(waiting));
        }
    }
}
