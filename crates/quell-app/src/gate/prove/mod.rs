//! The proof that a gate would have stopped a leak that happened: the same change is refused, and a harmless one is accepted.
//!
//! One without the other proves nothing: a gate that refuses everything stops nobody for long. The leaked bytes are not
//! copied: a private repository borrows the objects of the leaky one (`objects/info/alternates`,
//! <https://git-scm.com/docs/gitrepository-layout>). Only a push moves the blob: into the quarantine
//! of a private server in a pre-receive proof, or to that server when pre-push lets it through. All of it lies in memory
//! (`/dev/shm`) where there is such a folder, and is removed.

mod filter;
mod replay;

use std::path::{Path, PathBuf};

use quell_core::IncidentId;
use quell_core::event::Event;
use quell_core::gate::{Gate, advice, is_env_file};
use quell_core::incident::{self as domain, Incident};
use quell_scan::Finding;
use serde::Serialize;

use super::Hook;
use super::script::Script;
use crate::{App, AppError, scan};

/// What to prove, and with what.
#[derive(Clone, Debug)]
pub struct Question {
    /// The incident.
    pub incident: IncidentId,
    /// Which gate; without it that of the item, or the one that fits the leak.
    pub gate: Option<Gate>,
    /// The action item that the proof closes.
    pub item: Option<String>,
    /// The quell that the hook calls: this program.
    pub quell: PathBuf,
    /// Its version.
    pub version: String,
    /// Where the leaky repository or file is now, if it has moved.
    pub place: Option<PathBuf>,
    /// Rule files in place of the built-in rules.
    pub rules: Vec<PathBuf>,
}

/// The answer for one finding of the incident.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The finding.
    pub finding: String,
    /// The rule that found it.
    pub rule: String,
    /// Its path.
    pub path: String,
    /// The same change was refused, with this rule and path named.
    pub refused: bool,
    /// A harmless change was accepted.
    pub accepted: bool,
    /// What happened, in a sentence; when not proven, why.
    pub why: String,
    /// SHA-256 of the hook that ran, for gates that are hooks.
    pub hook_sha256: Option<String>,
}

impl Shown {
    fn not(finding: &Finding, why: impl Into<String>) -> Self {
        Self {
            finding: finding.id.clone(),
            rule: finding.rule.clone(),
            path: finding.place.file.clone(),
            refused: false,
            accepted: false,
            why: why.into(),
            hook_sha256: None,
        }
    }

