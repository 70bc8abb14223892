//! What separates sessions of the old password from later ones, when both are the same user's.
//!
//! Redis tells the age of a session in whole seconds only, but its connections are numbered in the order in which they began
//! (<https://redis.io/docs/latest/commands/client-id/>). Numbers begin anew when a server does, so both are needed: a session is an old one
//! only if its number is lower than that of a connection made after the change, and if it may have begun before that.

use jiff::{SignedDuration, Timestamp};

use super::reply::Session;
use crate::fleet::Cutoff;

/// Whether a session of a node, whose time is `now`, may have been opened before.
pub(super) fn may_be_before(cutoff: &Cutoff<u64>, node: &str, session: &Session, now: Timestamp) -> bool {
    if cutoff.each.get(node).is_some_and(|id| session.id > *id) {
        return false;
    }
    let began = now.saturating_sub(SignedDuration::from_secs(session.age.saturating_add(1)));
    // An age that no clock can have is that of a session that began long ago.
    began.is_ok_and(|began| began < cutoff.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_old_by_its_number_and_its_age() {
        let cutoff: Cutoff<u64> = "2026-03-02T10:00:00.5Z [::1]:7=20 b:8=3".parse().unwrap();
        let old = |node: &str, id: u64, age: i64, now: &str| {
            let session = Session { id, user: "orders".to_owned(), age };
            may_be_before(&cutoff, node, &session, now.parse().unwrap())
        };
        let soon = "2026-03-02T10:00:01Z";
        assert!(old("[::1]:7", 19, 0, soon), "within the same second, made before");
        assert!(!old("[::1]:7", 21, 0, soon), "within the same second, made after");
        assert!(old("c:9", 21, 0, soon), "of a node without a number the age decides");
        // After a restart numbers are low again.
        assert!(!old("[::1]:7", 2, 30, "2026-03-02T10:05:00Z"));
        assert!(old("b:8", 2, i64::MAX, "2026-03-02T10:05:00Z"));
    }
}
