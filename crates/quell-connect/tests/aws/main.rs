//! The connectors of AWS against moto with signatures and permissions checked, and against servers that are away, hang, lose answers or talk
//! nonsense.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
mod keys;
mod kms;
mod mint;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Check, Issuer};
use quell_connect::context::Context;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::moto::{Aws, Keys};
use serde_json::{Value, json};

fn context(admin: &str, limit: Duration) -> Context {
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut context = Context::new(Path::new("/nonexistent").to_owned(), http);
    context.call_limit = limit;
    context.environment = Arc::new(BTreeMap::from([("ADMIN".to_owned(), admin.to_owned())]));
    context
}

/// For the user `orders`, by an administrator's key, at an address; `more` is added to the configuration.
fn issuer_at(endpoint: &str, admin: &str, more: &Value) -> Box<dyn Issuer> {
    let mut config =
        json!({ "admin": "env:ADMIN", "user": "orders", "endpoint": endpoint, "settle": "50ms" });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let context = context(admin, Duration::from_secs(10));
    quell_connect::aws_iam::CONNECTOR.issuer.unwrap()(&config, &context).unwrap()
}

fn issuer(aws: &Aws) -> Box<dyn Issuer> {
    issuer_at(&aws.addr(), &aws.admin().json(), &json!({}))
}

/// A server with the user `orders`, who may list buckets, and his key.
fn prepared() -> (Aws, Keys) {
    let aws = Aws::start().unwrap();
    let old = aws.user("orders", &["s3:ListAllMyBuckets"]).unwrap();
    (aws, old)
}

fn credential(keys: &Keys) -> Credential {
    Credential { principal: keys.id.clone(), value: SecretValue::from_text(keys.pair()) }
}

fn keys_of(credential: &Credential) -> Keys {
    Keys::from_pair(credential.value.expose_text().unwrap()).unwrap()
}

fn is_accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

fn is_refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == "InvalidClientTokenId")
}

fn facts(outcome: &Outcome) -> &quell_core::outcome::Facts {
    let Outcome::Applied { facts } = outcome else { panic!("not applied: {outcome:?}") };
    facts
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied { .. } => panic!("applied: {outcome:?}"),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason,
    }
}

fn failed(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect()
}