    fn proven(&self) -> bool {
        self.refused && self.accepted
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Which incident.
    pub incident: String,
    /// Which gate.
    pub gate: Gate,
    /// Every finding was refused, and every harmless change accepted.
    pub proven: bool,
    /// The action item that was closed.
    pub closed: Option<String>,
    /// By finding.
    pub shown: Vec<Shown>,
    /// Exposures of the incident that this gate was not tried on.
    pub left_out: Vec<String>,
}

/// What such a proof cannot show.
pub const LIMITS: &str = "this shows that the gate, where it is installed, would have refused this leak; it does not show that it is installed everywhere, and hooks of a clone can be skipped with --no-verify";

/// Tries the gate on the leak, and records the answer in the incident. A proof closes the action item that asks for it.
pub async fn prove(app: &App, question: &Question) -> Result<Answer, AppError> {
    let incident = app.incident(question.incident).await?;
    let item = match &question.item {
        None => None,
        Some(name) => {
            let found = incident.items.iter().find(|item| item.item == *name);
            Some(found.ok_or_else(|| AppError::NotFound { what: "action item", id: name.clone() })?)
        }
    };
    let recorded = scan::recorded(app).await?;
    let findings: Vec<&Finding> = incident
        .exposures
        .iter()
        .filter_map(|exposure| recorded.get(exposure.finding.as_deref()?))
        .map(|matched| &matched.finding)
        .collect();
    let gate = question
        .gate
        .or_else(|| item.and_then(|item| item.gate))
        .or_else(|| fitting(&incident, &findings))
        .ok_or_else(|| AppError::Usage("no gate fits this leak; name one with --gate".to_owned()))?;
    if let Some(other) = item.and_then(|item| item.gate).filter(|other| *other != gate) {
        let words = format!("the action item ships the gate {}, not {}", other.word(), gate.word());
        return Err(AppError::Usage(words));
    }
    let mut shown = Vec::new();
    for finding in &findings {
        let target = match &question.place {
            Some(place) => Some(place.clone()),
            None => scan::last_scan_of(app, &finding.id).await?,
        };
        shown.push(match target {
            Some(target) => one(app, question, gate, finding, &target)?,
            None => Shown::not(finding, "nobody knows where it was found; name the place with --repository"),
        });
    }
    let left_out = incident
        .exposures
        .iter()
        .filter(|exposure| exposure.finding.as_deref().is_none_or(|id| !recorded.contains_key(id)))
        .map(|exposure| format!("{} {}: no finding of a scan", exposure.channel.word(), exposure.place))
        .collect();
    let mut answer = Answer {
        incident: incident.id.to_string(),
        gate,
        proven: !shown.is_empty() && shown.iter().all(Shown::proven),
        closed: None,
        shown,
        left_out,
    };
    record(app, question, &mut answer).await?;
    Ok(answer)
}

/// The first gate that the map has for one of the exposures.
fn fitting(incident: &Incident, findings: &[&Finding]) -> Option<Gate> {
    incident.exposures.iter().find_map(|exposure| {
        let finding = findings.iter().find(|finding| exposure.finding.as_ref() == Some(&finding.id));
        let path = finding.map(|finding| finding.place.file.as_str());
        advice(exposure.channel, path).iter().find_map(|advice| advice.gate)
    })
}

fn one(
    app: &App,
    question: &Question,
    gate: Gate,
    finding: &Finding,
    target: &Path,
) -> Result<Shown, AppError> {
    let script = |hook| Script { hook, quell: question.quell.clone(), rules: question.rules.clone() };
    if let Some(hook) = Hook::of(gate) {
        return replay::hook(&script(hook), finding, target);
    }
    if gate == Gate::Redact {
        return filter::redact(app, finding, target, &question.rules);
    }
    if !is_env_file(&finding.place.file) {
        return Ok(Shown::not(finding, "the gate `env` looks at `.env` files, and this is none"));
    }
    replay::env(finding)
}

/// Writes the answer down, and closes the item that a proof closes.
async fn record(app: &App, question: &Question, answer: &mut Answer) -> Result<(), AppError> {
    let text = evidence(question, answer);
    let (gate, proven) = (answer.gate, answer.proven);
    let (_, closed) = app
        .decide(question.incident, |incident, _at| {
            let item = question.item.as_ref();
            let open = incident.items.iter().find(|open| {
                item.map_or(open.gate == Some(gate), |item| open.item == *item) && open.done.is_none()
            });
            Ok(match open.filter(|_| proven) {
                Some(open) => (domain::item_done(open, &text, Some(gate))?, Some(open.item.clone())),
                None => (vec![Event::NoteAdded { text: text.clone() }], None),
            })
        })
        .await?;
    answer.closed = closed;
    Ok(())
}

/// The sentence for the ledger.
fn evidence(question: &Question, answer: &Answer) -> String {
    let verdict = if answer.proven { "would have stopped it" } else { "was NOT shown to stop it" };
    let mut parts = vec![format!("gate {} {verdict} (quell {})", answer.gate.word(), question.version)];
    for shown in &answer.shown {
        let hook =
            shown.hook_sha256.as_deref().map(|hash| format!(", hook sha256:{hash}")).unwrap_or_default();
        parts.push(format!(
            "{} ({} in {}): leak {}, harmless change {}; {}{hook}",
            shown.finding,
            shown.rule,
            shown.path,
            if shown.refused { "refused" } else { "not refused" },
            if shown.accepted { "accepted" } else { "not accepted" },
            shown.why
        ));
    }
    if answer.shown.is_empty() {
        parts.push("the incident names no finding that could be tried".to_owned());
    }
    parts.extend(answer.left_out.iter().map(|place| format!("not tried: {place}")));
    parts.join(" | ")
}
