//! One place where a rule matched, already redacted.

use quell_core::secret::{Fingerprint, SecretValue};

/// A recovered value and its parts.
#[derive(Debug)]
pub struct Recovered {
    /// The secret as written: for a URL, the whole URL.
    pub secret: SecretValue,
    /// The percent-decoded password of a URL.
    pub password: Option<SecretValue>,
    /// The user in a URL.
    pub principal: Option<String>,
    /// The fingerprint of `secret`.
    pub fingerprint: Fingerprint,
}
