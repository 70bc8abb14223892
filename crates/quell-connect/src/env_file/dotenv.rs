//! The dotenv format, edited in place.
//!
//! There is no standard. This reads what these agree on: python-dotenv, the npm package `dotenv`, systemd's
//! `EnvironmentFile=` (systemd.exec(5)) and POSIX shells that source the file. It writes the spelling that most of
//! them read the same way: bare when nothing needs a quote, else single quotes, else double quotes with escapes.

use std::ops::Range;

use zeroize::Zeroizing;

/// Why a file cannot be edited safely. Lines count from 1; the text is never repeated.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadFile {
    #[error("line {0}: a quote is never closed")]
    OpenQuote(usize),
}

/// One `KEY=value`.
#[derive(Debug)]
pub(super) struct Assignment {
    key: Range<usize>,
    /// The value as written, with its quotes.
    raw: Range<usize>,
}

/// A parsed file; spans point into the text.
pub(super) struct Dotenv<'a> {
    text: &'a str,
    assignments: Vec<Assignment>,
}

impl<'a> Dotenv<'a> {
    /// Finds every assignment. Lines that are none are left alone.
    pub(super) fn parse(text: &'a str) -> Result<Self, BadFile> {
        let mut assignments = Vec::new();
        let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut line = 1;
        while at < text.len() {
            let end = line_end(text, at);
            let next = match head(text, at..end) {
                None => end,
                Some((key, start)) => {
                    let close = value_end(text, start, end).ok_or(BadFile::OpenQuote(line))?;
                    assignments.push(Assignment { key, raw: start..close });
                    line_end(text, close)
                }
            };
            line += text.get(at..next).unwrap_or_default().matches('\n').count() + 1;
            at = next + 1;
        }
        Ok(Self { text, assignments })
    }

    /// Every assignment of `key`, in order.
    pub(super) fn of<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'s Assignment> {
        self.assignments.iter().filter(move |a| self.text.get(a.key.clone()) == Some(key))
    }

    /// All of them.
    pub(super) fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// What a reader makes of the value.
    pub(super) fn value(&self, assignment: &Assignment) -> Zeroizing<String> {
        decode(self.text.get(assignment.raw.clone()).unwrap_or_default())
    }

    /// The text with every assignment of `key` set to `value`; appended when there is none.
    pub(super) fn with(&self, key: &str, value: &str) -> Zeroizing<String> {
        // Room for everything at once: growing would leave unwiped copies behind.
        let count = self.of(key).count().max(1);
        let room = self.text.len() + count * (2 * value.len() + 2) + key.len() + 4;
        let mut out = Zeroizing::new(String::with_capacity(room));
        let mut at = 0;
        let mut found = false;
        for assignment in self.of(key) {
            found = true;
            let old = self.text.get(assignment.raw.clone()).unwrap_or_default();
            out.push_str(self.text.get(at..assignment.raw.start).unwrap_or_default());
            encode(value, old, &mut out);
            at = assignment.raw.end;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        if !found {
            let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
            if !out.is_empty() && !out.ends_with('\n') && out.as_str() != "\u{feff}" {
                out.push_str(newline);
            }
            out.push_str(key);
            out.push('=');
            encode(value, "", &mut out);
            out.push_str(newline);
        }
        out
    }
}

/// The index of the line's `\n`, or the end of the text.
fn line_end(text: &str, from: usize) -> usize {
    text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| from + n)
}

/// `[export] KEY =` at the start of a line: the key, and where the value starts.
fn head(text: &str, line: Range<usize>) -> Option<(Range<usize>, usize)> {
    let whole = text.get(line.clone())?;
    let mut rest = whole.trim_start();
    if let Some(after) = rest.strip_prefix("export").filter(|after| after.starts_with([' ', '\t'])) {
        rest = after.trim_start();
    }
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
        .unwrap_or(rest.len());
    let key =
        rest.get(..length).filter(|key| key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))?;
    let start = line.end - rest.len();
    let after = rest.get(length..)?.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let value = after.trim_start_matches([' ', '\t']);
    Some((start..start + key.len(), line.end - value.len()))
}

/// Where the value that starts at `start` ends; `None` when a quote stays open.
fn value_end(text: &str, start: usize, line_end: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    if rest.starts_with('\'') {
        return rest.get(1..)?.find('\'').map(|n| start + n + 2);
    }
    if rest.starts_with('"') {
        let mut escaped = false;
        for (n, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(start + n + 1),
                _ => {}
            }
        }
        return None;
    }
    let bare = text.get(start..line_end)?;
    // A comment needs white space before it: `a#b` is a value.
    let comment = bare
        .match_indices('#')
        .map(|(n, _)| n)
        .find(|n| *n == 0 || bare.get(..*n).is_some_and(|before| before.ends_with([' ', '\t'])));
    let bare = bare.get(..comment.unwrap_or(bare.len()))?;
    Some(start + bare.trim_end().len())
}

