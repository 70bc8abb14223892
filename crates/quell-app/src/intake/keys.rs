//! Keys of webhooks, kept for seconds: strangers' requests must not become requests to a vault. A vault that is down for a moment must not
//! keep the news of a leak away, and a key that was taken back must not go on being good because nobody can be asked.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use quell_connect::context::Context;
use quell_connect::error::{ConnectError, ConnectErrorKind};
use quell_core::secret::SecretValue;
use tokio::sync::Mutex;

use super::config::Source;

/// Fetched again after so long.
const LIFE: SignedDuration = SignedDuration::from_secs(30);
/// A signature that does not fit fetches them again, and so does a fetch that failed, but not more often than this.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// While their source cannot be reached, they are good for so long after they were fetched. A source that answers without them ends them at once.
const OUTAGE: SignedDuration = SignedDuration::from_mins(15);
/// Shorter keys can be guessed.
const KEY_MIN: usize = 16;

/// Keys by name of the sender. One request of a name asks, the others wait for what it finds.
#[derive(Debug, Default)]
pub struct Keys(std::sync::Mutex<BTreeMap<String, Arc<Mutex<Slot>>>>);

/// Of one sender.
#[derive(Debug, Default)]
struct Slot {
    /// When somebody asked last, whatever came of it.
    tried: Option<Timestamp>,
    /// By reference: when it was fetched, and the key.
    by_reference: BTreeMap<String, (Timestamp, SecretValue)>,
    /// One could not be had.
    failed: Option<ConnectError>,
}

/// What a signature is compared with.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) keys: Vec<SecretValue>,
    /// Is every key of the sender there? If not, a signature that does not fit may be one of those.
    pub(super) complete: bool,
}

/// How old they may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    /// As long as they live.
    Any,
    /// A signature did not fit: they may have been changed meanwhile.
    Doubted,
}

impl Keys {
    /// The keys of a sender, as of not too long ago.
    pub(super) async fn of(
        &self,
        source: &Source,
        context: &Context,
        now: Timestamp,
        age: Age,
    ) -> Result<Held, ConnectError> {
        let slot = self.slot(&source.name);
        let mut slot = slot.lock().await;
        let most = match age {
            Age::Any if slot.failed.is_none() => LIFE,
            Age::Any | Age::Doubted => AGAIN,
        };
        let is_known = source.keys.iter().all(|key| slot.by_reference.contains_key(&key.to_string()));
        let is_new = slot.tried.is_none_or(|at| now.duration_since(at).abs() >= most);
        if is_new || (!is_known && slot.failed.is_none()) {
            slot.fetch(source, context, now).await;
        }
        slot.held(source)
    }

    /// Fetches them now.
    pub(super) async fn fresh(
        &self,
        source: &Source,
        context: &Context,
        now: Timestamp,
    ) -> Result<Held, ConnectError> {
        let slot = self.slot(&source.name);
        let mut slot = slot.lock().await;
        slot.fetch(source, context, now).await;
        slot.held(source)
    }

    fn slot(&self, name: &str) -> Arc<Mutex<Slot>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

impl Slot {
    async fn fetch(&mut self, source: &Source, context: &Context, now: Timestamp) {
        let mut found = BTreeMap::new();
        self.failed = None;
        for reference in &source.keys {
            let name = reference.to_string();
            match reference.resolve(context).await {
                Ok(key) if key.len() < KEY_MIN => {
                    let why = "it is shorter than 16 bytes and can be guessed; make a longer one";
                    let what = "reading the key of a webhook";
                    self.failed = Some(ConnectError::new(name, what, ConnectErrorKind::Denied, why));
                }
                Ok(key) => drop(found.insert(name, (now, key))),
                Err(error) => {
                    let kept = self.by_reference.remove(&name);
                    let kept =
                        kept.filter(|(at, _)| is_away(error.kind) && now.duration_since(*at).abs() < OUTAGE);
                    found.extend(kept.map(|kept| (name, kept)));
                    self.failed = Some(error);
                }
            }
        }
        self.by_reference = found;
        self.tried = Some(now);
    }

    /// One that cannot be had is left out while another is there.
    fn held(&self, source: &Source) -> Result<Held, ConnectError> {
        let known = |key: &String| Some(self.by_reference.get(key)?.1.duplicate());
        let names: Vec<String> = source.keys.iter().map(ToString::to_string).collect();
        let keys: Vec<SecretValue> = names.iter().filter_map(known).collect();
        match (&self.failed, keys.is_empty()) {
            (Some(error), true) => {
                Err(ConnectError::new(&error.system, error.what, error.kind, &error.detail))
            }
            _ => Ok(Held { complete: keys.len() == names.len(), keys }),
        }
    }
}

/// Nobody answered, or nothing that makes sense (a proxy before a vault that restarts), which says nothing about the key.
fn is_away(kind: ConnectErrorKind) -> bool {
    match kind {
        ConnectErrorKind::Unreachable
        | ConnectErrorKind::Transient { .. }
        | ConnectErrorKind::Lost
        | ConnectErrorKind::Conflict
        | ConnectErrorKind::Unexpected => true,
        ConnectErrorKind::Denied | ConnectErrorKind::Missing => false,
    }
}
