//! What logs do not say of themselves, and the people who have them do.

use jiff::tz::TimeZone;

/// All of it may be left out: less is understood then, and nothing is guessed.
#[derive(Debug, Default)]
pub struct Hints {
    /// The zone of times that have none.
    pub zone: Option<TimeZone>,
}
