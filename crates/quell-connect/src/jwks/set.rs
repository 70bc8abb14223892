//! The published set of public keys, as a document of which only what must change is changed.
//!
//! RFC 7517, 5: members of the set that a reader does not know are ignored. Quell keeps one there, `quell_dropped`: the names and thumbprints
//! of keys that it took away. Without it a canary of a key whose value does not say its name would carry a wrong one after that, and would
//! be refused for its name alone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::key::{Algorithm, Key};
use super::public::{PRIVATE, Public};

const DROPPED: &str = "quell_dropped";

/// Begins the name of a key that nobody has, which stands in a set that would be empty: readers such as `PyJWT` take an empty one for a failure, and
/// go on with the copy that they have.
const NOBODY: &str = "quell-nobody-";

/// So many keys that were dropped are remembered.
const REMEMBERED: usize = 32;

/// The document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Set {
    json: Map<String, Value>,
    pretty: bool,
}

/// How a key was published that is not any more.
pub(super) struct Predecessor<'a> {
    /// Nothing if the set did not say.
    pub(super) algorithm: Option<&'a str>,
}

/// What is wrong with a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// One key under several names.
    Alias(Vec<String>),
    /// Two keys under one name.
    Ambiguous(String),
    /// A key that was dropped is there again.
    Back(String),
    /// No verifier can tell by a token which of them is meant.
    Nameless(usize),
    /// The secret part of a key is published.
    Private(String),
}

impl Set {
    pub(super) fn empty() -> Self {
        Self { json: Map::from_iter([("keys".to_owned(), json!([]))]), pretty: true }
    }

