//! A service account's key, and the grant that is signed with it (RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use quell_core::secret::SecretValue;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// What is in the file that Google gives ("Create and delete service account keys").
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) email: String,
    pair: RsaKeyPair,
}

/// Google takes an hour at most; a minute is enough to be exchanged.
const LIFE: i64 = 60;

/// For all of Google Cloud; what a key may do is decided by roles.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("email", &self.email).finish_non_exhaustive()
    }
}

impl Key {
    /// From the JSON, or that in base64. The text of an error never repeats a part of it.
    pub(crate) fn of(value: &SecretValue) -> Result<Self, &'static str> {
        // Tools wrap long lines.
        let packed = value.expose_text().map(|text| {
            Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>())
        });
        let decoded = packed.and_then(|text| BASE64_STANDARD.decode(text.as_str()).ok());
        let bytes = decoded.map_or_else(|| SecretValue::new(value.expose().to_vec()), SecretValue::new);
        let json: Value = serde_json::from_slice(bytes.expose())
            .map_err(|_e| "it is no JSON file of a service account's key")?;
        let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("type") != Some("service_account") {
            return Err("it is JSON, and not of a service account's key");
        }
        let (Some(id), Some(email), Some(pem)) =
            (text("private_key_id"), text("client_email"), text("private_key"))
        else {
            return Err("the key file lacks `private_key_id`, `client_email` or `private_key`");
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        let pair = der.ok().and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        let pair = pair.ok_or("the private key in the key file cannot be read")?;
        Ok(Self { id: id.to_owned(), email: email.to_owned(), pair })
    }

    /// What is exchanged for a token.
    pub(crate) fn assertion(&self, audience: &str, now: Timestamp) -> Option<Zeroizing<String>> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let issued = now.as_second();
        let header = part(&json!({ "alg": "RS256", "typ": "JWT", "kid": self.id }));
        let claims = part(&json!({
            "iss": self.email, "scope": SCOPE, "aud": audience, "iat": issued, "exp": issued + LIFE,
        }));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(Zeroizing::new(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }
}
