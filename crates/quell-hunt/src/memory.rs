//! What objects gave in a hunt that was stopped, so that the next one need not read them again.
//!
//! Each answer of an object is kept under a [`Key`], a hash with a salt of everything that the answer depends on: the credentials of
//! the pass, the hints, the object's name, size and version, and what its digest says that it was. Nothing that is kept can hold
//! a value: they are taken out before, and names of objects are not kept at all. Where it is kept is somebody else's business.

use quell_core::secret::SecretValue;
use sha2::{Digest as _, Sha256};

use crate::format::{HIDDEN, without_values};
use crate::hint::Hints;
use crate::hunt::Question;
use crate::mapping::Mapping;
use crate::needle::{Needle, Needles, Spelling};
use crate::object::{Fate, Object};
use crate::search::{Seen, Task};

/// Stands for one object in one pass of one question: SHA-256 with the salt.
pub type Key = [u8; 32];

/// Where answers are kept. A hunt calls it from many threads.
pub trait Memory: Sync {
    /// Random bytes, the same for as long as anything is kept: without them nobody can try which value was asked for.
    fn salt(&self) -> &[u8];

    /// What was kept under this key.
    fn recall(&self, key: &Key) -> Option<String>;

    /// Keeps a text of one line. It never fails for the hunt: what cannot be kept is read again the next time.
    fn keep(&self, key: &Key, text: &str);
}

/// What stands for a question in the head of a memory, in hex: SHA-256 with a salt over all that decides what an object gives in the
/// first pass. Window, accounts, regions and shard are not part of it, as they decide only which objects are read and which records
/// are told.
pub fn fingerprint(question: &Question, salt: &[u8]) -> String {
    let followed = question.follow.iter().map(|it| it.id.as_bytes());
    let needles = question.needles.iter();
    hex::encode(asked(needles, followed, &question.hints, true, salt))
}

fn asked<'a>(
    needles: impl Iterator<Item = &'a Needle>,
    more: impl Iterator<Item = &'a [u8]>,
    hints: &Hints,
    first: bool,
    salt: &[u8],
) -> Key {
    // In an order of their own: who was found first may depend on threads.
    let mut parts: Vec<Vec<u8>> = needles
        .map(|needle| {
            let public = if needle.spelling == Spelling::Id { b"i" } else { b"v" };
            let label = (needle.label.len() as u64).to_be_bytes();
            [&public[..], &label, needle.label.as_bytes(), needle.bytes()].concat()
        })
        .chain(more.map(|id| [b"f", id].concat()))
        .collect();
    parts.sort_unstable();
    let zone = hints.zone.as_ref().and_then(|zone| zone.iana_name()).unwrap_or_default();
    let mapping = hints.mapping.as_ref().map(Mapping::sha256).unwrap_or_default();
    let keys: Vec<&[u8]> = hints.record_keys.iter().map(SecretValue::expose).collect();
    let mut hash = hash(
        salt,
        &[b"question", zone.as_bytes(), mapping.as_bytes(), if first { b"first" } else { b"later" }],
    );
    hash = self::hash(&hash, &keys);
    for part in &parts {
        hash = self::hash(&hash, &[part]);
    }
    hash
}

/// SHA-256 over parts, each after its length, so that no two lists of parts are alike.
fn hash(salt: &[u8], parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in std::iter::once(&salt).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A memory as one pass uses it.
pub(crate) struct Recall<'a> {
    memory: &'a dyn Memory,
    /// The pass: what it looks for.
    asked: Key,
}

impl<'a> Recall<'a> {
    pub(crate) fn new(memory: &'a dyn Memory, task: &Task<'_>, pass: usize) -> Self {
        let needles = task.needles.list().iter();
        let asked = asked(needles, std::iter::empty(), task.hints, pass == 1, memory.salt());
        Self { memory, asked }
    }

    /// The key of an object as it is now; `None` if nothing tells this version of it from another.
    pub(crate) fn key(&self, object: &Object, task: &Task<'_>) -> Option<Key> {
        let version = object.version()?;
        let expected = task.digests.expected(&object.name).unwrap_or_default();
        let parts = [&self.asked[..], object.name.as_bytes(), version.as_bytes(), expected.as_bytes()];
        Some(hash(self.memory.salt(), &parts))
    }

    /// What an object gave before.
    pub(crate) fn recall(&self, key: &Key, object: &Object) -> Option<Seen> {
        let mut seen: Seen = serde_json::from_str(&self.memory.recall(key)?).ok()?;
        for access in &mut seen.accesses {
            (*object.name).clone_into(&mut access.object);
        }
        Some(seen)
    }

    /// Keeps what an object gave, unless a second try may give more. Its values were taken out by [`clean`]; its name, which may hold
    /// one, is left out here.
    pub(crate) fn keep(&self, key: &Key, seen: &mut Seen) {
        match &seen.fate {
            Fate::Unreadable(_) => return,
            Fate::Scanned | Fate::Pruned | Fate::Corrupt(_) | Fate::TooLarge(_) | Fate::WrongFormat(_) => {}
        }
        let names: Vec<String> =
            seen.accesses.iter_mut().map(|access| std::mem::take(&mut access.object)).collect();
        if let Ok(text) = serde_json::to_string(seen) {
            self.memory.keep(key, &text);
        }
        for (access, name) in seen.accesses.iter_mut().zip(names) {
            access.object = name;
        }
    }
}

/// Takes every value of the leaked credential out of what an object gave. What was made and named by such a value is looked for
/// already, as that value.
pub(crate) fn clean(seen: &mut Seen, leaked: &Needles) {
    let accesses = std::mem::take(&mut seen.accesses);
    seen.accesses = accesses
        .into_iter()
        .map(|access| {
            let mut access = without_values(access, leaked);
            access.made.retain(|made| made.id != HIDDEN);
            access
        })
        .collect();
    if leaked.list().iter().any(|needle| needle.spelling != Spelling::Id) {
        let secret = |text: &str| {
            let secret = leaked.list().iter().filter(|needle| needle.spelling != Spelling::Id);
            secret.into_iter().any(|it| memchr::memmem::find(text.as_bytes(), it.bytes()).is_some())
        };
        seen.edges.retain(|(from, to)| !secret(from) && !secret(to));
    }
}
