//! `quell incident …`.

use std::path::PathBuf;

use quell_app::clock::now;
use quell_app::incident::{self, Change, Report};
use quell_app::{App, AppError, Options, scan};
use quell_core::event::Event;
use quell_core::incident::{Clock, ClockState, Incident, unmet};
use quell_core::inventory::StrategyPolicy;
use quell_core::plan::{HoldScope, word as state_word};
use quell_core::{IncidentId, Timestamp};
use serde_json::{Value, json};

use super::{app, app_without_inventory, incident_id, read_value, word};
use crate::cli::{IncidentCommand, OpenArgs, StrategyArg};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(options: &Options, command: IncidentCommand, out: &Out) -> Result<u8, AppError> {
    let (id, change) = match command {
        IncidentCommand::Open(args) => return open(options, &args, out).await,
        IncidentCommand::List => return list(options, out).await,
        IncidentCommand::Show(arg) => return show(options, &arg.id, out).await,
        IncidentCommand::Secrets(arg) => return super::mass::secrets(options, &arg.id, out).await,
        IncidentCommand::Adjacent(arg) => return super::mass::adjacent(options, &arg.id, out).await,
        IncidentCommand::Timeline(arg) => return timeline(options, &arg.id, out).await,
        IncidentCommand::Add { id, secret, reason } => {
            return super::mass::add(options, &id, &secret, &reason, out).await;
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
            let person = person.unwrap_or_else(|| options.actor.clone());
            (id, Change::Role(word(&role)?, person))
        }
        IncidentCommand::Close { id, summary } => (id, Change::Close(summary)),
    };
    carry_out(options, &id, &change, out).await
}

