//! The database goes away and comes back, and a lock is lost on the way.

use std::time::Duration;

use quell_core::event::Actor;
use quell_store::{StoreError, awake};

use super::{Driver, Progress};
use crate::AppError;

/// Between two looks whether the database answers.
const LOOK: Duration = Duration::from_millis(250);

impl Driver<'_> {
    /// Waits until the database answers. Steps that are under way go on; what they bring home is kept.
    pub(super) async fn wait_out(
        &mut self,
        error: StoreError,
        stop: &mut tokio::sync::watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        (self.on)(&Progress::Away { why: error.to_string() });
        // What was asked last may have been done: the stream says so.
        self.doubtful = true;
        let begun = awake();
        loop {
            tokio::select! {
                Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => self.take(joined),
                () = tokio::time::sleep(LOOK) => {}
                Ok(()) = stop.changed() => {}
            }
            let gave_up = *stop.borrow() || awake().saturating_sub(begun) >= self.patience;
            match self.app.store.db().answers().await {
                Ok(()) => break,
                Err(again) if again.is_away() && !gave_up => {}
                Err(again) => return Err(again.into()),
            }
        }
        // Locks that were free before may have been held while nobody could look.
        self.watch.forget();
        (self.on)(&Progress::Back);
        Ok(())
    }

    /// Others may count this process as gone: its tasks end, and it goes on under another id. What they were doing has
    /// an unknown outcome, and is looked at.
    pub(super) async fn keep_right(&mut self) -> Result<(), AppError> {
        if self.worker.right().holds() {
            return Ok(());
        }
        while let Some(joined) = self.tasks.try_join_next() {
            self.take(joined);
        }
        self.tasks.shutdown().await;
        let worker = self.app.store.become_worker().await?;
        let former = std::mem::replace(&mut self.worker, worker);
        self.former.push(former.id.clone());
        self.actor = Actor::engine(self.worker.id.clone());
        (self.on)(&Progress::NewWorker { id: self.worker.id.clone() });
        Ok(())
    }
}
