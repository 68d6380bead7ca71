//! Ad-hoc commands, and the administration that is done by them. The nurse is the operator.

mod house;

use house::{Actor, House, finish};
use modules::End;
use std::time::Duration;
use xmpp_core::BareJid;

const ADMIN: &str = "http://jabber.org/protocol/admin#";

fn command(attributes: &str, content: &str) -> String {
    format!(
        "<iq type='set' id='c' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
         {attributes}>{content}</command></iq>"
    )
}

fn form(fields: &[(&str, &[&str])]) -> String {
    let mut form = String::from(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/admin</value></field>",
    );
    for (var, values) in fields {
        let values: String = values.iter().map(|v| format!("<value>{v}</value>")).collect();
        form.push_str(&format!("<field var='{var}'>{values}</field>"));
    }
    form + "</x>"
}

/// The session's identifier in an answer.
fn session(answer: &str) -> String {
    let (_, rest) = answer.split_once("sessionid='").unwrap_or_else(|| panic!("none: {answer}"));
    rest.split('\'').next().unwrap_or_default().to_owned()
}

fn ask(actor: &mut Actor, stanza: &str) -> String {
    actor.send(stanza);
    actor.one()
}

/// Calls a command that has a form and fills it in; what came of it.
fn run(actor: &mut Actor, node: &str, fields: &[(&str, &[&str])]) -> String {
    let node = format!("node='{ADMIN}{node}'");
    let asked = ask(actor, &command(&node, ""));
    assert!(asked.contains("status='executing'"), "{asked}");
    assert!(asked.contains("<actions execute='complete'><complete/></actions>"), "{asked}");
    let id = session(&asked);
    ask(actor, &command(&format!("{node} sessionid='{id}'"), &form(fields)))
}

/// Calls a command that has none.
fn call(actor: &mut Actor, node: &str) -> String {
    ask(actor, &command(&format!("node='{ADMIN}{node}'"), ""))
}

#[track_caller]
fn refused(answer: &str, kind: &str, condition: &str) {
    assert!(answer.contains(&format!("<error type='{kind}'><{condition} ")), "{answer}");
    assert!(!answer.contains("<command ") && !answer.contains("<value"), "repeated: {answer}");
}

#[track_caller]
fn completed(answer: &str) {
    assert!(answer.contains("type='result'") && answer.contains("status='completed'"), "{answer}");
}

/// Whether this password is the account's.
fn fits(house: &House, account: &str, password: &str) -> bool {
    use xmpp_core::sasl::Credentials;
    let account: BareJid = account.parse().expect("an address");
    let Some(kept) = finish(house.store.credentials(&account)).expect("the store answers") else {
        return false;
    };
    let salts = [&kept.sha1, &kept.sha256, &kept.sha512]
        .map(|keys| keys.salt[..].try_into().expect("16 bytes"));
    Credentials::derive(password, kept.sha1.iterations, &salts).expect("a password") == kept
}

fn exists(house: &House, account: &str) -> bool {
    finish(house.store.exists(&account.parse().expect("an address"))).expect("the store answers")
}

#[test]
fn xep0050_2_2_operators_find_commands_and_others_none() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let disco = |what: &str, node: &str| {
        format!(
            "<iq type='get' id='d' to='localhost'><query node='{node}' \
             xmlns='http://jabber.org/protocol/disco#{what}'/></iq>"
        )
    };
    let commands = "http://jabber.org/protocol/commands";
    let found = ask(&mut nurse, &disco("items", commands));
    for node in ["add-user", "announce", "shutdown", "get-online-users-list"] {
        let item = format!("<item jid='localhost' node='{ADMIN}{node}' name='");
        assert_eq!(found.matches(&item).count(), 1, "{node}: {found}");
    }
    let found = ask(&mut romeo, &disco("items", commands));
    assert!(found.contains("type='result'") && !found.contains("<item "), "{found}");
    for actor in [&mut nurse, &mut romeo] {
        let info = ask(actor, &disco("info", commands));
        assert!(info.contains("category='automation' type='command-list'"), "{info}");
    }
    let node = &format!("{ADMIN}add-user");
    let info = ask(&mut nurse, &disco("info", node));
    assert!(info.contains("category='automation' type='command-node' name='Add User'"), "{info}");
    assert!(info.contains("<feature var='jabber:x:data'/>"), "{info}");
    assert!(ask(&mut romeo, &disco("info", node)).contains("<forbidden "));
    for actor in [&mut nurse, &mut romeo] {
        assert!(ask(actor, &disco("info", "urn:none")).contains("<item-not-found "));
    }
}

