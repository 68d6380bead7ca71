//! Internationalised user names, resources, nicknames and passwords: PRECIS (RFC 8264, RFC 8265) on
//! current Unicode.
//!
//! The derived property of RFC 8264 8 is computed here from the general category, because the published
//! tables stop at Unicode 6.3 and would refuse every letter and emoji since 2013. Joining types and
//! scripts, which only the contextual rules ask for, still come from those tables.

use std::borrow::Cow;

use precis_core::{FreeformClass, StringClass, profile::Rules};
use precis_profiles::UsernameCaseMapped;
use unicode_normalization::{UnicodeNormalization, char::canonical_combining_class, is_nfc};
use unicode_properties::{GeneralCategory as Gc, UnicodeGeneralCategory};

/// Prepares a password, a resource or any other text whose meaning is its exact characters: the
/// OpaqueString profile (RFC 8265 4.2). `None` where the text is empty or has a forbidden character.
///
/// Case and width are kept, other spaces become U+0020, and the result is in NFC. The time taken is
/// linear in the length; a limit is the caller's.
pub fn opaque_string(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
        return (!text.is_empty()).then_some(Cow::Borrowed(text));
    }
    stable(text, |text| {
        if !is_allowed(text, Class::Freeform) {
            return None;
        }
        // RFC 8265 4.2.2: the additional mapping rule, then normalization.
        Some(nfc(map_chars(text, is_other_space, |_| ' ')))
    })
}

/// Prepares a user name: the UsernameCaseMapped profile (RFC 8265 3.3). `None` where the text is empty,
/// has a forbidden character or breaks the bidi rule (RFC 5893 2).
pub(crate) fn username_case_mapped(text: &str) -> Option<Cow<'_, str>> {
    let profile = UsernameCaseMapped::new();
    stable(text, |text| {
        // RFC 8265 3.3.2: width, the IdentifierClass, case, normalization, direction.
        let text = profile.width_mapping_rule(text).ok()?;
        if !is_identifier(&text) {
            return None;
        }
        let text = profile.case_mapping_rule(text).ok()?;
        profile.directionality_rule(nfc(text)).ok()
    })
}

/// Whether the text is one or more characters of the IdentifierClass (RFC 8264 4.2), contextual rules
/// included.
pub(crate) fn is_identifier(text: &str) -> bool {
    is_allowed(text, Class::Identifier)
}

/// The two string classes of RFC 8264 4.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Identifier,
    Freeform,
}

/// The derived property of a character (RFC 8264 8), with both classes' "valid in this one only" as
/// [`Property::FreeformOnly`]. What is unassigned is disallowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Property {
    Valid,
    FreeformOnly,
    Contextual,
    Disallowed,
}

/// Applies the rules again to what they changed: RFC 8264 7 wants a result that they no longer change,
/// and the same text prepared twice must be the same account.
fn stable<'a>(text: &'a str, rules: impl Fn(&str) -> Option<Cow<'_, str>>) -> Option<Cow<'a, str>> {
    match rules(text)? {
        Cow::Borrowed(_) => Some(Cow::Borrowed(text)),
        prepared => {
            let prepared = prepared.into_owned();
            (rules(&prepared)? == prepared.as_str()).then_some(Cow::Owned(prepared))
        }
    }
}

fn is_allowed(text: &str, class: Class) -> bool {
    let mut contextual = false;
    let valid = text.chars().all(|c| match property(c) {
        Property::Valid => true,
        Property::FreeformOnly => class == Class::Freeform,
        Property::Contextual => {
            contextual = true;
            true
        }
        Property::Disallowed => false,
    });
    valid && !text.is_empty() && (!contextual || is_context_valid(text))
}

