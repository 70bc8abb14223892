//! `issuer: { oauth: … }`.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::error::ConfigError;
use crate::source::SecretSource;

/// One server, the client that tokens were issued to, and what of it leaked: `token` or `client_secret`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) endpoints: Endpoints,
    pub(super) client: Client,
    pub(super) control: Option<Control>,
    pub(super) token: Option<TokenConfig>,
    pub(super) client_secret: Option<SecretConfig>,
    pub(super) settle: Option<SignedDuration>,
}

/// In place of what the server's metadata says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoints {
    pub(super) introspection: Option<String>,
    pub(super) revocation: Option<String>,
    pub(super) token: Option<String>,
}

/// A registered client.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<SecretSource>,
    #[serde(default)]
    pub(super) auth: Auth,
}

/// How a client logs in (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auth {
    /// In the header.
    #[default]
    Basic,
    /// Not at all: a public client.
    None,
    /// In the body.
    Post,
}

/// A client whose tokens are known to be good.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    pub(super) client: Client,
    pub(super) scope: Option<String>,
    pub(super) resource: Option<String>,
}

/// A token that leaks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenConfig {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// The door that takes access tokens.
    pub(super) resource: Option<String>,
    /// Names in `aud` of a JWT that stand for the resource alone, or for others that ask the server each time.
    #[serde(default)]
    pub(super) audience: Vec<String>,
    /// Where consumers keep other tokens of the same grant.
    #[serde(default)]
    pub(super) family: Vec<SecretSource>,
    /// How a successor is asked for.
    pub(super) mint: Option<MintConfig>,
}

/// Which token it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Opens resources.
    AccessToken,
    /// Gives access tokens.
    RefreshToken,
}

impl Kind {
    /// As in `token_type_hint` (RFC 7009, section 2.1).
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AccessToken => "access token",
            Self::RefreshToken => "refresh token",
        }
    }
}

/// A grant by client credentials.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MintConfig {
    pub(super) scope: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) audience: Option<String>,
}

/// The client's own secret leaks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretConfig {
    pub(super) registration: RegistrationConfig,
}

/// The client's own record at the server (RFC 7592).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationConfig {
    pub(super) uri: String,
    /// A store, as in `stores:`: the token for it changes, and is written back.
    pub(super) token: Value,
}

/// An address that secrets may be sent to. The text is not repeated: people put credentials into addresses.
pub(super) fn address(key: &str, text: &str) -> Result<Url, ConfigError> {
    checked(text).map_err(|why| ConfigError::at(key, why, "Write an https address without a login in it."))
}

pub(super) fn checked(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_e| "it is not a URL")?;
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err("it names no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => return Err("it is not https: secrets would travel in clear"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not carry a login");
    }
    Ok(url)
}

impl Config {
    /// What no type says.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        address("issuer", &self.issuer)?;
        let endpoints = &self.endpoints;
        for (key, given) in [
            ("endpoints.introspection", &endpoints.introspection),
            ("endpoints.revocation", &endpoints.revocation),
            ("endpoints.token", &endpoints.token),
        ] {
            if let Some(given) = given {
                address(key, given)?;
            }
        }
        if let Some(control) = &self.control {
            control.client.with_secret("control.client")?;
            if control.client.id == self.client.id {
                let hint = "Register a client of Quell's own, which may use client_credentials.";
                return Err(ConfigError::at("control", "it is the client whose credential leaks", hint));
            }
        }
        match (&self.token, &self.client_secret) {
            (Some(token), None) => {
                self.client.with_secret("client")?;
                token.check()
            }
            (None, Some(secret)) => self.check_secret(secret),
            (Some(_), Some(_)) | (None, None) => {
                let hint =
                    "Write `token:` for a leaked token, or `client_secret:` for the client's own secret.";
                Err(ConfigError::at("token", "it does not say which credential leaks", hint))
            }
        }
    }

    fn check_secret(&self, secret: &SecretConfig) -> Result<(), ConfigError> {
        address("client_secret.registration.uri", &secret.registration.uri)?;
        if self.client.secret.is_some() {
            let hint = "Name where it is kept in `stores:`.";
            return Err(ConfigError::at("client.secret", "it is what leaks, and not what Quell uses", hint));
        }
        if self.client.auth == Auth::None {
            return Err(ConfigError::at(
                "client.auth",
                "a public client has no secret",
                "Use basic or post.",
            ));
        }
        Ok(())
    }
}

