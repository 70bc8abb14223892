//! Public keys as JSON: one spelling of each, and its name.
//!
//! RFC 7517 (keys and sets), RFC 7518, 6 (members of EC and RSA keys), RFC 8037 (Ed25519), RFC 7638 (thumbprints).

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::der;

/// Members that nobody but the holder may see (RFC 7518, 6.2.2, 6.3.2 and 6.4).
pub(super) const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Some writers fill up the text with `=`.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A public key: what a thumbprint is made of, in one spelling.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Public(Map<String, Value>);

impl Public {
    /// Of its bytes, each member with its name.
    pub(super) fn new(kty: &str, crv: Option<&str>, numbers: &[(&str, &[u8])]) -> Self {
        let text = |text: &str| Value::String(text.to_owned());
        let mut all = Map::from_iter([("kty".to_owned(), text(kty))]);
        all.extend(crv.map(|crv| ("crv".to_owned(), text(crv))));
        all.extend(
            numbers
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), Value::String(URL_SAFE_NO_PAD.encode(bytes)))),
        );
        Self(all)
    }

    /// Reads a member of a key set; `None` for kinds that no private key of ours has.
    pub(super) fn of(entry: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let number = |name: &str| decode(text(name)?);
        match (text("kty")?, text("crv")) {
            ("OKP", Some("Ed25519")) => {
                Some(Self::new("OKP", Some("Ed25519"), &[("x", &padded(&number("x")?, 32)?)]))
            }
            ("EC", Some(crv)) => {
                let length = match crv {
                    "P-256" => 32,
                    "P-384" => 48,
                    _ => return None,
                };
                let (x, y) = (padded(&number("x")?, length)?, padded(&number("y")?, length)?);
                Some(Self::new("EC", Some(crv), &[("x", &x), ("y", &y)]))
            }
            ("RSA", _) => {
                let (n, e) = (number("n")?, number("e")?);
                let numbers = [("n", der::without_zeros(&n)), ("e", der::without_zeros(&e))];
                Some(Self::new("RSA", None, &numbers))
            }
            _ => None,
        }
    }

    /// What a key is called everywhere, whatever the set calls it.
    pub(super) fn thumbprint(&self) -> String {
        // The members are sorted, and there is no space: RFC 7638, 3.
        URL_SAFE_NO_PAD.encode(Sha256::digest(Value::Object(self.0.clone()).to_string()))
    }

    /// As a member of a set.
    pub(super) fn entry(&self, kid: &str, algorithm: Option<&str>) -> Map<String, Value> {
        let mut entry = self.0.clone();
        let all = [("kid", Some(kid)), ("alg", algorithm), ("use", Some("sig"))];
        entry.extend(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        entry
    }

    /// As most programs keep a public key (RFC 5280, 4.1.2.7; RFC 5480; RFC 8410).
    pub(super) fn pem(&self) -> Option<String> {
        let number = |name: &str| decode(self.0.get(name)?.as_str()?);
        let (algorithm, key) = match (self.0.get("kty")?.as_str()?, self.0.get("crv").and_then(Value::as_str))
        {
            ("OKP", _) => ("06032b6570", number("x")?),
            ("RSA", _) => {
                ("06092a864886f70d0101010500", der::sequence(&[&number("n")?, &number("e")?]).to_vec())
            }
            (_, crv) => {
                let curve = if crv == Some("P-384") {
                    "06072a8648ce3d020106052b81040022"
                } else {
                    "06072a8648ce3d020106082a8648ce3d030107"
                };
                (curve, [&[4_u8][..], &number("x")?, &number("y")?].concat())
            }
        };
        let algorithm = der::wrapped(0x30, &hex::decode(algorithm).ok()?);
        let bits = der::wrapped(0x03, &[&[0_u8][..], &key].concat());
        let encoded = STANDARD.encode(der::wrapped(0x30, &[algorithm.as_slice(), &bits].concat()).as_slice());
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(64).filter_map(|it| std::str::from_utf8(it).ok()).collect();
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// The members of the key itself.
    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// Base64url as written by anybody.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    TOLERANT.decode(text).ok()
}

/// A number with as many bytes as its curve has.
pub(super) fn padded(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let number = der::without_zeros(number);
    let mut all = vec![0; length.checked_sub(number.len())?];
    all.extend_from_slice(number);
    Some(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thumbprint_is_the_one_of_the_standards() {
        // RFC 7638, 3.1, and RFC 8037, A.3.
        let rsa = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let thumbprint = |entry: &Value| Public::of(entry.as_object().unwrap()).unwrap().thumbprint();
        assert_eq!(thumbprint(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let okp =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        assert_eq!(thumbprint(&okp), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn one_key_has_one_spelling() {
        let of = |entry: Value| Public::of(entry.as_object().unwrap());
        let plain = of(json!({ "kty": "RSA", "n": "gAE", "e": "AQAB" }));
        assert!(plain.is_some());
        assert_eq!(of(json!({ "kty": "RSA", "n": "AIAB", "e": "AAEAAQ==", "kid": "x" })), plain);
        assert_eq!(of(json!({ "kty": "oct", "k": "AA" })), None);
        assert_eq!(of(json!({ "kty": "OKP", "crv": "X25519", "x": "AA" })), None);
        assert_eq!(of(json!({ "kty": "RSA", "n": "+/", "e": "AQAB" })), None);
    }
}
