//! What people and programs see. Data goes to stdout, all else to stderr; understandable without colour.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use quell_app::AppError;
use quell_hunt::report::escaped;
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
        written(writeln!(anstream::stdout(), "{line}"))
    }

    /// Bytes on stdout, as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), AppError> {
        written(std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()))
    }

    /// Lines of data on stdout, in colour where that is shown.
    pub(crate) fn styled(&self, text: &str) -> Result<(), AppError> {
        let mut to = anstream::stdout().lock();
        written(to.write_all(text.as_bytes()).and_then(|()| to.flush()))
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
        let _told = writeln!(anstream::stderr(), "{line}");
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
