//! Keeps events, checkpoints and sealed values in SQLite or PostgreSQL: one SQL text and one Rust body for both.
//!
//! Invariants: an entry, its tree nodes, its signed checkpoint and the values sealed with it are written in one
//! transaction; nothing is ever updated but the wrapping of data keys and the queue of deliveries; nothing here decides anything.

mod db;
mod error;
mod inbox;
mod keys;
mod ledger;
mod sealed;
mod verify;
mod worker;

#[cfg(test)]
mod tests;

pub use db::Db;
pub use error::StoreError;
pub use inbox::{Arrival, Delivery, DeliveryState, Put, TryEnded};
pub use keys::{KekSource, Keyring, SignedSince};
pub use ledger::{Batch, NewEntry};
pub use sealed::Sealed;
pub use verify::LedgerReport;
pub use worker::WorkerGuard;

use quell_ledger::SigningKey;
use quell_ledger::tree::Frontier;

/// An opened installation: state, keys, and the right to append.
#[derive(Debug)]
pub struct Store {
    pub(crate) db: Db,
    pub(crate) keys: Keyring,
    /// The newest frontier seen; used only while its size is the ledger's.
    pub(crate) frontier: tokio::sync::Mutex<Frontier>,
}

impl Store {
    /// The keys of this installation.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The key that signs checkpoints now.
    pub fn signing_key(&self) -> &SigningKey {
        &self.keys.signing
    }

    /// The ledger's name: `quell/<install-id>/ledger/1`.
    pub fn origin(&self) -> &str {
        self.keys.signing.verifier().name()
    }
}
