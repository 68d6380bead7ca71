//! Where a domain's XMPP service is: SRV records of both kinds as one list (RFC 6120 3.2, RFC 2782, XEP-0368).

use hickory_resolver::{TokioResolver, net::NetError, proto::rr::RData};
use std::io;

/// The port of a domain that has no SRV records (RFC 6120 3.2.2).
const CLIENT_PORT: u16 = 5222;
/// Targets that are tried of one domain: more records than this help nobody but an attacker.
const TARGETS: usize = 8;

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its host name, or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes before the stream (XEP-0368).
    pub direct_tls: bool,
}

/// Asks the name servers that the system is configured with; keeps what they say as long as they allow.
pub struct Resolver(TokioResolver);

impl Resolver {
    /// A resolver by the system's configuration.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn system() -> io::Result<Self> {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Ok(Self(resolver.map_err(io::Error::other)?))
    }

    /// Where clients of this domain connect, in the order to try.
    ///
    /// # Errors
    /// The domain says that it has no such service.
    pub async fn clients(&self, domain: &str) -> io::Result<Vec<Target>> {
        let (plain, direct) = tokio::join!(
            self.0.srv_lookup(format!("_xmpp-client._tcp.{domain}.")),
            self.0.srv_lookup(format!("_xmpps-client._tcp.{domain}.")),
        );
        let mut records = Vec::new();
        for (answer, direct_tls) in [(plain, false), (direct, true)] {
            records.extend(found(answer, direct_tls));
        }
        targets(domain, records, &mut dice)
    }
}

/// An SRV record.
#[derive(Debug, Clone)]
struct Record {
    priority: u16,
    weight: u16,
    target: Target,
}

/// The records of an answer. No answer is none: then the domain itself is tried (RFC 6120 3.2.1).
fn found(
    answer: Result<hickory_resolver::lookup::Lookup, NetError>,
    direct_tls: bool,
) -> Vec<Record> {
    let lookup = match answer {
        Ok(lookup) => lookup,
        Err(error) => {
            tracing::debug!(%error, direct_tls, "no SRV records");
            return Vec::new();
        }
    };
    let record = |data: &RData| match data {
        RData::SRV(srv) => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            target: Target { host: srv.target.to_ascii(), port: srv.port, direct_tls },
        }),
        _ => None,
    };
    lookup.answers().iter().filter_map(|answer| record(&answer.data)).collect()
}

/// Records of both kinds are one set (XEP-0368 3): by priority, and among equals by weight and luck (RFC 2782).
/// `dice` gives a number below its argument, which is never 0.
fn targets(
    domain: &str,
    mut records: Vec<Record>,
    dice: &mut dyn FnMut(u32) -> u32,
) -> io::Result<Vec<Target>> {
    if records.is_empty() {
        return Ok(vec![Target { host: domain.into(), port: CLIENT_PORT, direct_tls: false }]);
    }
    // RFC 2782, XEP-0368 3: the root as target says that there is no such service here.
    records.retain(|record| record.target.host != ".");
    if records.is_empty() {
        let error = format!("{domain} says that it has no XMPP service for clients");
        return Err(io::Error::other(error));
    }
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::new();
    while let Some(first) = records.first()
        && ordered.len() < TARGETS
    {
        let equals = records.iter().take_while(|one| one.priority == first.priority);
        let total: u32 = equals.map(|one| u32::from(one.weight)).sum();
        let mut left = dice(total.saturating_add(1));
        let chosen = records.iter().position(|one| {
            let weight = u32::from(one.weight);
            let chosen = left <= weight;
            left = left.saturating_sub(weight);
            chosen
        });
        ordered.push(records.remove(chosen.unwrap_or(0)).target);
    }
    Ok(ordered)
}

fn dice(below: u32) -> u32 {
    let mut bytes = [0; 8];
    crate::random::fill(&mut bytes);
    let number = u64::from_le_bytes(bytes) % u64::from(below);
    u32::try_from(number).expect("it is below a u32")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str, direct_tls: bool) -> Record {
        let target = Target { host: host.into(), port: 5222, direct_tls };
        Record { priority, weight, target }
    }

    fn hosts(records: Vec<Record>, dice: &mut dyn FnMut(u32) -> u32) -> Vec<String> {
        let targets = targets("example.org", records, dice).expect("there is a service");
        targets.into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn without_records_the_domain_itself_is_tried() {
        let targets = targets("example.org", Vec::new(), &mut |_| 0).expect("a target");
        let itself = Target { host: "example.org".into(), port: 5222, direct_tls: false };
        assert_eq!(targets, [itself]);
    }

    #[test]
    fn the_root_says_that_there_is_no_service() {
        targets("example.org", vec![record(0, 0, ".", false)], &mut |_| 0).expect_err("none");
        // Of one kind only: the other stands.
        let records = vec![record(0, 0, ".", false), record(5, 0, "a", true)];
        assert_eq!(hosts(records, &mut |_| 0), ["a"]);
    }

    #[test]
    fn both_kinds_are_one_list_by_priority() {
        let records = vec![
            record(20, 0, "last", false),
            record(10, 0, "middle", true),
            record(5, 0, "first", false),
        ];
        assert_eq!(hosts(records, &mut |_| 0), ["first", "middle", "last"]);
    }

    #[test]
    fn among_equals_the_weights_decide() {
        let records = || vec![record(0, 10, "light", false), record(0, 90, "heavy", true)];
        for (rolled, first) in [(0, "light"), (10, "light"), (11, "heavy"), (100, "heavy")] {
            let mut bounds = Vec::new();
            let mut dice = |below| {
                bounds.push(below);
                rolled.min(below - 1)
            };
            assert_eq!(hosts(records(), &mut dice)[0], first, "rolled {rolled}");
            assert_eq!(bounds[0], 101, "from 0 to the sum of the weights");
        }
    }

    #[test]
    fn no_more_than_a_few_targets_are_tried() {
        let records = (0..100).map(|n| record(n, 0, "x", false)).collect();
        assert_eq!(hosts(records, &mut |_| 0).len(), TARGETS);
    }
}
