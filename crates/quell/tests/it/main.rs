//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod cli;
mod drill;
mod evidence;
mod fault;
mod fault_disk;
mod hostile;
mod hygiene;
mod inventory;
mod kill;
mod respond;
mod scan;
mod search;
mod token;
mod world;
