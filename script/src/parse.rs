//! Reads scripts.

use crate::{template::Template, wire};
use xmpp_core::{BareJid, Jid};

/// A script, ready to be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The first line, empty if it is no comment.
    pub title: String,
    /// The further comment lines at the top, joined by line ends.
    pub description: String,
    /// The lines with `##` among them.
    pub tags: Vec<Tag>,
    /// Who takes part, in order of appearance.
    pub characters: Vec<Character>,
    /// What they do, in order.
    pub actions: Vec<Action>,
}

/// `## name` or `## name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What stands before the colon.
    pub name: String,
    /// What stands behind it.
    pub value: Option<String>,
}

/// `[Client] NAME` with its properties.
#[derive(Clone, PartialEq, Eq)]
pub struct Character {
    /// What the script calls it.
    pub name: String,
    /// The account.
    pub jid: BareJid,
    /// The account's password.
    pub password: String,
    /// The resource to ask for, from `resource` or a full `jid`; the server makes one where there is none.
    pub resource: Option<String>,
    /// The host to connect to instead of the domain.
    pub connect_host: Option<String>,
    /// The port to connect to instead of the usual one.
    pub connect_port: Option<u16>,
}

impl std::fmt::Debug for Character {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Character")
            .field("name", &self.name)
            .field("jid", &self.jid)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// One statement of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its line, counted from 1.
    pub line: usize,
    /// Who acts: an index into [`Script::characters`].
    pub character: usize,
    /// What it does.
    pub verb: Verb,
}

/// What a character can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Opens a stream, authenticates and binds.
    Connects,
    /// Closes the stream; nothing where there is none.
    Disconnects,
    /// Sends one or more elements in one piece.
    Sends(Block),
    /// Expects one or more elements, the latter in any order.
    Receives(Block),
    /// Expects that nothing more has come.
    ReceivesNothing,
}

/// Elements of an action, with addresses to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block(pub(crate) Template);

/// Why a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Script {
    /// Reads a script. Everything that can be wrong without a server is found here: unknown names, unknown actions,
    /// elements that are not well-formed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text); // editors put a byte order mark there
        let mut script = heading(text);
        for statement in statements(text)? {
            if let Some(rest) = statement.head.strip_prefix('[') {
                let character = character(rest, &statement)?;
                if script.characters.iter().any(|c| c.name == character.name) {
                    return Err(statement.error(format!("{} is there already", character.name)));
                }
                script.characters.push(character);
            } else {
                let action = action(&statement, &script.characters)?;
                script.actions.push(action);
            }
        }
        Ok(script)
    }
}

/// A line at the margin with the indented lines below it.
struct Statement<'a> {
    line: usize,
    head: &'a str,
    body: Vec<(usize, &'a str)>,
}

impl Statement<'_> {
    fn error(&self, reason: impl Into<String>) -> ParseError {
        ParseError { line: self.line, reason: reason.into() }
    }
}

/// The comments at the very top: a title, a description, tags.
fn heading(text: &str) -> Script {
    let mut words = Vec::new();
    let mut tags = Vec::new();
    for line in text.lines().map_while(|line| line.strip_prefix('#')) {
        if let Some(tag) = line.strip_prefix('#') {
            let (name, value) = match tag.split_once(':') {
                Some((name, value)) => (name, Some(value.trim().to_owned())),
                None => (tag, None),
            };
            tags.push(Tag { name: name.trim().to_owned(), value });
        } else {
            words.push(line.trim());
        }
    }
    let (title, description) = words.split_first().map_or(("", &[][..]), |(t, d)| (t, d));
    Script {
        title: (*title).to_owned(),
        description: description.join("\n"),
        tags,
        characters: Vec::new(),
        actions: Vec::new(),
    }
}

fn statements(text: &str) -> Result<Vec<Statement<'_>>, ParseError> {
    let mut statements: Vec<Statement<'_>> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let is_comment = ["#", "//", "--"].iter().any(|mark| content.starts_with(mark));
        if content.trim().is_empty() || is_comment {
            continue;
        }
        if !content.starts_with([' ', '\t']) {
            statements.push(Statement { line, head: content.trim_end(), body: Vec::new() });
        } else if let Some(statement) = statements.last_mut() {
            statement.body.push((line, content));
        } else {
            let reason =
                "an indented line belongs to a statement, but there is none above".to_owned();
            return Err(ParseError { line, reason });
        }
    }
    Ok(statements)
}