#[test]
fn xep0050_4_4_each_error_has_its_condition() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let node = format!("node='{ADMIN}add-user'");
    let specific = |answer: &str, condition: &str| {
        assert!(
            answer.contains(&format!(
                "<{condition} xmlns='http://jabber.org/protocol/commands'/></error>"
            )),
            "{condition}: {answer}"
        );
    };
    refused(&ask(&mut nurse, &command("", "")), "modify", "bad-request");
    refused(&ask(&mut nurse, &command("node='urn:none'", "")), "cancel", "item-not-found");
    let malformed = ask(&mut nurse, &command(&format!("{node} action='dance'"), ""));
    refused(&malformed, "modify", "bad-request");
    specific(&malformed, "malformed-action");
    for action in ["next", "prev", "complete", "cancel"] {
        let answer = ask(&mut nurse, &command(&format!("{node} action='{action}'"), ""));
        refused(&answer, "modify", "bad-request");
        specific(&answer, "bad-action");
    }
    let locale = ask(&mut nurse, &command(&format!("{node} xml:lang='fr-ca'"), ""));
    refused(&locale, "modify", "bad-request");
    specific(&locale, "bad-locale");
    let id = session(&ask(&mut nurse, &command(&format!("{node} xml:lang='en-GB'"), "")));
    let with = |more: &str| format!("{node} sessionid='{id}' {more}");
    for action in ["next", "prev"] {
        let answer = ask(&mut nurse, &command(&with(&format!("action='{action}'")), ""));
        specific(&answer, "bad-action");
    }
    for content in ["", "<x xmlns='urn:x'/>", &form(&[]), &form(&[("accountjid", &["@"])])] {
        let answer = ask(&mut nurse, &command(&with(""), content));
        refused(&answer, "modify", "bad-request");
        specific(&answer, "bad-payload");
    }
    let wrong = ask(&mut nurse, &command(&format!("{node} sessionid='guess'"), ""));
    refused(&wrong, "modify", "bad-request");
    specific(&wrong, "bad-sessionid");
    let other = format!("node='{ADMIN}delete-user' sessionid='{id}'");
    specific(&ask(&mut nurse, &command(&other, "")), "bad-sessionid");
    // All that was wrong has changed nothing: it can still be filled in, and cancelled.
    let cancelled = ask(&mut nurse, &command(&with("action='cancel'"), ""));
    assert!(cancelled.contains("status='canceled'"), "{cancelled}");
    let late = ask(&mut nurse, &command(&with("action='complete'"), &form(&[])));
    refused(&late, "cancel", "not-allowed");
    specific(&late, "session-expired");
}

#[test]
fn xep0050_3_3_a_session_belongs_to_one_session_of_one_operator_and_runs_out() {
    let house = House::new();
    let mut room = house.online("nurse@localhost/room");
    let mut garden = house.online("nurse@localhost/garden");
    room.all();
    let mut romeo = house.online("romeo@localhost/orchard");
    let node = format!("node='{ADMIN}announce'");
    let id = session(&ask(&mut room, &command(&node, "")));
    let go_on = command(&format!("{node} sessionid='{id}'"), &form(&[("announcement", &["x"])]));
    assert!(ask(&mut garden, &go_on).contains("<bad-sessionid "));
    refused(&ask(&mut romeo, &go_on), "auth", "forbidden");
    house.clock.advance(600);
    assert!(ask(&mut room, &go_on).contains("<session-expired "));
    romeo.nothing();
}

#[test]
fn r03_an_operator_has_so_many_forms_at_once() {
    let house = House::new();
    let mut nurse = house.connect("nurse@localhost/room");
    let node = format!("node='{ADMIN}announce'");
    let mut ids = Vec::new();
    for _ in 0..11 {
        house.clock.advance(1);
        ids.push(session(&ask(&mut nurse, &command(&node, ""))));
    }
    let mut fill_in = |id: &str| {
        let form = form(&[("announcement", &["x"])]);
        ask(&mut nurse, &command(&format!("{node} sessionid='{id}'"), &form))
    };
    assert!(fill_in(&ids[0]).contains("<session-expired "), "the oldest made room");
    for id in [&ids[1], &ids[10]] {
        assert!(!fill_in(id).contains("<error "));
    }
}

#[test]
fn xep0133_5_who_is_no_operator_is_forbidden_everything() {
    let house = House::new();
    let mut romeo = house.online("romeo@localhost/orchard");
    for node in ["add-user", "delete-user", "get-registered-users-list", "delete-motd", "shutdown"]
    {
        refused(&call(&mut romeo, node), "auth", "forbidden");
    }
    assert!(house.power.0.lock().unwrap().is_empty());
}

