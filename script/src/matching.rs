//! Does a stanza say what the script expects?

use std::collections::BTreeMap;
use xmpp_core::{ns, xml::Node};

const ANY: &str = "{scansion:any}";
const CAPTURE: &str = "{scansion:capture:";

/// Values kept by `{scansion:capture:NAME}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(BTreeMap<String, String>);

impl Captures {
    /// What was captured under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Where a stanza differs from the expectation, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Mismatch {
    /// Names of the elements from the stanza downwards, joined by `/`.
    pub path: String,
    /// What differs.
    pub reason: String,
}

/// Compares by the rules of Scansion (see the crate's documentation). On success new captures are kept; on a mismatch
/// none is.
pub fn matches(expected: &Node, received: &Node, captures: &mut Captures) -> Result<(), Mismatch> {
    let mut bound = captures.clone();
    element(expected, received, &mut bound, &expected.name)?;
    *captures = bound;
    Ok(())
}

/// Recursive: the depth is that of the expectation, which a person wrote.
fn element(
    expected: &Node,
    received: &Node,
    captures: &mut Captures,
    path: &str,
) -> Result<(), Mismatch> {
    let fail = |reason| Err(Mismatch { path: path.to_owned(), reason });
    if expected.ns != received.ns || expected.name != received.name {
        return fail(format!("expected {}, received {}", tag(expected), tag(received)));
    }
    let strict = is_strict(expected);

    let attributes = || expected.attributes.iter().filter(|(ns, ..)| ns != crate::NAMESPACE);
    for (ns, name, value) in attributes() {
        let found = received.attributes.iter().find(|(n, a, _)| n == ns && a == name);
        let Some((.., found)) = found else {
            return fail(format!("attribute {name}: expected {value:?}, it is missing"));
        };
        if !same(value, found, captures) {
            return fail(format!("attribute {name}: expected {value:?}, received {found:?}"));
        }
    }
    if strict
        && let Some((_, name, value)) = received
            .attributes
            .iter()
            .find(|(ns, name, _)| !attributes().any(|(n, a, _)| n == ns && a == name))
    {
        return fail(format!("attribute {name}: not expected, received {value:?}"));
    }

    let (want, got) = (&expected.text, &received.text);
    let same_text = match strict {
        _ if want.trim().is_empty() => true, // scripts leave out what they do not care for
        true => same(want, got, captures),
        false => same(want.trim(), got.trim(), captures),
    };
    if !same_text {
        return fail(format!("text: expected {want:?}, received {got:?}"));
    }
    if strict {
        children_in_order(expected, received, captures, path)
    } else {
        children_in_any_order(expected, received, captures, path)
    }
}

/// Elements in `jabber:client` are matched loosely, others strictly, unless they say otherwise themselves.
pub(crate) fn is_strict(expected: &Node) -> bool {
    let said =
        expected.attributes.iter().find(|(ns, name, _)| ns == crate::NAMESPACE && name == "strict");
    match said {
        Some((.., value)) => value == "true",
        None => expected.ns != ns::CLIENT,
    }
}

fn same(expected: &str, received: &str, captures: &mut Captures) -> bool {
    if expected.trim() == ANY {
        return true;
    }
    let name = expected.trim().strip_prefix(CAPTURE).and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) => {
            captures.0.entry(name.to_owned()).or_insert_with(|| received.to_owned()) == received
        }
        None => expected == received,
    }
}

fn children_in_order(
    expected: &Node,
    received: &Node,
    captures: &mut Captures,
    path: &str,
) -> Result<(), Mismatch> {
    for (want, got) in expected.children.iter().zip(&received.children) {
        element(want, got, captures, &format!("{path}/{}", want.name))?;
    }
    let (want, got) = (expected.children.len(), received.children.len());
    let reason = match want.cmp(&got) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => format!("not expected: {}", tag(&received.children[want])),
        std::cmp::Ordering::Greater => format!("missing: {}", tag(&expected.children[got])),
    };
    Err(Mismatch { path: path.to_owned(), reason })
}

