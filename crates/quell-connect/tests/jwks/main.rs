//! The `jwks` connector against real services that verify tokens, each with a copy of the set of its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
#[path = "../issuers/login.rs"]
mod login;
mod looks;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod rotation;
mod verifiers;

use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::jwks::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::jwks::{Service, verifier};
use serde_json::{Value, json};

use login::{built, is_accepted, is_refused_by};
use outcome::{fact, failed, reason};

/// Longer than any test takes.
const LONG: u32 = 600_000;

/// A service whose set has the key under a name.
fn start(private: &str, kid: Option<&str>) -> Service {
    let service = Service::start().unwrap();
    service.publish(private, kid).unwrap();
    service
}

fn config(service: &Service, verifiers: &[Value]) -> Value {
    json!({
        "publish": { "file": { "path": service.set_file() } },
        "verifiers": verifiers,
        "claims": { "iss": "https://id.test", "aud": "orders", "sub": "quell-canary" },
        "settle": "50ms",
    })
}

/// Two verifiers that keep the set for long and can be told.
fn usual(service: &Service) -> Value {
    let port = service.port();
    config(service, &[verifier(port, "strict", "api", LONG), verifier(port, "keyless", "shop", LONG)])
}

fn issuer(config: &Value) -> Box<dyn Issuer> {
    with_control("", config)
}

/// With the private key of a control.
fn with_control(control: &str, config: &Value) -> Box<dyn Issuer> {
    let mut config = config.clone();
    if !control.is_empty() {
        config["control"] = json!("env:ADMIN");
    }
    built(&CONNECTOR, control, &config, Duration::from_secs(10))
}

fn credential(issuer: &dyn Issuer, private: &str) -> Credential {
    issuer.identify(&SecretValue::from_text(private.to_owned())).unwrap()
}

fn text(credential: &Credential) -> &str {
    credential.value.expose_text().unwrap()
}

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "401 invalid_token")
}

#[track_caller]
fn inconclusive(probe: &Probe) -> &str {
    let Probe::Inconclusive { reason } = probe else { panic!("{probe:?}") };
    reason
}

/// Whether another try may do it.
#[track_caller]
fn again(outcome: &Outcome) -> bool {
    let Outcome::NotApplied { retryable, .. } = outcome else { panic!("{outcome:?}") };
    *retryable
}

/// The names in the set.
fn kids(service: &Service) -> Vec<String> {
    let set = service.set().unwrap();
    set["keys"].as_array().unwrap().iter().map(|it| it["kid"].as_str().unwrap_or("-").to_owned()).collect()
}
