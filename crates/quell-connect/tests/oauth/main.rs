//! The `oauth` connector against a real OAuth server, resources that take its tokens, and servers that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod doors;
mod failures;
mod family;
mod model;
#[path = "../issuers/outcome.rs"]
mod outcome;
#[path = "../openbao/proxy.rs"]
mod proxy;
mod secrets;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::context::Context;
use quell_connect::oauth::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::SecretValue;
use quell_testkit::oidc::{Client, OnUpdate, Options, Server};
use serde_json::{Value, json};

/// A server with the client `orders` and one of Quell's own.
struct World {
    server: Server,
    orders: Client,
    quell: Client,
}

impl World {
    fn new() -> Self {
        Self::with(Options { cache_ms: 150, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        let server = Server::start(options).unwrap();
        let orders = server.register("orders", OnUpdate::Rotates).unwrap();
        let quell = server.register("quell", OnUpdate::Keeps).unwrap();
        Self { server, orders, quell }
    }

    fn context(&self) -> Context {
        context(&[("ORDERS", &self.orders.secret), ("QUELL", &self.quell.secret)])
    }

    fn issuer(&self, config: &Value) -> Box<dyn Issuer> {
        CONNECTOR.issuer.unwrap()(config, &self.context()).unwrap()
    }

    /// `part` says what leaks.
    fn config(&self, part: &str, leaks: &Value) -> Value {
        let mut config = json!({
            "issuer": self.server.issuer(),
            "client": { "id": self.orders.id, "secret": "env:ORDERS" },
            "control": { "client": { "id": self.quell.id, "secret": "env:QUELL" }, "scope": "orders" },
            "settle": "50ms",
        });
        config[part] = leaks.clone();
        config
    }

    /// Access tokens for a resource, of which `orders` may ask for more.
    fn access(&self, resource: &str) -> Value {
        let mint = json!({ "scope": "orders" });
        self.config(
            "token",
            &json!({ "type": "access_token", "resource": self.server.resource(resource), "mint": mint }),
        )
    }

    fn refresh(&self, family: &[&str]) -> Value {
        let resource = self.server.resource("asks");
        self.config("token", &json!({ "type": "refresh_token", "resource": resource, "family": family }))
    }
}

fn context(environment: &[(&str, &str)]) -> Context {
    let limit = Duration::from_secs(5);
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut ctx = Context::new(Path::new("/nonexistent").to_owned(), http);
    ctx.call_limit = limit;
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ctx.environment = Arc::new(pairs.collect::<BTreeMap<_, _>>());
    ctx
}

/// With an endpoint behind another address.
fn through(mut config: Value, endpoint: &str, address: &str) -> Value {
    config["endpoints"] = json!({ endpoint: address });
    config
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn retryable(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::NotApplied { retryable, .. } => Some(*retryable),
        Outcome::Applied { .. } | Outcome::Unknown { .. } => None,
    }
}

fn unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

fn refused(probe: &Probe, refusal: &str) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == refusal)
}

#[track_caller]
fn inconclusive(probe: &Probe) -> &str {
    match probe {
        Probe::Inconclusive { reason } => reason,
        Probe::Accepted { .. } | Probe::Refused { .. } => panic!("{probe:?}"),
    }
}
