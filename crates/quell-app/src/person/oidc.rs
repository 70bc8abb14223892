//! Signing in by OpenID Connect: code flow with PKCE. An identity provider vouches for the person; its groups give the role.
//!
//! Sources: OpenID Connect Core 1.0 (errata set 2) sections 3.1 and 15, RFC 6749, RFC 7636 (PKCE), RFC 9207 (`iss` in the answer), OpenID Connect Discovery
//! 1.0. The signature and the times of the id token are checked by `jsonwebtoken`; what ties it to this very sign-in (state, nonce, verifier, browser) is
//! checked here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use quell_connect::error::{ConnectError, ConnectErrorKind};
use quell_connect::http::{Answer, Method};
use quell_connect::source::SecretSource;
use quell_core::inventory::Oidc;
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use quell_store::Lapsing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;
use url::Url;

use super::hash;
use super::session::random;
use crate::{App, AppError};

/// Time from leaving for the identity provider to coming back.
const LASTS: SignedDuration = SignedDuration::from_mins(10);
/// Clocks may differ by this much, in seconds.
const LEEWAY: u64 = 60;
/// Kind of row.
const KIND: &str = "oidc";
const SYSTEM: &str = "identity provider";
/// What may sign an id token: no shared secrets, no `none`.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What was begun in one browser, until it comes back.
#[derive(Deserialize, Serialize)]
struct Begun {
    nonce: String,
    verifier: String,
    next: String,
    /// Hash of the cookie of the browser that began: another one cannot finish (sign-in CSRF).
    browser: String,
    /// The person is to show anew who they are, not before this moment.
    again: Option<Timestamp>,
}

/// Where to send the browser, and the cookie that it brings back.
#[derive(Debug)]
pub struct Away {
    /// The identity provider's page.
    pub url: Url,
    /// For a cookie of this browser.
    pub cookie: SecretValue,
}

/// Who came back.
#[derive(Clone, Debug)]
pub struct Back {
    /// The name that decisions are recorded with.
    pub person: String,
    /// By the groups.
    pub role: Role,
    /// Where they wanted to go.
    pub next: String,
    /// When they showed who they are, as the provider says; the epoch when it does not.
    pub confirmed: Timestamp,
}

