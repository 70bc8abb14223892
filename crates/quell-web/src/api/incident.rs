//! Incidents: list, open, look at, change, close.

use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::incident::{self, Change, Report};
use quell_app::projection::{self, Wanted};
use quell_app::{report, scan};
use quell_core::inventory::StrategyPolicy;
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use quell_core::{IncidentId, SecretId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At, Deciding, Words, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::events;
use crate::problem::Problem;
use crate::view::{self, shape};

const LIST: &str = "/api/v1/incidents";
const ONE: &str = "/api/v1/incidents/{id}";

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get(LIST, Role::Viewer, "incident_list", || get(list))
        .says("Incidents, newest first")
        .query(of::<Listed>)
        .json(of::<view::Incidents>),
    Operation::post(LIST, Role::Responder, "incident_open", || post(open))
        .says("Declare an incident, from a finding or by hand")
        .body(of::<Open>)
        .json(of::<view::Opened>)
        .created()
        .tagged(),
    Operation::get(ONE, Role::Viewer, "incident_show", || get(show))
        .says("One incident: severity and why, clocks, secrets, steps")
        .json(of::<view::Incident>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/timeline", Role::Viewer, "incident_timeline", || get(timeline))
        .says("Everything that happened, in order, in sentences")
        .query(of::<Since>)
        .json(of::<view::Timeline>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/events", Role::Viewer, "incident_follow", || {
        get(events::of_incident)
    })
    .says("What happens, as server-sent events: names and numbers; resumes after `Last-Event-ID`")
    .query(of::<events::After>),
    Operation::get("/api/v1/incidents/{id}/secrets", Role::Viewer, "incident_secrets", || get(secrets))
        .says("For each secret: inert, not inert, or nobody can tell; why, and where it stands")
        .json(of::<view::Secrets>)
        .tagged(),
    Operation::post("/api/v1/incidents/{id}/secrets", Role::Responder, "incident_add", || post(add))
        .says("It is also about these secrets, and about everything that they open")
        .body(of::<Add>)
        .json(of::<view::Incident>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/adjacent", Role::Viewer, "incident_adjacent", || get(adjacent))
        .says("Secrets that lie where those of the incident lay, with reasons")
        .json(of::<view::Adjacents>)
        .tagged(),
    changing("/api/v1/incidents/{id}/signal", "incident_signal", || post(signal))
        .says("Record evidence that changes the severity")
        .body(of::<Signal>),
    changing("/api/v1/incidents/{id}/verdict", "incident_verdict", || post(verdict))
        .says("Say whether it was used")
        .body(of::<Verdict>),
    changing("/api/v1/incidents/{id}/strategy", "incident_strategy", || post(strategy))
        .says("Override the strategy of the next plan")
        .body(of::<Strategy>),
    deciding("/api/v1/incidents/{id}/exception", "incident_exception", || post(exception))
        .says("Accept closing without proof for one secret; you are named")
        .body(of::<OfSecret>),
    changing("/api/v1/incidents/{id}/unlocked", "incident_unlocked", || post(unlocked))
        .says("State that a place where it leaked was unlocked by hand")
        .body(of::<Unlocked>),
    changing("/api/v1/incidents/{id}/distrust", "incident_distrust", || post(distrust))
        .says("Give up the successor of a secret: it counts as compromised, and a new plan makes another")
        .body(of::<OfSecret>),
    changing("/api/v1/incidents/{id}/roles", "incident_role", || post(role))
        .says("Take a role in the response, or hand it to somebody; it gives no rights")
        .body(of::<InRoom>),
    changing("/api/v1/incidents/{id}/note", "incident_note", || post(note))
        .says("Add a remark; counts as an update")
        .body(of::<Note>),
    changing("/api/v1/incidents/{id}/cleaned", "incident_cleaned", || post(cleaned))
        .says("Record that a message was deleted or history rewritten (hygiene; never containment)")
        .body(of::<Cleaned>),
    changing("/api/v1/incidents/{id}/action-items", "incident_action", || post(action))
        .says("Add something to do afterwards")
        .body(of::<ActionItem>),
    changing("/api/v1/incidents/{id}/action-items/{item}/done", "incident_action_done", || post(action_done))
        .says("An action item is done, with what shows it")
        .body(of::<Done>),
    deciding("/api/v1/incidents/{id}/close", "incident_close", || post(close))
        .says("Close it, if everything is proven")
        .body(of::<Close>),
];

/// A change that answers with the incident as it then stands.
const fn changing(path: &'static str, id: &'static str, handler: crate::route::Handler) -> Operation {
    Operation::post(path, Role::Responder, id, handler).json(of::<view::Incident>).tagged()
}

/// The same, by an approver.
const fn deciding(path: &'static str, id: &'static str, handler: crate::route::Handler) -> Operation {
    Operation::post(path, Role::Approver, id, handler).json(of::<view::Incident>).tagged()
}

/// Incidents on a page.
pub(super) const PAGE: usize = 50;
/// Most on a page.
pub(super) const PAGE_MAX: usize = 200;

/// Bounds what was asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(PAGE),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("`limit` is a number from 1 to {PAGE_MAX}"))),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Incidents on a page; 50 without it.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only these.
    #[schemars(with = "Option<shape::Status>")]
    status: Option<String>,
    /// Only these.
    #[schemars(with = "Option<shape::Severity>")]
    severity: Option<String>,
    /// Only rehearsals, or none of them.
    drill: Option<bool>,
    /// Only those about this secret.
    secret: Option<String>,
    /// Only those whose id, title or secrets hold this.
    text: Option<String>,
}

