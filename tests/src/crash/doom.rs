//! Places where a server dies by itself, and faults that are planted in it: the crate `faults`, seen from outside.

use super::subject::log_in;
use crate::faults::Dice;
use anyhow::{Context, ensure};
use std::{fs, io, path::Path};

/// Where a server is to die, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doom {
    site: String,
    visit: u64,
}

impl Doom {
    /// Every site has its turn, each round with another neighbour in its run. In two rounds of three it is the first visit that
    /// is the last, since some are never visited twice; else any of the first some hundred, the earlier the likelier.
    pub fn of(sites: &[String], turn: u64, dice: &mut Dice) -> Self {
        let count = sites.len() as u64;
        let (round, place) = (turn / count, (turn + turn / count) % count);
        let site = sites[usize::try_from(place).expect("less than there are")].clone();
        let many = dice.among(0..9);
        let visit = if round % 3 < 2 { 1 } else { 1 + dice.among(0..1 << many) };
        Self { site, visit }
    }

    /// What tells the server.
    pub(super) fn environment(&self) -> (&'static str, String) {
        ("STONECHAT_DIES_AT", format!("{}:{}", self.site, self.visit))
    }

    /// Whether a server over this folder has said so with its last words.
    pub(super) fn has_come(&self, data: &Path) -> bool {
        let said = deaths(data).unwrap_or_default();
        said.last().is_some_and(|site| *site == self.site)
    }

    /// Whether it comes by there only while it stops in good order.
    pub(super) fn comes_at_the_end(&self) -> bool {
        self.site.starts_with("stop-")
    }
}

/// Where servers over this folder have died by themselves, one after the other, by what they said last.
///
/// # Errors
/// The log cannot be read.
pub(super) fn deaths(data: &Path) -> io::Result<Vec<String>> {
    let log = fs::read(log_in(data))?;
    let log = String::from_utf8_lossy(&log);
    Ok(log.lines().filter_map(|line| line.strip_prefix("dies at ")).map(str::to_owned).collect())
}

/// All sites of the product.
///
/// # Errors
/// Its sources cannot be read, or two sites have the same name.
pub fn sites() -> anyhow::Result<Vec<String>> {
    named("faults::site!(\"")
}

/// All faults that can be planted in it.
///
/// # Errors
/// Its sources cannot be read, or two faults have the same name.
pub fn faults() -> anyhow::Result<Vec<String>> {
    named("faults::planted!(\"")
}

/// The names that stand behind this in the sources, which say each of them once, in order.
fn named(before: &str) -> anyhow::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let mut names = Vec::new();
    for room in fs::read_dir(root)? {
        let room = room?.path();
        // The crate itself only tells how they are written.
        if !room.ends_with("faults") && !room.ends_with("tests") {
            collect(&room.join("src"), before, &mut names)?;
        }
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    ensure!(count > 0 && count == names.len(), "{count} names, and {} different ones", names.len());
    Ok(names)
}

fn collect(place: &Path, before: &str, names: &mut Vec<String>) -> io::Result<()> {
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            collect(&entry?.path(), before, names)?;
        }
    } else if place.extension().is_some_and(|extension| extension == "rs") {
        let source = fs::read_to_string(place)?;
        let behind = source.split(before).skip(1);
        names.extend(
            behind.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_has_its_turn_and_early_visits_come_first() {
        let sites = ["a", "b", "c"].map(str::to_owned);
        let mut dice = Dice::of(&[1]);
        let dooms: Vec<_> = (0..600).map(|turn| Doom::of(&sites, turn, &mut dice)).collect();
        for site in &sites {
            let visits: Vec<u64> =
                dooms.iter().filter(|doom| doom.site == *site).map(|doom| doom.visit).collect();
            assert_eq!(visits.len(), 200);
            assert!(visits.chunks_exact(3).all(|rounds| rounds[..2] == [1, 1]));
            assert!(visits.iter().any(|visit| *visit > 64));
        }
    }

    #[test]
    fn names_are_read_from_the_sources_and_are_different() {
        let (sites, faults) = (sites().expect("sites"), faults().expect("faults"));
        assert!(sites.len() >= 40, "{sites:?}");
        assert!(sites.iter().any(|site| site == "before-commit"));
        assert!(faults.len() >= 10, "{faults:?}");
        assert!(faults.iter().any(|fault| fault == "ack_before_commit"));
    }

    #[test]
    fn a_death_is_known_by_its_last_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = "INFO ready\ndies at b\nINFO dies at c\ndies at a\ndies at b\n";
        fs::write(log_in(folder.path()), said).expect("written");
        assert_eq!(deaths(folder.path()).expect("read"), ["b", "a", "b"]);
        let doom = |site: &str| Doom { site: site.into(), visit: 1 };
        assert!(doom("b").has_come(folder.path()) && !doom("a").has_come(folder.path()));
    }
}
