//! The room of one incident.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use quell_app::clock::now;
use quell_app::report::TimelineRow;
use quell_core::IncidentId;
use quell_core::incident::{Clock, Incident, Inertness, inertness, unmet};
use quell_core::person::Role;
use quell_core::plan::{Class, Machine, word};

use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::{Page, render};

/// A step as it is shown.
struct StepRow {
    id: String,
    what: String,
    why: String,
    breaks: String,
    class: &'static str,
    state: &'static str,
    approvals: String,
    /// It waits for an approval of whoever looks.
    mine: bool,
}

struct Clocked<'a> {
    clock: &'a Clock,
    state: String,
}

#[derive(Template)]
#[template(path = "incident/room.html")]
struct RoomPage<'a> {
    page: Page,
    incident: &'a Incident,
    clocks: Vec<Clocked<'a>>,
    secrets: Vec<Inertness>,
    steps: Vec<StepRow>,
    hash: String,
    driven: bool,
    trouble: Option<String>,
    missing: Vec<String>,
    timeline: Vec<TimelineRow>,
    /// Number of the newest entry that this page shows.
    seq: u64,
}

pub(crate) async fn show(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let (incident, entries) = caller.app.incident_with_entries(id).await?;
    let at = now();
    let clocks =
        incident.clocks.iter().map(|clock| Clocked { clock, state: format!("{:?}", clock.state(at)) });
    let machine = incident.machine.as_ref();
    let steps = machine.map(|machine| steps(machine, &caller)).unwrap_or_default();
    render(&RoomPage {
        page: Page::of(&caller, format!("{id} {}", incident.title)),
        clocks: clocks.collect(),
        secrets: inertness(&incident),
        steps,
        hash: machine.map(|machine| machine.plan_hash().to_owned()).unwrap_or_default(),
        driven: incident.is_to_be_driven(),
        trouble: server.troubles.of(id),
        missing: unmet(&incident),
        timeline: quell_app::report::timeline(&entries),
        seq: entries.last().map_or(0, |entry| entry.seq),
        incident: &incident,
    })
}

fn steps(machine: &Machine, caller: &Caller) -> Vec<StepRow> {
    let row = |(step, state): (&quell_core::plan::Step, &quell_core::plan::StepState)| {
        let (by, needed) = machine.approvals(&step.id, now());
        let open = !state.satisfies() && needed > 0 && by.len() < usize::from(needed);
        StepRow {
            id: step.id.to_string(),
            what: step.what.clone(),
            why: step.why.clone(),
            breaks: step.breaks.clone().unwrap_or_default(),
            class: match step.class {
                Class::Read => "only looks",
                Class::Reversible => "can be taken back",
                Class::Destructive => "cannot be taken back",
            },
            state: word(state),
            approvals: if needed == 0 { String::new() } else { format!("{} of {needed}", by.len()) },
            mine: open && caller.may(Role::Approver) && !by.contains(&caller.person.as_str()),
        }
    };
    machine.states().map(row).collect()
}
