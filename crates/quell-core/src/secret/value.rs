//! `SecretValue`: the only place where secret bytes live in memory.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Secret bytes, wiped on drop.
///
/// It has no `Clone`, `Display`, `Serialize` or `PartialEq` on purpose: each copy must be visible in review.
/// Boxed, so that moving it leaves no copy behind. `expose` is the named sink; grep finds every use.
pub struct SecretValue(Zeroizing<Box<[u8]>>);

impl SecretValue {
    /// Takes ownership of the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        // `into_boxed_slice` may reallocate and leave the old block unwiped, so copy and wipe by hand.
        let wiped = Zeroizing::new(bytes);
        Self(Zeroizing::new(Box::from(wiped.as_slice())))
    }

    /// Takes ownership of text.
    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The bytes, for a sink that needs them (an issuer's or store's own API, a sealed blob).
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, or `None` when they are not UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A second copy, said aloud.
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }

    /// Constant-time comparison (length is not hidden).
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a value of no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// A value together with the principal that it authenticates (a role, a key id, an accessor): never secret itself.
#[derive(Debug)]
pub struct Credential {
    /// Who the issuer thinks the bearer is: `orders_a`, `AKIA…`, a token accessor.
    pub principal: String,
    /// What stores hold and consumers read: a password, a URL with the password in it, a token.
    pub value: SecretValue,
}

impl Credential {
    /// A second copy, said aloud.
    pub fn duplicate(&self) -> Self {
        Self { principal: self.principal.clone(), value: self.value.duplicate() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let value = SecretValue::from_text("hunter2-hunter2".to_owned());
        insta::assert_snapshot!(format!("{value:?}"), @"SecretValue(…)");
        let credential = Credential { principal: "orders_a".to_owned(), value };
        insta::assert_snapshot!(format!("{credential:?}"), @r#"Credential { principal: "orders_a", value: SecretValue(…) }"#);
    }

    #[test]
    fn comparison_is_by_bytes() {
        let a = SecretValue::from_text("one".to_owned());
        assert!(a.same_as(&a.duplicate()));
        assert!(!a.same_as(&SecretValue::from_text("two".to_owned())));
    }
}
