//! What was expected beside what came.

use crate::{
    Captures, matches,
    matching::{assignment, is_strict},
    pretty::{self, pretty},
};
use std::fmt;
use xmpp_core::{ns, xml::Node};

/// One line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose line it is.
    pub mark: Mark,
    /// The line, indented as elements are.
    pub text: String,
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It came, and nothing is wrong with it.
    Same,
    /// It was expected and did not come.
    Missing,
    /// It came instead, or besides.
    Unexpected,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Same => ' ',
            Mark::Missing => '-',
            Mark::Unexpected => '+',
        };
        write!(f, "{mark} {}", self.text)
    }
}

/// The stanza that came, line by line, with what was expected instead where it differs. Where the comparison is loose
/// (see the crate's documentation), what it ignores is no difference.
pub fn diff(expected: &Node, received: &Node, captures: &Captures) -> Vec<Line> {
    let mut out = Diff { captures, lines: Vec::new() };
    out.pair(expected, received, ns::CLIENT, 0);
    out.lines
}

/// All lines of a stanza with this mark.
pub(crate) fn whole(mark: Mark, stanza: &Node) -> Vec<Line> {
    pretty(stanza, 0).lines().map(|text| Line { mark, text: text.to_owned() }).collect()
}

struct Diff<'a> {
    captures: &'a Captures,
    lines: Vec<Line>,
}

impl Diff<'_> {
    fn line(&mut self, mark: Mark, text: impl Into<String>) {
        self.lines.push(Line { mark, text: text.into() });
    }

    fn element(&mut self, mark: Mark, node: &Node, outer: &str, indent: usize) {
        for line in pretty::within(node, outer, indent).lines() {
            self.line(mark, line);
        }
    }

    fn fits(&self, want: &Node, got: &Node) -> bool {
        matches(want, got, &mut self.captures.clone()).is_ok()
    }

    /// An expected element and the one that stands in its place. Recursive: the depth is that of the expectation.
    fn pair(&mut self, want: &Node, got: &Node, outer: &str, indent: usize) {
        if self.fits(want, got) {
            return self.element(Mark::Same, got, outer, indent);
        }
        let leaves = want.children.is_empty() && got.children.is_empty();
        if leaves || !got.is(&want.ns, &want.name) {
            self.element(Mark::Missing, want, outer, indent);
            return self.element(Mark::Unexpected, got, outer, indent);
        }
        let margin = " ".repeat(indent);
        let start = |node: &Node| format!("{margin}{}>", pretty::start(node, outer));
        let tag = |node: &Node| Node { children: Vec::new(), text: String::new(), ..node.clone() };
        if self.fits(&tag(want), &tag(got)) {
            self.line(Mark::Same, start(got));
        } else {
            self.line(Mark::Missing, start(want));
            self.line(Mark::Unexpected, start(got));
        }
        self.text(want, got, indent + 2);
        if is_strict(want) {
            self.in_order(want, got, pretty::inside(got, outer), indent + 2);
        } else {
            self.in_any_order(want, got, pretty::inside(got, outer), indent + 2);
        }
        self.line(Mark::Same, format!("{margin}</{}>", pretty::name(got)));
    }

    fn text(&mut self, want: &Node, got: &Node, indent: usize) {
        let margin = " ".repeat(indent);
        let text = |node: &Node| format!("{margin}{}", pretty::escaped(node.text.trim()));
        let alone = |node: &Node| {
            let scansion = |(ns, ..): &&(String, String, String)| ns == crate::NAMESPACE;
            let attributes = node.attributes.iter().filter(scansion).cloned().collect();
            Node { children: Vec::new(), attributes, ..node.clone() }
        };
        let (said, came) = (!want.text.trim().is_empty(), !got.text.trim().is_empty());
        if self.fits(&alone(want), &alone(got)) {
            if came {
                self.line(Mark::Same, text(got));
            }
            return;
        }
        if said {
            self.line(Mark::Missing, text(want));
        }
        if came {
            self.line(Mark::Unexpected, text(got));
        }
    }

    /// Children of a loose element: each expected one beside the one that fits, or else has its name.
    fn in_any_order(&mut self, want: &Node, got: &Node, inside: &str, indent: usize) {
        let mut taken_by = assignment(&want.children, &got.children, |w, g| self.fits(w, g));
        let mut missing: Vec<_> =
            (0..want.children.len()).filter(|number| !taken_by.contains(&Some(*number))).collect();
        missing.retain(|number| {
            let wanted = &want.children[*number];
            let alike = (0..got.children.len()).find(|other| {
                taken_by[*other].is_none() && got.children[*other].is(&wanted.ns, &wanted.name)
            });
            alike.map(|other| taken_by[other] = Some(*number)).is_none()
        });
        for (child, number) in got.children.iter().zip(taken_by) {
            match number {
                Some(number) => self.pair(&want.children[number], child, inside, indent),
                None => self.element(Mark::Same, child, inside, indent),
            }
        }
        for number in missing {
            self.element(Mark::Missing, &want.children[number], inside, indent);
        }
    }

    /// Children of a strict element: the shortest way from one sequence to the other.
    fn in_order(&mut self, want: &Node, got: &Node, inside: &str, indent: usize) {
        let steps = alignment(want.children.len(), got.children.len(), |w, g| {
            let (want, got) = (&want.children[w], &got.children[g]);
            match () {
                () if self.fits(want, got) => 0,
                () if got.is(&want.ns, &want.name) => 1,
                () => 3, // one gone and one come is shorter
            }
        });
        for step in steps {
            match step {
                Step::Both(w, g) => self.pair(&want.children[w], &got.children[g], inside, indent),
                Step::Gone(w) => {
                    self.element(Mark::Missing, &want.children[w], inside, indent);
                }
                Step::Come(g) => {
                    self.element(Mark::Unexpected, &got.children[g], inside, indent);
                }
            }
        }
    }
}

