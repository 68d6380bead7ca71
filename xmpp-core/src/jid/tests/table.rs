//! A table of addresses: what they become, or which part refuses, and why.

use super::*;

/// `Ok(prepared)`, or the part that is at fault.
type Expected = Result<&'static str, JidError>;

const LOCAL: Expected = Err(JidError::Local);
const DOMAIN: Expected = Err(JidError::Domain);
const RESOURCE: Expected = Err(JidError::Resource);

const SEPARATORS: &[(&str, Expected, &str)] = &[
    ("", DOMAIN, "nothing"),
    ("@", LOCAL, "empty local part"),
    ("/", DOMAIN, "empty domain"),
    ("@/", LOCAL, "empty local part"),
    ("@b", LOCAL, "an `@` needs a local part"),
    ("a@", DOMAIN, "empty domain"),
    ("a@/r", DOMAIN, "empty domain before a resource"),
    ("/r", DOMAIN, "a resource alone"),
    ("a@b/", RESOURCE, "a `/` needs a resource"),
    ("b/", RESOURCE, "a `/` needs a resource"),
    ("a@b@c", DOMAIN, "the first `@` separates"),
    ("a@b@c/r", DOMAIN, "the first `@` separates"),
    ("a@b/@", Ok("a@b/@"), "`@` in a resource"),
    ("a@b//", Ok("a@b//"), "`/` in a resource"),
    ("b/a@c/d", Ok("b/a@c/d"), "the first `/` ends the domain"),
    ("a/b@c", Ok("a/b@c"), "the first `/` comes before the `@`"),
    (" a@b", LOCAL, "white space is not trimmed"),
    ("a@b ", DOMAIN, "white space is not trimmed"),
];

