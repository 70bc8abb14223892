//! A local process as a consumer: a signal makes it reload, its start time tells whether it was restarted.

mod target;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use rustix::process::{Signal, pidfd_send_signal};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Observe, Reload, Seen};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use target::{Absent, Target};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "process",
    summary: "Signals a local process by its pid file, or sees when it was started",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: Some(build_reload),
    observe: Some(build_observe),
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let which = json!({
        "pidfile": { "type": "string", "minLength": 1, "description": "The file with the pid" },
        "exe": { "type": "string", "description": "The program's file, compared with /proc/<pid>/exe" },
        "name": { "type": "string", "minLength": 1, "maxLength": 15, "description": "The name, as in ps -o comm" },
    });
    let mut with_signal = which.clone();
    if let Some(properties) = with_signal.as_object_mut() {
        let signal = json!({ "enum": ["HUP", "USR1", "USR2", "TERM"], "default": "HUP" });
        properties.insert("signal".to_owned(), signal);
    }
    let schema = |properties: Value| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": false,
            "required": ["process"],
            "properties": { "process": {
                "type": "object",
                "additionalProperties": false,
                "required": ["pidfile"],
                "properties": properties,
            } },
        })
    };
    vec![("reload", schema(with_signal)), ("observe", schema(which))]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    process: target::Config,
}

#[derive(Debug)]
struct Signalled {
    target: Target,
    signal: Signal,
    name: &'static str,
}

#[derive(Debug)]
struct Watched {
    target: Target,
}

fn build_reload(config: &Value, context: &Context) -> Result<Box<dyn Reload>, ConfigError> {
    let config = ConfigError::parse::<Config>(config)?.process;
    let given = config.signal.as_deref().unwrap_or("HUP");
    let (signal, name) = match given.strip_prefix("SIG").unwrap_or(given) {
        "HUP" => (Signal::HUP, "SIGHUP"),
        "USR1" => (Signal::USR1, "SIGUSR1"),
        "USR2" => (Signal::USR2, "SIGUSR2"),
        "TERM" => (Signal::TERM, "SIGTERM"),
        _ => {
            return Err(ConfigError::at(
                "signal",
                "this signal is not for a reload",
                "use HUP, USR1, USR2 or TERM",
            ));
        }
    };
    Ok(Box::new(Signalled { target: config.target(context)?, signal, name }))
}

fn build_observe(config: &Value, context: &Context) -> Result<Box<dyn Observe>, ConfigError> {
    let config = ConfigError::parse::<Config>(config)?.process;
    if config.signal.is_some() {
        let hint = "put `signal` under `reload`";
        return Err(ConfigError::at("signal", "observing sends no signal", hint));
    }
    Ok(Box::new(Watched { target: config.target(context)? }))
}

/// Is there a process, and is it the right one?
fn checks(target: &Target) -> Vec<Check> {
    let (ok, detail) = match target.find() {
        Ok(found) => (true, format!("pid {}", found.pid)),
        Err(absent) => (false, words(target, absent)),
    };
    vec![Check { what: format!("find the process of {}", target.pidfile.display()), ok, detail }]
}

fn words(target: &Target, absent: Absent) -> String {
    match absent {
        Absent::NoFile => format!("{} does not exist", target.pidfile.display()),
        Absent::Dead => format!("the process of {} has ended", target.pidfile.display()),
        Absent::Wrong(words) => words,
    }
}

#[async_trait]
impl Reload for Signalled {
    fn target(&self) -> String {
        format!("{} to the process of {}", self.name, self.target.pidfile.display())
    }

    async fn check(&self) -> Vec<Check> {
        checks(&self.target)
    }

    async fn reload(&self) -> Outcome {
        let found = match self.target.find() {
            Ok(found) => found,
            // A supervisor may be starting it at this moment.
            Err(absent @ (Absent::NoFile | Absent::Dead)) => {
                return Outcome::retry(words(&self.target, absent));
            }
            Err(Absent::Wrong(words)) => return Outcome::refused(words),
        };
        match pidfd_send_signal(&found.fd, self.signal) {
            Ok(()) => Outcome::applied([("pid", json!(found.pid)), ("signal", json!(self.name))]),
            Err(rustix::io::Errno::SRCH) => Outcome::retry(words(&self.target, Absent::Dead)),
            Err(rustix::io::Errno::PERM) => Outcome::refused(format!(
                "pid {} belongs to another user; run Quell as that user or as root",
                found.pid
            )),
            Err(error) => Outcome::refused(format!("pid {}: {error}", found.pid)),
        }
    }
}

#[async_trait]
impl Observe for Watched {
    fn target(&self) -> String {
        format!("start time of the process of {}", self.target.pidfile.display())
    }

    async fn check(&self) -> Vec<Check> {
        checks(&self.target)
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        let failed =
            |kind, words: String| ConnectError::new(self.target(), "looking at the process", kind, words);
        match self.target.find() {
            Ok(found) => Ok(Seen {
                generation: Some(format!("{}@{}", found.pid, found.started)),
                principal: None,
                healthy: true,
                why: None,
            }),
            Err(Absent::Dead) => Ok(Seen::default()),
            Err(absent @ Absent::NoFile) => {
                Err(failed(ConnectErrorKind::Missing, words(&self.target, absent)))
            }
            Err(Absent::Wrong(words)) => Err(failed(ConnectErrorKind::Unexpected, words)),
        }
    }
}
