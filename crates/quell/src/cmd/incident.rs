//! `quell incident …`.

use quell_app::AppError;
use quell_app::clock::now;
use quell_app::incident::{self, Change, Report};
use quell_core::incident::{Clock, ClockState, Incident, unmet};
use quell_core::inventory::StrategyPolicy;
use quell_core::plan::{HoldScope, word as state_word};
use quell_core::{IncidentId, Timestamp};
use quell_web::view;

use super::{incident_id, read_value, word};
use crate::cli::{IncidentCommand, ListArgs, OpenArgs, StrategyArg};
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(seat: &Seat, command: IncidentCommand, out: &Out) -> Result<u8, AppError> {
    let (id, change) = match command {
        IncidentCommand::Open(args) => return open(seat, &args, out).await,
        IncidentCommand::List(args) => return list(seat, &args, out).await,
        IncidentCommand::Show(arg) => return show(seat, &arg.id, out).await,
        IncidentCommand::Secrets(arg) => return super::mass::secrets(seat, &arg.id, out).await,
        IncidentCommand::Adjacent(arg) => return super::mass::adjacent(seat, &arg.id, out).await,
        IncidentCommand::Timeline(arg) => return timeline(seat, &arg.id, out).await,
        IncidentCommand::Add { id, secret, reason } => {
            return super::mass::add(seat, &id, &secret, &reason, out).await;
        }
        IncidentCommand::Signal { id, signal, reason } => (id, Change::Signal(word(&signal)?, reason)),
        IncidentCommand::Verdict { id, verdict, reason } => (id, Change::Verdict(word(&verdict)?, reason)),
        IncidentCommand::Strategy { id, strategy, reason } => {
            (id, Change::Strategy(policy(strategy), reason))
        }
        IncidentCommand::Exception { id, secret, reason } => (id, Change::Exception(word(&secret)?, reason)),
        IncidentCommand::Unlocked { id, channel, reason } => (id, Change::Unlocked(channel, reason)),
        IncidentCommand::Distrust { id, secret, reason } => (id, Change::Distrust(word(&secret)?, reason)),
        IncidentCommand::Note { id, text } => (id, Change::Note(text)),
        IncidentCommand::Cleaned { id, what } => (id, Change::Cleaned(what)),
        IncidentCommand::Action { id, title, owner, due, gate } => {
            let gate = gate.as_deref().map(word).transpose()?;
            (id, Change::ActionItem(title, owner, due, gate))
        }
        IncidentCommand::ActionDone { id, item, evidence } => (id, Change::ActionItemDone(item, evidence)),
        IncidentCommand::Role { id, role, person } => {
            // Whoever asks; a server knows them by their token.
            (id, Change::Role(word(&role)?, person.unwrap_or_default()))
        }
        IncidentCommand::Task(command) => return super::task::run(seat, command, out).await,
        IncidentCommand::PostMortem(args) => return super::post_mortem::run(seat, &args, out).await,
        IncidentCommand::Close { id, summary } => (id, Change::Close(summary)),
    };
    carry_out(seat, &id, &change, out).await
}

pub(super) async fn carry_out(seat: &Seat, id: &str, change: &Change, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(id)?;
    let changed = seat.desk().await?.change(id, change).await?;
    if out.json() {
        out.object(&view::Incident::of(&changed, now()))?;
    } else {
        said(&changed, change, out);
    }
    Ok(exit::OK)
}

