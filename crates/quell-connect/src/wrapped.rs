//! Wrapped keys, for the issuers whose keys wrap them: where they are, and what they encrypt.

use quell_core::inventory::{Place, PlaceKind};
use quell_core::outcome::Outcome;
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connector::{Check, Opened, Opens, Store};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// How many are wrapped anew in one call.
pub(crate) const BATCH: usize = 100;

/// The stores of the listed keys.
pub(crate) struct Deks {
    stores: Vec<Box<dyn Store>>,
    shape: Shape,
}

/// What a wrapped key looks like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) fits: fn(&SecretValue) -> bool,
    /// An example.
    pub(crate) like: &'static str,
}

/// One of them, as it was read.
pub(crate) struct Dek {
    at: usize,
    pub(crate) value: SecretValue,
}

/// What the wrapped keys encrypt, and whether somebody may hold them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contents {
    /// Whether a stranger may have copies of wrapped keys.
    #[serde(default)]
    wrapped_keys: Held,
    /// Stores, whose values are encrypted with the wrapped keys.
    #[serde(default)]
    stores: Vec<Value>,
    /// Data, in words.
    #[serde(default)]
    data: Vec<String>,
}

/// Whether a stranger may have copies.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    /// He has.
    Exposed,
    /// Nobody but those who may.
    Safe,
    /// Nobody knows: it counts as exposed.
    #[default]
    Unknown,
}

const READING: &str = "reading a wrapped key";
const WRITING: &str = "writing a wrapped key";

/// The principal of a successor that was asked for and not made yet; its value is the old one.
const ASKED: &str = "asked for: ";

pub(crate) fn ask_for(old: &Credential, tag: &str) -> Credential {
    Credential { principal: format!("{ASKED}{tag}"), value: old.value.duplicate() }
}

pub(crate) fn is_asked_for(new: &Credential) -> bool {
    new.principal.starts_with(ASKED)
}

/// The tag that one was asked for with.
pub(crate) fn tag(new: &Credential) -> &str {
    new.principal.strip_prefix(ASKED).unwrap_or_default()
}

impl Deks {
    pub(crate) fn build(configs: &[Value], shape: Shape, ctx: &Context) -> Result<Self, ConfigError> {
        let hint = "Write each as in `stores:`, such as `- file: { path: keys/orders }`.";
        let bad = |why: &str| ConfigError::at("deks", why.to_owned(), hint);
        let one = |config: &Value| {
            let (id, part) = single(config).ok_or_else(|| bad("an entry does not name one store"))?;
            let build = crate::find(id).and_then(|definition| definition.store);
            build.ok_or_else(|| bad("an entry names no such store"))?(part, ctx)
        };
        Ok(Self { stores: configs.iter().map(one).collect::<Result<_, _>>()?, shape })
    }

    pub(crate) fn len(&self) -> usize {
        self.stores.len()
    }

    pub(crate) fn place(&self, dek: &Dek) -> String {
        self.stores.get(dek.at).map(|store| store.target()).unwrap_or_default()
    }

    /// Every listed one. One that is missing or something else is an error: it could be lost.
    pub(crate) async fn all(&self, system: &str) -> Result<Vec<Dek>, ConnectError> {
        let mut all = Vec::with_capacity(self.stores.len());
        for (at, store) in self.stores.iter().enumerate() {
            let denied = |words: &str| {
                let words = format!("{} {words}", store.target());
                ConnectError::new(system, READING, ConnectErrorKind::Denied, words)
            };
            let value = store.read().await?.ok_or_else(|| denied("is empty"))?.value;
            if !(self.shape.fits)(&value) {
                let words = format!("holds something else than a wrapped key ({})", self.shape.like);
                return Err(denied(&words));
            }
            all.push(Dek { at, value });
        }
        Ok(all)
    }

    /// Puts `anew` in the place of what was read, if that is still there: a consumer may have made another key meanwhile.
    pub(crate) async fn replace(
        &self,
        dek: &Dek,
        anew: &SecretValue,
        system: &str,
    ) -> Result<(), ConnectError> {
        let failed = |kind, words: String| Err(ConnectError::new(system, WRITING, kind, words));
        let Some(store) = self.stores.get(dek.at) else { return Ok(()) };
        // It takes the place of the only copy.
        if !(self.shape.fits)(anew) {
            let words = format!("what should go into {} is no wrapped key", store.target());
            return failed(ConnectErrorKind::Unexpected, words);
        }
        match store.read().await? {
            Some(held) if held.value.same_as(&dek.value) => {}
            Some(_) | None => {
                let words = format!("{} was changed meanwhile", store.target());
                return failed(ConnectErrorKind::Conflict, words);
            }
        }
        match store.write(anew).await {
            Outcome::Applied { .. } => Ok(()),
            Outcome::NotApplied { reason, retryable: true, .. } => failed(ConnectErrorKind::Conflict, reason),
            Outcome::NotApplied { reason, .. } => failed(ConnectErrorKind::Denied, reason),
            Outcome::Unknown { reason } => failed(ConnectErrorKind::Lost, reason),
        }
    }

    pub(crate) async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for store in &self.stores {
            let held = store.read().await;
            let what = format!("a wrapped key is in {}", store.target());
            let (ok, detail) = match held {
                Ok(Some(stored)) if (self.shape.fits)(&stored.value) => (true, "it is".to_owned()),
                Ok(Some(_)) => (false, format!("it is something else (not {})", self.shape.like)),
                Ok(None) => (false, "there is nothing".to_owned()),
                Err(error) => (false, error.to_string()),
            };
            checks.push(Check { what, ok, detail });
            checks.append(&mut store.check().await);
        }
        checks
    }
}

