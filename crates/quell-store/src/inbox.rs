//! What webhooks delivered: written when it is accepted, worked off later by one worker at a time.
//!
//! The body may hold a leaked value, so it is sealed like one, and taken away when the delivery is done. Rows stay: they
//! are how a replay is known.

use jiff::{SignedDuration, Timestamp};
use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};

use crate::db::{in_write, on_db};
use crate::ledger::KEYS;
use crate::{Store, StoreError};

/// A delivery before it is in the inbox.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The name in the inventory under which it came in.
    pub source: &'a str,
    /// Whose format it is.
    pub kind: &'a str,
    /// The sender's own id of it; for people.
    pub delivery: &'a str,
    /// What it is about in the sender's words.
    pub topic: &'a str,
    /// Tells deliveries apart: the same again is a replay.
    pub digest: &'a str,
    /// As received.
    pub body: &'a SecretValue,
}

/// What became of an arrival.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Put {
    /// It is in the inbox, under this id.
    New(String),
    /// It was there already, under this id.
    Replay(String),
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Worked off; its body is gone.
    Done,
    /// Given up; a person may have it tried again.
    Failed,
    /// To be worked off.
    Waiting,
}

impl DeliveryState {
    /// The word in the table and for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "done" => Self::Done,
            "waiting" => Self::Waiting,
            // A word of a later version is for people to look at.
            _ => Self::Failed,
        }
    }
}

/// A delivery without its body.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delivery {
    /// Its id: `d-` and random hex.
    pub id: String,
    /// The name in the inventory.
    pub source: String,
    /// Whose format it is.
    pub kind: String,
    /// The sender's own id of it.
    pub delivery: String,
    /// What it is about in the sender's words.
    pub topic: String,
    /// Bytes of its body.
    pub size: u64,
    /// When it was accepted.
    pub received: Timestamp,
    /// How it stands.
    pub state: DeliveryState,
    /// How often it was begun.
    pub tries: u64,
    /// Not before.
    pub due: Timestamp,
    /// What became of it, or why the last try ended.
    pub note: String,
}

type Row = (String, String, String, String, String, i64, i64, String, i64, i64, String);

const COLUMNS: &str = "SELECT id, source, kind, delivery, topic, size, received_us, state, tries, due_us, note FROM inbox WHERE id = $1";
const INSERT: &str = "INSERT INTO inbox (id, source, kind, delivery, topic, digest, size, received_us, state, tries, due_us, worker, claimed_us, note) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', 0, $9, '', 0, '')";
const INSERT_BODY: &str = "INSERT INTO sealed (id, kek, wrapped, body) VALUES ($1, $2, $3, $4)";
const DELETE_BODY: &str = "DELETE FROM sealed WHERE id = $1";
const SAME: &str = "SELECT id, received_us, state FROM inbox WHERE source = $1 AND digest = $2";
const FORGET: &str = "DELETE FROM inbox WHERE id = $1";
const DUE: &str = "SELECT id, worker, claimed_us, tries FROM inbox WHERE state = 'waiting' AND due_us <= $1 \
     ORDER BY due_us, received_us LIMIT 64";
const CLAIM: &str = "UPDATE inbox SET worker = $1, claimed_us = $2, tries = tries + 1 \
     WHERE id = $3 AND state = 'waiting' AND worker = $4 AND claimed_us = $5";
const ABANDON: &str = "UPDATE inbox SET state = 'failed', worker = '', note = $1 \
     WHERE id = $2 AND state = 'waiting' AND worker = $3 AND claimed_us = $4";
const FINISH: &str = "UPDATE inbox SET state = $1, worker = '', due_us = $2, note = $3 \
     WHERE id = $4 AND state = 'waiting' AND worker = $5";
const RETRY: &str = "UPDATE inbox SET state = 'waiting', tries = 0, due_us = $1, worker = '', claimed_us = 0 \
     WHERE id = $2 AND state <> 'done' AND worker = ''";
const LIST: &str = "SELECT id, source, kind, delivery, topic, size, received_us, state, tries, due_us, note FROM inbox \
     WHERE (received_us < $1 OR (received_us = $2 AND id > $3)) AND state <> $4 ORDER BY received_us DESC, id LIMIT $5";
const OPEN: &str = "SELECT state, COUNT(*) FROM inbox WHERE state <> 'done' GROUP BY state";

fn delivery(row: Row) -> Delivery {
    let (id, source, kind, delivery, topic, size, received, state, tries, due, note) = row;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let time = |us: i64| Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    Delivery {
        id,
        source,
        kind,
        delivery,
        topic,
        size: unsigned(size),
        received: time(received),
        state: DeliveryState::of(&state),
        tries: unsigned(tries),
        due: time(due),
        note,
    }
}

fn body_of(id: &str) -> String {
    format!("inbox/{id}")
}

/// Which deliveries of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deliveries {
    /// Every one.
    All,
    /// Those that wait or were given up.
    Open,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TryEnded {
    /// It is worked off.
    Done,
    /// It is given up until a person asks for it.
    Failed,
    /// It is tried again, not before this.
    Again(Timestamp),
}

