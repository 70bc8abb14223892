//! Which secret of the inventory a value is, or a hash of a value.

use std::collections::BTreeMap;

use quell_core::SecretId;
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use sha1::{Digest as _, Sha1};

use super::Foreign;
use crate::scan::{known, names_of};
use crate::systems::Systems;
use crate::{App, AppError};

/// Names of the inventory's values: those in the stores now, and those that were seen earlier.
pub(super) struct Known<'a> {
    key: &'a FingerprintKey,
    by_name: BTreeMap<Fingerprint, SecretId>,
    /// SHA-1 of the values that stores hold now, and of the passwords in their URLs. Lives in memory only.
    by_sha1: BTreeMap<String, SecretId>,
}

impl<'a> Known<'a> {
    /// Reads the stores. One that cannot be reached only adds nothing.
    pub(super) async fn of(app: &'a App) -> Result<Self, AppError> {
        let by_name = known(app).await?;
        let mut by_sha1 = BTreeMap::new();
        for secret in app.inventory.secrets.values() {
            let Ok(systems) = Systems::build(secret, &app.context) else { continue };
            for store in &systems.stores {
                let Ok(Some(stored)) = store.read().await else { continue };
                for part in crate::scan::values_of(&stored.value) {
                    by_sha1.insert(hex::encode(Sha1::digest(part.expose())), secret.id.clone());
                }
            }
        }
        let key = &app.store.keys().fingerprint;
        Ok(Self { key, by_name, by_sha1 })
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
