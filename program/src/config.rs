//! A configuration file whose every key is declared once, with its type, its default and the words that explain it
//! ([`table!`](crate::table), [`file!`](crate::file)). Reading, `--set`, the check for unknown keys and wrong types,
//! each with one clear line, and the commented example all come from these declarations.

mod values;

pub use values::{
    CertificateFiles, addresses, certificate, check, http_path, is_uri, networks, origins,
    web_address,
};

use crate::Source;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// What stands in the example for the name of a table that may occur several times.
const NAME: &str = "\"example.org\"";

/// What is wrong with a configuration, in one line that says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// One key as the example and the checks need it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name inside its table.
    pub name: &'static str,
    /// Its lines of explanation.
    pub doc: &'static [&'static str],
    /// What stands in the example for a key that has no default.
    pub sample: &'static str,
}

/// A table of keys with defaults, as [`table!`](crate::table) declares it.
pub trait Keys: Default + Serialize + DeserializeOwned {
    /// The keys in order.
    const KEYS: &'static [Key];
}

/// What can stand in a file under one name: a table of [`Keys`], or any number of them, each with a name of its own
/// (`BTreeMap`).
pub trait Section: Sized {
    /// How it is checked and explained.
    fn entry(name: &'static str) -> Entry;
    /// Reads what is written under this name.
    fn read(entry: &Entry, written: Table, known: &Known) -> Result<Self, ConfigError>;
}

/// A whole file, as [`file!`](crate::file) declares it.
pub trait File: Default {
    /// The program that reads it: its file is called like that, with `.toml`.
    const PROGRAM: &'static str;
    /// What may stand in it, in order; the first has no name.
    fn entries() -> Vec<Entry>;
    /// Reads it.
    fn read(written: &mut Written) -> Result<Self, ConfigError>;
}

/// A table that may stand in a file.
#[derive(Debug)]
pub struct Entry {
    /// Its name; none for the keys outside any table.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Their defaults.
    defaults: Table,
    /// Whether there may be several, each with a name of its own.
    several: bool,
}

/// All that is known of a file.
#[derive(Debug)]
pub struct Known {
    program: &'static str,
    entries: Vec<Entry>,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Written {
    table: Table,
    known: Known,
}

/// Declares a table of keys: a struct with defaults that is [`config::Keys`](crate::config::Keys).
#[macro_export]
macro_rules! table {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $key:ident : $type:ty = $default:expr $(, sample $sample:literal)?;)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(unreachable_pub, reason = "a program keeps its keys to itself, a library does not")]
        pub struct $name { $($(#[doc = $doc])* pub $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::Keys for $name {
            const KEYS: &'static [$crate::config::Key] = &[$($crate::config::Key {
                name: stringify!($key),
                doc: &[$($doc),*],
                sample: concat!($($sample)?),
            }),*];
        }
    };
}

/// Declares a whole file: a struct of tables that is [`config::File`](crate::config::File).
#[macro_export]
macro_rules! file {
    ($(#[doc = $about:literal])* $name:ident of $program:literal { $($field:ident : $section:ty = $table:literal;)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Default)]
        #[allow(missing_docs, reason = "each is explained where it is declared")]
        #[allow(unreachable_pub, reason = "a program keeps its keys to itself, a library does not")]
        pub struct $name { $(pub $field: $section,)* }

        impl $crate::config::File for $name {
            const PROGRAM: &'static str = $program;
            fn entries() -> Vec<$crate::config::Entry> {
                vec![$(<$section as $crate::config::Section>::entry($table)),*]
            }
            fn read(
                written: &mut $crate::config::Written,
            ) -> Result<Self, $crate::config::ConfigError> {
                Ok(Self { $($field: written.take($table)?,)* })
            }
        }
    };
}

/// Reads the file that is named, or else the program's own here if it is there, and applies the `--set`s in order.
/// Gives the folder, too, that paths in it are relative to.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn load<F: File>(source: &Source) -> Result<(F, PathBuf), ConfigError> {
    let path = match &source.config {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(format!("{}.toml", F::PROGRAM))).filter(|path| path.exists()),
    };
    let (mut table, base) = match &path {
        None => (Table::new(), Path::new(".")),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConfigError(format!("--config: cannot read {}: {error}", path.display()))
            })?;
            let table = parse(&text, &path.display().to_string())?;
            (table, path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new(".")))
        }
    };
    for assignment in &source.set {
        set(&mut table, assignment)?;
    }
    Ok((read(table)?, base.to_owned()))
}

/// Reads a configuration file's text.
///
/// # Errors
/// It is not TOML; the line is named.
pub fn parse(text: &str, name: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let why = error.message().replace('\n', ", ");
        ConfigError(format!("{name}, line {line}: not TOML: {why}"))
    })
}

