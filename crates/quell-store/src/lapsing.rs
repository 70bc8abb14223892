//! What is kept for a while and may be lost: sessions, one-time codes, answers to repeated requests. No facts: those are in the ledger.
//!
//! Whatever would let somebody in is named by its hash; a copy of the table opens nothing.

use jiff::Timestamp;

use crate::db::on_db;
use crate::{Store, StoreError};

/// A row.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
pub struct Lapsing {
    /// Its name among its kind.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What it says, as JSON.
    pub body: String,
    /// When it ends, in microseconds.
    pub expires_us: i64,
}

impl Store {
    /// Keeps it, unless there is one of that name that has not ended. True when it was kept.
    pub async fn lapsing_add(&self, kind: &str, row: &Lapsing, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO lapsing (kind, id, owner, body, expires_us) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, body = excluded.body, expires_us = excluded.expires_us \
            WHERE lapsing.expires_us <= $6";
        let done = on_db!(&self.db, pool => sqlx::query(SQL).bind(kind).bind(&row.id).bind(&row.owner).bind(&row.body)
            .bind(row.expires_us).bind(now.as_microsecond()).execute(pool).await?.rows_affected());
        Ok(done == 1)
    }

    /// Keeps it, whatever there was of that name.
    pub async fn lapsing_put(&self, kind: &str, row: &Lapsing) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO lapsing (kind, id, owner, body, expires_us) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, body = excluded.body, expires_us = excluded.expires_us";
        on_db!(&self.db, pool => sqlx::query(SQL).bind(kind).bind(&row.id).bind(&row.owner).bind(&row.body)
            .bind(row.expires_us).execute(pool).await?.rows_affected());
        Ok(())
    }

    /// Changes what it says and when it ends. False when it is gone.
    pub async fn lapsing_set(&self, kind: &str, row: &Lapsing) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE lapsing SET body = $1, expires_us = $2 WHERE kind = $3 AND id = $4";
        let done = on_db!(&self.db, pool => sqlx::query(SQL).bind(&row.body).bind(row.expires_us).bind(kind).bind(&row.id)
            .execute(pool).await?.rows_affected());
        Ok(done == 1)
    }

    /// The one of that name, unless it has ended.
    pub async fn lapsing(&self, kind: &str, id: &str, now: Timestamp) -> Result<Option<Lapsing>, StoreError> {
        const SQL: &str =
            "SELECT id, owner, body, expires_us FROM lapsing WHERE kind = $1 AND id = $2 AND expires_us > $3";
        Ok(
            on_db!(&self.db, pool => sqlx::query_as::<_, Lapsing>(SQL).bind(kind).bind(id).bind(now.as_microsecond())
            .fetch_optional(pool).await?),
        )
    }

    /// Takes it away and gives it: of two who ask at once, one gets it.
    pub async fn lapsing_take(
        &self,
        kind: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Lapsing>, StoreError> {
        const SQL: &str =
            "DELETE FROM lapsing WHERE kind = $1 AND id = $2 RETURNING id, owner, body, expires_us";
        let taken = on_db!(&self.db, pool => sqlx::query_as::<_, Lapsing>(SQL).bind(kind).bind(id).fetch_optional(pool).await?);
        Ok(taken.filter(|row| row.expires_us > now.as_microsecond()))
    }

    /// Everything of a kind that one owner has and that has not ended.
    pub async fn lapsing_of(
        &self,
        kind: &str,
        owner: &str,
        now: Timestamp,
    ) -> Result<Vec<Lapsing>, StoreError> {
        const SQL: &str = "SELECT id, owner, body, expires_us FROM lapsing WHERE kind = $1 AND owner = $2 AND expires_us > $3 ORDER BY id";
        Ok(
            on_db!(&self.db, pool => sqlx::query_as::<_, Lapsing>(SQL).bind(kind).bind(owner).bind(now.as_microsecond())
            .fetch_all(pool).await?),
        )
    }

    /// Everything of a kind that has not ended, whoever has it.
    pub async fn lapsing_all(&self, kind: &str, now: Timestamp) -> Result<Vec<Lapsing>, StoreError> {
        const SQL: &str =
            "SELECT id, owner, body, expires_us FROM lapsing WHERE kind = $1 AND expires_us > $2 ORDER BY id";
        Ok(on_db!(&self.db, pool => sqlx::query_as::<_, Lapsing>(SQL).bind(kind).bind(now.as_microsecond())
            .fetch_all(pool).await?))
    }

    /// Takes everything of a kind away that one owner has. How many.
    pub async fn lapsing_drop(&self, kind: &str, owner: &str) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM lapsing WHERE kind = $1 AND owner = $2";
        Ok(
            on_db!(&self.db, pool => sqlx::query(SQL).bind(kind).bind(owner).execute(pool).await?.rows_affected()),
        )
    }

    /// Takes away what has ended.
    pub async fn lapsing_sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM lapsing WHERE expires_us <= $1";
        Ok(
            on_db!(&self.db, pool => sqlx::query(SQL).bind(now.as_microsecond()).execute(pool).await?.rows_affected()),
        )
    }
}
