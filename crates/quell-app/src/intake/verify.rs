//! Who sent it? Answered from the raw body, in constant time, before anything is parsed.
//!
//! | sender | signed | source |
//! | --- | --- | --- |
//! | GitHub | `X-Hub-Signature-256: sha256=` hex HMAC-SHA-256 of the body | docs.github.com, "Validating webhook deliveries", 2026-11; vector in the tests |
//! | GitLab | `webhook-signature: v1,` base64 HMAC-SHA-256 of `id.timestamp.body` (19.0; Standard Webhooks), else the key in `X-Gitlab-Token` | merge request gitlab-org/gitlab!230944; docs.gitlab.com, "Webhooks", 2026-11 |
//! | `GitGuardian` | `Gitguardian-Signature: sha256=` hex HMAC-SHA-256 of the body under timestamp and token joined | docs.gitguardian.com, "Custom webhook", 2026-11 |
//! | PagerDuty | `X-PagerDuty-Signature: v1=` hex HMAC-SHA-256 of the body, several with commas while it is changed | docs of webhooks v3, 2026-11 |
//! | Quell | `X-Quell-Signature: v1=` hex HMAC-SHA-256 of `timestamp.body` | its own `webhook` connector |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use quell_core::secret::SecretValue;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Headers;
use super::config::Kind;

/// How a delivery says whose it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scheme<'a> {
    /// The key itself, in `Authorization`, with or without `Bearer`.
    Authorization,
    Github,
    Gitguardian,
    Gitlab,
    /// The key itself, in a header of the sender's choice.
    Header(&'a str),
    Pagerduty,
    Quell,
}

/// A signed timestamp may differ from our clock by so much.
const WINDOW: SignedDuration = SignedDuration::from_secs(300);

/// A delivery of somebody who has the key.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Verified {
    /// What the signature covers beside the body: the same body signed at another time is another delivery.
    pub(super) signed: String,
}

impl<'a> Scheme<'a> {
    pub(super) fn of(kind: &'a Kind) -> Self {
        match kind {
            Kind::Eventbridge { header } => Self::Header(header),
            Kind::Github { .. } => Self::Github,
            Kind::Gitguardian => Self::Gitguardian,
            Kind::Gitlab => Self::Gitlab,
            Kind::GitlabRevocation { .. } => Self::Authorization,
            Kind::Pagerduty => Self::Pagerduty,
            Kind::Json { header, .. } | Kind::Sarif { header } | Kind::VaultAudit { header } => {
                header.as_deref().map_or(Self::Quell, Self::Header)
            }
        }
    }

    /// True for senders whose deliveries have nothing in them that makes each another one, so that the same body can be
    /// news again some day.
    pub(super) fn repeats(self) -> bool {
        match self {
            Self::Authorization | Self::Header(_) => true,
            Self::Github | Self::Gitguardian | Self::Gitlab | Self::Pagerduty | Self::Quell => false,
        }
    }

    /// Whether there is anything to verify at all: without it no key is fetched.
    pub(super) fn is_present(self, headers: &Headers) -> bool {
        match self {
            Self::Authorization => headers.get("authorization").is_some(),
            Self::Github => headers.get("x-hub-signature-256").is_some(),
            Self::Gitguardian => {
                headers.get("gitguardian-signature").is_some() && headers.get("timestamp").is_some()
            }
            Self::Gitlab => {
                headers.get("webhook-signature").is_some() || headers.get("x-gitlab-token").is_some()
            }
            Self::Header(name) => headers.get(name).is_some(),
            Self::Pagerduty => headers.get("x-pagerduty-signature").is_some(),
            Self::Quell => {
                headers.get("x-quell-signature").is_some() && headers.get("x-quell-timestamp").is_some()
            }
        }
    }

