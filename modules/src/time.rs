//! XEP-0202: Entity Time, and time stamps as XMPP writes them (XEP-0082).

use jiff::Timestamp;
use router::{At, Declare, Module};
use std::{sync::Arc, time::SystemTime};
use xmpp_core::{ns, stanza::IqType, xml::Writer};

/// Tells the server's time, in UTC.
pub(crate) struct Time;

impl Module for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(202, "Entity Time", "2.0");
        declare.feature(At::Server, ns::TIME);
        declare.answer(IqType::Get, (ns::TIME, "time"), [At::Server], |request| {
            let now = stamp(request.router.environment().now());
            let mut out = Writer::new();
            out.open_ns("time", ns::TIME);
            out.open("tzo").text("+00:00").close();
            out.open("utc").text(&now).close().close();
            Ok(out.finish().into())
        });
    }
}

/// A moment in UTC, to the millisecond (XEP-0082 3.2).
pub(crate) fn stamp(at: SystemTime) -> String {
    // Moments that the calendar cannot name are as good as its first.
    let timestamp = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Reads a moment (XEP-0082 3.2): a date, `T`, a time with or without a fraction, and an offset or `Z`.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let is = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
                b'd' => b.is_ascii_digit(),
                b'+' => matches!(b, b'+' | b'-'),
                p => b == p,
            })
    };
    let (time, rest) = rest.split_at_checked(9)?;
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |fraction| 1 + fraction.bytes().take_while(u8::is_ascii_digit).count());
    let offset = &rest[digits..];
    let known = is(date, "dddd-dd-dd")
        && is(time, "Tdd:dd:dd")
        && (digits != 1)
        && (offset == "Z" || is(offset, "+dd:dd"));
    // The calendar's own rules, and seconds that are inserted.
    let timestamp: Timestamp = known.then(|| text.parse().ok())??;
    Some(timestamp.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn xep0082_3_2_moments_are_read_in_every_form_and_in_no_other() {
        let millis = |text: &str| {
            let at = parse(text)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(at.as_millis())
        };
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("1970-01-01T00:00:01.123456789Z", 1_123),
            ("1970-01-01T02:00:00+01:30", 1_800_000),
            ("1969-12-31T23:00:00-02:00", 3_600_000),
            ("2002-09-10T23:08:25.250Z", 1_031_699_305_250),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert!(parse("1969-07-21T02:56:15Z").is_some_and(|at| at < SystemTime::UNIX_EPOCH));
        for text in [
            "",
            "now",
            "2002-09-10",
            "20020910T23:08:25",
            "2002-09-10T23:08:25",
            "2002-09-10 23:08:25Z",
            "2002-09-10t23:08:25z",
            "2002-09-10T23:08Z",
            "2002-09-10T23:08:25.Z",
            "2002-09-10T23:08:25,5Z",
            "2002-13-10T23:08:25Z",
            "2002-02-30T23:08:25Z",
            "2002-09-10T24:08:25Z",
            "2002-09-10T23:08:25+0100",
            "2002-09-10T23:08:25+01",
            "2002-09-10T23:08:25Z ",
            "2002-09-10T23:08:25Z[UTC]",
            "-02002-09-10T23:08:25Z",
            "12002-09-10T23:08:25Z",
            "2002-09-1\u{e9}T23:08:25Z",
            "2002-09-10T23:08:\u{e9}Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn xep0082_stamps_are_in_utc_and_end_in_z() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_031_699_305_250);
        assert_eq!(stamp(at), "2002-09-10T23:08:25.250Z");
        assert_eq!(stamp(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
