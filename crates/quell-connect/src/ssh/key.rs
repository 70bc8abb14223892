//! Private keys: read, made, and named by their fingerprints.
//!
//! Format: OpenSSH `PROTOCOL.key`; older ones (PKCS#1, PKCS#8, SEC 1, `PuTTY`) are read, too. New keys are Ed25519 (RFC 8709), whatever the
//! old one was.

use std::sync::Arc;

use quell_core::secret::SecretValue;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{HashAlg, PrivateKey, decode_secret_key};
use zeroize::Zeroizing;

/// How the comment of a new key names the one that it takes over from.
const REPLACES: &str = "replaces:";

/// A private key. `Debug` shows its fingerprint only.
#[derive(Clone)]
pub(super) struct Key(Arc<PrivateKey>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.fingerprint()).finish()
    }
}

impl Key {
    /// Reads a key. What is wrong is said without any of it.
    pub(super) fn read(value: &SecretValue) -> Result<Self, &'static str> {
        let text = value.expose_text().ok_or("it is not text")?;
        if text.contains("BEGIN OPENSSH PRIVATE KEY") || text.contains("PRIVATE KEY-----") || is_putty(text) {
            let key = decode_secret_key(text, None).map_err(|error| {
                if matches!(error, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED") {
                    ENCRYPTED
                } else {
                    "the private key cannot be read: it is damaged, or of a kind that Quell does not know"
                }
            })?;
            if key.is_encrypted() {
                return Err(ENCRYPTED);
            }
            return Ok(Self(Arc::new(key)));
        }
        Err("it is no private key of SSH (-----BEGIN OPENSSH PRIVATE KEY-----)")
    }

    /// A fresh key, as text, that takes over from another one. `newline`: whether a line break ends it.
    pub(super) fn fresh(
        user: &str,
        tag: &str,
        before: Option<&Self>,
        newline: bool,
    ) -> Result<SecretValue, &'static str> {
        const BAD: &str = "the new key could not be written down";
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_e| "the system gave no randomness")?;
        let pair = Ed25519Keypair::from_seed(&seed);
        // A space would end the comment for some readers.
        let tag: String = tag.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(80).collect();
        let mut comment = format!("{user}@quell {tag}");
        if let Some(before) = before {
            comment = format!("{comment} {REPLACES}{}", before.fingerprint());
        }
        let key = PrivateKey::new(pair.into(), comment).map_err(|_e| BAD)?;
        let text = key.to_openssh(LineEnding::LF).map_err(|_e| BAD)?;
        // As the old one ends: without its last line break OpenSSH reads no key, and a vault hands out what it holds.
        let end = if newline { "\n" } else { "" };
        let text = Zeroizing::new(format!("{}{end}", text.trim_end()));
        Ok(SecretValue::new(text.as_bytes().to_vec()))
    }

    /// `SHA256:…`, as `ssh-keygen -l` and the logs of `sshd` name it.
    pub(super) fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The fingerprint of the key that this one takes over from, if Quell made it.
    pub(super) fn replaces(&self) -> Option<String> {
        let comment = self.0.comment().as_str_lossy();
        comment.split(' ').find_map(|word| word.strip_prefix(REPLACES)).map(str::to_owned)
    }

    /// Kind, bytes in base64, and comment: a line of `authorized_keys` without options.
    pub(super) fn public_line(&self) -> String {
        let line = self.0.public_key().to_openssh().unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).collect()
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

const ENCRYPTED: &str = "the private key is encrypted with a passphrase, so Quell cannot try it: keep it in the store without one";

fn is_putty(text: &str) -> bool {
    text.trim_start().starts_with("PuTTY-User-Key-File-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_names_the_one_before() {
        let first = Key::fresh("deploy", "INC-1/orders", None, true).unwrap();
        let first = Key::read(&first).unwrap();
        assert_eq!(first.replaces(), None);
        let second = Key::fresh("deploy", "two words\n", Some(&first), false).unwrap();
        let second = Key::read(&second).unwrap();
        assert_eq!(second.replaces(), Some(first.fingerprint()));
        assert!(first.fingerprint().starts_with("SHA256:"));
        let line = second.public_line();
        assert!(line.starts_with("ssh-ed25519 AAAA") && line.contains("deploy@quell two-words-"), "{line}");
        assert_eq!(format!("{first:?}"), format!("Key({:?})", first.fingerprint()));
    }

    #[test]
    fn what_is_no_usable_key_is_said_without_it() {
        let why = |text: &str| Key::read(&SecretValue::from_text(text.to_owned())).unwrap_err();
        assert!(why("hunter2").contains("no private key"));
        assert!(why("ssh-ed25519 AAAAC3Nza").contains("no private key"));
        assert!(
            why("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----")
                .contains("damaged")
        );
        assert!(Key::read(&SecretValue::new(vec![0xff, 0xfe])).is_err());
    }
}
