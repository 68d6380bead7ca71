//! From text to [`File`]: reading, `--set`, unknown keys and wrong types, each with one clear line.

use super::{
    ConfigError,
    keys::{File, TABLES},
};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Reads a configuration file's text.
pub fn parse(text: &str, name: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let why = error.message().replace('\n', ", ");
        ConfigError(format!("{name}, line {line}: not TOML: {why}"))
    })
}

/// Applies one `KEY=VALUE`. VALUE is TOML, and what does not parse as TOML is a string.
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
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let target = if section.is_empty() {
        table
    } else {
        table
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError(format!("--set {key}: `{section}` is not a table")))?
    };
    target.insert(name.to_owned(), value);
    Ok(())
}

/// Turns the tables into a [`File`], or says what is wrong with the first wrong key.
pub fn read(mut table: Table) -> Result<File, ConfigError> {
    let mut take = |name: &str| match table.remove(name) {
        None => Ok(Table::new()),
        Some(Value::Table(section)) => Ok(section),
        Some(_) => Err(ConfigError(format!("`{name}` is a table: write [{name}] or {name}.KEY"))),
    };
    let file = File {
        c2s: section("c2s", take("c2s")?)?,
        http: section("http", take("http")?)?,
        https: section("https", take("https")?)?,
        tls: section("tls", take("tls")?)?,
        registration: section("registration", take("registration")?)?,
        store: section("store", take("store")?)?,
        auth: section("auth", take("auth")?)?,
        archive: section("archive", take("archive")?)?,
        contact: section("contact", take("contact")?)?,
        limits: section("limits", take("limits")?)?,
        top: section("", table)?,
    };
    Ok(file)
}

fn section<T: DeserializeOwned>(section: &str, table: Table) -> Result<T, ConfigError> {
    let keys = TABLES.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
    for (name, value) in &table {
        if !keys.iter().any(|key| key.name == name) {
            return Err(unknown(section, name));
        }
        // One key at a time, so that the message can name it: the others have their defaults.
        let alone = Table::from_iter([(name.clone(), value.clone())]);
        if T::deserialize(alone).is_err() {
            return Err(misfit(section, name, value));
        }
    }
    T::deserialize(table).map_err(|error| ConfigError(error.message().replace('\n', ", ")))
}

