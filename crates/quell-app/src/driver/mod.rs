//! Runs a plan: claims steps, performs them, records what happened. Any number of processes may drive one plan. A notice that somebody sent is a
//! small plan of its own, and goes out in the same way.
//!
//! The one rule that everything hangs on: events are committed at the expected position *before* the actions that
//! follow from them begin; whoever loses the race reads the stream again and decides anew.

mod channel;
mod failpoint;
mod fence;
mod notify;
mod outage;
mod perform;
mod span;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use quell_core::event::{Actor, Event, SealedRef, ValueRole};
use quell_core::incident::{Clock, Incident, notice};
use quell_core::plan::{Action, Hold, Machine, Phase, Step, StepAction, StepEvent, StepState};
use quell_core::{IncidentId, SecretId, StepId};
use quell_store::{Batch, NewEntry, Sealed, StoreError, Watch, WorkerGuard};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::systems::{Systems, inventory_hash};
use crate::{App, AppError};

pub use failpoint::Failpoint;

/// Steps in flight per process.
const ROOM: usize = 64;
/// How often other processes' doings (approvals, dead workers) are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Something is due and has no room: a task that ends makes room and wakes us, another process does not.
const NO_ROOM: Duration = Duration::from_millis(20);
/// Never in a spin.
const SHORTEST: Duration = Duration::from_millis(2);

/// What the driver tells its caller while it runs.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The plan's hash, secrets that are proven and all, steps that are done and all.
    Begun { plan_hash: String, proven: Vec<SecretId>, secrets: usize, done: usize, all: usize },
    /// An event was committed.
    Event { at: Timestamp, event: StepEvent },
    /// A step waits for people.
    NeedsApproval { step: Box<Step> },
    /// A step is a person's to do.
    ForPeople { step: Box<Step> },
    /// A step gave up.
    Stuck { step: StepId, reason: String },
    /// Too many secrets could not be done: no further one is begun.
    Held { hold: Hold },
    /// The database does not answer. Nothing new is begun until it does.
    Away { why: String },
    /// The database answers again.
    Back,
    /// Its lock was lost, so others may count this process as gone: it goes on as another worker, and what was under
    /// way is looked at first.
    NewWorker { id: String },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every step is applied or skipped.
    Done,
    /// Only people can get it further: approvals are missing.
    NeedsApproval,
    /// Only people can get it further: something is theirs to do.
    NeedsPeople,
    /// Only people can get it further: a step gave up.
    Stuck,
    /// Somebody, or too many failures, stopped the plan for now; only a person lets it go on.
    Held,
    /// The caller asked to stop. Nothing is running.
    Interrupted,
}

/// How to run.
#[derive(Debug)]
pub struct Run {
    /// Set to true to stop: running steps end, nothing new starts.
    pub stop: tokio::sync::watch::Receiver<bool>,
    /// Return as soon as only people can get it further; else wait for them.
    pub return_when_idle: bool,
    /// Where to die, in crash tests.
    pub failpoint: Option<Failpoint>,
    /// How long to wait for a database that is away.
    pub patience: Duration,
    /// Hash of the plan that is meant: where another one takes its place, nothing new starts.
    pub only: Option<String>,
}

/// Long enough for a restart, a failover, an upgrade of the database.
pub const PATIENCE: Duration = Duration::from_mins(10);

impl Run {
    /// Runs until only people can get it further.
    pub fn until_idle() -> Self {
        let (keep, stop) = tokio::sync::watch::channel(false);
        // Nobody will ever ask to stop; keep the channel open so that waiting on it pends.
        drop(tokio::spawn(async move { keep.closed().await }));
        Self { stop, return_when_idle: true, failpoint: None, patience: PATIENCE, only: None }
    }
}

/// What a task brings home.
struct Done {
    step: StepId,
    attempt: u32,
    phase: Phase,
    result: perform::Performed,
}

/// Which of an incident's machines is driven.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Of {
    /// The plan that holds.
    Plan,
    /// A notice that somebody sent.
    Notice(String),
}

impl Of {
    /// A machine to go on with: the incident keeps its own, which knows only what is durable.
    fn machine(&self, incident: &Incident) -> Result<Machine, AppError> {
        match self {
            Self::Plan => crate::plan::machine(incident).cloned(),
            Self::Notice(notice) => {
                let sent = incident.notice(notice).and_then(|it| it.sent.as_ref());
                let missing = || AppError::NotFound { what: "notice", id: notice.clone() };
                sent.map(|sent| sent.machine.clone()).ok_or_else(missing)
            }
        }
    }