/// `Client] NAME` and the properties below it.
fn character(head: &str, statement: &Statement<'_>) -> Result<Character, ParseError> {
    let (class, name) =
        head.split_once(']').ok_or_else(|| statement.error("`[` without its `]`"))?;
    let name = name.trim();
    if class.trim() != "Client" {
        let class = class.trim();
        return Err(statement.error(format!("[{class}] cannot be played here, only [Client]")));
    }
    if name.is_empty() {
        return Err(statement.error("the character needs a name"));
    }
    let (mut jid, mut password, mut resource) = (None, None, None);
    let (mut connect_host, mut connect_port) = (None, None);
    for &(line, property) in &statement.body {
        let error = |reason: String| ParseError { line, reason };
        let (key, value) = property
            .split_once(':')
            .map(|(key, value)| (key.trim(), value.trim()))
            .ok_or_else(|| error("expected `key: value`".to_owned()))?;
        match key {
            "jid" => {
                jid = Some(value.parse::<Jid>().map_err(|e| error(format!("{value}: {e}")))?);
            }
            "password" => password = Some(value.to_owned()),
            "resource" => resource = Some(value.to_owned()),
            "connect_host" => connect_host = Some(value.to_owned()),
            "connect_port" => {
                let port =
                    value.parse().map_err(|_| error(format!("{value} is not a port number")))?;
                connect_port = Some(port);
            }
            _ => return Err(error(format!("{key} is not a property of a client"))),
        }
    }
    let jid = jid.ok_or_else(|| statement.error(format!("{name} needs a jid")))?;
    let password = password.ok_or_else(|| statement.error(format!("{name} needs a password")))?;
    Ok(Character {
        name: name.to_owned(),
        resource: resource.or_else(|| jid.resource().map(str::to_owned)),
        jid: jid.to_bare(),
        password,
        connect_host,
        connect_port,
    })
}

/// `NAME verb` or `NAME verb: text` with the block below it.
fn action(statement: &Statement<'_>, cast: &[Character]) -> Result<Action, ParseError> {
    // The longest name wins: "Juliet's phone" is not Juliet.
    let (character, rest) = cast
        .iter()
        .enumerate()
        .filter_map(|(i, c)| Some((i, c.name.len(), statement.head.strip_prefix(&*c.name)?)))
        .filter(|(.., rest)| rest.starts_with([' ', '\t']))
        .max_by_key(|(_, length, _)| *length)
        .map(|(i, _, rest)| (i, rest.trim_start()))
        .ok_or_else(|| statement.error(format!("who acts in {:?}?", statement.head)))?;
    let (verb, inline) =
        rest.split_once(':').map_or((rest, ""), |(verb, inline)| (verb, inline.trim()));
    let bare = inline.is_empty() && statement.body.is_empty();
    let verb = match verb.trim_end() {
        "connects" if bare => Verb::Connects,
        "disconnects" if bare => Verb::Disconnects,
        "connects" | "disconnects" => {
            return Err(statement.error(format!("nothing may follow {:?}", statement.head)));
        }
        "sends" => Verb::Sends(block(statement, inline, true, cast)?),
        "receives" if inline == "nothing" && statement.body.is_empty() => Verb::ReceivesNothing,
        "receives" => Verb::Receives(block(statement, inline, false, cast)?),
        verb => {
            return Err(statement.error(format!(
                "{verb:?} is unknown; a client connects, disconnects, sends: or receives:"
            )));
        }
    };
    Ok(Action { line: statement.line, character, verb })
}