fn said(incident: &Incident, change: &Change, out: &Out) {
    let id = incident.id;
    match change {
        Change::Signal(..) | Change::Verdict(..) => {
            out.status(format!("recorded; {id} is {}", incident.severity()))
        }
        Change::Strategy(..) => {
            out.status("recorded".to_owned());
            out.hint(format!("`quell plan {id} --again` compiles a plan with it"));
        }
        Change::Distrust(secret, _) => {
            out.status(format!(
                "the successor of {secret} counts as compromised now; the plan does not go on"
            ));
            out.hint(format!("`quell plan {id} --again`, then `quell respond {id}`: both values are killed, then another one is made"));
        }
        Change::Cleaned(_) => {
            out.status("recorded as hygiene".to_owned());
            out.warning("removing is not containing: forks, caches, mail and exports keep copies; only the issuer can kill it");
        }
        Change::Close(_) => out.status(format!("{} {id}", tone(Tone::Good, "closed"))),
        Change::Hold(hold) => {
            out.status(match hold.scope {
                HoldScope::NextSecrets => {
                    "paused: no further secret is begun; those under way go on to their proof"
                }
                HoldScope::Everything => "paused: nothing starts any more",
            });
            out.hint(format!(
                "`quell incident secrets {id}` shows how each stands; `quell resume {id}` lets it go on"
            ));
        }
        Change::Resume(_) => {
            out.status("it may go on");
            out.hint(format!("`quell respond {id}` does, unless one runs already; `quell step retry {id} STEP` takes up what failed"));
        }
        Change::Task(title, ..) => {
            let added = incident.tasks.iter().rev().find(|task| task.title == title.trim());
            out.status(added.map_or_else(|| "recorded".to_owned(), super::task::whose));
        }
        Change::TaskGiven(task, _) => {
            out.status(incident.task(task).map_or_else(|| "recorded".to_owned(), super::task::whose));
        }
        Change::TaskEnded(task, how, _) => out.status(format!("{task} is {}", how.word())),
        Change::Role(role, person) => out.status(format!("{person} is {role} of {id}")),
        Change::Exception(..)
        | Change::Unlocked(..)
        | Change::Note(_)
        | Change::PostMortem(..)
        | Change::ActionItem(..)
        | Change::ActionItemDone(..) => {
            out.status("recorded".to_owned());
        }
    }
}

pub(crate) fn policy(strategy: StrategyArg) -> StrategyPolicy {
    match strategy {
        StrategyArg::Auto => StrategyPolicy::Auto,
        StrategyArg::KillFirst => StrategyPolicy::KillFirst,
        StrategyArg::MakeBeforeBreak => StrategyPolicy::MakeBeforeBreak,
    }
}

async fn open(seat: &Seat, args: &OpenArgs, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk_with_inventory().await?;
    let mut report = Report {
        channel: args.channel.as_deref().map(word).transpose()?,
        audience: args.audience.as_deref().map(word).transpose()?,
        first_exposed: args.first_exposed,
        discovered: args.discovered,
        still_visible: args.still_visible,
        place: args.place.clone(),
        channel_name: args.channel_name.clone(),
        title: args.title.clone(),
        value: args.value_file.as_deref().map(read_value).transpose()?,
        ..Report::default()
    };
    for secret in &args.secret {
        report.secrets.push(word(secret)?);
    }
    let named = report.secrets.clone();
    let (incident, entries, known) = desk.open(report, args.finding.as_deref()).await?;
    if !known {
        out.warning(
            "the leaked value could not be read again; closing will ask for a proof of that very value",
        );
    }
    let remarks = incident::remarks(&entries);
    if out.json() {
        out.object(&view::Opened { incident: view::Incident::of(&incident, now()), remarks })?;
        return Ok(exit::OK);
    }
    out.data(incident.id)?;
    for line in severity(&incident) {
        out.status(line);
    }
    for clock in &incident.clocks {
        out.status(clock_line(clock, now()));
    }
    for affected in incident.secrets.iter().filter(|it| !named.contains(&it.secret)) {
        out.status(format!("exposed too: {} ({})", affected.secret, affected.because));
    }
    for remark in remarks {
        out.warning(remark);
    }
    out.hint(format!(
        "`quell plan {}` shows what will happen; `quell respond {}` does it",
        incident.id, incident.id
    ));
    Ok(exit::OK)
}