impl Contents {
    /// Why a re-wrap is not enough, unless it is.
    fn why(&self, key: &str) -> Option<String> {
        let held = match self.wrapped_keys {
            Held::Exposed => "a stranger holds wrapped keys",
            Held::Safe => return None,
            Held::Unknown => "nobody knows whether a stranger holds wrapped keys, which counts as if he did",
        };
        Some(format!(
            "{held}: copies that were made before open with the old `{key}` wherever that is, so that wrapping them anew closes nothing there; \
             what they encrypt must be encrypted with new keys, and secrets among it must be changed"
        ))
    }

    pub(crate) fn warnings(&self, key: &str) -> Vec<String> {
        self.why(key).into_iter().collect()
    }

    /// What is encrypted with the wrapped keys is exposed when those may be.
    pub(crate) fn opens(&self, key: &str, places: &[Place]) -> Opens {
        let mut opens = Opens::default();
        let Some(why) = self.why(key) else { return opens };
        if self.stores.is_empty() && self.data.is_empty() {
            opens
                .unknown
                .push(format!("what the keys encrypt that `{key}` wraps is not listed (`contents`)"));
        }
        for wanted in &self.stores {
            let found = places.iter().enumerate().filter(|(_, place)| is_at(wanted, place));
            let opened: Vec<Opened> = found.map(|(place, _)| Opened { place, why: why.clone() }).collect();
            if opened.is_empty() {
                opens
                    .elsewhere
                    .push(format!("a store of `contents` that no secret of the inventory has: {why}"));
            }
            opens.opened.extend(opened);
        }
        opens.elsewhere.extend(self.data.iter().map(|data| format!("{data}: {why}")));
        opens
    }
}

/// The place is a store, and has all that is wanted of it: `{ openbao: { mount: kv, path: apps/orders } }` is every key there.
fn is_at(wanted: &Value, place: &Place) -> bool {
    let Some((id, part)) = single(wanted) else { return false };
    let Some(part) = part.as_object() else { return false };
    place.kind == PlaceKind::Store
        && place.connector == id
        && part.iter().all(|(name, value)| place.config.get(name) == Some(value))
}

/// The one entry of a map.
fn single(config: &Value) -> Option<(&str, &Value)> {
    let mut entries = config.as_object()?.iter();
    let (id, part) = entries.next()?;
    entries.next().is_none().then_some((id.as_str(), part))
}

/// Schema of what is the same for every key that wraps.
pub(crate) fn schema() -> Value {
    let store = json!({ "type": "object", "minProperties": 1, "maxProperties": 1 });
    let text = json!({ "type": "string", "minLength": 1 });
    json!({
        "deks": {
            "type": "array",
            "items": store,
            "description": "Where the other wrapped keys are, each as in `stores:`; all of them are wrapped anew",
        },
        "contents": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "wrapped_keys": {
                    "enum": ["exposed", "safe", "unknown"],
                    "default": "unknown",
                    "description": "Whether a stranger may have copies of wrapped keys; unknown counts as exposed",
                },
                "stores": {
                    "type": "array",
                    "items": store,
                    "description": "Stores whose values the wrapped keys encrypt: { openbao: { mount: kv, path: apps/orders } }",
                },
                "data": {
                    "type": "array",
                    "items": text,
                    "description": "Data that the wrapped keys encrypt, in words",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use quell_core::SecretId;

    use super::*;

    #[test]
    fn what_is_encrypted_is_exposed_unless_wrapped_keys_are_safe() {
        let place = |kind, config: Value| Place {
            secret: "orders-db".parse::<SecretId>().unwrap(),
            kind,
            connector: "openbao".to_owned(),
            config,
        };
        let at = json!({ "mount": "kv", "path": "apps/orders", "key": "url" });
        let elsewhere = json!({ "mount": "kv", "path": "apps/mail", "key": "url" });
        let places = [
            place(PlaceKind::Issuer, at.clone()),
            place(PlaceKind::Store, elsewhere),
            place(PlaceKind::Store, at),
        ];
        let opens =
            |contents: Value| Contents::deserialize(&contents).unwrap().opens("transit/orders", &places);
        let listed = json!([{ "openbao": { "mount": "kv", "path": "apps/orders" } }]);
        for held in ["exposed", "unknown"] {
            let seen = opens(json!({ "wrapped_keys": held, "stores": listed, "data": ["cards of orders"] }));
            assert_eq!(seen.opened.iter().map(|opened| opened.place).collect::<Vec<_>>(), [2]);
            assert!(seen.opened[0].why.contains("wrapping them anew closes nothing there"), "{seen:?}");
            assert!(seen.elsewhere[0].starts_with("cards of orders: ") && seen.unknown.is_empty());
        }
        assert_eq!(opens(json!({ "wrapped_keys": "safe", "stores": listed })), Opens::default());
        let unlisted = opens(json!({}));
        assert!(unlisted.opened.is_empty() && unlisted.unknown[0].contains("is not listed"), "{unlisted:?}");
        let absent = opens(json!({ "stores": [{ "openbao": { "path": "apps/gone" } }] }));
        assert!(absent.opened.is_empty() && absent.elsewhere.len() == 1);
    }
}
