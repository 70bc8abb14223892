//! Works deliveries off: each by one worker, the others not held up by one that does not go.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use quell_store::{Delivery, TryEnded, WorkerGuard};
use serde::Serialize;
use tokio::sync::watch;

use super::act;
use super::config::Source;
use super::sender::{self, Reading};
use crate::clock::now;
use crate::{App, AppError, Options};

/// A delivery that was begun so often is given up, where `quell intake list` shows it.
pub const MAX_TRIES: u64 = 8;
/// Deliveries that one process works on at a time.
const LANES: usize = 4;
/// A worker that is at it for longer has stopped, even if it lives: another takes over. Longer than a try may take.
const LEASE: SignedDuration = SignedDuration::from_mins(20);
/// The longest that one try may take.
const TRY: Duration = Duration::from_mins(15);
/// How often a worker looks whether it still may act.
const LOOK: Duration = Duration::from_millis(250);
/// How often the inbox is looked at.
const TICK: Duration = Duration::from_millis(500);
/// The second try comes after this, each further one after four times as long, none later than `LONGEST`.
const FIRST: SignedDuration = SignedDuration::from_secs(5);
const LONGEST: SignedDuration = SignedDuration::from_mins(30);

/// How a try ended, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// Which delivery.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// `done`, `failed` or `waiting` (for another try).
    pub state: &'static str,
    /// What became of it, or what went wrong.
    pub note: String,
}

/// Works until told to stop. Deliveries that are being worked on are ended first.
pub async fn work(
    app: Arc<App>,
    options: Options,
    stop: watch::Receiver<bool>,
    on: impl Fn(&Ended) + Clone + Send + Sync + 'static,
) -> Result<(), AppError> {
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..LANES {
        let (app, options) = (Arc::clone(&app), options.clone());
        let (stop, on) = (stop.clone(), on.clone());
        // What a delivery leads to borrows from the inventory in ways that keep it on one thread.
        let runtime = tokio::runtime::Handle::current();
        lanes.spawn_blocking(move || runtime.block_on(lane(&app, &options, stop, &on)));
    }
    while lanes.join_next().await.is_some() {}
    Ok(())
}

async fn lane(app: &App, options: &Options, mut stop: watch::Receiver<bool>, on: &impl Fn(&Ended)) {
    let mut worker = None;
    while !*stop.borrow() {
        // Whoever lost the right to act under a name goes on under another one.
        if worker.as_ref().is_none_or(|own: &WorkerGuard| !own.right().holds()) {
            worker = app.store.become_worker().await.ok();
        }
        // A database that is away for a moment must not end the worker.
        if let Some(own) = &worker
            && let Ok(Some(ended)) = next(app, options, own).await
        {
            on(&ended);
            continue;
        }
        // Nobody who could tell us to stop any more: that is being told.
        if let Ok(Err(_gone)) = tokio::time::timeout(TICK, stop.changed()).await {
            return;
        }
    }
}

/// Works off what is due now, and returns. What each try came to, in order.
pub async fn work_off(app: &App, options: &Options) -> Result<Vec<Ended>, AppError> {
    let worker = app.store.become_worker().await?;
    let mut all = Vec::new();
    while let Some(ended) = next(app, options, &worker).await? {
        all.push(ended);
    }
    Ok(all)
}

