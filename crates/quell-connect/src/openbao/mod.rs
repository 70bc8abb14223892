//! OpenBao (and Vault, whose API it keeps): KV v2 as a store; tokens, `AppRole` secret ids, TLS certificates, dynamic
//! database credentials and keys that wrap others (transit) as issuers.

mod api;
mod approle;
mod audit;
mod database;
mod kv;
mod lease;
mod pki;
mod policy;
mod reach;
mod role;
pub mod sandbox;
mod store;
mod token;
mod transit;

pub use audit::{Hashed, audit_hashes};
pub(crate) use kv::{copies_exactly, holds};
pub use lease::{ISSUE_TTL, Issued, issue};
pub use policy::tighten::{Needed, Needs, Reviewed, Tightened, tighten};
pub use reach::{Held, paths_to};

use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Issuer};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use api::{Ask, Bao, Session};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "openbao",
    summary: "OpenBao or Vault: KV v2 store; tokens, AppRole secret ids, TLS certificates, dynamic database credentials and transit keys as issuers",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build_issuer),
    store: Some(store::build),
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let path = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let store = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["mount", "path", "key"],
        "properties": {
            "mount": path("The KV v2 mount: kv"),
            "path": path("The path of the secret below the mount: apps/orders"),
            "key": path("The key in the secret: DATABASE_URL"),
        },
    });
    let token = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "accessor": path("The token's accessor: revokes it when its value is not at hand"),
            "policies": {
                "type": "array",
                "items": { "type": "string", "minLength": 1, "not": { "const": "root" } },
                "description": "Policies of a successor; without any, none is minted",
            },
            "ttl": path("Life of a successor: 1h"),
            "orphan": {
                "type": "boolean",
                "default": false,
                "description": "The successor outlives Quell's own token",
            },
        },
    });
    let database = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["mount", "role"],
        "properties": {
            "mount": path("The mount of the database engine: database"),
            "role": path("The role whose leases are revoked: orders"),
            "postgres": path(
                "A reference to the postgres:// URL of an account on the database that sees and ends sessions: file:/run/quell/pg.url",
            ),
        },
    });
    let issuer = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["approle"],
                "properties": { "approle": approle::schema(path) },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["pki"],
                "properties": { "pki": pki::schema(path) },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["token"],
                "properties": { "token": token },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["database"],
                "properties": { "database": database },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["transit"],
                "properties": { "transit": transit::schema(path) },
            },
        ],
    });
    vec![("issuer", issuer), ("store", store)]
}

/// What is revoked: one token, one `AppRole` secret id, one certificate, the dynamic credentials of one role, or versions of a key that wraps others.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum IssuerConfig {
    Approle(approle::Config),
    Pki(pki::Config),
    Token(token::Config),
    Database(database::Config),
    Transit(transit::Config),
}

fn build_issuer(config: &Value, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    match ConfigError::parse(config)? {
        IssuerConfig::Approle(config) => approle::build(config, ctx),
        IssuerConfig::Pki(config) => pki::build(config, ctx),
        IssuerConfig::Token(config) => token::build(config, ctx),
        IssuerConfig::Database(config) => database::build(config, ctx),
        IssuerConfig::Transit(config) => transit::build(config, ctx),
    }
}

/// The policies of an issuer's credential: of a token by its value (or by the accessor of the inventory, when that is empty), or
/// of an `AppRole` role. Changes nothing.
///
/// # Errors
/// When the server cannot be asked, or the issuer is one whose credentials have no policies.
pub async fn held_policies(ctx: &Context, config: &Value, value: &SecretValue) -> Result<Held, ConnectError> {
    const WHAT: &str = "asking for its policies";
    let config = ConfigError::parse(config).map_err(|error| unusable(WHAT, &error))?;
    let bao = Bao::open(ctx).map_err(|error| unusable(WHAT, &error))?;
    let session = bao.login().await?;
    let bearer = match config {
        IssuerConfig::Approle(config) => approle::bearer(&session, config).await?,
        IssuerConfig::Token(config) => token::bearer(&bao, config, &session, value).await?,
        IssuerConfig::Pki(_) => {
            let words = "a certificate has no policies of OpenBao";
            return Err(bao.error(WHAT, ConnectErrorKind::Denied, words));
        }
        IssuerConfig::Transit(_) => {
            let words = "what a transit key wrapped has no policies of OpenBao";
            return Err(bao.error(WHAT, ConnectErrorKind::Denied, words));
        }
        IssuerConfig::Database(_) => {
            let words =
                "credentials of a database engine have no policies; what they may do, the database says";
            return Err(bao.error(WHAT, ConnectErrorKind::Denied, words));
        }
    };
    Ok(reach::held(&session, bearer).await)
}

