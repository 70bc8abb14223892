//! End to end: the real binary, a real PostgreSQL, a real OpenBao, real consumer processes.

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
mod world;
