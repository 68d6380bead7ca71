//! Archives as clients read them (XEP-0313), and what they want archived (XEP-0441).

mod house;

use house::{Actor, House, finish};
use roster_store::{MessageId, NewMessage};
use std::time::{Duration, UNIX_EPOCH};

const MAM: &str = "urn:xmpp:mam:2";

/// Puts messages into Romeo's archive, a minute apart; gives their ids as texts.
fn said(house: &House, messages: &[(&str, &str)]) -> Vec<String> {
    said_from(house, 0, messages)
}

fn said_from(house: &House, minute: u64, messages: &[(&str, &str)]) -> Vec<String> {
    let new = messages.iter().zip(minute..).map(|((with, body), minute)| NewMessage {
        owner: "romeo@localhost".parse().expect("an address"),
        with: with.parse().expect("an address"),
        at: UNIX_EPOCH + Duration::from_secs(60 * minute) + Duration::from_micros(1_500),
        stanza: format!("<message to='{with}' from='romeo@localhost/orchard' type='chat'><body>{body}</body></message>")
            .into(),
        archived: true,
        pending: false,
        delivered: true,
    });
    let (taken, put) = house.store.put(new.collect::<Vec<_>>().into());
    finish(put).expect("kept");
    taken.ids().iter().map(MessageId::to_string).collect()
}

/// A house where Romeo has talked with the nurse and with Juliet.
fn talked() -> (House, Vec<String>, Actor) {
    let house = House::new();
    let ids = said(
        &house,
        &[
            ("nurse@localhost/hall", "one"),
            ("juliet@localhost/balcony", "two"),
            ("juliet@localhost", "three"),
            ("nurse@localhost", "four"),
        ],
    );
    let romeo = house.connect("romeo@localhost/orchard");
    (house, ids, romeo)
}

fn field(var: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
    format!("<field var='{var}'>{values}</field>")
}

fn form(fields: &str) -> String {
    format!("<x xmlns='jabber:x:data' type='submit'>{}{fields}</x>", field("FORM_TYPE", &[MAM]))
}

fn set(inner: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{inner}</set>")
}

/// All that comes of a query.
fn raw(actor: &mut Actor, inner: &str) -> Vec<String> {
    actor.send(&format!("<iq type='set' id='q'><query xmlns='{MAM}'>{inner}</query></iq>"));
    actor.all()
}

/// The bodies of the results in their order, and the `<fin/>`.
fn query(actor: &mut Actor, inner: &str) -> (Vec<String>, String) {
    let mut all = raw(actor, inner);
    let fin = all.pop().expect("a result");
    assert!(fin.contains("type='result'") && fin.contains("id='q'"), "{fin}");
    let (_, fin) = fin.split_once("<fin xmlns='urn:xmpp:mam:2'").expect("an end");
    (all.iter().map(|message| between(message, "<body>", "</body>")).collect(), fin.to_owned())
}

fn between(text: &str, begin: &str, end: &str) -> String {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).expect("its end").0.to_owned()
}

/// The condition of the error that answers a query.
fn refused(actor: &mut Actor, inner: &str) -> String {
    let mut all = raw(actor, inner);
    assert_eq!(all.len(), 1, "{all:?}");
    condition(&all.remove(0))
}

fn condition(error: &str) -> String {
    assert!(error.contains("type='error'"), "{error}");
    let end = " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'";
    let (before, _) = error.split_once(end).expect("a condition");
    before.rsplit_once('<').expect("a tag").1.to_owned()
}

#[test]
fn xep0313_4_2_results_carry_the_message_as_it_was_and_stand_before_the_end() {
    let (_house, ids, mut romeo) = talked();
    romeo.send("<iq type='set' id='q' to='romeo@localhost'><query xmlns='urn:xmpp:mam:2' queryid='f&apos;27'/></iq>");
    let all = romeo.all();
    assert_eq!(all.len(), 5);
    assert_eq!(
        all[1],
        format!(
            "<message to='romeo@localhost/orchard' from='romeo@localhost'>\
             <result xmlns='urn:xmpp:mam:2' queryid='f&apos;27' id='{}'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:01:00.001Z'/>\
             <message xmlns='jabber:client' to='juliet@localhost/balcony' from='romeo@localhost/orchard' type='chat'>\
             <body>two</body></message></forwarded></result></message>",
            ids[1]
        )
    );
    let fin = format!(
        "<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'>\
         <first>{}</first><last>{}</last></set></fin>",
        ids[0], ids[3]
    );
    assert!(all[4].contains(&fin), "{}", all[4]);
}

