//! Which trace our calls belong to, when somebody keeps traces.

use std::sync::OnceLock;

/// Says where the caller is, as `traceparent` has it (W3C Trace Context).
type Place = fn() -> Option<String>;

static PLACE: OnceLock<Place> = OnceLock::new();

/// From here on every call carries the header. The first word holds, for the whole process, like the subscriber of `tracing` that it asks.
pub fn carry(place: Place) {
    PLACE.get_or_init(|| place);
}

/// The header of a call that is made now; none while nobody keeps traces.
pub(crate) fn parent() -> Option<String> {
    PLACE.get().and_then(|place| place())
}
