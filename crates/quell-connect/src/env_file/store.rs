//! The store: one key of one file.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use super::leftover;
use super::part::Part;
use super::place::{Content, Place, Trouble};
use crate::connector::{Check, Store, Stored};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
    key: String,
    mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeConfig {
    path: String,
    mode: Option<String>,
}

/// Cheap to clone: the work runs on a thread that may block.
#[derive(Clone, Debug)]
struct EnvFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    part: Part,
    mode: u32,
    limit: Duration,
}

pub(crate) fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let other = |c: char| letter(c) || c.is_ascii_digit() || c == '.' || c == '-';
    if !config.key.starts_with(letter) || !config.key.chars().all(other) {
        let hint = "letters, digits, `_`, `.` and `-`, not starting with a digit: DATABASE_URL";
        return Err(ConfigError::at("key", "this is not the name of a variable", hint));
    }
    built((&config.path, config.mode.as_deref()), Part::Key(config.key), context)
}

/// A file that is the value.
pub(crate) fn whole(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let config: WholeConfig = ConfigError::parse(config)?;
    built((&config.path, config.mode.as_deref()), Part::Whole, context)
}

fn built(
    (path, mode): (&str, Option<&str>),
    part: Part,
    context: &Context,
) -> Result<Box<dyn Store>, ConfigError> {
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return Err(ConfigError::at("path", "this names no file", "name the file: /etc/orders/orders.env"));
    }
    let mode = match mode {
        None => 0o600,
        Some(text) => {
            u32::from_str_radix(text, 8).ok().filter(|mode| mode & !0o777 == 0).ok_or_else(|| {
                ConfigError::at("mode", "this is not a file mode", "quote it, in octal: \"0600\" or \"0640\"")
            })?
        }
    };
    let inner = Inner { path: context.path(path), part, mode, limit: context.call_limit };
    Ok(Box::new(EnvFile(Arc::new(inner))))
}

#[async_trait]
impl Store for EnvFile {
    fn target(&self) -> String {
        self.0.target()
    }

    async fn check(&self) -> Vec<Check> {
        self.run(Inner::check).await.unwrap_or_else(|| {
            let detail = "the file system did not answer in time".to_owned();
            vec![Check { what: format!("read {}", self.0.path.display()), ok: false, detail }]
        })
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the value";
        let late = || ConnectError::new(self.target(), WHAT, ConnectErrorKind::Lost, LATE);
        let stored = self.run(Inner::stored).await.ok_or_else(late)?;
        stored.map_err(|trouble| {
            let (kind, words) = match trouble {
                Trouble::Refused(words) => (ConnectErrorKind::Denied, words),
                Trouble::Busy(words) => (ConnectErrorKind::Transient { retry_after: None }, words),
                Trouble::Unsure(words) => (ConnectErrorKind::Lost, words),
            };
            ConnectError::new(self.target(), WHAT, kind, words)
        })
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        let new = new.duplicate();
        self.outcome(move |file| file.write(&new, None)).await
    }

    async fn swap(&self, version: &str, new: &SecretValue) -> Outcome {
        let (version, new) = (version.to_owned(), new.duplicate());
        self.outcome(move |file| file.write(&new, Some(&version))).await
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        let new = new.duplicate();
        let seen = self.run(move |file| file.observe_write(&new)).await;
        self.0.observation(seen)
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        let values = duplicates(compromised);
        self.outcome(move |file| file.purge(&values.iter().collect::<Vec<_>>())).await
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        let values = duplicates(compromised);
        let seen = self.run(move |file| file.observe_purge(&values.iter().collect::<Vec<_>>())).await;
        self.0.observation(seen)
    }
}

const LATE: &str = "the file system did not answer in time";

fn duplicates(values: &[&SecretValue]) -> Vec<SecretValue> {
    values.iter().map(|value| value.duplicate()).collect()
}

