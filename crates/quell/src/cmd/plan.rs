//! `quell plan`, `quell approve`, `quell step …`.

use quell_app::AppError;
use quell_app::driver::short;
use quell_app::plan::{self, StepCommand as Decision};
use quell_core::StepId;
use quell_core::incident::Incident;
use quell_core::plan::{Class, Machine, Step, StepState, word as state_word};
use quell_web::view;

use super::{incident_id, word};
use crate::cli::{ApproveArgs, PlanArgs, PlanFormat, StepCommand};
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn plan(seat: &Seat, args: &PlanArgs, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk_with_inventory().await?;
    let incident = desk.plan(incident_id(&args.id)?, args.again).await?;
    if args.check {
        return super::mass::precheck(&desk, incident.id, out).await;
    }
    let machine = plan::machine(&incident)?;
    match (args.format, out.json()) {
        (PlanFormat::Mermaid, _) => out.data(machine.plan().mermaid().trim_end())?,
        (PlanFormat::Text, true) => out.object(&view::Plan::of(machine))?,
        (PlanFormat::Text, false) => print(&incident, machine, out)?,
    }
    Ok(exit::OK)
}

fn print(incident: &Incident, machine: &Machine, out: &Out) -> Result<(), AppError> {
    let plan = machine.plan();
    let hash = short(machine.plan_hash());
    out.data(format!(
        "{} {}, plan {} (revision {})",
        tone(Tone::Strong, incident.id),
        incident.severity(),
        tone(Tone::Name, hash),
        plan.revision
    ))?;
    out.data(format!("strategy {}", tone(Tone::Strong, plan.strategy.word())))?;
    for reason in &plan.reasons {
        out.data(format!("  because {reason}"))?;
    }
    for warning in &plan.warnings {
        out.data(format!("{} {warning}", tone(Tone::Careful, "warning:")))?;
    }
    out.data("")?;
    for (n, (step, state)) in machine.states().enumerate() {
        step_lines(n + 1, step, state, machine, out)?;
    }
    let (read, reversible, destructive) = plan::tally(plan);
    out.data("")?;
    out.data(format!(
        "{} steps: {read} only look, {reversible} change, {} cannot be taken back",
        plan.steps.len(),
        tone(Tone::Bad, destructive)
    ))?;
    let waiting = machine.states().filter(|(s, state)| s.approvals > 0 && !state.satisfies()).count();
    if waiting > 0 {
        out.hint(format!("{waiting} step(s) need approval: `quell approve {} --plan {hash}`, or answer in `quell respond {}`", incident.id, incident.id));
    } else {
        out.hint(format!("`quell respond {}` runs it", incident.id));
    }
    Ok(())
}

fn step_lines(
    n: usize,
    step: &Step,
    state: &StepState,
    machine: &Machine,
    out: &Out,
) -> Result<(), AppError> {
    let sign = match step.class {
        Class::Read => tone(Tone::Quiet, "?"),
        Class::Reversible => tone(Tone::Careful, "~"),
        Class::Destructive => tone(Tone::Bad, "!"),
    };
    let (by, needed) = machine.approvals(&step.id, quell_app::clock::now());
    let approval = match needed {
        0 => String::new(),
        _ => format!("  [approvals {}/{needed}]", by.len()),
    };
    let state =
        if *state == StepState::Waiting { String::new() } else { format!("  ({})", state_word(state)) };
    out.data(format!(
        "{n:>3} {sign} {}{state}{}",
        tone(Tone::Name, &step.id),
        tone(Tone::Careful, approval)
    ))?;
    out.data(format!("      {}", step.what))?;
    out.data(tone(Tone::Quiet, format!("      why: {}", step.why)))?;
    if let Some(breaks) = &step.breaks {
        out.data(format!("      {} {breaks}", tone(Tone::Bad, "breaks:")))?;
    }
    if !step.needs.is_empty() {
        let needs: Vec<&str> = step.needs.iter().map(StepId::as_str).collect();
        out.data(tone(Tone::Quiet, format!("      after: {}", needs.join(", "))))?;
    }
    Ok(())
}

pub(crate) async fn approve(seat: &Seat, args: &ApproveArgs, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk_with_inventory().await?;
    let id = incident_id(&args.id)?;
    let incident = desk.incident(id).await?;
    let now_hash = plan::machine(&incident)?.plan_hash().to_owned();
    // A person may type the first 12 digits; the approval is recorded for the whole hash.
    let hash =
        if args.plan.len() >= 12 && now_hash.starts_with(&args.plan) { now_hash } else { args.plan.clone() };
    let steps = args.steps.iter().map(|s| word::<StepId>(s)).collect::<Result<Vec<_>, _>>()?;
    let (by, approved) = desk.approve(id, &hash, &steps).await?;
    if out.json() {
        out.object(&view::Approved { incident: id, plan: hash, approved, by })?;
    } else if approved.is_empty() {
        out.status("no step waits for your approval");
    } else {
        for step in &approved {
            out.data(step)?;
        }
        out.status(format!("{} step(s) approved by {} for plan {}", approved.len(), by, short(&hash)));
        out.hint(format!("`quell respond {id}` goes on"));
    }
    Ok(exit::OK)
}

pub(crate) async fn step(seat: &Seat, command: &StepCommand, out: &Out) -> Result<u8, AppError> {
    let (id, step, decision) = match command {
        StepCommand::Retry { id, step } => (id, step, Decision::Retry),
        StepCommand::Skip { id, step, reason } => (id, step, Decision::Skip(reason.clone())),
        StepCommand::Resolve { id, step, statement, evidence } => {
            let evidence = quell_app::evidence::read_files(evidence)?;
            (id, step, Decision::Resolve { statement: statement.clone(), evidence })
        }
        StepCommand::Refuse { id, step, reason } => (id, step, Decision::Refuse(reason.clone())),
    };
    let desk = seat.desk_with_inventory().await?;
    let id = incident_id(id)?;
    let step: StepId = word(step)?;
    let incident = desk.step(id, &step, &decision).await?;
    let state = plan::machine(&incident)?.state(&step).cloned();
    if out.json() {
        out.object(&view::Stepped { incident: id, step, state })?;
    } else {
        out.status(format!("{step} is {}", state.as_ref().map_or("gone", state_word)));
        out.hint(format!("`quell respond {id}` goes on"));
    }
    Ok(exit::OK)
}
