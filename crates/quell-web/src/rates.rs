//! How often one caller may ask: a bucket for each, so that a loop of one person's does not keep the others out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use quell_core::Timestamp;

use crate::listen::{Peer, network};
use crate::problem::Problem;
use crate::server::Server;

/// Callers that are remembered; those with a full bucket are forgotten first.
const CALLERS: usize = 10_000;

/// How much, and how fast it comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// At once, when nothing was asked for a while.
    pub(crate) burst: u32,
    /// A second, from then on.
    pub(crate) each_second: f64,
}

/// What programs ask, each.
pub(crate) const API: Rate = Rate { burst: 600, each_second: 60.0 };
/// Tries to sign in, from each address: people mistype a code, programs guess.
pub(crate) const SIGN_IN: Rate = Rate { burst: 30, each_second: 0.5 };
/// Reports of one person.
pub(crate) const REPORT: Rate = Rate { burst: 20, each_second: 0.2 };
/// Deliveries that were not accepted, from each address. Those that were are not counted: a sender may have a storm to tell of.
pub(crate) const DENIED: Rate = Rate { burst: 30, each_second: 1.0 };

/// Tokens that were not good, from each address.
pub(crate) const TOKEN: Rate = Rate { burst: 30, each_second: 0.5 };

/// What each caller has left.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: Rate,
    left: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Rate {
    fn filled(self, bucket: Bucket, now: Timestamp) -> Bucket {
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        let left = (bucket.left + passed * self.each_second).min(f64::from(self.burst));
        Bucket { left, at: now }
    }
}

impl Rates {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, left: Mutex::default() }
    }

    /// One request of a caller's. `Err` says how long to wait.
    pub(crate) fn take(&self, caller: &str, now: Timestamp) -> Result<(), Duration> {
        self.look(caller, now, 1.0)
    }

    /// The same for an address; one that is not known is not counted.
    pub(crate) fn take_from(&self, origin: Option<&str>, now: Timestamp) -> Result<(), Duration> {
        origin.map_or(Ok(()), |origin| self.take(origin, now))
    }

    /// Could they ask now? Takes nothing.
    pub(crate) fn allows(&self, caller: &str, now: Timestamp) -> Result<(), Duration> {
        self.look(caller, now, 0.0)
    }

    fn look(&self, caller: &str, now: Timestamp, costs: f64) -> Result<(), Duration> {
        let (rate, burst) = (self.rate, f64::from(self.rate.burst));
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.get(caller).copied().unwrap_or(Bucket { left: burst, at: now });
        let mut bucket = rate.filled(bucket, now);
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / rate.each_second));
        }
        if costs > 0.0 {
            bucket.left -= costs;
            if all.len() >= CALLERS {
                all.retain(|_, bucket| rate.filled(*bucket, now).left < burst);
            }
            all.insert(caller.to_owned(), bucket);
        }
        Ok(())
    }
}

/// The address that a request came from, for counting. Behind a proxy it is what the proxy says last; who reaches the server past the
/// proxy can say what they like, and gain nothing but to be counted as somebody else. None behind a proxy that does not say: all of its
/// callers as one would let each of them keep the others out.
pub(crate) fn origin(server: &Server, request: &Request) -> Option<String> {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let last = || -> Option<IpAddr> {
        let all = request.headers().get_all("x-forwarded-for");
        all.iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    let from = if server.is_behind_a_proxy() { last() } else { peer };
    from.map(|ip| network(ip.to_canonical()).to_string())
}

/// Not now.
pub(crate) fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let problem =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "you ask more often than this server answers one caller")
            .hint(format!("ask again after {seconds} s"));
    let mut response = problem.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_is_slowed_down_and_the_others_are_not() {
        let rates = Rates::new(API);
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
        for _ in 0..API.burst {
            rates.take("ines", now).unwrap();
        }
        let wait = rates.take("ines", now).unwrap_err();
        assert!(wait <= Duration::from_millis(17), "{wait:?}");
        rates.take("omar", now).unwrap();
        let later = now + jiff::SignedDuration::from_secs(1);
        for _ in 0..60 {
            rates.take("ines", later).unwrap();
        }
        rates.take("ines", later).unwrap_err();
    }

    #[test]
    fn to_look_costs_nothing_and_who_asks_slowly_is_forgotten() {
        let rates = Rates::new(DENIED);
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
        for _ in 0..100 {
            rates.allows("one", now).unwrap();
        }
        for _ in 0..DENIED.burst {
            rates.take("one", now).unwrap();
        }
        rates.allows("one", now).unwrap_err();
        let later = now + jiff::SignedDuration::from_mins(1);
        for n in 0..=CALLERS {
            rates.take(&n.to_string(), later).unwrap();
        }
        assert!(!rates.left.lock().unwrap().contains_key("one"), "its bucket is full again");
    }
}
