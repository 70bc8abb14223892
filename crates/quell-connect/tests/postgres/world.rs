//! A server with two roles and their group, real or modeled.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::context::Context;
use quell_connect::error::ConfigError;
use quell_connect::http::Client;
use quell_connect::postgres::CONNECTOR;
use quell_connect::postgres::sandbox::{Sandbox, Setup};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::postgres::Server;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

pub(crate) const A: &str = "app_a";
/// A name that needs quoting everywhere.
pub(crate) const B: &str = "we\"ird ' \\b";
pub(crate) const OWNER: &str = "app_owner";
/// The password that leaked; no prefix of it is a word that a log would hold anyway.
pub(crate) const OLD: &str = "old-Pa55w0rd-that-leaked";

pub(crate) enum System {
    Real(Server),
    Model(Sandbox),
}

pub(crate) struct World {
    pub(crate) system: System,
    pub(crate) admin_url: String,
    pub(crate) limit: Duration,
}

impl World {
    /// `log` turns on logging of every statement.
    pub(crate) fn real(log: bool) -> Self {
        let server = Server::start(&[("log_statement", if log { "all" } else { "none" })]).unwrap();
        let (a, b) = (ident(A), ident(B));
        server
            .psql(&format!(
                "CREATE ROLE {OWNER} NOLOGIN; CREATE ROLE {a} NOLOGIN IN ROLE {OWNER}; CREATE ROLE {b} NOLOGIN;"
            ))
            .unwrap();
        let admin_url = server.admin_url();
        Self { system: System::Real(server), admin_url, limit: Duration::from_secs(10) }
    }

    pub(crate) async fn sandbox() -> Self {
        let setup = Setup { database: "postgres", group: Some(OWNER), roles: &[A, B] };
        let sandbox = Sandbox::start(setup).await.unwrap();
        let admin_url = sandbox.admin_url().expose_text().unwrap().to_owned();
        Self { system: System::Model(sandbox), admin_url, limit: Duration::from_secs(10) }
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        match &mut self.system {
            System::Real(server) => server,
            System::Model(_) => panic!("this needs a real server"),
        }
    }

    pub(crate) fn sql(&mut self, sql: &str) -> String {
        self.server().psql(sql).unwrap()
    }

