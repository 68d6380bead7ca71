use super::*;

const FOR: &str = "X-Forwarded-For";
const PROTO: &str = "X-Forwarded-Proto";
const BOTH: &str = "Forwarded";

type Lines<'a> = &'a [(&'a str, &'a [u8])];

/// What proxies on loopback and in 10.0.0.0/8 tell.
fn of(lines: Lines<'_>) -> Result<Option<Told>, Contradiction> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: http::HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    let proxies = ["127.0.0.0/8", "10.0.0.0/8"].map(|net| net.parse().expect("a network"));
    told(&headers, |address| is_within(&proxies, address))
}

fn visitor(address: &str, secure: Option<bool>) -> Told {
    let address = (!address.is_empty()).then(|| address.parse().expect("an address"));
    Told { address, secure }
}

#[test]
fn b08_forwarded_is_read_from_the_right() {
    for (value, address, secure) in [
        // RFC 7239 4 and 7.1
        ("for=192.0.2.43", "192.0.2.43", None),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17", None),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60", Some(false)),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17", None),
        ("for=192.0.2.43, for=10.0.0.1", "192.0.2.43", None),
        ("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=10.0.0.1", "2001:db8:cafe::17", None),
        ("for=_hidden, for=_SEVKISEK", "", None),
        ("for=unknown", "", None),
        ("for=\"_gazonk\"", "", None),
        // How, of the visitor's own connection: what proxies say to each other is their concern.
        ("for=192.0.2.1;proto=https, for=10.0.0.1;proto=http", "192.0.2.1", Some(true)),
        ("for=192.0.2.1;proto=http, for=10.0.0.1;proto=https", "192.0.2.1", Some(false)),
        ("for=192.0.2.1;proto=https, for=192.0.2.2", "192.0.2.2", None),
        ("for=192.0.2.1;PROTO=\"HTTPS\"", "192.0.2.1", Some(true)),
        ("proto=https;for=192.0.2.1", "192.0.2.1", Some(true)),
        ("for=192.0.2.1;proto=wss", "192.0.2.1", Some(true)),
        ("for=192.0.2.1;proto=httpss", "192.0.2.1", Some(false)),
        ("for=127.0.0.1;proto=https", "", Some(true)),
        ("proto=https", "", Some(true)),
        ("for=192.0.2.9, proto=https", "", Some(true)),
        // Forms of an address.
        ("for=\"192.0.2.43:47011\"", "192.0.2.43", None),
        ("for=\"192.0.2.43:_port\"", "192.0.2.43", None),
        ("for=\"[::ffff:192.0.2.43]\"", "192.0.2.43", None),
        ("for=[2001:db8::1]", "2001:db8::1", None),
        ("for=\"2001:db8::1\"", "2001:db8::1", None),
        ("for=\"\\1\\9\\2.0.2.43\"", "192.0.2.43", None),
        ("for=\"[2001:db8::1\"", "", None),
        ("for=\"[2001:db8::1]4711\"", "", None),
        ("for=\"[2001:db8::1]:\"", "", None),
        ("for=\"192.0.2.43:\"", "", None),
        ("for=\"192.0.2.43 \"", "", None),
        ("for=192.0.2.043", "", None),
        ("for=visitor.example", "", None),
        ("for=", "", None),
        ("", "", None),
        // Room, and nothing at all, between elements and pairs.
        (" for=192.0.2.1 ;\tproto=https ,, ", "192.0.2.1", Some(true)),
        ("for=192.0.2.1;;proto=https;", "192.0.2.1", Some(true)),
        // What is none.
        ("192.0.2.1", "", None),
        ("for=192.0.2.1;for=192.0.2.2", "", None),
        ("for=192.0.2.1;proto=https;proto=http", "", None),
        ("for=192.0.2.1;secure", "", None),
        ("for =192.0.2.1", "", None),
        ("for= 192.0.2.1", "", None),
        // Other things that a proxy says.
        ("for=192.0.2.1;host=\"a,b;c\";by=_x;ext=\"\\\",\"", "192.0.2.1", None),
    ] {
        assert_eq!(of(&[(BOTH, value.as_bytes())]), Ok(Some(visitor(address, secure))), "{value}");
    }
}

