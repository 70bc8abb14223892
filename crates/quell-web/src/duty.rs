//! What a server does besides answering: carrying out plans, working deliveries off, looking for news. One that ends by itself is begun again, and
//! `/readyz` says so until it has gone well for a while.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// How quickly it is begun again, and how long it must have gone well to count as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Before the first new beginning; each further one takes twice as long.
    pub(crate) pause: Duration,
    /// No pause is longer.
    pub(crate) longest: Duration,
    /// What has gone on for so long is well.
    pub(crate) well: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            well: Duration::from_secs(5),
        }
    }
}

/// How a duty stands.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// What it does, in words.
    pub(crate) name: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<String>,
    begun_again: u64,
}

impl Health {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why it ended, until it has gone well for a while again.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// How often it was begun again.
    pub(crate) fn begun_again(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).begun_again
    }
}

/// Something else that the process does for as long as it serves: kept going like what the server does itself, and said by `/readyz` when it does not go on.
#[derive(Clone)]
pub struct Beside {
    /// What it does, in words.
    name: &'static str,
    work: Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Beside {
    /// `work` is begun again whenever it ends, and broken off when the server ends.
    pub fn new<F>(name: &'static str, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name, work: Arc::new(move || Box::pin(work())) }
    }

    pub(crate) fn begin(self, pace: Pace, stop: watch::Receiver<bool>) -> Duty {
        let (work, end) = (self.work, stop.clone());
        Duty::begin(self.name, pace, stop, move || {
            let (run, mut end) = (work(), end.clone());
            async move {
                tokio::select! {
                    () = run => {}
                    _ended = end.wait_for(|stop| *stop) => {}
                }
            }
        })
    }
}

/// Something that goes on for as long as the server does.
#[derive(Debug)]
pub(crate) struct Duty {
    /// For `/readyz` and `/metrics`.
    pub(crate) health: Health,
    task: JoinHandle<()>,
}

impl Duty {
    /// Begins it, and begins it again whenever it ends before `stop` turns true.
    pub(crate) fn begin<F>(
        name: &'static str,
        pace: Pace,
        stop: watch::Receiver<bool>,
        work: impl Fn() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let health = Health { name, state: Arc::default() };
        let told = health.clone();
        Self { health, task: tokio::spawn(async move { go_on(&told, pace, stop, work).await }) }
    }

    /// Waits until what it does has come to its end.
    pub(crate) async fn end(self) {
        // A panic in there was printed already.
        drop(self.task.await);
    }
}

async fn go_on<F>(health: &Health, pace: Pace, mut stop: watch::Receiver<bool>, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = pace.pause;
    loop {
        // In a task of its own: a panic ends it and not us.
        let mut run = pin!(tokio::spawn(work()));
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = tokio::time::sleep(pace.well) => {
                health.set(|state| state.trouble = None);
                pause = pace.pause;
                run.await
            }
        };
        if *stop.borrow() {
            return;
        }
        let why = why(ended);
        tracing::error!(duty = health.name, "it ended by itself, and is begun again");
        health.set(|state| {
            state.trouble = Some(why);
            state.begun_again += 1;
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ended = stop.wait_for(|stop| *stop) => return,
        }
        pause = (pause * 2).min(pace.longest);
    }
}

fn why(ended: Result<(), JoinError>) -> String {
    let Err(error) = ended else { return "it ended".to_owned() };
    let Ok(panic) = error.try_into_panic() else { return "it was given up".to_owned() };
    let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trouble() {
            None => write!(f, "{} goes on", self.name),
            Some(why) => write!(f, "{} ended ({why}) and is begun again", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const QUICK: Pace = Pace {
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        well: Duration::from_millis(20),
    };

    async fn until(met: impl Fn() -> bool) {
        for _ in 0..500 {
            if met() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come to that");
    }

    #[tokio::test]
    async fn what_panics_is_begun_again_and_said_until_it_goes_well() {
        let (end, stop) = watch::channel(false);
        let (begun, may) = (Arc::new(AtomicU64::new(0)), watch::channel(false));
        let (counted, mut waits) = (Arc::clone(&begun), may.1.clone());
        waits.mark_unchanged();
        let own = stop.clone();
        let duty = Duty::begin("the engine", QUICK, stop, move || {
            let (number, mut own, waits) =
                (counted.fetch_add(1, Ordering::SeqCst), own.clone(), waits.clone());
            async move {
                assert!(number > 0 && *waits.borrow(), "the first ones do not go well");
                drop(own.wait_for(|stop| *stop).await);
            }
        });
        until(|| begun.load(Ordering::SeqCst) >= 3).await;
        let said = duty.health.to_string();
        assert_eq!(said, "the engine ended (the first ones do not go well) and is begun again");
        may.0.send_replace(true);
        until(|| duty.health.trouble().is_none()).await;
        assert!(duty.health.begun_again() >= 2);
        assert_eq!(duty.health.to_string(), "the engine goes on");
        end.send_replace(true);
        duty.end().await;
    }

    #[tokio::test]
    async fn what_ends_because_the_server_ends_is_no_trouble() {
        let (end, stop) = watch::channel(false);
        let own = stop.clone();
        let duty = Duty::begin("the intake", QUICK, stop, move || {
            let mut own = own.clone();
            async move { drop(own.wait_for(|stop| *stop).await) }
        });
        let health = duty.health.clone();
        end.send_replace(true);
        duty.end().await;
        assert_eq!((health.trouble(), health.begun_again()), (None, 0));
    }
}
