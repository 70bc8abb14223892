//! Opens the database: SQLite in the data folder, or PostgreSQL for a team.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgConnection, PgPool, SqlitePool};

use crate::StoreError;

/// One of two databases.
#[derive(Clone, Debug)]
pub enum Db {
    /// Embedded, with the folder it lies in.
    Sqlite(SqlitePool, PathBuf),
    /// Shared.
    Postgres(PgPool),
}

/// Runs the same body against whichever database is open.
macro_rules! on_db {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite($pool, _) => $body,
            $crate::db::Db::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_db;

/// Runs the same body in a write transaction that excludes every other writer, and commits when it ends well.
macro_rules! in_write {
    ($db:expr, $tx:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite(pool, _) => {
                let mut $tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let out = $body;
                $tx.commit().await?;
                out
            }
            $crate::db::Db::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock(7020094)").execute(&mut *$tx).await?;
                let out = $body;
                $tx.commit().await?;
                out
            }
        }
    };
}
pub(crate) use in_write;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The newest version of the schema that this program knows.
pub(crate) fn newest() -> i64 {
    SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(15);

impl Db {
    /// `url` is `postgres://…`, or none for SQLite in `folder`. Brings the schema up to date.
    pub async fn open(folder: &Path, url: Option<&str>) -> Result<Self, StoreError> {
        let db = Self::connect(folder, url).await?;
        db.migrate(None).await?;
        Ok(db)
    }

    /// The same, and leaves the schema as it is: for a backup before an upgrade.
    pub async fn connect(folder: &Path, url: Option<&str>) -> Result<Self, StoreError> {
        Ok(match url {
            Some(url) => Self::Postgres(open_postgres(url).await?),
            None => Self::Sqlite(open_sqlite(folder).await?, folder.to_owned()),
        })
    }

    /// Brings the schema up to a version, or to the newest. It only ever goes forward.
    pub(crate) async fn migrate(&self, to: Option<i64>) -> Result<(), StoreError> {
        let there = self.schema().await?;
        if there > newest() {
            return Err(StoreError::Newer { there, known: newest() });
        }
        match (self, to) {
            (Self::Sqlite(pool, _), None) => SQLITE.run(pool).await?,
            (Self::Postgres(pool), None) => POSTGRES.run(pool).await?,
            (Self::Sqlite(pool, _), Some(to)) => SQLITE.run_to(to, pool).await?,
            (Self::Postgres(pool), Some(to)) => POSTGRES.run_to(to, pool).await?,
        }
        Ok(())
    }

    /// Did a newer program bring the schema up to date while this one runs?
    pub async fn is_ahead(&self) -> Result<bool, StoreError> {
        Ok(self.schema().await? > newest())
    }

    /// The version of the schema that is there; 0 before the first.
    pub async fn schema(&self) -> Result<i64, StoreError> {
        const SQLITE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')";
        const POSTGRES: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
        const NEWEST: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let any: bool = match self {
            Self::Sqlite(pool, _) => sqlx::query_scalar(SQLITE).fetch_one(pool).await?,
            Self::Postgres(pool) => sqlx::query_scalar(POSTGRES).fetch_one(pool).await?,
        };
        if !any {
            return Ok(0);
        }
        let newest =
            on_db!(self, pool => sqlx::query_scalar::<_, Option<i64>>(NEWEST).fetch_one(pool).await?);
        Ok(newest.unwrap_or(0))
    }

    /// Where it is, in words.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(_, folder) => folder.display().to_string(),
            Self::Postgres(_) => "PostgreSQL".to_owned(),
        }
    }

    /// Does it answer? Ask after an error that [`StoreError::is_away`].
    pub async fn answers(&self) -> Result<(), StoreError> {
        on_db!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop)?);
        Ok(())
    }

    /// How far the clock of a shared database is ahead of `now`: deadlines are written by one replica and read by
    /// another, so all of them go by that one. An embedded one has our clock.
    pub async fn clock_offset(&self, now: Timestamp) -> Result<SignedDuration, StoreError> {
        const SQL: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let Self::Postgres(pool) = self else { return Ok(SignedDuration::ZERO) };
        let theirs: i64 = sqlx::query_scalar(SQL).fetch_one(pool).await?;
        let theirs = Timestamp::from_microsecond(theirs).unwrap_or(now);
        Ok(theirs.duration_since(now))
    }

    pub(crate) async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT value FROM meta WHERE name = $1";
        Ok(on_db!(self, pool => sqlx::query_scalar::<_, String>(SQL).bind(name).fetch_optional(pool).await?))
    }

    /// Ends all connections; SQLite folds its write-ahead log into the file.
    pub async fn close(&self) {
        on_db!(self, pool => pool.close().await);
    }
}

/// How long a connection is tried for, or waited for when all are in use.
const CONNECT: Duration = Duration::from_secs(3);

async fn open_postgres(url: &str) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("quell");
    // A connection that the server or the network has cut is found out before it is used, not by the use.
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(CONNECT)
        .test_before_acquire(true)
        .idle_timeout(Duration::from_mins(5))
        .max_lifetime(Duration::from_mins(30))
        .after_connect(|connection, _| Box::pin(set_session(connection)));
    Ok(pool.connect_with(options).await?)
}

/// What holds for every session of ours. A process that is stopped in the middle of a write holds the lock that every
/// writer needs: the server ends its transaction. A machine that is gone without a goodbye is found out by the server
/// in seconds, so that its locks do not outlive it.
pub(crate) async fn set_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    const NEEDED: &str = "SET idle_in_transaction_session_timeout = '3s'; SET lock_timeout = '15s'";
    const WISHED: &str = "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; \
        SET tcp_keepalives_count = 3; SET tcp_user_timeout = '6s'";
    sqlx::raw_sql(NEEDED).execute(&mut *connection).await?;
    match sqlx::raw_sql(WISHED).execute(&mut *connection).await {
        // Not every server's operating system has all of them (PostgreSQL manual, 19.3.2, read 2026-11-23).
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Name of the SQLite file.
pub(crate) const FILE: &str = "quell.db";

async fn open_sqlite(folder: &Path) -> Result<SqlitePool, StoreError> {
    // Made here, so that the file (and the log beside it, which takes over its mode) is nobody else's to read.
    let path = folder.join(FILE);
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::io(&path, e))?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    Ok(SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY).connect_with(options).await?)
}
