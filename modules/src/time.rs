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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn xep0082_stamps_are_in_utc_and_end_in_z() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_031_699_305_250);
        assert_eq!(stamp(at), "2002-09-10T23:08:25.250Z");
        assert_eq!(stamp(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
