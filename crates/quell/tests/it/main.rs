//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

mod kill;
mod respond;
mod world;
