//! Text of a script with `${NAME's JID}` and `{scansion:capture:NAME}` in it.

use crate::matching::Captures;
use bytes::BytesMut;
use xmpp_core::xml::escape_into;

/// A text in parts; names are resolved to positions in the cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The bare JID of a character.
    Jid(usize),
    /// Its JID with the resource of its latest session.
    FullJid(usize),
    /// A value captured earlier, by name.
    Captured(String),
}

/// What a template cannot be filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// The character of this number has no full JID yet.
    NoFullJid(usize),
    /// Nothing was captured under this name.
    NotCaptured(String),
}

/// Where the values come from.
pub(crate) trait Values {
    /// The bare JID of the character of this number.
    fn jid(&self, character: usize) -> &str;
    /// Its full JID, once it was connected.
    fn full_jid(&self, character: usize) -> Option<&str>;
}

const CAPTURE: &str = "{scansion:capture:";

impl Template {
    /// Splits a text; `find` gives the number of a character by its name. `captures`: whether captured values are
    /// filled in, or left for the comparison to bind. The error is the text between `${` and `}`.
    pub(crate) fn parse(
        text: &str,
        captures: bool,
        find: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let address = rest.find("${");
            let capture = rest.find(CAPTURE).filter(|_| captures);
            let Some(at) = [address, capture].into_iter().flatten().min() else { break };
            let (before, marker) = rest.split_at(at);
            let end = marker.find('}').ok_or_else(|| first_line(marker).to_owned())?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if let Some(name) = marker[..end].strip_prefix(CAPTURE) {
                parts.push(Part::Captured(name.to_owned()));
            } else {
                let inside = &marker[2..end];
                let part = if let Some(name) = inside.strip_suffix("'s full JID") {
                    find(name).map(Part::FullJid)
                } else if let Some(name) = inside.strip_suffix("'s JID") {
                    find(name).map(Part::Jid)
                } else {
                    None
                };
                parts.push(part.ok_or_else(|| inside.to_owned())?);
            }
            rest = &marker[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text with all values in it, escaped.
    pub(crate) fn fill(
        &self,
        values: &(impl Values + ?Sized),
        captures: &Captures,
    ) -> Result<String, Unfilled> {
        let mut out = BytesMut::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Jid(number) => escape_into(values.jid(*number), &mut out),
                Part::FullJid(number) => {
                    let jid = values.full_jid(*number).ok_or(Unfilled::NoFullJid(*number))?;
                    escape_into(jid, &mut out);
                }
                Part::Captured(name) => {
                    let value =
                        captures.get(name).ok_or_else(|| Unfilled::NotCaptured(name.clone()))?;
                    escape_into(value, &mut out);
                }
            }
        }
        Ok(String::from_utf8(out.to_vec()).expect("parts and escapes are UTF-8"))
    }

    /// The text with a stand-in for every value, to check its form before anything is known.
    pub(crate) fn sample(&self) -> String {
        self.parts
            .iter()
            .map(|part| if let Part::Text(text) = part { text.as_str() } else { "value" })
            .collect()
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;
    impl Values for Two {
        fn jid(&self, character: usize) -> &str {
            ["romeo@localhost", "ju&liet@localhost"][character]
        }
        fn full_jid(&self, character: usize) -> Option<&str> {
            (character == 1).then_some("juliet@localhost/it's")
        }
    }

    fn find(name: &str) -> Option<usize> {
        ["Romeo", "Juliet's phone"].iter().position(|n| *n == name)
    }

    #[test]
    fn addresses_are_filled_in_and_escaped() {
        let text =
            r#"<a b="${Juliet's phone's full JID}" c="${Juliet's phone's JID}"/>${Romeo's JID}"#;
        let template = Template::parse(text, false, find).unwrap();
        assert_eq!(
            template.fill(&Two, &Captures::default()).unwrap(),
            r#"<a b="juliet@localhost/it&apos;s" c="ju&amp;liet@localhost"/>romeo@localhost"#
        );
        assert_eq!(template.sample(), r#"<a b="value" c="value"/>value"#);
    }

    #[test]
    fn unknown_and_unfinished_names_are_refused() {
        assert_eq!(Template::parse("${Paris's JID}", false, find).unwrap_err(), "Paris's JID");
        assert_eq!(Template::parse("${Romeo's hat}", false, find).unwrap_err(), "Romeo's hat");
        assert_eq!(Template::parse("${Romeo's\nJID", false, find).unwrap_err(), "${Romeo's");
    }

    #[test]
    fn a_full_jid_is_known_only_after_a_connection() {
        let template = Template::parse("${Romeo's full JID}", false, find).unwrap();
        assert_eq!(template.fill(&Two, &Captures::default()), Err(Unfilled::NoFullJid(0)));
    }

    #[test]
    fn captures_are_filled_in_only_where_asked() {
        let text = "<a id='{scansion:capture:x}'/>";
        let kept = Template::parse(text, false, find).unwrap();
        assert_eq!(kept.fill(&Two, &Captures::default()).unwrap(), text);
        let filled = Template::parse(text, true, find).unwrap();
        assert_eq!(
            filled.fill(&Two, &Captures::default()),
            Err(Unfilled::NotCaptured("x".to_owned()))
        );
    }
}
