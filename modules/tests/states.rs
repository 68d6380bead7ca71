//! What two people on one server see of each subscription stanza, in each of the nine states (RFC 6121 Appendix A): a
//! row is a row of table 2, 3, 4 or 5 for Romeo, who sends, and of table 6, 7, 8 or 9 for Juliet, who receives.

mod house;

use house::{Actor, House, finish};
use roster_store::Subscription;

/// The state, and how it comes about: who says what.
const STATES: [(&str, &[(char, &str)]); 9] = [
    ("None", &[]),
    ("None+Out", &[('R', "subscribe")]),
    ("None+In", &[('J', "subscribe")]),
    ("None+Out+In", &[('R', "subscribe"), ('J', "subscribe")]),
    ("To", &[('R', "subscribe"), ('J', "subscribed")]),
    ("To+In", &[('R', "subscribe"), ('J', "subscribed"), ('J', "subscribe")]),
    ("From", &[('J', "subscribe"), ('R', "subscribed")]),
    ("From+Out", &[('J', "subscribe"), ('R', "subscribed"), ('R', "subscribe")]),
    ("Both", &[('J', "subscribe"), ('R', "subscribed"), ('R', "subscribe"), ('J', "subscribed")]),
];

/// What Romeo sends; his state before; whether Juliet is shown it; his state and hers afterwards; whose presence starts (+)
/// or ceases (-) to be seen by the other.
const TABLE: &str = "
    subscribe    | None        | shown | None+Out    | None+In     |
    subscribe    | None+Out    |       | None+Out    | None+In     |
    subscribe    | None+In     | shown | None+Out+In | None+Out+In |
    subscribe    | None+Out+In |       | None+Out+In | None+Out+In |
    subscribe    | To          |       | To          | From        | +J
    subscribe    | To+In       |       | To+In       | From+Out    | +J
    subscribe    | From        | shown | From+Out    | To+In       |
    subscribe    | From+Out    |       | From+Out    | To+In       |
    subscribe    | Both        |       | Both        | Both        | +J
    unsubscribe  | None        |       | None        | None        |
    unsubscribe  | None+Out    | shown | None        | None        |
    unsubscribe  | None+In     |       | None+In     | None+Out    |
    unsubscribe  | None+Out+In | shown | None+In     | None+Out    |
    unsubscribe  | To          | shown | None        | None        | -J
    unsubscribe  | To+In       | shown | None+In     | None+Out    | -J
    unsubscribe  | From        |       | From        | To          |
    unsubscribe  | From+Out    | shown | From        | To          |
    unsubscribe  | Both        | shown | From        | To          | -J
    subscribed   | None        |       | None        | None        |
    subscribed   | None+Out    |       | None+Out    | None+In     |
    subscribed   | None+In     | shown | From        | To          | +R
    subscribed   | None+Out+In | shown | From+Out    | To+In       | +R
    subscribed   | To          |       | To          | From        |
    subscribed   | To+In       | shown | Both        | Both        | +R
    subscribed   | From        |       | From        | To          |
    subscribed   | From+Out    |       | From+Out    | To+In       |
    subscribed   | Both        |       | Both        | Both        |
    unsubscribed | None        |       | None        | None        |
    unsubscribed | None+Out    |       | None+Out    | None+In     |
    unsubscribed | None+In     | shown | None        | None        |
    unsubscribed | None+Out+In | shown | None+Out    | None+In     |
    unsubscribed | To          |       | To          | From        |
    unsubscribed | To+In       | shown | To          | From        |
    unsubscribed | From        | shown | None        | None        | -R
    unsubscribed | From+Out    | shown | None+Out    | None+In     | -R
    unsubscribed | Both        | shown | To          | From        | -R
";

const ROMEO: &str = "romeo@localhost";
const JULIET: &str = "juliet@localhost";

