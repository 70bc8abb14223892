//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what a test does not expect ends it"
)]

mod api;
mod bucket;
mod chaos;
mod cli;
mod dist;
mod door;
mod drill;
mod evidence;
mod fault;
mod fault_disk;
mod gate;
mod handover;
mod hostile;
mod hunt;
mod hunt_database;
mod hunt_engine;
mod hunt_hostile;
mod hunt_resume;
mod hygiene;
mod ingest;
mod intake;
mod intake_remote;
mod inventory;
mod kill;
mod kill_key;
mod kill_words;
mod kinds;
mod leases;
mod notices;
mod provider;
mod reach;
mod replicas;
mod respond;
mod room;
mod scan;
mod scan_results;
mod search;
mod state;
mod telemetry;
mod terminal;
mod token;
mod world;
