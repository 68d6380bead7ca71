//! Where figures were measured.

use std::{fs, process::Command, thread};

/// A machine, and what was installed there.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The day, as `2026-01-31`.
    pub date: String,
    /// The processor.
    pub processor: String,
    /// How many of it there are.
    pub processors: usize,
    /// How busy it was before, by `/proc/loadavg`.
    pub load: String,
    /// The kernel.
    pub kernel: String,
    /// The servers' versions.
    pub versions: Vec<(&'static str, String)>,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn here() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let debian = |package| said("dpkg-query", &["-W", "-f=${Version}", package]);
        Self {
            date: said("date", &["-u", "+%Y-%m-%d"]),
            processor: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            versions: vec![
                ("stonechat", said("git", &["describe", "--always", "--dirty", "--exclude=*"])),
                ("rustc", said("rustc", &["-V"]).trim_start_matches("rustc ").to_owned()),
                ("prosody", debian("prosody")),
                ("lua5.4", debian("lua5.4")),
                ("ejabberd", debian("ejabberd")),
                ("erlang-base", debian("erlang-base")),
            ],
        }
    }
}

/// What a program says in one line; nothing where it is not there.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}
