//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

mod hygiene;
mod kill;
mod respond;
mod search;
mod world;