#[test]
fn xep0313_4_an_empty_archive_is_complete() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let (bodies, fin) = query(&mut romeo, "");
    assert!(bodies.is_empty());
    assert_eq!(
        fin.split_once("</fin>").expect("its end").0,
        " complete='true'><set xmlns='http://jabber.org/protocol/rsm'/>"
    );
}

#[test]
fn xep0313_4_1_filters_can_be_combined() {
    let (_house, ids, mut romeo) = talked();
    let moment = |minute| format!("1970-01-01T00:0{minute}:00.001Z");
    let with = |jid: &str| field("with", &[jid]);
    for (fields, expected) in [
        (with("juliet@localhost"), &["two", "three"][..]),
        (with("JULIET@localhost"), &["two", "three"]),
        (with("juliet@localhost/balcony"), &["two"]),
        (with("mercutio@localhost"), &[]),
        (field("start", &[&moment(2)]), &["three", "four"]),
        (field("end", &[&moment(1)]), &["one", "two"]),
        (field("start", &["1970-01-01T01:01:00+01:00"]), &["two", "three", "four"]),
        (field("after-id", &[&ids[1]]), &["three", "four"]),
        (field("before-id", &[&ids[1]]), &["one"]),
        (field("after-id", &[&ids[0]]) + &field("before-id", &[&ids[3]]), &["two", "three"]),
        (field("ids", &[&ids[3], &ids[0]]), &["one", "four"]),
        (field("ids", &[&ids[3], &ids[0]]) + &with("nurse@localhost/hall"), &["one"]),
        (field("{urn:xmpp:fulltext:0}fulltext", &["O"]), &["one", "two", "four"]),
        (field("{urn:xmpp:fulltext:0}fulltext", &["T O"]), &["two"]),
        (field("{urn:xmpp:fulltext:0}fulltext", &[""]), &["one", "two", "three", "four"]),
        (field("include-groupchat", &["true"]), &["one", "two", "three", "four"]),
        (field("start", &[]), &["one", "two", "three", "four"]),
    ] {
        let (bodies, fin) = query(&mut romeo, &form(&fields));
        assert_eq!(bodies, expected, "{fields}");
        assert!(fin.starts_with(" complete='true'"), "{fin}");
    }
}

#[test]
fn xep0313_4_1_what_is_no_filter_is_refused() {
    let (_house, ids, mut romeo) = talked();
    let unknown = format!("{}0", &ids[0][..ids[0].len() - 1]);
    let gone = if unknown == ids[0] { ids[0].replace("0-", "1-") } else { unknown };
    let words = "word ".repeat(17);
    for (inner, expected) in [
        // 4.1.5
        (form(&field("{urn:x}mood", &["lonely"])), "feature-not-implemented"),
        (form(&field("withtext", &["x"])), "feature-not-implemented"),
        // 4.1
        (form(&field("with", &["@localhost"])), "bad-request"),
        (form(&field("with", &["a@x", "b@x"])), "bad-request"),
        (form(&(field("with", &["a@x"]) + &field("with", &["b@x"]))), "bad-request"),
        (form(&field("start", &["yesterday"])), "bad-request"),
        (form(&field("end", &["1970-01-01"])), "bad-request"),
        (form(&field("include-groupchat", &["perhaps"])), "bad-request"),
        (form(&field("{urn:xmpp:fulltext:0}fulltext", &[&words])), "bad-request"),
        ("<x xmlns='jabber:x:data' type='submit'/>".into(), "bad-request"),
        ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:1</value></field></x>".into(), "bad-request"),
        (form("").replace("submit", "form"), "bad-request"),
        // 4.1.3
        (form(&field("ids", &[&gone])), "item-not-found"),
        (form(&field("ids", &[&ids[0], "?"])), "item-not-found"),
        (form(&field("before-id", &["28482-98726-73623"])), "item-not-found"),
        (form(&field("after-id", &[&gone])), "item-not-found"),
        // 4.3.2
        (set(&format!("<after>{gone}</after>")), "item-not-found"),
        (set("<before>x</before>"), "item-not-found"),
        // XEP-0059
        (set("<max>-1</max>"), "bad-request"),
        (set("<max>+1</max>"), "bad-request"),
        (set("<max/>"), "bad-request"),
        (set("<max>ten</max>"), "bad-request"),
        (set("<max>99999999999999999999</max>"), "bad-request"),
        (set("<max>2</max><index>1</index>"), "feature-not-implemented"),
    ] {
        assert_eq!(refused(&mut romeo, &inner), expected, "{inner}");
    }
    romeo.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' node='urn:x'/></iq>");
    assert_eq!(condition(&romeo.one()), "item-not-found");
}

