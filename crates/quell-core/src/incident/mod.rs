//! One response: its state as a fold over events, and what may be decided about it.

mod closure;
mod decide;
mod state;

pub use closure::{never_valid, unmet};
pub use decide::{OpenIncident, RefusedBecause, close, expose, item_done, open, reassess, signal};
pub use state::{ActionItem, Clock, ClockState, Incident, Status};
