//! The room of one incident: one page with all that is known, what needs whoever looks at the top.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use quell_app::AppError;
use quell_app::clock::now;
use quell_core::IncidentId;
use quell_core::event::{Entry, Verdict};
use quell_core::gate::Gate;
use quell_core::incident::notice::NoticeState;
use quell_core::incident::{ClockState, Incident, Status, unmet};
use quell_core::severity::Signal;

use super::step::{self, PlanView};
use super::view::{self, Filter};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::words::{self, Badge, When};
use crate::ui::{Page, chart, render, typed_again};

/// Something to read before anything else.
pub(super) struct Alert {
    pub(super) title: String,
    pub(super) hints: Vec<String>,
    /// What the form held that was refused: nobody types twice.
    pub(super) typed: String,
}

struct HuntView {
    verdict: &'static str,
    because: String,
    conditions: Vec<(String, bool)>,
    foreign: u64,
    own: u64,
    accesses: usize,
    gaps: usize,
    anomalies: Vec<quell_app::hunt::Unusual>,
    plot: Option<String>,
}

#[derive(Template)]
#[template(path = "incident/room.html")]
struct RoomPage<'a> {
    page: Page,
    incident: &'a Incident,
    id: String,
    open: bool,
    alert: Option<Alert>,
    severity: Badge,
    contained: Badge,
    declared: When,
    closed: Option<When>,
    clocks: Vec<view::ClockView>,
    clocks_more: usize,
    missed: Vec<String>,
    secrets: Vec<view::SecretView>,
    plan: Option<PlanView>,
    /// Notices: drafts, and those that not every channel took.
    drafts: usize,
    untold: Vec<String>,
    /// Of the plan.
    hash: String,
    trouble: Option<String>,
    missing: Vec<String>,
    /// How many things need whoever looks.
    needs: usize,
    assessments: Vec<view::AssessmentView>,
    exposures: Vec<view::ExposureView>,
    roles: Vec<view::RoleView>,
    tasks: Vec<view::TaskView>,
    others: Vec<String>,
    verdict: Option<(&'static str, String)>,
    verdicts: [Verdict; 5],
    signals: [Signal; 9],
    gates: Vec<&'static str>,
    hunt: Option<HuntView>,
    evidence: Vec<view::EvidenceView>,
    bundles: Vec<view::BundleView>,
    vkey: String,
    timeline: view::TimelineView,
    filter: &'a Filter,
    /// Position of the stream that this page shows: what is decided here is decided knowing that much.
    seen: u64,
    /// Number of the newest entry that this page shows.
    seq: u64,
    now: Timestamp,
}

impl RoomPage<'_> {
    /// Steps that need whoever looks now.
    fn needed(&self) -> Vec<&step::StepView> {
        self.plan.iter().flat_map(|plan| &plan.steps).filter(|step| step.now).collect()
    }

    /// Ids of the steps that whoever looks may approve, for one button.
    fn approvable(&self) -> Vec<&str> {
        self.needed().into_iter().filter(|step| step.may.approve).map(|step| step.id.as_str()).collect()
    }

    /// Tasks that wait for whoever looks.
    fn mine(&self) -> Vec<&view::TaskView> {
        self.tasks.iter().filter(|task| task.mine && task.ended.is_none()).collect()
    }

    /// No plan yet, and whoever looks may make one.
    fn unplanned(&self) -> bool {
        self.plan.is_none() && self.open && self.page.may("responder") && !self.incident.secrets.is_empty()
    }

    /// A plan waits for somebody to say go.
    fn idle(&self) -> bool {
        self.open
            && self.page.may("responder")
            && self.plan.as_ref().is_some_and(|plan| !plan.driven && !plan.done && !plan.stale)
    }

    fn place(&self) -> String {
        let query = self.filter.query();
        if query.is_empty() {
            format!("/incidents/{}", self.id)
        } else {
            format!("/incidents/{}?{query}", self.id)
        }
    }
}

pub(crate) async fn show(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    page(&server, &caller, id.parse()?, &filter, None).await
}

/// The room, under what was refused; with its status, since nothing was done.
pub(super) async fn refused(
    server: &Server,
    caller: &Caller,
    id: IncidentId,
    error: AppError,
    typed: String,
) -> Result<Response, Problem> {
    let problem = Problem::from(error);
    let typed = typed_again(caller, Some(id), typed).await;
    let alert = Alert { title: problem.detail.clone(), hints: problem.hints.clone(), typed };
    // Whoever names an incident that is not there gets the problem itself.
    let Ok(mut response) = page(server, caller, id, &Filter::default(), Some(alert)).await else {
        return Err(problem);
    };
    *response.status_mut() = match problem.status() {
        StatusCode::OK => StatusCode::CONFLICT,
        status => status,
    };
    Ok(response)
}