const DOMAINS: &[(&str, Expected, &str)] = &[
    ("example.com", Ok("example.com"), "plain"),
    ("EXAMPLE.Com", Ok("example.com"), "lower case"),
    ("localhost", Ok("localhost"), "one label"),
    ("example.com.", Ok("example.com"), "a trailing dot is not part of it (RFC 7622 3.2)"),
    ("EXAMPLE.com./r", Ok("example.com/r"), "a trailing dot before a resource"),
    ("example.com..", DOMAIN, "empty label"),
    (".", DOMAIN, "the root"),
    (".com", DOMAIN, "empty label"),
    ("a..b", DOMAIN, "empty label"),
    ("-a.com", DOMAIN, "hyphen first"),
    ("a-.com", DOMAIN, "hyphen last"),
    ("a-b.com", Ok("a-b.com"), "inner hyphen"),
    ("r3---sn.com", Ok("r3---sn.com"), "hyphens in third and fourth place, without xn"),
    ("a_b.com", DOMAIN, "underscore is not LDH"),
    ("a b.com", DOMAIN, "space"),
    ("a!b.com", DOMAIN, "symbol"),
    ("a:5222", DOMAIN, "a port"),
    ("a\u{0}b", DOMAIN, "NUL"),
    ("a\nb", DOMAIN, "line feed"),
    ("127.0.0.1", Ok("127.0.0.1"), "IPv4"),
    ("[::1]", Ok("[::1]"), "IPv6"),
    ("[2001:DB8:0:0:0:0:0:1]", Ok("[2001:db8::1]"), "IPv6, one form per address"),
    ("a@[2001:db8::1]/r", Ok("a@[2001:db8::1]/r"), "IPv6 with the other parts"),
    ("::1", DOMAIN, "IPv6 without brackets"),
    ("[::1", DOMAIN, "bracket not closed"),
    ("[::1].", DOMAIN, "dot after an address"),
    ("[127.0.0.1]", DOMAIN, "IPv4 in brackets"),
    ("[fe80::1%eth0]", DOMAIN, "a zone has no meaning elsewhere"),
    ("[]", DOMAIN, "empty brackets"),
    ("münchen.de", Ok("münchen.de"), "U-label"),
    ("MÜNCHEN.de", Ok("münchen.de"), "U-label, lower case"),
    ("mu\u{308}nchen.de", Ok("münchen.de"), "U-label, NFC"),
    ("xn--mnchen-3ya.de", Ok("münchen.de"), "the A-label is the same domain"),
    ("XN--MNCHEN-3YA.de", Ok("münchen.de"), "the A-label in capitals"),
    ("xn--mnchen-3ya.de.", Ok("münchen.de"), "the A-label with a trailing dot"),
    ("straße.de", Ok("straße.de"), "non-transitional: ß is not ss"),
    ("faß。de", Ok("faß.de"), "ideographic full stop"),
    ("münchen。", Ok("münchen"), "ideographic full stop at the end"),
    ("ＥＸＡＭＰＬＥ.com", Ok("example.com"), "full-width letters"),
    ("例え.jp", Ok("例え.jp"), "Japanese"),
    ("пример.рф", Ok("пример.рф"), "Cyrillic"),
    ("xn--e1afmkfd.xn--p1ai", Ok("пример.рф"), "Cyrillic by A-labels"),
    ("exаmple.com", Ok("exаmple.com"), "a Cyrillic а stays distinct"),
    ("אבג.example", Ok("אבג.example"), "Hebrew"),
    ("1אבג.example", DOMAIN, "bidi rule: a right-to-left name starts with a letter"),
    ("אaב.example", DOMAIN, "bidi rule: left-to-right letter inside"),
    ("xn--a.com", DOMAIN, "no Punycode"),
    ("xn--.com", DOMAIN, "empty Punycode"),
    ("xn--abc-.com", DOMAIN, "an A-label of plain ASCII"),
    ("xn--ab\u{fc}.com", DOMAIN, "an A-label with a letter that is not ASCII"),
    ("♥.com", DOMAIN, "symbols are not in IDNA2008"),
    ("🥰.com", DOMAIN, "emoji are not in IDNA2008"),
    ("xn--g6h.com", DOMAIN, "nor by A-label"),
    ("a\u{ad}b.com", Ok("ab.com"), "UTS #46 deletes the soft hyphen"),
    ("a\u{200b}b.com", Ok("ab.com"), "UTS #46 deletes the zero width space"),
    ("a\u{200d}b.com", DOMAIN, "a joiner without virama"),
    ("क्\u{200d}ष.com", Ok("क्\u{200d}ष.com"), "a joiner after a virama"),
    ("l·l.cat", Ok("l·l.cat"), "middle dot between l and l"),
    ("a·b.cat", DOMAIN, "middle dot elsewhere (RFC 5892 A.3)"),
    ("a\u{ff0f}b.com", DOMAIN, "a full-width solidus becomes `/`"),
    ("a\u{ff20}b.com", DOMAIN, "a full-width `@` does not separate"),
    ("℀.com", DOMAIN, "a/c in one character"),
    ("\u{378}.com", DOMAIN, "unassigned"),
    ("\u{301}a.com", DOMAIN, "a mark first"),
];

