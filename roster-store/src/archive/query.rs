//! What is asked of an archive.

use crate::{Kept, MessageId};
use bytes::Bytes;
use std::time::SystemTime;
use xmpp_core::{
    Jid, ns,
    xml::{Element, Limits, Node, Scope},
};

/// Which messages of an archive (XEP-0313 4.1), and which page of them (XEP-0059).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Those with this other end; a bare address stands for all its resources (4.1.1).
    pub with: Option<Jid>,
    /// Those received at or after this (4.1.2).
    pub start: Option<SystemTime>,
    /// Those received at or before this (4.1.2).
    pub end: Option<SystemTime>,
    /// Those after all of these (4.1.3, 4.3.2).
    pub after: Vec<MessageId>,
    /// Those before all of these.
    pub before: Vec<MessageId>,
    /// Only these (4.1.3).
    pub ids: Option<Vec<MessageId>>,
    /// Those whose body contains each of these words, as part of a word too, in whatever case (XEP-0431).
    pub words: Vec<String>,
    /// So many at most.
    pub limit: usize,
    /// So many bytes of stanzas at most, but one message at least.
    pub bytes: usize,
    /// The last ones, not the first.
    pub from_end: bool,
}

/// A page of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages, oldest first.
    pub messages: Vec<Kept>,
    /// Whether none that match are left beyond it: later ones, or earlier ones for a page from the end.
    pub complete: bool,
}

impl Query {
    /// The words of a text to search for.
    pub fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_lowercase).collect()
    }

    /// Whether so many messages of so many bytes fit the page.
    pub(crate) fn fits(&self, before: usize, bytes: usize) -> bool {
        before < self.limit && (before == 0 || bytes <= self.bytes)
    }

    /// Whether those that match can be counted without reading each.
    pub(crate) fn is_countable(&self) -> bool {
        self.start.is_none()
            && self.end.is_none()
            && self.ids.is_none()
            && self.words.is_empty()
            && self.with.as_ref().is_none_or(Jid::is_bare)
    }

    /// The numbers it is about: above the first, below the second.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        let after = self.after.iter().map(MessageId::number).max().unwrap_or(0);
        let before = self.before.iter().map(MessageId::number).min().unwrap_or(MessageId::LAST + 1);
        (after, before)
    }

    /// The ids that it names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &MessageId> {
        self.after.iter().chain(&self.before).chain(self.ids.iter().flatten())
    }

    /// Whether an archived message matches, but for its id.
    pub(crate) fn matches(&self, with: &str, at: SystemTime, stanza: &[u8]) -> bool {
        self.with.as_ref().is_none_or(|jid| match jid.is_bare() {
            true => bare(with) == jid.as_str(),
            false => with == jid.as_str(),
        }) && self.start.is_none_or(|start| at >= start)
            && self.end.is_none_or(|end| at <= end)
            && (self.words.is_empty() || says(stanza, &self.words))
    }
}

/// An address without its resource.
pub(crate) fn bare(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

/// Whether the body of a stored stanza contains all words, which are in lower case.
fn says(stanza: &[u8], words: &[String]) -> bool {
    // Most stanzas are out before they are read. Characters may stand as references, and other scripts have other cases.
    let plain = |word: &&String| word.bytes().all(|b| b.is_ascii_alphanumeric());
    let spelled_out = memchr::memmem::find(stanza, b"&#").is_some();
    if !spelled_out && words.iter().filter(plain).any(|word| !contains(stanza, word.as_bytes())) {
        return false;
    }
    let stored = Limits {
        bytes: usize::MAX,
        elements: u32::MAX,
        depth: u32::MAX,
        attributes: u32::MAX,
        declarations: u32::MAX,
        name: usize::MAX,
    };
    let scope = Scope { default: ns::CLIENT.to_owned(), ..Scope::default() };
    let Ok(stanza) = Element::check(Bytes::copy_from_slice(stanza), &scope, &stored) else {
        return false;
    };
    // There may be one in each language (RFC 6121 5.2.3).
    let bodies = stanza.children().filter(|child| child.is(ns::CLIENT, "body"));
    bodies.filter_map(|body| Node::parse(&stanza.standalone_child(&body), "").ok()).any(|body| {
        let text = body.text.to_lowercase();
        words.iter().all(|word| text.contains(word.as_str()))
    })
}

/// Whether the bytes contain a word of lower-case ASCII in any case.
fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let Some(&first) = word.first() else { return true };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), bytes)
        .any(|at| bytes[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep0431_a_body_that_contains_all_words_in_any_case() {
        let stanza = |body: &str| {
            format!("<message from='hello@x' id='hidden'><subject>secret</subject>{body}</message>")
        };
        let body =
            stanza("<body>Hello &amp; good m&#111;rning, \u{c9}lise!\n\u{4f60}\u{597d}</body>");
        let finds = |stanza: &str, text: &str| says(stanza.as_bytes(), &Query::words(text));
        for text in [
            "hello",
            "HELLO  morning",
            "\u{e9}lise",
            "ELL",
            "&",
            "\u{597d}",
            "good\tell",
            "hello &",
        ] {
            assert!(finds(&body, text), "{text}");
        }
        for text in ["hello evening", "secret", "hidden", "message", "amp;", "#111", "from='hello"]
        {
            assert!(!finds(&body, text), "{text}");
        }
        let plain =
            stanza("<body xml:lang='en'>One</body><body xml:lang='de'>Eins <!-- --></body>");
        assert!(!finds(&plain, "one"), "what is no stanza has no body");
        let plain = stanza("<body xml:lang='en'>One</body><body xml:lang='de'>Eins</body>");
        assert!(finds(&plain, "eins") && finds(&plain, "one") && !finds(&plain, "one eins"));
        let foreign = stanza("<x xmlns='urn:x'><body>One</body></x><body xmlns='urn:x'>One</body>");
        assert!(!finds(&foreign, "one"));
    }
}