/// What the browser brings back.
#[derive(Debug, Deserialize)]
pub struct Returned {
    /// To be exchanged for tokens.
    pub code: Option<String>,
    /// What we sent along.
    pub state: Option<String>,
    /// Who says so (RFC 9207).
    pub iss: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct Provider {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

fn failed(what: &'static str, words: impl Into<String>) -> AppError {
    ConnectError::new(SYSTEM, what, ConnectErrorKind::Denied, words).into()
}

/// The configuration, or what is missing.
fn configured(app: &App) -> Result<&Oidc, AppError> {
    app.inventory.server.oidc.as_ref().ok_or_else(|| {
        AppError::Usage(
            "no identity provider is configured (`server: { oidc: … }` in the inventory)".to_owned(),
        )
    })
}

async fn get(app: &App, url: &str, what: &'static str) -> Result<Value, AppError> {
    let request = app.context.http.request(Method::GET, url)?;
    let answer = app.context.http.send(SYSTEM, what, request).await?;
    json(&answer, what)
}

fn json(answer: &Answer, what: &'static str) -> Result<Value, AppError> {
    let value = answer.json();
    if answer.status == 200 && value.is_object() {
        return Ok(value);
    }
    // The code of an error is from a short list (RFC 6749, section 5.2); the rest of the answer may hold anything.
    let code = value.get("error").and_then(Value::as_str).filter(|code| code.len() < 64).unwrap_or_default();
    Err(failed(what, format!("it answered {} {code}", answer.status)))
}

async fn discover(app: &App, oidc: &Oidc) -> Result<Provider, AppError> {
    let what = "reading its configuration";
    let place = format!("{}/.well-known/openid-configuration", oidc.issuer.trim_end_matches('/'));
    let found: Provider = serde_json::from_value(get(app, &place, what).await?)
        .map_err(|e| failed(what, format!("its configuration lacks something: {e}")))?;
    // Discovery 1.0, section 4.3: exactly the same, or it speaks for somebody else.
    if found.issuer != oidc.issuer {
        return Err(failed(
            what,
            format!("it calls itself {:?}; write that into server.oidc.issuer", found.issuer),
        ));
    }
    Ok(found)
}

/// Begins a sign-in. `callback` is our own address; `again` asks the person to show anew who they are.
pub async fn begin(
    app: &App,
    callback: &Url,
    next: &str,
    again: bool,
    now: Timestamp,
) -> Result<Away, AppError> {
    let oidc = configured(app)?;
    let provider = discover(app, oidc).await?;
    let (state, cookie) = (random()?, SecretValue::from_text(random()?));
    let begun = Begun {
        nonce: random()?,
        verifier: random()?,
        next: next.to_owned(),
        browser: hash(cookie.expose()),
        again: again.then_some(now),
    };
    let page = Url::parse(&provider.authorization_endpoint);
    let mut url =
        page.map_err(|e| failed("reading its configuration", format!("authorization_endpoint: {e}")))?;
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(begun.verifier.as_bytes()));
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &oidc.client_id)
        .append_pair("redirect_uri", callback.as_str())
        .append_pair("scope", &oidc.scope)
        .append_pair("state", &state)
        .append_pair("nonce", &begun.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    if again {
        url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
    }
    let body = serde_json::to_string(&begun).map_err(|e| AppError::Usage(e.to_string()))?;
    let expires_us = now.checked_add(LASTS).unwrap_or(Timestamp::MAX).as_microsecond();
    let row = Lapsing { id: hash(state.as_bytes()), owner: String::new(), body, expires_us };
    app.store.lapsing_sweep(now).await?;
    app.store.lapsing_add(KIND, &row, now).await?;
    Ok(Away { url, cookie })
}

/// Ends a sign-in: who is it, and what may they do?
pub async fn finish(
    app: &App,
    callback: &Url,
    returned: &Returned,
    cookie: Option<&SecretValue>,
    now: Timestamp,
) -> Result<Back, AppError> {
    let oidc = configured(app)?;
    let what = "signing in";
    let lost = || {
        failed(
            what,
            "this sign-in was not begun in this browser, or longer than ten minutes ago; begin again",
        )
    };
    let state = returned.state.as_deref().ok_or_else(lost)?;
    // Used up whatever follows: an answer is good once.
    let row = app.store.lapsing_take(KIND, &hash(state.as_bytes()), now).await?.ok_or_else(lost)?;
    let begun: Begun = serde_json::from_str(&row.body).map_err(|_old| lost())?;
    if cookie.map(|cookie| hash(cookie.expose())).as_deref() != Some(&begun.browser) {
        return Err(lost());
    }
    if let Some(error) = &returned.error {
        let shown: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
        return Err(failed(what, format!("it refused: {shown}")));
    }
    let provider = discover(app, oidc).await?;
    let said = returned.iss.as_deref();
    if said.is_some_and(|iss| iss != provider.issuer)
        || (said.is_none() && provider.authorization_response_iss_parameter_supported)
    {
        return Err(failed(what, "the answer is another provider's"));
    }
    let code = returned.code.as_deref().ok_or_else(lost)?;
    let claims = exchange(app, oidc, &provider, callback, code, &begun).await?;
    if let Some(since) = begun.again {
        let at = claims.get("auth_time").and_then(Value::as_i64).unwrap_or_default();
        if at + i64::try_from(LEEWAY).unwrap_or_default() < since.as_second() {
            return Err(failed(what, "it did not ask anew who you are (`auth_time` is too old)"));
        }
    }
    let person = person(oidc, &claims)?;
    let people = super::people(app).await?;
    if people.is_removed(&person) {
        return Err(failed(
            what,
            format!("{person} was removed here; `quell person add` lets them in again"),
        ));
    }
    // Decisions are recorded with names, and rights hang on them: one name is one person, whoever vouches.
    if let Some(local) = people.namesake(&person) {
        let words = format!(
            "{local} signs in with codes here; remove them first (`quell person remove`), or sign in with a code"
        );
        return Err(failed(what, words));
    }
    let shown =
        claims.get("auth_time").and_then(Value::as_i64).and_then(|at| Timestamp::from_second(at).ok());
    let confirmed = shown.unwrap_or(Timestamp::UNIX_EPOCH).min(now);
    let role = role(oidc, &claims);
    super::provided(app, &person, role, now).await?;
    Ok(Back { role, person, next: begun.next, confirmed })
}

async fn exchange(
    app: &App,
    oidc: &Oidc,
    provider: &Provider,
    callback: &Url,
    code: &str,
    begun: &Begun,
) -> Result<Value, AppError> {
    let what = "exchanging the code";
    let source: SecretSource =
        oidc.client_secret.parse().map_err(|e: quell_connect::source::BadSource| {
            AppError::Usage(format!("server.oidc.client_secret: {e}"))
        })?;
    let secret = source.resolve(&app.context).await?;
    // A named sink of the client's secret: the identity provider's own token endpoint. RFC 6749, section 2.3.1: both are form-encoded first.
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let password = zeroize::Zeroizing::new(encoded(secret.expose_text().unwrap_or_default()));
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", callback.as_str())
        .append_pair("code_verifier", &begun.verifier)
        .finish();
    let request = app
        .context
        .http
        .request(Method::POST, &provider.token_endpoint)?
        .basic_auth(encoded(&oidc.client_id), Some(password.as_str()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = app.context.http.send(SYSTEM, what, request).await?;
    let tokens = json(&answer, what)?;
    let token = tokens.get("id_token").and_then(Value::as_str);
    let token =
        token.ok_or_else(|| failed(what, "there is no id token in its answer; is `openid` in the scope?"))?;
    let keys = get(app, &provider.jwks_uri, "reading its keys").await?;
    let claims = verify(token, &keys, oidc)?;
    if claims.get("nonce").and_then(Value::as_str) != Some(&begun.nonce) {
        return Err(failed(what, "the id token is for another sign-in"));
    }
    Ok(claims)
}

/// The claims of an id token that the provider signed for us and that has not ended (Core 1.0, section 3.1.3.7).
fn verify(token: &str, keys: &Value, oidc: &Oidc) -> Result<Value, AppError> {
    let bad = |why: String| failed("checking the id token", why);
    let header = decode_header(token).map_err(|e| bad(e.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(bad(format!("it is signed by {:?}, which proves nothing here", header.alg)));
    }
    // A set may hold keys of kinds that we do not know; one of them must not spoil the others.
    let known = keys.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let known = known.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
    let set = JwkSet { keys: known };
    let found = match &header.kid {
        Some(kid) => set.find(kid),
        None => set.keys.first().filter(|_| set.keys.len() == 1),
    };
    let key =
        found.ok_or_else(|| bad("it is signed by a key that the provider does not publish".to_owned()))?;
    let key = DecodingKey::from_jwk(key).map_err(|e| bad(e.to_string()))?;
    let mut rules = Validation::new(header.alg);
    rules.leeway = LEEWAY;
    rules.set_issuer(&[&oidc.issuer]);
    rules.set_audience(&[&oidc.client_id]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Value>(token, &key, &rules).map_err(|e| bad(e.to_string()))?.claims;
    // With several audiences, it says for which of them it was made.
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    let azp = claims.get("azp").and_then(Value::as_str);
    if azp.is_some_and(|azp| azp != oidc.client_id) || (several && azp.is_none()) {
        return Err(bad("it was made for another client".to_owned()));
    }
    Ok(claims)
}

fn person(oidc: &Oidc, claims: &Value) -> Result<String, AppError> {
    let what = "reading who it is";
    let name = claims.get(&oidc.name_claim).and_then(Value::as_str);
    let name = name.ok_or_else(|| {
        failed(what, format!("the id token has no `{}` (server.oidc.name_claim)", oidc.name_claim))
    })?;
    // Whoever can write any address into their own profile would be anybody.
    if oidc.name_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(failed(what, "the provider has not verified the e-mail address"));
    }
    quell_core::person::name(name).map_err(|e| failed(what, e.to_string()))
}

/// The highest role that one of the groups gives.
fn role(oidc: &Oidc, claims: &Value) -> Role {
    let groups: Vec<&str> = match claims.get(&oidc.groups_claim) {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    };
    let gives = |(_, names): &(&Role, &Vec<String>)| names.iter().any(|name| groups.contains(&name.as_str()));
    oidc.roles.iter().filter(gives).map(|(role, _)| *role).max().unwrap_or(oidc.default_role)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oidc() -> Oidc {
        serde_json::from_value(json!({
            "issuer": "https://id.example.com", "client_id": "quell", "client_secret": "env:SECRET",
            "roles": { "admin": ["sec-leads"], "responder": ["sre", "sec"] },
        }))
        .unwrap()
    }

    #[test]
    fn groups_give_the_highest_role_and_nothing_gives_the_least() {
        let of = |claims: Value| role(&oidc(), &claims);
        assert_eq!(of(json!({ "groups": ["sre", "sec-leads"] })), Role::Admin);
        assert_eq!(of(json!({ "groups": "sre" })), Role::Responder);
        for nothing in
            [json!({}), json!({ "groups": ["SRE"] }), json!({ "groups": 7 }), json!({ "groups": [["sre"]] })]
        {
            assert_eq!(of(nothing), Role::Reporter);
        }
    }

    #[test]
    fn a_name_that_nobody_verified_is_nobodys() {
        let mut by_mail = oidc();
        by_mail.name_claim = "email".to_owned();
        let mail = json!({ "email": "ines@example.com" });
        assert!(person(&by_mail, &mail).unwrap_err().to_string().contains("verified"));
        let mail = json!({ "email": "ines@example.com", "email_verified": true });
        assert_eq!(person(&by_mail, &mail).unwrap(), "ines@example.com");
        assert!(person(&oidc(), &json!({ "sub": "a\nb" })).is_err());
    }

    #[test]
    fn what_is_signed_by_nobody_or_with_a_shared_secret_is_refused() {
        for token in ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"] {
            assert!(verify(token, &json!({ "keys": [] }), &oidc()).is_err(), "{token}");
        }
    }
}
