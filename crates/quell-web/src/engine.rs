//! Carries out the plans that people asked the server to carry out, and sends the notices that they sent. Every replica does: they share a plan as any
//! number of `quell respond` do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quell_app::clock::now;
use quell_app::driver::{self, Ended, PATIENCE, Run};
use quell_app::{App, AppError, Tick, notice, projection};
use quell_core::IncidentId;
use quell_core::event::Actor;
use quell_core::incident::Incident;
use quell_core::incident::notice::{Notice, NoticeState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::{self, JoinSet};

use crate::feed::Feed;

/// Plans of which nothing was heard are looked at again so often: a worker may have died without a word.
const AGAIN: Duration = Duration::from_secs(5);

/// Why plans and notices do not go on here: the inventory changed, the database is away. Shown in the room; another replica may do better.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<Work, String>>>);

impl Troubles {
    fn set(&self, work: Work, words: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            Some(words) => all.insert(work, words),
            None => all.remove(&work),
        };
    }

    /// Why the plan of this incident does not go on here.
    pub(crate) fn of_plan(&self, id: IncidentId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(id, None)).cloned()
    }

    /// Why the plan of this incident, or a notice of it, does not go on here.
    pub(crate) fn of(&self, id: IncidentId) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.range((id, None)..).take_while(|((of, _), _)| *of == id);
        let said = own.map(|((_, notice), words)| match notice {
            Some(notice) => format!("{notice} is not sent on: {words}"),
            None => words.clone(),
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// Drives plans until it is told to stop; then waits until what runs has ended and is recorded.
pub(crate) async fn drive(
    apps: watch::Receiver<Arc<App>>,
    feed: Feed,
    troubles: Troubles,
    stop: watch::Receiver<bool>,
) {
    let news = feed.listen();
    let (asked, called, running) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let (runs, tasks) = (JoinSet::new(), BTreeMap::new());
    Plans { apps, asked, called, running, runs, tasks, troubles, stop }.drive(news).await;
}

/// How a run came home.
type Home = Result<Ended, AppError>;

/// What a run is about: an incident's plan, or one of its notices.
type Work = (IncidentId, Option<String>);

struct Plans {
    /// With the inventory of now; a plan that runs goes on with the one that it began with.
    apps: watch::Receiver<Arc<App>>,
    /// Incidents whose plan the server was asked to carry out, or with a notice that may be on its way.
    asked: BTreeSet<IncidentId>,
    /// How many deadlines of an incident had passed when somebody was called.
    called: BTreeMap<IncidentId, usize>,
    running: BTreeSet<Work>,
    runs: JoinSet<Home>,
    tasks: BTreeMap<task::Id, Work>,
    troubles: Troubles,
    stop: watch::Receiver<bool>,
}

impl Plans {
    async fn drive(mut self, mut news: broadcast::Receiver<Arc<Tick>>) {
        let (mut due, mut look) = (BTreeSet::new(), false);
        let mut every = tokio::time::interval(AGAIN);
        loop {
            if std::mem::take(&mut look) {
                self.look().await;
                self.call().await;
                due.extend(&self.asked);
            }
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
                _tick = every.tick() => look = true,
                _ended = stop.wait_for(|stop| *stop) => break,
            }
        }
        while self.runs.join_next().await.is_some() {}
    }

    /// Plans that were asked for before this server listened, or at a moment of which it did not hear. A database that is away is asked again
    /// with the next tick.
    async fn look(&mut self) {
        if let Ok(driven) = projection::driven(&self.app()).await {
            self.asked.extend(driven);
        }
    }

    /// Calls people where a deadline has passed since the last look.
    async fn call(&mut self) {
        let (app, at) = (self.app(), now());
        let Ok(overdue) = projection::overdue(&app, at).await else { return };
        for (id, passed) in overdue {
            if self.called.get(&id) == Some(&passed) {
                continue;
            }
            let Ok(incident) = app.incident_shared(id).await else { continue };
            if notice::raise(&app, &incident, at).await.is_ok() {
                self.called.insert(id, passed);
            }
        }
    }

    /// The incident that may have something to do now.
    fn heard(&mut self, tick: &Tick) -> Option<IncidentId> {
        let id = tick.stream.parse().ok()?;
        // Also a step of a notice: somebody may have asked for another try.
        if tick.kind == "response.asked" || tick.kind.starts_with("notice.s") {
            self.asked.insert(id);
        }
        self.asked.contains(&id).then_some(id)
    }

    async fn take_up(&mut self, id: IncidentId) {
        // A database that is away is asked again with the next tick.
        let app = self.app();
        let Ok(incident) = app.incident_shared(id).await else { return };
        // Written down as a notice, it comes back as one that is to be sent.
        if notice::raise(&app, &incident, now()).await.is_ok_and(|raised| raised > 0) {
            return;
        }
        let telling = self.take_up_notices(&app, &incident);
        if incident.closed.is_some() && !telling {
            self.asked.remove(&id);
        }
        if !self.running.contains(&(id, None)) {
            self.take_up_plan(&app, &incident);
        }
    }

    fn take_up_plan(&mut self, app: &Arc<App>, incident: &Incident) {
        let id = incident.id;
        let moves = incident.machine.as_ref().is_some_and(|machine| machine.has_work(now()));
        if !incident.is_to_be_driven() || !moves {
            // Nothing to do here: what kept it from going on is over, or is another server's.
            self.troubles.set((id, None), None);
            return;
        }
        // Asked for this plan: what is made meanwhile waits for a person's word.
        let (app, run) = (Arc::clone(app), self.options(incident.asked.clone()));
        let run = self.runs.spawn(async move { driver::run(app, id, run, &mut |_| {}).await });
        self.running.insert((id, None));
        self.tasks.insert(run.id(), (id, None));
    }

    /// Every notice of an incident that somebody sent and that is not over. Are there any?
    fn take_up_notices(&mut self, app: &Arc<App>, incident: &Incident) -> bool {
        let on_its_way = |notice: &Notice| notice.state() == NoticeState::Sending;
        let mut any = false;
        for notice in &incident.notices {
            if !on_its_way(notice) {
                self.troubles.set((incident.id, Some(notice.notice.clone())), None);
                continue;
            }
            any = true;
            let work = (incident.id, Some(notice.notice.clone()));
            if notice.sent.as_ref().is_some_and(|sent| sent.machine.has_work(now()))
                && self.running.insert(work.clone())
            {
                let (app, id, name) = (Arc::clone(app), incident.id, notice.notice.clone());
                let run = self.options(None);
                let run = self.runs.spawn(async move { driver::tell(app, id, &name, run).await });
                self.tasks.insert(run.id(), work);
            }
        }
        any
    }

    /// The installation, asked by the server.
    fn app(&self) -> Arc<App> {
        self.apps.borrow().acting_as(Actor::engine("server"))
    }

    fn options(&self, only: Option<String>) -> Run {
        Run { stop: self.stop.clone(), return_when_idle: true, failpoint: None, patience: PATIENCE, only }
    }

    /// A run that panicked is taken up again like one that ended.
    fn joined(&mut self, joined: Result<(task::Id, Home), task::JoinError>) {
        let task = joined.as_ref().map_or_else(task::JoinError::id, |(task, _)| *task);
        let Some(work) = self.tasks.remove(&task) else { return };
        self.running.remove(&work);
        // What a channel refuses is seen at the notice itself; this is about what kept the run from going on at all.
        let words = match joined {
            Ok((_, Ok(_))) => None,
            Ok((_, Err(error))) => {
                let all = std::iter::once(error.to_string()).chain(error.hints());
                Some(all.collect::<Vec<_>>().join("; "))
            }
            Err(error) => Some(format!("the run ended without a word: {error}")),
        };
        self.troubles.set(work, words);
    }
}
