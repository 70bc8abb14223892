//! What keeps an attempt from acting after it was overtaken: the process was stopped, the machine slept, the lock was
//! lost, the clock of another replica is ahead.
//!
//! Just before the first call the stream is read once more. From then on the deadline and the worker's right are looked
//! at each time the attempt is about to go on, before it goes on. What is left is the moment between that look and the
//! bytes on the wire; there a repeated call finds the first one's effect, which is every connector's contract.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use quell_core::StepId;
use quell_core::event::Event;
use quell_core::outcome::Outcome;
use quell_store::{Right, Store, awake};

use super::Of;

/// How often a deadline is looked at while nothing happens.
const BEAT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Fence {
    pub(super) stream: String,
    /// Which machine the step is of.
    pub(super) of: Of,
    /// The position after the attempt's own intent.
    pub(super) from: u64,
    pub(super) step: StepId,
    pub(super) right: Right,
    /// The attempt's deadline, by [`awake`].
    pub(super) until: Duration,
}

impl Fence {
    fn closed(&self) -> Option<&'static str> {
        if awake() >= self.until {
            Some("no answer within the step's limit")
        } else if self.right.holds() {
            None
        } else {
            Some("the worker lost its lock while the step ran, so another may have taken it over")
        }
    }

    /// Nobody has said anything about the step since its intent. While the database is away nobody can, and nothing is
    /// begun either.
    pub(super) async fn is_ours(&self, store: &Store) -> Result<(), Outcome> {
        loop {
            if let Some(why) = self.closed() {
                return Err(Outcome::unknown(why));
            }
            let newer = match store.read_stream(&self.stream, self.from).await {
                Ok(newer) => newer,
                Err(error) if error.is_away() => {
                    tokio::time::sleep(BEAT).await;
                    continue;
                }
                // Nothing was sent.
                Err(error) => return Err(Outcome::retry(error.to_string())),
            };
            let taken = newer.iter().any(|entry| {
                let replaced = self.of == Of::Plan && matches!(entry.event, Event::PlanMade { .. });
                replaced || self.of.step_event(&entry.event).is_some_and(|event| *event.step() == self.step)
            });
            return if taken {
                Err(Outcome::unknown("another worker has taken the step over"))
            } else {
                Ok(())
            };
        }
    }

    /// Lets the work go on for as long as the attempt may.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Outcome> {
        let mut work = pin!(work);
        let mut beat = tokio::time::interval(BEAT);
        poll_fn(|context| {
            while beat.poll_tick(context).is_ready() {}
            match self.closed() {
                Some(why) => Poll::Ready(Err(Outcome::unknown(why))),
                None => work.as_mut().poll(context).map(Ok),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fence(until: Duration, right: Right) -> Fence {
        Fence {
            of: Of::Plan,
            stream: "INC-2026-0001".to_owned(),
            from: 3,
            step: "a.install".parse().unwrap(),
            right,
            until,
        }
    }

    /// A right that no lock stands behind.
    async fn right(folder: &std::path::Path) -> Right {
        let source = quell_store::KekSource::File(None);
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let store = Store::init(folder, None, &source, now).await.unwrap();
        store.become_worker().await.unwrap().right()
    }

    #[tokio::test]
    async fn work_does_not_go_on_after_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let right = right(folder.path()).await;
        let steps = Cell::new(0);
        let work = async || {
            steps.set(steps.get() + 1);
            // As a process that is stopped here: it is ready to go on, and too late.
            std::thread::sleep(Duration::from_millis(60));
            tokio::task::yield_now().await;
            steps.set(steps.get() + 1);
        };
        let late = fence(awake() + Duration::from_millis(30), right.clone()).within(work()).await;
        assert!(matches!(&late, Err(Outcome::Unknown { reason }) if reason.contains("limit")), "{late:?}");
        assert_eq!(steps.get(), 1, "it went on although its time was over");
        let over = fence(awake(), right.clone()).within(work()).await;
        assert!(over.is_err());
        assert_eq!(steps.get(), 1, "it began although its time was over");
        let in_time = fence(awake() + Duration::from_mins(1), right).within(work()).await;
        assert_eq!((in_time, steps.get()), (Ok(()), 3));
    }
}
