//! Which workers are alive? Answered by a lock that dies with the process, so that a crash is noticed at once.
//!
//! A file lock cannot be lost by a process that lives. The lock of a PostgreSQL session can: the server restarts, the
//! connection is cut, the machine sleeps. So on PostgreSQL the lock is a lease. A worker may act for [`Lease::held`]
//! after it last saw its lock held, by a clock that goes on while the process or the machine sleeps; others count it as
//! gone when they have seen the lock free for longer than that. Whoever wakes later finds that its [`Right`] has ended.

mod session;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::{Db, Store, StoreError};

use self::session::Session;

/// How long a worker may act on what it last saw of its lock.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// From the last look that found the lock held.
    pub held: Duration,
    /// Between two looks.
    pub ping: Duration,
    /// What others wait beyond `held`, for clocks that do not go equally fast.
    pub margin: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            held: Duration::from_secs(5),
            ping: Duration::from_millis(500),
            margin: Duration::from_secs(1),
        }
    }
}

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
    Session(Session),
}

impl WorkerGuard {
    /// The right to act as this worker.
    pub fn right(&self) -> Right {
        match &self.lock {
            Lock::File { .. } => Right(None),
            Lock::Session(session) => session.right(),
        }
    }
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        match &self.lock {
            // Best effort: a left-over file with nobody holding its lock means "dead" just as well.
            Lock::File { path, .. } => drop(std::fs::remove_file(path)),
            Lock::Session(session) => session.end(),
        }
    }
}

/// The right to act as a worker; ends for good when others may count the worker as gone.
#[derive(Clone, Debug)]
pub struct Right(Option<Arc<AtomicU64>>);

impl Right {
    /// A lease that was seen at a moment.
    fn from(seen: Duration, lease: Lease) -> Self {
        Self(Some(Arc::new(AtomicU64::new(millis(seen.saturating_add(lease.held))))))
    }

    /// May it still act? Costs a look at a clock; ask before every call.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_none_or(|until| millis(awake()) < until.load(Ordering::Acquire))
    }

    /// The lock was seen held at that moment. What has ended does not begin again.
    fn extend(&self, seen: Duration, lease: Lease) {
        if let Some(until) = &self.0
            && self.holds()
        {
            until.fetch_max(millis(seen.saturating_add(lease.held)), Ordering::AcqRel);
        }
    }

    fn end(&self) {
        if let Some(until) = &self.0 {
            until.store(0, Ordering::Release);
        }
    }
}

/// Time that goes on while the process is stopped and while the machine sleeps.
pub fn awake() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What one process has seen of the locks of others.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<String, Duration>);

impl Watch {
    /// Is that worker gone for good? On PostgreSQL only when its lock was free for as long as it may still act.
    pub async fn is_gone(&mut self, store: &Store, worker: &str) -> Result<bool, StoreError> {
        if store.is_alive(worker).await? {
            self.0.remove(worker);
            return Ok(false);
        }
        Ok(match &store.db {
            Db::Sqlite(..) => true,
            Db::Postgres(_) => {
                // The moment after the answer: the lock was free no later than that.
                let now = awake();
                let since = *self.0.entry(worker.to_owned()).or_insert(now);
                now.saturating_sub(since) >= store.lease.held + store.lease.margin
            }
        })
    }

    /// The database was away: a lock that was free before may have been held meanwhile.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

pub(crate) fn key_of(worker: &str) -> i64 {
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
                // Held until the worker can be seen: nobody who keeps the gate shut finds that there is none while one begins.
                let _gate = gate(folder, FlockOperation::NonBlockingLockShared)?;
                let folder = folder.join("workers");
                std::fs::create_dir_all(&folder).map_err(|e| StoreError::io(&folder, e))?;
                let path = folder.join(&id);
                let file = File::create(&path).map_err(|e| StoreError::io(&path, e))?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)
                    .map_err(|e| StoreError::io(&path, e.into()))?;
                Lock::File { _held: file, path }
            }
            Db::Postgres(pool) => Lock::Session(Session::start(pool, &id, self.lease).await?),
        };
        Ok(WorkerGuard { id, lock })
    }

    /// Is that worker's lock held? When in doubt, yes: its deadline will tell.
    pub async fn is_alive(&self, worker: &str) -> Result<bool, StoreError> {
        match &self.db {
            Db::Sqlite(_, folder) => Ok(file_is_held(folder, worker)),
            Db::Postgres(pool) => session::is_held(pool, worker).await,
        }
    }
}

/// File by which a move keeps workers out.
const GATE: &str = "workers.gate";

/// Keeps workers out of an embedded installation until it is dropped. Those that are at it already are seen afterwards, by [`live`].
pub(crate) fn keep_out(folder: &Path) -> Result<File, StoreError> {
    gate(folder, FlockOperation::LockExclusive)
}

fn gate(folder: &Path, how: FlockOperation) -> Result<File, StoreError> {
    let path = folder.join(GATE);
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| StoreError::io(&path, e))?;
    match flock(&file, how) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(vec!["`quell move`".to_owned()])),
        Err(error) => Err(StoreError::io(&path, error.into())),
    }
}

/// The living workers of an embedded installation. A shared one cannot list them.
pub(crate) fn live(folder: &Path) -> Vec<String> {
    let mut live = Vec::new();
    let Ok(found) = std::fs::read_dir(folder.join("workers")) else { return live };
    for entry in found.flatten() {
        if let Some(name) = entry.file_name().to_str()
            && file_is_held(folder, name)
        {
            live.push(name.to_owned());
        }
    }
    live.sort();
    live
}

/// Is the lock on a worker's file held? What cannot be judged is.
fn file_is_held(folder: &Path, worker: &str) -> bool {
    // The id comes from the ledger; never let it name another file.
    if !worker.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return false;
    }
    let path = folder.join("workers").join(worker);
    let file = match File::open(&path) {
        Ok(file) => file,
        // No right, no descriptor left: that says nothing about the other process.
        Err(e) => return e.kind() != std::io::ErrorKind::NotFound,
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return true;
    }
    drop(std::fs::remove_file(&path));
    false
}

#[cfg(test)]
mod tests;