async fn list(seat: &Seat, args: &ListArgs, out: &Out) -> Result<u8, AppError> {
    let (rows, incidents) = seat.desk().await?.incidents(args).await?;
    if out.json() {
        out.object(&incidents)?;
    } else if rows.is_empty() {
        out.status("no incident");
    } else {
        let rows = rows
            .into_iter()
            .map(|row| {
                let contained = if row.contained { "proven inert" } else { "not proven" };
                let status = if row.drill { format!("{} drill", row.status) } else { row.status };
                vec![row.id, status, row.severity, contained.to_owned(), row.title]
            })
            .collect();
        out.table(&["id", "status", "severity", "containment", "title"], rows)?;
    }
    Ok(exit::OK)
}

fn status(incident: &Incident) -> &'static str {
    match (incident.status, incident.drill) {
        (quell_core::incident::Status::Open, false) => "open",
        (quell_core::incident::Status::Closed, false) => "closed",
        (quell_core::incident::Status::Open, true) => "open drill",
        (quell_core::incident::Status::Closed, true) => "closed drill",
    }
}

async fn show(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let id: IncidentId = incident_id(id)?;
    let incident = seat.desk().await?.incident(id).await?;
    let at = now();
    if out.json() {
        out.object(&view::Incident::of(&incident, at))?;
        return Ok(exit::OK);
    }
    out.data(format!("{} {} ({})", tone(Tone::Strong, incident.id), incident.title, status(&incident)))?;
    for line in severity(&incident) {
        out.data(line)?;
    }
    let first = incident.first_exposed().map_or_else(|| "not known".to_owned(), |t| t.to_string());
    out.data(format!(
        "first exposed {first}; discovered {}; declared {}",
        incident.discovered(),
        incident.declared
    ))?;
    for clock in &incident.clocks {
        out.data(clock_line(clock, at))?;
    }
    for affected in &incident.secrets {
        let proof = match incident.proof(&affected.secret) {
            Some(p) if p.inert => tone(Tone::Good, format!("proven inert at {}", p.at)),
            Some(p) => tone(Tone::Bad, format!("NOT inert: {}", p.unmet.join("; "))),
            None => tone(Tone::Careful, "not proven"),
        };
        out.data(format!("secret {} ({}): {proof}", affected.secret, affected.because))?;
    }
    if let Some(machine) = &incident.machine {
        for (step, state) in machine.states() {
            out.data(format!("  {:<18} {}", state_word(state), step.id))?;
            if let quell_core::plan::StepState::Failed { reason } = state {
                out.data(format!("  {:<18} {reason}", ""))?;
            }
        }
    }
    let missing = unmet(&incident);
    if !missing.is_empty() && incident.closed.is_none() {
        out.data("before it can close:")?;
        for line in missing {
            out.data(format!("  - {line}"))?;
        }
    }
    Ok(exit::OK)
}

fn severity(incident: &Incident) -> Vec<String> {
    let Some((_, assessment)) = incident.severities.last() else { return Vec::new() };
    let mut lines = vec![format!("severity {}", tone(Tone::Strong, &assessment.label))];
    lines
        .extend(assessment.reasons.iter().map(|r| format!("  {}: {} [{}]", r.severity, r.because, r.source)));
    lines
}

fn clock_line(clock: &Clock, at: Timestamp) -> String {
    let state = match clock.state(at) {
        ClockState::Running => tone(Tone::Careful, "running"),
        ClockState::Met => tone(Tone::Good, "met"),
        ClockState::Late => tone(Tone::Bad, "met late"),
        ClockState::Missed => tone(Tone::Bad, "MISSED"),
    };
    format!("clock {}: {state}, due {} ({})", clock.name, clock.due, clock.rule)
}

async fn timeline(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let (_, entries) = seat.desk().await?.incident_with_entries(incident_id(id)?).await?;
    let rows = quell_app::report::timeline(&entries);
    if out.json() {
        out.object(&view::Timeline { timeline: rows })?;
    } else {
        for row in rows {
            out.data(format!("{} {} {}", tone(Tone::Quiet, row.at), tone(Tone::Name, &row.actor), row.what))?;
            if !row.detail.is_empty() {
                out.data(format!("    {}", row.detail))?;
            }
        }
    }
    Ok(exit::OK)
}
