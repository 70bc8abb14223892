//! One response: its state as a fold over events, and what may be decided about it.

pub mod alarm;
mod closure;
mod decide;
mod inertness;
pub mod notice;
pub mod post_mortem;
mod role;
mod state;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;

pub use closure::{never_valid, unmet};
pub use decide::{
    OpenIncident, RefusedBecause, close, distrust, expose, hold, item_done, open, reassess, resume, signal,
    widen,
};
pub use inertness::{Inert, Inertness, inertness};
pub use notice::NEXT_UPDATE;
pub use post_mortem::Section;
pub use role::RoomRole;
pub use state::{ActionItem, Clock, ClockState, DISTRUSTED, Incident, Status};
pub use task::TaskEnd;
