//! Hunts through logs that are made here.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod chain;
mod clock;
mod cross;
mod hunt;
mod shard;
mod vsync;
mod world;
