//! Carries out the plans that people asked the server to carry out. Every replica does: they share a plan as any number of `quell respond` do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quell_app::clock::now;
use quell_app::driver::{self, Ended, PATIENCE, Run};
use quell_app::{App, AppError, Tick};
use quell_core::IncidentId;
use quell_core::event::Actor;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::{self, JoinHandle, JoinSet};

use crate::feed::Feed;

/// Plans of which nothing was heard are looked at again so often: a worker may have died without a word.
const AGAIN: Duration = Duration::from_secs(5);

/// Drives plans until it is told to stop.
#[derive(Debug)]
pub(crate) struct Engine {
    task: JoinHandle<()>,
    /// Plans that this server cannot carry out now, with the reason.
    pub(crate) troubles: Troubles,
}

/// Why plans do not go on here: the inventory changed, the database is away. Shown in the room; another replica may do better.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<IncidentId, String>>>);

impl Troubles {
    fn set(&self, id: IncidentId, words: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            Some(words) => all.insert(id, words),
            None => all.remove(&id),
        };
    }

    /// Why the plan of this incident does not go on here.
    pub(crate) fn of(&self, id: IncidentId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Engine {
    /// Takes up what was asked for.
    pub(crate) async fn start(
        apps: watch::Receiver<Arc<App>>,
        feed: &Feed,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, AppError> {
        let news = feed.listen();
        let store = Arc::clone(&apps.borrow().store);
        let asked = store.streams_with("response.asked").await?;
        let asked = asked.iter().filter_map(|stream| stream.parse().ok()).collect();
        let troubles = Troubles::default();
        let told = troubles.clone();
        let task = tokio::spawn(async move {
            let (running, runs) = (BTreeSet::new(), JoinSet::new());
            let tasks = BTreeMap::new();
            Plans { apps, asked, running, runs, tasks, troubles: told, stop }.drive(news).await;
        });
        Ok(Self { task, troubles })
    }

    /// Waits until what runs has ended and is recorded.
    pub(crate) async fn end(self) {
        // A panic in there was printed already.
        drop(self.task.await);
    }
}

/// How a run came home.
type Home = Result<Ended, AppError>;

struct Plans {
    /// With the inventory of now; a plan that runs goes on with the one that it began with.
    apps: watch::Receiver<Arc<App>>,
    /// Incidents whose plan the server was asked to carry out and that may be open.
    asked: BTreeSet<IncidentId>,
    running: BTreeSet<IncidentId>,
    runs: JoinSet<Home>,
    tasks: BTreeMap<task::Id, IncidentId>,
    troubles: Troubles,
    stop: watch::Receiver<bool>,
}

impl Plans {
    async fn drive(mut self, mut news: broadcast::Receiver<Arc<Tick>>) {
        let mut due = self.asked.clone();
        let mut every = tokio::time::interval(AGAIN);
        loop {
            for id in std::mem::take(&mut due) {
                self.take_up(id).await;
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                heard = news.recv() => match heard {
                    Ok(tick) => due.extend(self.heard(&tick)),
                    Err(RecvError::Lagged(_)) => due.extend(&self.asked),
                    Err(RecvError::Closed) => break,
                },
                Some(joined) = self.runs.join_next_with_id(), if !self.runs.is_empty() => self.joined(joined),
                _tick = every.tick() => due.extend(&self.asked),
                _ended = stop.wait_for(|stop| *stop) => break,
            }
        }
        while self.runs.join_next().await.is_some() {}
    }

    /// The incident that may have something to do now.
    fn heard(&mut self, tick: &Tick) -> Option<IncidentId> {
        let id = tick.stream.parse().ok()?;
        if tick.kind == "response.asked" {
            self.asked.insert(id);
        }
        self.asked.contains(&id).then_some(id)
    }

    async fn take_up(&mut self, id: IncidentId) {
        if self.running.contains(&id) {
            return;
        }
        // A database that is away is asked again with the next tick.
        let app = self.apps.borrow().acting_as(Actor::engine("server"));
        let Ok(incident) = app.incident(id).await else { return };
        if incident.closed.is_some() {
            self.asked.remove(&id);
        }
        let moves = incident.machine.as_ref().is_some_and(|machine| machine.has_work(now()));
        if !incident.is_to_be_driven() || !moves {
            // Nothing to do here: what kept it from going on is over, or is another server's.
            self.troubles.set(id, None);
            return;
        }
        // Asked for this plan: what is made meanwhile waits for a person's word.
        let only = incident.asked;
        self.running.insert(id);
        let stop = self.stop.clone();
        let run = self.runs.spawn(async move {
            let run = Run { stop, return_when_idle: true, failpoint: None, patience: PATIENCE, only };
            driver::run(app, id, run, &mut |_| {}).await
        });
        self.tasks.insert(run.id(), id);
    }

    /// A run that panicked is taken up again like one that ended.
    fn joined(&mut self, joined: Result<(task::Id, Home), task::JoinError>) {
        let task = joined.as_ref().map_or_else(task::JoinError::id, |(task, _)| *task);
        let Some(id) = self.tasks.remove(&task) else { return };
        match joined {
            Ok((_, home)) => self.ended(id, home),
            Err(error) => {
                self.running.remove(&id);
                self.troubles.set(id, Some(format!("a run of this plan ended without a word: {error}")));
            }
        }
    }

    fn ended(&mut self, id: IncidentId, ended: Result<Ended, AppError>) {
        self.running.remove(&id);
        let words = ended.err().map(|error| {
            std::iter::once(error.to_string()).chain(error.hints()).collect::<Vec<_>>().join("; ")
        });
        self.troubles.set(id, words);
    }
}
