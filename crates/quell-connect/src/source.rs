//! References to values: `openbao:mount/path#key`, `file:PATH`, `env:NAME`, `exec:PROGRAM ARG…`.
//!
//! The inventory holds these, never values. [`SecretSource::resolve`] fetches the value at the moment of use.

use std::fmt;
use std::str::FromStr;

use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};

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

impl SecretSource {
    /// Fetches the value at the moment of use.
    #[expect(clippy::unused_async, reason = "other sources wait for programs and servers")]
    pub async fn resolve(&self, context: &Context) -> Result<SecretValue, ConnectError> {
        let failed = |kind, detail| ConnectError::new(self.to_string(), "reading the value", kind, detail);
        match self {
            Self::File(path) => {
                let mut bytes = std::fs::read(context.path(path))
                    .map_err(|error| failed(ConnectErrorKind::Missing, error.to_string()))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(SecretValue::new(bytes))
            }
            Self::Env(name) => match context.environment.get(name) {
                Some(value) => Ok(SecretValue::from_text(value.clone())),
                None => Err(failed(ConnectErrorKind::Missing, "the variable is not set".to_owned())),
            },
            Self::OpenBao { .. } | Self::Exec(_) => {
                Err(failed(ConnectErrorKind::Unexpected, "this source is not built in yet".to_owned()))
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
