//! Where the sandbox consumer reads its database URL: as a real one would, without Quell's connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Value, json};

use super::SYSTEM;
use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::http::Client;

const READING: &str = "reading the value";
const LIMIT: Duration = Duration::from_secs(5);

/// Where the value is.
#[derive(Clone, Debug)]
pub enum SandboxSource {
    /// A key of a dotenv file.
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The key: `DATABASE_URL`.
        key: String,
    },
    /// A key of a KV v2 secret, read anew at each reload.
    OpenBao {
        /// `http://127.0.0.1:8200`.
        address: String,
        /// A file with the token.
        token_file: PathBuf,
        /// The mount, `kv`.
        mount: String,
        /// The path below it.
        path: String,
        /// The key in it.
        key: String,
    },
}

impl SandboxSource {
    /// The value now.
    pub(super) async fn read(&self, http: &Client) -> Result<SecretValue, ConnectError> {
        let missing = || ConnectError::new(SYSTEM, READING, ConnectErrorKind::Missing, "there is no value");
        match self {
            Self::EnvFile { path, key } => {
                let mut context = Context::new(PathBuf::from("/"), http.clone());
                context.call_limit = LIMIT;
                let config = json!({ "path": path, "key": key });
                let store = crate::env_file::store(&config, &context).map_err(|error| {
                    ConnectError::new(SYSTEM, READING, ConnectErrorKind::Denied, error.to_string())
                })?;
                Ok(store.read().await?.ok_or_else(missing)?.value)
            }
            Self::OpenBao { address, token_file, mount, path, key } => {
                let token = token(token_file)?;
                let header = token.expose_text().unwrap_or_default().trim();
                let url = format!("{}/v1/{mount}/data/{path}", address.trim_end_matches('/'));
                let request = http.request(Method::GET, &url)?.timeout(LIMIT).header("X-Vault-Token", header);
                let answer = http.send(SYSTEM, READING, request).await?;
                if answer.status != 200 {
                    let words = format!("OpenBao answered {}", answer.status);
                    return Err(ConnectError::new(SYSTEM, READING, ConnectErrorKind::Denied, words));
                }
                let json = answer.json();
                let text = json.pointer("/data/data").and_then(|data| data.get(key)).and_then(Value::as_str);
                Ok(SecretValue::from_text(text.ok_or_else(missing)?.to_owned()))
            }
        }
    }
}

/// A small file with one token.
pub(super) fn token(file: &std::path::Path) -> Result<Arc<SecretValue>, ConnectError> {
    let bytes = std::fs::read(file).map_err(|error| {
        ConnectError::new(SYSTEM, "reading its token", ConnectErrorKind::Denied, error.kind().to_string())
    })?;
    Ok(Arc::new(SecretValue::new(bytes.trim_ascii().to_vec())))
}
