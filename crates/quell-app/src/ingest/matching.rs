//! Which secret of the inventory a value is, or a hash of a value.

use std::collections::BTreeMap;

use quell_core::SecretId;
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use sha1::{Digest as _, Sha1};

use super::Foreign;
use crate::scan::{earlier, names_of, observed_now, values_of};
use crate::{App, AppError};

/// Names of the inventory's values: those in the stores now, and those that were seen earlier.
pub(super) struct Known<'a> {
    key: &'a FingerprintKey,
    by_name: BTreeMap<Fingerprint, SecretId>,
    /// SHA-1 of the values that stores hold now, and of the passwords in their URLs. Lives in memory only.
    by_sha1: BTreeMap<String, SecretId>,
}

impl<'a> Known<'a> {
    /// Reads the stores, unless what was found can be told without: thousands of deliveries about known values ask no store. One that cannot be
    /// reached only adds nothing.
    pub(super) async fn of(app: &'a App, found: &[Foreign]) -> Result<Self, AppError> {
        let key = &app.store.keys().fingerprint;
        let by_name = earlier(app).await?;
        let mut known = Self { key, by_name, by_sha1: BTreeMap::new() };
        if !found.iter().any(|foreign| known.must_look(foreign)) {
            return Ok(known);
        }
        for read in observed_now(app, &mut known.by_name).await? {
            for part in read.values.iter().flat_map(values_of) {
                known.by_sha1.insert(hex::encode(Sha1::digest(part.expose())), read.secret.clone());
            }
        }
        Ok(known)
    }

    /// Can only the stores tell whose it is?
    fn must_look(&self, foreign: &Foreign) -> bool {
        let is_known =
            |value: &SecretValue| self.names(value).iter().any(|name| self.by_name.contains_key(name));
        let by_hash = foreign.sha1.is_some() && foreign.secret.is_none();
        (by_hash || !foreign.values.is_empty()) && !foreign.values.iter().any(is_known)
    }

    /// The value's own name, and that of the password in it when it is a URL.
    pub(super) fn names(&self, value: &SecretValue) -> Vec<Fingerprint> {
        names_of(self.key, value)
    }

    pub(super) fn secret_of(&self, foreign: &Foreign) -> Option<SecretId> {
        if let Some(said) = &foreign.secret {
            return Some(said.clone());
        }
        let mut names = foreign.values.iter().flat_map(|value| self.names(value));
        let by_value = names.find_map(|name| self.by_name.get(&name));
        let by_hash = || self.by_sha1.get(&foreign.sha1.as_ref()?.to_ascii_lowercase());
        by_value.or_else(by_hash).cloned()
    }

    /// The value that is the secret's, out of all parts that a tool told; the first one when none is known.
    pub(super) fn matching_value(
        &self,
        secret: Option<&SecretId>,
        values: Vec<SecretValue>,
    ) -> Option<SecretValue> {
        let at = values.iter().position(|value| {
            self.names(value).iter().any(|name| secret.is_some() && self.by_name.get(name) == secret)
        });
        values.into_iter().nth(at.unwrap_or(0))
    }
}
