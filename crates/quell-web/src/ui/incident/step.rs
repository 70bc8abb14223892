//! Steps of a plan as people see them: what each does, what breaks, who approved, and what whoever looks may decide.

use jiff::Timestamp;
use quell_core::incident::Incident;
use quell_core::person::Role;
use quell_core::plan::{Class, Machine, Step, StepState, Strategy};

use crate::caller::Caller;
use crate::ui::graph::{self, Node, Shape};
use crate::ui::words::{self, Badge};

/// The plan that holds.
pub(super) struct PlanView {
    pub(super) hash: String,
    pub(super) short: String,
    pub(super) revision: u32,
    pub(super) strategy: &'static str,
    pub(super) reasons: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) steps: Vec<StepView>,
    pub(super) drawing: Option<String>,
    /// The server carries it out.
    pub(super) driven: bool,
    pub(super) done: bool,
    /// It is for a successor that nobody trusts any more.
    pub(super) stale: bool,
    pub(super) held: Option<String>,
    /// Applied or skipped, of all.
    pub(super) settled: usize,
}

/// A step with everything that a decision about it rests on.
pub(super) struct StepView {
    pub(super) id: String,
    pub(super) state: Badge,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) breaks: String,
    /// What it means that it is done wrongly.
    pub(super) class: &'static str,
    pub(super) destructive: bool,
    pub(super) needs: String,
    /// `omar (1 of 2)`; empty when nobody is needed.
    pub(super) approvals: String,
    /// Why it gave up, or waits.
    pub(super) trouble: String,
    pub(super) may: May,
    /// It needs whoever looks now, and stands at the top of the page.
    pub(super) now: bool,
}

/// What whoever looks may do with a step.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a button or no button")]
pub(super) struct May {
    pub(super) approve: bool,
    pub(super) refuse: bool,
    pub(super) retry: bool,
    pub(super) skip: bool,
    pub(super) resolve: bool,
}

impl May {
    pub(super) fn anything(self) -> bool {
        self.approve || self.refuse || self.retry || self.skip || self.resolve
    }
}

pub(super) fn plan(incident: &Incident, caller: &Caller, now: Timestamp) -> Option<PlanView> {
    let machine = incident.machine.as_ref()?;
    let plan = machine.plan();
    let steps: Vec<StepView> =
        machine.states().map(|(step, state)| view(incident, machine, (step, state), caller, now)).collect();
    let settled = machine.states().filter(|(_, state)| state.satisfies()).count();
    Some(PlanView {
        hash: machine.plan_hash().to_owned(),
        short: machine.plan_hash().chars().take(12).collect(),
        revision: plan.revision,
        strategy: match plan.strategy {
            Strategy::KillFirst => "kill first, then make the new one",
            Strategy::MakeBeforeBreak => "make the new one, then kill the old one",
        },
        reasons: plan.reasons.clone(),
        warnings: plan.warnings.clone(),
        drawing: drawing(machine, &steps),
        steps,
        driven: incident.is_to_be_driven(),
        done: machine.is_done(),
        stale: incident.stale,
        held: machine.held().map(|hold| hold.reason.clone()),
        settled,
    })
}

fn view(
    incident: &Incident,
    machine: &Machine,
    (step, state): (&Step, &StepState),
    caller: &Caller,
    now: Timestamp,
) -> StepView {
    let (by, needed) = machine.approvals(&step.id, now);
    let may = may(incident, machine, (step, state), caller, by.contains(&caller.person.as_str()), now);
    let ready =
        matches!(state, StepState::AwaitingApproval | StepState::WithPeople | StepState::Failed { .. });
    let asked = may.approve && (ready || !machine.is_done());
    StepView {
        id: step.id.to_string(),
        state: words::step(state),
        what: step.what.clone(),
        why: step.why.clone(),
        breaks: step.breaks.clone().unwrap_or_default(),
        class: match step.class {
            Class::Read => "Changes nothing: it only looks.",
            Class::Reversible => "Can be changed again without loss.",
            Class::Destructive => "Destructive: it cannot be taken back.",
        },
        destructive: step.class == Class::Destructive,
        needs: words::some(&step.needs.iter().map(ToString::to_string).collect::<Vec<_>>(), 6),
        approvals: match (needed, by.is_empty()) {
            (0, _) => String::new(),
            (_, true) => format!("nobody yet (0 of {needed})"),
            (_, false) => format!("{} ({} of {needed})", by.join(", "), by.len()),
        },
        trouble: trouble(state, now),
        now: asked || (matches!(state, StepState::WithPeople | StepState::Failed { .. }) && may.anything()),
        may,
    }
}

fn may(
    incident: &Incident,
    machine: &Machine,
    (step, state): (&Step, &StepState),
    caller: &Caller,
    approved: bool,
    now: Timestamp,
) -> May {
    let (by, needed) = machine.approvals(&step.id, now);
    let unsettled = match state {
        StepState::Waiting
        | StepState::AwaitingApproval
        | StepState::WithPeople
        | StepState::Deferred { .. }
        | StepState::Failed { .. } => true,
        StepState::Running { .. } | StepState::Applied | StepState::Skipped => false,
    };
    let failed = matches!(state, StepState::Failed { .. });
    let open = unsettled && incident.closed.is_none() && !incident.stale;
    let (responder, approver) = (caller.may(Role::Responder), caller.may(Role::Approver));
    let replaceable = machine.must_run(&step.id).is_none();
    let lacking = by.len() < usize::from(needed);
    May {
        approve: open && approver && lacking && !approved && !failed && *state != StepState::WithPeople,
        refuse: open && responder && needed > 0 && !failed,
        retry: open && responder && failed,
        skip: open && responder && replaceable,
        resolve: open && responder && replaceable && (failed || *state == StepState::WithPeople),
    }
}

fn trouble(state: &StepState, now: Timestamp) -> String {
    match state {
        StepState::Failed { reason } => reason.clone(),
        StepState::Deferred { reason, until, attempt, .. } => {
            format!("attempt {attempt}: {reason}; next in {}", words::length(until.duration_since(now)))
        }
        StepState::Running { attempt, .. } => format!("attempt {attempt}"),
        StepState::Waiting
        | StepState::AwaitingApproval
        | StepState::WithPeople
        | StepState::Applied
        | StepState::Skipped => String::new(),
    }
}

fn drawing(machine: &Machine, steps: &[StepView]) -> Option<String> {
    let plan = machine.plan();
    let node = |(step, view): (&Step, &StepView)| Node {
        name: step.id.to_string(),
        sub: format!("{} {}", view.state.mark, view.state.word),
        title: format!("{}: {}. {} {}", step.id, view.state.word, view.what, view.class),
        href: format!("#step-{}", step.id),
        tone: view.state.tone,
        shape: match step.class {
            Class::Read => Shape::Pill,
            Class::Reversible => Shape::Square,
            Class::Destructive => Shape::Cut,
        },
    };
    let nodes: Vec<Node> = plan.steps.iter().zip(steps).map(node).collect();
    let at = |id: &quell_core::StepId| plan.steps.iter().position(|step| step.id == *id);
    let edges: Vec<(usize, usize)> = plan
        .steps
        .iter()
        .enumerate()
        .flat_map(|(to, step)| step.needs.iter().filter_map(move |need| Some((at(need)?, to))))
        .collect();
    graph::svg(&nodes, &edges, "The plan: each box is a step, each arrow leads to what waits for it")
}
