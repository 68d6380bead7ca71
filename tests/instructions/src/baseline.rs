//! What works took before: one table for each compiler and architecture, in `baseline/`.

use anyhow::Context;
use std::{collections::BTreeMap, env, fmt, fs, path::PathBuf, process::Command};

/// Hundredths of what a work took that it may take more.
const TOLERANCE: u64 = 5;

/// The table of this compiler and architecture.
pub(crate) struct Baseline {
    /// Of whom the numbers are.
    key: String,
    counts: BTreeMap<String, u64>,
}

/// What is to be said of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The table does not know the work.
    New,
    /// What the table says, and what it takes now.
    Known { before: u64, now: u64 },
}

impl Baseline {
    /// An empty one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { key: key()?, counts: BTreeMap::new() })
    }

    /// The one that is written down, if there is one.
    pub(crate) fn load() -> anyhow::Result<Option<Self>> {
        let key = key()?;
        let file = file(&key);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Self::parse(key, &text))
    }

    /// Written down.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let file = file(&self.key);
        fs::write(&file, self.text()).with_context(|| file.display().to_string())
    }

    pub(crate) fn set(&mut self, name: &str, count: u64) {
        self.counts.insert(name.to_owned(), count);
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    pub(crate) fn judge(&self, name: &str, now: u64) -> Verdict {
        match self.counts.get(name) {
            Some(&before) => Verdict::Known { before, now },
            None => Verdict::New,
        }
    }

    /// `None`: another compiler's of the same version number.
    fn parse(key: String, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().and_then(|line| line.strip_prefix("# ")).filter(|line| *line == key)?;
        let counts = lines.filter_map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().replace(',', "").parse().ok()?))
        });
        Some(Self { counts: counts.collect(), key })
    }

    fn text(&self) -> String {
        let rows = self.counts.iter();
        let rows = rows.map(|(name, count)| format!("{name:<24} {:>9}\n", grouped(*count)));
        format!("# {}\n{}", self.key, rows.collect::<String>())
    }
}

impl Verdict {
    /// Whether it takes too much, or nobody has said how much it may.
    pub(crate) fn fails(&self) -> bool {
        match *self {
            Self::New => true,
            Self::Known { before, now } => now * 100 > before * (100 + TOLERANCE),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::New => f.write_str("not in the table"),
            Self::Known { before, now } => {
                let (before, now) = (before as f64, now as f64);
                let sign = if self.fails() { " TOO MUCH" } else { "" };
                write!(f, "{:+.1} %{sign}", (now - before) / before * 100.0)
            }
        }
    }
}

/// A number that people can read.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `rustc -V` and the architecture, with the vectors that libraries choose their code by.
fn key() -> anyhow::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-V").output().context("rustc")?;
    let version = String::from_utf8(output.stdout)?;
    Ok(format!("{} {}{}", version.trim(), env::consts::ARCH, vectors()))
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if is_x86_feature_detected!("avx2") { " avx2" } else { "" }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    ""
}

/// `rustc-1.95.0-x86_64-avx2.txt`.
fn file(key: &str) -> PathBuf {
    let words = key.split(' ').filter(|word| !word.contains(['(', ')', ':']) && !is_date(word));
    let name = words.collect::<Vec<_>>().join("-");
    PathBuf::from("tests/instructions/baseline").join(format!("{name}.txt"))
}

fn is_date(word: &str) -> bool {
    word.len() == 10 && word.bytes().filter(|b| *b == b'-').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "rustc 1.95.0 (59807616e 2026-04-14) x86_64 avx2";

    fn table() -> Baseline {
        Baseline::parse(KEY.into(), &format!("# {KEY}\nparse       1,000\nwrite    12\n")).unwrap()
    }

    #[test]
    fn more_than_five_hundredths_more_fail() {
        let fails = |name, now| table().judge(name, now).fails();
        assert!(!fails("parse", 1) && !fails("parse", 1_050) && fails("parse", 1_051));
        assert!(fails("chat", 1), "nobody said what it may take");
        assert_eq!(table().judge("parse", 1_100).to_string(), "+10.0 % TOO MUCH");
        assert_eq!(table().judge("parse", 900).to_string(), "-10.0 %");
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let mut table = table();
        table.set("dispatch", 1_234_567);
        let again = Baseline::parse(KEY.into(), &table.text()).unwrap();
        assert_eq!(again.counts, table.counts);
        assert_eq!(again.names().collect::<Vec<_>>(), ["dispatch", "parse", "write"]);
        assert!(table.text().contains("\ndispatch                 1,234,567\n"));
    }

    #[test]
    fn another_compiler_has_another_table() {
        assert_eq!(
            file(KEY),
            PathBuf::from("tests/instructions/baseline/rustc-1.95.0-x86_64-avx2.txt")
        );
        let text = table().text();
        assert!(Baseline::parse(KEY.replace("59807616e", "0123456"), &text).is_none());
    }
}
