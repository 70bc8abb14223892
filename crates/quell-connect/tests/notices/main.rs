//! Channels to people, against models of their APIs and a real mail server: what is told, what a lost answer leaves, and what every refusal means.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod pagerduty;
mod slack;
mod smtp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Notice, Notify, Stage};
use quell_connect::context::Context;
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::SecretValue;
use serde_json::Value;

/// Nobody waits this long on purpose; a loaded machine may.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(400);

/// Where `env:KEY` is this.
fn context(key: &str, limit: Duration) -> Context {
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut context = Context::new(PathBuf::from("/nowhere"), http);
    context.environment = Arc::new(BTreeMap::from([("KEY".to_owned(), key.to_owned())]));
    context.call_limit = limit;
    context
}

/// And `env:NAME` is that.
fn with(mut context: Context, name: &str, value: &str) -> Context {
    let mut environment = BTreeMap::clone(&context.environment);
    environment.insert(name.to_owned(), value.to_owned());
    context.environment = Arc::new(environment);
    context
}

fn build(id: &str, config: &Value, context: &Context) -> Box<dyn Notify> {
    (quell_connect::find(id).unwrap().notify.unwrap())(config, context).unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn notice(stage: Stage) -> Notice {
    let name = match stage {
        Stage::Opened => "opened",
        Stage::FirstResponse => "first-response",
        Stage::WithPeople | Stage::Proven => "contained",
    };
    Notice {
        id: format!("INC-2026-0007/1/notice.{name}.ops"),
        incident: "INC-2026-0007".to_owned(),
        installation: "7f3a".to_owned(),
        stage,
        update: false,
        severity: "SEV-2".to_owned(),
        title: format!("INC-2026-0007: {name}: a database password"),
        body: format!("It is {name}.\nÜnïcode, too."),
        link: Some("https://quell.example.com/incidents/INC-2026-0007".to_owned()),
        asks: Vec::new(),
        first: Facts::new(),
        checkpoint: "quell/7f3a/ledger/1\n7\nAAAA\n".to_owned(),
    }
}

#[track_caller]
fn facts(outcome: &Outcome) -> &Facts {
    let Outcome::Applied { facts } = outcome else { panic!("not applied: {outcome:?}") };
    facts
}

/// The reason of what was not applied, whether another try may help, and when.
#[track_caller]
fn not_applied(outcome: &Outcome) -> (&str, bool, Option<u64>) {
    let Outcome::NotApplied { reason, retryable, retry_after_ms, .. } = outcome else {
        panic!("{outcome:?}")
    };
    (reason, *retryable, *retry_after_ms)
}

#[track_caller]
fn unknown(outcome: &Outcome) -> &str {
    let Outcome::Unknown { reason } = outcome else { panic!("{outcome:?}") };
    reason
}
