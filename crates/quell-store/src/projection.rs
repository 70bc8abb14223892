//! What lists and look-ups read: rows computed from entries, which may be dropped at any time. What is in a row is decided by whoever computes it.
//!
//! A projection says up to which entry it goes. Whoever reads it takes in what is newer first, and moves that mark only from where they found it: of
//! any number of replicas that do so at once, none leaves a gap behind. A row never goes back to an earlier position of its stream.

use sqlx::AssertSqlSafe;

use crate::db::on_db;
use crate::{Store, StoreError};

/// How far a projection goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reach {
    /// Entries before this number are in it.
    pub seq: u64,
    /// Entries that there are.
    pub size: u64,
    /// Changes when it begins from nothing.
    pub epoch: i64,
}

impl Reach {
    /// Nothing is missing in it.
    pub fn is_whole(&self) -> bool {
        self.seq >= self.size
    }
}

/// What lists know of an incident.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
pub struct IncidentRow {
    /// Its stream.
    pub stream: String,
    /// Its place in lists; the newest is the greatest.
    pub number: i64,
    /// Position of its stream up to which this is.
    pub next_pos: i64,
    /// `open` or `closed`.
    pub status: String,
    /// `SEV-1` and so on.
    pub severity: String,
    /// 1 for a rehearsal.
    pub drill: i64,
    /// 1 when the server is to carry out its plan.
    pub driven: i64,
    /// What a search looks at, in small letters.
    pub words: String,
    /// The rest, as JSON.
    pub body: String,
}

/// That something is spoken of.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, sqlx::FromRow)]
pub struct Mention {
    /// What it is: `secret`, `finding`.
    pub kind: String,
    /// Which one.
    pub value: String,
    /// The stream that speaks of it.
    pub place: String,
    /// The entry, where it is one; 0 where it is the incident as a whole.
    pub seq: i64,
}

/// Which incidents of a list are wanted. What is empty or none is not asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// `open` or `closed`.
    pub status: &'static str,
    /// `SEV-1` and so on.
    pub severity: &'static str,
    /// Rehearsals, or none of them.
    pub drill: Option<bool>,
    /// To be carried out by the server.
    pub driven: bool,
    /// In the id, the title or a secret's name.
    pub text: String,
    /// Mentions that there must be: kind and value.
    pub mentions: [Option<(&'static str, String)>; 2],
    /// Only those before this one of the list.
    pub before: Option<i64>,
}

/// `$1` is the form; `$2` to `$12` come from a [`Wanted`]. One text for the rows and for their count.
const FITS: &str = "FROM projection_incident i WHERE form = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR severity = $3) \
    AND ($4 < 0 OR drill = $4) AND ($5 = 0 OR driven = 1) AND ($6 = '' OR words LIKE $6 ESCAPE '\\') \
    AND ($7 = '' OR EXISTS (SELECT 1 FROM projection_mention m WHERE m.form = $1 AND m.kind = $7 AND m.value = $8 AND m.place = i.stream)) \
    AND ($9 = '' OR EXISTS (SELECT 1 FROM projection_mention m WHERE m.form = $1 AND m.kind = $9 AND m.value = $10 AND m.place = i.stream)) \
    AND ($11 < 0 OR number < $11)";
const COLUMNS: &str = "stream, number, next_pos, status, severity, drill, driven, words, body";
const UPSERT: &str = "INSERT INTO projection_incident \
    (form, stream, number, next_pos, status, severity, drill, driven, words, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    ON CONFLICT (form, stream) DO UPDATE SET number = excluded.number, next_pos = excluded.next_pos, status = excluded.status, \
    severity = excluded.severity, drill = excluded.drill, driven = excluded.driven, words = excluded.words, body = excluded.body \
    WHERE projection_incident.next_pos < excluded.next_pos";
const FORGET_MENTIONS: &str = "DELETE FROM projection_mention WHERE form = $1 AND place = $2";
const MENTION: &str = "INSERT INTO projection_mention (form, kind, value, place, seq) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (form, kind, value, place, seq) DO NOTHING";

/// Holds the mark until the end of the transaction: a projection that is begun anew meanwhile comes before this, which is then of another epoch, or after it.
const STILL: &str = "UPDATE projection SET epoch = epoch WHERE form = $1 AND epoch = $2";

/// Runs the same body in a transaction. It need not keep out writers of the ledger; rows that two replicas write at once wait for each other.
macro_rules! in_tx {
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
                let out = $body;
                $tx.commit().await?;
                out
            }
        }
    };
}

/// Binds a `Wanted` to `$1` … `$11`.
macro_rules! wanted {
    ($query:expr, $form:expr, $wanted:expr) => {{
        let wanted: &Wanted = $wanted;
        let mention = |at: usize| {
            let found = wanted.mentions.get(at).and_then(Option::as_ref);
            found.map_or_else(|| ("", String::new()), |(kind, value)| (*kind, value.clone()))
        };
        let ((first, first_value), (second, second_value)) = (mention(0), mention(1));
        $query
            .bind($form)
            .bind(wanted.status)
            .bind(wanted.severity)
            .bind(wanted.drill.map_or(-1, i64::from))
            .bind(i64::from(wanted.driven))
            .bind(pattern(&wanted.text))
            .bind(first)
            .bind(first_value)
            .bind(second)
            .bind(second_value)
            .bind(wanted.before.unwrap_or(-1))
    }};
}