    /// Reads a document. What it holds is not repeated.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let json: Value = serde_json::from_str(text).map_err(|_e| "it is no JSON")?;
        let Value::Object(json) = json else { return Err("it is no JSON object") };
        let keys = json.get("keys").and_then(Value::as_array).ok_or("it has no list `keys`")?;
        if keys.iter().all(Value::is_object) {
            Ok(Self { json, pretty: text.trim().contains('\n') })
        } else {
            Err("something in its list `keys` is no key")
        }
    }

    pub(super) fn text(&self) -> String {
        let json = Value::Object(self.json.clone());
        if self.pretty { format!("{json:#}") } else { json.to_string() }
    }

    fn keys(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.json.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    }

    /// Every public key that can be read.
    pub(super) fn publics(&self) -> impl Iterator<Item = Public> {
        self.keys().filter_map(Public::of)
    }

    pub(super) fn holds(&self, thumbprint: &str) -> bool {
        self.keys().any(|entry| is(entry, thumbprint))
    }

    /// The names under which a key is published, or was until it was dropped.
    pub(super) fn names(&self, thumbprint: &str) -> BTreeSet<String> {
        let published = self.keys().filter(|entry| is(entry, thumbprint)).filter_map(kid);
        let dropped = self.dropped().filter(|it| it.get("jkt").and_then(Value::as_str) == Some(thumbprint));
        published.chain(dropped.filter_map(kid)).map(str::to_owned).collect()
    }

    fn dropped(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.json.get(DROPPED).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    }

    /// Whether a key was taken away here.
    pub(super) fn was_dropped(&self, thumbprint: &str) -> bool {
        self.dropped().any(|it| it.get("jkt").and_then(Value::as_str) == Some(thumbprint))
    }

    /// For which algorithms a key is published, or was until it was dropped.
    pub(super) fn algorithms(&self, thumbprint: &str) -> BTreeSet<String> {
        let published = self.keys().filter(|entry| is(entry, thumbprint)).filter_map(alg);
        let dropped = self.dropped().filter(|it| it.get("jkt").and_then(Value::as_str) == Some(thumbprint));
        published.chain(dropped.filter_map(alg)).map(str::to_owned).collect()
    }

    /// Whether a key is, or was, published without a name: a verifier may try it for any token.
    pub(super) fn is_nameless(&self, thumbprint: &str) -> bool {
        let published = self.keys().filter(|entry| is(entry, thumbprint));
        let dropped = self.dropped().filter(|it| it.get("jkt").and_then(Value::as_str) == Some(thumbprint));
        published.chain(dropped).any(|it| kid(it).is_none())
    }

    /// How the last key was published that was dropped and is of this kind.
    pub(super) fn predecessor(&self, kty: &str) -> Option<Predecessor<'_>> {
        self.dropped()
            .filter(|it| it.get("kty").and_then(Value::as_str) == Some(kty))
            .last()
            .map(|it| Predecessor { algorithm: alg(it) })
    }

    /// The first key that can be read, and the algorithm that it is published for.
    pub(super) fn first(&self) -> Option<(Public, Option<&str>)> {
        self.keys().find_map(|entry| Some((Public::of(entry)?, alg(entry))))
    }

    /// Another key that goes by a name.
    pub(super) fn is_taken(&self, name: &str, thumbprint: &str) -> bool {
        self.keys().any(|entry| kid(entry) == Some(name) && !is(entry, thumbprint))
    }

    /// Puts a key in under a name, or says why not.
    pub(super) fn add(&mut self, key: &Key, name: &str, algorithm: Option<Algorithm>) -> Result<(), String> {
        let thumbprint = key.thumbprint();
        if self.was_dropped(&thumbprint) {
            return Err("this key was taken away before: it has no way back; choose again".to_owned());
        }
        if self.is_taken(name, &thumbprint) {
            return Err(format!("another key of the set is called `{name}`; give that one another `kid`"));
        }
        let private = self.troubles().into_iter().find_map(|trouble| match trouble {
            Trouble::Private(name) => Some(name),
            Trouble::Alias(_) | Trouble::Ambiguous(_) | Trouble::Back(_) | Trouble::Nameless(_) => None,
        });
        if let Some(name) = private {
            return Err(format!(
                "the set publishes the private part of {name}: take it out, and treat that key as leaked, too"
            ));
        }
        let entry = Value::Object(key.public().entry(name, algorithm.map(Algorithm::name)));
        if let Some(Value::Array(keys)) = self.json.get_mut("keys") {
            let nobody =
                |entry: &Value| entry.as_object().and_then(kid).is_some_and(|it| it.starts_with(NOBODY));
            keys.retain(|entry| !nobody(entry));
            keys.insert(0, entry);
        }
        Ok(())
    }

    /// Takes a key out, under whatever names it is there; gives them. It is remembered.
    pub(super) fn drop_key(&mut self, thumbprint: &str, at: Timestamp) -> Vec<String> {
        let found: Vec<&Map<String, Value>> = self.keys().filter(|entry| is(entry, thumbprint)).collect();
        let names: Vec<Option<String>> = found.iter().map(|entry| kid(entry).map(str::to_owned)).collect();
        let at = at.round(jiff::Unit::Second).unwrap_or(at).to_string();
        let gone: Vec<Value> = found.iter().map(|entry| remembered(entry, thumbprint, &at)).collect();
        if names.is_empty() {
            return Vec::new();
        }
        if let Some(Value::Array(keys)) = self.json.get_mut("keys") {
            keys.retain(|entry| !entry.as_object().is_some_and(|entry| is(entry, thumbprint)));
        }
        let mut dropped: Vec<Value> = self.dropped().map(|it| Value::Object(it.clone())).collect();
        dropped.extend(gone);
        let many = dropped.len().saturating_sub(REMEMBERED);
        self.json.insert(DROPPED.to_owned(), dropped.split_off(many).into());
        names.into_iter().map(|name| name.unwrap_or_else(|| "(without a kid)".to_owned())).collect()
    }

    /// Makes sure that there is a key: one that `make` gives, and whose private part is dropped here.
    pub(super) fn fill(
        &mut self,
        make: impl FnOnce() -> Result<Key, &'static str>,
    ) -> Result<(), &'static str> {
        if self.keys().next().is_some() {
            return Ok(());
        }
        let nobody = make()?;
        let name = format!("{NOBODY}{}", nobody.thumbprint());
        let entry = Value::Object(nobody.public().entry(&name, Some(nobody.algorithm.name())));
        self.json.insert("keys".to_owned(), json!([entry]));
        Ok(())
    }

    /// What is wrong with it.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let entries: Vec<&Map<String, Value>> = self.keys().collect();
        for (at, entry) in entries.iter().enumerate() {
            let name = kid(entry).map_or_else(|| format!("key number {}", at + 1), |kid| format!("`{kid}`"));
            if PRIVATE.iter().any(|member| entry.contains_key(*member)) {
                troubles.push(Trouble::Private(name));
            }
            if kid(entry).is_none() {
                troubles.push(Trouble::Nameless(at + 1));
            }
            let Some(thumbprint) = Public::of(entry).map(|it| it.thumbprint()) else { continue };
            if self.was_dropped(&thumbprint) {
                troubles.push(Trouble::Back(thumbprint.clone()));
            }
            let earlier = entries.iter().take(at);
            let same_name = |it: &&&Map<String, Value>| kid(it).is_some() && kid(it) == kid(entry);
            if earlier.clone().filter(same_name).any(|it| !is(it, &thumbprint)) {
                troubles.push(Trouble::Ambiguous(kid(entry).unwrap_or_default().to_owned()));
            }
            let names: Vec<String> = entries
                .iter()
                .filter(|it| is(it, &thumbprint))
                .filter_map(|it| kid(it))
                .map(str::to_owned)
                .collect();
            if names.len() > 1 && !earlier.clone().any(|it| is(it, &thumbprint)) {
                troubles.push(Trouble::Alias(names));
            }
        }
        troubles
    }
}