    /// `None`: nobody who has one of the keys sent this.
    pub(super) fn verify(
        self,
        keys: &[SecretValue],
        headers: &Headers,
        body: &[u8],
        now: Timestamp,
    ) -> Option<Verified> {
        // Every key is tried, whichever fits: how long it takes tells nothing.
        let any = |fits: &dyn Fn(&SecretValue) -> bool| {
            keys.iter().fold(false, |found, key| fits(key) | found).then_some(())
        };
        let unsigned = || Verified { signed: String::new() };
        match self {
            Self::Authorization => {
                let told = headers.get("authorization")?;
                let token = told.strip_prefix("Bearer ").unwrap_or(told);
                any(&|key| same(key.expose(), token.as_bytes())).map(|()| unsigned())
            }
            Self::Header(name) => {
                let told = headers.get(name)?;
                any(&|key| same(key.expose(), told.as_bytes())).map(|()| unsigned())
            }
            Self::Github => {
                let told = hex_of(headers.get("x-hub-signature-256")?, "sha256=")?;
                any(&|key| signed(key.expose(), &[body], &told)).map(|()| unsigned())
            }
            Self::Pagerduty => {
                let all = versions(headers.get("x-pagerduty-signature")?);
                any(&|key| all.iter().fold(false, |found, told| signed(key.expose(), &[body], told) | found))
                    .map(|()| unsigned())
            }
            Self::Quell => {
                let at = headers.get("x-quell-timestamp")?;
                recent(at, now)?;
                let all = versions(headers.get("x-quell-signature")?);
                let parts: &[&[u8]] = &[at.as_bytes(), b".", body];
                any(&|key| all.iter().fold(false, |found, told| signed(key.expose(), parts, told) | found))
                    .map(|()| Verified { signed: at.to_owned() })
            }
            Self::Gitguardian => {
                let at = headers.get("timestamp")?;
                recent(at, now)?;
                let told = hex_of(headers.get("gitguardian-signature")?, "sha256=")?;
                any(&|key| {
                    let joined = Zeroizing::new([at.as_bytes(), key.expose()].concat());
                    signed(&joined, &[body], &told)
                })
                // The body has its own time in it: sent again, it is signed anew and is the same.
                .map(|()| unsigned())
            }
            Self::Gitlab => gitlab(&any, headers, body, now),
        }
    }
}

/// Whether one of the keys fits.
type AnyKey<'a> = dyn Fn(&dyn Fn(&SecretValue) -> bool) -> Option<()> + 'a;

/// A signature goes before the token. Keys of signatures (`whsec_…`) are never sent, so they are no tokens.
fn gitlab(any: &AnyKey<'_>, headers: &Headers, body: &[u8], now: Timestamp) -> Option<Verified> {
    let Some(signatures) = headers.get("webhook-signature") else {
        let told = headers.get("x-gitlab-token")?;
        return any(&|key| !key.expose().starts_with(SIGNING) && same(key.expose(), told.as_bytes()))
            .map(|()| Verified { signed: String::new() });
    };
    let (id, at) = (headers.get("webhook-id")?, headers.get("webhook-timestamp")?);
    recent(at, now)?;
    let all: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .take(MOST_SIGNATURES)
        .collect();
    let parts: &[&[u8]] = &[id.as_bytes(), b".", at.as_bytes(), b".", body];
    any(&|key| {
        let Some(key) = signing_key(key) else { return false };
        all.iter().fold(false, |found, told| signed(&key, parts, told) | found)
    })
    // A retry has the same id, and is signed anew.
    .map(|()| Verified { signed: id.to_owned() })
}

/// How a signing key of Standard Webhooks begins; base64 follows.
const SIGNING: &[u8] = b"whsec_";

fn signing_key(key: &SecretValue) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(key.expose().strip_prefix(SIGNING)?).ok().map(Zeroizing::new)
}

/// More signatures than a change of keys needs are an attempt to keep us busy.
const MOST_SIGNATURES: usize = 8;

/// `v1=<hex>,v1=<hex>`.
fn versions(told: &str) -> Vec<Vec<u8>> {
    told.split(',').filter_map(|one| hex_of(one.trim(), "v1=")).take(MOST_SIGNATURES).collect()
}

fn hex_of(told: &str, prefix: &str) -> Option<Vec<u8>> {
    hex::decode(told.strip_prefix(prefix)?).ok()
}

fn signed(key: &[u8], parts: &[&[u8]], told: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(told).is_ok()
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Unix seconds, with or without a fraction, or RFC 3339; not too far from now.
fn recent(told: &str, now: Timestamp) -> Option<()> {
    let told = told.trim();
    let whole = told.split_once('.').map_or(told, |(whole, _)| whole);
    let at = match whole.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok()?,
        Err(_not_a_number) => told.parse::<Timestamp>().ok()?,
    };
    (now.duration_since(at).abs() <= WINDOW).then_some(())
}

/// As much work as verifying one, for names that nobody has.
pub(super) fn pretend(body: &[u8]) -> bool {
    signed(b"a key that nobody has", &[body], &[0; 32])
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