/// Ends when the worker may not act any more.
async fn lost(worker: &WorkerGuard) {
    while worker.right().holds() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn next(app: &App, options: &Options, worker: &WorkerGuard) -> Result<Option<Ended>, AppError> {
    let Some(delivery) = app.store.inbox_claim(&worker.id, now(), LEASE, MAX_TRIES).await? else {
        return Ok(None);
    };
    let tried = tokio::select! {
        tried = tokio::time::timeout(TRY, one(app, options, &delivery)) => tried,
        // Another takes it over: what is half-done is found there.
        () = lost(worker) => return Ok(None),
    };
    let result = match tried {
        Ok(result) => result,
        Err(_elapsed) => Err(Trouble::Again(format!("it took longer than {} min", TRY.as_secs() / 60))),
    };
    let (ended, note) = match result {
        Ok(did) => (TryEnded::Done, did),
        Err(Trouble::Never(why)) => (TryEnded::Failed, why),
        Err(Trouble::Again(why)) if delivery.tries >= MAX_TRIES => {
            (TryEnded::Failed, format!("given up after {} tries: {why}", delivery.tries))
        }
        Err(Trouble::Again(why)) => (TryEnded::Again(later(delivery.tries)), why),
    };
    let mine = app.store.inbox_end(&delivery.id, &worker.id, ended, &note, now()).await?;
    let (state, note) = match ended {
        _ if !mine => ("waiting", "another worker took it over".to_owned()),
        TryEnded::Done => ("done", note),
        TryEnded::Failed => ("failed", note),
        TryEnded::Again(_) => ("waiting", note),
    };
    Ok(Some(Ended { id: delivery.id, source: delivery.source, state, note }))
}

fn later(tries: u64) -> Timestamp {
    let times = 4_i32.saturating_pow(u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let wait = FIRST.checked_mul(times).unwrap_or(LONGEST).min(LONGEST);
    now().checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Why a try ended without having done it.
enum Trouble {
    /// It may go another time.
    Again(String),
    /// It will never go.
    Never(String),
}

impl From<AppError> for Trouble {
    fn from(error: AppError) -> Self {
        let words = std::iter::once(error.to_string()).chain(error.hints()).collect::<Vec<_>>().join("; ");
        match error {
            // What is said of the body or of the inventory is so the next time, too.
            AppError::Usage(_)
            | AppError::HoldsValue(_)
            | AppError::Inventory(_)
            | AppError::Provider(_)
            | AppError::Config { .. }
            | AppError::Refused(_)
            | AppError::NotFound { .. }
            | AppError::CannotPlan(_)
            | AppError::Rule(_) => Self::Never(words),
            AppError::Step(_)
            | AppError::Moved { .. }
            | AppError::Remote(_)
            | AppError::Server { .. }
            | AppError::Store(_)
            | AppError::Entry(_)
            | AppError::Scan(_)
            | AppError::Io { .. }
            | AppError::Evidence(_) => Self::Again(words),
        }
    }
}

async fn one(app: &App, options: &Options, delivery: &Delivery) -> Result<String, Trouble> {
    let Some(entry) = app.inventory.intake.get(&delivery.source) else {
        let words =
            format!("the inventory has no `intake.{}` any more; put it back, then retry", delivery.source);
        return Err(Trouble::Never(words));
    };
    let source = Source::parse(&delivery.source, entry)?;
    if source.kind.word() != delivery.kind {
        let words = format!(
            "it came in as {}, and `intake.{}` is of another kind now",
            delivery.kind, delivery.source
        );
        return Err(Trouble::Never(words));
    }
    let body = app.store.inbox_body(&delivery.id).await.map_err(AppError::from)?;
    let reading = sender::read(&source, &delivery.topic, &body, &app.inventory)?;
    drop(body);
    crash(app, "after-reading");
    let did = match reading {
        Reading::Nothing(why) => format!("nothing to do: {why}"),
        Reading::Page(page) => act::page(app, delivery, &page).await?,
        Reading::Findings(found) => Box::pin(act::findings(app, options, &source, delivery, found)).await?,
    };
    crash(app, "after-effect");
    Ok(did)
}

/// Ends the process where a crash test says so. Not in release builds.
fn crash(app: &App, place: &str) {
    let asked = app.context.environment.get("QUELL_FAILPOINT");
    if cfg!(debug_assertions) && asked.is_some_and(|asked| *asked == format!("intake:{place}")) {
        let died = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        debug_assert!(died.is_ok(), "a process may always signal itself");
    }
}