#[test]
fn p08_every_state_and_every_stanza_on_both_sides() {
    let rows: Vec<_> = TABLE.lines().filter(|line| line.contains('|')).collect();
    assert_eq!(rows.len(), 4 * STATES.len());
    for row in rows {
        let [verb, before, shown, his, hers, presence] =
            row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("not a row: {row}")
        };
        let (house, mut romeo, mut juliet) = scene(before);
        let (his_before, hers_before) = (item(&house, ROMEO, JULIET), item(&house, JULIET, ROMEO));
        assert_eq!(state(his_before), before);
        romeo.send(&format!("<presence type='{verb}' to='{JULIET}'/>"));
        let (he_saw, she_saw) = (romeo.all(), juliet.all());

        let (his_after, hers_after) = (item(&house, ROMEO, JULIET), item(&house, JULIET, ROMEO));
        assert_eq!([state(his_after), state(hers_after)], [his, hers], "{row}");
        let stanza = format!("<presence type='{verb}' to='{JULIET}' from='{ROMEO}'/>");
        assert_eq!(she_saw.contains(&stanza), shown == "shown", "{row}\n{she_saw:#?}");
        // RFC 6121 A.2.3: beforehand, and Juliet does not hear of it.
        let approved = verb == "subscribed" && ["None", "None+Out", "To"].contains(&before);
        assert_eq!(his_after.approved, approved, "{row}");

        let sides = [
            (&he_saw, JULIET, "J", his_before, his_after),
            (&she_saw, ROMEO, "R", hers_before, hers_after),
        ];
        for (saw, other, name, was, is) in sides {
            // RFC 6121 2.1.6: a push for what the roster shows, one for each change of it.
            let visible = |s: Subscription| Subscription { pending_in: false, ..s };
            let pushes = saw.iter().filter(|s| s.contains("<item ")).count();
            let changed = visible(was) != visible(is);
            assert_eq!(pushes, usize::from(changed), "{row}\n{saw:#?}");
            let says = |start: &str| {
                saw.iter().any(|s| s.starts_with(start) && s.contains(&format!("from='{other}/")))
            };
            assert_eq!(says("<presence to="), presence == format!("+{name}"), "{row}\n{saw:#?}");
            let gone = says("<presence type='unavailable'");
            assert_eq!(gone, presence == format!("-{name}"), "{row}\n{saw:#?}");
        }

        see_only_what_is_granted(&mut romeo, &mut juliet, hers_after.to, row);
        see_only_what_is_granted(&mut juliet, &mut romeo, his_after.to, row);
    }
}

/// RFC 6121 4.2.2, 4.3.2: presence and the answers to probes go to subscribers and to nobody else.
fn see_only_what_is_granted(shows: &mut Actor, looks: &mut Actor, granted: bool, row: &str) {
    let bare = shows.claim.jid().to_bare();
    shows.send("<presence><status>still here</status></presence>");
    shows.all();
    assert_eq!(looks.all().len(), usize::from(granted), "{row}");
    for address in [bare.to_string(), shows.jid()] {
        looks.send(&format!("<presence type='probe' to='{address}'/>"));
        assert_eq!(looks.all().len(), usize::from(granted), "{row}: a probe of {address}");
    }
    shows.nothing();
}

/// Romeo and Juliet, both online, and in this state as Romeo sees it.
fn scene(state: &str) -> (House, Actor, Actor) {
    let (_, steps) = STATES.iter().find(|(name, _)| *name == state).expect("a state");
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    for (who, verb) in *steps {
        let (actor, to) = if *who == 'R' { (&romeo, JULIET) } else { (&juliet, ROMEO) };
        actor.send(&format!("<presence type='{verb}' to='{to}'/>"));
    }
    romeo.all();
    juliet.all();
    (house, romeo, juliet)
}

fn item(house: &House, owner: &str, contact: &str) -> Subscription {
    let owner = owner.parse().expect("an address");
    let roster = finish(house.store.roster(&owner)).expect("an account");
    let item = roster.items.into_iter().find(|item| item.jid.as_str() == contact);
    item.map(|item| item.subscription).unwrap_or_default()
}

fn state(s: Subscription) -> String {
    let agreed = match (s.to, s.from) {
        (false, false) => "None",
        (true, false) => "To",
        (false, true) => "From",
        (true, true) => "Both",
    };
    let (out, asked) =
        (if s.pending_out { "+Out" } else { "" }, if s.pending_in { "+In" } else { "" });
    format!("{agreed}{out}{asked}")
}