impl Store {
    /// Takes a delivery in. The same again (same source, same digest) is a replay, unless the first is done and older than
    /// `forget`: then it counts as new.
    pub async fn inbox_put(
        &self,
        arrival: &Arrival<'_>,
        now: Timestamp,
        forget: Option<SignedDuration>,
    ) -> Result<Put, StoreError> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
        let id = format!("d-{}", hex::encode(random));
        let sealed = self.seal(&body_of(&id), arrival.body)?;
        let size = i64::try_from(arrival.body.len()).unwrap_or(i64::MAX);
        let at = now.as_microsecond();
        let oldest = forget.and_then(|age| now.checked_sub(age).ok()).map(Timestamp::as_microsecond);
        in_write!(&self.db, tx => {
            let held = sqlx::query_as::<_, (String, String)>(KEYS).fetch_all(&mut *tx).await?;
            self.keys_still_hold(&held)?;
            let same = sqlx::query_as::<_, (String, i64, String)>(SAME)
                .bind(arrival.source).bind(arrival.digest).fetch_optional(&mut *tx).await?;
            if let Some((known, received, state)) = same {
                let forgotten = state == "done" && oldest.is_some_and(|oldest| received < oldest);
                if !forgotten {
                    return Ok(Put::Replay(known));
                }
                sqlx::query(FORGET).bind(&known).execute(&mut *tx).await?;
            }
            sqlx::query(INSERT_BODY)
                .bind(&sealed.id).bind(&sealed.kek).bind(&sealed.wrapped).bind(&sealed.body)
                .execute(&mut *tx).await?;
            sqlx::query(INSERT)
                .bind(&id).bind(arrival.source).bind(arrival.kind).bind(arrival.delivery).bind(arrival.topic)
                .bind(arrival.digest).bind(size).bind(at).bind(at)
                .execute(&mut *tx).await?;
        });
        Ok(Put::New(id))
    }

    /// Takes the oldest delivery that is due and that nobody works on: nobody ever did, the worker died, or it has been at
    /// it for longer than `lease`. One that was begun `most` times already is given up instead, where everybody sees it.
    pub async fn inbox_claim(
        &self,
        worker: &str,
        now: Timestamp,
        lease: SignedDuration,
        most: u64,
    ) -> Result<Option<Delivery>, StoreError> {
        let at = now.as_microsecond();
        let due = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (String, String, i64, i64)>(DUE).bind(at).fetch_all(pool).await?
        });
        let expired = now.checked_sub(lease).unwrap_or(Timestamp::MIN).as_microsecond();
        for (id, holder, claimed, tries) in due {
            if !holder.is_empty()
                && claimed >= expired
                && !self.watch.lock().await.is_gone(self, &holder).await?
            {
                continue;
            }
            if u64::try_from(tries).unwrap_or(0) >= most {
                let note = format!("given up: {tries} workers ended in the middle of it");
                on_db!(&self.db, pool => {
                    sqlx::query(ABANDON).bind(&note).bind(&id).bind(&holder).bind(claimed).execute(pool).await?
                        .rows_affected()
                });
                continue;
            }
            // Whoever changes the row first has it.
            let taken = on_db!(&self.db, pool => {
                sqlx::query(CLAIM).bind(worker).bind(at).bind(&id).bind(&holder).bind(claimed)
                    .execute(pool).await?.rows_affected()
            });
            if taken == 1 {
                return self.inbox_get(&id).await;
            }
        }
        Ok(None)
    }

    /// Writes down how a try ended. False when somebody else has taken the delivery over meanwhile.
    pub async fn inbox_end(
        &self,
        id: &str,
        worker: &str,
        ended: TryEnded,
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (state, due) = match ended {
            TryEnded::Done => (DeliveryState::Done, now),
            TryEnded::Failed => (DeliveryState::Failed, now),
            TryEnded::Again(at) => (DeliveryState::Waiting, at),
        };
        let mine = in_write!(&self.db, tx => {
            let changed = sqlx::query(FINISH)
                .bind(state.word()).bind(due.as_microsecond()).bind(note).bind(id).bind(worker)
                .execute(&mut *tx).await?.rows_affected();
            if changed == 1 && state == DeliveryState::Done {
                sqlx::query(DELETE_BODY).bind(body_of(id)).execute(&mut *tx).await?;
            }
            changed == 1
        });
        Ok(mine)
    }

    /// Has a delivery that was given up, or that waits for its next try, tried now. False when it is done or being worked on.
    pub async fn inbox_retry(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let changed = on_db!(&self.db, pool => {
            sqlx::query(RETRY).bind(now.as_microsecond()).bind(id).execute(pool).await?.rows_affected()
        });
        Ok(changed == 1)
    }

    /// The body as received. It is gone once the delivery is done.
    pub async fn inbox_body(&self, id: &str) -> Result<SecretValue, StoreError> {
        self.unseal(&body_of(id)).await
    }

    /// One delivery.
    pub async fn inbox_get(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        let row =
            on_db!(&self.db, pool => sqlx::query_as::<_, Row>(COLUMNS).bind(id).fetch_optional(pool).await?);
        Ok(row.map(delivery))
    }

    /// Deliveries, newest first: those that come after `after` in that order.
    pub async fn inbox_list(
        &self,
        which: Deliveries,
        after: Option<&Delivery>,
        most: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (received, id) =
            after.map_or((i64::MAX, ""), |it| (it.received.as_microsecond(), it.id.as_str()));
        // No state is the empty word.
        let hidden = match which {
            Deliveries::All => "",
            Deliveries::Open => DeliveryState::Done.word(),
        };
        let rows = on_db!(&self.db, pool => {
            sqlx::query_as::<_, Row>(LIST).bind(received).bind(received).bind(id).bind(hidden)
                .bind(i64::from(most)).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(delivery).collect())
    }

    /// How many deliveries wait, and how many were given up.
    pub async fn inbox_open(&self) -> Result<(u64, u64), StoreError> {
        let rows = on_db!(&self.db, pool => sqlx::query_as::<_, (String, i64)>(OPEN).fetch_all(pool).await?);
        let of = |wanted: &str| {
            let found = rows.iter().find(|(state, _)| state == wanted);
            found.map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0))
        };
        Ok((of("waiting"), of("failed")))
    }
}
