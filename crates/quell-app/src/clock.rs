//! The only place that reads the wall clock.

use jiff::Timestamp;

/// The wall clock, in whole microseconds.
#[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
