//! What people do in the room. Each is a form that says what the page looked like when it was sent; afterwards the room is shown again, also when it
//! was refused.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use quell_app::incident::{self, Change};
use quell_app::plan::{self, StepCommand};
use quell_app::{AppError, hunt, proof};
use quell_core::event::Decision;
use quell_core::incident::{Incident, TaskEnd};
use quell_core::plan::{Hold, HoldScope};
use quell_core::{IncidentId, StepId};
use serde::Deserialize;

use super::new::moment;
use super::room;
use crate::caller::Caller;
use crate::multipart;
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::{Form, word};

/// Everything that a form of the room may hold; each uses what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    /// Position of the stream that the page showed.
    seen: String,
    /// Hash of the plan that it showed.
    plan: String,
    /// Steps, with spaces between.
    step: String,
    /// A remark, a statement, a summary.
    text: String,
    /// Why.
    reason: String,
    /// Of a closed list: a verdict, a signal, a strategy, a role.
    word: String,
    /// A secret, a channel, an item, an anomaly.
    about: String,
    person: String,
    due: String,
    gate: String,
    /// `yes` for the thorough variant.
    again: String,
}

impl Fields {
    fn typed(&self) -> String {
        if self.text.is_empty() { self.reason.clone() } else { self.text.clone() }
    }

    fn steps(&self) -> Result<Vec<StepId>, AppError> {
        self.step.split_whitespace().map(word).collect()
    }
}

/// Shows the room again, at the place where something changed, or with the reason why nothing did.
async fn ended<T>(
    server: &Server,
    caller: &Caller,
    id: IncidentId,
    (typed, place): (String, &str),
    done: Result<T, AppError>,
) -> Result<Response, Problem> {
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/incidents/{id}#{place}")).into_response()),
        Err(error) => room::refused(server, caller, id, error, typed).await,
    }
}

/// A change of the incident, on what the page showed.
async fn changed(
    caller: &Caller,
    id: IncidentId,
    fields: &Fields,
    change: Result<Change, AppError>,
) -> Result<Incident, AppError> {
    incident::change(&caller.having_seen(&fields.seen), id, &change?).await
}

macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident($place:literal) = |$fields:ident| $change:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) async fn $name(
            State(server): State<Arc<Server>>,
            caller: Caller,
            Path(id): Path<String>,
            Form(fields): Form<Fields>,
        ) -> Result<Response, Problem> {
            let id = id.parse()?;
            let change = (|$fields: &Fields| -> Result<Change, AppError> { $change })(&fields);
            let done = changed(&caller, id, &fields, change).await;
            ended(&server, &caller, id, (fields.typed(), $place), done).await
        }
    )*};
}