#[test]
fn xep0133_4_1_who_was_in_vain_asked_for_is_there_at_once() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let message = "<message type='chat' to='paris@localhost'><body>?</body></message>";
    assert!(ask(&mut nurse, message).contains("<service-unavailable "));
    let mut add = |again: &str| {
        let fields: [(&str, &[&str]); 3] = [
            ("accountjid", &["paris@localhost"]),
            ("password", &["count"]),
            ("password-verify", &[again]),
        ];
        run(&mut nurse, "add-user", &fields)
    };
    let differ = add("county");
    refused(&differ, "modify", "bad-request");
    assert!(differ.contains("the two passwords differ"), "{differ}");
    assert!(!exists(&house, "paris@localhost"));
    completed(&add("count"));
    nurse.send(message);
    nurse.nothing();
}

#[test]
fn xep0133_4_1_what_cannot_be_added_is_not() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut add = |jid: &str, password: &str| {
        let fields: [(&str, &[&str]); 3] =
            [("accountjid", &[jid]), ("password", &[password]), ("password-verify", &[password])];
        run(&mut nurse, "add-user", &fields)
    };
    completed(&add("Paris@Localhost", "count"));
    assert!(fits(&house, "paris@localhost", "count"));
    refused(&add("paris@localhost", "other"), "cancel", "conflict");
    assert!(fits(&house, "paris@localhost", "count"), "a conflict changes nothing");
    refused(&add("paris@verona.example", "x"), "cancel", "not-allowed");
    refused(&add("localhost", "x"), "modify", "bad-request");
    refused(&add("tybalt@localhost/x", "x"), "modify", "bad-request");
    refused(&add("tybalt@localhost", &"x".repeat(2_000)), "modify", "not-acceptable");
    assert!(!exists(&house, "tybalt@localhost"));
}

#[test]
fn xep0133_4_2_a_user_is_deleted_and_everybody_told() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.online("juliet@localhost/balcony");
    house.befriend(&mut romeo, &mut juliet);
    let both = ["romeo@localhost", "nobody@localhost"];
    refused(&run(&mut nurse, "delete-user", &[("accountjids", &both)]), "cancel", "item-not-found");
    assert!(exists(&house, "romeo@localhost"), "all or none");
    completed(&run(&mut nurse, "delete-user", &[("accountjids", &both[..1])]));
    assert!(!exists(&house, "romeo@localhost"));
    assert_eq!(romeo.closed().text, Some("the account was deleted"));
    let told = juliet.all();
    let kinds = |kind: &str| told.iter().filter(|stanza| stanza.contains(kind)).count();
    assert_eq!(kinds("type='unavailable'"), 1, "{told:#?}");
    assert_eq!(kinds("type='unsubscribe'"), 1, "{told:#?}");
    assert_eq!(kinds("type='unsubscribed'"), 1, "{told:#?}");
    let pushed = told.last().unwrap();
    assert!(pushed.contains("<item jid='romeo@localhost' subscription='none'/>"), "{told:#?}");
    romeo.disconnect();
    juliet.nothing();
    juliet.send("<message type='chat' to='romeo@localhost' id='m'><body>?</body></message>");
    assert!(juliet.one().contains("<service-unavailable "));
}

#[test]
fn xep0133_4_2_an_operator_who_deletes_itself_hears_of_it_first() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let node = format!("node='{ADMIN}delete-user'");
    let id = session(&ask(&mut nurse, &command(&node, "")));
    let fields = form(&[("accountjids", &["nurse@localhost"])]);
    nurse.send(&command(&format!("{node} sessionid='{id}'"), &fields));
    completed(&nurse.next());
    assert_eq!(nurse.closed().text, Some("the account was deleted"));
    assert!(!exists(&house, "nurse@localhost"));
}

#[test]
fn xep0133_4_5_sessions_end_all_or_one_and_may_come_again() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut orchard = house.online("romeo@localhost/orchard");
    let mut street = house.online("romeo@localhost/street");
    orchard.all();
    let mut end = |jid: &str| run(&mut nurse, "end-user-session", &[("accountjids", &[jid])]);
    let one = end("romeo@localhost/street");
    assert!(one.contains("<note type='info'>Sessions ended: 1.</note>"), "{one}");
    assert_eq!(street.closed().text, Some("an operator has ended this session"));
    orchard.nothing();
    street.disconnect();
    orchard.all();
    let mut again = house.online("romeo@localhost/street");
    completed(&end("romeo@localhost"));
    orchard.closed();
    again.closed();
    refused(&end("romeo@verona.example"), "cancel", "not-allowed");
}