#[test]
fn xep0313_4_3_pages_forwards_backwards_and_flipped() {
    let (_house, ids, mut romeo) = talked();
    let flip = "<flip-page/>";
    let max = "<max>2</max>";
    for (inner, expected, complete) in [
        (set(max), ["one", "two"], false),
        (set(&format!("{max}<after>{}</after>", ids[1])), ["three", "four"], true),
        (set(&format!("{max}<after/>")), ["one", "two"], false),
        (set(&format!("{max}<before/>")), ["three", "four"], false),
        (set(&format!("{max}<before>{}</before>", ids[2])), ["one", "two"], true),
        (set(&format!("{max}<before/>")) + flip, ["four", "three"], false),
        (set(max) + flip, ["two", "one"], false),
        (
            form(&field("with", &["juliet@localhost"])) + &set(&format!("{max}<before/>")),
            ["two", "three"],
            true,
        ),
    ] {
        let (bodies, fin) = query(&mut romeo, &inner);
        assert_eq!(bodies, expected, "{inner}");
        assert_eq!(fin.starts_with(" complete='true'"), complete, "{inner}: {fin}");
        let place = |body: &str| {
            ["one", "two", "three", "four"].iter().position(|b| *b == body).expect("one of them")
        };
        let (first, last) =
            (place(&bodies[0]).min(place(&bodies[1])), place(&bodies[0]).max(place(&bodies[1])));
        let edges = format!("<first>{}</first><last>{}</last>", ids[first], ids[last]);
        assert!(fin.contains(&edges), "in the archive's order: {fin}");
    }
}

#[test]
fn xep0059_2_7_a_page_of_none_tells_how_many_there_are() {
    let (_house, _ids, mut romeo) = talked();
    for (inner, count) in [
        (set("<max>0</max>"), "<count>4</count>"),
        (form(&field("with", &["nurse@localhost"])) + &set("<max>0</max>"), "<count>2</count>"),
        (form(&field("with", &["nurse@localhost/hall"])) + &set("<max>0</max>"), "/></fin>"),
    ] {
        let (bodies, fin) = query(&mut romeo, &inner);
        assert!(bodies.is_empty() && fin.contains(count), "{fin}");
        assert!(!fin.contains("complete"), "{fin}");
    }
}

#[test]
fn e03_a_page_is_bounded_in_messages_and_in_bytes() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    said(&house, &vec![("juliet@localhost", "x"); 300]);
    assert_eq!(query(&mut romeo, "").0.len(), 50);
    assert_eq!(query(&mut romeo, &set("<max>251</max>")).0.len(), 250);
    let long = "x".repeat(100_000);
    said(
        &house,
        &[("juliet@localhost", &long), ("juliet@localhost", &long), ("juliet@localhost", &long)],
    );
    let (bodies, fin) = query(&mut romeo, &set("<max>3</max><before/>"));
    assert_eq!(bodies.len(), 2, "three hundred thousand bytes are too many");
    assert!(!fin.contains("complete"), "{fin}");
}

#[test]
fn xep0313_4_1_5_the_form_is_told() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    romeo.send("<iq type='get' id='form1'><query xmlns='urn:xmpp:mam:2'/></iq>");
    let form = romeo.one();
    for field in [
        "<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>",
        "<field type='jid-single' var='with'",
        "<field type='text-single' var='start'",
        "<field type='text-single' var='end'",
        "<field type='text-single' var='before-id'",
        "<field type='text-single' var='after-id'",
        "<field type='list-multi' var='ids' label='These messages'><validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'><open/></validate></field>",
        "<field type='boolean' var='include-groupchat'",
        "<field type='text-single' var='{urn:xmpp:fulltext:0}fulltext'",
    ] {
        assert!(form.contains(field), "{field} in {form}");
    }
    assert!(!form.contains("<required"), "4.1: no field must be filled in");
}

