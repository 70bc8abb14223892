//! What every connector gets when it is built.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::error::{ConnectError, ConnectErrorKind};
use crate::http::Client;

/// Shared by all connectors of one run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Relative paths in the inventory are relative to this folder (the inventory's own).
    pub base: PathBuf,
    /// The `connections:` part of the inventory, by connector id: addresses and references to credentials.
    pub connections: Arc<BTreeMap<String, Value>>,
    /// The process's environment as read once at the edge (`env:` references, `BAO_ADDR`).
    pub environment: Arc<BTreeMap<String, String>>,
    /// The one HTTP client.
    pub http: Client,
    /// The user's own provider files, or folders of them.
    pub providers: Arc<Vec<PathBuf>>,
    /// Longest time for one call to an outside system.
    pub call_limit: Duration,
}

impl std::fmt::Debug for Context {
    // The environment holds tokens; connections may name places. Neither is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Context {
    /// A context without connections or environment.
    pub fn new(base: PathBuf, http: Client) -> Self {
        Self {
            base,
            connections: Arc::default(),
            environment: Arc::default(),
            http,
            providers: Arc::default(),
            call_limit: Duration::from_secs(10),
        }
    }

    /// A connection's configuration, if the inventory has one.
    pub fn connection(&self, id: &str) -> Option<&Value> {
        self.connections.get(id)
    }

    /// Ends a call that hangs: what it was doing is then not known.
    pub(crate) async fn within<T>(
        &self,
        system: impl FnOnce() -> String,
        what: &'static str,
        call: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.call_limit, call).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let detail = format!("no answer within {} ms", self.call_limit.as_millis());
                Err(ConnectError::new(system(), what, ConnectErrorKind::Lost, detail))
            }
        }
    }

    /// A path of the inventory, made absolute.
    pub fn path(&self, given: &str) -> PathBuf {
        self.base.join(given)
    }
}
