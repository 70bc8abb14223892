//! Keeps events, checkpoints and sealed values in SQLite or PostgreSQL: one SQL text and one Rust body for both.
//!
//! Invariants: an entry, its tree nodes, its signed checkpoint and the values sealed with it are written in one
//! transaction; nothing is ever updated but the wrapping of data keys, the queue of deliveries and what is computed from entries (`projection`);
//! nothing here decides anything.

mod asked;
mod db;
mod error;
mod inbox;
mod keys;
mod lapsing;
mod ledger;
mod portable;
mod projection;
mod sealed;
mod spoken;
mod tick;
mod verify;
mod worker;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use db::Db;
pub use error::StoreError;
pub use inbox::{Arrival, Deliveries, Delivery, DeliveryState, Put, TryEnded};
pub use keys::{KekSource, Keyring, SignedSince};
pub use lapsing::Lapsing;
pub use ledger::{Batch, NewEntry};
pub use portable::{Backup, Manifest, Moved, Pause, Restore, Restored, Sum, backup, move_to, restore};
pub use projection::{IncidentRow, Mention, Reach, Wanted};
pub use sealed::Sealed;
pub use tick::Tick;
pub use verify::LedgerReport;
pub use worker::{Lease, Right, Watch, WorkerGuard, awake};

use quell_ledger::SigningKey;
use quell_ledger::tree::Frontier;

/// An opened installation: state, keys, and the right to append.
#[derive(Debug)]
pub struct Store {
    pub(crate) db: Db,
    pub(crate) keys: Keyring,
    /// The newest frontier seen; used only while its size is the ledger's.
    pub(crate) frontier: tokio::sync::Mutex<Frontier>,
    /// What was seen of the locks of others who work the inbox off.
    pub(crate) watch: tokio::sync::Mutex<Watch>,
    /// For workers.
    pub(crate) lease: Lease,
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
