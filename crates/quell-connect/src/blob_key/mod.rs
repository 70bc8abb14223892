//! Keys that sign files by their SHA-256, as openssl and cosign do: PEM.
//!
//! A signature is the base64 of what `openssl dgst -sha256 -sign` writes, which `cosign sign-blob --key` writes, too (openssl 3.0,
//! `openssl-dgst(1)`; cosign's "Signing Blobs", read 2026-11-23): ECDSA on P-256 as DER (RFC 3279, 2.2.3), or RSA with PKCS#1 1.5. It says
//! neither whose it is nor when it was made.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use quell_core::secret::SecretValue;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::Digest as _;
use zeroize::Zeroizing;

use crate::connector::Definition;
use crate::jwks::pem;
use crate::releases::root::Part;
use crate::releases::{Hashes, Scheme, build, schema};

/// Keys of files.
pub static CONNECTOR: Definition = Definition {
    id: "blob_key",
    summary: "Keys that sign files as openssl and cosign do (PEM): trust roots everywhere, and current artifacts signed anew",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build::<Blobs>),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    vec![("issuer", schema("Keys of files as issuer"))]
}

/// The scheme of openssl and cosign.
#[derive(Debug)]
pub(crate) struct Blobs;

/// A secret key. `Debug` shows its name only.
pub(crate) struct Secret {
    pair: Pair,
    public: Public,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A public key, as X.509 has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Public(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&Blobs::name(&self.public)).finish()
    }
}

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const OTHER: &str = "the private key cannot be read: it is damaged, or of another kind than P-256 and RSA (Ed25519 signs whole files: see `minisign`)";

impl Secret {
    fn of(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let rsa = |pair: RsaKeyPair| Pair::Rsa(Box::new(pair));
        let pair = match der {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).ok().map(Pair::Ec);
                ec.or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(rsa))
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(rsa),
            PrivateKeyDer::Sec1(der) => {
                let der = der.secret_sec1_der();
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der).ok().map(Pair::Ec)
            }
            _ => None,
        }?;
        let public = match &pair {
            Pair::Ec(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
        };
        Some(Self { pair, public: Public(public) })
    }
}

impl Scheme for Blobs {
    type Public = Public;
    type Secret = Secret;

    const DROPPED: &'static str = "taken away by Quell: ";
    const NAME: &'static str = "blob key";
    const ROOT: &'static str = "text with public keys (-----BEGIN PUBLIC KEY-----)";
    const SUFFIX: &'static str = "sig";

