//! Tokens that are made to be tried: a minute long, one for each try, with an id that tells them from anybody's in a log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::{Algorithm, Key};

/// How long one is good, in seconds.
const SECONDS: i64 = 60;

/// So many seconds ago it was made, as it says: a verifier whose clock is a little behind would refuse it for its time, and not for its key.
const BACK: i64 = 30;

/// Claims that are Quell's to choose.
pub(crate) const OURS: [&str; 4] = ["exp", "iat", "jti", "nbf"];

/// A token, and its id.
pub(crate) struct Canary {
    pub(crate) token: Zeroizing<String>,
    pub(crate) id: String,
}

/// What all tokens of a door have in common.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) claims: Map<String, Value>,
    /// `typ` of the header.
    pub(crate) typ: String,
}

impl Form {
    /// A token of a key, under one of its names.
    pub(super) fn signed(
        &self,
        (key, algorithm): (&Key, Algorithm),
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<Canary, &'static str> {
        self.made(algorithm.name(), kid, now, |message| key.sign_as(algorithm, message))
    }

    /// One that nobody signed (RFC 7518, 3.6).
    pub(crate) fn unsigned(&self, kid: Option<&str>, now: Timestamp) -> Result<Canary, &'static str> {
        self.made("none", kid, now, |_message| Ok(Vec::new()))
    }

    /// One with a shared key.
    pub(crate) fn shared(
        &self,
        key: &[u8],
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<Canary, &'static str> {
        self.made("HS256", kid, now, |message| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_e| "the key signs nothing")?;
            mac.update(message);
            Ok(mac.finalize().into_bytes().to_vec())
        })
    }

    /// A session cookie as Flask writes it: `itsdangerous` 2.2, `URLSafeTimedSerializer`, with the salt, digest and derivation of
    /// `SecureCookieSessionInterface` (flask 3.1, `sessions.py`, read 2026-11-23). How long it is good is the service's to say.
    pub(crate) fn flask(&self, key: &[u8], now: Timestamp) -> Result<Canary, &'static str> {
        let id = id()?;
        let mut claims = self.claims.clone();
        claims.insert("jti".to_owned(), id.clone().into());
        let at = now.as_second().saturating_sub(BACK).to_be_bytes();
        let zeros = at.iter().take_while(|byte| **byte == 0).count();
        let at = URL_SAFE_NO_PAD.encode(at.get(zeros..).unwrap_or_default());
        let message = format!("{}.{at}", URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string()));
        let derived = Zeroizing::new(sha1(key, b"cookie-session")?);
        let signature = URL_SAFE_NO_PAD.encode(sha1(&derived, message.as_bytes())?);
        Ok(Canary { token: Zeroizing::new(format!("{message}.{signature}")), id })
    }

    fn made(
        &self,
        algorithm: &str,
        kid: Option<&str>,
        now: Timestamp,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, &'static str>,
    ) -> Result<Canary, &'static str> {
        let id = id()?;
        let mut header = json!({ "alg": algorithm, "typ": self.typ });
        if let (Some(kid), Some(header)) = (kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), kid.into());
        }
        let mut claims = self.claims.clone();
        let second = now.as_second();
        let ours = [("iat", json!(second - BACK)), ("exp", json!(second + SECONDS)), ("jti", json!(id))];
        claims.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        let message = format!("{}.{}", part(&header.to_string()), part(&Value::Object(claims).to_string()));
        let signature = sign(message.as_bytes())?;
        Ok(Canary { token: Zeroizing::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))), id })
    }
}

fn id() -> Result<String, &'static str> {
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random).map_err(|_e| "the system gave no randomness")?;
    Ok(format!("quell-canary-{}", hex::encode(random)))
}

fn sha1(key: &[u8], message: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key).map_err(|_e| "the key signs nothing")?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_says_what_it_is() {
        let claims = Map::from_iter([("iss".to_owned(), "https://id.example".into())]);
        let form = Form { claims, typ: "at+jwt".to_owned() };
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let canary = form.shared(b"key", Some("k"), now).unwrap();
        let parts: Vec<Vec<u8>> =
            canary.token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let json = |at: usize| serde_json::from_slice::<Value>(&parts[at]).unwrap();
        assert_eq!(json(0), json!({ "alg": "HS256", "kid": "k", "typ": "at+jwt" }));
        let (iat, exp) = (now.as_second() - 30, now.as_second() + 60);
        assert_eq!(json(1), json!({ "iss": "https://id.example", "iat": iat, "exp": exp, "jti": canary.id }));
        assert_eq!(parts[2].len(), 32);
        assert!(form.unsigned(None, now).unwrap().token.ends_with('.'));
        assert_ne!(form.unsigned(None, now).unwrap().id, canary.id);
    }
}
