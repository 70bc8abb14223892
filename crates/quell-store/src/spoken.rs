//! Look-ups of many things at once, so that a list needs a handful of queries, however long it is.

use std::collections::BTreeSet;

use quell_core::event::Entry;
use sqlx::AssertSqlSafe;

use crate::db::on_db;
use crate::ledger::decode;
use crate::projection::Mention;
use crate::{Store, StoreError};

/// Values that one query names: both databases take far more, and none of our pages needs them.
const NAMED: usize = 500;

/// Nobody says what it is, and no incident is about it: what a finding that waits is, in an index. `$1` is the form, `m` the mention.
const WAITS: &str = "NOT EXISTS (SELECT 1 FROM projection_mention t WHERE t.form = $1 AND t.kind = 'triaged' AND t.value = m.value) \
    AND NOT EXISTS (SELECT 1 FROM projection_mention e WHERE e.form = $1 AND e.kind = 'exposure' AND e.value = m.value)";
/// No entry before this one speaks of it.
const FIRST: &str = "NOT EXISTS (SELECT 1 FROM projection_mention b WHERE b.form = $1 AND b.kind = 'finding' AND b.value = m.value \
    AND b.place = m.place AND b.seq < m.seq)";

impl Store {
    /// Ids of findings after one, in order; with `waiting`, only of those of which nobody has said what they are.
    pub async fn findings_after(
        &self,
        form: i64,
        after: &str,
        waiting: bool,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT value FROM projection_mention m WHERE form = $1 AND kind = 'finding' AND value > $2 \
             AND ($3 = 0 OR ({WAITS})) ORDER BY value LIMIT $4"
        );
        Ok(on_db!(&self.db, pool => {
            sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(form).bind(after).bind(i64::from(waiting)).bind(limit)
                .fetch_all(pool).await?
        }))
    }

    /// Findings with the number of the entry that first spoke of each, the newest first, before a number.
    pub async fn findings_before(
        &self,
        form: i64,
        place: &str,
        before: i64,
        waiting: bool,
        limit: i64,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = format!(
            "SELECT value, seq FROM projection_mention m WHERE form = $1 AND place = $2 AND kind = 'finding' AND seq < $3 \
             AND {FIRST} AND ($4 = 0 OR ({WAITS})) ORDER BY seq DESC LIMIT $5"
        );
        Ok(on_db!(&self.db, pool => {
            sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(sql)).bind(form).bind(place).bind(before)
                .bind(i64::from(waiting)).bind(limit).fetch_all(pool).await?
        }))
    }

    /// How many findings there are, and of how many nobody has said what they are.
    pub async fn findings_count(&self, form: i64) -> Result<(u64, u64), StoreError> {
        let all =
            "SELECT COUNT(DISTINCT value) FROM projection_mention m WHERE form = $1 AND kind = 'finding'";
        let waiting = format!("{all} AND {WAITS}");
        Ok((self.counted(form, all.to_owned()).await?, self.counted(form, waiting).await?))
    }

    async fn counted(&self, form: i64, sql: String) -> Result<u64, StoreError> {
        let found = on_db!(&self.db, pool => {
            sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).bind(form).fetch_one(pool).await?
        });
        Ok(u64::try_from(found).unwrap_or(0))
    }

    /// Who speaks of any of these, in the order of the values, oldest entry first.
    pub async fn mentions_in(
        &self,
        form: i64,
        kind: &str,
        values: &[String],
    ) -> Result<Vec<Mention>, StoreError> {
        let mut all = Vec::new();
        for some in values.chunks(NAMED) {
            let sql = format!(
                "SELECT kind, value, place, seq FROM projection_mention WHERE form = $1 AND kind = $2 AND value IN ({}) \
                 ORDER BY value, place, seq",
                named(3, some.len())
            );
            all.extend(on_db!(&self.db, pool => {
                let mut query = sqlx::query_as::<_, Mention>(AssertSqlSafe(sql)).bind(form).bind(kind);
                for value in some {
                    query = query.bind(value);
                }
                query.persistent(false).fetch_all(pool).await?
            }));
        }
        Ok(all)
    }

    /// Entries by their numbers, in order. One that is not there is left out.
    pub async fn read_many(&self, numbers: &BTreeSet<i64>) -> Result<Vec<Entry>, StoreError> {
        let (numbers, mut all): (Vec<i64>, _) = (numbers.iter().copied().collect(), Vec::new());
        for some in numbers.chunks(NAMED) {
            let sql =
                format!("SELECT seq, entry FROM event WHERE seq IN ({}) ORDER BY seq", named(1, some.len()));
            let rows = on_db!(&self.db, pool => {
                let mut query = sqlx::query_as::<_, (i64, Vec<u8>)>(AssertSqlSafe(sql));
                for number in some {
                    query = query.bind(number);
                }
                query.persistent(false).fetch_all(pool).await?
            });
            for row in &rows {
                all.push(decode(row)?);
            }
        }
        Ok(all)
    }
}

/// `$3, $4, …`
fn named(from: usize, count: usize) -> String {
    (from..from + count).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}
