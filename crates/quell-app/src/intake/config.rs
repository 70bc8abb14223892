//! `intake:` of the inventory: who may deliver, how it signs, and what is done with it.

use std::collections::BTreeMap;

use quell_connect::error::ConfigError;
use quell_connect::source::SecretSource;
use quell_core::exposure::{Audience, Channel};
use quell_core::inventory::ConnectorRef;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::AppError;
use crate::ingest::Response;

/// One sender, parsed.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The key of the signature, and those that are accepted beside it while it is changed.
    pub(super) keys: Vec<SecretSource>,
    pub(super) response: Response,
}

/// Whose deliveries they are, with what only that kind has.
#[derive(Debug)]
pub(super) enum Kind {
    Eventbridge { header: String },
    Github { api: Option<Value> },
    Gitguardian,
    Gitlab,
    GitlabRevocation { types: Vec<String>, kill: bool },
    Json { header: Option<String>, map: Box<Map> },
    Pagerduty,
    Sarif { header: Option<String> },
    VaultAudit { header: Option<String> },
}

impl Kind {
    /// The key in the inventory.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Eventbridge { .. } => "eventbridge",
            Self::Github { .. } => "github",
            Self::Gitguardian => "gitguardian",
            Self::Gitlab => "gitlab",
            Self::GitlabRevocation { .. } => "gitlab_revocation",
            Self::Json { .. } => "json",
            Self::Pagerduty => "pagerduty",
            Self::Sarif { .. } => "sarif",
            Self::VaultAudit { .. } => "vault_audit",
        }
    }
}

/// Every kind, for messages.
const KINDS: &str =
    "eventbridge, github, gitguardian, gitlab, gitlab_revocation, json, pagerduty, sarif, vault_audit";

/// What every kind has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    secret: SecretSource,
    #[serde(default)]
    previous: Vec<SecretSource>,
    channel: Option<Channel>,
    audience: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Github {
    secret: SecretSource,
    #[serde(default)]
    previous: Vec<SecretSource>,
    channel: Option<Channel>,
    audience: Option<Audience>,
    /// Where an alert's value and places are fetched: a delivery has neither.
    api: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithHeader {
    secret: SecretSource,
    #[serde(default)]
    previous: Vec<SecretSource>,
    channel: Option<Channel>,
    audience: Option<Audience>,
    header: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    secret: SecretSource,
    #[serde(default)]
    previous: Vec<SecretSource>,
    channel: Option<Channel>,
    audience: Option<Audience>,
    header: Option<String>,
    map: Map,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    secret: SecretSource,
    #[serde(default)]
    previous: Vec<SecretSource>,
    channel: Option<Channel>,
    audience: Option<Audience>,
    types: Vec<String>,
    #[serde(default)]
    kill: bool,
}

/// Where a finding's parts are in a body: JSON Pointers (RFC 6901), from each element of `list`, or from the top.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Map {
    /// The list of findings; absent: the body is one finding.
    pub(super) list: Option<String>,
    /// The sender's own name of what it found.
    pub(super) rule: Option<String>,
    /// For people.
    pub(super) description: Option<String>,
    /// The leaked value.
    pub(super) value: Option<String>,
    /// Id of a secret of the inventory.
    pub(super) secret: Option<String>,
    /// Id of the credential at its issuer, such as an access key's.
    pub(super) principal: Option<String>,
    /// Where it was found.
    pub(super) place: Option<String>,
    /// The line there.
    pub(super) line: Option<String>,
    /// When it was seen first.
    pub(super) seen: Option<String>,
    /// Where a person can look.
    pub(super) link: Option<String>,
    /// Whether anybody can read the place; a boolean.
    pub(super) public: Option<String>,
    /// Whether it was tried and worked; a boolean.
    pub(super) live: Option<String>,
    /// Why it is considered done; anything but null, false and an empty text says that it is.
    pub(super) resolved: Option<String>,
    /// The sender's own id of the finding.
    pub(super) reference: Option<String>,
}

impl Map {
    fn pointers(&self) -> [(&'static str, &Option<String>); 14] {
        [
            ("list", &self.list),
            ("rule", &self.rule),
            ("description", &self.description),
            ("value", &self.value),
            ("secret", &self.secret),
            ("principal", &self.principal),
            ("place", &self.place),
            ("line", &self.line),
            ("seen", &self.seen),
            ("link", &self.link),
            ("public", &self.public),
            ("live", &self.live),
            ("resolved", &self.resolved),
            ("reference", &self.reference),
        ]
    }
}

impl Source {
    /// Parses one entry.
    pub(super) fn parse(name: &str, entry: &ConnectorRef) -> Result<Self, AppError> {
        let at = |error: ConfigError| {
            let source = ConfigError { message: without_texts(&error.message), ..error };
            AppError::Config { place: format!("intake.{name}"), source }
        };
        let config = &entry.config;
        let plain = |kind: Kind| {
            let Plain { secret, previous, channel, audience } = ConfigError::parse(config)?;
            Ok((kind, secret, previous, channel, audience))
        };
        let with_header = |kind: fn(Option<String>) -> Kind| {
            let WithHeader { secret, previous, channel, audience, header } = ConfigError::parse(config)?;
            Ok((kind(header_name(header)?), secret, previous, channel, audience))
        };
        let parsed: Result<_, ConfigError> = match entry.connector.as_str() {
            "eventbridge" => with_header(|header| Kind::Eventbridge {
                header: header.unwrap_or_else(|| "x-api-key".to_owned()),
            }),
            "github" => ConfigError::parse::<Github>(config)
                .map(|c| (Kind::Github { api: c.api }, c.secret, c.previous, c.channel, c.audience)),
            "gitguardian" => plain(Kind::Gitguardian),
            "gitlab" => plain(Kind::Gitlab),
            "gitlab_revocation" => revocation(config),
            "json" => json_kind(config),
            "pagerduty" => plain(Kind::Pagerduty),
            "sarif" => with_header(|header| Kind::Sarif { header }),
            "vault_audit" => with_header(|header| Kind::VaultAudit { header }),
            other => {
                let hint = format!("known are {KINDS}");
                Err(ConfigError::at("", format!("`{other}` is no kind of sender"), hint))
            }
        };
        let (kind, secret, previous, channel, audience) = parsed.map_err(at)?;
        let mut keys = vec![secret];
        keys.extend(previous);
        Ok(Self { name: name.to_owned(), kind, keys, response: Response { channel, audience } })
    }
}

/// The parser quotes a text that is where none belongs, and that may be a value.
fn without_texts(message: &str) -> String {
    let Some((before, rest)) = message.split_once("string \"") else { return message.to_owned() };
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}a text{after}")
}

