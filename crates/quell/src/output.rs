//! What people and programs see. Data goes to stdout, all else to stderr; understandable without colour.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use quell_app::AppError;
use quell_hunt::report::{clean, escaped};
use serde::Serialize;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// How a word is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Bad,
    Careful,
    Quiet,
    Strong,
    Name,
}

/// A word in its tone; colour only reaches a terminal (anstream strips it elsewhere and under `NO_COLOR`).
pub(crate) fn tone(tone: Tone, text: impl Display) -> String {
    let style = match tone {
        Tone::Good => GREEN,
        Tone::Bad => RED,
        Tone::Careful => YELLOW,
        Tone::Quiet => DIM,
        Tone::Strong => BOLD,
        Tone::Name => CYAN,
    };
    format!("{style}{text}{style:#}")
}

/// What [`tone`] writes, as it stands in a text. Nothing else moves the cursor, hides or colours anything.
const OWN: [&str; 7] =
    ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"];

/// A text as a terminal may show it. What strangers wrote is in titles, notes, places and answers of systems: a sequence in it could rewrite the
/// line above, or the window's name, so it is spelled out.
fn shown(text: &str) -> String {
    let hides = |c: char| {
        let plain = c == '\n' || c == '\t' || c == ' ' || c.is_ascii_graphic();
        !plain && clean(c.encode_utf8(&mut [0; 4])) != c.to_string()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(hides) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let own = OWN.iter().find_map(|own| Some((*own, from.strip_prefix(own)?)));
        let mut chars = from.chars();
        rest = if let Some((own, after)) = own {
            out.push_str(own);
            after
        } else {
            out.extend(chars.next().into_iter().flat_map(char::escape_unicode));
            chars.as_str()
        };
    }
    out.push_str(rest);
    out
}

/// The two channels.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
}

#[expect(clippy::unused_self, reason = "every channel of output is reached through one value")]
impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// True when the caller wants JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// One object on stdout, with the version of the format.
    pub(crate) fn object<T: Serialize>(&self, value: &T) -> Result<(), AppError> {
        self.data(self.text_of(value)?)
    }

    /// The same as text, for a file.
    pub(crate) fn text_of<T: Serialize>(&self, value: &T) -> Result<String, AppError> {
        let mut value = serde_json::to_value(value).map_err(|e| AppError::Usage(e.to_string()))?;
        if let serde_json::Value::Object(map) = &mut value {
            map.entry("v").or_insert_with(|| 1.into());
        }
        let text = serde_json::to_string_pretty(&value).map_err(|e| AppError::Usage(e.to_string()))?;
        Ok(escaped(&text))
    }

    /// A line of data on stdout. A closed pipe (`| head`) ends the program quietly.
    pub(crate) fn data(&self, line: impl Display) -> Result<(), AppError> {
        written(writeln!(anstream::stdout(), "{}", shown(&line.to_string())))
    }

    /// Bytes on stdout, as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), AppError> {
        written(std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()))
    }

    /// Lines of data on stdout, in colour where that is shown.
    pub(crate) fn styled(&self, text: &str) -> Result<(), AppError> {
        let mut to = anstream::stdout().lock();
        written(to.write_all(shown(text).as_bytes()).and_then(|()| to.flush()))
    }

    /// Replaces the line at the cursor on stderr, which is a terminal.
    pub(crate) fn redraw(&self, line: &str) {
        let mut to = std::io::stderr().lock();
        // ECMA-48: carriage return, erase to the end of the line.
        let _told = write!(to, "\r\x1b[K{line}").and_then(|()| to.flush());
    }

    /// A line for people on stderr.
    pub(crate) fn status(&self, line: impl Display) {
        // If stderr is gone there is nobody to tell.
        let _told = writeln!(anstream::stderr(), "{}", shown(&line.to_string()));
    }

    /// A question for people on stderr; the answer is typed behind it.
    pub(crate) fn ask(&self, question: impl Display) -> std::io::Result<()> {
        let mut to = anstream::stderr().lock();
        write!(to, "{}", shown(&question.to_string())).and_then(|()| to.flush())
    }

    /// What to do next.
    pub(crate) fn hint(&self, line: impl Display) {
        self.status(format!("{} {line}", tone(Tone::Name, "hint:")));
    }

    /// Something to be careful about.
    pub(crate) fn warning(&self, line: impl Display) {
        self.status(format!("{} {line}", tone(Tone::Careful, "warning:")));
    }

    /// An error with its hints; `clean` takes out what must not be repeated.
    pub(crate) fn error(&self, error: &AppError, clean: impl Fn(&str) -> String) {
        let said = clean(&error.to_string());
        self.status(format!("{} {said}", tone(Tone::Bad, "error:")));
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            let text = clean(&next.to_string());
            if !said.contains(&text) {
                self.status(format!("  because {text}"));
            }
            cause = next.source();
        }
        for hint in error.hints() {
            self.hint(clean(&hint));
        }
    }

    /// A table on stdout.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), AppError> {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(header.iter().map(|h| h.to_uppercase()));
        for row in rows {
            table.add_row(row);
        }
        self.data(table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    }
}

/// True when somebody can answer a question.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn written(result: std::io::Result<()>) -> Result<(), AppError> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(AppError::Io { path: "standard output".to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A duration for people: `0.42 s`, `3 min 12 s`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sequence_of_a_stranger_reaches_a_terminal_and_ours_do() {
        let odd = "a\u{1b}]0;title\u{7}b\u{1b}[2Jc\u{1b}[8md\re\u{202e}f\u{9b}31m";
        let line = format!("{} {odd}", tone(Tone::Bad, "error:"));
        let safe = shown(&line);
        assert!(safe.starts_with(&tone(Tone::Bad, "error:")), "{safe:?}");
        let rest = safe.trim_start_matches(&tone(Tone::Bad, "error:"));
        assert!(!rest.chars().any(|c| c.is_control() || c == '\u{202e}'), "{rest:?}");
        assert!(rest.contains("\\u{1b}]0;title\\u{7}b\\u{1b}[2Jc"), "{rest}");
        assert_eq!(shown("zwei\tSpalten\nünïcode ✓ 日本"), "zwei\tSpalten\nünïcode ✓ 日本");
    }

    #[test]
    fn every_tone_is_one_of_ours() {
        for it in [Tone::Good, Tone::Bad, Tone::Careful, Tone::Quiet, Tone::Strong, Tone::Name] {
            let toned = tone(it, "a");
            assert_eq!(shown(&toned), toned, "{it:?}");
        }
    }
}