    /// Sets a password as an administrator would have done long ago: it is not in the log.
    pub(crate) fn set_password(&mut self, role: &str, password: &str) {
        match &mut self.system {
            System::Real(server) => {
                let role = ident(role);
                let sql = format!("SET log_statement = none; ALTER ROLE {role} LOGIN PASSWORD '{password}'");
                drop(server.psql(&sql).unwrap());
            }
            System::Model(sandbox) => {
                sandbox.set_password(role, &SecretValue::from_text(password.to_owned())).unwrap();
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.system {
            System::Real(server) => server.port(),
            System::Model(sandbox) => sandbox.port(),
        }
    }

    /// The value as a store holds it.
    pub(crate) fn url(&self, role: &str, password: &str) -> SecretValue {
        let text = format!("postgres://{role}:{password}@127.0.0.1:{}/postgres?sslmode=prefer", self.port());
        SecretValue::from_text(text)
    }

    pub(crate) fn two(&self) -> Box<dyn Issuer> {
        self.issuer(&json!({ "admin": "env:ADMIN", "roles": [A, B], "group": OWNER, "settle": "2s" }))
            .unwrap()
    }

    pub(crate) fn one(&self) -> Box<dyn Issuer> {
        self.issuer(&json!({ "admin": "env:ADMIN", "roles": [A] })).unwrap()
    }

    pub(crate) fn issuer(&self, config: &Value) -> Result<Box<dyn Issuer>, ConfigError> {
        issuer(&self.admin_url, self.limit, config)
    }

    /// Everything the real server ever logged.
    pub(crate) fn log(&self) -> String {
        match &self.system {
            System::Real(server) => server.log(),
            System::Model(_) => String::new(),
        }
    }
}

pub(crate) fn issuer(
    admin_url: &str,
    limit: Duration,
    config: &Value,
) -> Result<Box<dyn Issuer>, ConfigError> {
    let mut context = Context::new(PathBuf::from("."), Client::new(limit, None).unwrap());
    context.environment = Arc::new(BTreeMap::from([("ADMIN".to_owned(), admin_url.to_owned())]));
    context.call_limit = limit;
    CONNECTOR.issuer.unwrap()(config, &context)
}

pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn text(credential: &Credential) -> &str {
    credential.value.expose_text().unwrap()
}

/// The password inside a URL that the connector chose: it needs no decoding.
pub(crate) fn password(credential: &Credential) -> String {
    let text = text(credential);
    match text.split_once("://") {
        Some((_, rest)) => rest.split_once('@').unwrap().0.rsplit_once(':').unwrap().1.to_owned(),
        None => text.to_owned(),
    }
}

/// Performs, and makes sure that nothing said holds a value.
pub(crate) async fn perform(issuer: &dyn Issuer, op: IssuerOp<'_>) -> Outcome {
    let performed = issuer.perform(op).await;
    assert!(performed.minted.is_none());
    clean(&format!("{performed:?}"), op);
    performed.outcome
}

pub(crate) async fn observe(issuer: &dyn Issuer, op: IssuerOp<'_>) -> Outcome {
    let performed = issuer.observe(op).await;
    clean(&format!("{performed:?}"), op);
    performed.outcome
}

fn clean(said: &str, op: IssuerOp<'_>) {
    let (IssuerOp::Install { new: credential }
    | IssuerOp::Disable { old: credential }
    | IssuerOp::Sever { old: credential, .. }) = op;
    assert!(!said.contains(&password(credential)), "{said}");
}

pub(crate) fn applied(outcome: Outcome) -> Facts {
    match outcome {
        Outcome::Applied { facts } => facts,
        other @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => panic!("not applied: {other:?}"),
    }
}

/// The reason of `NotApplied`, and whether it may be retried.
pub(crate) fn not_applied(outcome: Outcome) -> (String, bool) {
    match outcome {
        Outcome::NotApplied { reason, retryable, .. } => (reason, retryable),
        other @ (Outcome::Applied { .. } | Outcome::Unknown { .. }) => {
            panic!("expected NotApplied: {other:?}")
        }
    }
}

pub(crate) fn unknown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unknown { reason } => reason,
        other @ (Outcome::Applied { .. } | Outcome::NotApplied { .. }) => {
            panic!("expected Unknown: {other:?}")
        }
    }
}

pub(crate) fn refused(probe: &Probe) -> &str {
    match probe {
        Probe::Refused { code, .. } => code,
        other @ (Probe::Accepted { .. } | Probe::Inconclusive { .. }) => {
            panic!("expected Refused: {other:?}")
        }
    }
}

pub(crate) fn inconclusive(probe: Probe) -> String {
    match probe {
        Probe::Inconclusive { reason } => reason,
        other @ (Probe::Accepted { .. } | Probe::Refused { .. }) => {
            panic!("expected Inconclusive: {other:?}")
        }
    }
}

pub(crate) fn accepted(probe: &Probe) -> &Facts {
    match probe {
        Probe::Accepted { facts } => facts,
        other @ (Probe::Refused { .. } | Probe::Inconclusive { .. }) => {
            panic!("expected Accepted: {other:?}")
        }
    }
}

/// A consumer that logged in and stays.
pub(crate) struct Consumer(PgConnection);

impl Consumer {
    pub(crate) async fn connect(credential: &Credential) -> Self {
        Self(PgConnection::connect(text(credential)).await.unwrap())
    }

    /// Who it acts as, while it lives.
    pub(crate) async fn current_user(&mut self) -> Option<String> {
        let row = self.0.fetch_one(sqlx::raw_sql("SELECT current_user")).await.ok()?;
        Some(row.try_get_raw(0).unwrap().as_str().unwrap().to_owned())
    }
}
