//! Runs works under valgrind.

use anyhow::{Context, bail, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// The instructions of these works, counted within `counted`; as many at a time as there are processors.
pub(crate) fn totals(names: &[&str]) -> anyhow::Result<Vec<u64>> {
    let program = env::current_exe()?;
    let folder = folder(&program)?;
    let next = AtomicUsize::new(0);
    let take = || {
        let mut totals = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            totals.push((*name, total(&program, &folder, name)));
        }
        totals
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let mut totals: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panics")).collect()
    });
    totals.sort_by_key(|(name, _)| names.iter().position(|one| one == name));
    totals.into_iter().map(|(name, total)| total.context(name.to_owned())).collect()
}

fn total(program: &Path, folder: &Path, name: &str) -> anyhow::Result<u64> {
    let file = folder.join(format!("{name}.out"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--toggle-collect=instructions::counted"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["work", name]);
    let output = valgrind.output().context("valgrind")?;
    ensure!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let profile = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.context("callgrind says no summary")?.trim().parse()?;
    if total == 0 {
        bail!("nothing was counted: the function that is, is not called any more");
    }
    Ok(total)
}

/// Where profiles stay: `instructions` in the folder of what cargo has built.
fn folder(program: &Path) -> anyhow::Result<PathBuf> {
    let target = program.ancestors().nth(2).context("the program is not where cargo builds it")?;
    let folder = target.join("instructions");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