impl Listed {
    fn wanted(&self) -> Result<Wanted, Problem> {
        let secret: Option<SecretId> = self.secret.as_deref().map(word).transpose()?;
        let mut wanted = secret.as_ref().map_or_else(Wanted::default, projection::about);
        wanted.status = match self.status.as_deref() {
            None => "",
            Some("open") => "open",
            Some("closed") => "closed",
            Some(_) => return Err(Problem::bad_request("`status` is `open` or `closed`")),
        };
        wanted.severity = match self.severity.as_deref() {
            None => "",
            Some("SEV-1") => "SEV-1",
            Some("SEV-2") => "SEV-2",
            Some("SEV-3") => "SEV-3",
            Some("SEV-4") => "SEV-4",
            Some(_) => return Err(Problem::bad_request("`severity` is one of SEV-1 to SEV-4")),
        };
        wanted.drill = self.drill;
        wanted.text = self.text.clone().unwrap_or_default();
        let before: Option<IncidentId> = self.cursor.as_deref().map(word).transpose()?;
        wanted.before = before.map(projection::before);
        Ok(wanted)
    }
}

async fn list(caller: Caller, Words(asked): Words<Listed>) -> Result<Told<view::Incidents>, Problem> {
    let (limit, wanted) = (limit(asked.limit)?, asked.wanted()?);
    // One more than wanted, to know whether there is a next page.
    let mut ids = projection::ids(&caller.app, &wanted, limit + 1).await?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = ids.last().filter(|_| more).map(ToString::to_string);
    let mut incidents = Vec::with_capacity(ids.len());
    for id in ids {
        incidents.push(view::Incident::of(&*caller.app.incident_shared(id).await?, now()));
    }
    Ok(Told::new(view::Incidents { incidents, next }))
}

/// A leaked value on its way to be sealed.
struct Leaked(SecretValue);

impl<'de> Deserialize<'de> for Leaked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretValue::from_text(text)))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Open {
    /// Secrets of the inventory; those of the finding without it.
    #[serde(default)]
    secrets: Vec<String>,
    /// A recorded finding.
    finding: Option<String>,
    /// Where it leaked.
    #[schemars(with = "Option<shape::Channel>")]
    channel: Option<String>,
    /// Who could see it.
    #[schemars(with = "Option<shape::Audience>")]
    audience: Option<String>,
    /// When somebody could first see it.
    first_exposed: Option<Timestamp>,
    /// When it was learned of; now without it.
    discovered: Option<Timestamp>,
    /// Whether it can still be seen there.
    still_visible: Option<bool>,
    /// Where it was seen, in words. Never a value.
    #[serde(default)]
    place: String,
    /// The channel of the inventory in which it leaked.
    channel_name: Option<String>,
    /// In a line.
    title: Option<String>,
    /// The leaked value, if it is at hand: it is sealed, used for the proof, and never given out.
    #[schemars(with = "Option<String>")]
    value: Option<Leaked>,
}