impl EnvFile {
    /// Runs `work` where blocking is allowed; `None` when it takes too long (a dead network file system).
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Option<T> {
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || work(&inner));
        tokio::time::timeout(self.0.limit, task).await.ok()?.ok()
    }

    async fn outcome(
        &self,
        work: impl FnOnce(&Inner) -> Result<Outcome, Trouble> + Send + 'static,
    ) -> Outcome {
        match self.run(work).await {
            None => Outcome::unknown(format!("{}: {LATE}", self.target())),
            Some(Ok(outcome)) => outcome,
            Some(Err(Trouble::Refused(words))) => Outcome::refused(format!("{}: {words}", self.target())),
            Some(Err(Trouble::Busy(words))) => Outcome::retry(format!("{}: {words}", self.target())),
            Some(Err(Trouble::Unsure(words))) => Outcome::unknown(format!("{}: {words}", self.target())),
        }
    }
}

impl Inner {
    fn target(&self) -> String {
        let path = self.path.display();
        match &self.part {
            Part::Key(key) => format!("env_file {path}#{key}"),
            Part::Whole => format!("file {path}"),
        }
    }

    /// What could not be seen is unknown, whatever the reason.
    fn observation(&self, seen: Option<Result<Outcome, Trouble>>) -> Outcome {
        match seen {
            Some(Ok(outcome)) => outcome,
            Some(Err(Trouble::Refused(words) | Trouble::Busy(words) | Trouble::Unsure(words))) => {
                Outcome::unknown(format!("{}: {words}", self.target()))
            }
            None => Outcome::unknown(format!("{}: {LATE}", self.target())),
        }
    }

    fn stored(&self) -> Result<Option<Stored>, Trouble> {
        let Some(content) = Place::find(&self.path)?.read()? else { return Ok(None) };
        let value = self.value(&content)?;
        Ok(value.map(|value| Stored { value, version: content.version.clone() }))
    }

    fn value(&self, content: &Content) -> Result<Option<SecretValue>, Trouble> {
        self.part.value(&content.text)
    }

    /// `expected`: the version that must still be there.
    fn write(&self, new: &SecretValue, expected: Option<&str>) -> Result<Outcome, Trouble> {
        let Some(text) = new.expose_text().filter(|text| !text.contains('\0') && !text.is_empty()) else {
            return Err(Trouble::Refused(
                "the value is empty, or not text, so no file of text can hold it".to_owned(),
            ));
        };
        let place = Place::find(&self.path)?;
        let _lock = place.lock()?;
        let before = place.read()?;
        let there = before.as_ref().map(|content| content.version.as_str());
        if expected.is_some_and(|expected| there != Some(expected)) {
            return Err(Trouble::Busy("somebody changed it meanwhile".to_owned()));
        }
        let after = self.part.with(before.as_ref().map_or("", |content| &content.text), text)?;
        let version = match &before {
            Some(content) if after.there => content.version.clone(),
            Some(_) | None => place.replace(before.as_ref(), &after.text, self.mode)?,
        };
        Ok(Outcome::applied([("version", json!(version))]))
    }

    fn observe_write(&self, new: &SecretValue) -> Result<Outcome, Trouble> {
        Ok(match self.stored()? {
            Some(stored) if stored.value.same_as(new) => {
                Outcome::applied([("version", json!(stored.version))])
            }
            Some(_) => Outcome::retry(format!("{} holds another value", self.target())),
            None => Outcome::retry(format!("{} holds no value", self.target())),
        })
    }

    fn purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, Trouble> {
        let place = Place::find(&self.path)?;
        let _lock = place.lock()?;
        let mut destroyed = Vec::new();
        let mut stuck = Vec::new();
        for name in leftover::find(&place, compromised).holding {
            match leftover::destroy(&place, &name) {
                Ok(()) => destroyed.push(name),
                Err(error) => stuck.push(format!("{name} ({})", error.kind())),
            }
        }
        if !stuck.is_empty() {
            let names = stuck.join(", ");
            return Err(Trouble::Refused(format!(
                "copies with a compromised value could not be destroyed; remove them in {}: {names}",
                place.folder.display()
            )));
        }
        if let Some(left) = self.left(&place, compromised)? {
            return Err(Trouble::Refused(left));
        }
        Ok(Outcome::applied([("history", json!(false)), ("destroyed", json!(destroyed))]))
    }