    fn event(&self, event: StepEvent) -> Event {
        match self {
            Self::Plan => Event::Step(event),
            Self::Notice(notice) => Event::NoticeStep { notice: notice.clone(), event },
        }
    }

    /// What an entry says of a step of this machine.
    fn step_event<'a>(&self, event: &'a Event) -> Option<&'a StepEvent> {
        match (self, event) {
            (Self::Plan, Event::Step(event)) => Some(event),
            (Self::Notice(own), Event::NoticeStep { notice, event }) if own == notice => Some(event),
            _ => None,
        }
    }
}

struct Driver<'a> {
    app: Arc<App>,
    id: IncidentId,
    of: Of,
    worker: WorkerGuard,
    actor: Actor,
    incident: Incident,
    machine: Machine,
    systems: BTreeMap<SecretId, Arc<Systems>>,
    tasks: JoinSet<Done>,
    pending: Vec<Done>,
    on: &'a mut (dyn FnMut(&Progress) + Send),
    failpoint: Option<Failpoint>,
    time: crate::clock::Forward,
    /// Attempts whose tasks this process has begun.
    begun: BTreeSet<(StepId, u32)>,
    /// Ids that this process had before, whose tasks have ended.
    former: Vec<String>,
    watch: Watch,
    /// A commit may have gone through without an answer: read before anything is decided.
    doubtful: bool,
    patience: Duration,
    only: Option<String>,
}

/// Why a plan does not go on whose successor nobody trusts.
fn stale(id: IncidentId) -> AppError {
    AppError::Usage(format!(
        "the plan of {id} is for a successor that was given up; `quell plan {id} --again` makes one for another"
    ))
}

/// Drives the plan of an incident. The plan must exist.
pub async fn run(
    app: Arc<App>,
    id: IncidentId,
    options: Run,
    on: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Ended, AppError> {
    let incident = app.incident(id).await?;
    if incident.stale {
        return Err(stale(id));
    }
    crate::plan::enough_people(&app, &incident)?;
    drive(app, incident, Of::Plan, options, on).await
}

/// Sends a notice that somebody wrote and sent, by every channel that it was sent by. Ends when each has it or gave up.
pub async fn tell(app: Arc<App>, id: IncidentId, notice: &str, options: Run) -> Result<Ended, AppError> {
    let incident = app.incident(id).await?;
    drive(app, incident, Of::Notice(notice.to_owned()), options, &mut |_| {}).await
}

async fn drive(
    app: Arc<App>,
    incident: Incident,
    of: Of,
    options: Run,
    on: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Ended, AppError> {
    let id = incident.id;
    let machine = of.machine(&incident)?;
    let systems = build_systems(&app, &of, &machine)?;
    let worker = app.store.become_worker().await?;
    let actor = Actor::engine(worker.id.clone());
    let offset = app.store.db().clock_offset(crate::clock::now()).await?;
    let mut driver = Driver {
        app,
        id,
        of,
        worker,
        actor,
        incident,
        machine,
        systems,
        tasks: JoinSet::new(),
        pending: Vec::new(),
        on,
        failpoint: options.failpoint,
        time: crate::clock::Forward::ahead(offset),
        begun: BTreeSet::new(),
        former: Vec::new(),
        watch: Watch::default(),
        doubtful: false,
        patience: options.patience,
        only: options.only,
    };
    driver.begin();
    driver.run(options.stop, options.return_when_idle).await
}

/// Builds the connectors, and refuses to run a plan against another inventory than it was made from.
fn build_systems(
    app: &App,
    of: &Of,
    machine: &Machine,
) -> Result<BTreeMap<SecretId, Arc<Systems>>, AppError> {
    let plan = machine.plan();
    let mut systems = BTreeMap::new();
    let mut secrets = Vec::new();
    for id in &plan.secrets {
        let secret = app
            .inventory
            .secrets
            .get(id)
            .ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })?;
        systems.insert(id.clone(), Arc::new(Systems::build(secret, &app.context)?));
        secrets.push(secret);
    }
    // A notice is about no secret: a channel that is gone or changed is said by its step.
    if *of != Of::Plan || inventory_hash(app, secrets) == plan.inventory {
        Ok(systems)
    } else {
        Err(AppError::Usage(format!(
            "the inventory has changed since plan {} was made; `quell plan {} --again` makes a new one",
            short(machine.plan_hash()),
            plan.incident
        )))
    }
}

/// Why a plan goes no further without people; none while a worker finds something to do, or something runs.
pub fn standing(machine: &Machine, now: Timestamp) -> Option<Ended> {
    if machine.is_done() {
        return Some(Ended::Done);
    }
    (!machine.has_work(now)).then(|| waits_for(machine))
}