/// A value of the wrong type, and one of the right type.
fn misfit(section: &str, name: &str, value: &Value) -> ConfigError {
    let keys = TABLES.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
    let sample = keys.iter().find(|key| key.name == name).map_or("", |key| key.sample);
    let default = defaults(section).remove(name);
    let fits = default.as_ref().map_or_else(|| sample.to_owned(), Value::to_string);
    let wants = match (&default, value) {
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
    ConfigError(format!("{}: {value} {wants}", dotted(section, name)))
}

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// "unknown key", and the known one that looks most like it.
fn unknown(section: &str, name: &str) -> ConfigError {
    let written = dotted(section, name);
    let nearest = TABLES
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(|key| dotted(section, key.name)))
        .map(|known| (distance(&known, &written), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    ConfigError(match nearest {
        Some((_, known)) => format!("unknown key `{written}`: did you mean `{known}`?"),
        None => format!("unknown key `{written}`: `stonechat example-config` lists all keys"),
    })
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

/// The commented example: every key with its explanation and its default.
pub fn example() -> String {
    let mut out = String::from(
        "# Every key of stonechat.toml with its default. Nothing here needs to be written down:\n\
         # no file at all is a working configuration.\n",
    );
    for (section, keys) in TABLES {
        let defaults = defaults(section);
        out.push('\n');
        for key in *keys {
            for line in key.doc {
                out.push_str(&format!("#{line}\n"));
            }
            let name = dotted(section, key.name);
            match defaults.get(key.name) {
                Some(value) => out.push_str(&format!("{name} = {value}\n")),
                None => out.push_str(&format!("# {name} = {}\n", key.sample)),
            }
        }
    }
    out
}

fn defaults(section: &str) -> Table {
    let file = File::default();
    let table = match section {
        "" => Table::try_from(file.top),
        "c2s" => Table::try_from(file.c2s),
        "http" => Table::try_from(file.http),
        "https" => Table::try_from(file.https),
        "tls" => Table::try_from(file.tls),
        "registration" => Table::try_from(file.registration),
        "store" => Table::try_from(file.store),
        "auth" => Table::try_from(file.auth),
        "archive" => Table::try_from(file.archive),
        "contact" => Table::try_from(file.contact),
        _ => Table::try_from(file.limits),
    };
    table.expect("the defaults are TOML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn error(assignment: &str) -> String {
        let mut table = Table::new();
        set(&mut table, assignment)
            .and_then(|()| read(table))
            .and_then(|file| Config::from_file(file, std::path::Path::new(".")))
            .expect_err(assignment)
            .0
    }

    #[test]
    fn the_example_is_the_default_configuration() {
        let file = read(parse(&example(), "example").expect("TOML")).expect("valid");
        assert_eq!(format!("{file:?}"), format!("{:?}", File::default()));
    }

    #[test]
    fn every_key_of_the_example_can_be_uncommented() {
        let all: String = example()
            .lines()
            .map(|line| if line.contains(" = \"/etc") { &line[2..] } else { line })
            .map(|line| format!("{line}\n"))
            .collect();
        let file = read(parse(&all, "example").expect("TOML")).expect("valid");
        assert!(file.tls.certificate.is_some() && file.tls.key.is_some());
    }

    #[test]
    fn each_key_is_explained() {
        for (section, keys) in TABLES {
            for key in *keys {
                assert!(!key.doc.is_empty(), "{}", dotted(section, key.name));
            }
        }
    }

    #[test]
    fn set_takes_toml_and_else_a_string() {
        let mut table = Table::new();
        for assignment in
            ["c2s.listen=[]", "data=/var/lib/x", "auth.iterations = 5000", "domains=['a.example']"]
        {
            set(&mut table, assignment).expect(assignment);
        }
        let file = read(table).expect("valid");
        assert!(file.c2s.listen.is_empty());
        assert_eq!(file.top.data, "/var/lib/x");
        assert_eq!(file.auth.iterations, 5000);
        assert_eq!(file.top.domains, ["a.example"]);
    }

    #[test]
    fn wrong_keys_and_values_say_which_and_what() {
        for (assignment, words) in [
            ("c2s.lissten=[]", "did you mean `c2s.listen`"),
            ("colour=1", "unknown key `colour`"),
            ("c2s.require_tls=1", "c2s.require_tls: 1 is not true or false"),
            ("c2s=1", "`c2s` is a table"),
            ("limits.bosh_hold=-1", "limits.bosh_hold: -1 is not a whole number, such as 4"),
            ("limits.bosh_hold=300", "limits.bosh_hold: 300 is too large"),
            ("domains=[]", "domains: "),
            ("domains=x", "domains: \"x\" is not a list of strings, such as [\"localhost\"]"),
            ("data=1", "data: 1 is not a string, such as \"data\""),
            ("domains=['a b']", "domains: "),
            ("c2s.listen=['5222']", "c2s.listen: "),
            ("http.bosh=http-bind", "http.bosh: "),
            ("https.listen=['127.0.0.1']", "https.listen: "),
            ("tls.key=/tmp/key.pem", "tls.certificate"),
            ("admins=['localhost']", "admins: "),
            ("admins=['admin@elsewhere.example']", "admins: "),
            ("limits.registration_timeout=0", "limits.registration_timeout: "),
            ("store.url=postgres://x", "store.url: "),
            ("store.durability=never", "store.durability: "),
            ("auth.mechanisms=['DIGEST-MD5']", "auth.mechanisms: "),
            ("auth.mechanisms=[]", "auth.mechanisms: "),
            ("auth.iterations=1", "auth.iterations: "),
            ("archive.default=sometimes", "archive.default: "),
            ("contact.abuse=['abuse@example.org']", "contact.abuse: "),
            ("contact.status=['https:']", "contact.status: "),
            ("limits.trusted=['here']", "limits.trusted: "),
            ("limits.stanza_bytes=100", "limits.stanza_bytes: "),
        ] {
            let message = error(assignment);
            assert!(message.contains(words), "{assignment}: {message}");
            assert!(!message.contains('\n'), "{assignment}: {message}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let message =
            parse("domains = ['a']\ndata = = 1\n", "stonechat.toml").expect_err("broken").0;
        assert!(message.starts_with("stonechat.toml, line 2: "), "{message}");
    }
}
