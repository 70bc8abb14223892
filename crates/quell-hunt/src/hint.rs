//! What logs do not say of themselves, and the people who have them do.

use jiff::tz::TimeZone;
use quell_core::secret::SecretValue;

use crate::mapping::Mapping;

/// All of it may be left out: less is understood then, and nothing is guessed.
#[derive(Debug, Default)]
pub struct Hints {
    /// The zone of times that have none.
    pub zone: Option<TimeZone>,
    /// How logs are read that no format knows.
    pub mapping: Option<Mapping>,
    /// What records of `TradePulse` may be signed with (see [`crate::chain`]).
    pub record_keys: Vec<SecretValue>,
}
