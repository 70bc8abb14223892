//! Keys of webhooks, kept for seconds: strangers' requests must not become requests to a vault, and a vault that is down
//! must not keep the news of a leak away.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use quell_connect::context::Context;
use quell_connect::error::{ConnectError, ConnectErrorKind};
use quell_core::secret::SecretValue;
use tokio::sync::Mutex;

use super::config::Source;

/// Fetched again after so long.
const LIFE: SignedDuration = SignedDuration::from_secs(30);
/// A signature that does not fit fetches them again, but not more often than this.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// Shorter keys can be guessed.
const KEY_MIN: usize = 16;

type Fetched = (Timestamp, Arc<Vec<SecretValue>>);

/// Keys by name of the sender.
#[derive(Debug, Default)]
pub struct Keys(Mutex<BTreeMap<String, Fetched>>);

/// How old they may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    /// As long as they live.
    Any,
    /// A signature did not fit: they may have been changed meanwhile.
    Doubted,
}

impl Keys {
    /// The keys of a sender. When they cannot be fetched, those of the last time are used.
    pub(super) async fn of(
        &self,
        source: &Source,
        context: &Context,
        now: Timestamp,
        age: Age,
    ) -> Result<Arc<Vec<SecretValue>>, ConnectError> {
        let known = self.0.lock().await.get(&source.name).cloned();
        let most = match age {
            Age::Any => LIFE,
            Age::Doubted => AGAIN,
        };
        if let Some((at, keys)) = &known
            && now.duration_since(*at).abs() < most
        {
            return Ok(Arc::clone(keys));
        }
        match self.fresh(source, context, now).await {
            Ok(keys) => Ok(keys),
            Err(error) => known.map(|(_, keys)| keys).ok_or(error),
        }
    }

    /// Fetches them now. One that cannot be had is left out while another is there.
    pub(super) async fn fresh(
        &self,
        source: &Source,
        context: &Context,
        now: Timestamp,
    ) -> Result<Arc<Vec<SecretValue>>, ConnectError> {
        let mut keys = Vec::new();
        let mut failed = None;
        for reference in &source.keys {
            match reference.resolve(context).await {
                Ok(key) if key.len() < KEY_MIN => {
                    let why = "it is shorter than 16 bytes and can be guessed; make a longer one";
                    let what = "reading the key of a webhook";
                    failed =
                        Some(ConnectError::new(reference.to_string(), what, ConnectErrorKind::Denied, why));
                }
                Ok(key) => keys.push(key),
                Err(error) => failed = Some(error),
            }
        }
        if let (true, Some(error)) = (keys.is_empty(), failed) {
            return Err(error);
        }
        let keys = Arc::new(keys);
        self.0.lock().await.insert(source.name.clone(), (now, Arc::clone(&keys)));
        Ok(keys)
    }
}
