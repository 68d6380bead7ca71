//! Rust source reduced to what is compiled into the product: no comments, no contents of literals, no tests.

/// A line of code with its number, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) code: &'a str,
}

/// Whether `needle` stands in `code` as a whole path or word: `rand::` is not in `strand::`, `tokio` not in `tokio_util`.
pub(crate) fn mentions(code: &str, needle: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(needle).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + needle.len()..].chars().next();
        let starts = needle.starts_with(is_word) && before.is_some_and(is_word);
        let ends = needle.ends_with(is_word) && after.is_some_and(is_word);
        !starts && !ends
    })
}

/// The lines of `code` (from [`strip`]) that mention one of the needles, each with the needle.
pub(crate) fn find<'a>(code: &'a str, needles: &[&'a str]) -> Vec<(Line<'a>, &'a str)> {
    let lines = (1..).zip(code.lines()).map(|(number, code)| Line { number, code });
    lines
        .flat_map(|line| {
            needles
                .iter()
                .filter(move |needle| mentions(line.code, needle))
                .map(move |needle| (Line { ..line }, *needle))
        })
        .collect()
}

/// Blanks out comments, the contents of literals and every item under `#[cfg(test)]`; lines stay where they are.
pub(crate) fn strip(source: &str) -> String {
    without_tests(&without_text(source))
}

fn without_text(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_new_word = !out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| is_new_word) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && !is_lifetime(rest) {
            quoted(rest, '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (gone, after) = rest.split_at(length);
        out.push(' ');
        out.extend(gone.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` at the front.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a` as opposed to `'a'`.
fn is_lifetime(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    let name = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    name && chars.next() != Some('\'')
}

fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, item) = rest.split_at(at);
        out.push_str(before);
        let mut depth = 0_usize;
        let end = item.char_indices().skip("#[cfg(test)]".len()).find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(at + 1)
        });
        let (gone, after) = item.split_at(end.unwrap_or(item.len()));
        out.extend(gone.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(mentions("use tokio::net;", "tokio"));
        assert!(mentions("::rand::random()", "rand::"));
        assert!(mentions("Instant::now()", "Instant::now"));
        assert!(!mentions("use tokio_util::sync;", "tokio"));
        assert!(!mentions("strand::x()", "rand::"));
        assert!(!mentions("Instant::nowhere()", "Instant::now"));
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = "a // tokio\n/* tokio /* tokio */\n tokio */ b \"tokio \\\" tokio\" c 'x' '\\'' r#\"tokio\"# d br\"tokio\" e";
        let code = strip(source);
        assert_eq!(code.split_whitespace().collect::<String>(), "abcde");
        assert_eq!(code.lines().count(), 3);
    }

    #[test]
    fn lifetimes_are_no_literals() {
        let code = strip("fn f<'a>(x: &'a str) -> &'static str { tokio::x(x, 'y') }");
        assert!(mentions(&code, "tokio"));
        assert!(!mentions(&code, "y"));
        assert!(mentions(&strip("let for_r = r; str\"x\"; tokio"), "tokio"));
    }

    #[test]
    fn tests_are_not_the_product() {
        let source = "a();\n#[cfg(test)]\nmod tests {\n  fn f() { tokio::x() }\n}\n#[cfg(test)]\nmod more;\nb();\n";
        let code = strip(source);
        assert!(!mentions(&code, "tokio"));
        assert_eq!(
            find(&code, &["b", "a"]).iter().map(|(l, n)| (l.number, *n)).collect::<Vec<_>>(),
            [(1, "a"), (8, "b")]
        );
    }

    #[test]
    fn code_after_a_test_is_still_seen() {
        let code = strip("#[cfg(test)]\nfn f() { if x { y } }\ntokio::spawn();");
        assert_eq!(find(&code, &["tokio"]).len(), 1);
    }
}