/// A configuration that cannot be used, met in the middle of a call.
fn unusable(what: &'static str, error: &ConfigError) -> ConnectError {
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    ConnectError::new("openbao", what, ConnectErrorKind::Denied, format!("{}{hint}", error.message))
}

/// The value of one key, for `openbao:mount/path#key`.
pub(crate) async fn fetch(
    ctx: &Context,
    mount: &str,
    path: &str,
    key: &str,
) -> Result<SecretValue, ConnectError> {
    const WHAT: &str = "fetching the value";
    let config = |error: ConfigError| unusable(WHAT, &error);
    let bao = Bao::open(ctx).map_err(config)?;
    let place = kv::Place {
        mount: api::checked_path("mount", mount).map_err(config)?,
        path: api::checked_path("path", path).map_err(config)?,
    };
    let session = bao.login().await?;
    let current = place.current(&session, WHAT).await?;
    let Some(data) = current.data else {
        // Perhaps the mount is another kind; say that rather than "nothing there".
        place.confirm(&session, WHAT).await?;
        let words = format!("there is nothing at `{mount}/{path}`");
        return Err(bao.error(WHAT, ConnectErrorKind::Missing, words));
    };
    kv::text(&session, WHAT, &data, key)?.ok_or_else(|| {
        bao.error(WHAT, ConnectErrorKind::Missing, format!("`{mount}/{path}` has no key `{key}`"))
    })
}

/// Is the server there, unsealed, and our token alive? `None` when nothing more can be asked.
async fn check_server<'a>(bao: &'a Bao, checks: &mut Vec<Check>) -> Option<Session<'a>> {
    let mut push = |what: &str, ok, detail: String| checks.push(Check { what: what.to_owned(), ok, detail });
    let session = match bao.login().await {
        Ok(session) => session,
        Err(error) => {
            push("have a token for OpenBao", false, error.to_string());
            return None;
        }
    };
    // Answers 429, 472, 473, 501, 503 with the same body (openbao.org/api-docs/system/health).
    let ask = Ask::get("asking for the server's health", "sys/health");
    match session.send(&ask).await {
        Ok(reply) if matches!(reply.status, 200 | 429 | 472 | 473) => {
            let version = reply.body.get("version").and_then(Value::as_str).unwrap_or("of unknown version");
            let clear = if bao.in_clear() { "; not TLS: the token travels in clear" } else { "" };
            push("reach OpenBao", !bao.in_clear(), format!("{} {version}{clear}", bao.name()));
        }
        Ok(reply) if reply.status == 501 || reply.status == 503 => {
            let state = if reply.status == 501 { "not initialised" } else { "sealed" };
            push("reach OpenBao", false, format!("{} is {state}", bao.name()));
            return None;
        }
        Ok(reply) => {
            push("reach OpenBao", false, session.failure(&ask, &reply).detail);
            return None;
        }
        Err(error) => {
            push("reach OpenBao", false, error.to_string());
            return None;
        }
    }
    let ask = Ask::get("looking up our own token", "auth/token/lookup-self");
    match session.send(&ask).await {
        // 403 for want of permission still shows a token that the server knows.
        Ok(reply) if reply.status == 200 || (reply.status == 403 && !reply.bad_token()) => {
            push("log in", true, "the token is accepted".to_owned());
            Some(session)
        }
        Ok(reply) => {
            push("log in", false, session.failure(&ask, &reply).detail);
            None
        }
        Err(error) => {
            push("log in", false, error.to_string());
            None
        }
    }
}

/// One line for each path that we need something on.
async fn check_capabilities(session: &Session<'_>, needs: &[(String, &[&str])], checks: &mut Vec<Check>) {
    let paths = needs.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    let have = match session.capabilities(&paths).await {
        Ok(have) => have,
        Err(error) => {
            let what = "ask for our capabilities".to_owned();
            return checks.push(Check { what, ok: false, detail: error.detail });
        }
    };
    for ((path, needed), have) in needs.iter().zip(have) {
        let has = |one: &str| have.iter().any(|capability| capability == one || capability == "root");
        let missing = needed.iter().filter(|one| !has(one)).copied().collect::<Vec<_>>().join(", ");
        let detail = if missing.is_empty() {
            have.join(", ")
        } else {
            format!("missing: {missing}; a policy must give it on `{path}`")
        };
        checks.push(Check {
            what: format!("may {} `{path}`", needed.join(", ")),
            ok: missing.is_empty(),
            detail,
        });
    }
}