forms! {
    /// A remark; counts as an update.
    note("timeline") = |it| Ok(Change::Note(it.text.clone()));
    /// Evidence that changes the severity.
    signal("what") = |it| Ok(Change::Signal(word(&it.word)?, it.reason.clone()));
    /// Was it used?
    verdict("used") = |it| Ok(Change::Verdict(word(&it.word)?, it.reason.clone()));
    /// Another order of things.
    strategy("plan") = |it| Ok(Change::Strategy(policy(&it.word)?, it.reason.clone()));
    /// Closing without proof for one secret.
    exception("secrets") = |it| Ok(Change::Exception(word(&it.about)?, it.reason.clone()));
    /// A successor that leaked, too.
    distrust("secrets") = |it| Ok(Change::Distrust(word(&it.about)?, it.reason.clone()));
    /// A channel that was unlocked by hand.
    unlocked("what") = |it| Ok(Change::Unlocked(it.about.clone(), it.reason.clone()));
    /// A message deleted, history rewritten.
    cleaned("what") = |it| Ok(Change::Cleaned(it.text.clone()));
    /// Something to do afterwards.
    action("items") = |it| {
        let gate = if it.gate.is_empty() { None } else { Some(word(&it.gate)?) };
        Ok(Change::ActionItem(it.text.clone(), it.person.clone(), it.due.clone(), gate))
    };
    /// It is done.
    action_done("items") = |it| Ok(Change::ActionItemDone(it.about.clone(), it.text.clone()));
    /// Something to do now.
    task("tasks") = |it| {
        let (owner, due) = (it.person.trim(), it.due.trim());
        let owner = Some(owner.to_owned()).filter(|owner| !owner.is_empty());
        let due = if due.is_empty() { None } else { Some(moment(due)?) };
        Ok(Change::Task(it.text.clone(), owner, due))
    };
    /// Somebody does it from now on.
    task_given("tasks") = |it| Ok(Change::TaskGiven(it.about.clone(), it.person.trim().to_owned()));
    /// It is done.
    task_done("tasks") = |it| Ok(Change::TaskEnded(it.about.clone(), TaskEnd::Done, it.text.clone()));
    /// Nobody needs it any more.
    task_dropped("tasks") = |it| Ok(Change::TaskEnded(it.about.clone(), TaskEnd::Dropped, it.reason.clone()));
    /// Stops the plan for now.
    pause("plan") = |it| {
        let scope = if it.again == "yes" { HoldScope::Everything } else { HoldScope::NextSecrets };
        Ok(Change::Hold(Hold { scope, reason: it.reason.clone() }))
    };
    /// Lets it go on.
    resume("plan") = |it| Ok(Change::Resume(it.reason.clone()));
    /// Somebody takes a role, or is given it.
    role("people") = |it| Ok(Change::Role(word(&it.word)?, it.person.trim().to_owned()));
    /// The end.
    close("main") = |it| Ok(Change::Close(it.text.clone()));
}

fn policy(text: &str) -> Result<quell_core::inventory::StrategyPolicy, AppError> {
    use quell_core::inventory::StrategyPolicy;
    match text {
        "auto" => Ok(StrategyPolicy::Auto),
        "kill-first" => Ok(StrategyPolicy::KillFirst),
        "make-before-break" => Ok(StrategyPolicy::MakeBeforeBreak),
        _other => Err(AppError::Usage("the order is one of auto, kill-first, make-before-break".to_owned())),
    }
}

/// Makes a plan, or another one.
pub(crate) async fn plan(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id = id.parse()?;
    let done = plan::make(&caller.having_seen(&fields.seen), id, fields.again == "yes").await;
    ended(&server, &caller, id, (String::new(), "plan"), done).await
}

/// Lets the server carry out exactly the plan that was shown.
pub(crate) async fn respond(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id = id.parse()?;
    let done = plan::carry_out(&caller.having_seen(&fields.seen), id, &fields.plan).await;
    ended(&server, &caller, id, (String::new(), "plan"), done).await
}

/// Approves exactly the steps that were shown, of exactly this plan.
pub(crate) async fn approve(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id = id.parse()?;
    // What cannot be taken back is asked for anew, before anything is looked at.
    caller.may_approve(id, &fields.steps().unwrap_or_default()).await?;
    let done = async {
        let steps = fields.steps()?;
        if steps.is_empty() {
            return Err(AppError::Usage("no step was named; approve what the page shows".to_owned()));
        }
        plan::approve(&caller.having_seen(&fields.seen), id, &fields.plan, &steps).await
    };
    let done = done.await;
    ended(&server, &caller, id, (String::new(), "needs"), done).await
}