const LOCALS: &[(&str, Expected, &str)] = &[
    ("juliet@d", Ok("juliet@d"), "plain"),
    ("Juliet@d", Ok("juliet@d"), "lower case"),
    ("j.u-l_i+e=t!#$%*?^`{|}~@d", Ok("j.u-l_i+e=t!#$%*?^`{|}~@d"), "other ASCII signs"),
    ("a b@d", LOCAL, "space (RFC 8264 4.2)"),
    ("a\"b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a&b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a'b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a:b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a<b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a>b@d", LOCAL, "RFC 7622 3.3.1"),
    ("a\\40b@d", Ok("a\\40b@d"), "XEP-0106 escapes are ordinary characters"),
    ("a\tb@d", LOCAL, "tab"),
    ("a\u{0}@d", LOCAL, "NUL"),
    ("a\u{7f}@d", LOCAL, "delete"),
    ("a\u{85}@d", LOCAL, "C1 control"),
    ("Ａdmin@d", Ok("admin@d"), "full-width letter"),
    ("a\u{ff20}b@d", LOCAL, "full-width `@` becomes `@`"),
    ("a\u{ff0f}b@d", LOCAL, "full-width `/` becomes `/`"),
    ("a\u{ff06}b@d", LOCAL, "full-width `&` becomes `&`"),
    ("ｱ@d", Ok("ア@d"), "half-width katakana"),
    ("adm\u{ad}in@d", LOCAL, "soft hyphen"),
    ("adm\u{200b}in@d", LOCAL, "zero width space"),
    ("adm\u{feff}in@d", LOCAL, "byte order mark"),
    ("аdmin@d", Ok("аdmin@d"), "a Cyrillic а stays distinct from a"),
    ("ΑΒΓ@d", Ok("αβγ@d"), "Greek, lower case"),
    ("ΣΣ@d", Ok("σσ@d"), "sigma"),
    ("ς@d", Ok("ς@d"), "final sigma is a letter of its own (RFC 5892 2.6)"),
    ("Straße@d", Ok("straße@d"), "ß stays"),
    ("STRAẞE@d", Ok("straße@d"), "capital ß"),
    ("e\u{301}@d", Ok("é@d"), "NFC"),
    ("É@d", Ok("é@d"), "lower case and NFC"),
    ("\u{212b}ngstrom@d", LOCAL, "ångström sign has a compatibility form"),
    ("ﬁn@d", LOCAL, "ligature (RFC 7622 3.5 example)"),
    ("ª@d", LOCAL, "feminine ordinal indicator has a compatibility form"),
    ("²@d", LOCAL, "superscript"),
    ("Ⅳ@d", LOCAL, "Roman numeral (RFC 7622 3.5 example)"),
    ("♚@d", LOCAL, "symbol (RFC 7622 3.5 example)"),
    ("🥰@d", LOCAL, "emoji are symbols"),
    ("π@d", Ok("π@d"), "RFC 7622 3.5 example"),
    ("𞤢@d", Ok("𞤢@d"), "Adlam: Unicode 9"),
    ("𞤀@d", Ok("𞤢@d"), "Adlam, lower case"),
    ("Ꭰ@d", Ok("ꭰ@d"), "Cherokee: lower case since Unicode 8"),
    ("日本@d", Ok("日本@d"), "Han"),
    ("𰀀@d", Ok("𰀀@d"), "Han: Unicode 13"),
    ("가@d", Ok("가@d"), "Hangul syllable"),
    ("\u{1100}\u{1161}@d", LOCAL, "conjoining jamo (RFC 8264 9.9)"),
    ("٣\u{6f3}@d", LOCAL, "two kinds of Arabic digits (RFC 5892 A.8)"),
    ("ب٣@d", Ok("ب٣@d"), "Arabic letter and digit"),
    ("אבג@d", Ok("אבג@d"), "Hebrew"),
    ("אaב@d", LOCAL, "bidi rule (RFC 5893 2)"),
    ("1א@d", LOCAL, "bidi rule: digit first"),
    ("א׳@d", Ok("א׳@d"), "geresh after a Hebrew letter"),
    ("a׳@d", LOCAL, "geresh after a Latin letter (RFC 5892 A.5)"),
    ("\u{375}α@d", Ok("\u{375}α@d"), "keraia before a Greek letter"),
    ("\u{375}a@d", LOCAL, "keraia before a Latin letter (RFC 5892 A.4)"),
    ("l·l@d", Ok("l·l@d"), "middle dot between l and l"),
    ("L·L@d", LOCAL, "middle dot before lower case: the class is tested first"),
    ("ア・イ@d", Ok("ア・イ@d"), "katakana middle dot"),
    ("a・b@d", LOCAL, "katakana middle dot without Japanese (RFC 5892 A.7)"),
    ("क्\u{200d}ष@d", Ok("क्\u{200d}ष@d"), "joiner after a virama"),
    ("a\u{200d}b@d", LOCAL, "joiner elsewhere (RFC 5892 A.2)"),
    ("\u{200d}@d", LOCAL, "joiner alone"),
    ("ب\u{200c}ب@d", Ok("ب\u{200c}ب@d"), "non-joiner between letters that join"),
    ("a\u{200c}b@d", LOCAL, "non-joiner elsewhere (RFC 5892 A.1)"),
    ("\u{378}@d", LOCAL, "unassigned"),
    ("\u{e000}@d", LOCAL, "private use"),
    ("\u{fdd0}@d", LOCAL, "noncharacter"),
    ("\u{1fffe}@d", LOCAL, "noncharacter of another plane"),
    ("\u{640}@d", LOCAL, "tatweel (RFC 5892 2.6)"),
    ("\u{202e}a@d", LOCAL, "right-to-left override"),
];