#[test]
fn b08_what_a_visitor_invents_changes_nothing_of_what_a_proxy_appends() {
    for invented in [
        "for=198.51.100.1",
        "for=10.0.0.1",
        "for=127.0.0.1;proto=https",
        "for=\"",
        "for=\"198.51.100.1",
        "for=\"\\",
        "\"\"\"",
        "\\",
        ";",
        "=",
        "for=198.51.100.1;host=\"",
        "\u{ff}",
        "for=\u{ff}\"",
    ] {
        let invented: Vec<u8> =
            invented.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect();
        for appended in ["for=192.0.2.1;proto=http", "for=\"192.0.2.1:1\";proto=\"http\""] {
            let line = [&invented, &b", "[..], appended.as_bytes()].concat();
            let shown = String::from_utf8_lossy(&line).into_owned();
            assert_eq!(
                of(&[(BOTH, &line)]),
                Ok(Some(visitor("192.0.2.1", Some(false)))),
                "{shown}"
            );
            // In a line of its own.
            let lines: Lines<'_> = &[(BOTH, &invented), (BOTH, appended.as_bytes())];
            assert_eq!(of(lines), Ok(Some(visitor("192.0.2.1", Some(false)))), "{shown}");
        }
        let line = [&invented, &b", 192.0.2.1"[..]].concat();
        assert_eq!(of(&[(FOR, &line)]), Ok(Some(visitor("192.0.2.1", None))));
        let line = [&invented, &b", http"[..]].concat();
        assert_eq!(of(&[(PROTO, &line)]), Ok(Some(visitor("", Some(false)))));
    }
}

#[test]
fn b08_x_forwarded_for_is_read_from_the_right() {
    assert_eq!(of(&[]), Ok(None));
    for (values, address) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (&["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        (&["198.51.100.1, 192.0.2.1, 10.0.0.7", "127.0.0.1,10.1.1.1"], "192.0.2.1"),
        (&["192.0.2.1, "], "192.0.2.1"),
        (&["192.0.2.1:4711"], "192.0.2.1"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:80"], "2001:db8::1"),
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1, unknown"], ""),
        (&["192.0.2.1, unknown, 10.0.0.1"], ""),
        (&["10.0.0.1"], ""),
        (&[""], ""),
        (&["for=192.0.2.1"], ""),
    ] {
        let lines: Vec<_> = values.iter().map(|value| (FOR, value.as_bytes())).collect();
        assert_eq!(of(&lines), Ok(Some(visitor(address, None))), "{values:?}");
    }
    for (value, secure) in
        [("https", true), ("HTTPS", true), ("wss", true), ("http", false), ("https, http", false)]
    {
        assert_eq!(
            of(&[(PROTO, value.as_bytes())]),
            Ok(Some(visitor("", Some(secure)))),
            "{value}"
        );
    }
}

#[test]
fn b08_where_both_kinds_are_there_they_have_to_agree() {
    let one = Ok(Some(visitor("192.0.2.1", Some(true))));
    for (lines, told) in [
        (
            &[(BOTH, &b"for=192.0.2.1;proto=https"[..]), (FOR, b"192.0.2.1"), (PROTO, b"https")][..],
            &one,
        ),
        (&[(BOTH, b"for=\"192.0.2.1:99\";proto=https"), (FOR, b"198.51.100.1, 192.0.2.1")], &one),
        (&[(BOTH, b"for=192.0.2.1"), (PROTO, b"https")], &one),
        (&[(BOTH, b"for=192.0.2.1"), (FOR, b"192.0.2.1"), (PROTO, b"https")], &one),
        // The visitor wrote one of them, to be somebody else or nobody.
        (&[(BOTH, b"for=198.51.100.1;proto=https"), (FOR, b"192.0.2.1")], &Err(Contradiction)),
        (&[(BOTH, b"for=192.0.2.1;proto=https"), (FOR, b"198.51.100.1")], &Err(Contradiction)),
        (&[(BOTH, b"for=unknown"), (FOR, b"192.0.2.1")], &Err(Contradiction)),
        (&[(BOTH, b"for=192.0.2.1"), (FOR, b"unknown")], &Err(Contradiction)),
        (&[(BOTH, b"nonsense"), (FOR, b"192.0.2.1")], &Err(Contradiction)),
        (&[(BOTH, b"for=192.0.2.1"), (FOR, b"")], &Err(Contradiction)),
        // Or to be safe.
        (
            &[(BOTH, b"for=192.0.2.1;proto=https"), (FOR, b"192.0.2.1"), (PROTO, b"http")],
            &Err(Contradiction),
        ),
        (&[(BOTH, b"for=192.0.2.1;proto=http"), (PROTO, b"https")], &Err(Contradiction)),
    ] {
        assert_eq!(&of(lines), told, "{lines:?}");
    }
}