#[test]
fn xep0133_4_7_a12_another_password_ends_the_sessions() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut change = |jid: &str, password: &str| {
        let fields: [(&str, &[&str]); 2] = [("accountjid", &[jid]), ("password", &[password])];
        run(&mut nurse, "change-user-password", &fields)
    };
    refused(&change("nobody@localhost", "x"), "cancel", "item-not-found");
    refused(&change("romeo@localhost", ""), "modify", "bad-request");
    assert!(fits(&house, "romeo@localhost", "secret"));
    completed(&change("romeo@localhost", "wherefore"));
    assert!(fits(&house, "romeo@localhost", "wherefore"));
    assert_eq!(romeo.closed().text, Some("the password was changed"));
    completed(&change("nurse@localhost", "angelica"));
    nurse.nothing();
}

#[test]
fn xep0133_4_9_4_10_when_somebody_was_here_and_what_is_known() {
    let house = House::new();
    house.clock.advance(86_400);
    let mut nurse = house.online("nurse@localhost/room");
    house.clock.advance(60);
    let mut romeo = house.online("romeo@localhost/orchard");
    romeo.send(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='rosaline@localhost'/></query></iq>",
    );
    romeo.all();
    let who: [(&str, &[&str]); 1] = [("accountjids", &["romeo@localhost", "juliet@localhost"])];
    let answer = run(&mut nurse, "get-user-lastlogin", &who);
    completed(&answer);
    let times = "<value>1970-01-02T00:01:00.000Z</value><value></value></field>";
    assert!(
        answer.contains(&times.replace("<value></value>", "<value/>")) || answer.contains(times),
        "{answer}"
    );
    let answer = run(&mut nurse, "user-stats", &[("accountjid", &["romeo@localhost"])]);
    assert!(answer.contains("var='rostersize' label='Contacts'><value>1</value>"), "{answer}");
    assert!(answer.contains("<value>orchard</value>"), "{answer}");
    let nobody = run(&mut nurse, "user-stats", &[("accountjid", &["nobody@localhost"])]);
    refused(&nobody, "cancel", "item-not-found");
}

#[test]
fn xep0133_4_13_to_4_22_users_are_counted_and_listed() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let number = |nurse: &mut Actor, what: &str| {
        let answer = call(nurse, &format!("get-{what}-users-num"));
        completed(&answer);
        let (_, rest) = answer.split_once(&format!("var='{what}usersnum'")).unwrap();
        let (_, rest) = rest.split_once("<value>").unwrap();
        rest.split('<').next().unwrap().parse::<usize>().unwrap()
    };
    let all = |nurse: &mut Actor| {
        ["registered", "online", "active", "idle"].map(|what| number(nurse, what))
    };
    assert_eq!(all(&mut nurse), [3, 2, 2, 0]);
    romeo.send("<presence><show>away</show></presence>");
    romeo.all();
    assert_eq!(all(&mut nurse), [3, 2, 1, 1]);
    romeo.send("<presence><show>dnd</show></presence>");
    romeo.all();
    assert_eq!(all(&mut nurse), [3, 2, 2, 0]);
    romeo.send("<presence type='unavailable'/>");
    romeo.all();
    assert_eq!(all(&mut nurse), [3, 2, 1, 1], "connected and not available");

    let answer = run(&mut nurse, "get-registered-users-list", &[("max_items", &["none"])]);
    let listed = "<value>juliet@localhost</value><value>nurse@localhost</value>\
        <value>romeo@localhost</value></field>";
    assert!(answer.contains(listed) && !answer.contains("<note"), "{answer}");
    let answer = run(&mut nurse, "get-online-users-list", &[]);
    assert!(
        answer.contains("<value>nurse@localhost</value><value>romeo@localhost</value></field>")
    );
    let answer = run(&mut nurse, "get-active-users", &[("max_items", &["25"])]);
    assert!(answer.contains("'><value>nurse@localhost</value></field>"), "{answer}");
    let answer = run(&mut nurse, "get-idle-users", &[("max_items", &["25"])]);
    assert!(answer.contains("'><value>romeo@localhost</value></field>"), "{answer}");
    for number in 0..30 {
        house.add(&format!("a{number:02}@localhost"));
    }
    let answer = run(&mut nurse, "get-registered-users-list", &[("max_items", &["25"])]);
    assert!(answer.contains("<note type='info'>These are the first 25 of 33.</note>"), "{answer}");
    assert_eq!(answer.matches("<value>a").count(), 25);
    let wrong = run(&mut nurse, "get-registered-users-list", &[("max_items", &["26"])]);
    assert!(wrong.contains("<bad-payload "), "{wrong}");
}