/// Retries, skips or refuses one step.
pub(crate) async fn step(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path((id, decision)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let done = async {
        let command = match decision.as_str() {
            "retry" => StepCommand::Retry,
            "skip" if fields.reason.trim().is_empty() => {
                return Err(AppError::Usage("why it is skipped must not be empty".to_owned()));
            }
            "skip" => StepCommand::Skip(fields.reason.clone()),
            "refuse" => StepCommand::Refuse(fields.reason.clone()),
            other => return Err(AppError::NotFound { what: "decision", id: other.to_owned() }),
        };
        plan::step(&caller.having_seen(&fields.seen), id, &word(&fields.step)?, &command).await
    };
    let done = done.await;
    ended(&server, &caller, id, (fields.typed(), "needs"), done).await
}

/// A person states that a step's effect is in force, with files that show it.
pub(crate) async fn resolve(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let parts = multipart::boundary(kind).and_then(|boundary| multipart::parse(&body, &boundary));
    let parts = parts.ok_or_else(|| Problem::bad_request("this is no form with files, or it was cut off"))?;
    let text = |name: &str| multipart::text(&parts, name).unwrap_or_default().to_owned();
    let fields = Fields { seen: text("seen"), step: text("step"), text: text("text"), ..Fields::default() };
    // A file field that was left empty is sent, too, without a name.
    let sent = parts.iter().filter_map(|part| Some((part.file.clone()?, part.body.clone())));
    let evidence = sent.filter(|(name, _)| !name.is_empty()).collect();
    let command = StepCommand::Resolve { statement: fields.text.clone(), evidence };
    let done =
        async { plan::step(&caller.having_seen(&fields.seen), id, &word(&fields.step)?, &command).await };
    let done = done.await;
    ended(&server, &caller, id, (fields.typed(), "needs"), done).await
}

/// The route of [`resolve`]: its body is as long as the guard lets it be.
pub(crate) fn resolve_route() -> MethodRouter<Arc<Server>> {
    post(resolve).layer(DefaultBodyLimit::disable())
}

/// Tries the old values again, beside a control.
pub(crate) async fn verify(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.parse()?;
    let done = proof::verify(&caller.app, id).await;
    ended(&server, &caller, id, (String::new(), "secrets"), done).await
}

/// Adds secrets, and everything that they open.
pub(crate) async fn widen(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let done = async {
        let secrets = fields.about.split_whitespace().map(word).collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() || fields.reason.trim().is_empty() {
            return Err(AppError::Usage("which secret, and why: both must be said".to_owned()));
        }
        incident::widen(&caller.having_seen(&fields.seen), id, &secrets, &fields.reason).await
    };
    let done = done.await;
    ended(&server, &caller, id, (fields.typed(), "secrets"), done).await
}

/// Says what something unusual in the uses is.
pub(crate) async fn anomaly(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let done = async {
        let decision = match fields.word.as_str() {
            "benign" => Decision::Benign,
            "confirmed" => Decision::Confirmed,
            _other => return Err(AppError::Usage("say benign or confirmed".to_owned())),
        };
        hunt::triage::triage(&caller.having_seen(&fields.seen), id, &fields.about, decision, &fields.reason)
            .await
    };
    let done = done.await;
    ended(&server, &caller, id, (fields.typed(), "used"), done).await
}

/// The evidence bundle, as a file. That it leaves the house is an entry.
pub(crate) async fn bundle(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    match quell_app::evidence::bundle(&caller.app, id).await {
        Ok((bytes, _)) => {
            let name = format!("attachment; filename=\"{id}.tar\"");
            let head =
                [(header::CONTENT_TYPE, "application/x-tar".to_owned()), (header::CONTENT_DISPOSITION, name)];
            Ok((head, bytes).into_response())
        }
        Err(error) => room::refused(&server, &caller, id, error, String::new()).await,
    }
}

/// One piece of evidence of this incident, never shown in the browser's own window: it is a stranger's.
pub(crate) async fn evidence(
    caller: Caller,
    Path((id, sha256)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let (_, entries) = caller.app.incident_with_entries(id).await?;
    let known = entries.iter().flat_map(|entry| &entry.evidence).any(|piece| piece.sha256 == sha256);
    let none = || Problem::not_found("this incident has no such piece of evidence");
    let body = if known { caller.app.store.evidence(&sha256).await.map_err(AppError::from)? } else { None };
    let body = body.ok_or_else(none)?;
    let short: String = sha256.chars().take(12).collect();
    let name = format!("attachment; filename=\"{id}-{short}.bin\"");
    let head =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((head, body).into_response())
}

/// The route of [`evidence`].
pub(crate) fn evidence_route() -> MethodRouter<Arc<Server>> {
    get(evidence)
}
