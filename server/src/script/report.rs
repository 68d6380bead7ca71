//! What is said of each script, on standard output.

use script::{Direction, Line, Mark};
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

/// How a script ended, and what there is to say.
pub(super) enum Outcome {
    /// As it says.
    Passed,
    /// Not as it says, and it says itself that this server does not.
    Differs(String),
    /// It was not played.
    Skipped(String),
    /// Not as it says.
    Failed(Trouble),
}

/// What went wrong.
pub(super) struct Trouble {
    /// The line of the script, counted from 1, where there is one.
    pub(super) line: Option<usize>,
    /// What.
    pub(super) what: String,
    /// What was expected beside what came.
    pub(super) diff: Vec<Line>,
}

impl Trouble {
    /// A trouble that no line of the script has.
    pub(super) fn new(what: impl ToString) -> Self {
        Self { line: None, what: what.to_string(), diff: Vec::new() }
    }
}

/// Counts what it prints.
pub(super) struct Report {
    colour: bool,
    passed: usize,
    differed: usize,
    skipped: usize,
    pub(super) failed: usize,
}

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const FAINT: &str = "2";

impl Report {
    /// In colour where standard output is a terminal, unless NO_COLOR is set (no-color.org).
    pub(super) fn new() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = std::io::stdout().is_terminal() && !no_color;
        Self { colour, passed: 0, differed: 0, skipped: 0, failed: 0 }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One line for a script that passed, and the difference where it did not.
    pub(super) fn script(&mut self, name: &str, outcome: &Outcome, took: Duration) {
        let took = self.paint(FAINT, &format!("{} ms", took.as_millis()));
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                self.print(&format!("{} {name} {took}", self.paint(GREEN, "pass")));
            }
            Outcome::Differs(what) => {
                self.differed += 1;
                self.print(&format!("{} {name} {took}: {what}", self.paint(YELLOW, "diff")));
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                self.print(&format!("{} {name}: {why}", self.paint(YELLOW, "skip")));
            }
            Outcome::Failed(Trouble { line, what, diff }) => {
                self.failed += 1;
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                self.print(&format!("{} {name}{line}: {what}", self.paint(RED, "FAIL")));
                for line in diff {
                    let text = format!("     {line}");
                    self.print(&match line.mark {
                        Mark::Same => text,
                        Mark::Missing => self.paint(RED, &text),
                        Mark::Unexpected => self.paint(GREEN, &text),
                    });
                }
            }
        }
    }

    /// The last line.
    pub(super) fn summary(&self, took: Duration) {
        let mut words = vec![format!("{} passed", self.passed)];
        for (count, word) in
            [(self.failed, "failed"), (self.differed, "differ"), (self.skipped, "skipped")]
        {
            if count > 0 {
                words.push(format!("{count} {word}"));
            }
        }
        self.print(&format!("{} in {:.1} s", words.join(", "), took.as_secs_f64()));
    }

    fn print(&self, line: &str) {
        program::print(line);
    }
}

/// The wire, on standard error: standard output has the results.
pub(super) fn log(character: &str, direction: Direction, text: &str) {
    let mark = match direction {
        Direction::Sent => '>',
        Direction::Received => '<',
    };
    let lines: String = text.lines().map(|line| format!("{character} {mark} {line}\n")).collect();
    // Where standard error is closed there is nobody left to tell.
    let _ = std::io::stderr().write_all(lines.as_bytes());
}