/// What `LIKE` takes for "holds this".
fn pattern(text: &str) -> String {
    // PostgreSQL has no texts with a NUL.
    let text = text.trim().replace('\0', "\u{fffd}").to_lowercase();
    if text.is_empty() {
        return text;
    }
    let escaped: String = text
        .chars()
        .flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain(Some(c)))
        .collect();
    format!("%{escaped}%")
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// How far a form goes. One that is not there is begun.
    pub async fn reach(&self, form: i64) -> Result<Reach, StoreError> {
        const SQL: &str = "SELECT p.seq, p.epoch, COALESCE((SELECT seq + 1 FROM event ORDER BY seq DESC LIMIT 1), 0) \
            FROM projection p WHERE p.form = $1";
        const BEGIN: &str =
            "INSERT INTO projection (form, seq, epoch) VALUES ($1, 0, $2) ON CONFLICT (form) DO NOTHING";
        loop {
            let found = on_db!(&self.db, pool => {
                sqlx::query_as::<_, (i64, i64, i64)>(SQL).bind(form).fetch_optional(pool).await?
            });
            if let Some((seq, epoch, size)) = found {
                return Ok(Reach { seq: unsigned(seq), size: unsigned(size), epoch });
            }
            let epoch = random()?;
            on_db!(&self.db, pool => sqlx::query(BEGIN).bind(form).bind(epoch).execute(pool).await.map(drop)?);
        }
    }

    /// Everything of this form is gone, and is begun anew by whoever reads next. Without a form: everything but that of `keep`.
    pub async fn projection_drop(&self, form: i64) -> Result<(), StoreError> {
        const RESET: &str = "UPDATE projection SET seq = 0, epoch = $1 WHERE form = $2";
        const INCIDENTS: &str = "DELETE FROM projection_incident WHERE form = $1";
        const MENTIONS: &str = "DELETE FROM projection_mention WHERE form = $1";
        let epoch = random()?;
        in_tx!(&self.db, tx => {
            // First: whoever takes entries in right now has written them before, or finds another epoch and writes nothing.
            sqlx::query(RESET).bind(epoch).bind(form).execute(&mut *tx).await?;
            sqlx::query(INCIDENTS).bind(form).execute(&mut *tx).await?;
            sqlx::query(MENTIONS).bind(form).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Forms of other versions than this one.
    pub async fn projection_others(&self, form: i64) -> Result<Vec<i64>, StoreError> {
        const SQL: &str = "SELECT form FROM projection WHERE form < $1 AND seq > 0";
        Ok(on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(SQL).bind(form).fetch_all(pool).await?))
    }

    /// Moves the mark from where it was found. False when somebody else moved it, or began anew.
    pub async fn projection_advance(&self, form: i64, found: Reach, to: u64) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE projection SET seq = $1 WHERE form = $2 AND seq = $3 AND epoch = $4";
        let moved = on_db!(&self.db, pool => sqlx::query(SQL).bind(signed(to)).bind(form).bind(signed(found.seq)).bind(found.epoch)
            .execute(pool).await?.rows_affected());
        Ok(moved == 1)
    }

    /// Streams with entries from one number up to another, each with its next free position.
    pub async fn streams_between(&self, from: u64, to: u64) -> Result<Vec<(String, u64)>, StoreError> {
        const SQL: &str =
            "SELECT stream, MAX(pos) FROM event WHERE seq >= $1 AND seq < $2 GROUP BY stream ORDER BY stream";
        let rows = on_db!(&self.db, pool => sqlx::query_as::<_, (String, i64)>(SQL).bind(signed(from)).bind(signed(to))
            .fetch_all(pool).await?);
        Ok(rows.into_iter().map(|(stream, pos)| (stream, unsigned(pos) + 1)).collect())
    }

    /// Writes rows and their mentions, unless newer ones are there. Nothing of a projection that was begun anew since `found`: rows and mentions are
    /// gone one after the other then, and a row whose mentions went would be taken for whole.
    pub async fn projection_put(
        &self,
        form: i64,
        found: Reach,
        rows: &[(IncidentRow, Vec<Mention>)],
    ) -> Result<(), StoreError> {
        in_tx!(&self.db, tx => {
            let still = sqlx::query(STILL).bind(form).bind(found.epoch).execute(&mut *tx).await?;
            if still.rows_affected() == 0 {
                return Ok(());
            }
            for (row, mentions) in rows {
                let changed = sqlx::query(UPSERT).bind(form).bind(&row.stream).bind(row.number).bind(row.next_pos)
                    .bind(&row.status).bind(&row.severity).bind(row.drill).bind(row.driven).bind(&row.words).bind(&row.body)
                    .execute(&mut *tx).await?.rows_affected();
                if changed == 0 {
                    continue;
                }
                sqlx::query(FORGET_MENTIONS).bind(form).bind(&row.stream).execute(&mut *tx).await?;
                for one in mentions {
                    sqlx::query(MENTION).bind(form).bind(&one.kind).bind(&one.value).bind(&one.place).bind(one.seq)
                        .execute(&mut *tx).await?;
                }
            }
        });
        Ok(())
    }

    /// Writes mentions by entries.
    pub async fn projection_mention(
        &self,
        form: i64,
        found: Reach,
        mentions: &[Mention],
    ) -> Result<(), StoreError> {
        if mentions.is_empty() {
            return Ok(());
        }
        in_tx!(&self.db, tx => {
            let still = sqlx::query(STILL).bind(form).bind(found.epoch).execute(&mut *tx).await?;
            if still.rows_affected() == 0 {
                return Ok(());
            }
            for one in mentions {
                sqlx::query(MENTION).bind(form).bind(&one.kind).bind(&one.value).bind(&one.place).bind(one.seq)
                    .execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// Rows that fit, newest first.
    pub async fn incident_rows(
        &self,
        form: i64,
        wanted: &Wanted,
        (limit, offset): (i64, i64),
    ) -> Result<Vec<IncidentRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} {FITS} ORDER BY number DESC LIMIT $12 OFFSET $13");
        Ok(on_db!(&self.db, pool => {
            let query = sqlx::query_as::<_, IncidentRow>(AssertSqlSafe(sql));
            wanted!(query, form, wanted).bind(limit).bind(offset).fetch_all(pool).await?
        }))
    }

    /// How many fit.
    pub async fn incident_count(&self, form: i64, wanted: &Wanted) -> Result<u64, StoreError> {
        // An index knows how many there are; whatever is asked of them, the rows do.
        const ALL: &str = "SELECT COUNT(*) FROM projection_incident WHERE form = $1";
        if *wanted == Wanted::default() {
            let count =
                on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(ALL).bind(form).fetch_one(pool).await?);
            return Ok(unsigned(count));
        }
        let sql = format!("SELECT COUNT(*) {FITS}");
        let count = on_db!(&self.db, pool => {
            let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql));
            wanted!(query, form, wanted).fetch_one(pool).await?
        });
        Ok(unsigned(count))
    }

    /// The row of one incident, and what it mentions, in order.
    pub async fn incident_row(
        &self,
        form: i64,
        stream: &str,
    ) -> Result<Option<(IncidentRow, Vec<Mention>)>, StoreError> {
        const MENTIONS: &str =
            "SELECT kind, value, place, seq FROM projection_mention WHERE form = $1 AND place = $2";
        let sql = format!("SELECT {COLUMNS} FROM projection_incident WHERE form = $1 AND stream = $2");
        let row = on_db!(&self.db, pool => {
            sqlx::query_as::<_, IncidentRow>(AssertSqlSafe(sql)).bind(form).bind(stream).fetch_optional(pool).await?
        });
        let Some(row) = row else { return Ok(None) };
        let mut mentions = on_db!(&self.db, pool => {
            sqlx::query_as::<_, Mention>(MENTIONS).bind(form).bind(stream).fetch_all(pool).await?
        });
        mentions.sort();
        Ok(Some((row, mentions)))
    }

    /// Who speaks of this, oldest entry first.
    pub async fn mentions(&self, form: i64, kind: &str, value: &str) -> Result<Vec<Mention>, StoreError> {
        const SQL: &str = "SELECT kind, value, place, seq FROM projection_mention WHERE form = $1 AND kind = $2 AND value = $3 \
            ORDER BY place, seq";
        Ok(on_db!(&self.db, pool => {
            sqlx::query_as::<_, Mention>(SQL).bind(form).bind(kind).bind(value).fetch_all(pool).await?
        }))
    }

    /// Everything of a kind that is spoken of after a value, in order.
    pub async fn mentions_of(
        &self,
        form: i64,
        kind: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Mention>, StoreError> {
        const SQL: &str = "SELECT kind, value, place, seq FROM projection_mention WHERE form = $1 AND kind = $2 AND value > $3 \
            ORDER BY value, place, seq LIMIT $4";
        Ok(on_db!(&self.db, pool => {
            sqlx::query_as::<_, Mention>(SQL).bind(form).bind(kind).bind(after).bind(limit).fetch_all(pool).await?
        }))
    }

    /// All mentions by entries of one stream, in order.
    pub async fn mentions_by(&self, form: i64, place: &str) -> Result<Vec<Mention>, StoreError> {
        const SQL: &str =
            "SELECT kind, value, place, seq FROM projection_mention WHERE form = $1 AND place = $2";
        let mut found = on_db!(&self.db, pool => {
            sqlx::query_as::<_, Mention>(SQL).bind(form).bind(place).fetch_all(pool).await?
        });
        found.sort();
        Ok(found)
    }
}

fn random() -> Result<i64, StoreError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    Ok(i64::from_le_bytes(bytes))
}