impl Trouble {
    /// For people, with what to do.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Alias(names) => {
                format!("one key is published under several names ({}): they die together", names.join(", "))
            }
            Self::Ambiguous(name) => format!("two keys are called `{name}`: give one of them another `kid`"),
            Self::Back(thumbprint) => {
                format!(
                    "a key that was taken away is there again ({thumbprint}): whoever writes the set still has it"
                )
            }
            Self::Nameless(at) => format!("key number {at} has no `kid`, so verifiers guess: give it one"),
            Self::Private(name) => {
                format!("the private part of {name} is published: take it out, and treat that key as leaked")
            }
        }
    }

    /// A set with this is not written to, or proves nothing.
    pub(super) fn is_grave(&self) -> bool {
        match self {
            Self::Ambiguous(_) | Self::Back(_) | Self::Private(_) => true,
            Self::Alias(_) | Self::Nameless(_) => false,
        }
    }
}

fn kid(entry: &Map<String, Value>) -> Option<&str> {
    entry.get("kid").and_then(Value::as_str)
}

/// What verifiers take of a key. One that is published for encryption, too, says there how it encrypts.
fn alg(entry: &Map<String, Value>) -> Option<&str> {
    let signs = entry.get("use").and_then(Value::as_str) != Some("enc");
    entry.get("alg").and_then(Value::as_str).filter(|_| signs)
}

/// What is kept of a key that is dropped.
fn remembered(entry: &Map<String, Value>, thumbprint: &str, at: &str) -> Value {
    let mut kept = Map::from_iter([("jkt".to_owned(), thumbprint.into()), ("at".to_owned(), at.into())]);
    let more = [("kid", kid(entry)), ("alg", alg(entry)), ("kty", entry.get("kty").and_then(Value::as_str))];
    kept.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    Value::Object(kept)
}

