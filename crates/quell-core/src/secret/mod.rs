//! A credential's bytes and the name by which everyone speaks of them.

mod fingerprint;
mod value;

pub use fingerprint::{Fingerprint, FingerprintKey};
pub use value::{Credential, SecretValue};
