//! What a server's processes use, from `/proc`.

use anyhow::Context;
use std::{fs, time::Duration};

/// Ticks of a second in `/proc/PID/stat`: Linux shows user programs this many on every architecture that we know.
const TICKS: u64 = 100;

/// All processes of a group.
#[derive(Debug, Clone, Copy)]
pub struct Group(u32);

impl Group {
    /// The group that this process leads.
    #[must_use]
    pub fn of(leader: u32) -> Self {
        Self(leader)
    }

    /// The processor time that they have used, in user space and in the kernel: to the nanosecond, or to twenty milliseconds where
    /// threads of theirs have ended.
    ///
    /// # Errors
    /// There is none.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let members = self.members()?;
        Ok(members.iter().map(|(_, cpu)| *cpu).sum())
    }

    /// Bytes of memory that are theirs: what several processes share counts in parts (PSS).
    ///
    /// # Errors
    /// There is none.
    pub fn memory(self) -> anyhow::Result<u64> {
        let mut kib = 0;
        for (process, _) in self.members()? {
            let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let number = line.and_then(|line| line.split_whitespace().next()).context("no Pss")?;
            kib += number.parse::<u64>()?;
        }
        Ok(kib * 1024)
    }

    /// Each process with its processor time.
    fn members(self) -> anyhow::Result<Vec<(u32, Duration)>> {
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended meanwhile is nobody's.
            let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
            let (group, cpu) = read(&stat).context("/proc/PID/stat")?;
            if group == self.0 {
                members.push((process, cpu.max(threads(process))));
            }
        }
        anyhow::ensure!(!members.is_empty(), "the server has ended");
        Ok(members)
    }
}

/// The processor time of this process.
///
/// # Errors
/// `/proc` is not there.
pub fn own_cpu() -> anyhow::Result<Duration> {
    let (_, cpu) = read(&fs::read_to_string("/proc/self/stat")?).context("/proc/self/stat")?;
    Ok(cpu.max(threads(std::process::id())))
}

/// What the scheduler has counted of a process's threads, as far as they are there (proc_pid_schedstat(5)): nothing, where it counts
/// nothing.
fn threads(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let counts = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let counts = fs::read_to_string(task.path().join("schedstat")).ok()?;
        counts.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    });
    counts.sum()
}

/// Group and processor time (proc_pid_stat(5)): fields 5, 14 and 15; the name in parentheses may hold anything.
fn read(stat: &str) -> Option<(u32, Duration)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((fields.get(2)?.parse().ok()?, Duration::from_millis(ticks * 1000 / TICKS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let stat = "7 (a) R 1) S 1 42 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 1 1 1";
        assert_eq!(read(stat), Some((42, Duration::from_millis(1_750))));
    }

    #[test]
    fn time_that_is_used_counts() {
        let before = own_cpu().unwrap();
        while own_cpu().unwrap() < before + Duration::from_millis(20) {}
        assert!(threads(std::process::id()) > Duration::ZERO, "the scheduler counts here");
        assert_eq!(threads(0), Duration::ZERO);
    }
}
