use super::*;

fn limits() -> AddressLimits {
    AddressLimits { total: 1000, per_address: 3, new_per_minute: 100, trusted: Vec::new() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_has_so_many_connections_at_a_time() {
    let (book, now) = (AddressBook::new(limits()), Instant::now());
    let mut open: Vec<_> =
        (0..3).map(|_| book.admit(ip("192.0.2.1"), now).expect("under the limit")).collect();
    assert_eq!(book.admit(ip("192.0.2.1"), now).err(), Some(Refused::PerAddress));
    assert!(book.admit(ip("192.0.2.2"), now).is_ok(), "another address");
    open.pop();
    assert!(book.admit(ip("192.0.2.1"), now).is_ok(), "a place was given back");
    assert_eq!(book.open(), 2);
    drop(open);
    assert_eq!(book.open(), 0);
}

#[test]
fn what_each_limit_refused_is_counted() {
    let book = AddressBook::new(AddressLimits { total: 5, new_per_minute: 4, ..limits() });
    let now = Instant::now();
    let mut open: Vec<_> = Vec::new();
    for address in ["192.0.2.1", "192.0.2.2"] {
        open.extend((0..3).filter_map(|_| book.admit(ip(address), now).ok()));
    }
    assert!(book.admit(ip("192.0.2.1"), now).is_err());
    open.clear();
    for _ in 0..4 {
        drop(book.admit(ip("192.0.2.1"), now));
    }
    open.extend((0..4).filter_map(|_| book.admit(ip("192.0.2.3"), now).ok()));
    let (total, each, often) = (Refused::Total, Refused::PerAddress, Refused::TooOften);
    assert_eq!(book.refused(), [(total, 2), (each, 1), (often, 3)]);
}

#[test]
fn an_ipv6_64_is_one_address() {
    let (book, now) = (AddressBook::new(limits()), Instant::now());
    let _open: Vec<_> = (1..=3)
        .map(|host| book.admit(ip(&format!("2001:db8:0:1:{host}::{host}")), now).unwrap())
        .collect();
    assert_eq!(book.admit(ip("2001:db8:0:1:ffff::1"), now).err(), Some(Refused::PerAddress));
    assert!(book.admit(ip("2001:db8:0:2::1"), now).is_ok(), "another /64");
}

#[test]
fn ipv4_in_ipv6_is_ipv4() {
    let trusted = vec!["198.51.100.0/24".parse().unwrap()];
    let (book, now) = (AddressBook::new(AddressLimits { trusted, ..limits() }), Instant::now());
    let _open: Vec<_> = (0..3).map(|_| book.admit(ip("::ffff:192.0.2.1"), now).unwrap()).collect();
    assert_eq!(book.admit(ip("192.0.2.1"), now).err(), Some(Refused::PerAddress));
    assert!(book.admit(ip("::ffff:192.0.2.2"), now).is_ok(), "not all of ::/64 together");
    assert!(book.trusts(ip("::ffff:198.51.100.9")));
}

#[test]
fn an_address_makes_so_many_new_connections_per_minute() {
    let limits = AddressLimits { per_address: 1000, new_per_minute: 30, ..limits() };
    let (book, start) = (AddressBook::new(limits), Instant::now());
    let admit = |seconds| book.admit(ip("192.0.2.1"), start + Duration::from_secs(seconds));
    for _ in 0..30 {
        assert!(admit(0).is_ok(), "closing a connection does not make it one less");
    }
    assert_eq!(admit(0).err(), Some(Refused::TooOften));
    assert_eq!(admit(1).err(), Some(Refused::TooOften));
    assert!(admit(2).is_ok(), "one comes back every two seconds");
    assert_eq!(admit(2).err(), Some(Refused::TooOften));
    for _ in 0..30 {
        assert!(admit(62).is_ok());
    }
    assert_eq!(admit(62).err(), Some(Refused::TooOften));
}

#[test]
fn a_connection_that_authenticates_is_not_counted_as_new() {
    let limits = AddressLimits { per_address: 1000, new_per_minute: 2, ..limits() };
    let (book, now) = (AddressBook::new(limits), Instant::now());
    for _ in 0..10 {
        let mut permit = book.admit(ip("192.0.2.1"), now).expect("all before it authenticated");
        permit.authenticated();
        permit.authenticated();
    }
    let _open =
        [book.admit(ip("192.0.2.1"), now).unwrap(), book.admit(ip("192.0.2.1"), now).unwrap()];
    assert_eq!(book.admit(ip("192.0.2.1"), now).err(), Some(Refused::TooOften));
}

#[test]
fn trusted_addresses_are_not_limited() {
    let trusted = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let limits = AddressLimits { total: 1, per_address: 1, new_per_minute: 1, trusted };
    let (book, now) = (AddressBook::new(limits), Instant::now());
    let open: Vec<_> = (0..50).map(|_| book.admit(ip("127.0.0.9"), now).unwrap()).collect();
    assert!(book.admit(ip("::1"), now).is_ok());
    assert_eq!(book.admit(ip("192.0.2.1"), now).err(), Some(Refused::Total));
    drop(open);
    assert!(book.admit(ip("192.0.2.1"), now).is_ok());
}

#[test]
fn the_book_does_not_grow_with_the_addresses_seen() {
    let (book, now) = (AddressBook::new(limits()), Instant::now());
    let kept = book.admit(ip("192.0.2.1"), now).unwrap();
    for net in 0..3 * REMEMBERED as u128 {
        let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (net << 64));
        drop(book.admit(address.into(), now).unwrap());
    }
    assert!(book.pages().of.len() <= REMEMBERED);
    assert_eq!(book.pages().of.get(&ip("192.0.2.1")).map(|page| page.open), Some(1));
    drop(kept);
    assert_eq!(book.open(), 0);
}

#[test]
fn a08_an_address_fails_so_many_logins_per_minute() {
    let (attempts, start) =
        (Attempts::per_minute(10, vec!["127.0.0.0/8".parse().unwrap()]), Instant::now());
    let after = |seconds| start + Duration::from_secs(seconds);
    for _ in 0..10 {
        assert!(attempts.allowed(ip("2001:db8::1"), start));
        attempts.count(ip("2001:db8::1"), start);
    }
    assert!(!attempts.allowed(ip("2001:db8::2"), start), "the whole /64");
    assert!(attempts.allowed(ip("2001:db8:0:1::1"), start), "the victim from elsewhere");
    assert!(!attempts.allowed(ip("2001:db8::1"), after(5)));
    assert!(attempts.allowed(ip("2001:db8::1"), after(6)));
    for _ in 0..100 {
        attempts.count(ip("127.0.0.1"), start);
    }
    assert!(attempts.allowed(ip("::ffff:127.0.0.1"), start), "trusted");
}

#[test]
fn a08_attempts_under_way_together_are_paid_back() {
    let (attempts, start) = (Attempts::per_minute(10, Vec::new()), Instant::now());
    let address = ip("192.0.2.1");
    for _ in 0..20 {
        attempts.count(address, start);
    }
    assert!(!attempts.allowed(address, start + Duration::from_secs(65)));
    assert!(attempts.allowed(address, start + Duration::from_secs(66)));
    for _ in 0..10_000 {
        attempts.count(address, start);
    }
    assert!(attempts.allowed(address, start + MINUTE * MOST_DEBT), "but not for ever");
}

#[test]
fn r01_an_address_has_so_many_attempts_per_hour() {
    let (attempts, start) = (Attempts::per_hour(3, Vec::new()), Instant::now());
    let address = ip("192.0.2.1");
    for _ in 0..3 {
        assert!(attempts.allowed(address, start));
        attempts.count(address, start);
    }
    assert!(!attempts.allowed(address, start + Duration::from_secs(20 * 60 - 1)));
    assert!(attempts.allowed(address, start + Duration::from_secs(20 * 60)));
    assert!(!Attempts::per_hour(0, Vec::new()).allowed(address, start), "none is none");
}

#[test]
fn a08_failures_are_remembered_for_so_many_addresses() {
    let (attempts, now) = (Attempts::per_minute(10, Vec::new()), Instant::now());
    for host in 0..2 * u32::try_from(REMEMBERED).unwrap() {
        attempts.count(std::net::Ipv4Addr::from_bits(host).into(), now);
    }
    assert!(attempts.table().len() <= REMEMBERED);
}