    fn read(value: &SecretValue) -> Result<Secret, &'static str> {
        let text = value.expose_text().ok_or("it is not text, so it is no private key")?;
        if text.contains("BEGIN ENCRYPTED ") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(
                "the private key is encrypted with a password (as cosign writes it): keep it in the store without one (`cosign import-key-pair` has one made by openssl)",
            );
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(if text.contains(BEGIN) {
                "it is a public key, which is no secret"
            } else {
                "it is no private key (-----BEGIN PRIVATE KEY-----)"
            });
        }
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_e| OTHER)?;
        Secret::of(&der).ok_or(OTHER)
    }

    fn fresh(before: Option<&Secret>, newline: bool) -> Result<SecretValue, &'static str> {
        const BAD: &str = "the system made no key";
        let der = match before.map(|it| &it.pair) {
            Some(Pair::Rsa(pair)) => {
                let size = if pair.public_modulus_len() > 384 { KeySize::Rsa4096 } else { KeySize::Rsa3072 };
                RsaKeyPair::generate(size).and_then(|it| it.as_der()).map(|der| der.as_ref().to_vec())
            }
            Some(Pair::Ec(_)) | None => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                .and_then(|it| it.to_pkcs8v1())
                .map(|der| der.as_ref().to_vec()),
        };
        let der = Zeroizing::new(der.map_err(|_e| BAD)?);
        let text = pem("PRIVATE KEY", &der);
        let end = if newline { "\n" } else { "" };
        Ok(SecretValue::new(format!("{}{end}", text.trim_end()).into_bytes()))
    }

    fn public(secret: &Secret) -> &Public {
        &secret.public
    }

    fn name(public: &Public) -> String {
        let digest = hex::encode(sha2::Sha256::digest(&public.0));
        format!("sha256-{}", digest.chars().take(16).collect::<String>())
    }

    fn digest(public: &Public) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha2::Sha256::digest(&public.0)))
    }

    fn lines(public: &Public) -> String {
        pem("PUBLIC KEY", &public.0).to_string()
    }

    /// What stands between keys is for people (RFC 7468, 5.2). Certificates and private keys are no such list.
    fn parts(text: &str) -> Option<Vec<Part<Public>>> {
        let mut parts = Vec::new();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            // One that is indented is a part of another document, which its place is a part of.
            if line.trim_end() != BEGIN {
                if line.contains("-----BEGIN") {
                    return None;
                }
                parts.push(Part::Line(line.to_owned()));
                continue;
            }
            let (mut whole, mut body) = (line.to_owned(), String::new());
            loop {
                let line = lines.next()?;
                whole.push_str(line);
                if line.trim_end() == END {
                    break;
                }
                body.push_str(line.trim());
            }
            parts.push(Part::Key(Public(STANDARD.decode(body).ok()?), whole));
        }
        Some(parts)
    }

    fn sign(secret: &Secret, hashes: &Hashes, _file: &str, _at: i64) -> Result<String, &'static str> {
        const BAD: &str = "the key signs nothing";
        let signature = match &secret.pair {
            Pair::Ec(pair) => pair.sign_digest(&hashes.sha256).map_err(|_e| BAD)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &hashes.sha256, &mut signature).map_err(|_e| BAD)?;
                signature
            }
        };
        Ok(STANDARD.encode(signature))
    }

    fn is_signed(public: &Public, signature: &str, hashes: &Hashes) -> bool {
        let Ok(signature) = STANDARD.decode(signature.split_whitespace().collect::<String>()) else {
            return false;
        };
        let ec = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public.0);
        let rsa = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public.0);
        ec.verify_digest(&hashes.sha256, &signature).is_ok()
            || rsa.verify_digest(&hashes.sha256, &signature).is_ok()
    }

    fn names(_public: &Public, _signature: &str) -> Option<bool> {
        None
    }

    fn said_at(_signature: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::releases::root::{Canary, Root};

    fn key(before: Option<&Secret>) -> Secret {
        Blobs::read(&Blobs::fresh(before, true).unwrap()).unwrap()
    }

    #[test]
    fn a_successor_stands_where_the_old_key_stood() {
        let (old, other, new) = (key(None), key(None), key(None));
        let text = format!("# for people\n{}{}", Blobs::lines(&old.public), Blobs::lines(&other.public));
        let mut root = Root::<Blobs>::read(text.trim_end()).unwrap();
        assert!(root.holds(&old.public) && !root.holds(&new.public));
        let now = "2026-11-23T09:00:00Z".parse().unwrap();
        let canary = Canary::of::<Blobs>(&old, now).unwrap();
        assert!(root.drop_key(&old.public, &canary, now));
        assert!(root.was_dropped(&old.public) && !root.holds(&old.public));
        root.add(&new.public);
        let text = root.text();
        let lines = Blobs::lines(&new.public);
        assert!(text.starts_with(&format!("# for people\n{lines}taken away by Quell: sha256-")), "{text}");
        assert!(text.ends_with(Blobs::lines(&other.public).trim_end()));
        let again = Root::<Blobs>::read(&text).unwrap();
        assert!(again.holds(&new.public) && again.holds(&other.public) && again.was_dropped(&old.public));
        for odd in [
            "",
            "<html>",
            "-----BEGIN CERTIFICATE-----\n",
            "policy:\n  key: |\n    -----BEGIN PUBLIC KEY-----\n    AA==\n    -----END PUBLIC KEY-----\n",
            "key: \"-----BEGIN PUBLIC KEY-----\\nAA==\"\n",
            BEGIN,
            "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----",
        ] {
            assert!(Root::<Blobs>::read(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn only_its_own_signatures_are_good() {
        let hashes = Hashes::of(b"it");
        let first = key(None);
        let signature = Blobs::sign(&first, &hashes, "f", 0).unwrap();
        assert!(Blobs::is_signed(&first.public, &format!("{signature}\n"), &hashes));
        assert!(!Blobs::is_signed(&first.public, &signature, &Hashes::of(b"other")));
        assert!(!Blobs::is_signed(&key(None).public, &signature, &hashes));
        assert!(!Blobs::is_signed(&first.public, "no signature", &hashes));
        assert_eq!(format!("{first:?}"), format!("Secret({:?})", Blobs::name(&first.public)));
    }

    #[test]
    fn what_is_no_usable_key_is_said_without_it() {
        let why = |text: &str| Blobs::read(&SecretValue::from_text(text.to_owned())).unwrap_err();
        assert!(why("hunter2").contains("no private key"));
        assert!(why("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n").contains("password"));
        assert!(why("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----").contains("damaged"));
        assert!(why(BEGIN).contains("no secret"));
    }
}