impl TokenConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(resource) = &self.resource {
            address("token.resource", resource)?;
        }
        match self.kind {
            Kind::AccessToken if self.resource.is_none() => {
                let hint = "Name an address that takes the token and changes nothing, such as https://api.example.com/me.";
                Err(ConfigError::at("token.resource", "without a door nothing can be proven", hint))
            }
            Kind::AccessToken if !self.family.is_empty() => {
                let hint = "Give the refresh token an entry of its own.";
                Err(ConfigError::at("token.family", "only a refresh token has one", hint))
            }
            Kind::RefreshToken if !self.family.is_empty() && self.resource.is_none() => {
                let hint = "Name `resource`, an address that takes access tokens and changes nothing.";
                Err(ConfigError::at(
                    "token.family",
                    "without a door nobody can tell whether they are dead",
                    hint,
                ))
            }
            Kind::RefreshToken if self.mint.is_some() => {
                let hint = "People must consent again; remove it.";
                Err(ConfigError::at("token.mint", "a refresh token cannot be asked for", hint))
            }
            Kind::AccessToken | Kind::RefreshToken => Ok(()),
        }
    }
}

impl Client {
    fn with_secret(&self, key: &str) -> Result<(), ConfigError> {
        let needs = match self.auth {
            Auth::Basic | Auth::Post => true,
            Auth::None => false,
        };
        if needs == self.secret.is_some() {
            return Ok(());
        }
        let message = if needs { "it has no secret to log in with" } else { "a public client has no secret" };
        let hint =
            "Write `secret: openbao:kv/infra/oauth#client_secret`, or `auth: none` for a public client.";
        Err(ConfigError::at(key, message, hint))
    }
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn closed(required: Value, properties: Value) -> Value {
    let fields = [
        ("type", json!("object")),
        ("additionalProperties", json!(false)),
        ("required", required),
        ("properties", properties),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Schema of [`TokenConfig`].
fn token_schema() -> Value {
    let more = json!({
        "scope": text("Scopes of a successor, with spaces in between"),
        "resource": text("Resource indicator of a successor (RFC 8707)"),
        "audience": text("Audience of a successor, where the server asks for one"),
    });
    let list = |description: &str| {
        let item = json!({ "type": "string", "minLength": 1 });
        json!({ "type": "array", "items": item, "description": description })
    };
    closed(
        json!(["type"]),
        json!({
            "type": { "enum": ["access_token", "refresh_token"], "description": "Which token it is" },
            "resource": text("An address that takes access tokens and changes nothing: https://api.example.com/me"),
            "audience": list("Names in `aud` of a JWT that stand for `resource` alone, or for resources that ask the server each time"),
            "family": list("References to other tokens of the same grant, as consumers keep them: file:/run/orders/access-token"),
            "mint": closed(json!([]), more),
        }),
    )
}

/// Schema of [`Config`].
pub(super) fn schema() -> Value {
    let client = |description: &str| {
        let mut client = closed(
            json!(["id"]),
            json!({
                "id": text("The client's id"),
                "secret": text("A reference to its secret: openbao:kv/infra/oauth#client_secret"),
                "auth": {
                    "enum": ["basic", "post", "none"],
                    "default": "basic",
                    "description": "How it logs in: by the header, in the body, or not at all (a public client)",
                },
            }),
        );
        if let Some(client) = client.as_object_mut() {
            client.insert("description".to_owned(), json!(description));
        }
        client
    };
    let registration = closed(
        json!(["uri", "token"]),
        json!({
            "uri": text("The client's configuration endpoint (`registration_client_uri`)"),
            "token": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "description": "Where the registration access token is kept, as one of `stores:`; the next one is written there",
            },
        }),
    );
    let mut config = closed(
        json!(["issuer", "client"]),
        json!({
            "issuer": text("The server, as its metadata names it: https://login.example.com"),
            "endpoints": closed(json!([]), json!({
                "introspection": text("In place of the one in the metadata"),
                "revocation": text("In place of the one in the metadata"),
                "token": text("In place of the one in the metadata"),
            })),
            "client": client("The client that the leaked token was issued to, or whose secret leaked"),
            "control": closed(json!(["client"]), json!({
                "client": client("A client of Quell's own: it introspects, and its tokens are the control of a proof"),
                "scope": text("Scopes of the control's token"),
                "resource": text("Resource indicator of the control's token (RFC 8707)"),
            })),
            "token": token_schema(),
            "client_secret": closed(json!(["registration"]), json!({ "registration": registration })),
            "settle": text("How long until every resource notices, such as the life of its cache: 2s (the default)"),
        }),
    );
    if let Some(config) = config.as_object_mut() {
        config.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        config.insert(
            "oneOf".to_owned(),
            json!([{ "required": ["token"] }, { "required": ["client_secret"] }]),
        );
    }
    config
}
