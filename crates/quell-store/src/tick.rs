//! What is new in the ledger, by name and number: for those who watch, and fetch what concerns them.

use crate::db::on_db;
use crate::{Store, StoreError};

/// That an entry was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tick {
    /// Its number in the ledger.
    pub seq: u64,
    /// The incident's id, or `installation`.
    pub stream: String,
    /// What kind it is: `step`, `note.added`.
    pub kind: String,
}

impl Store {
    /// Entries from a number on, at most `limit`, of one stream or of all.
    pub async fn ticks(&self, stream: Option<&str>, from: u64, limit: i64) -> Result<Vec<Tick>, StoreError> {
        const ALL: &str = "SELECT seq, stream, kind FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2";
        const ONE: &str =
            "SELECT seq, stream, kind FROM event WHERE seq >= $1 AND stream = $2 ORDER BY seq LIMIT $3";
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let rows = on_db!(&self.db, pool => match stream {
            None => sqlx::query_as::<_, (i64, String, String)>(ALL).bind(from).bind(limit).fetch_all(pool).await?,
            Some(stream) => sqlx::query_as::<_, (i64, String, String)>(ONE).bind(from).bind(stream).bind(limit).fetch_all(pool).await?,
        });
        let tick = |(seq, stream, kind)| Tick { seq: u64::try_from(seq).unwrap_or_default(), stream, kind };
        Ok(rows.into_iter().map(tick).collect())
    }

    /// Names of the streams that hold an entry of this kind, in order.
    pub async fn streams_with(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT DISTINCT stream FROM event WHERE kind = $1 ORDER BY stream";
        Ok(on_db!(&self.db, pool => sqlx::query_scalar::<_, String>(SQL).bind(kind).fetch_all(pool).await?))
    }

    /// How many entries there are.
    pub async fn size(&self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT seq FROM event ORDER BY seq DESC LIMIT 1";
        let last = on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(SQL).fetch_optional(pool).await?);
        Ok(last.map_or(0, |seq| u64::try_from(seq).unwrap_or(0) + 1))
    }
}