/// Applies one `KEY=VALUE`. VALUE is TOML, and what does not parse as TOML is a string. What stands between the first
/// and the last dot of KEY is the name of one table of several, which may have dots itself.
///
/// # Errors
/// It is not of this form, or what stands before a dot is no table.
pub fn set(table: &mut Table, assignment: &str) -> Result<(), ConfigError> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(ConfigError(format!("--set {assignment}: write --set KEY=VALUE")));
    };
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(ConfigError(format!("--set {assignment}: write --set KEY=VALUE")));
    }
    let value = match format!("value = {value}").parse::<Table>() {
        Ok(mut parsed) if parsed.len() == 1 => parsed.remove("value").expect("it was just written"),
        _ => Value::String(value.to_owned()),
    };
    let (path, name) = match key.split_once('.') {
        None => (vec![], key),
        Some((section, rest)) => match rest.rsplit_once('.') {
            None => (vec![section], rest),
            Some((one, name)) => (vec![section, one], name),
        },
    };
    let mut target = table;
    for part in path {
        target = target
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError(format!("--set {key}: `{part}` is not a table")))?;
    }
    target.insert(name.to_owned(), value);
    Ok(())
}

/// Turns what is written into a file, or says what is wrong with the first wrong key.
///
/// # Errors
/// A key is not known, or its value is of the wrong type.
pub fn read<F: File>(table: Table) -> Result<F, ConfigError> {
    F::read(&mut Written { table, known: Known::of::<F>() })
}

/// The commented example: every key with its explanation and its default, below these lines.
pub fn example<F: File>(heading: &str) -> String {
    let mut out = heading.to_owned();
    for entry in Known::of::<F>().entries {
        out.push('\n');
        let (table, comment) = match entry.several {
            true => (format!("{}.{NAME}", entry.name), "# "),
            false => (entry.name.to_owned(), ""),
        };
        for key in entry.keys {
            for line in key.doc {
                out.push_str(&format!("#{line}\n"));
            }
            let name = dotted(&table, key.name);
            match entry.defaults.get(key.name) {
                Some(value) => out.push_str(&format!("{comment}{name} = {value}\n")),
                None => out.push_str(&format!("# {name} = {}\n", key.sample)),
            }
        }
    }
    out
}

impl<T: Keys> Section for T {
    fn entry(name: &'static str) -> Entry {
        let defaults = Table::try_from(T::default()).expect("the defaults are TOML");
        Entry { name, keys: T::KEYS, defaults, several: false }
    }

    fn read(entry: &Entry, written: Table, known: &Known) -> Result<Self, ConfigError> {
        keys(entry, entry.name, written, known)
    }
}

impl<T: Keys> Section for BTreeMap<String, T> {
    fn entry(name: &'static str) -> Entry {
        Entry { several: true, ..T::entry(name) }
    }

    fn read(entry: &Entry, written: Table, known: &Known) -> Result<Self, ConfigError> {
        let one = |(name, table): (String, Value)| {
            let path = dotted(entry.name, &name);
            match table {
                Value::Table(table) => Ok((name, keys(entry, &path, table, known)?)),
                _ => Err(ConfigError(format!(
                    "`{path}` is a table: write [{}.\"{name}\"]",
                    entry.name
                ))),
            }
        };
        written.into_iter().map(one).collect()
    }
}

impl Written {
    /// Takes out what is written under this name.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn take<S: Section>(&mut self, name: &str) -> Result<S, ConfigError> {
        let entries = &self.known.entries;
        let entry = entries.iter().find(|entry| entry.name == name).expect("it was declared");
        let table = match name {
            "" => {
                let table = |name: &str| entries.iter().any(|entry| entry.name == name);
                let (tables, keys) =
                    std::mem::take(&mut self.table).into_iter().partition(|(name, _)| table(name));
                self.table = tables;
                keys
            }
            name => match self.table.remove(name) {
                None => Table::new(),
                Some(Value::Table(section)) => section,
                Some(_) => {
                    let how = format!("`{name}` is a table: write [{name}] or {name}.KEY");
                    return Err(ConfigError(how));
                }
            },
        };
        S::read(entry, table, &self.known)
    }
}

fn keys<T: Keys>(entry: &Entry, path: &str, table: Table, known: &Known) -> Result<T, ConfigError> {
    for (name, value) in &table {
        let Some(key) = entry.keys.iter().find(|key| key.name == name) else {
            return Err(known.unknown(&dotted(path, name)));
        };
        // One key at a time, so that the message can name it: the others have their defaults.
        let alone = Table::from_iter([(name.clone(), value.clone())]);
        if T::deserialize(alone).is_err() {
            return Err(misfit(&dotted(path, name), entry.defaults.get(name), key.sample, value));
        }
    }
    T::deserialize(table).map_err(|error| ConfigError(error.message().replace('\n', ", ")))
}

