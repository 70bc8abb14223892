//! Private keys that sign tokens: read, made in the shape of the one before, used.
//!
//! Shapes: PKCS#8, PKCS#1 and SEC 1 as PEM (RFC 7468, RFC 8017, RFC 5915), and JSON (RFC 7517). A new key is PKCS#8 or JSON.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use quell_core::secret::SecretValue;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::der;
use super::public::{PRIVATE, Public, decode, padded};

/// How a token is signed (RFC 7518, 3.1; RFC 8037; RFC 9864, 2.2).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Algorithm {
    /// Ed25519, under its newer name.
    #[serde(rename = "Ed25519")]
    Ed25519,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// RSA with PSS and SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA with PSS and SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA with PSS and SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// RSA with PKCS#1 1.5 and SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA with PKCS#1 1.5 and SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA with PKCS#1 1.5 and SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
}

impl Algorithm {
    /// Of a published key; one of RSA may be used with PSS, too, which it does not say.
    pub(super) fn of(public: &Public) -> Self {
        let text = |name: &str| public.members().get(name).and_then(Value::as_str);
        match (text("kty"), text("crv")) {
            (Some("RSA"), _) => Self::Rs256,
            (Some("EC"), Some("P-384")) => Self::Es384,
            (Some("EC"), _) => Self::Es256,
            _ => Self::EdDsa,
        }
    }

    /// As a published key says it; nothing for one that Quell does not sign with.
    pub(super) fn named(name: &str) -> Option<Self> {
        serde_json::from_value(Value::String(name.to_owned())).ok()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A private key. `Debug` shows its thumbprint only.
pub(super) struct Key {
    pair: Pair,
    pub(super) algorithm: Algorithm,
    /// What a key that is JSON says of itself.
    json: Option<Map<String, Value>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.thumbprint()).finish()
    }
}

const DAMAGED: &str =
    "the private key cannot be read: it is damaged, or of a kind that Quell does not sign with";

