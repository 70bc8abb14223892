//! `quell finding …`.

use quell_app::AppError;
use quell_app::finding::{self, Wanted};
use quell_core::event::FindingSays;
use quell_web::view::{Finding, FindingIs};

use crate::cli::{FindingCommand, FindingListArgs, FindingSaysArg, FindingTriageArgs};
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(seat: &Seat, command: &FindingCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        FindingCommand::List(args) => list(seat, args, out).await?,
        FindingCommand::Show { id } => {
            let id = finding::id(id)?;
            print(&seat.desk().await?.finding(id).await?, out)?;
        }
        FindingCommand::Triage(args) => triage(seat, args, out).await?,
    }
    Ok(exit::OK)
}

async fn list(seat: &Seat, args: &FindingListArgs, out: &Out) -> Result<(), AppError> {
    let wanted = Wanted { secret: args.secret.clone(), rule: args.rule.clone(), open: args.open };
    let most = usize::try_from(args.most).unwrap_or(usize::MAX);
    let known = seat.desk().await?.findings(&wanted, most).await?;
    if out.json() {
        return out.object(&known);
    }
    if known.findings.is_empty() {
        out.status("there is no such finding");
        return Ok(());
    }
    let row = |one: &Finding| {
        let found = &one.finding.finding;
        let secret = one.finding.secret.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![found.id.clone(), secret, found.rule.clone(), place(one), is(one)]
    };
    let rows = known.findings.iter().map(row).collect();
    out.table(&["id", "secret", "rule", "where", "what it is"], rows)
}

async fn triage(seat: &Seat, args: &FindingTriageArgs, out: &Out) -> Result<(), AppError> {
    let id = finding::id(&args.id)?;
    let says = match (args.says, &args.of) {
        (FindingSaysArg::Duplicate, Some(of)) => FindingSays::Duplicate { of: finding::id(of)?.to_owned() },
        (FindingSaysArg::NotALeak, None) => FindingSays::NotALeak,
        (FindingSaysArg::Duplicate, None) | (FindingSaysArg::NotALeak, Some(_)) => {
            return Err(AppError::Usage(
                "--of names the finding that stays, and goes with `duplicate` alone".to_owned(),
            ));
        }
    };
    let now = seat.desk().await?.triage_finding(id, says, &args.reason).await?;
    if out.json() {
        return out.object(&now);
    }
    out.status(format!("{id} is {}", is(&now)));
    Ok(())
}

fn print(one: &Finding, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(one);
    }
    let found = &one.finding.finding;
    out.data(format!("{} {}", tone(Tone::Strong, &found.id), found.description))?;
    out.data(format!("rule {}, looks like {} ({})", found.rule, found.preview, found.fingerprint))?;
    out.data(format!("seen at {}, {} time(s)", place(one), found.occurrences))?;
    if let Some(commit) = &found.place.commit {
        let when = found.place.author_time.map(|at| format!(", {at}")).unwrap_or_default();
        out.data(format!("first in commit {commit}{when}"))?;
    }
    out.data(match &one.finding.secret {
        Some(secret) => format!("it is {secret} of the inventory"),
        None => "which secret of the inventory it is, is not known".to_owned(),
    })?;
    out.data(if found.still_reachable {
        "it can still be seen there"
    } else {
        "no ref of the repository leads to it any more"
    })?;
    if let Some(note) = &found.note {
        out.data(note)?;
    }
    out.data(is(one))?;
    if let Some(said) = &one.said {
        out.data(format!("{}, {}: {}", said.by, said.at, said.reason))?;
    }
    Ok(())
}

fn place(one: &Finding) -> String {
    let place = &one.finding.finding.place;
    format!("{}:{}", place.file, place.line)
}

/// What it is, by the word of a person or of an incident.
fn is(one: &Finding) -> String {
    let incident = one.incidents.first();
    match (&one.said, incident) {
        (Some(said), _) => match (said.is, &said.of, &said.incident) {
            (FindingIs::Duplicate, Some(of), _) => format!("a duplicate of {of}"),
            (FindingIs::Leak, _, Some(incident)) => format!("a leak: {incident}"),
            (FindingIs::Duplicate, None, _) => "a duplicate".to_owned(),
            (FindingIs::Leak, _, None) => "a leak".to_owned(),
            (FindingIs::NotALeak, _, _) => "no leak".to_owned(),
        },
        (None, Some(incident)) => format!("a leak: {incident}"),
        (None, None) => "nobody said what it is".to_owned(),
    }
}