/// What a plan that is idle waits for.
fn waits_for(machine: &Machine) -> Ended {
    if machine.is_asking() {
        Ended::NeedsApproval
    } else if machine.held().is_some() {
        Ended::Held
    } else if machine.is_with_people() && machine.gave_up_none() {
        Ended::NeedsPeople
    } else {
        Ended::Stuck
    }
}

/// The first digits of a hash, for people.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

impl Driver<'_> {
    fn begin(&mut self) {
        let done = self.machine.states().filter(|(_, s)| s.satisfies()).count();
        let plan_hash = self.machine.plan_hash().to_owned();
        let plan = self.machine.plan();
        let is_proven = |id: &&SecretId| self.incident.proof(id).is_some_and(|p| p.inert);
        let proven = plan.secrets.iter().filter(is_proven).cloned().collect();
        let (secrets, all) = (plan.secrets.len(), plan.steps.len());
        (self.on)(&Progress::Begun { plan_hash, proven, secrets, done, all });
    }

    async fn run(
        &mut self,
        mut stop: tokio::sync::watch::Receiver<bool>,
        return_when_idle: bool,
    ) -> Result<Ended, AppError> {
        loop {
            match self.round(&mut stop, return_when_idle).await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(AppError::Store(error)) if error.is_away() => self.wait_out(error, &mut stop).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn round(
        &mut self,
        stop: &mut tokio::sync::watch::Receiver<bool>,
        return_when_idle: bool,
    ) -> Result<Option<Ended>, AppError> {
        if self.doubtful {
            self.refresh().await?;
            self.doubtful = false;
        }
        self.keep_right().await?;
        self.look_for_dead_workers().await?;
        let stopping = *stop.borrow() || self.is_stale() || self.is_another_plan();
        if !self.turn(stopping).await? {
            self.refresh().await?;
            return Ok(None);
        }
        let now = self.time.now(self.incident.last_at);
        if let Some(ended) = self.ended(now, stopping, return_when_idle) {
            return if self.is_stale() { Err(stale(self.id)) } else { Ok(Some(ended)) };
        }
        self.wait(stop).await;
        if self.pending.is_empty()
            && self.app.store.next_pos(&self.id.to_string()).await? != self.incident.next_pos
        {
            self.refresh().await?;
        }
        Ok(None)
    }

    /// Reports what came home, starts what can start, commits, acts. False when somebody else was faster.
    async fn turn(&mut self, stopping: bool) -> Result<bool, AppError> {
        let at = self.time.now(self.incident.last_at);
        let mut entries: Vec<NewEntry> = Vec::new();
        let mut sealed: Vec<Sealed> = Vec::new();
        for done in &self.pending {
            let reported =
                self.machine.report(at, &done.step, done.attempt, done.phase, done.result.outcome.clone());
            // A refused report is a late one: the step went on without us. What it sealed is of no use to anybody.
            if reported.is_ok() {
                entries.extend(done.result.entries.iter().cloned());
                sealed.extend(done.result.sealed.iter().cloned());
            }
            drain(&mut self.machine, &self.of, &self.actor, &mut entries);
        }
        for former in &self.former {
            self.machine.worker_lost(former);
        }
        drain(&mut self.machine, &self.of, &self.actor, &mut entries);
        let room = if stopping { 0 } else { ROOM.saturating_sub(self.tasks.len()) };
        self.machine.advance(at, &self.worker.id, room);
        drain(&mut self.machine, &self.of, &self.actor, &mut entries);
        let held = self.machine.poll_hold();
        entries.extend(
            held.iter().map(|hold| NewEntry::new(self.actor.clone(), Event::PlanHeld { hold: hold.clone() })),
        );
        self.clocks(at, &mut entries);
        if !entries.is_empty() {
            for done in &self.pending {
                self.die(&done.step, "before-result");
            }
            let mut batch = Batch::new(self.id, self.incident.next_pos);
            for entry in entries {
                batch.push(entry);
            }
            batch.sealed = sealed;
            match self.app.store.append(batch, at).await {
                Ok(written) => {
                    for entry in &written {
                        self.incident.apply(entry);
                        if let Some(event) = self.of.step_event(&entry.event) {
                            (self.on)(&Progress::Event { at: entry.at, event: event.clone() });
                        }
                    }
                }
                Err(StoreError::Conflict { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            for done in &self.pending {
                self.die(&done.step, "after-result");
            }
        }
        self.pending.clear();
        if let Some(hold) = held {
            (self.on)(&Progress::Held { hold });
        }
        while let Some(action) = self.machine.poll_action() {
            self.act(action);
        }
        Ok(true)
    }

    /// The first response is the first step that changes or reads anything. A notice meets the clock that waits for it when somebody has it.
    fn clocks(&self, at: Timestamp, entries: &mut Vec<NewEntry>) {
        let steps = entries.iter().filter_map(|entry| self.of.step_event(&entry.event));
        let events = match &self.of {
            Of::Plan => {
                let mut steps = steps;
                if !steps.any(|step| matches!(step, StepEvent::Started { .. })) {
                    return;
                }
                let open = |c: &&Clock| c.name == "first-response" && c.met.is_none();
                let clocks = self.incident.clocks.iter().filter(open);
                clocks.map(|clock| Event::ClockMet { clock: clock.name.clone() }).collect()
            }
            Of::Notice(id) => {
                let mut met = steps.map(|step| notice::met(&self.incident, id, step, at));
                met.find(|events| !events.is_empty()).unwrap_or_default()
            }
        };
        entries.extend(events.into_iter().map(|event: Event| NewEntry::new(self.actor.clone(), event)));
    }

    /// The plan is for a successor that nobody trusts any more.
    fn is_stale(&self) -> bool {
        self.of == Of::Plan && self.incident.stale
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run { step, attempt, phase } => self.start(&step, attempt, phase),
            Action::AskApproval { step } => {
                if let Some(step) = self.machine.plan().step(&step).cloned() {
                    (self.on)(&Progress::NeedsApproval { step: Box::new(step) });
                }
            }
            Action::HandOver { step } => {
                if let Some(step) = self.machine.plan().step(&step).cloned() {
                    (self.on)(&Progress::ForPeople { step: Box::new(step) });
                }
            }
            Action::Page { step, reason } => (self.on)(&Progress::Stuck { step, reason }),
        }
    }

    fn start(&mut self, id: &StepId, attempt: u32, phase: Phase) {
        let Some(step) = self.machine.plan().step(id).cloned() else { return };
        if !self.begun.insert((id.clone(), attempt)) {
            return;
        }
        self.die(id, "after-intent");
        let fence = self.fence(id);
        let job = perform::Job {
            app: Arc::clone(&self.app),
            incident: self.id,
            notice: if let Of::Notice(notice) = &self.of { Some(notice.clone()) } else { None },
            strategy: self.machine.plan().strategy,
            actor: self.actor.clone(),
            systems: step.secret.as_ref().and_then(|s| self.systems.get(s)).map(Arc::clone),
            known: self.known(&step),
            attempt,
            phase,
            step,
        };
        let (id, failpoint) = (id.clone(), self.failpoint.clone());
        let span = span::of(self.id, &id, attempt, phase);
        let work = async move {
            let result = match fence.is_ours(&job.app.store).await {
                Ok(()) => {
                    if let Some(failpoint) = &failpoint {
                        failpoint.hit(&id, "before-call");
                    }
                    fence.within(perform::perform(&job)).await
                }
                Err(why) => Err(why),
            };
            let result = result.unwrap_or_else(perform::Performed::just);
            span::told(&result.outcome);
            Done { step: id, attempt, phase, result }
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// What holds up an attempt that has been overtaken.
    fn fence(&mut self, step: &StepId) -> fence::Fence {
        let now = self.time.now(self.incident.last_at);
        let mut left = jiff::SignedDuration::ZERO;
        if let Some(StepState::Running { deadline, .. }) = self.machine.state(step) {
            left = deadline.duration_since(now);
        }
        fence::Fence {
            stream: self.id.to_string(),
            of: self.of.clone(),
            from: self.incident.next_pos,
            step: step.clone(),
            right: self.worker.right(),
            until: quell_store::awake().saturating_add(Duration::try_from(left).unwrap_or_default()),
        }
    }

    /// What the ledger knows about the step's secret, for the task.
    fn known(&self, step: &Step) -> perform::Known {
        let Some(secret) = &step.secret else {
            return perform::Known {
                incident: Some(Box::new(self.incident.clone())),
                ..perform::Known::default()
            };
        };
        let all_new: Vec<SealedRef> = self
            .incident
            .sealed
            .iter()
            .filter(|s| s.secret == *secret && s.role == ValueRole::New)
            .cloned()
            .collect();
        perform::Known {
            old: self.incident.old_values(secret).into_iter().cloned().collect(),
            new: all_new.last().cloned(),
            baselines: self
                .incident
                .baselines
                .iter()
                .filter(|((s, _), _)| s == secret)
                .map(|((_, consumer), seen)| (consumer.clone(), seen.clone()))
                .collect(),
            cutoff: crate::proof::session_cutoff(&self.incident, secret),
            written: matches!(step.action, StepAction::Look | StepAction::WriteStore { .. })
                && self.written(secret),
            seen_valid: self.incident.seen_valid(secret),
            ended: self.was_disabled(secret),
            given_up: self.incident.distrusted_of(secret),
            incident: None,
        }
    }

    fn was_disabled(&self, secret: &SecretId) -> bool {
        self.incident.facts.keys().any(|step| step.as_str().strip_prefix(secret.as_str()) == Some(".disable"))
    }

    /// A store of it was written in this plan or an earlier one, or may have been.
    fn written(&self, secret: &SecretId) -> bool {
        let first = format!("{secret}.store-");
        let writes = |step: &StepId| step.as_str().starts_with(&first);
        self.incident.facts.keys().any(writes) || self.incident.doubts.iter().any(writes)
    }

    fn die(&self, step: &StepId, place: &str) {
        if let Some(failpoint) = &self.failpoint {
            failpoint.hit(step, place);
        }
    }

    async fn look_for_dead_workers(&mut self) -> Result<(), AppError> {
        let others: Vec<String> =
            self.machine.workers().into_iter().filter(|w| *w != self.worker.id).map(str::to_owned).collect();
        for other in others {
            if self.watch.is_gone(&self.app.store, &other).await? {
                self.machine.worker_lost(&other);
            }
        }
        Ok(())
    }

    /// Nobody asked for the plan that holds now.
    fn is_another_plan(&self) -> bool {
        self.only.as_deref().is_some_and(|only| only != self.machine.plan_hash())
    }

    /// Reads what somebody else wrote to the stream.
    async fn refresh(&mut self) -> Result<(), AppError> {
        self.app.catch_up(&mut self.incident).await?;
        let machine = self.of.machine(&self.incident)?;
        if machine.plan_hash() != self.machine.plan_hash() {
            self.systems = build_systems(&self.app, &self.of, &machine)?;
            // Attempts are counted anew in each plan.
            self.begun.clear();
        }
        self.machine = machine;
        self.adopt();
        Ok(())
    }

    /// A commit of ours went through and its answer was lost: what it says has begun is begun now.
    fn adopt(&mut self) {
        let mut ours = Vec::new();
        for (step, state) in self.machine.states() {
            if let StepState::Running { attempt, phase, worker, .. } = state
                && *worker == self.worker.id
            {
                ours.push((step.id.clone(), *attempt, *phase));
            }
        }
        for (step, attempt, phase) in ours {
            self.start(&step, attempt, phase);
        }
    }

    fn ended(&self, now: Timestamp, stopping: bool, return_when_idle: bool) -> Option<Ended> {
        if !self.tasks.is_empty() || !self.pending.is_empty() {
            return None;
        }
        if self.machine.is_done() {
            return Some(Ended::Done);
        }
        if stopping {
            return Some(Ended::Interrupted);
        }
        if !return_when_idle || !(self.machine.is_idle() || self.machine.is_held_still(now)) {
            return None;
        }
        Some(waits_for(&self.machine))
    }

    /// Sleeps until a task ends, a timer is due, somebody asks to stop, or the next look at the others is due.
    async fn wait(&mut self, stop: &mut tokio::sync::watch::Receiver<bool>) {
        let due =
            self.machine.poll_timeout().map(|at| at.duration_since(self.time.now(self.incident.last_at)));
        // Something may be due and have no room; look again soon, not at once.
        let sleep = due
            .and_then(|d| Duration::try_from(d).ok())
            .unwrap_or(if due.is_some() { NO_ROOM } else { TICK })
            .clamp(SHORTEST, TICK);
        tokio::select! {
            Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => self.take(joined),
            () = tokio::time::sleep(sleep) => {}
            Ok(()) = stop.changed() => {}
        }
        // Everything that is home already goes into the same commit.
        while let Some(joined) = self.tasks.try_join_next() {
            self.take(joined);
        }
    }

    fn take(&mut self, joined: Result<Done, tokio::task::JoinError>) {
        // A task that panicked leaves its step running; the deadline turns it into an observation.
        if let Ok(done) = joined {
            self.die(&done.step, "after-effect");
            self.pending.push(done);
        }
    }
}

fn drain(machine: &mut Machine, of: &Of, actor: &Actor, entries: &mut Vec<NewEntry>) {
    while let Some(event) = machine.poll_event() {
        entries.push(NewEntry::new(actor.clone(), of.event(event)));
    }
}
