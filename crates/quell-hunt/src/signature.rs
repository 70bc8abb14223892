//! Signatures of CloudTrail's digests: that AWS made them, and not somebody who altered logs and digests together.
//!
//! A digest is signed with RSA (PKCS #1 v1.5, RFC 8017) and SHA-256 over four lines: its end, its bucket and name, the SHA-256 of its
//! unpacked content, and the signature of the digest before it, or `null`
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-custom-validation.html>; that it is `null` and
//! not empty: `awscli/customizations/cloudtrail/validation.py` of <https://github.com/aws/aws-cli>). The signature is metadata of the
//! stored object, which copies do not have; but the next digest holds it, too.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// AWS's public keys, by fingerprint.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<String, Vec<u8>>);

/// Why a file has no keys.
#[derive(Debug, thiserror::Error)]
#[error("these are no public keys as `aws cloudtrail list-public-keys` prints them: {0}")]
pub struct KeysError(String);

/// How many digests were checked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Signatures {
    /// Digests whose signature is AWS's.
    pub verified: u64,
    /// Digests whose signature is not of them; each is a gap, too.
    pub wrong: u64,
    /// All digests that could be read.
    pub of: u64,
    /// Why the first of the others could not be checked, with their names.
    pub unchecked: Vec<String>,
}

/// The answer of `ListPublicKeys`
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_ListPublicKeys.html>).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    public_key_list: Vec<PublicKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKey {
    fingerprint: String,
    /// DER of PKCS #1 in base64.
    value: String,
}

impl Keys {
    /// Of one answer or of several, one after another: each region has keys of its own.
    ///
    /// # Errors
    /// When it is not that, or without any key.
    pub fn parse(json: &[u8]) -> Result<Self, KeysError> {
        let mut keys = BTreeMap::new();
        for answer in serde_json::Deserializer::from_slice(json).into_iter::<Answer>() {
            for key in answer.map_err(|error| KeysError(error.to_string()))?.public_key_list {
                let value = STANDARD.decode(key.value.trim()).map_err(|error| {
                    KeysError(format!(
                        "the key with the fingerprint `{}` is no base64: {error}",
                        key.fingerprint
                    ))
                })?;
                keys.insert(key.fingerprint.to_ascii_lowercase(), value);
            }
        }
        if keys.is_empty() { Err(KeysError("there is none in it".to_owned())) } else { Ok(Self(keys)) }
    }

    /// Adds others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether a signature in hex is one of this text; the error tells why that cannot be said.
    pub(crate) fn verify(&self, fingerprint: &str, text: &str, signature: &str) -> Result<bool, String> {
        let Some(key) = self.0.get(&fingerprint.to_ascii_lowercase()) else {
            return Err(format!("no key has the fingerprint `{fingerprint}`"));
        };
        let Ok(signature) = hex::decode(signature.trim()) else { return Ok(false) };
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
        Ok(key.verify(text.as_bytes(), &signature).is_ok())
    }
}

impl Signatures {
    /// Reasons that are kept.
    const NAMED: usize = 10;

    pub(crate) fn add_unchecked(&mut self, name: &str, why: &str) {
        if self.unchecked.len() < Self::NAMED {
            self.unchecked.push(format!("`{name}`: {why}"));
        }
    }
}

/// What a file that lies beside a digest is called: the digest's name with one of these behind it.
const SIDECARS: [&str; 2] = [".signature", ".head.json"];

/// The digest that a file beside it belongs to.
pub(crate) fn digest_of(name: &str) -> Option<&str> {
    SIDECARS.iter().find_map(|ending| name.strip_suffix(ending))
}

