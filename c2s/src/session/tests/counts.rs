//! What becomes of the counts that clients send (XEP-0198 4, 6).

use super::{
    manage::{ENABLE, failed, former_at, ids, over},
    *,
};
use crate::session::ledger::Counts;

#[test]
fn s03_xep0198_6_counts_of_the_client() {
    /// What becomes of a count.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Takes(usize),
        TooHigh,
        Nonsense,
    }
    use Fate::{Nonsense, Takes, TooHigh};
    const TOP: u32 = u32::MAX;
    // what was acknowledged before, with three letters behind it
    let counts = [
        (0, "0", Takes(0)),
        (0, "1", Takes(1)),
        (0, "3", Takes(3)),
        (0, "4", TooHigh),
        (0, "1000", TooHigh),
        (0, "2147483648", TooHigh),
        (0, "2147483651", TooHigh),
        // behind, on the circle
        (0, "4294967295", Takes(0)),
        (0, "2147483652", Takes(0)),
        (7, "7", Takes(0)),
        (7, "6", Takes(0)),
        (7, "0", Takes(0)),
        (7, "8", Takes(1)),
        (7, "10", Takes(3)),
        (7, "11", TooHigh),
        (TOP, "4294967295", Takes(0)),
        (TOP, "0", Takes(1)),
        (TOP, "1", Takes(2)),
        (TOP, "2", Takes(3)),
        (TOP, "3", TooHigh),
        (TOP, "4294967294", Takes(0)),
        (TOP - 1, "4294967295", Takes(1)),
        (TOP - 1, "0", Takes(2)),
        (TOP - 1, "1", Takes(3)),
        (TOP - 1, "2", TooHigh),
        (TOP - 2, "0", Takes(3)),
        (TOP - 2, "1", TooHigh),
        (TOP - 3, "4294967295", Takes(3)),
        (TOP - 3, "0", TooHigh),
        (0, " 2 ", Takes(2)),
        (0, "002", Takes(2)),
        (0, "", Nonsense),
        (0, " ", Nonsense),
        (0, "-1", Nonsense),
        (0, "4294967296", Nonsense),
        (0, "99999999999999999999", Nonsense),
        (0, "1.0", Nonsense),
        (0, "0x1", Nonsense),
        (0, "one", Nonsense),
        (0, "1 2", Nonsense),
        (0, "\u{661}", Nonsense),
    ];
    assert!(counts.len() >= 40);
    for (acknowledged, h, fate) in counts {
        let books = || former_at(Counts { handled: 0, acknowledged }, &["1", "2", "3"]);
        let mut talk = Talk::secure().resuming(books(), acknowledged);
        talk.said();
        talk.hear(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
        match fate {
            Takes(count) => {
                assert!(talk.poll().is_none(), "{acknowledged} {h}");
                assert_eq!(talk.proven().len(), count, "{acknowledged} {h}");
                assert_eq!(ids(&talk.session.take_unproven()).len(), 3 - count);
            }
            TooHigh => {
                let said = over(&mut talk, "undefined-condition");
                let sent = acknowledged.wrapping_add(3);
                let h: u32 = h.parse().expect("a number");
                let details = format!(
                    "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{h}' send-count='{sent}'/>"
                );
                assert!(said.contains(&details), "{acknowledged} {h}: {said}");
                assert_eq!(ids(&talk.session.take_unproven()), ["1", "2", "3"]);
            }
            Nonsense => drop(over(&mut talk, "bad-format")),
        }
        // the same to resume with
        let mut talk = Talk::secure().authenticated();
        talk.hear(&format!("<resume xmlns='urn:xmpp:sm:3' previd='token' h='{h}'/>"));
        if fate == Nonsense {
            talk.says(&failed("bad-request"));
            continue;
        }
        assert!(matches!(talk.effect(), Effect::Resume(..)));
        talk.event(Event::Resumed(Ok(books())));
        match fate {
            Takes(count) => {
                assert!(talk.poll().is_none(), "{acknowledged} {h}");
                assert_eq!(talk.said().matches("<message ").count(), 3 - count);
            }
            _ => drop(over(&mut talk, "undefined-condition")),
        }
    }
    for element in ["<a xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' xmlns:x='u' x:h='0'/>"]
    {
        let mut talk = Talk::secure().managed(ENABLE);
        talk.hear(element);
        over(&mut talk, "bad-format");
    }
}
