//! Keys as minisign writes them.

mod key;

use serde_json::Value;

use crate::connector::Definition;
use crate::releases::root::Part;
use crate::releases::{Hashes, Scheme, build, schema};
use quell_core::secret::SecretValue;

use key::{COMMENT, Public, Secret, Signature};

/// minisign.
pub static CONNECTOR: Definition = Definition {
    id: "minisign",
    summary: "minisign keys: trust roots everywhere, and current artifacts signed anew",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build::<Minisign>),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    vec![("issuer", schema("minisign keys as issuer"))]
}

/// The scheme of minisign.
#[derive(Debug)]
pub(crate) struct Minisign;

impl Scheme for Minisign {
    type Public = Public;
    type Secret = Secret;

    const DROPPED: &'static str = "untrusted comment: taken away by Quell: ";
    const NAME: &'static str = "minisign";
    const ROOT: &'static str = "file of public keys of minisign";
    const SUFFIX: &'static str = "minisig";

    fn read(value: &SecretValue) -> Result<Secret, &'static str> {
        Secret::read(value)
    }

    fn fresh(_before: Option<&Secret>, newline: bool) -> Result<SecretValue, &'static str> {
        Secret::fresh(newline)
    }

    fn public(secret: &Secret) -> &Public {
        secret.public()
    }

    fn name(public: &Public) -> String {
        public.name()
    }

    fn digest(public: &Public) -> String {
        public.digest()
    }

    fn lines(public: &Public) -> String {
        public.lines()
    }

    /// The comment above a key is the key's.
    fn parts(text: &str) -> Option<Vec<Part<Public>>> {
        let mut parts: Vec<Part<Public>> = Vec::new();
        for line in text.split_inclusive('\n') {
            if let Some(key) = Public::read(line) {
                let own = |part: &mut Part<Public>| match part {
                    Part::Line(line) => {
                        line.starts_with(COMMENT.trim_end()) && !line.starts_with(Self::DROPPED)
                    }
                    Part::Key(..) => false,
                };
                let comment = match parts.pop_if(own) {
                    Some(Part::Line(comment) | Part::Key(_, comment)) => comment,
                    None => String::new(),
                };
                parts.push(Part::Key(key, format!("{comment}{line}")));
            } else if line.trim().is_empty() || line.starts_with(COMMENT.trim_end()) {
                parts.push(Part::Line(line.to_owned()));
            } else {
                return None;
            }
        }
        Some(parts)
    }

    fn sign(secret: &Secret, hashes: &Hashes, file: &str, at: i64) -> Result<String, &'static str> {
        let comment = format!("timestamp:{at}\tfile:{file}\thashed");
        Ok(secret.sign(&hashes.blake2b, comment)?.text())
    }

    fn is_signed(public: &Public, signature: &str, hashes: &Hashes) -> bool {
        let signature = Signature::read(signature);
        signature.is_some_and(|it| it.hashed && public.verify(&it, &hashes.blake2b).is_ok())
    }

    fn same(one: &Public, other: &Public) -> bool {
        one.is(other)
    }

    fn takes(public: &Public, signature: &str, hashes: &Hashes) -> bool {
        let signature = Signature::read(signature);
        signature.is_some_and(|it| it.hashed && public.takes(&it, &hashes.blake2b))
    }

    /// By its name, or by its comment, which is signed, too.
    fn names(public: &Public, signature: &str) -> Option<bool> {
        let is = |it: Signature| it.name() == public.name() || public.commented(&it);
        Some(Signature::read(signature).is_some_and(is))
    }

    fn said_at(signature: &str) -> Option<String> {
        Signature::read(signature)?.said_at()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::releases::root::{Canary, Root};

    fn key() -> Public {
        Secret::read(&Secret::fresh(false).unwrap()).unwrap().public().clone()
    }

    #[test]
    fn a_successor_stands_where_the_old_key_stood() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let secret = Secret::read(&Secret::fresh(false).unwrap()).unwrap();
        let canary = Canary::of::<Minisign>(&secret, now).unwrap();
        let (first, old, new) = (key(), secret.public().clone(), key());
        let text = format!("{}{}", first.lines(), old.lines());
        let mut root = Root::<Minisign>::read(&text).unwrap();
        assert!(root.holds(&old) && root.drop_key(&old, &canary, now) && !root.drop_key(&old, &canary, now));
        assert!(!root.holds(&old) && root.was_dropped(&old) && !root.was_dropped(&first));
        root.add(&new);
        let keys: Vec<&Public> = root.keys().collect();
        assert_eq!(keys, [&first, &new]);
        assert!(root.text().starts_with(&first.lines()), "a neighbor stays as it was");

        // Alone in its file, where minisign reads the first two lines.
        let mut root = Root::<Minisign>::read(old.lines().trim_end()).unwrap();
        root.drop_key(&old, &canary, now);
        let text = root.text();
        assert!(text.starts_with("untrusted comment: taken away by Quell: ") && text.lines().count() == 1);
        let mut root = Root::<Minisign>::read(text.trim_end()).unwrap();
        root.add(&new);
        assert!(root.text().starts_with(&new.lines()));
        // Nothing was taken away: at the end.
        let mut root = Root::<Minisign>::read(old.lines().trim_end()).unwrap();
        root.add(&new);
        assert_eq!(root.text(), format!("{}{}", old.lines(), new.lines()));
    }

    #[test]
    fn what_holds_no_key_is_something_else() {
        for text in ["", "\n", "untrusted comment: x\n", "<html>", "untrusted comment: x\nRWQ\n"] {
            assert!(Root::<Minisign>::read(text).is_none(), "{text:?}");
        }
        let text = format!("{}hunter2\n", key().lines());
        assert!(Root::<Minisign>::read(&text).is_none(), "a line that is neither");
        let line = key().lines();
        assert!(Root::<Minisign>::read(line.lines().nth(1).unwrap()).is_some(), "a key without a comment");
    }
}