fn is(entry: &Map<String, Value>, thumbprint: &str) -> bool {
    Public::of(entry).is_some_and(|it| it.thumbprint() == thumbprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::read(&Key::fresh(None, None, false).unwrap()).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-23T09:00:00.25Z".parse().unwrap()
    }

    #[test]
    fn only_the_key_that_is_meant_goes() {
        let (old, neighbor) = (key(), key());
        let mut set = Set::read("{\"keys\":[],\"mine\":{\"b\":1,\"a\":[2]}}").unwrap();
        set.add(&neighbor, "n", Some(Algorithm::EdDsa)).unwrap();
        set.add(&old, "2025", Some(Algorithm::EdDsa)).unwrap();
        let mut alias = set.clone();
        let mut twice = old.public().entry("also", Some("EdDSA"));
        twice.insert("x5t".to_owned(), json!("zz"));
        alias.json["keys"].as_array_mut().unwrap().push(Value::Object(twice));
        assert_eq!(alias.troubles(), [Trouble::Alias(vec!["2025".to_owned(), "also".to_owned()])]);

        assert_eq!(alias.drop_key(&old.thumbprint(), now()), ["2025", "also"]);
        assert!(alias.drop_key(&old.thumbprint(), now()).is_empty(), "once is enough");
        assert!(!alias.holds(&old.thumbprint()) && alias.holds(&neighbor.thumbprint()));
        let names: Vec<String> = alias.names(&old.thumbprint()).into_iter().collect();
        assert_eq!(names, ["2025", "also"], "a canary still carries them");
        let again = Set::read(&alias.text()).unwrap();
        assert!(again == alias && again.was_dropped(&old.thumbprint()));
        let json: Value = serde_json::from_str(&again.text()).unwrap();
        assert_eq!(json["mine"], json!({ "a": [2], "b": 1 }));
        assert_eq!(json["quell_dropped"][0]["at"], "2026-11-23T09:00:00Z");
        assert!(alias.add(&old, "new-name", Some(Algorithm::EdDsa)).unwrap_err().contains("no way back"));
    }

    #[test]
    fn what_cannot_be_told_apart_is_said() {
        let (one, two) = (key(), key());
        let mut set = Set::empty();
        set.add(&one, "k", Some(Algorithm::EdDsa)).unwrap();
        assert!(
            set.add(&two, "k", Some(Algorithm::EdDsa))
                .unwrap_err()
                .contains("another key of the set is called `k`")
        );
        let mut other = two.public().entry("k", Some("EdDSA"));
        set.json["keys"].as_array_mut().unwrap().push(Value::Object(other.clone()));
        assert_eq!(set.troubles(), [Trouble::Ambiguous("k".to_owned())]);
        assert!(set.is_taken("k", &one.thumbprint()));
        other.remove("kid");
        other.insert("d".to_owned(), json!("secret"));
        set.json["keys"] = json!([other]);
        assert_eq!(set.troubles(), [Trouble::Private("key number 1".to_owned()), Trouble::Nameless(1)]);
        let why = set.add(&one, "x", Some(Algorithm::EdDsa)).unwrap_err();
        assert!(why.contains("private part of key number 1") && !why.contains("secret"), "{why}");
        // Its own private part goes with a key that is taken away.
        assert_eq!(set.drop_key(&two.thumbprint(), now()), ["(without a kid)"]);
        assert!(!set.text().contains("secret"));
        // An empty set is filled with a key that makes room.
        assert!(set.keys().next().is_none());
        set.fill(|| Ok(key())).unwrap();
        set.fill(|| Err("there is one")).unwrap();
        assert!(set.keys().filter_map(kid).all(|it| it.starts_with(NOBODY)) && set.keys().count() == 1);
        set.add(&key(), "real", Some(Algorithm::EdDsa)).unwrap();
        assert_eq!(set.keys().filter_map(kid).collect::<Vec<_>>(), ["real"]);
    }

    #[test]
    fn a_document_that_is_no_set_is_refused() {
        for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[1]}", "<html>"] {
            assert!(Set::read(text).is_err(), "{text}");
        }
        assert!(!Set::read("{\"keys\":[]}").unwrap().pretty);
        assert!(Set::read("{\n\"keys\":[]}").unwrap().text().contains('\n'));
    }
}
