//! Which part of a file is the value: one key of many, or all of it.

use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use super::dotenv::Dotenv;
use super::place::Trouble;

#[derive(Debug)]
pub(super) enum Part {
    /// The assignment to a variable.
    Key(String),
    /// The whole file, without the line break that it ends with.
    Whole,
}

/// A file with another value in it.
pub(super) struct Changed {
    pub(super) text: Zeroizing<String>,
    /// Whether it had that value already.
    pub(super) there: bool,
}

impl Part {
    /// The value; an empty one is none.
    pub(super) fn value(&self, text: &str) -> Result<Option<SecretValue>, Trouble> {
        let value = match self {
            Self::Key(key) => {
                let file = parse(text)?;
                file.of(key).last().map(|a| file.value(a).as_bytes().to_vec())
            }
            Self::Whole => Some(split(text).0.as_bytes().to_vec()),
        };
        Ok(value.filter(|value| !value.is_empty()).map(SecretValue::new))
    }

    /// The file with another value.
    pub(super) fn with(&self, text: &str, new: &str) -> Result<Changed, Trouble> {
        match self {
            Self::Key(key) => {
                let file = parse(text)?;
                // Every assignment, not only the one that counts: another reader may take the first.
                let mut assigned = file.of(key).peekable();
                let there =
                    assigned.peek().is_some() && assigned.all(|a| file.value(a).as_bytes() == new.as_bytes());
                Ok(Changed { text: file.with(key, new), there })
            }
            Self::Whole => {
                if split(new).0 != new {
                    return Err(Trouble::Refused(
                        "the value ends with a line break, which a file would lose".to_owned(),
                    ));
                }
                let (value, end) = split(text);
                // A key of several lines without one at its end is refused by some readers.
                let end = if value.is_empty() && new.contains('\n') { "\n" } else { end };
                Ok(Changed { text: Zeroizing::new(format!("{new}{end}")), there: value == new })
            }
        }
    }

    /// The file without our own value: a successor may have the old one as a part.
    pub(super) fn rest(&self, text: &str) -> Result<Zeroizing<String>, Trouble> {
        match self {
            Self::Key(key) => Ok(parse(text)?.with(key, "")),
            Self::Whole => Ok(Zeroizing::default()),
        }
    }

    /// Whether a value is there, in words.
    pub(super) fn presence(&self, there: bool) -> String {
        match (self, there) {
            (Self::Key(key), true) => format!("it has `{key}`"),
            (Self::Key(key), false) => format!("it has no `{key}` yet"),
            (Self::Whole, true) => "it holds a value".to_owned(),
            (Self::Whole, false) => "it is empty".to_owned(),
        }
    }
}

fn parse(text: &str) -> Result<Dotenv<'_>, Trouble> {
    Dotenv::parse(text).map_err(|bad| Trouble::Refused(format!("{bad}; it cannot be edited safely")))
}

/// A text and the one line break at its end.
fn split(text: &str) -> (&str, &str) {
    let value = text.strip_suffix('\n').map_or(text, |rest| rest.strip_suffix('\r').unwrap_or(rest));
    (value, text.get(value.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_keeps_the_line_break_at_its_end() {
        let with = |text: &str, new: &str| {
            Part::Whole.with(text, new).ok().map(|it| (it.text.to_string(), it.there))
        };
        let some = |text: &str, there| Some((text.to_owned(), there));
        assert_eq!(with("old\n", "new"), some("new\n", false));
        assert_eq!(with("old\r\n", "old"), some("old\r\n", true));
        assert_eq!(with("old", "new"), some("new", false));
        assert_eq!(with("", "token"), some("token", false));
        assert_eq!(with("", "-----BEGIN\nEND-----"), some("-----BEGIN\nEND-----\n", false));
        assert_eq!(with("old", "new\n"), None);
        let value = |text: &str| Part::Whole.value(text).ok().flatten().map(|it| it.expose().to_vec());
        assert_eq!(value("a\nb\n\n"), Some(b"a\nb\n".to_vec()));
        assert_eq!((value("\n"), value("")), (None, None));
    }
}