#[test]
fn xep0313_5_metadata() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let mut metadata = || {
        romeo.send("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>");
        romeo.one()
    };
    assert!(metadata().contains("<metadata xmlns='urn:xmpp:mam:2'/>"));
    let ids = said(
        &house,
        &[("juliet@localhost", "1"), ("juliet@localhost", "2"), ("juliet@localhost", "3")],
    );
    let expected = format!(
        "<metadata xmlns='urn:xmpp:mam:2'><start id='{}' timestamp='1970-01-01T00:00:00.001Z'/>\
         <end id='{}' timestamp='1970-01-01T00:02:00.001Z'/></metadata>",
        ids[0], ids[2]
    );
    let answer = metadata();
    assert!(answer.contains(&expected), "{answer}");
}

#[test]
fn a05_an_archive_is_its_owner_s_and_nobody_learns_who_has_one() {
    let (house, _, mut romeo) = talked();
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    for payload in ["query", "metadata", "prefs default='never'"] {
        for kind in ["get", "set"] {
            let answers =
                ["romeo@localhost", "nurse@localhost", "nobody@localhost"].map(|account| {
                    juliet.send(&format!(
                        "<iq type='{kind}' id='i' to='{account}'><{payload} xmlns='{MAM}'/></iq>"
                    ));
                    juliet.one().replace(account, "?")
                });
            assert_eq!(condition(&answers[0]), "forbidden");
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        }
    }
    juliet.send("<iq type='set' id='i' to='localhost'><query xmlns='urn:xmpp:mam:2'/></iq>");
    assert_eq!(condition(&juliet.one()), "service-unavailable");
    assert!(query(&mut juliet, "").0.is_empty());
}

