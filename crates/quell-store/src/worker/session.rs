//! The lock of a PostgreSQL session, kept on a connection of its own: neither a full pool nor a slow query holds up
//! the looks at it.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::task::JoinHandle;

use super::{Lease, Right, awake, key_of};
use crate::StoreError;

const TAKE: &str = "SELECT pg_try_advisory_lock($1)";

/// Looks without touching: taking a lock to see whether it is free would look held to whoever looks meanwhile. An
/// advisory lock's 64-bit key is shown in two halves (`pg_locks`, PostgreSQL 18 manual, 54.12, read 2026-11-23).
const HELD: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted \
    AND l.classid::bigint = $1 AND l.objid::bigint = $2)";

/// The two halves of a key as `pg_locks` shows them, as unsigned numbers.
fn halves(worker: &str) -> (i64, i64) {
    let key = key_of(worker);
    ((key >> 32) & 0xffff_ffff, key & 0xffff_ffff)
}

pub(super) async fn is_held(pool: &PgPool, worker: &str) -> Result<bool, StoreError> {
    let (high, low) = halves(worker);
    Ok(sqlx::query_scalar(HELD).bind(high).bind(low).fetch_one(pool).await?)
}

/// A lock and the task that keeps it.
#[derive(Debug)]
pub(super) struct Session {
    right: Right,
    keeper: JoinHandle<()>,
}

impl Session {
    pub(super) async fn start(pool: &PgPool, worker: &str, lease: Lease) -> Result<Self, StoreError> {
        let options = pool.connect_options();
        let seen = awake();
        let connection = connect(&options, worker).await?;
        let right = Right::from(seen, lease);
        let keep = keep(Some(connection), options, worker.to_owned(), right.clone(), lease);
        Ok(Self { right, keeper: tokio::spawn(keep) })
    }

    pub(super) fn right(&self) -> Right {
        self.right.clone()
    }

    /// Gives the lock back: the connection ends with its task.
    pub(super) fn end(&self) {
        self.right.end();
        self.keeper.abort();
    }
}

async fn connect(options: &PgConnectOptions, worker: &str) -> Result<PgConnection, StoreError> {
    let mut connection = PgConnection::connect_with(options).await?;
    crate::db::set_session(&mut connection).await?;
    if sqlx::query_scalar::<_, bool>(TAKE).bind(key_of(worker)).fetch_one(&mut connection).await? {
        Ok(connection)
    } else {
        // Our own earlier session, which the server has not given up yet. It is tried again.
        Err(StoreError::Ledger(format!("the lock of {worker} is held by another session")))
    }
}

/// Looks at the lock until the right has ended, and takes it again in time when its session was lost.
async fn keep(
    mut connection: Option<PgConnection>,
    options: Arc<PgConnectOptions>,
    worker: String,
    right: Right,
    lease: Lease,
) {
    while right.holds() {
        tokio::time::sleep(lease.ping).await;
        let asked = awake();
        // The session is what holds the lock, so a session that answers holds it.
        let look = async {
            match connection.take() {
                Some(mut held) => match held.ping().await {
                    Ok(()) => Some(held),
                    Err(_lost) => None,
                },
                None => connect(&options, &worker).await.ok(),
            }
        };
        if let Ok(Some(held)) = tokio::time::timeout(lease.held, look).await {
            right.extend(asked, lease);
            connection = Some(held);
        }
    }
    right.end();
}
