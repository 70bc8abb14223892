//! References to values: `openbao:mount/path#key`, `file:PATH`, `env:NAME`, `exec:PROGRAM ARG…`.
//!
//! The inventory holds these, never values. [`SecretSource::resolve`] fetches the value at the moment of use.

use std::fmt;
use std::process::Stdio;
use std::str::FromStr;

use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};

/// Largest value that a reference may give, in bytes.
pub const VALUE_MAX: u64 = 1 << 20;

/// Where a value is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// A key of a KV v2 secret: `openbao:kv/infra/pg#admin_url`.
    OpenBao {
        /// The mount, `kv`.
        mount: String,
        /// The path below it, `infra/pg`.
        path: String,
        /// The key in it, `admin_url`.
        key: String,
    },
    /// A file's content, one trailing newline removed.
    File(String),
    /// A variable of Quell's own environment.
    Env(String),
    /// Standard output of a program (no shell), one trailing newline removed.
    Exec(Vec<String>),
}

/// Why a text is not a reference. The text is not repeated: it may be a pasted value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a reference to a value: {0}; use openbao:mount/path#key, file:PATH, env:NAME or exec:PROGRAM")]
pub struct BadSource(pub &'static str);

impl FromStr for SecretSource {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        let (scheme, rest) = text.split_once(':').ok_or(BadSource("there is no scheme"))?;
        if rest.is_empty() {
            return Err(BadSource("nothing follows the scheme"));
        }
        match scheme {
            "openbao" | "vault" => {
                let (place, key) = rest.split_once('#').ok_or(BadSource("`#key` is missing"))?;
                let (mount, path) = place.split_once('/').ok_or(BadSource("`mount/path` is missing"))?;
                if mount.is_empty() || path.is_empty() || key.is_empty() {
                    return Err(BadSource("mount, path and key must not be empty"));
                }
                Ok(Self::OpenBao { mount: mount.to_owned(), path: path.to_owned(), key: key.to_owned() })
            }
            "file" => Ok(Self::File(rest.to_owned())),
            "env" => Ok(Self::Env(rest.to_owned())),
            "exec" => Ok(Self::Exec(rest.split_whitespace().map(str::to_owned).collect())),
            _ => Err(BadSource("the scheme is not known")),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenBao { mount, path, key } => write!(f, "openbao:{mount}/{path}#{key}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Exec(argv) => write!(f, "exec:{}", argv.join(" ")),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for SecretSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const FETCHING: &str = "fetching the value";

impl SecretSource {
    /// Fetches the value, now. Errors name the place, never what was in it.
    pub async fn resolve(&self, ctx: &Context) -> Result<SecretValue, ConnectError> {
        match self {
            Self::OpenBao { mount, path, key } => crate::openbao::fetch(ctx, mount, path, key).await,
            Self::File(_) | Self::Env(_) | Self::Exec(_) => self.resolve_here(ctx).await,
        }
    }

    /// The same without a vault in between: what OpenBao's own token may come from.
    pub(crate) async fn resolve_here(&self, ctx: &Context) -> Result<SecretValue, ConnectError> {
        let bytes = match self {
            Self::OpenBao { .. } => {
                let why = "OpenBao's own token cannot be kept in OpenBao; use file:, env: or exec:";
                return Err(self.error(ConnectErrorKind::Denied, why));
            }
            Self::Env(name) => match ctx.environment.get(name) {
                Some(value) => Zeroizing::new(value.clone().into_bytes()),
                None => return Err(self.error(ConnectErrorKind::Missing, "the variable is not set")),
            },
            Self::File(path) => self.read_file(ctx, path).await?,
            Self::Exec(argv) => self.run(ctx, argv).await?,
        };
        let value = match self {
            Self::File(_) | Self::Exec(_) => without_newline(&bytes),
            Self::Env(_) | Self::OpenBao { .. } => bytes.as_slice(),
        };
        if value.is_empty() {
            return Err(self.error(ConnectErrorKind::Missing, "there is nothing in it"));
        }
        Ok(SecretValue::new(value.to_vec()))
    }

    async fn read_file(&self, ctx: &Context, path: &str) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let path = ctx.path(path);
        let failed = |error: std::io::Error| self.error(kind_of(&error), error.to_string());
        let read = async {
            // A pipe or a device could block for ever or never end.
            if !tokio::fs::metadata(&path).await.map_err(failed)?.is_file() {
                return Err(self.error(ConnectErrorKind::Denied, "it is not a regular file"));
            }
            let file = tokio::fs::File::open(&path).await.map_err(failed)?;
            self.read_all(file).await
        };
        match tokio::time::timeout(ctx.call_limit, read).await {
            Ok(read) => read,
            Err(_elapsed) => Err(self.late(ctx)),
        }
    }

    /// No shell, no input, own process group; what it says on standard error is not shown, for it may quote
    /// the value.
    async fn run(&self, ctx: &Context, argv: &[String]) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(self.error(ConnectErrorKind::Missing, "no program is named"));
        };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(
                ctx.environment
                    .iter()
                    .filter(|(name, _)| crate::exec::program::INHERITED.contains(&name.as_str())),
            )
            .current_dir(&ctx.base)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.error(kind_of(&error), error.to_string()))?;
        let group = child.id();
        let stdout = child.stdout.take();
        let work = async {
            let output = match stdout {
                Some(stdout) => self.read_all(stdout).await?,
                None => Zeroizing::default(),
            };
            let status = child.wait().await;
            Ok::<_, ConnectError>((output, status))
        };
        let (output, status) = match tokio::time::timeout(ctx.call_limit, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                kill_group(group);
                return Err(error);
            }
            Err(_elapsed) => {
                kill_group(group);
                return Err(self.late(ctx));
            }
        };
        match status {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => {
                Err(self.error(ConnectErrorKind::Denied, format!("the program ended with {status}")))
            }
            Err(error) => Err(self.error(kind_of(&error), error.to_string())),
        }
    }

    async fn read_all(&self, from: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let mut bytes = Zeroizing::new(Vec::new());
        from.take(VALUE_MAX + 1)
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| self.error(kind_of(&error), error.to_string()))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > VALUE_MAX {
            return Err(self.error(ConnectErrorKind::Denied, "it gives more than 1 MiB"));
        }
        Ok(bytes)
    }

    fn late(&self, ctx: &Context) -> ConnectError {
        let words = format!("no value within {} ms", ctx.call_limit.as_millis());
        self.error(ConnectErrorKind::Transient { retry_after: None }, words)
    }

    /// Arguments of a program are left out: people put credentials there.
    fn error(&self, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        let system = match self {
            Self::Exec(argv) => format!("exec:{}", argv.first().map_or("", String::as_str)),
            Self::OpenBao { .. } | Self::File(_) | Self::Env(_) => self.to_string(),
        };
        ConnectError::new(system, FETCHING, kind, detail)
    }
}

