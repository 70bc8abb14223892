//! Which workers are alive? Answered by a lock that dies with the process, so that a crash is noticed at once.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use crate::{Db, Store, StoreError};

/// Held for as long as the worker lives.
#[derive(Debug)]
pub struct WorkerGuard {
    /// The worker's id: `w-` and random hex.
    pub id: String,
    lock: Lock,
}

#[derive(Debug)]
enum Lock {
    File { _held: File, path: PathBuf },
    Session(Box<PoolConnection<Postgres>>),
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        match &mut self.lock {
            // Best effort: a left-over file with nobody holding its lock means "dead" just as well.
            Lock::File { path, .. } => drop(std::fs::remove_file(path)),
            Lock::Session(connection) => connection.close_on_drop(),
        }
    }
}

fn key_of(worker: &str) -> i64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(worker.as_bytes());
    let mut bytes = [0_u8; 8];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    i64::from_be_bytes(bytes)
}

impl Store {
    /// Registers this process as a worker.
    pub async fn become_worker(&self) -> Result<WorkerGuard, StoreError> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
        let id = format!("w-{}", hex::encode(random));
        let lock = match &self.db {
            Db::Sqlite(_, folder) => {
                let folder = folder.join("workers");
                std::fs::create_dir_all(&folder).map_err(|e| StoreError::io(&folder, e))?;
                let path = folder.join(&id);
                let file = File::create(&path).map_err(|e| StoreError::io(&path, e))?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)
                    .map_err(|e| StoreError::io(&path, e.into()))?;
                Lock::File { _held: file, path }
            }
            Db::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                sqlx::query("SELECT pg_advisory_lock($1)")
                    .bind(key_of(&id))
                    .execute(&mut *connection)
                    .await?;
                Lock::Session(Box::new(connection))
            }
        };
        Ok(WorkerGuard { id, lock })
    }

    /// Is that worker alive? When in doubt, yes: its deadline will tell.
    pub async fn is_alive(&self, worker: &str) -> Result<bool, StoreError> {
        match &self.db {
            Db::Sqlite(_, folder) => {
                // The id comes from the ledger; never let it name another file.
                if !worker.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return Ok(false);
                }
                let path = folder.join("workers").join(worker);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                    // No right, no descriptor left: that says nothing about the other process.
                    Err(_) => return Ok(true),
                };
                if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                    return Ok(true);
                }
                drop(std::fs::remove_file(&path));
                Ok(false)
            }
            Db::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let free = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
                    .bind(key_of(worker))
                    .fetch_one(&mut *connection)
                    .await?;
                if free {
                    sqlx::query("SELECT pg_advisory_unlock($1)")
                        .bind(key_of(worker))
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(!free)
            }
        }
    }
}
