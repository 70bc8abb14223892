//! What separates sessions of the old password from later ones, when both are the same user's.
//!
//! Redis tells the age of a session in whole seconds only, but its connections are numbered in the order in which they began
//! (<https://redis.io/docs/latest/commands/client-id/>). Numbers begin anew when a server does, so both are needed: a session is an old one
//! only if its number is lower than that of a connection made after the change, and if it may have begun before that.
//!
//! As text: the time, then `node=number` for each node.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::reply::Session;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cutoff {
    /// The latest time of any node after the change.
    pub(super) at: Timestamp,
    /// For each node a connection that began after the change.
    pub(super) ids: BTreeMap<String, u64>,
}

impl Cutoff {
    /// Whether a session of a node, whose time is `now`, may have been opened before.
    pub(super) fn may_be_before(&self, node: &str, session: &Session, now: Timestamp) -> bool {
        if self.ids.get(node).is_some_and(|id| session.id > *id) {
            return false;
        }
        let began = now.saturating_sub(SignedDuration::from_secs(session.age.saturating_add(1)));
        // An age that no clock can have is that of a session that began long ago.
        began.is_ok_and(|began| began < self.at)
    }
}

impl fmt::Display for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        self.ids.iter().try_for_each(|(node, id)| write!(f, " {node}={id}"))
    }
}

impl FromStr for Cutoff {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let at =
            words.next().and_then(|at| at.parse().ok()).ok_or("it does not begin with an RFC 3339 time")?;
        let ids = words.map(|word| {
            let (node, id) = word.rsplit_once('=')?;
            Some((node.to_owned(), id.parse().ok()?))
        });
        let ids = ids.collect::<Option<_>>().ok_or("a part of it is not node=number")?;
        Ok(Self { at, ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_old_by_its_number_and_its_age() {
        let cutoff: Cutoff = "2026-03-02T10:00:00.5Z [::1]:7=20 b:8=3".parse().unwrap();
        assert_eq!(cutoff.to_string().parse(), Ok(cutoff.clone()));
        let old = |node: &str, id: u64, age: i64, now: &str| {
            let session = Session { id, user: "orders".to_owned(), age };
            cutoff.may_be_before(node, &session, now.parse().unwrap())
        };
        let soon = "2026-03-02T10:00:01Z";
        assert!(old("[::1]:7", 19, 0, soon), "within the same second, made before");
        assert!(!old("[::1]:7", 21, 0, soon), "within the same second, made after");
        assert!(old("c:9", 21, 0, soon), "of a node without a number the age decides");
        // After a restart numbers are low again.
        assert!(!old("[::1]:7", 2, 30, "2026-03-02T10:05:00Z"));
        assert!(old("b:8", 2, i64::MAX, "2026-03-02T10:05:00Z"));
        for odd in ["", "yesterday", "2026-03-02T10:00:00Z x", "2026-03-02T10:00:00Z x=y"] {
            assert!(odd.parse::<Cutoff>().is_err(), "{odd}");
        }
    }
}
