//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

mod drill;
mod hygiene;
mod inventory;
mod kill;
mod respond;
mod scan;
mod search;
mod world;