const RESOURCES: &[(&str, Expected, &str)] = &[
    ("d/Orchard", Ok("d/Orchard"), "case is kept"),
    ("d/ ", Ok("d/ "), "a space"),
    ("d/a  b ", Ok("d/a  b "), "spaces are kept"),
    ("d/a\u{a0}b", Ok("d/a b"), "no-break space"),
    ("d/a\u{3000}b", Ok("d/a b"), "ideographic space"),
    ("d/\"&'/:<>@", Ok("d/\"&'/:<>@"), "signs of markup"),
    ("d/a\tb", RESOURCE, "tab"),
    ("d/a\nb", RESOURCE, "line feed"),
    ("d/a\u{0}b", RESOURCE, "NUL"),
    ("d/\u{9f}", RESOURCE, "C1 control"),
    ("d/Ａ", Ok("d/Ａ"), "width is kept"),
    ("d/e\u{301}", Ok("d/é"), "NFC"),
    ("d/ﬁ", Ok("d/ﬁ"), "compatibility forms are kept"),
    ("d/Ⅳ♚²", Ok("d/Ⅳ♚²"), "numerals and symbols"),
    ("d/😀", Ok("d/😀"), "emoji of 2010"),
    ("d/🥰", Ok("d/🥰"), "emoji of 2018"),
    ("d/🫩", Ok("d/🫩"), "emoji of 2024"),
    ("d/אaב", Ok("d/אaב"), "no bidi rule"),
    ("d/a\u{ad}b", RESOURCE, "soft hyphen"),
    ("d/a\u{200b}b", RESOURCE, "zero width space"),
    ("d/a\u{200d}b", RESOURCE, "joiner without a virama"),
    ("d/\u{202e}a", RESOURCE, "right-to-left override"),
    ("d/\u{2028}", RESOURCE, "line separator"),
    ("d/\u{fe0f}", RESOURCE, "variation selector is ignorable (RFC 8264 9.13)"),
    ("d/\u{e0001}", RESOURCE, "tag character"),
    ("d/\u{378}", RESOURCE, "unassigned"),
    ("d/\u{e000}", RESOURCE, "private use"),
    ("d/\u{ffff}", RESOURCE, "noncharacter"),
    ("d/\u{1100}", RESOURCE, "conjoining jamo"),
];

#[test]
fn p10_and_a13_table_of_addresses() {
    let mut wrong = Vec::new();
    for (text, expected, why) in [SEPARATORS, DOMAINS, LOCALS, RESOURCES].concat() {
        let prepared = text.parse::<Jid>();
        if prepared.as_ref().map(Jid::as_str).map_err(|e| *e) != expected {
            wrong.push(format!("{text:?} ({why}): {prepared:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a13_no_two_accounts_with_one_prepared_name() {
    let spellings = ["admin", "ADMIN", "Ａdmin", "ａｄｍｉｎ", "aDmin"];
    for spelling in spellings {
        assert_eq!(prepare_local(spelling).as_deref(), Some("admin"), "{spelling:?}");
    }
    for distinct in ["аdmin", "admın", "admín"] {
        assert_ne!(prepare_local(distinct).as_deref(), Some("admin"), "{distinct:?}");
    }
}
