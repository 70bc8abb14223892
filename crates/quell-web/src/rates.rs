//! How often one caller may ask: a bucket for each, so that a loop of one person's does not keep the others out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quell_core::Timestamp;

/// Requests at once, when nothing was asked for a while.
const BURST: u32 = 600;
/// Requests a second, from then on.
const EACH_SECOND: u32 = 60;
/// Callers that are remembered; those with a full bucket are forgotten first.
const CALLERS: usize = 10_000;

/// What each caller has left.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<BTreeMap<String, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn filled(self, now: Timestamp) -> Self {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        let left = (self.left + passed * f64::from(EACH_SECOND)).min(f64::from(BURST));
        Self { left, at: now }
    }
}

impl Rates {
    /// One request of a caller's. `Err` says how long to wait.
    pub(crate) fn take(&self, caller: &str, now: Timestamp) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CALLERS {
            all.retain(|_, bucket| bucket.filled(now).left < f64::from(BURST));
        }
        let fresh = Bucket { left: f64::from(BURST), at: now };
        let bucket = all.entry(caller.to_owned()).or_insert(fresh);
        *bucket = bucket.filled(now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.left) / f64::from(EACH_SECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_is_slowed_down_and_the_others_are_not() {
        let rates = Rates::default();
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
        for _ in 0..BURST {
            rates.take("ines", now).unwrap();
        }
        let wait = rates.take("ines", now).unwrap_err();
        assert!(wait <= Duration::from_millis(17), "{wait:?}");
        rates.take("omar", now).unwrap();
        let later = now + jiff::SignedDuration::from_secs(1);
        for _ in 0..EACH_SECOND {
            rates.take("ines", later).unwrap();
        }
        rates.take("ines", later).unwrap_err();
    }
}
