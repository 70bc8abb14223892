//! Which host is who it says it is: `known_hosts` (sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT").

use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{HostPatterns, KnownHosts, Marker};
use sha1::Sha1;

/// The keys of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    good: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

impl Known {
    /// What a file says of a host. Lines that cannot be read, and authorities, are passed over.
    pub(super) fn of(file: &str, host: &str, port: u16) -> Self {
        let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        let mut known = Self::default();
        for entry in KnownHosts::new(file).flatten().filter(|entry| is_for(entry.host_patterns(), &name)) {
            match entry.marker() {
                None => known.good.push(entry.public_key().clone()),
                Some(Marker::Revoked) => known.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
        known
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.good.is_empty()
    }

    /// Whether a key of a kind was seen before: another kind would be a stranger's, though it is the same host.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.good.iter().any(|key| key.algorithm().as_str() == kind)
    }

    /// Whether it is the host's.
    pub(super) fn holds(&self, key: &PublicKey) -> bool {
        let among = |list: &[PublicKey]| list.iter().any(|it| it.key_data() == key.key_data());
        among(&self.good) && !among(&self.revoked)
    }
}

fn is_for(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => {
            let any = |negated: bool| {
                patterns.iter().any(|pattern| match pattern.strip_prefix('!') {
                    Some(pattern) => negated && fits(pattern, name),
                    None => !negated && fits(pattern, name),
                })
            };
            any(false) && !any(true)
        }
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
    }
}

/// `*` is any text and `?` one character; names are compared in lower case.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    // Where the last `*` was, and how much of the name it took: the classic two pointers, without recursion.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    n = taken + 1;
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA";

    #[test]
    fn a_host_is_known_by_name_pattern_and_hash() {
        let (one, two) = (PublicKey::from_openssh(ONE).unwrap(), PublicKey::from_openssh(TWO).unwrap());
        let salt = [7_u8; 20];
        let mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(b"[web-3]:2222");
        let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let file = format!(
            "# ours\nweb-1,10.0.0.1 {ONE}\n*.internal,!bad.internal {TWO}\n|1|{}|{} {ONE}\ngarbage\nweb-1 {TWO}\n@revoked * {TWO}\n",
            base64(&salt),
            base64(&mac.finalize().into_bytes())
        );
        let known = |host: &str, port: u16| Known::of(&file, host, port);
        assert!(known("web-1", 22).holds(&one) && known("WEB-1", 22).has_kind("ssh-ed25519"));
        assert!(!known("web-1", 22).holds(&two), "it is revoked");
        assert!(known("web-1", 2222).is_empty() && known("web-2", 22).is_empty());
        assert!(!known("a.internal", 22).is_empty() && known("bad.internal", 22).is_empty());
        assert!(known("web-3", 2222).holds(&one) && known("web-3", 22).is_empty());
    }

    #[test]
    fn patterns_with_stars() {
        for (pattern, name, is) in [
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*", "", true),
            ("*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaac", false),
            ("10.0.?.1", "10.0.7.1", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