#[test]
fn xep0133_4_23_an_announcement_goes_to_who_is_available() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let mut juliet = house.connect("juliet@localhost/balcony");
    let text: [(&str, &[&str]); 1] = [("announcement", &["Supper is &lt;ready>.", "Come!"])];
    let node = format!("node='{ADMIN}announce'");
    let id = session(&ask(&mut nurse, &command(&node, "")));
    nurse.send(&command(&format!("{node} sessionid='{id}'"), &form(&text)));
    let mut all = nurse.all();
    completed(&all.pop().unwrap());
    assert_eq!(all.len(), 1, "the operator is available too");
    let message = romeo.one();
    for part in [
        "<message type='headline' to='romeo@localhost/orchard' from='localhost'",
        "<subject>Announcement</subject>",
        "<body>Supper is &lt;ready&gt;.&#10;Come!</body>",
    ] {
        assert!(message.contains(part), "{message}");
    }
    juliet.nothing();
}

#[test]
fn xep0133_4_24_to_4_26_the_message_of_the_day_is_told_once_to_everybody() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    house.clock.advance(60);
    let node = format!("node='{ADMIN}set-motd'");
    let id = session(&ask(&mut nurse, &command(&node, "")));
    nurse
        .send(&command(&format!("{node} sessionid='{id}'"), &form(&[("motd", &["Tea at five."])])));
    nurse.all();
    let told = |stanzas: &[String]| {
        stanzas.iter().filter(|stanza| stanza.contains("<body>Tea at five.</body>")).count()
    };
    assert_eq!(told(&romeo.all()), 1, "at once");
    let login = |house: &House, jid: &str| {
        let mut actor = house.connect(jid);
        actor.send("<presence/>");
        let stanzas = actor.all();
        (actor, told(&stanzas))
    };
    let (juliet, first) = login(&house, "juliet@localhost/balcony");
    assert_eq!(first, 1, "at login");
    assert_eq!(login(&house, "juliet@localhost/tomb").1, 0, "the other session was told");
    house.clock.advance(60);
    drop(juliet);
    // As whoever notes the last activity does.
    let left =
        roster_store::Left { at: std::time::UNIX_EPOCH + Duration::from_secs(120), status: None };
    finish(house.store.left(&"juliet@localhost".parse().unwrap(), left)).unwrap();
    assert_eq!(login(&house, "juliet@localhost/balcony").1, 0, "who was here since has seen it");
    let restarted = house.restarted();
    restarted.add("paris@localhost");
    assert_eq!(login(&restarted, "paris@localhost/x").1, 1, "it outlives a restart");
    let mut nurse = restarted.online("nurse@localhost/room");
    completed(&call(&mut nurse, "delete-motd"));
    restarted.add("tybalt@localhost");
    assert_eq!(login(&restarted, "tybalt@localhost/x").1, 0);
}

#[test]
fn xep0133_4_30_4_31_the_server_ends_after_a_delay_and_says_so() {
    let house = House::new();
    let mut nurse = house.online("nurse@localhost/room");
    let mut romeo = house.online("romeo@localhost/orchard");
    let answer = run(&mut nurse, "shutdown", &[("delay", &["120"])]);
    assert!(answer.contains("The service shuts down in 120 seconds."), "{answer}");
    romeo.nothing();
    let answer = run(&mut nurse, "restart", &[("delay", &["121"])]);
    assert!(answer.contains("<bad-payload "), "{answer}");
    let answer = run(&mut nurse, "restart", &[]);
    assert!(answer.contains("<bad-payload "), "{answer}");
    let node = format!("node='{ADMIN}restart'");
    let id = session(&ask(&mut nurse, &command(&node, "")));
    let fields: [(&str, &[&str]); 2] = [("delay", &["5"]), ("announcement", &["Back soon."])];
    nurse.send(&command(&format!("{node} sessionid='{id}' action='complete'"), &form(&fields)));
    nurse.all();
    assert!(romeo.one().contains("<body>Back soon.</body>"));
    let asked = house.power.0.lock().unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(*asked, [(End::Stop, seconds(120)), (End::Restart, seconds(5))]);
}
