//! Many secrets at once: how each stands, what lies beside them, stopping and going on.

use quell_app::AppError;
use quell_app::incident::Change;
use quell_app::precheck::Ready;
use quell_core::incident::{Incident, Inert, inertness};
use quell_core::plan::{Hold, HoldScope};
use quell_core::{IncidentId, SecretId};
use quell_web::view;

use super::{incident_id, word};
use crate::cli::{PauseArgs, ResumeArgs};
use crate::desk::{Desk, Seat};
use crate::exit;
use crate::output::{Out, Tone, tone};

/// `quell pause`.
pub(crate) async fn pause(seat: &Seat, args: &PauseArgs, out: &Out) -> Result<u8, AppError> {
    let scope = if args.now { HoldScope::Everything } else { HoldScope::NextSecrets };
    let change = Change::Hold(Hold { scope, reason: args.reason.clone() });
    super::incident::carry_out(seat, &args.id, &change, out).await
}

/// `quell resume`.
pub(crate) async fn resume(seat: &Seat, args: &ResumeArgs, out: &Out) -> Result<u8, AppError> {
    super::incident::carry_out(seat, &args.id, &Change::Resume(args.reason.clone()), out).await
}

pub(super) async fn secrets(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let incident = seat.desk().await?.incident(incident_id(id)?).await?;
    if out.json() {
        out.object(&view::Secrets::of(&incident))?;
    } else {
        for line in table(&incident) {
            out.data(line)?;
        }
    }
    Ok(exit::OK)
}

/// `quell incident add`.
pub(super) async fn add(
    seat: &Seat,
    id: &str,
    secrets: &[String],
    reason: &str,
    out: &Out,
) -> Result<u8, AppError> {
    let desk = seat.desk_with_inventory().await?;
    let secrets = secrets.iter().map(|s| word(s)).collect::<Result<Vec<SecretId>, _>>()?;
    let incident = desk.widen(incident_id(id)?, &secrets, reason).await?;
    if out.json() {
        out.object(&view::Incident::of(&incident, quell_app::clock::now()))?;
        return Ok(exit::OK);
    }
    let id = incident.id;
    out.status(format!(
        "{id} is about {} secrets now and is {}",
        incident.secrets.len(),
        incident.severity()
    ));
    for affected in incident.secrets.iter().filter(|it| !secrets.contains(&it.secret)) {
        out.status(format!("  also {} ({})", affected.secret, affected.because));
    }
    if incident.machine.is_some() {
        out.hint(format!("`quell plan {id} --again` makes a plan that covers them"));
    }
    Ok(exit::OK)
}

/// How each secret stands, and a line that counts them.
pub(super) fn table(incident: &Incident) -> Vec<String> {
    let rows = inertness(incident);
    let width = rows.iter().map(|r| r.secret.as_str().len()).max().unwrap_or(0);
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let meant = match row.inert {
                Inert::Yes => Tone::Good,
                Inert::CannotTell => Tone::Careful,
                Inert::No => Tone::Bad,
            };
            let at = row.at.as_ref().zip(row.state);
            let at = at.map(|(step, state)| format!("; {} left, next {step} ({state})", row.left));
            let word = format!("{:<11}", row.inert.word());
            format!("{:<width$}  {}  {}{}", row.secret, tone(meant, word), row.why, at.unwrap_or_default())
        })
        .collect();
    let count = |wanted| rows.iter().filter(|r| r.inert == wanted).count();
    lines.push(format!(
        "{} secrets: {} inert, {} not inert, {} nobody can tell",
        rows.len(),
        count(Inert::Yes),
        count(Inert::No),
        count(Inert::CannotTell)
    ));
    lines
}

pub(super) async fn adjacent(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(id)?;
    let found = seat.desk_with_inventory().await?.adjacent(id).await?;
    if out.json() {
        out.object(&view::Adjacents { incident: id, adjacent: found })?;
        return Ok(exit::OK);
    }
    for neighbour in &found {
        out.data(tone(Tone::Name, &neighbour.secret))?;
        for reason in &neighbour.reasons {
            out.data(format!("  {reason}"))?;
        }
    }
    if found.is_empty() {
        out.status("no other secret of the inventory lies beside those of the incident");
    } else {
        out.hint(format!("`quell incident add {id} --secret ID --reason WHY` takes one in"));
    }
    Ok(exit::OK)
}

/// `quell plan --check`. Exit code 5 when something is missing.
pub(super) async fn precheck(desk: &Desk, id: IncidentId, out: &Out) -> Result<u8, AppError> {
    let ready = desk.precheck(id).await?;
    let lacking = ready.iter().filter(|r| !r.missing.is_empty()).count();
    if out.json() {
        out.object(&view::Ready::of(id, ready))?;
    } else {
        for row in &ready {
            print(row, out)?;
        }
        out.status(format!("{} secrets, {lacking} lack something", ready.len()));
        if lacking == 0 {
            out.hint(format!("`quell respond {id}` runs it"));
        } else {
            out.hint(format!("what is missing can be mended now; `quell respond {id}` goes on where it can, and stops after too many failures"));
        }
    }
    Ok(if lacking == 0 { exit::OK } else { exit::REMOTE })
}

fn print(row: &Ready, out: &Out) -> Result<(), AppError> {
    let names = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let tier = format!("{:?}", row.tier).to_lowercase();
    out.data(format!("{} ({tier})", tone(Tone::Name, &row.secret)))?;
    out.data(format!("  owners {}; used by {}", names(&row.owners), names(&row.consumers)))?;
    for line in &row.breaks {
        out.data(format!("  {} {line}", tone(Tone::Careful, "breaks")))?;
    }
    out.data(format!("  way back: {}", row.way_back))?;
    for line in &row.missing {
        out.data(format!("  {} {line}", tone(Tone::Bad, "missing")))?;
    }
    Ok(())
}
