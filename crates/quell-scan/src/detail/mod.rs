//! What a secret says about itself without being one: claims, dates, sizes, places. Never a part of the secret.
//!
//! Everything read here comes from hostile input: each reader is bounded, gives up on the first surprise, and says
//! nothing rather than something wrong.

mod certificate;
mod cloud;
mod der;
mod pem;
mod pgp;
#[cfg(test)]
mod tests;
mod token;
mod url;
mod vsync;

use std::collections::BTreeMap;

use crate::engine::Match;
use crate::finding::printable;
use crate::rule::{Rank, Rule};

/// A certificate is looked for this many bytes before and after a private key.
pub(crate) const CERTIFICATE_WITHIN: usize = 8 << 10;

/// Facts by name, such as `expires` or `bits`.
pub(crate) type Details = BTreeMap<String, String>;

/// Reads what a match says about itself.
pub(crate) fn details(bytes: &[u8], found: &Match, rule: &Rule) -> Details {
    let mut all = Details::new();
    let Some(secret) = bytes.get(found.secret.clone()) else { return all };
    if secret.starts_with(b"-----BEGIN ") {
        pem::read(secret, &mut all);
        if rule.kind == "private-key" {
            certificate::beside(bytes, &found.secret, &mut all);
        }
        if rule.kind.starts_with("gcp-") {
            cloud::service_account(bytes, &found.secret, &mut all);
        }
    } else if secret.starts_with(b"vsync-cfg-v1:") {
        vsync::blob(secret, &mut all);
    } else if secret.starts_with(b"eyJ") {
        token::jwt(secret, &mut all);
    } else if rule.rank == Rank::Url {
        url::connection(bytes, found, &mut all);
    } else if rule.kind.contains("basic") {
        token::basic(secret, &mut all);
    } else {
        cloud::access_key_id(secret, &mut all);
        cloud::shared_access_signature(secret, &mut all);
    }
    all
}

/// What an id that was found beside a secret says.
pub(crate) fn of_id(id: &str, all: &mut Details) {
    cloud::access_key_id(id.as_bytes(), all);
}

pub use certificate::certificate_validity;
/// The case of a vsync leak, from whether each half is there: 1 the passphrase, 2 the configuration, 3 both.
pub(crate) use vsync::cases;

/// Longest text that is shown.
const MAX_TEXT: usize = 200;

/// Adds a fact, unless it is empty, long, or looks like a secret itself.
fn put(all: &mut Details, name: &str, text: &str) {
    let token = |word: &str| word.len() >= 24 && word.bytes().filter(u8::is_ascii_digit).count() >= 4;
    let long_word = text.split(|c: char| !c.is_ascii_alphanumeric()).any(token);
    if !text.is_empty() && text.len() <= MAX_TEXT && !long_word {
        all.insert(name.to_owned(), printable(text));
    }
}

/// Adds a point in time, from seconds since 1970.
fn put_time(all: &mut Details, name: &str, seconds: i64) {
    if let Ok(time) = jiff::Timestamp::from_second(seconds) {
        put(all, name, &time.to_string());
    }
}
