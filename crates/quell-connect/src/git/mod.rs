//! A git repository on this machine as the place where something leaked: locked against pushes, and what it shows recorded.

mod lock;
mod see;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::plan::ChannelAct;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Channel, Check, Definition, Leak};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::exec::program::{Ended, Program};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "git",
    summary: "A git repository on this machine, bare or not, as the place where something leaked",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: Some(build),
};

fn schemas() -> Vec<(&'static str, Value)> {
    let channel = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["path"],
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "The repository; a relative path is relative to the inventory's folder",
            },
        },
    });
    vec![("channel", channel)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
}

/// More than this many bytes of git's answers are not read: names of refs are long where robots make them.
const SAID_MAX: u64 = 8 << 20;

/// One repository.
#[derive(Debug)]
struct Repository {
    path: PathBuf,
    context: Context,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Channel>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    if config.path.is_empty() || config.path.contains('\0') {
        return Err(ConfigError::at("path", "this names no folder", "name it: /srv/git/orders.git"));
    }
    Ok(Box::new(Repository { path: context.path(&config.path), context: context.clone() }))
}

#[async_trait]
impl Channel for Repository {
    fn target(&self) -> String {
        format!("git {}", self.path.display())
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = vec![Program::new(vec!["git".to_owned()], &self.context).check()];
        if checks.iter().all(|check| check.ok) {
            checks.push(self.check_folder().await);
        }
        checks
    }

    fn lock_in_words(&self) -> &'static str {
        "nobody can push (who had begun to may still end)"
    }

    fn acts(&self, _leak: &Leak<'_>) -> Vec<ChannelAct> {
        vec![ChannelAct::Lock, ChannelAct::Preserve, ChannelAct::Scan, ChannelAct::Unlock]
    }

    fn repository(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    async fn preserve(&self, _leak: &Leak<'_>) -> Result<Value, ConnectError> {
        let folder = self.folder().await?;
        see::see(self, &folder).await
    }

    async fn perform(&self, act: ChannelAct, leak: &Leak<'_>) -> Outcome {
        match self.folder().await {
            Ok(folder) => lock::perform(self, &folder, act, leak.incident).await,
            Err(error) => error.outcome(),
        }
    }

    async fn observe(&self, act: ChannelAct, leak: &Leak<'_>) -> Outcome {
        match self.folder().await {
            Ok(folder) => lock::observe(self, &folder, act, leak.incident).await,
            Err(error) => error.unseen(),
        }
    }
}

impl Repository {
    /// Where git keeps the repository: the folder itself, `.git` in it, or what a file there points to; of linked work trees the one that all
    /// share, where the settings are. Git also looks in the folders above: what it finds there is another repository than the one that is named.
    async fn folder(&self) -> Result<PathBuf, ConnectError> {
        let args = ["rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir"];
        let said = self.git(&self.path, &args).await?;
        let mut lines = said.lines().map(PathBuf::from);
        let (common, own) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let is = |folder: &Path| match (folder.canonicalize(), self.path.canonicalize()) {
            (Ok(folder), Ok(path)) => folder == path,
            _ => false,
        };
        if is(&common) || is(&own) {
            return Ok(common);
        }
        // Without a work tree it ends with an error, and the path is no repository's own.
        let top = self.end(&self.path, &["rev-parse", "--path-format=absolute", "--show-toplevel"]).await?;
        if top.0 == Some(0) && is(Path::new(top.1.trim_end_matches('\n'))) {
            return Ok(common);
        }
        let detail = "it is a folder inside of a repository; name the repository itself".to_owned();
        Err(self.error(ConnectErrorKind::Denied, detail))
    }

    async fn check_folder(&self) -> Check {
        let what = format!("write to the configuration of {}", self.path.display());
        match self.folder().await {
            Ok(folder) => {
                let ok = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok();
                let detail = if ok {
                    folder.display().to_string()
                } else {
                    format!(
                        "{} may not be written by this account; run as the repositories' owner",
                        folder.display()
                    )
                };
                Check { what, ok, detail }
            }
            Err(error) => Check { what, ok: false, detail: error.detail },
        }
    }

    /// What git says. It is only asked about settings and refs: no hook, no filter and no program of the repository runs.
    async fn git(&self, folder: &Path, args: &[&str]) -> Result<String, ConnectError> {
        let (code, text) = self.end(folder, args).await?;
        if code == Some(0) {
            return Ok(text);
        }
        let detail = match code {
            Some(128) => {
                "it is no repository, or another account owns it and git refuses it; run as its owner"
                    .to_owned()
            }
            Some(code) => format!("git ended with exit code {code}"),
            None => "git was ended by a signal".to_owned(),
        };
        Err(self.error(ConnectErrorKind::Denied, detail))
    }

    /// How git ended, and what it said. Its own messages are dropped: they could quote anything.
    async fn end(&self, folder: &Path, args: &[&str]) -> Result<(Option<i32>, String), ConnectError> {
        let mut argv = vec!["git".to_owned(), "-C".to_owned(), folder.display().to_string()];
        argv.extend(["-c", "core.fsmonitor=false", "--no-optional-locks"].map(str::to_owned));
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        match Program::new(argv, &self.context).run_up_to(SAID_MAX, true).await {
            Ended::Exited(status, output) => {
                Ok((status.code(), String::from_utf8_lossy(&output).into_owned()))
            }
            Ended::NotStarted(error) => {
                Err(self.error(ConnectErrorKind::Unreachable, format!("git was not started: {error}")))
            }
            Ended::Late => Err(self.error(ConnectErrorKind::Lost, "git did not end in time".to_owned())),
            Ended::Lost(words) => Err(self.error(ConnectErrorKind::Unexpected, words.to_owned())),
        }
    }

    fn error(&self, kind: ConnectErrorKind, detail: String) -> ConnectError {
        ConnectError::new(self.target(), "asking git", kind, detail)
    }
}
