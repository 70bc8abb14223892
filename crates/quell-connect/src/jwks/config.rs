//! The connector's part of the inventory.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use reqwest::Method;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Jwks;
use super::canary::{Form, OURS};
use super::door::{Carry, Door, Sign};
use super::key::Algorithm;
use crate::connector::{Definition, Reload, Store};
use crate::context::Context;
use crate::error::ConfigError;
use crate::http_hook::place::HttpPlace;
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say: verifiers that are told at once.
pub(crate) const SETTLE_MS: u64 = 1000;

/// More would not be answered within the limit of one call.
const DOORS_MAX: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    publish: BTreeMap<String, Value>,
    verifiers: Vec<VerifierConfig>,
    #[serde(default)]
    claims: Map<String, Value>,
    control: Option<SecretSource>,
    algorithm: Option<Algorithm>,
    settle: Option<SignedDuration>,
}

/// A verifier as the inventory has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifierConfig {
    name: String,
    url: String,
    method: Option<String>,
    cookie: Option<String>,
    header: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    typ: Option<String>,
    accepts: Option<SignConfig>,
    refuses: Option<SignConfig>,
    refresh: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignConfig {
    status: Option<u16>,
    contains: Option<String>,
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A published key set as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["publish", "verifiers"],
        "properties": {
            "publish": place("Where the key set is published: a store, such as { file: { path: /srv/www/jwks.json } }"),
            "verifiers": verifiers(),
            "claims": claims("Claims of every canary: iss, aud, sub, scope; exp, iat and jti are Quell's"),
            "control": { "type": "string", "description": "Reference to another private key of the set, for a proof before the successor exists" },
            "algorithm": { "enum": ["Ed25519", "EdDSA", "ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"], "description": "What a successor is published for (as the key before it), and of which kind one is that takes over from none (EdDSA)" },
            "settle": { "type": "string", "description": "How long verifiers keep a key set at most: 10m (1s)" },
        },
    });
    vec![("issuer", schema)]
}

fn place(description: &str) -> Value {
    json!({ "type": "object", "minProperties": 1, "maxProperties": 1, "description": description })
}

fn claims(description: &str) -> Value {
    json!({ "type": "object", "description": description })
}

/// Schema of [`VerifierConfig`]s.
pub(crate) fn verifiers() -> Value {
    let sign = |description: &str| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "description": description,
            "properties": {
                "status": { "type": "integer", "minimum": 200, "maximum": 599 },
                "contains": { "type": "string", "minLength": 1, "description": "A text in WWW-Authenticate or in the body" },
            },
        })
    };
    json!({
        "type": "array",
        "minItems": 1,
        "maxItems": DOORS_MAX,
        "description": "Every service that takes tokens of this key, each replica by itself where it keeps a copy of its own: one that is missing here is not proven",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "url"],
            "properties": {
                "name": { "type": "string", "minLength": 1, "description": "What it is called in proofs" },
                "url": { "type": "string", "pattern": "^https?://", "description": "A page that only a good token opens, and that changes nothing" },
                "method": { "enum": ["GET", "HEAD", "POST"], "default": "GET" },
                "cookie": { "type": "string", "minLength": 1, "description": "The cookie that carries the token, instead of Authorization: Bearer" },
                "header": { "type": "string", "minLength": 1, "description": "The header that carries the token, instead of Authorization: Bearer" },
                "claims": claims("Claims of canaries here, beside and before those of all"),
                "typ": { "type": "string", "minLength": 1, "description": "`typ` in the token's header (JWT)" },
                "accepts": sign("What an acceptance looks like (any 2xx)"),
                "refuses": sign("What the refusal of a token looks like (401 with invalid_token, RFC 6750)"),
                "refresh": place("How it is made to read its keys again, as a consumer's reload: { http: https://api.internal/-/reload }"),
            },
        },
    })
}

impl Jwks {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let config: Config = ConfigError::parse(config)?;
        Ok(Self {
            context: context.clone(),
            publish: store("publish", &public(config.publish), context)?,
            doors: doors(config.verifiers, &config.claims, context)?,
            control: config.control,
            algorithm: config.algorithm,
            settled: config.settle.is_some(),
            settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
        })
    }
}