/// A step from one sequence to another, with the positions in both.
enum Step {
    Both(usize, usize),
    Gone(usize),
    Come(usize),
}

/// The cheapest steps from `wanted` elements to `came` others, where one gone or come costs 1.
fn alignment(wanted: usize, came: usize, both: impl Fn(usize, usize) -> usize) -> Vec<Step> {
    // costs[w][g]: of what stands from w and from g on.
    let mut costs = vec![vec![0; came + 1]; wanted + 1];
    for w in (0..=wanted).rev() {
        for g in (0..=came).rev() {
            costs[w][g] = match (w < wanted, g < came) {
                (false, _) => came - g,
                (true, false) => wanted - w,
                (true, true) => (costs[w + 1][g + 1] + both(w, g))
                    .min(costs[w + 1][g] + 1)
                    .min(costs[w][g + 1] + 1),
            };
        }
    }
    let (mut w, mut g, mut steps) = (0, 0, Vec::new());
    while w < wanted || g < came {
        if w < wanted && g < came && costs[w][g] == costs[w + 1][g + 1] + both(w, g) {
            steps.push(Step::Both(w, g));
            (w, g) = (w + 1, g + 1);
        } else if w < wanted && costs[w][g] == costs[w + 1][g] + 1 {
            steps.push(Step::Gone(w));
            w += 1;
        } else {
            steps.push(Step::Come(g));
            g += 1;
        }
    }
    steps
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
    fn shows(expected: &str, received: &str, lines: &[&str]) {
        let diff = diff(&node(expected), &node(received), &Captures::default());
        let shown: Vec<_> = diff.iter().map(ToString::to_string).collect();
        assert_eq!(shown, lines);
    }

    #[test]
    fn only_what_differs_is_marked() {
        shows(
            "<message id='1'><body>Wherefore?</body><x xmlns='u' a='{scansion:any}'/></message>",
            "<message id='1' to='r@h'><body>Here.</body><x xmlns='u' a='7'/><thread/></message>",
            &[
                "  <message id='1' to='r@h'>",
                "-   <body>Wherefore?</body>",
                "+   <body>Here.</body>",
                "    <x xmlns='u' a='7'/>",
                "    <thread/>",
                "  </message>",
            ],
        );
    }

    #[test]
    fn attributes_of_the_stanza_are_shown_in_its_tag() {
        shows(
            "<message id='1'><body>x</body></message>",
            "<message id='2'><body>x</body></message>",
            &["- <message id='1'>", "+ <message id='2'>", "    <body>x</body>", "  </message>"],
        );
    }

    #[test]
    fn another_element_is_shown_whole() {
        shows(
            "<presence><show>away</show></presence>",
            "<iq id='1'/>",
            &["- <presence>", "-   <show>away</show>", "- </presence>", "+ <iq id='1'/>"],
        );
    }

    #[test]
    fn a_missing_child_is_found_in_any_order() {
        shows(
            "<message><a/><b/></message>",
            "<message><b/><c/></message>",
            &["  <message>", "    <b/>", "    <c/>", "-   <a/>", "  </message>"],
        );
    }

    #[test]
    fn strict_children_are_aligned() {
        shows(
            "<iq><q xmlns='u'><a/><b n='1'/><c/><d/></q></iq>",
            "<iq><q xmlns='u'><b n='2'/><c/><e/><d/></q></iq>",
            &[
                "  <iq>",
                "    <q xmlns='u'>",
                "-     <a/>",
                "-     <b n='1'/>",
                "+     <b n='2'/>",
                "      <c/>",
                "+     <e/>",
                "      <d/>",
                "    </q>",
                "  </iq>",
            ],
        );
    }

    #[test]
    fn text_beside_children_is_compared_too() {
        shows(
            "<iq><q xmlns='u'>one<a/></q></iq>",
            "<iq><q xmlns='u'>two<a/></q></iq>",
            &[
                "  <iq>",
                "    <q xmlns='u'>",
                "-     one",
                "+     two",
                "      <a/>",
                "    </q>",
                "  </iq>",
            ],
        );
    }

    #[test]
    fn an_element_in_vain_is_shown_where_it_stands() {
        shows(
            "<iq><q xmlns='u'/></iq>",
            "<iq><q xmlns='u'><a/></q></iq>",
            &["  <iq>", "    <q xmlns='u'>", "+     <a/>", "    </q>", "  </iq>"],
        );
    }
}