    fn observe_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, Trouble> {
        let place = Place::find(&self.path)?;
        Ok(match self.left(&place, compromised)? {
            Some(left) => Outcome::refused(format!("{}: {left}", self.target())),
            None => Outcome::applied([("history", json!(false))]),
        })
    }

    /// Where a compromised value can still be read, and what to do about it.
    fn left(&self, place: &Place, compromised: &[&SecretValue]) -> Result<Option<String>, Trouble> {
        if compromised.is_empty() {
            return Ok(None);
        }
        if let Some(content) = place.read()? {
            if self.value(&content)?.is_some_and(|value| compromised.iter().any(|c| c.same_as(&value))) {
                return Ok(Some(
                    "the current value is a compromised one; write its successor first".to_owned(),
                ));
            }
            let rest = self.part.rest(&content.text)?;
            if compromised.iter().any(|value| leftover::holds(rest.as_bytes(), value)) {
                let lines = lines(&rest, compromised);
                return Ok(Some(format!(
                    "the file holds a compromised value under another key or in a comment ({lines}); remove it there"
                )));
            }
        }
        let found = leftover::find(place, compromised);
        if !found.holding.is_empty() {
            return Ok(Some(format!(
                "copies beside the file hold a compromised value: {}",
                found.holding.join(", ")
            )));
        }
        if !found.unreadable.is_empty() {
            return Ok(Some(format!(
                "copies beside the file cannot be read: {}",
                found.unreadable.join(", ")
            )));
        }
        Ok(None)
    }

    fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut push = |what: String, ok: bool, detail: String| checks.push(Check { what, ok, detail });
        let shown = self.path.display();
        let (place, content) = match Place::find(&self.path).and_then(|place| Ok((place.read()?, place))) {
            Ok((content, place)) => (place, content),
            Err(Trouble::Refused(words) | Trouble::Busy(words) | Trouble::Unsure(words)) => {
                push(format!("read {shown}"), false, words);
                return checks;
            }
        };
        match content.as_ref().map(|content| self.value(content)) {
            None => push(
                format!("read {shown}"),
                true,
                "it does not exist yet; the first write makes it".to_owned(),
            ),
            Some(Ok(value)) => push(format!("read {shown}"), true, self.part.presence(value.is_some())),
            Some(Err(Trouble::Refused(w) | Trouble::Busy(w) | Trouble::Unsure(w))) => {
                push(format!("read {shown}"), false, w);
            }
        }
        let writable =
            rustix::fs::access(&place.folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        let detail = match writable {
            Ok(()) => "yes".to_owned(),
            Err(error) => format!("{error}; writing needs write permission on the folder"),
        };
        push(format!("replace files in {}", place.folder.display()), writable.is_ok(), detail);
        if let Ok(metadata) = fs::metadata(&place.folder) {
            // With the sticky bit only a file's owner may replace it, as in /tmp.
            let open = metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
            let mode = metadata.mode() & 0o7777;
            let advice = if open { "; others can swap the file: chmod go-w" } else { "" };
            push(
                "keep others from writing in the folder".to_owned(),
                !open,
                format!("mode {mode:04o}{advice}"),
            );
        }
        if let Ok(metadata) = fs::metadata(&place.file) {
            // What the inventory gives to everybody (`mode`) is meant to be so.
            let open = metadata.mode() & 0o007 & !self.mode != 0;
            let mode = metadata.mode() & 0o7777;
            let advice = if open { "; anybody here can read or change it: chmod o=" } else { "" };
            push("keep others from the file".to_owned(), !open, format!("mode {mode:04o}{advice}"));
        }
        checks
    }
}

/// `line 3` or `lines 3, 9`.
fn lines(text: &str, values: &[&SecretValue]) -> String {
    let holding = |line: &str| values.iter().any(|value| leftover::holds(line.as_bytes(), value));
    let numbers: Vec<_> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| holding(line))
        .map(|(n, _)| (n + 1).to_string())
        .collect();
    let word = if numbers.len() == 1 { "line" } else { "lines" };
    format!("{word} {}", numbers.join(", "))
}
