//! The plays, and how they are put on.
//!
//! What a play needs beside its characters stands in tags at its top:
//!
//! - `## set: KEY=VALUE`: a setting of the server, as after `--set`;
//! - `## not over DOOR: REASON`: a door that cannot carry the play, one of [`DOORS`], and why;
//! - `## differs on SERVER: WHY`: what another server does differently, and whose reading of the source is right.

use script::{Rules, Script, Stage};
use std::{env, fs, path::Path};

/// The ways into a server.
pub const DOORS: [&str; 4] = ["memory", "tcp", "bosh", "websocket"];
/// The tags before their values, but for the name of a door or a server.
const TAGS: [&str; 3] = ["set", "not over ", "differs on "];

/// A play, read.
pub struct Play {
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub script: Script,
}

impl Play {
    /// The settings of the server that it needs, as after `--set`.
    pub fn settings(&self) -> Vec<&str> {
        let set = self.script.tags.iter().filter(|tag| tag.name == "set");
        set.filter_map(|tag| tag.value.as_deref()).collect()
    }

    /// Whether this door can carry it.
    pub fn goes_over(&self, door: &str) -> bool {
        let excluded = |name: &str| name.strip_prefix("not over ") == Some(door);
        !self.script.tags.iter().any(|tag| excluded(&tag.name))
    }

    /// What is wrong with its heading, if anything is.
    pub fn fault(&self) -> Option<String> {
        let Script { title, description, tags, .. } = &self.script;
        if title.is_empty() {
            return Some("it has no title".to_owned());
        }
        if !["RFC ", "XEP-"].iter().any(|source| description.contains(source)) {
            return Some("it does not say where its rules stand".to_owned());
        }
        tags.iter().find_map(|tag| {
            let what = TAGS.iter().find_map(|known| tag.name.strip_prefix(known));
            let known = match (tag.name.as_str(), what) {
                ("set", _) => true,
                (name, Some(what)) if name.starts_with("not over ") => DOORS.contains(&what),
                (_, what) => what.is_some_and(|what| !what.is_empty()),
            };
            let value = tag.value.as_deref().is_some_and(|value| !value.is_empty());
            (!known || !value).then(|| format!("`## {}` is no tag with its value", tag.name))
        })
    }
}

/// All plays under `plays/`, in order of their names; those alone whose name contains what the variable `PLAYS` of the
/// environment says, where it is set.
///
/// # Panics
/// Where a file cannot be read, or is no script; where there is none of that name.
pub fn all() -> Vec<Play> {
    let wanted = env::var("PLAYS").unwrap_or_default();
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
        .filter(|play| play.name.contains(&wanted))
        .collect();
    assert!(!plays.is_empty(), "there is no play {wanted}");
    plays.sort_by(|a, b| a.name.cmp(&b.name));
    plays
}

/// Puts a play on and says what went wrong. Stricter than Scansion: nobody may receive a stanza that the play does
/// not mention.
pub async fn perform(play: &Play, stage: &mut impl Stage) -> Result<(), String> {
    let Play { name, script } = play;
    script::play(script, stage, Rules::Strict).await.map_err(|failure| format!("{name}: {failure}"))
}