/// Longest value, in bytes.
const VALUE_MAX: usize = 64 << 10;

async fn open(caller: Caller, Asked(asked): Asked<Open>) -> Result<Told<view::Opened>, Problem> {
    let app = &caller.app;
    let value = asked.value.map(|Leaked(value)| value);
    if value.as_ref().is_some_and(|value| value.is_empty() || value.len() > VALUE_MAX) {
        return Err(unfit("the value is empty, or longer than 64 KiB"));
    }
    let mut report = Report {
        channel: asked.channel.as_deref().map(word).transpose()?,
        audience: asked.audience.as_deref().map(word).transpose()?,
        first_exposed: asked.first_exposed,
        discovered: asked.discovered,
        still_visible: asked.still_visible,
        place: asked.place,
        channel_name: asked.channel_name,
        title: asked.title,
        value,
        ..Report::default()
    };
    for secret in &asked.secrets {
        report.secrets.push(word(secret)?);
    }
    if let Some(finding) = &asked.finding {
        scan::report_from(app, finding, &mut report).await?;
    }
    if report.secrets.is_empty() {
        return Err(unfit("which secret leaked is not known")
            .hint("name it in `secrets`; /api/v1/inventory lists them"));
    }
    let opened = incident::open(app, report).await?;
    let (opened, entries) = app.incident_with_entries(opened.id).await?;
    let body =
        view::Opened { incident: view::Incident::of(&opened, now()), remarks: incident::remarks(&entries) };
    Ok(Told::about(&opened, body).created())
}

/// The request is well-formed, and cannot be followed.
pub(super) fn unfit(detail: &str) -> Problem {
    Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, detail)
}

