//! A request that is to be carried out once. It has a row among what lapses, and whoever carries it out holds that row; what it appends counts only
//! while that is so. Whoever finds that the holder is gone takes the row away, and from then on nothing more comes of the request, even if the holder
//! only stood still and wakes.

use crate::db::on_db;
use crate::{Store, StoreError};

tokio::task_local! {
    static HELD: Asked;
}

/// Touches the row without changing it: the transaction that appends holds it until its end, so that nobody takes it away meanwhile.
pub(crate) const STILL_HELD: &str =
    "UPDATE lapsing SET owner = owner WHERE kind = $1 AND id = $2 AND owner = $3";

/// A row, and who holds it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its kind among what lapses.
    pub kind: &'static str,
    /// Its name among its kind.
    pub id: String,
    /// The worker that carries it out.
    pub worker: String,
}

impl Asked {
    /// Whatever this work appends is refused with [`StoreError::CutOff`] once the row is not held any more.
    pub async fn while_held<F: Future>(self, work: F) -> F::Output {
        HELD.scope(self, work).await
    }

    /// What is carried out now, if it is to be carried out once.
    pub(crate) fn current() -> Option<Self> {
        HELD.try_with(Clone::clone).ok()
    }
}

impl Store {
    /// Takes a row away from its holder. False when it was not held by that one any more.
    pub async fn take_from(&self, asked: &Asked) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE lapsing SET owner = '' WHERE kind = $1 AND id = $2 AND owner = $3";
        let done = on_db!(&self.db, pool => sqlx::query(SQL).bind(asked.kind).bind(&asked.id).bind(&asked.worker)
            .execute(pool).await?.rows_affected());
        Ok(done == 1)
    }
}