type Parts = (Kind, SecretSource, Vec<SecretSource>, Option<Channel>, Option<Audience>);

fn json_kind(config: &Value) -> Result<Parts, ConfigError> {
    let Json { secret, previous, channel, audience, header, map } = ConfigError::parse(config)?;
    for (key, pointer) in map.pointers() {
        if pointer.as_ref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            let message = format!("`map.{key}` is no JSON Pointer");
            return Err(ConfigError::at("map", message, "begin it with `/`, such as `/alert/secret`"));
        }
    }
    if map.value.is_none() && map.secret.is_none() && map.principal.is_none() {
        let hint = "give at least one of `value`, `secret` and `principal`";
        return Err(ConfigError::at("map", "`map` says nowhere which secret it is", hint));
    }
    Ok((Kind::Json { header: header_name(header)?, map: Box::new(map) }, secret, previous, channel, audience))
}

fn revocation(config: &Value) -> Result<Parts, ConfigError> {
    let Revocation { secret, previous, channel, audience, types, kill } = ConfigError::parse(config)?;
    if types.is_empty() {
        let hint = "name types such as `gitleaks_rule_id_aws`";
        return Err(ConfigError::at("types", "`types` is empty, so GitLab would send nothing", hint));
    }
    Ok((Kind::GitlabRevocation { types, kill }, secret, previous, channel, audience))
}

/// Headers are compared in lower case.
fn header_name(header: Option<String>) -> Result<Option<String>, ConfigError> {
    let usable =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match header {
        Some(name) if !usable(&name) => {
            Err(ConfigError::at("header", "`header` is no name of a header", "for example `x-api-key`"))
        }
        other => Ok(other.map(|name| name.to_ascii_lowercase())),
    }
}

/// The JSON Schema of `intake:`.
pub(crate) fn schema() -> Value {
    let channels: Vec<&str> = Channel::ALL.iter().map(|channel| channel.word()).collect();
    let reference = |what: &str| json!({"type": "string", "description": what});
    let base = BTreeMap::from([
        ("secret", reference("Reference to the key of the signature, at least 16 bytes")),
        (
            "previous",
            json!({"type": "array", "items": {"type": "string"}, "description": "References to keys that are accepted as well, while the key is changed"}),
        ),
        (
            "channel",
            json!({"enum": channels, "description": "Where its findings were readable, when deliveries do not say it"}),
        ),
        ("audience", json!({"enum": ["nobody", "few", "internal", "public"]})),
    ]);
    let kind = |more: &[(&'static str, Value)], required: &[&str]| {
        let mut properties = base.clone();
        properties.extend(more.iter().cloned());
        let required: Vec<&str> = std::iter::once("secret").chain(required.iter().copied()).collect();
        json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
    };
    let header = |what: &str| ("header", json!({"type": "string", "description": what}));
    let static_header = "The sender cannot sign: it sends the key itself in this header";
    let api = json!({"type": "object", "additionalProperties": false, "required": ["token"], "properties": {
        "url": {"type": "string", "pattern": "^https?://", "default": "https://api.github.com"},
        "token": reference("Reference to a token that may read secret scanning alerts"),
    }});
    let pointers: BTreeMap<&str, Value> = Map::default()
        .pointers()
        .iter()
        .map(|(name, _)| {
            (*name, json!({"type": "string", "pattern": "^(/.*)?$", "description": "JSON Pointer"}))
        })
        .collect();
    let map = json!({"type": "object", "additionalProperties": false, "properties": pointers});
    let types = json!({"type": "array", "minItems": 1, "items": {"type": "string"}, "description": "What GitLab may send, such as gitleaks_rule_id_aws"});
    let kill = json!({"type": "boolean", "default": false, "description": "Revoke tokens that the inventory does not know, when their value alone is enough"});
    let kinds = [
        ("eventbridge", kind(&[header("The header of the API destination's key; default x-api-key")], &[])),
        ("github", kind(&[("api", api)], &[])),
        ("gitguardian", kind(&[], &[])),
        ("gitlab", kind(&[], &[])),
        ("gitlab_revocation", kind(&[("types", types), ("kill", kill)], &["types"])),
        ("json", kind(&[header(static_header), ("map", map)], &["map"])),
        ("pagerduty", kind(&[], &[])),
        ("sarif", kind(&[header(static_header)], &[])),
        ("vault_audit", kind(&[header(static_header)], &[])),
    ];
    let variants: Vec<Value> = kinds
        .into_iter()
        .map(|(id, schema)| json!({"type": "object", "properties": {id: schema}, "required": [id], "additionalProperties": false}))
        .collect();
    json!({"type": "object", "propertyNames": {"pattern": "^[a-z0-9][a-z0-9._-]{0,79}$"}, "additionalProperties": {"oneOf": variants}})
}