/// Every expected child needs a received child of its own. Which goes with which is found by augmenting paths (a
/// bipartite matching), so that a loose child never takes what only another could use.
fn children_in_any_order(
    expected: &Node,
    received: &Node,
    captures: &mut Captures,
    path: &str,
) -> Result<(), Mismatch> {
    let fits = |want: &Node, got: &Node, captures: &Captures| {
        element(want, got, &mut captures.clone(), &format!("{path}/{}", want.name))
    };
    let taken_by = assignment(&expected.children, &received.children, |want, got| {
        fits(want, got, captures).is_ok()
    });
    let missing = (0..expected.children.len()).find(|number| !taken_by.contains(&Some(*number)));
    if let Some(number) = missing {
        let want = &expected.children[number];
        // The reason is clearest where only one candidate has the name.
        let mut alike = received.children.iter().filter(|got| got.is(&want.ns, &want.name));
        if let (Some(only), None) = (alike.next(), alike.next()) {
            fits(want, only, captures)?;
        }
        return Err(Mismatch {
            path: path.to_owned(),
            reason: format!("no child left that matches {}", tag(want)),
        });
    }
    for (got, number) in received.children.iter().zip(taken_by) {
        if let Some(number) = number {
            let want = &expected.children[number];
            element(want, got, captures, &format!("{path}/{}", want.name))?;
        }
    }
    Ok(())
}

/// For each received child the number of the expected one that it fits, as many as possible.
pub(crate) fn assignment(
    expected: &[Node],
    received: &[Node],
    fits: impl Fn(&Node, &Node) -> bool,
) -> Vec<Option<usize>> {
    let table: Vec<Vec<bool>> =
        expected.iter().map(|want| received.iter().map(|got| fits(want, got)).collect()).collect();
    let mut taken_by = vec![None; received.len()];
    for number in 0..expected.len() {
        assign(number, &table, &mut taken_by, &mut vec![false; received.len()]);
    }
    taken_by
}

fn assign(
    number: usize,
    table: &[Vec<bool>],
    taken_by: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for got in 0..taken_by.len() {
        if !table[number][got] || std::mem::replace(&mut tried[got], true) {
            continue;
        }
        if taken_by[got].is_none_or(|other| assign(other, table, taken_by, tried)) {
            taken_by[got] = Some(number);
            return true;
        }
    }
    false
}