/// A value of the wrong type, and one of the right type.
fn misfit(key: &str, default: Option<&Value>, sample: &str, value: &Value) -> ConfigError {
    let fits = default.map_or_else(|| sample.to_owned(), Value::to_string);
    let wants = match (default, value) {
        (Some(Value::Integer(_)), Value::Integer(1..)) => {
            format!("is too large: the default is {fits}")
        }
        (Some(Value::Integer(_)), _) => format!("is not a whole number, such as {fits}"),
        (Some(Value::Boolean(_)), _) => "is not true or false".to_owned(),
        (Some(Value::Array(_)), _) => format!("is not a list of strings, such as {fits}"),
        _ => format!("is not a string, such as {fits}"),
    };
    // A value over several lines is told in one.
    let value = value.to_string().replace('\n', " ");
    ConfigError(format!("{key}: {value} {wants}"))
}

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

impl Known {
    fn of<F: File>() -> Self {
        Self { program: F::PROGRAM, entries: F::entries() }
    }

    /// "unknown key", and the known one that looks most like it.
    fn unknown(&self, written: &str) -> ConfigError {
        let nearest = self
            .entries
            .iter()
            .filter_map(|entry| {
                // In a table of several, a key is compared with those of that very table.
                let path = match entry.several {
                    true => written
                        .strip_prefix(entry.name)?
                        .rsplit_once('.')
                        .map(|(name, _)| format!("{}{name}", entry.name))?,
                    false => entry.name.to_owned(),
                };
                Some((entry, path))
            })
            .flat_map(|(entry, path)| entry.keys.iter().map(move |key| dotted(&path, key.name)))
            .map(|known| (distance(&known, written), known))
            .min()
            .filter(|(distance, _)| *distance <= 3);
        let program = self.program;
        ConfigError(match nearest {
            Some((_, known)) => format!("unknown key `{written}`: did you mean `{known}`?"),
            None => format!("unknown key `{written}`: `{program} example-config` lists all keys"),
        })
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::table! {
        /// Outside any table.
        Top {
            /// How many.
            count: u8 = 3;
        }
    }
    crate::table! {
        /// A house.
        House {
            /// Who lives there.
            name: Option<String> = None, sample "\"Capulet\"";
            /// Whether its door is open.
            open: bool = false;
        }
    }
    crate::file! {
        /// The file.
        Verona of "verona" {
            top: Top = "";
            house: House = "house";
            houses: BTreeMap<String, House> = "houses";
        }
    }

    fn with(assignments: &[&str]) -> Result<Verona, ConfigError> {
        let mut table = Table::new();
        assignments.iter().try_for_each(|assignment| set(&mut table, assignment))?;
        read(table)
    }

    #[test]
    fn tables_of_several_have_names_with_dots() {
        let file = with(&["count=4", "houses.a.example.name=Montague", "houses.b.open=true"]);
        let file = file.expect("valid");
        assert_eq!(file.top.count, 4);
        assert_eq!(file.houses["a.example"].name.as_deref(), Some("Montague"));
        assert!(file.houses["b"].open && !file.houses["a.example"].open && !file.house.open);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (assignment, words) in [
            ("cont=1", "unknown key `cont`: did you mean `count`?"),
            ("colour=1", "unknown key `colour`: `verona example-config` lists all keys"),
            ("count=300", "count: 300 is too large"),
            ("house=1", "`house` is a table: write [house] or house.KEY"),
            ("house.name=1", "house.name: 1 is not a string, such as \"Capulet\""),
            ("houses.a.example=1", "`houses.a` is a table"),
            ("houses.a.opne=true", "did you mean `houses.a.open`?"),
            ("houses.a.open=1", "houses.a.open: 1 is not true or false"),
        ] {
            let error = match assignment {
                "houses.a.example=1" => with(&["houses.a=1"]),
                _ => with(&[assignment]),
            };
            let message = error.expect_err(assignment).0;
            assert!(message.contains(words), "{assignment}: {message}");
        }
    }

    #[test]
    fn the_example_explains_every_key_once() {
        assert_eq!(
            example::<Verona>("# Verona.\n"),
            "# Verona.\n\n# How many.\ncount = 3\n\n# Who lives there.\n# house.name = \"Capulet\"\n\
             # Whether its door is open.\nhouse.open = false\n\n# Who lives there.\n\
             # houses.\"example.org\".name = \"Capulet\"\n# Whether its door is open.\n\
             # houses.\"example.org\".open = false\n"
        );
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let message = parse("count = 1\nopen = = 1\n", "verona.toml").expect_err("broken").0;
        assert!(message.starts_with("verona.toml, line 2: "), "{message}");
    }
}
