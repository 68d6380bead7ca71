//! The server behind the manager: knows two people, logs everybody in, and takes messages from one to the other.

use crate::{
    fault::Fault,
    manager::{Manager, Session, Table},
};
use xmpp_core::{ns, xml::Node};

const FEATURES: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a fresh stream begins with.
pub fn features(bound_next: bool) -> String {
    let feature = match bound_next {
        false => {
            format!("<mechanisms xmlns='{}'><mechanism>PLAIN</mechanism></mechanisms>", ns::SASL)
        }
        true => format!("<bind xmlns='{}'/>", ns::BIND),
    };
    format!("{FEATURES}{feature}</stream:features>")
}

/// One payload of a session; what comes of it waits in outboxes.
pub fn take(manager: &Manager, table: &mut Table, sid: &str, node: &Node, raw: &str) {
    let known = node.attr("to").is_none_or(|to| sid_of(table, to).is_some());
    let Some(session) = table.sessions.get_mut(sid) else { return };
    match &*node.name {
        "auth" => {
            // NUL and the name, as PLAIN has them in base64.
            let romeo = node.text.starts_with("AHJvbWVv");
            session.user = Some(if romeo { "romeo" } else { "juliet" });
            session.outbox.push(format!("<success xmlns='{}'/>", ns::SASL));
        }
        "iq" if node.child(ns::BIND, "bind").is_some() => bind(session, node),
        "iq" if !known => {
            refuse(table, sid, node);
        }
        "iq" if node.attr("type") == Some("get") => deliver(manager, table, node, raw, sid),
        "message" => deliver(manager, table, node, raw, sid),
        "presence" if node.attr("type").is_none() => {
            session.outbox.push(format!(
                "<presence xmlns='{}' from='{}'/>",
                ns::CLIENT,
                session.jid
            ));
            let user = session.user.unwrap_or_default();
            let kept: Vec<_> = table.offline.extract_if(.., |(to, _)| to == user).collect();
            session.outbox.extend(kept.into_iter().map(|(_, raw)| raw));
        }
        "iq" | "presence" => {}
        _ => {
            let error = if manager.has(Fault::ErrorsBare) {
                String::new()
            } else {
                format!(
                    "<stream:error xmlns:stream='{}'><unsupported-stanza-type xmlns='{}'/></stream:error>",
                    ns::STREAMS,
                    ns::STREAM_ERRORS
                )
            };
            session.error = Some(error);
        }
    }
}

/// What a session did not take when it died.
pub fn undelivered(manager: &Manager, table: &mut Table, user: &str, raw: String) {
    let node = Node::parse(raw.as_bytes(), "").unwrap();
    match &*node.name {
        "message" if manager.has(Fault::UndeliveredDropped) => {}
        "message" if manager.has(Fault::UndeliveredComesBack) => {
            let from = node.attr("from").unwrap();
            if let Some(sid) = sid_of(table, from) {
                table.sessions.get_mut(&sid).unwrap().outbox.push(format!(
                    "<message xmlns='{}' type='error' id='{}'><error type='wait'><recipient-unavailable xmlns='{}'/></error></message>",
                    ns::CLIENT,
                    node.attr("id").unwrap(),
                    ns::STANZA_ERRORS
                ));
            }
        }
        "message" => table.offline.push((user.to_owned(), raw)),
        "iq" => {
            let from = node.attr("from").unwrap().to_owned();
            if let Some(sid) = sid_of(table, &from) {
                refuse(table, &sid, &node);
            }
        }
        _ => {}
    }
}

fn bind(session: &mut Session, node: &Node) {
    let resource = &node.children[0].children[0].text;
    session.jid = format!("{}@localhost/{resource}", session.user.unwrap());
    session.outbox.push(format!(
        "<iq xmlns='{}' type='result' id='bind'><bind xmlns='{}'><jid>{}</jid></bind></iq>",
        ns::CLIENT,
        ns::BIND,
        session.jid
    ));
}

fn refuse(table: &mut Table, sid: &str, node: &Node) {
    let Some(session) = table.sessions.get_mut(sid) else { return };
    if node.attr("type") == Some("get") {
        session.outbox.push(format!(
            "<iq xmlns='{}' type='error' id='{}'><error type='cancel'><service-unavailable xmlns='{}'/></error></iq>",
            ns::CLIENT,
            node.attr("id").unwrap(),
            ns::STANZA_ERRORS
        ));
    }
}

fn deliver(manager: &Manager, table: &mut Table, node: &Node, raw: &str, from: &str) {
    let to = node.attr("to").unwrap_or_default();
    let from = table.sessions[from].jid.clone();
    let stamped =
        raw.replacen(&format!("<{}", node.name), &format!("<{} from='{from}'", node.name), 1);
    match sid_of(table, to) {
        Some(sid) => table.sessions.get_mut(&sid).unwrap().outbox.push(stamped),
        None => {
            let user = to.split('@').next().unwrap_or_default().to_owned();
            undelivered(manager, table, &user, stamped);
        }
    }
}

fn sid_of(table: &Table, jid: &str) -> Option<String> {
    table.sessions.iter().find(|(_, session)| session.jid == jid).map(|(sid, _)| sid.clone())
}
