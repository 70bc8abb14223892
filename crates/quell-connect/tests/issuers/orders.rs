//! The user `orders`, whose password leaked.

use quell_core::secret::{Credential, SecretValue};

pub(crate) const OLD: &str = "CANARY-old-password";

pub(crate) fn credential(value: &str) -> Credential {
    Credential { principal: "orders".to_owned(), value: SecretValue::from_text(value.to_owned()) }
}