fn decode(raw: &str) -> Zeroizing<String> {
    if let Some(inner) = raw.strip_prefix('\'').and_then(|r| r.strip_suffix('\'')) {
        return Zeroizing::new(inner.to_owned());
    }
    let Some(inner) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) else {
        return Zeroizing::new(raw.to_owned());
    };
    let mut out = Zeroizing::new(String::with_capacity(inner.len()));
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(c @ ('"' | '\\' | '$' | '`')) => out.push(c),
            // An escape that nobody defined stays as it is.
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

/// Appends `value` in the plainest spelling. `old` is the spelling it replaces: where a bare `&` stood before, the
/// reader is no shell, and one like `docker --env-file` that takes quotes literally must go on working.
fn encode(value: &str, old: &str, out: &mut String) {
    const SHELL: [char; 8] = ['&', ';', '|', '<', '>', '(', ')', '!'];
    let no_shell = !old.starts_with(['\'', '"']) && old.contains(SHELL);
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || "_-./:@%+,=~^?*[]{}".contains(c) || (no_shell && SHELL.contains(&c))
    };
    if !value.is_empty() && value.chars().all(plain) {
        out.push_str(value);
    } else if !value.contains(['\'', '\n', '\r']) {
        out.push('\'');
        out.push_str(value);
        out.push('\'');
    } else {
        out.push('"');
        for c in value.chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '"' | '\\' | '$' | '`' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, key: &str) -> Option<String> {
        let file = Dotenv::parse(text).unwrap();
        file.of(key).last().map(|a| file.value(a).to_string())
    }

    #[test]
    fn spellings_are_understood() {
        for (text, value) in [
            ("K=v", "v"),
            ("K=v\n", "v"),
            ("K=v\r\n", "v"),
            ("\u{feff}K=v", "v"),
            ("  export K = v  # why\n", "v"),
            ("export\tK=v", "v"),
            ("K=a#b", "a#b"),
            ("K= # only a comment", ""),
            ("K=", ""),
            ("K='a # \"b\" $c \\n'  # why", "a # \"b\" $c \\n"),
            (r#"K="a\n\t\"b\" \\ \$c \x""#, "a\n\t\"b\" \\ $c \\x"),
            ("K=\"two\nlines\"\n", "two\nlines"),
            ("A='\nK=inside\n'\nK=v", "v"),
            ("K=one\n#K=no\nK=two\n", "two"),
            ("K=it's", "it's"),
        ] {
            assert_eq!(read(text, "K").as_deref(), Some(value), "{text:?}");
        }
        for none in ["", "\n\n", "#K=v", "KK=v", "K", "K v", "1K=v", "=v", "exportK=v"] {
            assert_eq!(read(none, "K"), None, "{none:?}");
        }
    }

    #[test]
    fn an_open_quote_names_the_line_and_nothing_else() {
        let error = Dotenv::parse("A=1\nB='x\ny'\nK=\"hunter2\n\n").err().unwrap();
        assert_eq!(error.to_string(), "line 4: a quote is never closed");
    }

    #[test]
    fn everything_else_is_kept() {
        let before = "# top\r\nA=1\r\nexport K='old' # note\r\n\r\nB=\"x y\"\r\nK = old2";
        let after = Dotenv::parse(before).unwrap().with("K", "new");
        assert_eq!(*after, "# top\r\nA=1\r\nexport K=new # note\r\n\r\nB=\"x y\"\r\nK = new");
        assert_eq!(*Dotenv::parse("A=1").unwrap().with("K", "v w"), "A=1\nK='v w'\n");
        assert_eq!(*Dotenv::parse("").unwrap().with("K", "it's $5\n"), "K=\"it's \\$5\\n\"\n");
        assert_eq!(*Dotenv::parse("K=u?a=1&b=2").unwrap().with("K", "u?a=3&b=4"), "K=u?a=3&b=4");
        assert_eq!(*Dotenv::parse("K=u").unwrap().with("K", "u?a=3&b=4"), "K='u?a=3&b=4'");
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in any::<String>(), old in any::<String>(), crlf in any::<bool>()) {
            let newline = if crlf { "\r\n" } else { "\n" };
            let old = old.replace('\u{0}', "");
            let base = Dotenv::parse("").unwrap().with("K", &old);
            let text = format!("# c{newline}A='1'{newline}{}B=\"2\"{newline}", *base);
            let after = Dotenv::parse(&text).unwrap().with("K", &value);
            prop_assert_eq!(read(&after, "K"), Some(value));
            prop_assert_eq!(read(&after, "A"), Some("1".to_owned()));
            prop_assert_eq!(read(&after, "B"), Some("2".to_owned()));
        }

        #[test]
        fn any_text_parses_or_says_why(text in any::<String>(), value in "[ -~\n]{0,20}") {
            if let Ok(file) = Dotenv::parse(&text) {
                let after = file.with("K", &value);
                prop_assert_eq!(read(&after, "K"), Some(value));
            }
        }
    }
}
