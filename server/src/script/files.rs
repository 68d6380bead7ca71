//! The scripts that were named.

use anyhow::Context;
use script::Script;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How the name of a file says that it is a script.
const EXTENSION: &str = "scs";
/// Standard input instead of a file.
const STANDARD_INPUT: &str = "-";

/// A script with the name of its file, as it was given.
pub(super) struct Play {
    pub(super) name: String,
    pub(super) script: Script,
}

/// All files that these names stand for: a folder for every script below it, in order of their names.
///
/// # Errors
/// A name for which there is nothing, or a folder without a script.
pub(super) fn named(names: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names {
        if !name.is_dir() {
            files.push(name.clone());
            continue;
        }
        let before = files.len();
        below(name, &mut files).with_context(|| name.display().to_string())?;
        if files.len() == before {
            anyhow::bail!("{}: there is no .{EXTENSION} file below it", name.display());
        }
        files[before..].sort();
    }
    Ok(files)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A link to a folder could lead in a circle.
        if path.is_dir() && !path.is_symlink() {
            below(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads a script; `-` is standard input.
///
/// # Errors
/// `FILE: …` where it cannot be read, `FILE:LINE: …` where it is no script.
pub(super) fn read(file: &Path) -> anyhow::Result<Play> {
    let (name, text) = if file == Path::new(STANDARD_INPUT) {
        ("standard input".to_owned(), io::read_to_string(io::stdin()))
    } else {
        (file.display().to_string(), fs::read_to_string(file))
    };
    let text = text.with_context(|| name.clone())?;
    match Script::parse(&text) {
        Ok(script) => Ok(Play { name, script }),
        Err(error) => anyhow::bail!("{name}:{}: {}", error.line, error.reason),
    }
}
