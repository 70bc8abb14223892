//! Access tokens for grants that are signed with a service account's key.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::super::{base64, form, unbase64};
use super::{Reply, Request, State};

/// A service account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) keys: BTreeMap<String, Held>,
    pub(super) description: String,
    pub(super) etag: u32,
    /// An organization's policy forbids keys.
    pub(super) forbidden: bool,
    made: u64,
}

/// A key as Google has it.
#[derive(Debug)]
pub(super) struct Held {
    public: Vec<u8>,
    pub(super) disabled: bool,
    pub(super) reason: Option<&'static str>,
    made: String,
}

impl Held {
    pub(super) fn object(&self, email: &str, id: &str) -> Value {
        let mut object = json!({
            "name": format!("projects/acme-prod/serviceAccounts/{email}/keys/{id}"),
            "keyType": "USER_MANAGED",
            "validAfterTime": self.made,
            "disabled": self.disabled,
        });
        if let Some(reason) = self.reason {
            object["disableReason"] = json!(reason);
        }
        object
    }
}

impl Account {
    /// Makes a key, and gives its id and its file.
    pub(super) fn make_key(&mut self, email: &str) -> anyhow::Result<(String, String)> {
        let pair = KeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key")?;
        let der: Pkcs8V1Der<'_> = pair.as_der().ok().context("no PKCS#8")?;
        self.made += 1;
        let id = format!("{:08x}{:032x}", 0x00c0_ffee_u64 + self.made, self.made);
        let public = pair.public_key().as_ref().to_vec();
        self.keys.insert(id.clone(), Held { public, disabled: false, reason: None, made: now()? });
        let body = base64(der.as_ref());
        let ends = (0..body.len()).step_by(64);
        let lines: Vec<&str> = ends.filter_map(|at| body.get(at..body.len().min(at + 64))).collect();
        let mark = |word: &str| format!("-----{word} {} KEY-----", "PRIVATE");
        let file = json!({
            "type": "service_account", "project_id": "acme-prod", "private_key_id": id, "client_email": email,
            "private_key": format!("{}\n{}\n{}\n", mark("BEGIN"), lines.join("\n"), mark("END")),
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        Ok((id, file.to_string()))
    }

    pub(super) fn disable(&mut self, reason: &'static str) {
        for key in self.keys.values_mut() {
            (key.disabled, key.reason) = (true, Some(reason));
        }
    }
}

/// Whole seconds, as IAM has them.
fn now() -> anyhow::Result<String> {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

impl State {
    pub(super) fn give_token(&mut self, request: &Request) -> Reply {
        let pairs = form(&String::from_utf8_lossy(&request.body));
        let refused =
            |words: &str| Reply::json(400, &json!({ "error": "invalid_grant", "error_description": words }));
        let assertion = pairs.get("assertion").map_or("", String::as_str);
        let Some((signed, signature)) = assertion.rsplit_once('.') else { return refused("Bad Request") };
        let Some((header, claims)) = signed.split_once('.') else { return refused("Bad Request") };
        let read = |text: &str| serde_json::from_slice::<Value>(&url_safe(text)).unwrap_or_default();
        let (header, claims) = (read(header), read(claims));
        if claims["aud"] != "https://oauth2.googleapis.com/token"
            || claims["exp"].as_i64() <= claims["iat"].as_i64()
        {
            return refused(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            );
        }
        let email = claims["iss"].as_str().unwrap_or_default();
        let Some(account) = self.accounts.get(email) else {
            return refused("Invalid grant: account not found");
        };
        let key = account.keys.get(header["kid"].as_str().unwrap_or_default()).filter(|key| !key.disabled);
        let good = key.is_some_and(|key| {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.public);
            key.verify(signed.as_bytes(), &url_safe(signature)).is_ok()
        });
        if !good {
            return refused("Invalid JWT Signature.");
        }
        let token = format!("ya29.{email}.{}", self.tokens.len());
        self.tokens.insert(token.clone(), vec!["*".to_owned()]);
        Reply::json(200, &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }))
    }
}

impl State {
    /// Whether a key file is of a key that is in force: by its id, and that its public half is the one that Google has.
    pub(super) fn takes(&self, file: &str) -> bool {
        let file: Value = serde_json::from_str(file).unwrap_or_default();
        let at = |name: &str| file[name].as_str().unwrap_or_default();
        let pem: String = at("private_key").lines().filter(|line| !line.starts_with('-')).collect();
        let Ok(pair) = RsaKeyPair::from_pkcs8(&unbase64(&pem)) else { return false };
        let held =
            self.accounts.get(at("client_email")).and_then(|account| account.keys.get(at("private_key_id")));
        held.is_some_and(|held| !held.disabled && held.public == pair.public_key().as_ref())
    }
}

/// RFC 4648, section 5.
fn url_safe(text: &str) -> Vec<u8> {
    unbase64(&text.replace('-', "+").replace('_', "/"))
}
