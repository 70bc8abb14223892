//! The only place that reads the wall clock.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The wall clock, in whole microseconds.
#[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Time that only goes forward, however the wall clock jumps: a plan must not stand still for an hour because the
/// clock was set back by one.
#[derive(Debug, Default)]
pub struct Forward {
    held: Option<(Timestamp, Instant)>,
    offset: SignedDuration,
}

impl Forward {
    /// The clock of somebody whom several processes agree on; `offset` is how far it is ahead of ours.
    pub fn ahead(offset: SignedDuration) -> Self {
        Self { held: None, offset }
    }

    /// The wall clock, unless `last` (the newest entry of the ledger) is ahead of it: then `last` plus the time
    /// that really went by since that was noticed.
    pub fn now(&mut self, last: Timestamp) -> Timestamp {
        self.at(now(), last, ticks())
    }

    fn at(&mut self, wall: Timestamp, last: Timestamp, ticks: Instant) -> Timestamp {
        let since = |anchor: (Timestamp, Instant)| {
            let gone =
                SignedDuration::try_from(ticks.duration_since(anchor.1)).unwrap_or(SignedDuration::MAX);
            anchor.0.checked_add(gone).unwrap_or(Timestamp::MAX)
        };
        let wall = wall.checked_add(self.offset).unwrap_or(wall);
        let held = self.held.map_or(wall, since).max(wall);
        if last > held {
            self.held = Some((last, ticks));
            return last;
        }
        if self.held.is_none() {
            self.held = Some((wall, ticks));
        }
        held
    }
}

/// How long something takes, by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Since(Instant);

impl Since {
    /// From now on.
    pub fn now() -> Self {
        Self(ticks())
    }

    /// Until now.
    pub fn passed(self) -> std::time::Duration {
        ticks().duration_since(self.0)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where elapsed time comes in")]
fn ticks() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_when_the_clock_is_set_back() {
        let t = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let start = ticks();
        let mut time = Forward::default();
        assert_eq!(time.at(t(0), t(0), start), t(0));
        assert_eq!(
            time.at(t(-3600), t(0), start + Duration::from_secs(5)),
            t(5),
            "an hour back, five seconds later"
        );
        assert_eq!(time.at(t(60), t(0), start + Duration::from_secs(6)), t(60), "forward again");
        assert_eq!(
            time.at(t(61), t(500), start + Duration::from_secs(7)),
            t(500),
            "somebody else's clock is ahead"
        );
        assert_eq!(time.at(t(62), t(500), start + Duration::from_secs(8)), t(501));
    }

    #[test]
    fn a_clock_that_is_an_hour_behind_is_set_right() {
        let t = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let start = ticks();
        let mut time = Forward::ahead(SignedDuration::from_hours(1));
        assert_eq!(time.at(t(0), t(3600), start), t(3600));
        assert_eq!(time.at(t(5), t(3600), start + Duration::from_secs(5)), t(3605));
    }
}
