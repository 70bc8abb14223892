//! `quell respond`: the main path, like a conversation.

mod many;
mod show;

use std::io::BufRead as _;
use std::sync::Arc;

use quell_app::driver::{self, Ended, Failpoint, PATIENCE, Run, short};
use quell_app::{App, AppError, plan};
use quell_core::IncidentId;
use quell_core::incident::{Incident, unmet};
use quell_core::plan::{Class, Machine, StepState};
use quell_web::view;

use super::incident_id;
use crate::cli::RespondArgs;
use crate::desk::{Desk, Follow, Seat};
use crate::exit;
use crate::output::{Out, Tone, can_ask, tone};

pub(super) use self::show::Show;

pub(crate) async fn respond(seat: &Seat, args: &RespondArgs, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(&args.id)?;
    if let Some(yes) = &args.yes
        && *yes != args.id
    {
        return Err(AppError::Usage(format!("--yes must repeat the incident's id: --yes {id}")));
    }
    let desk = seat.desk_about(id).await?;
    let incident = desk.plan(id, false).await?;
    if !out.json() {
        out.status(format!("{} {}", tone(Tone::Strong, id), incident.title));
    }
    let stop = stop_at_interrupt();
    let mut agreed: Option<String> = match args.yes {
        Some(_) => Some(plan::machine(&incident)?.plan_hash().to_owned()),
        None => None,
    };
    // Before anything is approved: the server goes on at once, and all of it is told.
    let mut runner = match &desk {
        Desk::Here(app) => Runner::Here(app),
        Desk::There(remote) => Runner::There(Box::new(Follow::start(remote, id).await?)),
    };
    let ended = loop {
        if let Some(hash) = &agreed {
            desk.approve(id, hash, &[]).await?;
        }
        let wait = args.wait && !(can_ask() && agreed.is_none());
        let ended = carry_out(&mut runner, args, wait, &stop, out).await?;
        // Ask a person at the terminal once; what they cannot give (a second person) is waited for or returned.
        if ended == Ended::NeedsApproval && agreed.is_none() && can_ask() && !out.json() {
            agreed = ask(&desk, id, &mut stop.clone(), out).await?;
            if agreed.is_some() {
                continue;
            }
        }
        break ended;
    };
    finish(&desk, id, ended, out).await
}

fn stop_at_interrupt() -> Stop {
    let (stop_tx, stop) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _receivers_may_be_gone = stop_tx.send(true);
            // Hold the sender: a dropped one would look like a change.
            stop_tx.closed().await;
        }
    });
    stop
}

/// Who carries out the plan.
enum Runner<'a> {
    /// This process.
    Here(&'a Arc<App>),
    /// A server, which is watched.
    There(Box<Follow<'a>>),
}

/// Runs the plan here, or watches a server run it.
async fn carry_out(
    runner: &mut Runner<'_>,
    args: &RespondArgs,
    wait: bool,
    stop: &Stop,
    out: &Out,
) -> Result<Ended, AppError> {
    let mut show = Show::new(out);
    let ended = match runner {
        Runner::Here(app) => {
            let run = Run {
                stop: stop.clone(),
                return_when_idle: !wait,
                failpoint: args.failpoint.as_deref().and_then(Failpoint::parse),
                patience: PATIENCE,
                only: None,
            };
            driver::run(Arc::clone(app), incident_id(&args.id)?, run, &mut |p| show.progress(p)).await
        }
        Runner::There(follow) => {
            follow.ask().await?;
            follow.run(stop.clone(), wait, &mut |p| show.progress(p)).await
        }
    };
    show.clear();
    ended
}

/// Turns true at Ctrl-C.
type Stop = tokio::sync::watch::Receiver<bool>;

/// Shows what waits and asks for the incident's id. Gives the hash of the plan that was shown: that one is approved,
/// whatever plan holds by then.
async fn ask(desk: &Desk, id: IncidentId, stop: &mut Stop, out: &Out) -> Result<Option<String>, AppError> {
    let (incident, person) = (desk.incident(id).await?, desk.person().await?);
    let machine = plan::machine(&incident)?;
    out.status(format!("\nThese steps of plan {} need your approval:", short(machine.plan_hash())));
    for (step, state) in machine.states() {
        let open =
            matches!(state, StepState::Waiting | StepState::AwaitingApproval | StepState::Deferred { .. });
        if step.approvals == 0
            || !open
            || machine.approvals(&step.id, quell_app::clock::now()).0.contains(&person.as_str())
        {
            continue;
        }
        let class = if step.class == Class::Destructive {
            tone(Tone::Bad, "cannot be taken back")
        } else {
            "can be taken back".to_owned()
        };
        out.status(format!("  {} ({class}): {}", tone(Tone::Name, &step.id), step.what));
        if let Some(breaks) = &step.breaks {
            out.status(format!("      breaks: {breaks}"));
        }
    }
    // If stderr is gone there is nobody to ask, and nothing is typed.
    let _asked = out.ask(format!("Type {id} to approve them as {person}, anything else to stop: "));
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = line => line.ok().and_then(Result::ok).unwrap_or_default(),
        _changed = stop.changed() => String::new(),
    };
    Ok((line.trim() == id.to_string()).then(|| machine.plan_hash().to_owned()))
}

