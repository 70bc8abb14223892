//! The name under which this server carries out requests that are to be carried out once. It dies with the process, so that others, and whoever asks again,
//! can tell a request that is under way from one that was cut off.

use std::sync::Arc;

use quell_app::{AppError, Store, Watch, WorkerGuard};
use tokio::sync::Mutex;

/// Own name, and what was seen of those of others.
#[derive(Debug, Default)]
pub(crate) struct Clerk {
    own: Mutex<Option<Arc<WorkerGuard>>>,
    others: Mutex<Watch>,
}

impl Clerk {
    /// The name of now; another one when the right to act under the last has ended.
    pub(crate) async fn name(&self, store: &Store) -> Result<Arc<WorkerGuard>, AppError> {
        let mut own = self.own.lock().await;
        if let Some(guard) = own.as_ref().filter(|guard| guard.right().holds()) {
            return Ok(Arc::clone(guard));
        }
        let guard = Arc::new(store.become_worker().await?);
        *own = Some(Arc::clone(&guard));
        Ok(guard)
    }

    /// Gives the name up, and with it what is held under it once those that are under way have ended: what became of a request can not be written down.
    pub(crate) async fn leave(&self) {
        *self.own.lock().await = None;
    }

    /// Is whoever acted under that name gone for good?
    pub(crate) async fn is_gone(&self, store: &Store, name: &str) -> Result<bool, AppError> {
        let mut others = self.others.lock().await;
        let seen = others.is_gone(store, name).await;
        if seen.is_err() {
            others.forget();
        }
        Ok(seen?)
    }
}
