//! The domain of Quell: pure, sans-IO.
//!
//! Every fact is an [`event`]; every state is a fold over events; every decision is a pure function of
//! (state, command, `now`). This crate performs no I/O, reads no clock, no environment and no random source:
//! all of them are arguments.
//!
//! Map: [`secret`] (values and fingerprints), [`inventory`] (what exists), [`severity`] and [`exposure`]
//! (how bad), [`person`] (who may do what), [`gate`] (what would have
//! stopped it), [`incident`] (one response), [`plan`] (what will be done, and the machine that does it),
//! [`outcome`] (what connectors report).

pub mod event;
pub mod exposure;
pub mod gate;
pub mod id;
pub mod incident;
pub mod inventory;
pub mod issuer;
pub mod json;
pub mod outcome;
pub mod person;
pub mod plan;
pub mod secret;
pub mod severity;

pub use id::{IncidentId, SecretId, StepId};
pub use jiff::{SignedDuration, Timestamp};
