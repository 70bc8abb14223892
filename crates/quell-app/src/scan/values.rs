//! The values of the inventory, for a search: read from their stores, and fingerprints for those that cannot be read.

use std::collections::BTreeSet;

use quell_core::SecretId;
use quell_core::secret::SecretValue;
use quell_scan::Incomplete;
use quell_scan::known::{Known, KnownValue};

use super::ledger::{earlier, names_of, observe, values_of};
use crate::systems::stores_of;
use crate::{App, AppError};

/// What the stores of one secret gave.
pub(crate) struct Read {
    pub(crate) secret: SecretId,
    pub(crate) values: Vec<SecretValue>,
    /// Stores that gave nothing, and why.
    pub(crate) missed: Vec<Incomplete>,
}

/// Everything that can be looked for.
#[derive(Debug)]
pub struct Values {
    /// Ready for the scanner.
    pub known: Known,
    /// Secrets whose current value is looked for by its bytes.
    pub read: BTreeSet<SecretId>,
    /// Stores that could not be read: of their secrets only the values that were seen earlier are looked for.
    pub missed: Vec<Incomplete>,
}

/// A value of a secret for the search, and the password inside if it is a URL: that may stand alone, where the URL was taken apart.
pub(crate) fn looked_for(secret: &SecretId, value: &SecretValue) -> Vec<KnownValue> {
    let known = |value| KnownValue { secret: secret.clone(), value };
    values_of(value).into_iter().map(known).collect()
}

/// What stores hold at this moment, and nothing of earlier.
pub(crate) struct Current {
    /// Each value, and the password inside of a URL.
    pub(crate) values: Vec<KnownValue>,
    /// Stores that could not be read.
    pub(crate) missed: Vec<Incomplete>,
}

/// Reads every store of the inventory.
pub(crate) async fn current(app: &App) -> Current {
    let mut current = Current { values: Vec::new(), missed: Vec::new() };
    for mut one in read_all(app).await {
        current.missed.append(&mut one.missed);
        current.values.extend(one.values.iter().flat_map(|value| looked_for(&one.secret, value)));
    }
    current
}

/// Reads every store of the inventory. Values leave no trace but in the search itself.
pub async fn values(app: &App) -> Result<Values, AppError> {
    let mut known = earlier(app).await?;
    let key = &app.store.keys().fingerprint;
    let (mut values, mut missed, mut read, mut current) =
        (Vec::new(), Vec::new(), BTreeSet::new(), BTreeSet::new());
    for mut one in read_all(app).await {
        missed.append(&mut one.missed);
        let names: Vec<_> = one.values.iter().flat_map(|value| names_of(key, value)).collect();
        current.extend(names.iter().copied());
        observe(app, &mut known, one.secret.clone(), names).await?;
        for value in one.values {
            read.insert(one.secret.clone());
            values.extend(looked_for(&one.secret, &value));
        }
    }
    let earlier = known.into_keys().filter(|name| !current.contains(name)).collect();
    Ok(Values { known: Known::new(key, &values, earlier)?, read, missed })
}

/// Asks all stores at once. One that cannot be reached is said and stops nothing.
pub(super) async fn read_all(app: &App) -> Vec<Read> {
    let mut reads = tokio::task::JoinSet::new();
    for secret in app.inventory.secrets.values().cloned() {
        let context = app.context.clone();
        reads.spawn(async move {
            let mut read = Read { secret: secret.id.clone(), values: Vec::new(), missed: Vec::new() };
            let missed = |place: &str, why: String| Incomplete {
                what: format!("a value of the secret {}: {place}", secret.id),
                why,
            };
            let mut closed = None;
            for store in stores_of(&secret, &context) {
                match store {
                    Ok(store) if !store.readable() => closed = Some(store.target()),
                    Err(error) => read.missed.push(missed("its stores", error.to_string())),
                    Ok(store) => match store.read().await {
                        Ok(Some(stored)) => read.values.push(stored.value),
                        Ok(None) => {}
                        Err(error) => read.missed.push(missed(&store.target(), error.to_string())),
                    },
                }
            }
            // Another store that can be read has the same value.
            if let Some(target) = closed.filter(|_| read.values.is_empty() && read.missed.is_empty()) {
                read.missed.push(missed(&target, "it only takes values".to_owned()));
            }
            read
        });
    }
    let mut all = Vec::new();
    while let Some(joined) = reads.join_next().await {
        all.extend(joined);
    }
    all.sort_by(|a, b| a.secret.cmp(&b.secret));
    all
}
