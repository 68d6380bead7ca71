//! What came of a run, as a table for people and as one for a page.

use super::{Level, Row, Verdict};
use std::fmt;

/// The verdicts of a run, by number.
#[derive(Debug)]
pub struct Report {
    /// One for each row that was run.
    pub rows: Vec<Reported>,
}

/// One verdict.
#[derive(Debug)]
pub struct Reported {
    /// The rule.
    pub row: Row,
    /// What came of it.
    pub verdict: Verdict,
}

impl Report {
    /// Whether every MUST holds, and everything that is offered.
    pub fn is_conformant(&self) -> bool {
        let wrong =
            |one: &Reported| one.row.level.is_binding() && matches!(one.verdict, Verdict::Fail(_));
        !self.rows.iter().any(wrong)
    }

    /// The numbers of the rows that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.rows.iter().filter(|one| matches!(one.verdict, Verdict::Fail(_)));
        failed.map(|one| one.row.id).collect()
    }

    /// One line a row with tabs between its fields, to be put beside the runs of others.
    pub fn lines(&self) -> String {
        let line = |one: &Reported| {
            let Row { id, clause, level, rule, .. } = one.row;
            format!(
                "{id}\t{clause}\t{}\t{rule}\t{}\t{}\n",
                level.word(),
                one.verdict.word(),
                one.verdict.why()
            )
        };
        self.rows.iter().map(line).collect()
    }

    fn count(&self, level: Option<Level>, word: &str) -> usize {
        let counts = |one: &&Reported| {
            level.is_none_or(|level| one.row.level == level) && one.verdict.word() == word
        };
        self.rows.iter().filter(counts).count()
    }
}

/// A table, and the sums below it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Reported { row, verdict } in &self.rows {
            let (id, clause, level) = (row.id, row.clause, row.level.word());
            let (word, rule) = (verdict.word(), row.rule);
            writeln!(f, "{id:>4}  {clause:<16}{level:<9} {word:<13} {rule}")?;
            if !verdict.why().is_empty() {
                writeln!(f, "{:46}{}", "", verdict.why())?;
            }
        }
        writeln!(f)?;
        let levels =
            [Level::Must, Level::Should, Level::May, Level::Defined, Level::Browsers].map(Some);
        for level in levels.into_iter().chain([None]) {
            let name = level.map_or("all", Level::word);
            write!(f, "{name:<9}")?;
            for word in Verdict::WORDS {
                write!(f, " {:>3} {word}", self.count(level, word))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Verdict {
    const WORDS: [&'static str; 4] = ["pass", "fail", "not offered", "not measured"];

    /// As a word of the table.
    pub fn word(&self) -> &'static str {
        Self::WORDS[match self {
            Self::Pass => 0,
            Self::Fail(_) => 1,
            Self::NotOffered(_) => 2,
            Self::NotMeasured(_) => 3,
        }]
    }

    /// The reason, empty where it passed.
    pub fn why(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Fail(why) | Self::NotOffered(why) | Self::NotMeasured(why) => why,
        }
    }
}