async fn page(
    server: &Server,
    caller: &Caller,
    id: IncidentId,
    filter: &Filter,
    alert: Option<Alert>,
) -> Result<Response, Problem> {
    let (incident, entries) = caller.app.room(id).await?;
    let at = now();
    let plan = step::plan(&incident, caller, at);
    let (clocks, clocks_more) = view::clocks(&incident, at);
    let people = quell_app::person::people(&caller.app).await?;
    let open = incident.status == Status::Open;
    let mut page = RoomPage {
        page: Page::of(caller, format!("{id} {}", incident.title)).at("/incidents"),
        id: id.to_string(),
        open,
        alert,
        severity: severity(&incident),
        contained: view::contained(&incident),
        declared: incident.declared.into(),
        closed: incident.closed.map(When::from),
        clocks,
        clocks_more,
        missed: missed(&incident, at),
        secrets: view::secrets(&incident),
        hash: plan.as_ref().map(|plan| plan.hash.clone()).unwrap_or_default(),
        plan,
        drafts: incident.notices.iter().filter(|it| it.state() == NoticeState::Draft).count(),
        untold: untold(&incident),
        trouble: server.troubles.of(id),
        missing: unmet(&incident),
        needs: 0,
        assessments: view::assessments(&incident),
        exposures: view::exposures(&incident),
        roles: view::roles(&incident, caller),
        tasks: view::tasks(&incident, &people, caller, at),
        others: server.presence.others(id, &caller.person),
        verdict: incident.verdict.as_ref().map(|(verdict, reason)| (verdict.sentence(), reason.clone())),
        verdicts: Verdict::ALL,
        signals: Signal::ALL,
        gates: Gate::ALL.into_iter().map(Gate::word).collect(),
        hunt: hunt(caller, id, &entries).await,
        evidence: view::evidence(&entries),
        bundles: view::bundles(&entries),
        vkey: caller.app.store.signing_key().verifier().to_string(),
        timeline: view::timeline(&entries, filter),
        filter,
        seen: incident.next_pos,
        seq: entries.last().map_or(0, |entry| entry.seq),
        now: at,
        incident: &incident,
    };
    page.needs = page.needed().len()
        + page.mine().len()
        + page.missed.len()
        + page.untold.len()
        + usize::from(page.unplanned())
        + usize::from(page.idle())
        + usize::from(page.trouble.is_some());
    render(&page)
}

fn severity(incident: &Incident) -> Badge {
    let label = incident.severities.last().map_or_else(|| "SEV-1".to_owned(), |(_, it)| it.label.clone());
    words::severity(incident.severity(), &label)
}

/// Clocks that somebody ought to have met.
fn missed(incident: &Incident, now: Timestamp) -> Vec<String> {
    let late = |clock: &&quell_core::incident::Clock| clock.state(now) == ClockState::Missed;
    if incident.status == Status::Closed {
        return Vec::new();
    }
    incident.clocks.iter().filter(late).map(|clock| clock.name.replace('-', " ")).collect()
}

/// Notices that not every channel took.
fn untold(incident: &Incident) -> Vec<String> {
    let gave_up = |state| matches!(state, NoticeState::InPart | NoticeState::Failed);
    let open = incident.notices.iter().filter(|it| gave_up(it.state()) && incident.closed.is_none());
    open.map(|it| it.notice.clone()).collect()
}

/// A hunt that cannot be read any more must not keep people out of the room.
async fn hunt(caller: &Caller, id: IncidentId, entries: &[Entry]) -> Option<HuntView> {
    if entries.iter().all(|entry| entry.evidence.is_empty()) {
        return None;
    }
    let shown = match quell_app::hunt::shown(&caller.app, id).await {
        Ok(shown) => shown?,
        Err(error) => {
            return Some(HuntView {
                verdict: "the report of the hunt cannot be read",
                because: error.to_string(),
                conditions: Vec::new(),
                foreign: 0,
                own: 0,
                accesses: 0,
                gaps: 0,
                anomalies: Vec::new(),
                plot: None,
            });
        }
    };
    let odd = shown.points.iter().filter(|(_, odd)| *odd).count();
    let label = format!("Uses over time: {} in all, {odd} of them unusual", shown.points.len());
    Some(HuntView {
        verdict: shown.verdict.sentence(),
        because: shown.because,
        conditions: shown.conditions,
        foreign: shown.foreign,
        own: shown.own,
        accesses: shown.accesses,
        gaps: shown.gaps,
        anomalies: shown.anomalies,
        plot: chart::uses(&shown.points, &label),
    })
}