impl Key {
    /// Reads a key. What is wrong is said without any of it.
    pub(super) fn read(value: &SecretValue) -> Result<Self, &'static str> {
        let text = value.expose_text().ok_or("it is not text, so it is no private key")?.trim();
        if text.starts_with('{') || text.starts_with('[') {
            return Self::of_json(text);
        }
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err("the private key is encrypted with a passphrase: keep it in the store without one");
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(if text.contains("PUBLIC KEY-----") || text.contains("BEGIN CERTIFICATE") {
                "it is a public key, which is no secret"
            } else {
                "it is no private key: neither PEM (-----BEGIN PRIVATE KEY-----) nor JSON ({\"kty\": …})"
            });
        }
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_e| DAMAGED)?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(der) => Pair::of_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => Pair::of_rsa(der.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(der) => Pair::of_ec(der.secret_sec1_der()),
            _ => None,
        };
        Ok(Self::with(pair.ok_or(DAMAGED)?, None))
    }

    fn of_json(text: &str) -> Result<Self, &'static str> {
        let parsed: Value = serde_json::from_str(text).map_err(|_e| "it begins like JSON, and is none")?;
        let Value::Object(mut json) = parsed else { return Err("it is a list, and not one key") };
        // First of all, so that whatever is left of it may be dropped as it is.
        let private = Private::take(&mut json);
        if json.contains_key("keys") {
            return Err("it is a set of keys, and not one key: name the one that signs");
        }
        let kty = json.get("kty").and_then(Value::as_str);
        if kty == Some("oct") {
            return Err("it is a key that is shared, and not a pair: its issuer is `session_key`");
        }
        let Some(secret) = private.get("d") else {
            return Err("it is a public key, which is no secret");
        };
        let public = Public::of(&json).ok_or(DAMAGED)?;
        let number = |name: &str| public.members().get(name).and_then(Value::as_str).and_then(decode);
        let (x, y) = (number("x").unwrap_or_default(), number("y").unwrap_or_default());
        let pair = match (kty, json.get("crv").and_then(Value::as_str)) {
            (Some("OKP"), _) => Ed25519KeyPair::from_seed_and_public_key(secret, &x).ok().map(Pair::Ed25519),
            (Some("EC"), crv) => {
                let (curve, length) = match crv {
                    Some("P-384") => (&ECDSA_P384_SHA384_FIXED_SIGNING, 48),
                    Some(_) | None => (&ECDSA_P256_SHA256_FIXED_SIGNING, 32),
                };
                let secret = Zeroizing::new(padded(secret, length).ok_or(DAMAGED)?);
                let point = [&[4_u8][..], &x, &y].concat();
                EcdsaKeyPair::from_private_key_and_public_key(curve, &secret, &point).ok().map(Pair::Ec)
            }
            _ => {
                let (modulus, exponent) = (number("n").ok_or(DAMAGED)?, number("e").ok_or(DAMAGED)?);
                let primes = ["p", "q", "dp", "dq", "qi"].map(|name| private.get(name));
                let [Some(p), Some(q), Some(dp), Some(dq), Some(qi)] = primes else {
                    return Err(
                        "the RSA key lacks its primes (p, q, dp, dq, qi): keep it with them, or as PEM",
                    );
                };
                Pair::of_rsa(&der::sequence(&[&[], &modulus, &exponent, secret, p, q, dp, dq, qi]))
            }
        };
        let key = Self::with(pair.ok_or(DAMAGED)?, Some(json));
        if key.public() == public {
            Ok(key)
        } else {
            Err("its private part is of another key than its public one")
        }
    }

    fn with(pair: Pair, json: Option<Map<String, Value>>) -> Self {
        let said = json.as_ref().and_then(|json| json.get("alg")).and_then(Value::as_str);
        let algorithm = match &pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::Ec(pair) if *pair.algorithm() == ECDSA_P384_SHA384_FIXED_SIGNING => Algorithm::Es384,
            Pair::Ec(_) => Algorithm::Es256,
            Pair::Rsa(_) => Algorithm::Rs256,
        };
        let said = said.and_then(Algorithm::named).filter(|it| pair.takes(*it));
        Self { pair, algorithm: said.unwrap_or(algorithm), json }
    }

    /// What the key says itself of how it signs.
    pub(super) fn said(&self) -> Option<&str> {
        self.json.as_ref()?.get("alg")?.as_str()
    }

    /// Whether it can sign so.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.pair.takes(algorithm)
    }

    /// All ways in which verifiers may take a token of the key that is `published` for those. `Err` names one that Quell does not sign with.
    pub(super) fn ways(&self, published: &BTreeSet<String>) -> Result<Vec<Algorithm>, String> {
        let own = self.said().map(str::to_owned);
        let mut ways = Vec::new();
        for name in published.iter().cloned().chain(own) {
            match Algorithm::named(&name).filter(|it| self.takes(*it)) {
                Some(way) if ways.contains(&way) => {}
                Some(way) => ways.push(way),
                None => return Err(name),
            }
        }
        if ways.is_empty() {
            ways.push(self.algorithm);
            // Nobody says which padding is meant.
            if matches!(self.pair, Pair::Rsa(_)) {
                ways.push(Algorithm::Ps256);
            }
        }
        Ok(ways)
    }

    /// A fresh key as text: of the kind and in the shape of `before`, or Ed25519 as PEM when `algorithm` says nothing else.
    pub(super) fn fresh(
        before: Option<&Self>,
        algorithm: Option<Algorithm>,
        newline: bool,
    ) -> Result<SecretValue, &'static str> {
        const BAD: &str = "the system made no key";
        let algorithm = before.map(|key| key.algorithm).or(algorithm).unwrap_or(Algorithm::EdDsa);
        let pkcs8 = match algorithm {
            Algorithm::EdDsa | Algorithm::Ed25519 => {
                Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map(|der| secret(der.as_ref()))
            }
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512 => {
                let size = match before.map(|key| &key.pair) {
                    Some(Pair::Rsa(pair)) if pair.public_modulus_len() > 384 => KeySize::Rsa4096,
                    Some(Pair::Rsa(pair)) if pair.public_modulus_len() > 256 => KeySize::Rsa3072,
                    Some(Pair::Rsa(_) | Pair::Ec(_) | Pair::Ed25519(_)) | None => KeySize::Rsa2048,
                };
                RsaKeyPair::generate(size).and_then(|pair| pair.as_der()).map(|der| secret(der.as_ref()))
            }
        };
        let pkcs8 = pkcs8.map_err(|_e| BAD)?;
        let text = match before.and_then(|key| key.json.as_ref()) {
            None => pem("PRIVATE KEY", &pkcs8),
            Some(json) => {
                let pair = Pair::of_pkcs8(&pkcs8).ok_or(BAD)?;
                Self { pair, algorithm, json: Some(json.clone()) }.json_text(&pkcs8).ok_or(BAD)?
            }
        };
        // As the old one ends: some readers want the last line break, and a vault hands out what it holds.
        let end = if newline { "\n" } else { "" };
        Ok(SecretValue::new(format!("{}{end}", text.trim_end()).into_bytes()))
    }

    /// With what the key before said of itself, but for its name and its certificates.
    fn json_text(&self, pkcs8: &[u8]) -> Option<Zeroizing<String>> {
        let mut json = self.public().members().clone();
        for name in ["alg", "use", "key_ops"] {
            let kept = self.json.as_ref().and_then(|json| json.get(name));
            json.extend(kept.map(|value| (name.to_owned(), value.clone())));
        }
        json.insert("kid".to_owned(), Value::String(self.thumbprint()));
        let private: Vec<(&str, Zeroizing<Vec<u8>>)> = match &self.pair {
            Pair::Ed25519(pair) => {
                vec![("d", secret(pair.seed().ok()?.as_be_bytes().ok()?.as_ref()))]
            }
            Pair::Ec(pair) => vec![("d", secret(pair.private_key().as_be_bytes().ok()?.as_ref()))],
            Pair::Rsa(_) => {
                let numbers = der::integers(der::inside_pkcs8(pkcs8)?)?;
                let names = ["d", "p", "q", "dp", "dq", "qi"];
                names
                    .into_iter()
                    .zip(numbers.into_iter().skip(3))
                    .map(|(name, it)| (name, secret(it)))
                    .collect()
            }
        };
        let public = Value::Object(json).to_string();
        let mut text = Zeroizing::new(public.strip_suffix('}')?.to_owned());
        for (name, bytes) in private {
            let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
            for part in [",\"", name, "\":\"", encoded.as_str(), "\""] {
                text.push_str(part);
            }
        }
        text.push('}');
        Some(text)
    }

    /// The public part.
    pub(super) fn public(&self) -> Public {
        match &self.pair {
            Pair::Ed25519(pair) => Public::new("OKP", Some("Ed25519"), &[("x", pair.public_key().as_ref())]),
            Pair::Ec(pair) => {
                // An uncompressed point: a 4, then both numbers.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                Public::new("EC", Some(crv), &[("x", x), ("y", y)])
            }
            Pair::Rsa(pair) => {
                let numbers = der::integers(pair.public_key().as_ref()).unwrap_or_default();
                let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
                Public::new("RSA", None, &[("n", number(0)), ("e", number(1))])
            }
        }
    }

    /// What it is called everywhere.
    pub(super) fn thumbprint(&self) -> String {
        self.public().thumbprint()
    }

    /// The name that it says it has. Those that Quell made go by their thumbprints.
    pub(super) fn kid(&self) -> Option<&str> {
        self.json.as_ref()?.get("kid")?.as_str()
    }

    /// Signs as a token is signed.
    pub(super) fn sign_as(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        const BAD: &str = "the key signs nothing";
        match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message).map(|it| it.as_ref().to_vec()).map_err(|_e| BAD),
            Pair::Ec(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|it| it.as_ref().to_vec()).map_err(|_e| BAD)
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    Algorithm::Rs256 => &RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ed25519 | Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384 => {
                        return Err(BAD);
                    }
                };
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_e| BAD)?;
                Ok(signature)
            }
        }
    }
}

