//! Connectors whose other side is this machine: files, programs, processes, HTTP on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "local/consumer_sandbox.rs"]
mod consumer_sandbox;
#[path = "local/env_file.rs"]
mod env_file;
#[path = "local/exec.rs"]
mod exec;
#[path = "local/git.rs"]
mod git;
#[path = "local/http.rs"]
mod http;
#[path = "local/process.rs"]
mod process;
#[path = "local/registry.rs"]
mod registry;
#[path = "local/systems.rs"]
mod systems;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quell_connect::connector::{Notify, Observe, Reload, Store};
use quell_connect::context::Context;
use quell_connect::http::Client;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::Value;

/// Nobody waits this long on purpose; a loaded machine may.
const LONG: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

fn context(base: &Path) -> Context {
    Context::new(base.to_path_buf(), Client::new(LONG, None).unwrap())
}

fn with_environment(mut context: Context, variables: &[(&str, &str)]) -> Context {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    context.environment = Arc::new(variables.collect::<BTreeMap<_, _>>());
    context
}

fn with_limit(mut context: Context, limit: Duration) -> Context {
    context.call_limit = limit;
    context
}

fn store(id: &str, config: &Value, context: &Context) -> Box<dyn Store> {
    (quell_connect::find(id).unwrap().store.unwrap())(config, context).unwrap()
}

fn reload(id: &str, config: &Value, context: &Context) -> Box<dyn Reload> {
    (quell_connect::find(id).unwrap().reload.unwrap())(config, context).unwrap()
}

fn observe(id: &str, config: &Value, context: &Context) -> Box<dyn Observe> {
    (quell_connect::find(id).unwrap().observe.unwrap())(config, context).unwrap()
}

fn notify(id: &str, config: &Value, context: &Context) -> Box<dyn Notify> {
    (quell_connect::find(id).unwrap().notify.unwrap())(config, context).unwrap()
}

/// Another database URL at each call.
fn fresh() -> SecretValue {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::SeqCst);
    SecretValue::from_text(format!("postgres://orders:CANARY-{n:04}-$pass'word@127.0.0.1/orders?a=1&b=2"))
}

fn secret(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

/// The reason of what was not applied, and whether another try may help.
fn not_applied(outcome: Outcome) -> (String, bool) {
    match outcome {
        Outcome::NotApplied { reason, retryable, .. } => (reason, retryable),
        Outcome::Applied { .. } | Outcome::Unknown { .. } => panic!("{outcome:?}"),
    }
}

fn unknown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unknown { reason } => reason,
        Outcome::Applied { .. } | Outcome::NotApplied { .. } => panic!("{outcome:?}"),
    }
}

/// Waits until `ready`.
fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let tries = LONG.as_millis() / PAUSE.as_millis();
    for _ in 0..tries {
        if ready() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("{what}: not in time");
}