/// One trailing line end: editors and `echo` add it.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Nothing was sent to any system, so none of these is `Lost`.
fn kind_of(error: &std::io::Error) -> ConnectErrorKind {
    if error.kind() == std::io::ErrorKind::NotFound {
        ConnectErrorKind::Missing
    } else {
        ConnectErrorKind::Denied
    }
}

/// The program and what it started.
fn kill_group(group: Option<u32>) {
    let pid = group.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself a moment ago.
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn context(base: &Path, environment: &[(&str, &str)]) -> Context {
        let limit = Duration::from_millis(400);
        let mut ctx = Context::new(base.to_owned(), crate::http::Client::new(limit, None).unwrap());
        ctx.call_limit = limit;
        let pairs = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        ctx.environment = Arc::new(pairs.collect::<BTreeMap<_, _>>());
        ctx
    }

    async fn resolved(reference: &str, ctx: &Context) -> Result<String, ConnectError> {
        let value = reference.parse::<SecretSource>().unwrap().resolve(ctx).await?;
        Ok(value.expose_text().unwrap().to_owned())
    }

    #[tokio::test]
    async fn values_come_from_file_environment_and_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("v"), "from-file\n\n").unwrap();
        let ctx = context(folder.path(), &[("NAME", "from-env\n")]);
        assert_eq!(resolved("file:v", &ctx).await.unwrap(), "from-file\n");
        assert_eq!(resolved("env:NAME", &ctx).await.unwrap(), "from-env\n");
        assert_eq!(resolved("exec:cat v", &ctx).await.unwrap(), "from-file\n");
        let hidden = resolved("exec:printenv NAME", &ctx).await;
        assert!(hidden.is_err(), "what Quell's environment holds is not a child's to read");
    }

    #[tokio::test]
    async fn failures_name_the_place_and_keep_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let content = "hunter2".repeat(200_000);
        std::fs::write(folder.path().join("big"), &content).unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("liar.sh"), "echo hunter2; echo hunter2 >&2; exit 3").unwrap();
        let ctx = context(folder.path(), &[]);
        for (reference, words) in [
            ("file:big", "file:big: fetching the value: it gives more than 1 MiB"),
            ("file:empty", "file:empty: fetching the value: there is nothing in it"),
            ("file:none", "file:none: fetching the value: No such file"),
            ("file:.", "file:.: fetching the value: it is not a regular file"),
            ("env:NONE", "env:NONE: fetching the value: the variable is not set"),
            ("exec:cat big", "exec:cat: fetching the value: it gives more than 1 MiB"),
            ("exec:sh liar.sh", "exec:sh: fetching the value: the program ended with exit status: 3"),
            ("exec:no-such-program-here", "exec:no-such-program-here: fetching the value: No such file"),
        ] {
            let error = resolved(reference, &ctx).await.unwrap_err();
            assert!(error.to_string().starts_with(words), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 60 & echo $! >child; wait";
        std::fs::write(folder.path().join("hang.sh"), script).unwrap();
        let error = resolved("exec:sh hang.sh", &context(folder.path(), &[])).await.unwrap_err();
        assert_eq!(error.kind, ConnectErrorKind::Transient { retry_after: None });
        let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        for _ in 0..40 {
            // Gone, or a zombie that nobody has collected yet.
            if std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the child lives on");
    }

    #[test]
    fn references_round_trip_and_bad_ones_are_not_repeated() {
        for good in ["openbao:kv/infra/pg#admin_url", "file:/run/x", "env:PGPASSWORD", "exec:pass show db"] {
            assert_eq!(good.parse::<SecretSource>().unwrap().to_string(), good);
        }
        for bad in ["hunter2", "postgres://u:hunter2@h/db", "openbao:kv#k", "openbao:kv/x", "file:"] {
            let message = bad.parse::<SecretSource>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
