//! The plays, and how they are put on.

use script::{Script, Stage, play};
use std::{fs, path::Path};

/// A play, read.
pub struct Play {
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub script: Script,
}

/// All plays under `plays/`, in order of their names.
///
/// # Panics
/// Where a file cannot be read, or is no script.
pub fn all() -> Vec<Play> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plays");
    let mut plays: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of the plays is there")
        .map(|entry| entry.expect("a folder's entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scs"))
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a play can be read");
            let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Play { name, script }
        })
        .collect();
    plays.sort_by(|a, b| a.name.cmp(&b.name));
    plays
}

/// Puts a play on and says what went wrong. Stricter than Scansion: nobody may receive a stanza that the play does
/// not mention.
pub async fn perform(play: &Play, stage: &mut impl Stage) -> Result<(), String> {
    let Play { name, script } = play;
    let leftovers = self::play(script, stage).await.map_err(|f| format!("{name}: {f}"))?;
    if leftovers.is_empty() {
        return Ok(());
    }
    let leftovers: Vec<_> = leftovers.iter().map(ToString::to_string).collect();
    Err(format!("{name}: {}", leftovers.join("\n")))
}