async fn show(caller: Caller, At(id): At<String>) -> Result<Told<view::Incident>, Problem> {
    Ok(Told::incident(&caller.app.incident(word(&id)?).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Since {
    /// Number of the last entry that is known: only later ones.
    after: Option<u64>,
}

async fn timeline(
    caller: Caller,
    At(id): At<String>,
    Words(since): Words<Since>,
) -> Result<Told<view::Timeline>, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    let mut timeline = report::timeline(&entries);
    timeline.retain(|row| since.after.is_none_or(|after| row.seq > after));
    Ok(Told::about(&incident, view::Timeline { timeline }))
}

async fn secrets(caller: Caller, At(id): At<String>) -> Result<Told<view::Secrets>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    Ok(Told::about(&incident, view::Secrets::of(&incident)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// Secrets of the inventory.
    #[schemars(length(min = 1))]
    secrets: Vec<String>,
    /// Why they belong to it.
    reason: String,
}

async fn add(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Add>,
) -> Result<Told<view::Incident>, Problem> {
    let secrets = asked.secrets.iter().map(|id| word(id)).collect::<Result<Vec<SecretId>, _>>()?;
    if secrets.is_empty() {
        return Err(unfit("no secret is named"));
    }
    Ok(Told::incident(&incident::widen(&app, word(&id)?, &secrets, &asked.reason).await?))
}

async fn adjacent(caller: Caller, At(id): At<String>) -> Result<Told<view::Adjacents>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    let adjacent = incident::adjacent(&caller.app, &incident).await?;
    Ok(Told::about(&incident, view::Adjacents { incident: incident.id, adjacent }))
}

type Changed = Result<Told<view::Incident>, Problem>;

async fn change(Deciding(app): Deciding, id: &str, change: Change) -> Changed {
    Ok(Told::incident(&incident::change(&app, word(id)?, &change).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// What was seen.
    #[schemars(with = "shape::Signal")]
    signal: String,
    /// What it rests on.
    #[serde(default)]
    reason: String,
}

async fn signal(by: Deciding, At(id): At<String>, Asked(asked): Asked<Signal>) -> Changed {
    change(by, &id, Change::Signal(word(&asked.signal)?, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verdict {
    /// Was it used?
    #[schemars(with = "shape::Verdict")]
    verdict: String,
    /// What it rests on.
    reason: String,
}

async fn verdict(by: Deciding, At(id): At<String>, Asked(asked): Asked<Verdict>) -> Changed {
    change(by, &id, Change::Verdict(word(&asked.verdict)?, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strategy {
    /// Which.
    #[schemars(with = "shape::StrategyAsked")]
    strategy: String,
    /// Why.
    reason: String,
}

async fn strategy(by: Deciding, At(id): At<String>, Asked(asked): Asked<Strategy>) -> Changed {
    let strategy = match asked.strategy.as_str() {
        "auto" => StrategyPolicy::Auto,
        "kill-first" => StrategyPolicy::KillFirst,
        "make-before-break" => StrategyPolicy::MakeBeforeBreak,
        _ => return Err(unfit("`strategy` is `auto`, `kill-first` or `make-before-break`")),
    };
    change(by, &id, Change::Strategy(strategy, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfSecret {
    /// Which secret.
    secret: String,
    /// Why.
    reason: String,
}

async fn exception(by: Deciding, At(id): At<String>, Asked(asked): Asked<OfSecret>) -> Changed {
    change(by, &id, Change::Exception(word(&asked.secret)?, asked.reason)).await
}

async fn distrust(by: Deciding, At(id): At<String>, Asked(asked): Asked<OfSecret>) -> Changed {
    change(by, &id, Change::Distrust(word(&asked.secret)?, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unlocked {
    /// The channel of the inventory.
    channel: String,
    /// How, and how you know.
    reason: String,
}

async fn unlocked(by: Deciding, At(id): At<String>, Asked(asked): Asked<Unlocked>) -> Changed {
    change(by, &id, Change::Unlocked(asked.channel, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InRoom {
    /// commander, scribe, communications, service-owner
    role: String,
    /// Who; you, when nobody is named.
    #[serde(default)]
    person: Option<String>,
}

async fn role(by: Deciding, At(id): At<String>, Asked(asked): Asked<InRoom>) -> Changed {
    change(by, &id, Change::Role(word(&asked.role)?, asked.person.unwrap_or_default())).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    /// The remark.
    text: String,
}

async fn note(by: Deciding, At(id): At<String>, Asked(asked): Asked<Note>) -> Changed {
    change(by, &id, Change::Note(asked.text)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cleaned {
    /// What was cleaned.
    what: String,
}

async fn cleaned(by: Deciding, At(id): At<String>, Asked(asked): Asked<Cleaned>) -> Changed {
    change(by, &id, Change::Cleaned(asked.what)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ActionItem {
    /// What is to be done.
    title: String,
    /// Who does it.
    owner: String,
    /// Until when, a date.
    due: String,
    /// The gate that it ships: then only `quell gate prove` closes it.
    #[schemars(with = "Option<shape::Gate>")]
    gate: Option<String>,
}

async fn action(by: Deciding, At(id): At<String>, Asked(asked): Asked<ActionItem>) -> Changed {
    let gate = asked.gate.as_deref().map(word).transpose()?;
    change(by, &id, Change::ActionItem(asked.title, asked.owner, asked.due, gate)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Done {
    /// What shows it.
    evidence: String,
}

async fn action_done(
    by: Deciding,
    At((id, item)): At<(String, String)>,
    Asked(asked): Asked<Done>,
) -> Changed {
    change(by, &id, Change::ActionItemDone(item, asked.evidence)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Close {
    /// In a line.
    #[serde(default)]
    summary: String,
}

async fn close(by: Deciding, At(id): At<String>, Asked(asked): Asked<Close>) -> Changed {
    change(by, &id, Change::Close(asked.summary)).await
}
