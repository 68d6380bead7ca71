//! Runs each case at each door whole, byte by byte, and cut at many places; all must come to the same.

use crate::{
    case::{Case, Door, Expect, Seen, Stage},
    http,
    stream::Attacker,
    target::{Bystander, Target},
};

/// The most places at which one input is cut in memory.
const CUTS: usize = 24;
/// Of longer inputs only so many bytes at each end are sent byte by byte: what is wrong stands there.
const BYTES: usize = 256;

/// The ways to one and the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In the server's process: every cut is exactly where it should be.
    Memory,
    /// Over TCP, with STARTTLS where the stage is past it.
    Tcp,
    /// Over HTTP.
    Http,
}

/// Runs all cases against one server with these settings, and panics with the list of those that failed.
pub async fn run(cases: Vec<Case>, settings: &[&str]) {
    let target = Target::start(settings).await;
    let mut bystander = Bystander::enter(&target).await;
    let mut failures = Vec::new();
    for case in &cases {
        for way in [Way::Memory, Way::Tcp, Way::Http] {
            let door = if way == Way::Http { Door::Bosh } else { Door::Stream };
            let Some(expected) = case.expected(door) else { continue };
            for cuts in plans(case, way) {
                let seen = attack(&target, case, way, expected, &cuts).await;
                if !expected.allows(&seen) {
                    let wanted = expected.words();
                    let name = case.name;
                    failures.push(format!("{name} {way:?} {cuts:?}: {wanted}, but {seen:?}"));
                    break;
                }
            }
            // Whatever the answer was: nobody else may notice anything.
            bystander.ping().await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n"));
}

async fn attack(target: &Target, case: &Case, way: Way, expected: Expect, cuts: &[usize]) -> Seen {
    let silence = matches!(expected, Expect::Silence);
    let in_the_clear = matches!(case.stage, Stage::Fresh | Stage::Clear);
    let mut attacker = match way {
        Way::Memory => Attacker::in_memory(target, !in_the_clear),
        Way::Tcp => Attacker::over_tcp(target).await,
        Way::Http => {
            let mut attacker = http::Attacker::enter(target).await;
            return match attacker.advance(case.stage).await {
                Ok(()) => attacker.attack(case, silence, cuts).await,
                Err(error) => Seen::Wrong(format!("on the way: {error}")),
            };
        }
    };
    match attacker.advance(case.stage).await {
        Ok(()) => attacker.attack(case, silence, cuts).await,
        Err(error) => Seen::Wrong(format!("on the way: {error}")),
    }
}

/// Where the input is cut, once for each run: nowhere, everywhere, and at single places.
fn plans(case: &Case, way: Way) -> Vec<Vec<usize>> {
    // What is made of the server's words is about as long each time.
    let length = case.input.bytes(&Default::default()).len();
    let everywhere: Vec<_> =
        (1..length).filter(|at| *at <= BYTES || *at + BYTES >= length).collect();
    let singles: Vec<usize> = match way {
        Way::Memory => {
            let step = (length / CUTS).max(1);
            (1..length).filter(|at| at % step == 0 || *at + 1 == length).collect()
        }
        Way::Tcp | Way::Http => vec![length / 2],
    };
    let singles = singles.into_iter().filter(|at| (1..length).contains(at)).map(|at| vec![at]);
    [vec![], everywhere].into_iter().chain(singles).collect()
}