/// A start tag, for messages.
fn tag(node: &Node) -> String {
    let mut alone = node.clone();
    alone.children.clear();
    crate::pretty(&alone, 0).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let block = crate::wire::elements(text).unwrap();
        let child = block.children().next().unwrap();
        Node::parse(&block.standalone_child(&child), "").unwrap()
    }

    #[track_caller]
    fn good(expected: &str, received: &str) {
        matches(&node(expected), &node(received), &mut Captures::default()).unwrap();
    }

    #[track_caller]
    fn bad(expected: &str, received: &str, why: &str) {
        let mismatch = matches(&node(expected), &node(received), &mut Captures::default())
            .expect_err("a mismatch");
        assert_eq!(mismatch.to_string(), why);
    }

    #[test]
    fn stanzas_are_matched_loosely() {
        good("<presence/>", "<presence from='a@b' id='1'><priority>1</priority></presence>");
        good("<message><body> x\n</body></message>", "<message><thread/><body>x</body></message>");
        good("<message><b/><a/></message>", "<message><a/><c/><b/></message>");
        bad(
            "<presence to='a'/>",
            "<presence/>",
            "presence: attribute to: expected \"a\", it is missing",
        );
        bad(
            "<presence to='a'/>",
            "<presence to='b'/>",
            "presence: attribute to: expected \"a\", received \"b\"",
        );
        bad("<presence/>", "<message/>", "presence: expected <presence/>, received <message/>");
        bad(
            "<presence><a/></presence>",
            "<presence/>",
            "presence: no child left that matches <a/>",
        );
        bad(
            "<message><body>x</body></message>",
            "<message><body>y</body></message>",
            "message/body: text: expected \"x\", received \"y\"",
        );
    }

    #[test]
    fn payloads_are_matched_strictly() {
        good(
            "<iq><q xmlns='u' a='1' b='2'><c/></q></iq>",
            "<iq><q b='2' a='1' xmlns='u'><c/></q></iq>",
        );
        good("<iq><q xmlns='u'>\n <c/>\n</q></iq>", "<iq><q xmlns='u'><c/></q></iq>");
        bad(
            "<iq><q xmlns='u'/></iq>",
            "<iq><q xmlns='u' a='1'/></iq>",
            "iq/q: attribute a: not expected, received \"1\"",
        );
        bad(
            "<iq><q xmlns='u'><a/><b/></q></iq>",
            "<iq><q xmlns='u'><b/><a/></q></iq>",
            "iq/q/a: expected <a xmlns='u'/>, received <b xmlns='u'/>",
        );
        bad(
            "<iq><q xmlns='u'>x</q></iq>",
            "<iq><q xmlns='u'> x</q></iq>",
            "iq/q: text: expected \"x\", received \" x\"",
        );
        bad(
            "<iq><q xmlns='u'/></iq>",
            "<iq><q xmlns='u'><a/></q></iq>",
            "iq/q: not expected: <a xmlns='u'/>",
        );
        bad(
            "<iq><q xmlns='u'><a/></q></iq>",
            "<iq><q xmlns='u'/></iq>",
            "iq/q: missing: <a xmlns='u'/>",
        );
    }

    #[test]
    fn text_that_is_not_expected_is_ignored() {
        good("<iq><q xmlns='u'><v></v></q></iq>", "<iq><q xmlns='u'><v>x</v></q></iq>");
        good("<message><body/></message>", "<message><body>x</body></message>");
    }

    #[test]
    fn strictness_is_said_per_element() {
        good(
            "<iq><q xmlns='u' scansion:strict='false'><b/><a c='1'/></q></iq>",
            "<iq><q xmlns='u' d='2'><a c='1'/><e/><b/></q></iq>",
        );
        // Its children are strict all the same.
        bad(
            "<iq><q xmlns='u' scansion:strict='false'><a/></q></iq>",
            "<iq><q xmlns='u'><a c='1'/></q></iq>",
            "iq/q/a: attribute c: not expected, received \"1\"",
        );
        bad(
            "<message scansion:strict='true'/>",
            "<message id='1'/>",
            "message: attribute id: not expected, received \"1\"",
        );
    }

    #[test]
    fn names_are_compared_with_their_namespaces() {
        good("<iq><p:q xmlns:p='u'/></iq>", "<iq><q xmlns='u'/></iq>");
        bad(
            "<iq><q xmlns='u'/></iq>",
            "<iq><q xmlns='v'/></iq>",
            "iq: no child left that matches <q xmlns='u'/>",
        );
    }

    #[test]
    fn any_value_must_still_be_there() {
        good("<iq id='{scansion:any}'/>", "<iq id='7'/>");
        good("<iq><v xmlns='u'>{scansion:any}</v></iq>", "<iq><v xmlns='u'>1.0</v></iq>");
        bad(
            "<iq id='{scansion:any}'/>",
            "<iq/>",
            "iq: attribute id: expected \"{scansion:any}\", it is missing",
        );
    }

    #[test]
    fn a_captured_value_must_stay_the_same() {
        let mut captures = Captures::default();
        let expected = node("<iq id='{scansion:capture:x}'/>");
        matches(&expected, &node("<iq id='7'/>"), &mut captures).unwrap();
        assert_eq!(captures.get("x"), Some("7"));
        matches(&expected, &node("<iq id='7'/>"), &mut captures).unwrap();
        assert!(matches(&expected, &node("<iq id='8'/>"), &mut captures).is_err());
    }

    #[test]
    fn a_mismatch_captures_nothing() {
        let mut captures = Captures::default();
        let expected = node("<iq id='{scansion:capture:x}' to='a'/>");
        assert!(matches(&expected, &node("<iq id='7' to='b'/>"), &mut captures).is_err());
        assert_eq!(captures.get("x"), None);
    }

    #[test]
    fn every_expected_child_needs_one_of_its_own() {
        bad(
            "<message><a/><a/></message>",
            "<message><a/></message>",
            "message: no child left that matches <a/>",
        );
        // The loose <a/> must leave a='1' to the other.
        good("<message><a/><a b='1'/></message>", "<message><a b='1'/><a/></message>");
    }
}