#[test]
fn xep0313_7_accounts_say_that_they_host_archives() {
    let house = House::new();
    let mut romeo = house.connect("romeo@localhost/orchard");
    romeo.send("<iq type='get' id='d' to='romeo@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    let info = romeo.one();
    for feature in [
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:mam:2#groupchat-field",
        "urn:xmpp:fulltext:0",
    ] {
        assert!(info.contains(&format!("<feature var='{feature}'/>")), "{info}");
    }
}

#[test]
fn xep0441_2_1_preferences_are_told_and_set() {
    let house = House::archiving();
    let mut romeo = house.connect("romeo@localhost/orchard");
    let ask = |actor: &mut Actor, kind: &str, payload: &str| {
        actor.send(&format!("<iq type='{kind}' id='p'>{payload}</iq>"));
        actor.one()
    };
    let get = "<prefs xmlns='urn:xmpp:mam:2'/>";
    let first = ask(&mut romeo, "get", get);
    assert!(
        first.contains("<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs>"),
        "{first}"
    );
    let wanted = "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>juliet@localhost</jid><jid>a@x/R</jid></always>\
                  <never><jid>montague@localhost</jid></never></prefs>";
    let set = "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>a@x/R</jid><jid>juliet@localhost</jid></always>\
               <never><jid>montague@localhost</jid></never></prefs>";
    for answer in [ask(&mut romeo, "set", wanted), ask(&mut romeo, "get", get)] {
        assert!(answer.contains("type='result'") && answer.contains(set), "{answer}");
    }
    let house = house.restarted();
    let mut romeo = house.connect("romeo@localhost/balcony");
    assert!(ask(&mut romeo, "get", get).contains(set), "after a restart too");
    for (payload, expected) in [
        ("<prefs xmlns='urn:xmpp:mam:2'/>", "bad-request"),
        ("<prefs xmlns='urn:xmpp:mam:2' default='sometimes'/>", "bad-request"),
        (
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><never><jid>@x</jid></never></prefs>",
            "jid-malformed",
        ),
        (
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid/></always></prefs>",
            "jid-malformed",
        ),
    ] {
        assert_eq!(condition(&ask(&mut romeo, "set", payload)), expected, "{payload}");
    }
    assert!(ask(&mut romeo, "get", get).contains(set), "what was refused changed nothing");
    let jids: String = (0..1_001).map(|n| format!("<jid>{n}@x</jid>")).collect();
    let many =
        format!("<prefs xmlns='urn:xmpp:mam:2' default='never'><never>{jids}</never></prefs>");
    assert_eq!(condition(&ask(&mut romeo, "set", &many)), "resource-constraint", "r03");
    let mut juliet = house.connect("juliet@localhost/balcony");
    assert!(ask(&mut juliet, "get", get).contains("default='always'"), "they are Romeo's");
}

/// The id that an account's archive gave a message, as its session sees it.
fn stanza_id(message: &str, owner: &str) -> String {
    let begin = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{owner}' id='");
    assert_eq!(message.matches("<stanza-id").count(), 1, "{message}");
    between(message, &begin, "'")
}

/// The ids of an archive's messages, oldest first.
fn archived(actor: &mut Actor) -> Vec<String> {
    let mut all = raw(actor, "");
    all.pop();
    all.iter().map(|message| between(message, " id='", "'")).collect()
}

fn prefer(actor: &mut Actor, default: &str, always: &str, never: &str) {
    let jid = |jid: &str| if jid.is_empty() { String::new() } else { format!("<jid>{jid}</jid>") };
    actor.send(&format!(
        "<iq type='set' id='p'><prefs xmlns='{MAM}' default='{default}'><always>{}</always><never>{}</never></prefs></iq>",
        jid(always),
        jid(never)
    ));
    assert!(actor.one().contains("type='result'"));
}

fn enable_carbons(actor: &mut Actor) {
    actor.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    actor.one();
}

#[test]
fn xep0313_3_5_all_sessions_see_their_own_archive_s_id_and_nobody_another_s() {
    let house = House::archiving();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut phone = house.online("romeo@localhost/phone");
    let mut juliet = house.online("juliet@localhost/balcony");
    let mut tablet = house.online("juliet@localhost/tablet");
    romeo.all();
    juliet.all();
    enable_carbons(&mut phone);
    enable_carbons(&mut tablet);
    romeo.send(
        "<message to='juliet@localhost/balcony' type='chat' id='1'><body>soft</body></message>",
    );
    let sent = phone.one();
    let (received, copied) = (juliet.one(), tablet.one());
    let (of_romeo, of_juliet) =
        (stanza_id(&sent, "romeo@localhost"), stanza_id(&received, "juliet@localhost"));
    assert_eq!(stanza_id(&copied, "juliet@localhost"), of_juliet);
    assert_ne!(of_romeo, of_juliet);
    assert_eq!(archived(&mut romeo), [of_romeo], "once, however many sessions see it");
    assert_eq!(archived(&mut juliet), [of_juliet]);
    let (bodies, _) = query(&mut juliet, &form(&field("with", &["romeo@localhost"])));
    assert_eq!(bodies, ["soft"]);
}

#[test]
fn a_message_to_oneself_is_archived_once() {
    let house = House::archiving();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut phone = house.online("romeo@localhost/phone");
    romeo.all();
    romeo.send("<message to='romeo@localhost/phone' type='chat'><body>milk</body></message>");
    let id = stanza_id(&phone.one(), "romeo@localhost");
    assert_eq!(archived(&mut phone), [id]);
    // XEP-0313 4.1.1
    let (bodies, _) = query(&mut phone, &form(&field("with", &["romeo@localhost"])));
    assert_eq!(bodies, ["milk"]);
}

#[test]
fn xep0441_2_1_each_end_archives_what_it_wants() {
    let house = House::archiving();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let say = |romeo: &mut Actor, juliet: &mut Actor| {
        romeo.send("<message to='juliet@localhost/balcony' type='chat'><body>x</body></message>");
        let message = juliet.one();
        (archived(romeo).len(), archived(juliet).len(), message.contains("<stanza-id"))
    };
    prefer(&mut juliet, "never", "", "");
    assert_eq!(say(&mut romeo, &mut juliet), (1, 0, false));
    prefer(&mut juliet, "never", "romeo@localhost", "");
    assert_eq!(say(&mut romeo, &mut juliet), (2, 1, true));
    prefer(&mut romeo, "always", "", "juliet@localhost/balcony");
    assert_eq!(say(&mut romeo, &mut juliet), (2, 2, true));
    prefer(&mut romeo, "roster", "", "");
    assert_eq!(say(&mut romeo, &mut juliet), (2, 3, true), "she is not in his roster");
    romeo.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost'/></query></iq>");
    romeo.all();
    assert_eq!(say(&mut romeo, &mut juliet), (3, 4, true), "now she is, without any subscription");
}

#[test]
fn xep0160_what_waited_comes_with_its_id_and_l3_the_archive_has_it_before_anybody() {
    let house = House::archiving();
    let romeo = house.online("romeo@localhost/orchard");
    romeo.send("<message to='juliet@localhost' type='chat' id='1'><body>while you were away</body></message>");
    romeo.send("<message to='juliet@localhost' type='chat' id='2'><body>not for good</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>");
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let came: Vec<_> = juliet.all().into_iter().filter(|s| s.starts_with("<message")).collect();
    assert_eq!(came.len(), 2, "{came:?}");
    let id = stanza_id(&came[0], "juliet@localhost");
    assert!(came[0].contains("<delay ") && !came[1].contains("<stanza-id"), "{came:?}");
    assert_eq!(archived(&mut juliet), [id]);
}

#[test]
fn xep0313_6_1_1_what_was_fetched_from_the_archive_does_not_come_by_itself_as_well() {
    let house = House::archiving();
    let romeo = house.online("romeo@localhost/orchard");
    for id in ["1", "2", "3"] {
        romeo.send(&format!(
            "<message to='juliet@localhost' type='chat'><body>{id}</body></message>"
        ));
    }
    let owner = "juliet@localhost".parse().expect("an address");
    let waiting = |house: &House| finish(house.store.count(&owner)).expect("a count");
    assert_eq!(waiting(&house), 3);
    let mut juliet = house.connect("juliet@localhost/balcony");
    // The first two are read here.
    assert_eq!(query(&mut juliet, &set("<max>2</max>")).0, ["1", "2"]);
    assert_eq!(waiting(&house), 1);
    juliet.send("<presence/>");
    let came: Vec<_> = juliet.all().into_iter().filter(|s| s.starts_with("<message")).collect();
    assert_eq!(came.len(), 1, "{came:?}");
    assert!(came[0].contains("<body>3</body>"));
    assert_eq!(waiting(&house), 0);
    assert_eq!(archived(&mut juliet).len(), 3, "they stay in the archive");
}

#[test]
fn l2_results_that_never_arrived_leave_the_messages_waiting() {
    let house = House::archiving();
    let romeo = house.online("romeo@localhost/orchard");
    romeo.send("<message to='juliet@localhost' type='chat'><body>1</body></message>");
    let juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    juliet.disconnect();
    let mut juliet = house.connect("juliet@localhost/balcony");
    juliet.send("<presence/>");
    let came = juliet.all();
    assert!(
        came.iter().any(|stanza| stanza.contains("<body>1</body>") && stanza.contains("<delay ")),
        "{came:?}"
    );
    assert!(
        !came.iter().any(|stanza| stanza.contains("<result ")),
        "they were for another session: {came:?}"
    );
}

#[test]
fn l16_an_archive_has_no_queue_that_can_be_full() {
    let house = House::archiving();
    let mut romeo = house.online("romeo@localhost/orchard");
    for _ in 0..1_005 {
        romeo.send("<message to='juliet@localhost' type='chat'><body>x</body></message>");
    }
    assert!(romeo.all().is_empty());
    let owner = "juliet@localhost".parse().expect("an address");
    assert_eq!(finish(house.store.count(&owner)).expect("a count"), 1_005);
}

#[test]
fn p09_what_was_blocked_or_refused_is_in_no_archive() {
    let house = House::archiving();
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    juliet.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>");
    juliet.all();
    for to in ["juliet@localhost", "nobody@localhost", "localhost"] {
        romeo.send(&format!("<message to='{to}' type='chat'><body>hear me</body></message>"));
        assert!(romeo.one().contains("type='error'"), "{to}");
    }
    romeo.send("<message to='nurse@localhost' type='chat'><body>hear me</body><no-store xmlns='urn:xmpp:hints'/></message>");
    assert!(romeo.one().contains("type='error'"), "she is not there, and it must not wait for her");
    assert!(archived(&mut romeo).is_empty());
    assert!(archived(&mut juliet).is_empty());
}

#[test]
fn p06_a_result_that_a_user_writes_is_taken_away() {
    let house = House::archiving();
    let romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    let forged = "<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'>\
                  <message xmlns='jabber:client' from='nurse@localhost' to='juliet@localhost'><body>flee</body></message></forwarded></result>";
    romeo.send(&format!(
        "<message to='juliet@localhost/balcony' xmlns:m='urn:xmpp:mam:2'>{forged}<body>true</body><m:result id='2'/>{forged}</message>"
    ));
    let message = juliet.one();
    assert!(message.contains("<body>true</body>") && !message.contains("result"), "{message}");
    let kept = raw(&mut juliet, "").remove(0);
    assert!(kept.matches("<result ").count() == 1 && !kept.contains("flee"), "{kept}");
}
