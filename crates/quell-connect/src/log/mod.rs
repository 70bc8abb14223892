//! Notices as JSON lines, in a file or on standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Notice, Notify};
use crate::context::Context;
use crate::error::ConfigError;
use crate::webhook::sign::wall_clock;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "log",
    summary: "Appends notices to a file, or writes them to standard error",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: Some(build),
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let notify = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "path": { "type": "string", "minLength": 1, "description": "The file; standard error when left out" },
        },
    });
    vec![("notify", notify)]
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: Option<String>,
}

#[derive(Debug)]
struct Log {
    path: Option<PathBuf>,
    limit: Duration,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    notice: &'a Notice,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Notify>, ConfigError> {
    let config = if config.is_null() { Config::default() } else { ConfigError::parse(config)? };
    if config.path.as_deref().is_some_and(|path| path.is_empty() || path.ends_with('/')) {
        return Err(ConfigError::at("path", "this names no file", "name it: /var/log/quell/notices.jsonl"));
    }
    Ok(Box::new(Log { path: config.path.map(|path| context.path(&path)), limit: context.call_limit }))
}

#[async_trait]
impl Notify for Log {
    fn target(&self) -> String {
        match &self.path {
            Some(path) => format!("log {}", path.display()),
            None => "log to standard error".to_owned(),
        }
    }

    async fn check(&self) -> Vec<Check> {
        let Some(path) = &self.path else { return Vec::new() };
        let folder = path.parent().unwrap_or(Path::new("/"));
        // The file may not exist yet, and a check makes none.
        let place = if path.exists() { path.as_path() } else { folder };
        let (ok, detail) = match rustix::fs::access(place, rustix::fs::Access::WRITE_OK) {
            Ok(()) => (true, "yes".to_owned()),
            Err(error) => (false, format!("{}: {error}", place.display())),
        };
        vec![Check { what: format!("append to {}", path.display()), ok, detail }]
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        let line = Line { time: wall_clock().to_string(), notice };
        let Ok(mut line) = serde_json::to_vec(&line) else {
            return Outcome::refused("the notice cannot be written as JSON");
        };
        line.push(b'\n');
        let (path, id) = (self.path.clone(), notice.id.clone());
        let work = tokio::task::spawn_blocking(move || match path {
            None => io::stderr().lock().write_all(&line).map(|()| false),
            Some(path) => append(&path, &id, &line),
        });
        match tokio::time::timeout(self.limit, work).await {
            Ok(Ok(Ok(repeated))) => Outcome::applied([("repeated", json!(repeated))]),
            Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::WriteZero => {
                Outcome::unknown(format!("{}: {error}", self.target()))
            }
            Ok(Ok(Err(error))) => Outcome::retry(format!("{}: {error}", self.target())),
            Ok(Err(_)) | Err(_) => Outcome::unknown(format!("{}: no answer in time", self.target())),
        }
    }
}

/// True when the notice is there already.
fn append(path: &Path, id: &str, line: &[u8]) -> io::Result<bool> {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    if kind.is_ok_and(|kind| kind.is_dir() || kind.is_fifo() || kind.is_socket()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let tail = tail(&mut file)?;
    if tail.split(|byte| *byte == b'\n').any(|old| is(old, id)) {
        return Ok(true);
    }
    // A crash may have left half a line; the new one must stand by itself. One write: lines of several
    // processes do not mix.
    let mut text = Vec::with_capacity(line.len() + 1);
    if tail.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line);
    let written = file.write(&text)?;
    if written < text.len() {
        return Err(io::Error::new(io::ErrorKind::WriteZero, "only a part was written; is the disk full?"));
    }
    file.sync_all()?;
    Ok(false)
}

/// The last MiB.
fn tail(file: &mut File) -> io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut tail = Vec::new();
    file.take(MOST).read_to_end(&mut tail)?;
    Ok(tail)
}

fn is(line: &[u8], id: &str) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|old| old.get("id").and_then(Value::as_str) == Some(id))
}
