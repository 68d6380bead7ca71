//! A session in words, so that it outlives the process (XEP-0198 5): all that another process needs to go on with it. XML,
//! since stanzas are in it; only we write it and only we read it.

use super::ledger::{Counts, Terms};
use bytes::{Bytes, BytesMut};
use router::Frozen;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use xmpp_core::{
    Jid, Stanza, ns,
    xml::{Element, Limits, Scope, Writer},
};

/// A session without a connection, as a value.
pub(crate) struct State {
    /// What the router knows of it.
    pub(crate) seat: Frozen,
    pub(crate) terms: Terms,
    pub(crate) counts: Counts,
    /// What the client has not acknowledged, and behind that what it was not sent, in order.
    pub(crate) letters: Vec<Saved>,
}

/// A letter as a value.
pub(crate) struct Saved {
    pub(crate) stanza: Stanza,
    /// Something becomes of it where the client does not get it.
    pub(crate) owed: bool,
    /// Its number in the store, where that keeps it until the client has it.
    pub(crate) row: Option<i64>,
}

/// What was checked when it came in is only read again, so these are no limits.
const WRITTEN: Limits = Limits {
    bytes: usize::MAX,
    elements: u32::MAX,
    depth: u32::MAX,
    attributes: u32::MAX,
    declarations: u32::MAX,
    name: usize::MAX,
};

impl State {
    /// In words.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { seat, terms, counts, letters } = self;
        let since = seat.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut out = Writer::new();
        out.open_ns("session", ns::CLIENT)
            .attr("jid", seat.jid.as_str())
            .attr("since", &since.as_secs().to_string())
            .attr("token", &terms.token)
            .attr("max", &terms.max.as_secs().to_string())
            .attr("handled", &counts.handled.to_string())
            .attr("acknowledged", &counts.acknowledged.to_string());
        if let Some(presence) = &seat.presence {
            out.open("shown").raw(&written(presence)).close();
        }
        for jid in &seat.directed {
            out.open("told").attr("jid", jid.as_str()).close();
        }
        for (name, words) in &seat.remembered {
            let words = String::from_utf8_lossy(words); // modules write texts
            out.open("remembered").attr("by", name).attr("as", &words).close();
        }
        for Saved { stanza, owed, row } in letters {
            let row = row.map(|row| row.to_string());
            out.open("letter").maybe("owed", owed.then_some("true")).maybe("row", row.as_deref());
            out.raw(&written(stanza)).close();
        }
        out.finish().to_vec()
    }

    /// From words; `None`: they are not ours.
    pub(crate) fn read(words: Vec<u8>) -> Option<Self> {
        let session = element(Bytes::from(words))?;
        let number = |name| session.attr(name).and_then(|text| text.parse::<u32>().ok());
        let seconds = |name| {
            let seconds = session.attr(name).and_then(|text| text.parse().ok());
            seconds.map(Duration::from_secs)
        };
        let mut state = Self {
            seat: Frozen {
                jid: session.attr("jid")?.parse().ok()?,
                since: SystemTime::checked_add(&UNIX_EPOCH, seconds("since")?)?,
                presence: None,
                directed: Vec::new(),
                remembered: Vec::new(),
            },
            terms: Terms { token: session.attr("token")?.into(), max: seconds("max")? },
            counts: Counts { handled: number("handled")?, acknowledged: number("acknowledged")? },
            letters: Vec::new(),
        };
        for child in session.children() {
            let part = element(session.child_within(&child, ns::CLIENT))?;
            match part.name() {
                "shown" => state.seat.presence = Some(stanza(&part)?),
                "told" => state.seat.directed.push(part.attr("jid")?.parse::<Jid>().ok()?),
                "remembered" => {
                    let words = Bytes::from(part.attr("as")?.into_owned());
                    state.seat.remembered.push((part.attr("by")?.into_owned(), words));
                }
                "letter" => state.letters.push(Saved {
                    stanza: stanza(&part)?,
                    owed: part.attr("owed").is_some(),
                    row: part.attr("row").map(|row| row.parse()).transpose().ok()?,
                }),
                _ => return None,
            }
        }
        Some(state)
    }
}

fn written(stanza: &Stanza) -> BytesMut {
    let mut out = BytesMut::new();
    stanza.write(&mut out);
    out
}

fn element(raw: Bytes) -> Option<Element> {
    let scope = Scope { default: ns::CLIENT.to_owned(), ..Scope::default() };
    Element::check(raw, &scope, &WRITTEN).ok()
}

/// The stanza in one part.
fn stanza(part: &Element) -> Option<Stanza> {
    let child = part.children().next()?;
    Stanza::parse(&element(part.child_within(&child, ns::CLIENT))?).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xmpp_core::stanza::{Kind, MessageType, PresenceType};

    #[test]
    fn xep0198_5_a_session_in_words_is_the_same_session() {
        let jid: Jid = "juliet@capulet.lit/<&'\"balcony\u{1F339}".parse().expect("an address");
        let body = Bytes::from_static(b"<body>a &lt; b</body><x xmlns='u:x'>\xC3\xA9</x>");
        let message =
            Stanza::new(Kind::Message(MessageType::Chat), body).id("1 & 2").to(jid.clone());
        let status = Bytes::from_static(b"<priority>-1</priority><status>&amp;</status>");
        let presence = Stanza::new(Kind::Presence(PresenceType::Available), status);
        let state = State {
            seat: Frozen {
                jid: jid.clone(),
                since: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
                presence: Some(presence.clone()),
                directed: vec!["romeo@montague.lit/orchard".parse().expect("an address")],
                remembered: vec![
                    ("carbons".into(), "enabled".into()),
                    ("roster".into(), "".into()),
                ],
            },
            terms: Terms { token: "a'b".into(), max: Duration::from_secs(600) },
            counts: Counts { handled: u32::MAX, acknowledged: 7 },
            letters: vec![
                Saved { stanza: message.clone(), owed: true, row: Some(7) },
                Saved { stanza: presence, owed: false, row: None },
            ],
        };
        let words = state.write();
        let read = State::read(words.clone()).expect("our words");
        assert_eq!(read.seat.jid, jid);
        assert_eq!(read.counts, state.counts);
        assert_eq!(read.terms, state.terms);
        assert_eq!(written(&read.letters[0].stanza), written(&message));
        assert!(read.letters[0].owed && !read.letters[1].owed);
        assert_eq!((read.letters[0].row, read.letters[1].row), (Some(7), None));
        assert_eq!(read.write(), words, "and again");
    }

    #[test]
    fn xep0198_5_words_that_are_not_ours_are_no_session() {
        for words in ["", "<session", "<session/>", "<session jid='a@b/c' since='x'/>"] {
            assert!(State::read(words.into()).is_none(), "{words}");
        }
    }
}