/// A published file is for everybody, unless the inventory says otherwise.
pub(crate) fn public(mut publish: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    if let Some(Value::Object(file)) = publish.get_mut("file") {
        file.entry("mode").or_insert_with(|| "0644".into());
    }
    publish
}

/// The one store that a map names.
pub(crate) fn store(
    key: &str,
    map: &BTreeMap<String, Value>,
    context: &Context,
) -> Result<Box<dyn Store>, ConfigError> {
    let plays = |definition: &&Definition| definition.store.is_some();
    let found = one(key, map, plays)?;
    let (Some(build), Some(config)) = (found.store, map.get(found.id)) else {
        return Err(ConfigError::at(key, "it names no store", "Name one: { file: { path: … } }."));
    };
    build(config, context).map_err(|error| inside(key, error))
}

/// The one way to reload that a map names.
fn reload(map: &BTreeMap<String, Value>, context: &Context) -> Result<Box<dyn Reload>, ConfigError> {
    const KEY: &str = "refresh";
    let plays = |definition: &&Definition| definition.reload.is_some();
    let Some(build) = one(KEY, map, plays)?.reload else {
        return Err(ConfigError::at(KEY, "it names no hook", "Name one: { http: https://… }."));
    };
    let whole = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>();
    build(&Value::Object(whole), context).map_err(|error| inside(KEY, error))
}

fn one(
    key: &str,
    map: &BTreeMap<String, Value>,
    plays: impl Fn(&&Definition) -> bool,
) -> Result<&'static Definition, ConfigError> {
    let found: Vec<&'static Definition> =
        map.keys().filter_map(|id| crate::find(id)).filter(&plays).collect();
    if let ([one], 1) = (found.as_slice(), map.len()) {
        return Ok(one);
    }
    let ids: Vec<&str> = crate::ALL.iter().copied().filter(&plays).map(|it| it.id).collect();
    let hint = format!("Name exactly one of: {}.", ids.join(", "));
    Err(ConfigError::at(key, "it does not name one system that can be used here", hint))
}

fn inside(key: &str, error: ConfigError) -> ConfigError {
    let key = error.key.as_ref().map_or_else(|| key.to_owned(), |inner| format!("{key}.{inner}"));
    ConfigError { key: Some(key), ..error }
}

/// All doors, with the claims that all share.
pub(crate) fn doors(
    verifiers: Vec<VerifierConfig>,
    claims: &Map<String, Value>,
    context: &Context,
) -> Result<Vec<Door>, ConfigError> {
    if verifiers.is_empty() || verifiers.len() > DOORS_MAX {
        let why = format!("one to {DOORS_MAX} verifiers are needed");
        return Err(ConfigError::at("verifiers", why, "List every service that takes tokens of this key."));
    }
    let names: BTreeSet<&str> = verifiers.iter().map(|it| it.name.as_str()).collect();
    if names.len() != verifiers.len() || names.contains("") {
        let why = "two verifiers have one name, or one has none";
        return Err(ConfigError::at("verifiers", why, "Give each a name of its own."));
    }
    verifiers.into_iter().map(|verifier| door(verifier, claims, context)).collect()
}

