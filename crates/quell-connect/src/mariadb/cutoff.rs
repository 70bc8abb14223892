//! What separates sessions of the old password from later ones, when both are the same user's.
//!
//! MariaDB does not tell when a session began: `TIME` is that of its last statement. But connections are numbered in the order in which
//! they began (<https://mariadb.com/kb/en/connection_id/>). Numbers begin anew when the server does; then every session began later.
//!
//! As text: the time, then the number.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// The server's clock, and a connection that began at that time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) id: u64,
    /// Whole seconds.
    pub(super) uptime: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cutoff {
    /// After the change.
    pub(super) at: Timestamp,
    /// A connection that began after the change.
    pub(super) id: u64,
}

impl Cutoff {
    /// Whether a session, seen at `now`, may have been opened before.
    pub(super) fn may_be_before(&self, id: u64, now: Now) -> bool {
        // The uptime is cut to whole seconds: the server may have started up to one earlier than it seems, never later.
        let uptime = SignedDuration::from_secs(now.uptime.saturating_add(1));
        let restarted = now.at.checked_sub(uptime).is_ok_and(|start| start > self.at);
        !restarted && id <= self.id
    }
}

impl From<Now> for Cutoff {
    fn from(now: Now) -> Self {
        Self { at: now.at, id: now.id }
    }
}

impl fmt::Display for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.id)
    }
}

impl FromStr for Cutoff {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ODD: &str = "it is not an RFC 3339 time and a connection's number";
        let (at, id) = text.split_once(' ').ok_or(ODD)?;
        Ok(Self { at: at.parse().map_err(|_e| ODD)?, id: id.parse().map_err(|_e| ODD)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_old_by_its_number_unless_the_server_began_anew() {
        let cutoff: Cutoff = "2026-03-02T10:00:00.5Z 20".parse().unwrap();
        assert_eq!(cutoff.to_string().parse(), Ok(cutoff));
        let old = |id: u64, at: &str, uptime: i64| {
            cutoff.may_be_before(id, Now { at: at.parse().unwrap(), id: 99, uptime })
        };
        let later = "2026-03-02T10:05:00Z";
        assert!(old(19, later, 5000) && old(20, later, 5000) && !old(21, later, 5000));
        assert!(!old(3, later, 60), "numbers are low again after a restart");
        assert!(old(3, later, 299), "within the same second it is not known, and ended to be sure");
        assert!(old(3, later, i64::MAX));
        for odd in ["", "yesterday 1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z x"] {
            assert!(odd.parse::<Cutoff>().is_err(), "{odd}");
        }
    }
}
