//! What sites and faults do where the environment asks for it.

use std::{
    env,
    io::{self, Write},
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where the process is to die, and how often it comes by before it does.
static DEATH: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
    let wish = env::var("STONECHAT_DIES_AT").ok()?;
    let (name, visit) = wish.split_once(':').expect("STONECHAT_DIES_AT is NAME:VISIT");
    let visit = visit.parse().expect("STONECHAT_DIES_AT is NAME:VISIT, a number");
    Some((name.to_owned(), AtomicU64::new(visit)))
});

/// What is to go wrong.
static FAULT: LazyLock<Option<String>> = LazyLock::new(|| env::var("STONECHAT_FAULT").ok());

/// Comes by a place; for the macro.
pub fn visit(name: &str) {
    if let Some((place, left)) = &*DEATH
        && place == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // So that whoever waits for it knows that it was this and no other trouble. If nobody can be told, it dies all the same.
        writeln!(io::stderr(), "dies at {name}").ok();
        process::abort();
    }
}

/// Whether this fault is to happen; for the macro.
pub fn is_planted(name: &str) -> bool {
    FAULT.as_deref() == Some(name)
}