fn block(
    statement: &Statement<'_>,
    inline: &str,
    captures: bool,
    cast: &[Character],
) -> Result<Block, ParseError> {
    let mut text = inline.to_owned();
    for (_, line) in &statement.body {
        text.push('\n');
        text.push_str(line);
    }
    let find = |name: &str| cast.iter().position(|c| c.name == name);
    let template = Template::parse(text.trim(), captures, find)
        .map_err(|inside| statement.error(format!("{inside:?} is no address of a character")))?;
    let elements =
        wire::elements(&template.sample()).map_err(|e| statement.error(e.to_string()))?;
    if elements.children().next().is_none() {
        return Err(statement.error("an element is missing"));
    }
    Ok(Block(template))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAST: &str = "[Client] Juliet\n\tjid: juliet@localhost\n\tpassword: a: b\n\
        [Client] Juliet's phone\n    jid: juliet@localhost/phone\n    password: x\n";

    #[track_caller]
    fn error(text: &str) -> String {
        Script::parse(text).expect_err("an error").to_string()
    }

    #[test]
    fn the_heading_gives_title_description_and_tags() {
        let text = "# A title\n# and a\n# description\n## slow\n## status: stable\n\n# a comment\n";
        let script = Script::parse(text).unwrap();
        assert_eq!(script.title, "A title");
        assert_eq!(script.description, "and a\ndescription");
        let tag = |name: &str, value: Option<&str>| Tag {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(script.tags, [tag("slow", None), tag("status", Some("stable"))]);
        assert_eq!(Script::parse("\n# late").unwrap().title, "");
    }

    #[test]
    fn characters_have_properties() {
        let script = Script::parse(&format!(
            "{CAST}[Client] Paris\n jid: p@localhost\n password: x\n resource: r\n connect_host: h\n connect_port: 5222\n"
        ))
        .unwrap();
        let [juliet, phone, paris] = &script.characters[..] else { panic!("three") };
        assert_eq!((&*juliet.password, &juliet.resource), ("a: b", &None));
        assert_eq!(
            (phone.jid.as_str(), phone.resource.as_deref()),
            ("juliet@localhost", Some("phone"))
        );
        assert_eq!(paris.resource.as_deref(), Some("r"));
        assert_eq!((paris.connect_host.as_deref(), paris.connect_port), (Some("h"), Some(5222)));
        assert!(!format!("{juliet:?}").contains("a: b"));
    }

    #[test]
    fn actions_belong_to_the_longest_name() {
        let script = Script::parse(&format!(
            "{CAST}---------\nJuliet connects\nJuliet's phone connects\n# why\nJuliet's phone sends:\n\t<presence/>\n\n\
             // and\n-- so on\nJuliet receives: nothing\nJuliet receives: <presence\n  from='a'/>\nJuliet disconnects\n"
        ))
        .unwrap();
        let who: Vec<_> = script.actions.iter().map(|a| (a.line, a.character)).collect();
        assert_eq!(who, [(8, 0), (9, 1), (11, 1), (16, 0), (17, 0), (19, 0)]);
        assert!(matches!(script.actions[2].verb, Verb::Sends(_)));
        assert_eq!(script.actions[3].verb, Verb::ReceivesNothing);
        assert!(matches!(script.actions[4].verb, Verb::Receives(_)));
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(
            error(" x"),
            "line 1: an indented line belongs to a statement, but there is none above"
        );
        assert_eq!(error("[Client Romeo"), "line 1: `[` without its `]`");
        assert_eq!(error("[Server] S"), "line 1: [Server] cannot be played here, only [Client]");
        assert_eq!(error("[Client] "), "line 1: the character needs a name");
        assert_eq!(error("[Client] R\n password: x"), "line 1: R needs a jid");
        assert_eq!(error("[Client] R\n jid: r@localhost"), "line 1: R needs a password");
        assert_eq!(error("[Client] R\n jid r@localhost"), "line 2: expected `key: value`");
        assert!(error("[Client] R\n jid: @").starts_with("line 2: @: "));
        assert_eq!(error("[Client] R\n hat: blue"), "line 2: hat is not a property of a client");
        assert_eq!(error("[Client] R\n connect_port: 99999"), "line 2: 99999 is not a port number");
        assert_eq!(error(&format!("{CAST}{CAST}")), "line 7: Juliet is there already");
        assert_eq!(
            error(&format!("{CAST}\nRomeo connects")),
            "line 8: who acts in \"Romeo connects\"?"
        );
        assert_eq!(
            error(&format!("{CAST}\nJulietta connects")),
            "line 8: who acts in \"Julietta connects\"?"
        );
        assert_eq!(
            error(&format!("{CAST}Juliet sighs")),
            "line 7: \"sighs\" is unknown; a client connects, disconnects, sends: or receives:"
        );
        assert_eq!(
            error(&format!("{CAST}Juliet connects\n now")),
            "line 7: nothing may follow \"Juliet connects\""
        );
        assert_eq!(error(&format!("{CAST}Juliet sends:")), "line 7: an element is missing");
        assert_eq!(
            error(&format!("{CAST}Juliet sends: <a to=\"${{Romeo's JID}}\"/>")),
            "line 7: \"Romeo's JID\" is no address of a character"
        );
    }

    #[test]
    fn elements_must_be_well_formed() {
        for wrong in
            ["<a>", "<a></b>", "text", "<a/>text", "<x:a/>", "nothing more", "</block><block>"]
        {
            let error = error(&format!("{CAST}Juliet receives: {wrong}"));
            assert!(error.starts_with("line 7: "), "{error}");
        }
        for right in
            ["<a/>", "<stream:error/>", "<a scansion:strict='true'/>", "<a/><b/>", "<a>\n </a>"]
        {
            Script::parse(&format!("{CAST}Juliet receives:\n {right}")).unwrap();
        }
    }
}