/// RFC 8264 8, in the order given there.
fn property(c: char) -> Property {
    match c {
        // RFC 8264 9.6: the exceptions of RFC 5892 2.6. (RFC 8264 9.7 is empty.)
        'ß' | 'ς' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' => return Property::Valid,
        '\u{b7}' | '\u{375}' | '\u{5f3}' | '\u{5f4}' | '\u{30fb}' => return Property::Contextual,
        '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' => return Property::Contextual,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' => return Property::Disallowed,
        '\u{3031}'..='\u{3035}' | '\u{303b}' => return Property::Disallowed,
        '!'..='~' => return Property::Valid,
        '\u{200c}' | '\u{200d}' => return Property::Contextual,
        _ if is_old_hangul_jamo(c) || is_ignorable(c) => return Property::Disallowed,
        _ => {}
    }
    match c.general_category() {
        Gc::Control
        | Gc::Unassigned
        | Gc::PrivateUse
        | Gc::Surrogate
        | Gc::Format
        | Gc::LineSeparator
        | Gc::ParagraphSeparator => Property::Disallowed,
        // RFC 8264 9.1, unless 9.17 comes first. What has a compatibility form is an assigned letter,
        // mark, number, symbol, punctuation or space, and so always valid in the FreeformClass.
        Gc::LowercaseLetter
        | Gc::UppercaseLetter
        | Gc::OtherLetter
        | Gc::DecimalNumber
        | Gc::ModifierLetter
        | Gc::NonspacingMark
        | Gc::SpacingMark
            if !has_compat(c) =>
        {
            Property::Valid
        }
        _ => Property::FreeformOnly,
    }
}

/// RFC 8264 9.9: conjoining jamo, Hangul_Syllable_Type L, V or T.
fn is_old_hangul_jamo(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7c6}'
        | '\u{d7cb}'..='\u{d7fb}')
}

/// RFC 8264 9.13: Default_Ignorable_Code_Point (whose ranges Unicode reserves for good) and
/// noncharacters.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// RFC 8264 9.17: NFKC makes something else of it.
fn has_compat(c: char) -> bool {
    let mut form = std::iter::once(c).nfkc();
    form.next() != Some(c) || form.next().is_some()
}

/// The contextual rules of RFC 5892 appendix A, in one pass.
fn is_context_valid(text: &str) -> bool {
    let (mut arabic, mut extended, mut middle_dot) = (false, false, false);
    for (at, c) in text.char_indices() {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let (previous, next) = (before.chars().next_back(), after.chars().next());
        let valid = match c {
            '\u{200c}' => previous.is_some_and(is_virama) || breaks_cursive(before, after),
            '\u{200d}' => previous.is_some_and(is_virama),
            '\u{b7}' => previous == Some('l') && next == Some('l'),
            // The script of what follows (Greek) or goes before (Hebrew). The signs have it themselves.
            '\u{375}' => next.is_some_and(|next| next == c || table_allows(&[c, next])),
            '\u{5f3}' | '\u{5f4}' => previous.is_some_and(|previous| {
                matches!(previous, '\u{5f3}' | '\u{5f4}') || table_allows(&[previous, c])
            }),
            '\u{30fb}' => {
                middle_dot = true;
                true
            }
            '\u{660}'..='\u{669}' => {
                arabic = true;
                true
            }
            '\u{6f0}'..='\u{6f9}' => {
                extended = true;
                true
            }
            _ => true,
        };
        if !valid {
            return false;
        }
    }
    !(arabic && extended) && (!middle_dot || text.chars().any(is_japanese))
}

/// Canonical_Combining_Class Virama.
fn is_virama(c: char) -> bool {
    canonical_combining_class(c) == 9
}

/// RFC 5892 A.1: ZWNJ between letters that would join. Marks are transparent to joining.
fn breaks_cursive(before: &str, after: &str) -> bool {
    let is_mark = |c: &char| matches!(c.general_category(), Gc::NonspacingMark | Gc::EnclosingMark);
    let previous = before.chars().rev().find(|c| !is_mark(c));
    let next = after.chars().find(|c| !is_mark(c));
    matches!((previous, next), (Some(p), Some(n)) if table_allows(&[p, '\u{200c}', n]))
}

/// RFC 5892 A.7: Hiragana, Katakana or Han.
fn is_japanese(c: char) -> bool {
    !c.is_ascii() && c != '\u{30fb}' && table_allows(&[c, '\u{30fb}'])
}

/// Asks the published tables about a few characters in context.
fn table_allows(context: &[char]) -> bool {
    FreeformClass::default().allows(context.iter().collect::<String>()).is_ok()
}

/// RFC 8265 4.2.2: a space other than U+0020.
fn is_other_space(c: char) -> bool {
    c != ' ' && c.general_category() == Gc::SpaceSeparator
}

fn nfc<'a>(text: Cow<'a, str>) -> Cow<'a, str> {
    if is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) }
}

/// Maps the characters that `which` names, allocating only where there is one.
fn map_chars(text: &str, which: fn(char) -> bool, to: fn(char) -> char) -> Cow<'_, str> {
    if text.contains(which) {
        Cow::Owned(text.chars().map(|c| if which(c) { to(c) } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}