impl Pair {
    fn takes(&self, algorithm: Algorithm) -> bool {
        let p384 = match self {
            Self::Ec(pair) => *pair.algorithm() == ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::Ed25519(_) | Self::Rsa(_) => false,
        };
        match algorithm {
            Algorithm::Ed25519 | Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
            Algorithm::Es256 => matches!(self, Self::Ec(_)) && !p384,
            Algorithm::Es384 => p384,
            Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512 => matches!(self, Self::Rsa(_)),
        }
    }

    fn of_pkcs8(der: &[u8]) -> Option<Self> {
        let ed = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519);
        let ec = |curve| EcdsaKeyPair::from_pkcs8(curve, der).ok().map(Self::Ec);
        let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(|pair| Self::Rsa(Box::new(pair)));
        ed().or_else(|| ec(&ECDSA_P256_SHA256_FIXED_SIGNING))
            .or_else(|| ec(&ECDSA_P384_SHA384_FIXED_SIGNING))
            .or_else(rsa)
    }

    fn of_ec(der: &[u8]) -> Option<Self> {
        let ec = |curve| EcdsaKeyPair::from_private_key_der(curve, der).ok().map(Self::Ec);
        ec(&ECDSA_P256_SHA256_FIXED_SIGNING).or_else(|| ec(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    fn of_rsa(der: &[u8]) -> Option<Self> {
        RsaKeyPair::from_der(der).ok().map(|pair| Self::Rsa(Box::new(pair)))
    }
}

/// The members that only the holder may see, decoded.
struct Private(Vec<(&'static str, Zeroizing<Vec<u8>>)>);

impl Private {
    fn take(json: &mut Map<String, Value>) -> Self {
        let mut all = Vec::new();
        for name in PRIVATE {
            if let Some(Value::String(text)) = json.remove(name) {
                let text = Zeroizing::new(text);
                all.extend(decode(&text).map(|bytes| (name, Zeroizing::new(bytes))));
            }
        }
        Self(all)
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(it, _)| *it == name).map(|(_, bytes)| bytes.as_slice())
    }
}

fn ec(curve: &'static EcdsaSigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    EcdsaKeyPair::generate(curve).and_then(|pair| pair.to_pkcs8v1()).map(|der| secret(der.as_ref()))
}

fn secret(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

/// As RFC 7468 has it.
pub(crate) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::*;

    fn verifies(key: &Key) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match key.algorithm {
            Algorithm::Ed25519 | Algorithm::EdDsa => &ED25519,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::Rs384 | Algorithm::Rs512 => {
                panic!("PyJWT verifies those")
            }
        };
        let public = match &key.pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        };
        UnparsedPublicKey::new(algorithm, public)
            .verify(b"it", &key.sign_as(key.algorithm, b"it").unwrap())
            .is_ok()
    }

    #[test]
    fn a_successor_is_of_the_same_kind_and_shape() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256] {
            let pem = Key::fresh(None, Some(algorithm), true).unwrap();
            assert!(pem.expose_text().unwrap().ends_with("-----END PRIVATE KEY-----\n"));
            let first = Key::read(&pem).unwrap();
            assert!(first.algorithm == algorithm && first.kid().is_none() && verifies(&first));
            // The same key as JSON, as it is read and written.
            let json = Map::from_iter([("use".to_owned(), "sig".into())]);
            let as_json = Key { json: Some(json), pair: Pair::of_pkcs8(&der_of(&pem)).unwrap(), algorithm };
            let text = as_json.json_text(&der_of(&pem)).unwrap();
            let json = Key::read(&SecretValue::from_text(text.to_string())).unwrap();
            assert!(json.public() == first.public() && verifies(&json));
            assert_eq!(json.kid(), Some(first.thumbprint().as_str()));
            let next = Key::fresh(Some(&json), None, false).unwrap();
            let text = next.expose_text().unwrap();
            assert!(text.starts_with('{') && text.ends_with('}') && text.contains("\"use\":\"sig\""));
            let next = Key::read(&next).unwrap();
            assert!(next.algorithm == algorithm && next.thumbprint() != json.thumbprint() && verifies(&next));
            assert_eq!(next.kid(), Some(next.thumbprint().as_str()));
        }
    }

    fn der_of(pem: &SecretValue) -> Vec<u8> {
        let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(pem.expose()).unwrap() else {
            panic!("not PKCS#8")
        };
        der.secret_pkcs8_der().to_vec()
    }

    #[test]
    fn what_is_no_private_key_is_said_without_it() {
        let why = |text: &str| Key::read(&SecretValue::from_text(text.to_owned())).unwrap_err();
        assert!(why("hunter2").contains("no private key"));
        assert!(why("-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----").contains("no secret"));
        assert!(why("-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n").contains("passphrase"));
        assert!(why("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----").contains("damaged"));
        assert!(why("{\"keys\":[]}").contains("a set of keys"));
        assert!(why("{\"kty\":\"oct\",\"k\":\"hunter2\"}").contains("session_key"));
        assert!(why("{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQ\"}").contains("no secret"));
        assert!(why("{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQ\",\"d\":\"AQ\"}").contains("primes"));
        assert!(why("{hunter2").contains("none"));
        assert!(why("[]").contains("list"));
        let mixed = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"x\":\"AAAYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
        assert!(!why(mixed).contains("nWGxne"));
    }
}