/// The signature in such a file: hex, or what `aws s3api head-object` prints.
pub(crate) fn beside(content: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "Metadata")]
        metadata: BTreeMap<String, String>,
    }
    let text = content.trim_ascii();
    let signature = if text.starts_with(b"{") {
        let head: Head = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        head.metadata.get("signature").cloned().ok_or("its metadata have no `signature`")?
    } else {
        String::from_utf8_lossy(text).into_owned()
    };
    if signature.is_empty() || hex::decode(&signature).is_err() {
        return Err("it holds no signature in hex".to_owned());
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::digest::Digests;
    use crate::gap::{Gap, Strength};
    use crate::object::{self, Listing, Object};
    use crate::source::{Fetch, Store};
    use crate::unpack::Unpacker;

    const PRINT: &str = "0123456789abcdef0123456789abcdef";

    /// What AWS has: a key, and three hours of digests of nothing, each with the signature of the one before it.
    struct Signer {
        key: KeyPair,
        folder: tempfile::TempDir,
        /// The signature of the last one, which no digest holds.
        last: String,
    }

    fn name(hour: u32) -> String {
        format!("111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260302T{hour}0000Z.json")
    }

    impl Signer {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut signer =
                Self { key: KeyPair::generate(KeySize::Rsa2048).unwrap(), folder, last: String::new() };
            let mut before: Option<(String, String, String)> = None;
            for hour in 11..14 {
                let object = format!("AWSLogs/{}", name(hour));
                let end = format!("2026-03-02T{hour}:00:00Z");
                let body = serde_json::json!({
                    "awsAccountId": "111122223333", "digestStartTime": format!("2026-03-02T{}:00:00Z", hour - 1), "digestEndTime": end,
                    "digestS3Bucket": "trail-bucket", "digestS3Object": object,
                    "digestPublicKeyFingerprint": PRINT, "digestSignatureAlgorithm": "SHA256withRSA",
                    "previousDigestS3Bucket": before.as_ref().map(|_| "trail-bucket"),
                    "previousDigestS3Object": before.as_ref().map(|it| &it.0),
                    "previousDigestHashValue": before.as_ref().map(|it| &it.1),
                    "previousDigestSignature": before.as_ref().map(|it| &it.2), "logFiles": [],
                })
                .to_string();
                let hash = hex::encode(Sha256::digest(&body));
                let previous = before.as_ref().map_or("null", |it| it.2.as_str());
                let text = format!("{end}\ntrail-bucket/{object}\n{hash}\n{previous}");
                let mut signature = vec![0; signer.key.public_modulus_len()];
                signer
                    .key
                    .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
                    .unwrap();
                signer.last = hex::encode(signature);
                before = Some((object, hash, signer.last.clone()));
                signer.write(&name(hour), &body);
            }
            signer
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }

        /// Changes a digest as somebody would who can write to the bucket.
        fn alter(&self, hour: u32, from: &str, to: &str) {
            let text = std::fs::read_to_string(self.folder.path().join(name(hour))).unwrap();
            assert!(text.contains(from), "{text}");
            self.write(&name(hour), &text.replace(from, to));
        }

        fn keys(&self) -> Keys {
            let value = STANDARD.encode(self.key.public_key().as_ref());
            let answer = serde_json::json!({"PublicKeyList": [{"Fingerprint": PRINT, "Value": value}]});
            Keys::parse(format!("{answer}\n{answer}").as_bytes()).unwrap()
        }

        fn objects(&self) -> Vec<Object> {
            object::list(&[self.folder.path().to_owned()]).unwrap()
        }
    }

    fn check(objects: &[Object], keys: &Keys) -> (Signatures, Vec<Gap>) {
        let objects: Vec<&Object> = objects.iter().collect();
        let digests = Digests::read(&objects, Some(keys), &mut Unpacker::default());
        let gaps = digests.gaps(&objects, (None, None));
        (digests.signatures().unwrap().clone(), gaps)
    }

    fn altered(gaps: &[Gap]) -> Vec<&str> {
        gaps.iter().filter(|gap| gap.strength == Strength::Altered).map(|gap| gap.why.as_str()).collect()
    }

    /// A store that has a signature for whatever it is asked about, and is asked about the last digest alone.
    #[derive(Debug)]
    struct Stored(std::path::PathBuf, String);

    impl Store for Stored {
        fn fetch(&self, name: &str, _size: u64, _version: &str) -> Fetch {
            Box::new(std::fs::File::open(self.0.join(name)).unwrap())
        }

        fn metadata(&self, object: &str, key: &str) -> Option<String> {
            assert_eq!((object, key), (name(13).as_str(), "signature"));
            Some(self.1.clone())
        }
    }

    #[test]
    fn all_but_the_last_digest_are_verified_from_copies_alone() {
        let signer = Signer::new();
        let (signatures, gaps) = check(&signer.objects(), &signer.keys());
        assert_eq!((signatures.verified, signatures.wrong, signatures.of), (2, 0, 3), "{signatures:?}");
        assert!(signatures.unchecked[0].contains("T130000Z"), "{signatures:?}");
        assert_eq!(gaps, []);
        let objects = signer.objects();
        let objects: Vec<&Object> = objects.iter().collect();
        assert_eq!(Digests::read(&objects, None, &mut Unpacker::default()).signatures(), None);
    }

    #[test]
    fn the_last_one_is_verified_by_a_file_beside_it_or_what_came_with_it() {
        let signer = Signer::new();
        let mut stored = Listing::new(Arc::new(Stored(signer.folder.path().to_owned(), signer.last.clone())));
        signer.objects().iter().for_each(|it| stored.add(&it.name, it.size, ""));
        assert_eq!(check(&stored.finish(), &signer.keys()).0.verified, 3);
        for (ending, content) in [
            (".signature", format!("{}\n", signer.last)),
            (
                ".head.json",
                serde_json::json!({"ETag": "x", "Metadata": {"signature": signer.last}}).to_string(),
            ),
        ] {
            let beside = format!("{}{ending}", name(13));
            signer.write(&beside, &content);
            let (signatures, gaps) = check(&signer.objects(), &signer.keys());
            assert_eq!((signatures.verified, signatures.of, gaps.len()), (3, 3, 0), "{ending} {gaps:?}");
            // Such a file is no log in which a use could hide: what cannot be read is told.
            signer.write(&beside, "{\"Metadata\":{}}");
            let (signatures, gaps) = check(&signer.objects(), &signer.keys());
            assert_eq!((signatures.verified, gaps.len()), (2, 1));
            assert!(gaps[0].why.contains("cannot be read"), "{gaps:?}");
            std::fs::remove_file(signer.folder.path().join(beside)).unwrap();
        }
    }

    #[test]
    fn an_altered_digest_has_no_signature_of_awss() {
        for (hour, from, to) in [
            (12, "\"logFiles\":[]", "\"logFiles\": []"),
            (12, "\"digestS3Bucket\":\"trail-bucket\"", "\"digestS3Bucket\":\"other-bucket\""),
            (11, "2026-03-02T10:00:00Z", "2026-03-02T09:00:00Z"),
        ] {
            let signer = Signer::new();
            signer.write(&format!("{}.signature", name(13)), &signer.last);
            // A bucket of another name has no digest after it that names it; its own file tells then.
            let body = std::fs::read(signer.folder.path().join(name(hour + 1))).unwrap();
            let next: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let held = next["previousDigestSignature"].as_str().unwrap();
            signer.write(&format!("{}.signature", name(hour)), held);
            signer.alter(hour, from, to);
            // Whoever alters one mends the hash in the next, and cannot sign that.
            let before =
                hex::encode(Sha256::digest(std::fs::read(signer.folder.path().join(name(hour))).unwrap()));
            signer.alter(hour + 1, next["previousDigestHashValue"].as_str().unwrap(), &before);
            let (signatures, gaps) = check(&signer.objects(), &signer.keys());
            assert_eq!((signatures.wrong, signatures.verified), (2, 1), "{to}: {signatures:?}");
            let found = altered(&gaps);
            assert!(
                found.iter().any(|why| why.contains(&name(hour)) && why.contains("not AWS's")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn another_key_verifies_nothing() {
        let (signer, other) = (Signer::new(), Signer::new());
        let (signatures, gaps) = check(&signer.objects(), &other.keys());
        assert_eq!((signatures.verified, signatures.wrong), (0, 2));
        assert_eq!(altered(&gaps).len(), 2);
        // A key with another fingerprint, as of another region, says nothing at all.
        let value = STANDARD.encode(signer.key.public_key().as_ref());
        let answer =
            serde_json::json!({"PublicKeyList": [{"Fingerprint": "ff", "Value": value}]}).to_string();
        let (signatures, gaps) = check(&signer.objects(), &Keys::parse(answer.as_bytes()).unwrap());
        assert_eq!((signatures.verified, signatures.wrong, gaps.len()), (0, 0, 0));
        assert!(signatures.unchecked[0].contains("no key has the fingerprint"), "{signatures:?}");
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused() {
        for (text, why) in [
            ("", "none in it"),
            ("{\"PublicKeyList\":[]}", "none in it"),
            ("{}", "PublicKeyList"),
            ("{\"PublicKeyList\":[{\"Fingerprint\":\"a\",\"Value\":\"?\"}]}", "no base64"),
            ("keys", "expected"),
        ] {
            let error = Keys::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
