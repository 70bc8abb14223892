//! What separates sessions of the old password from later ones, when both are the same user's.
//!
//! Redis tells the age of a session in whole seconds only, and by a clock that can be set; but its connections are numbered in the order in
//! which they began (<https://redis.io/docs/latest/commands/client-id/>). Numbers begin anew when a server does, which `run_id` of
//! `INFO server` tells: within one run the number decides, and across runs the age.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::reply::Session;
use crate::fleet;

/// As text: `number@run`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    /// Of a connection that began after the change.
    pub(super) id: u64,
    /// Of which run of the server; older cutoffs do not tell.
    pub(super) run: Option<String>,
}

pub(super) type Cutoff = fleet::Cutoff<Bound>;

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.run {
            Some(run) => write!(f, "{}@{run}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl FromStr for Bound {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, run) = text.split_once('@').map_or((text, None), |(id, run)| (id, Some(run.to_owned())));
        Ok(Self { id: id.parse()?, run })
    }
}

/// A node as it is now.
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) run: String,
}

/// Whether a session of a node may have been opened before.
pub(super) fn may_be_before(cutoff: &Cutoff, node: &str, session: &Session, now: &Now) -> bool {
    let bound = cutoff.each.get(node);
    if let Some(Bound { id, run: Some(run) }) = bound
        && *run == now.run
    {
        return session.id <= *id;
    }
    if bound.is_some_and(|bound| bound.run.is_none() && session.id > bound.id) {
        return false;
    }
    let began = now.at.saturating_sub(SignedDuration::from_secs(session.age.saturating_add(1)));
    // An age that no clock can have is that of a session that began long ago.
    began.is_ok_and(|began| began < cutoff.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_old_by_its_number_and_across_runs_by_its_age() {
        let text = "2026-03-02T10:00:00.5Z [::1]:7=20@ab b:8=3";
        let cutoff: Cutoff = text.parse().unwrap();
        assert_eq!(cutoff.to_string(), text);
        let old = |node: &str, id: u64, age: i64, (at, run): (&str, &str)| {
            let session = Session { id, user: "orders".to_owned(), age, is_replica: false };
            may_be_before(&cutoff, node, &session, &Now { at: at.parse().unwrap(), run: run.to_owned() })
        };
        let (soon, later) = ("2026-03-02T10:00:01Z", "2026-03-02T10:05:00Z");
        assert!(old("[::1]:7", 19, 0, (soon, "ab")), "within the same second, made before");
        assert!(!old("[::1]:7", 21, 0, (soon, "ab")), "within the same second, made after");
        assert!(old("[::1]:7", 20, -58, (later, "ab")), "whatever the clock says");
        assert!(old("c:9", 21, 0, (soon, "ab")), "of a node without a number the age decides");
        // After a restart numbers are low again.
        assert!(!old("[::1]:7", 2, 30, (later, "cd")) && old("[::1]:7", 99, 400, (later, "cd")));
        assert!(old("b:8", 2, i64::MAX, (later, "cd")) && !old("b:8", 4, i64::MAX, (later, "cd")));
    }
}