pub(super) async fn carry_out(
    options: &Options,
    id: &str,
    change: &Change,
    out: &Out,
) -> Result<u8, AppError> {
    let id = incident_id(id)?;
    let app = app_without_inventory(options).await?;
    let changed = incident::change(&app, id, change).await?;
    if out.json() {
        out.object(&object(&changed, now()))?;
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
        Change::Role(role, person) => out.status(format!("{person} is {role} of {id}")),
        Change::Exception(..)
        | Change::Unlocked(..)
        | Change::Note(_)
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

async fn open(options: &Options, args: &OpenArgs, out: &Out) -> Result<u8, AppError> {
    let app = app(options).await?;
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
    if let Some(finding) = &args.finding {
        from_finding(&app, finding, &mut report, out).await?;
    }
    if report.secrets.is_empty() {
        return Err(AppError::Usage(
            "which secret leaked is not known; name it with --secret (`quell inventory check --offline` lists them)".to_owned(),
        ));
    }
    let named = report.secrets.clone();
    let incident = incident::open(&app, report).await?;
    let remarks = remarks(&app, incident.id).await?;
    if out.json() {
        let mut opened = object(&incident, now());
        if let Some(opened) = opened.as_object_mut() {
            opened.insert("remarks".to_owned(), json!(remarks));
        }
        out.object(&opened)?;
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

/// What the issuers could not tell, or told of what no secret of the inventory is.
async fn remarks(app: &App, id: IncidentId) -> Result<Vec<String>, AppError> {
    let (_, entries) = app.incident_with_entries(id).await?;
    let text = |event| if let Event::NoteAdded { text } = event { Some(text) } else { None };
    Ok(entries.into_iter().filter_map(|entry| text(entry.event)).collect())
}

/// Takes over what the finding knows, and seals the leaked value if it can still be read.
async fn from_finding(app: &App, id: &str, report: &mut Report, out: &Out) -> Result<(), AppError> {
    let recorded = scan::recorded(app).await?;
    let found = recorded.get(id).ok_or_else(|| AppError::NotFound { what: "finding", id: id.to_owned() })?;
    let finding = &found.finding;
    let place = &finding.place;
    if report.secrets.is_empty() {
        report.secrets.extend(found.secret.clone());
    }
    if report.place.is_empty() {
        let commit = finding
            .first_seen_commit
            .as_deref()
            .map(|c| format!(" @{}", c.get(..12).unwrap_or(c)))
            .unwrap_or_default();
        report.place = format!("{}:{}{commit}", place.file, place.line);
    }
    report.first_exposed = report.first_exposed.or(place.author_time.filter(|t| *t <= now()));
    report.still_visible = report.still_visible.or(Some(finding.still_reachable));
    report.fingerprints = std::iter::once(finding.fingerprint).chain(finding.parts.iter().copied()).collect();
    report.finding = Some(finding.id.clone());
    if report.value.is_none() {
        let target = last_scan_of(app, id).await?;
        let rules = scan::rules(&[])?;
        report.value = match target.as_deref().map(|t| scan::recover(app, t, &rules, id)) {
            Some(Ok(value)) => value,
            Some(Err(_)) | None => None,
        };
        if report.value.is_none() {
            out.warning(
                "the leaked value could not be read again; closing will ask for a proof of that very value",
            );
        }
    }
    Ok(())
}

/// The place whose scan recorded the finding: the first scan entry behind it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only findings and scans say where it was found")]
async fn last_scan_of(app: &App, id: &str) -> Result<Option<PathBuf>, AppError> {
    use quell_core::event::INSTALLATION;
    let mut seen = false;
    for entry in app.store.read_stream(INSTALLATION, 0).await? {
        match entry.event {
            Event::FindingRecorded { finding, .. }
                if finding.get("id").and_then(Value::as_str) == Some(id) =>
            {
                seen = true
            }
            Event::ScanRun { target, .. } if seen => return Ok(Some(PathBuf::from(target))),
            _ => {}
        }
    }
    Ok(None)
}

async fn list(options: &Options, out: &Out) -> Result<u8, AppError> {
    let app = app_without_inventory(options).await?;
    let incidents = incident::list(&app).await?;
    if out.json() {
        let at = now();
        out.object(&json!({"incidents": incidents.iter().map(|i| object(i, at)).collect::<Vec<_>>()}))?;
    } else if incidents.is_empty() {
        out.status("no incident");
    } else {
        let rows = incidents
            .iter()
            .map(|i| {
                let contained = if i.is_contained() { "proven inert" } else { "not proven" };
                vec![
                    i.id.to_string(),
                    status(i).to_owned(),
                    i.severity().to_string(),
                    contained.to_owned(),
                    i.title.clone(),
                ]
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

async fn show(options: &Options, id: &str, out: &Out) -> Result<u8, AppError> {
    let id: IncidentId = incident_id(id)?;
    let app = app_without_inventory(options).await?;
    let incident = app.incident(id).await?;
    let at = now();
    if out.json() {
        out.object(&object(&incident, at))?;
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

/// The JSON form of an incident.
pub(crate) fn object(incident: &Incident, at: Timestamp) -> Value {
    let steps: Vec<Value> = incident
        .machine
        .iter()
        .flat_map(quell_core::plan::Machine::states)
        .map(|(step, state)| json!({"id": step.id, "state": state, "what": step.what}))
        .collect();
    json!({
        "incident": incident.id,
        "title": incident.title,
        "status": incident.status,
        "drill": incident.drill,
        "severity": incident.severity(),
        "severities": incident.severities.iter().map(|(t, a)| json!({"at": t, "assessment": a})).collect::<Vec<_>>(),
        "first_exposed": incident.first_exposed(),
        "discovered": incident.discovered(),
        "declared": incident.declared,
        "closed": incident.closed,
        "exposures": incident.exposures,
        "secrets": incident.secrets.iter().map(|a| json!({
            "id": a.secret,
            "because": a.because,
            "inert": incident.proof(&a.secret).is_some_and(|p| p.inert),
            "proof": incident.proof(&a.secret),
        })).collect::<Vec<_>>(),
        "clocks": incident.clocks.iter().map(|c| json!({"clock": c, "state": c.state(at)})).collect::<Vec<_>>(),
        "strategy": incident.machine.as_ref().map(|m| m.plan().strategy),
        "plan_hash": incident.machine.as_ref().map(quell_core::plan::Machine::plan_hash),
        "steps": steps,
        "verdict": incident.verdict.as_ref().map(|(v, why)| json!({"verdict": v, "reason": why})),
        "action_items": incident.items,
        "unmet": unmet(incident),
    })
}

async fn timeline(options: &Options, id: &str, out: &Out) -> Result<u8, AppError> {
    let app = app_without_inventory(options).await?;
    let (_, entries) = app.incident_with_entries(incident_id(id)?).await?;
    let rows = quell_app::report::timeline(&entries);
    if out.json() {
        out.object(&json!({"timeline": rows}))?;
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