async fn finish(desk: &Desk, id: IncidentId, ended: Ended, out: &Out) -> Result<u8, AppError> {
    let incident = desk.incident(id).await?;
    if !out.json() && incident.secrets.len() > 1 && ended != Ended::NeedsApproval {
        for line in super::mass::table(&incident) {
            out.status(line);
        }
    }
    if out.json() {
        let incident = view::Incident::of(&incident, quell_app::clock::now());
        out.object(&view::Responded { incident, ended })?;
    }
    Ok(match ended {
        Ended::Done => {
            done(&incident, out);
            if incident.is_contained() { exit::OK } else { exit::REMOTE }
        }
        Ended::NeedsApproval => {
            let hash = plan::machine(&incident).map(|m| short(m.plan_hash()).to_owned()).unwrap_or_default();
            out.status("people must approve before it goes on");
            out.hint(format!("`quell approve {id} --plan {hash}`, then `quell respond {id}`"));
            exit::WAITING
        }
        Ended::NeedsPeople => {
            for_people(plan::machine(&incident)?, out);
            out.hint(format!(
                "done? `quell step resolve {id} STEP --statement WHAT-WAS-SEEN --evidence FILE`, then `quell respond {id}`"
            ));
            exit::WAITING
        }
        Ended::Stuck => {
            let failed: Vec<String> = plan::machine(&incident)?
                .states()
                .filter(|(_, s)| matches!(s, StepState::Failed { .. }))
                .map(|(s, _)| s.id.to_string())
                .collect();
            out.status(format!("a person must decide about: {}", failed.join(", ")));
            if plan::machine(&incident)?.is_with_people() {
                for_people(plan::machine(&incident)?, out);
            }
            out.hint(format!("fix the cause, then `quell step retry {id} STEP` and `quell respond {id}`; or `quell step skip|resolve`"));
            exit::REMOTE
        }
        Ended::Held => {
            let held = incident.machine.as_ref().and_then(|m| m.held());
            out.status(format!("the plan is paused: {}", held.map_or("", |h| &h.reason)));
            out.hint(format!("`quell incident secrets {id}`; then `quell resume {id} --reason WHY` and `quell respond {id}`"));
            exit::WAITING
        }
        Ended::Interrupted => {
            match desk {
                Desk::Here(_) => {
                    out.status("stopped; nothing is running and nothing is lost");
                    out.hint(format!("`quell respond {id}` takes it up again"));
                }
                Desk::There(_) => {
                    out.status("you watch no more; the server goes on");
                    out.hint(format!(
                        "`quell respond {id}` watches again, `quell pause {id} --reason WHY` stops it"
                    ));
                }
            }
            exit::INTERRUPTED
        }
    })
}

/// What waits for people, with what to do and why.
fn for_people(machine: &Machine, out: &Out) {
    out.status("people have to do this before it goes on:");
    for (step, _) in machine.states().filter(|(_, state)| **state == StepState::WithPeople) {
        out.status(format!("  {}: {}", tone(Tone::Name, &step.id), step.what));
        out.status(tone(Tone::Quiet, format!("      {}", step.why)));
    }
}

fn done(incident: &Incident, out: &Out) {
    if out.json() {
        return;
    }
    // Of many there was a table.
    for affected in incident.secrets.iter().filter(|_| incident.secrets.len() == 1) {
        if let Some(proof) = incident.proof(&affected.secret) {
            let line =
                if proof.inert { tone(Tone::Good, "proven inert") } else { tone(Tone::Bad, "NOT inert") };
            out.status(format!("{} {line} on {} at {}", affected.secret, proof.target, proof.at));
        }
    }
    let missing = unmet(incident);
    if !missing.is_empty() {
        out.status("before it can close:");
        for line in missing {
            out.status(format!("  - {line}"));
        }
    }
    out.hint(format!(
        "`quell evidence export {}`; `quell report {}`; `quell verify {}` at any later time",
        incident.id, incident.id, incident.id
    ));
}