fn door(config: VerifierConfig, shared: &Map<String, Value>, context: &Context) -> Result<Door, ConfigError> {
    let mut claims = shared.clone();
    claims.extend(config.claims);
    if let Some(ours) = OURS.iter().find(|name| claims.contains_key(**name)) {
        let why = format!("`{ours}` is Quell's to choose: a canary lives for a minute");
        return Err(ConfigError::at("claims", why, "Leave it out."));
    }
    let method = match config.method.as_deref() {
        None | Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        Some("POST") => Method::POST,
        Some(_) => {
            return Err(ConfigError::at("method", "this method is not for a look", "Use GET, HEAD or POST."));
        }
    };
    let carry = match (config.cookie, config.header) {
        (None, None) => Carry::Bearer,
        (Some(name), None)
            if name.bytes().all(|b| b.is_ascii_graphic() && !b";=,\"\\".contains(&b)) && !name.is_empty() =>
        {
            Carry::Cookie(name)
        }
        (None, Some(name)) => Carry::Header(HeaderName::try_from(name).map_err(|_e| {
            ConfigError::at("header", "this is no name of a header", "Write it as X-Auth-Token.")
        })?),
        (Some(_), None) => {
            return Err(ConfigError::at("cookie", "this is no name of a cookie", "Write it as session."));
        }
        (Some(_), Some(_)) => {
            return Err(ConfigError::at(
                "cookie",
                "there is a `header`, too",
                "A token is carried by one of them.",
            ));
        }
    };
    let accepts = config.accepts.unwrap_or(SignConfig { status: None, contains: None });
    let refuses = config
        .refuses
        .unwrap_or_else(|| SignConfig { status: Some(401), contains: Some("invalid_token".to_owned()) });
    let Some(status) = refuses.status.filter(|status| (200..600).contains(status)) else {
        return Err(ConfigError::at(
            "refuses",
            "it has no `status`",
            "Write what a bad token gets: { status: 401, contains: invalid_token }.",
        ));
    };
    if [&accepts.contains, &refuses.contains].into_iter().flatten().any(String::is_empty) {
        return Err(ConfigError::at("contains", "it is empty", "Leave it out, or write what is to be seen."));
    }
    Ok(Door {
        place: HttpPlace::new("url", &config.url)?,
        name: config.name,
        method,
        carry,
        accepts: Sign { status: accepts.status, contains: accepts.contains },
        refuses: Sign { status: Some(status), contains: refuses.contains },
        form: Form { claims, typ: config.typ.unwrap_or_else(|| "JWT".to_owned()) },
        refresh: config.refresh.as_ref().map(|map| reload(map, context)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(config: &Value) -> Result<Jwks, ConfigError> {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        Jwks::new(config, &Context::new("/x".into(), http))
    }

    fn good() -> Value {
        json!({
            "publish": { "file": { "path": "jwks.json" } },
            "verifiers": [{ "name": "api", "url": "https://api.internal/me", "refresh": { "http": "https://api.internal/reload" } }],
            "claims": { "iss": "https://id.internal" },
        })
    }

    #[test]
    fn stores_and_hooks_are_those_of_the_inventory() {
        let jwks = built(&good()).unwrap();
        assert_eq!(jwks.publish.target(), "file /x/jwks.json");
        let door = jwks.doors.first().unwrap();
        assert_eq!(door.refresh.as_ref().unwrap().target(), "POST https://api.internal/reload");
        assert_eq!(door.refuses.code(), "401 invalid_token");
        assert_eq!(door.form.claims["iss"], "https://id.internal");
    }

    #[test]
    fn bad_configurations_name_the_key() {
        let verifier = |key: &str, value: Value| {
            let mut config = good();
            config["verifiers"][0][key] = value;
            config
        };
        let top = |key: &str, value: Value| {
            let mut config = good();
            config[key] = value;
            config
        };
        for (key, config) in [
            ("publish", top("publish", json!({ "postgres": {} }))),
            ("publish", top("publish", json!({}))),
            ("publish.path", top("publish", json!({ "file": { "path": "" } }))),
            ("verifiers", top("verifiers", json!([]))),
            (
                "verifiers",
                top(
                    "verifiers",
                    json!([{ "name": "a", "url": "http://a" }, { "name": "a", "url": "http://b" }]),
                ),
            ),
            ("claims", top("claims", json!({ "exp": 1 }))),
            ("claims", verifier("claims", json!({ "jti": "x" }))),
            ("settle", top("settle", json!("-1s"))),
            ("url", verifier("url", json!("https://u:hunter2@h/"))),
            ("method", verifier("method", json!("DELETE"))),
            ("cookie", verifier("cookie", json!("a=b"))),
            ("header", verifier("header", json!("a b"))),
            ("refuses", verifier("refuses", json!({ "contains": "x" }))),
            ("contains", verifier("accepts", json!({ "contains": "" }))),
            ("refresh", verifier("refresh", json!({ "file": { "path": "x" } }))),
        ] {
            let error = built(&config).map(drop).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(error.hint.is_some() && !error.message.contains("hunter2"), "{error:?}");
        }
    }
}
