//! Everything that a report says, as data: the same for Markdown and for `--json`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use quell_core::event::{Entry, Event};
use quell_core::incident::{ActionItem, Incident, Status};
use quell_core::severity::{Assessment, Profile, Severity};
use serde::Serialize;

use super::exposed::{self, ExposureView, SecretStanding, SecretView};
use super::measure::{self, ClockView, Numbers};
use super::plan::{self, ConsumerView, PlanView};
use super::proofs::{self, SecretProofs};
use super::sections::{self, SectionView};
use super::timeline::{TimelineRow, actor, timeline};
use super::unknowns::unknowns;
use super::words::{Moment, text};

/// A post-mortem as data. Texts are on one line and bounded; nothing is escaped.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ReportContext {
    /// `INC-2026-0001`.
    pub id: String,
    /// What happened, in a line.
    pub title: String,
    /// `open` or `closed`.
    pub status: Status,
    /// True when every secret's newest proof says inert.
    pub contained: bool,
    /// Status and containment in a sentence.
    pub headline: String,
    /// What was said at the end.
    pub summary: String,
    /// A drill, on a decoy.
    pub drill: bool,
    /// When this report was made.
    pub made: Moment,
    /// How bad, and why.
    pub severity: SeverityView,
    /// Moments and durations.
    pub numbers: Numbers,
    /// Which secrets.
    pub secrets: Vec<SecretView>,
    /// False when all secrets are known to be for tests.
    pub production: bool,
    /// Secrets opened by the leaked ones.
    pub opens_others: usize,
    /// Where they leaked.
    pub exposures: Vec<ExposureView>,
    /// Was it used? In words.
    pub verdict: String,
    /// What somebody decided, with the reason.
    pub decisions: Vec<Decision>,
    /// The plan in motion.
    pub plan: Option<PlanView>,
    /// Proofs by secret.
    pub proofs: Vec<SecretProofs>,
    /// Consumers.
    pub consumers: Vec<ConsumerView>,
    /// Deadlines.
    pub clocks: Vec<ClockView>,
    /// Everything.
    pub timeline: Vec<TimelineView>,
    /// What is still unknown or open.
    pub unknowns: Vec<String>,
    /// Hygiene done. It contains nothing.
    pub cleaned: Vec<String>,
    /// Remarks.
    pub notes: Vec<Note>,
    /// Things to do afterwards.
    pub items: Vec<ActionItemView>,
    /// What only people can say.
    pub sections: Vec<SectionView>,
    /// The ledger's signed checkpoint, as it is.
    pub checkpoint: String,
}

/// How bad, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SeverityView {
    /// What holds now.
    pub now: Severity,
    /// What people of the profile call it.
    pub label: String,
    /// Which ladder.
    pub profile: Profile,
    /// Every assessment, oldest first.
    pub history: Vec<AssessmentView>,
}

/// One assessment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AssessmentView {
    /// When.
    pub at: Moment,
    /// The result.
    pub severity: Severity,
    /// What people of the profile call it.
    pub label: String,
    /// Strictest first.
    pub reasons: Vec<Ground>,
}

/// One rule that spoke.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ground {
    /// What it asks for.
    pub severity: Severity,
    /// Why.
    pub because: String,
    /// Where the rule comes from.
    pub source: String,
}

/// What somebody decided.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Decision {
    /// When.
    pub at: Moment,
    /// Who.
    pub by: String,
    /// What.
    pub what: String,
    /// Why; for an approval, for which plan and until when.
    pub reason: String,
}

/// One line of the timeline.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TimelineView {
    /// Its position in the ledger.
    pub seq: u64,
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: String,
    /// What happened.
    pub what: String,
    /// More about it.
    pub detail: String,
    /// The step it is about.
    pub step: Option<String>,
}

/// A remark.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Note {
    /// When.
    pub at: Moment,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// Something to do afterwards.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ActionItemView {
    /// `A1`.
    pub item: String,
    /// What.
    pub title: String,
    /// Who.
    pub owner: String,
    /// When, a date.
    pub due: String,
    /// `open`, `overdue` or `done`.
    pub state: String,
    /// What shows that it is done.
    pub evidence: String,
}

/// Folds an incident and its entries into a report.
pub fn context(incident: &Incident, entries: &[Entry], checkpoint: &str, now: Timestamp) -> ReportContext {
    let rows = timeline(entries);
    let tallies = plan::tallies(entries);
    ReportContext {
        id: incident.id.to_string(),
        title: text(&incident.title),
        status: incident.status,
        contained: incident.is_contained(),
        headline: headline(incident),
        summary: summary(entries),
        drill: incident.drill,
        made: Moment::new(now, incident.declared),
        severity: severity(incident),
        numbers: measure::numbers(incident, now),
        secrets: exposed::secrets(incident),
        production: incident.production,
        opens_others: incident.opens_others,
        exposures: exposed::exposures(incident),
        verdict: verdict(incident),
        decisions: rows.iter().filter(|r| r.decision).map(|r| decision(r, incident)).collect(),
        plan: plan::plan(incident, entries, &tallies),
        proofs: proofs::proofs(incident),
        consumers: plan::consumers(incident, &tallies),
        clocks: measure::clocks(incident, now),
        timeline: rows.into_iter().map(|r| line(r, incident)).collect(),
        unknowns: unknowns(incident, &tallies),
        cleaned: incident.cleaned.iter().map(|c| text(c)).collect(),
        notes: notes(incident, entries),
        items: incident.items.iter().map(|i| item(i, now)).collect(),
        sections: sections::sections(incident),
        checkpoint: checkpoint.to_owned(),
    }
}

/// Status and containment in a sentence. It never says more than the newest proofs do.
fn headline(incident: &Incident) -> String {
    let status = match incident.status {
        Status::Open => "open",
        Status::Closed => "closed",
    };
    if incident.secrets.is_empty() {
        return format!("{status}; no secret of the inventory is named");
    }
    if incident.is_contained() {
        return format!("{status}; contained: every secret is proven inert at its issuer");
    }
    let alive: Vec<String> = incident
        .secrets
        .iter()
        .map(|a| (&a.secret, SecretStanding::of(incident, &a.secret)))
        .filter(|(_, standing)| *standing != SecretStanding::Inert)
        .map(|(secret, standing)| format!("{secret} is {}", standing.words()))
        .collect();
    text(&format!("{status}; NOT contained: {}", alive.join(", ")))
}

fn summary(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        if let Event::Closed { summary } = &entry.event {
            out = text(summary);
        }
    }
    out
}

fn severity(incident: &Incident) -> SeverityView {
    let view = |(at, assessment): &(Timestamp, Assessment)| AssessmentView {
        at: Moment::new(*at, incident.declared),
        severity: assessment.severity,
        label: text(&assessment.label),
        reasons: assessment
            .reasons
            .iter()
            .map(|r| Ground { severity: r.severity, because: text(&r.because), source: text(&r.source) })
            .collect(),
    };
    let now = incident.severity();
    SeverityView {
        now,
        label: incident
            .severities
            .last()
            .map_or_else(|| now.label(incident.profile).to_owned(), |(_, a)| text(&a.label)),
        profile: incident.profile,
        history: incident.severities.iter().map(view).collect(),
    }
}

fn verdict(incident: &Incident) -> String {
    match &incident.verdict {
        None => "not given yet".to_owned(),
        Some((verdict, reason)) if reason.trim().is_empty() => verdict.sentence().to_owned(),
        Some((verdict, reason)) => text(&format!("{} ({reason})", verdict.sentence())),
    }
}

fn decision(row: &TimelineRow, incident: &Incident) -> Decision {
    Decision {
        at: Moment::new(row.at, incident.declared),
        by: row.actor.clone(),
        what: row.what.clone(),
        reason: row.detail.clone(),
    }
}

fn line(row: TimelineRow, incident: &Incident) -> TimelineView {
    TimelineView {
        seq: row.seq,
        at: Moment::new(row.at, incident.declared),
        actor: row.actor,
        what: row.what,
        detail: row.detail,
        step: row.step,
    }
}

fn notes(incident: &Incident, entries: &[Entry]) -> Vec<Note> {
    let mut out = Vec::new();
    for entry in entries {
        if let Event::NoteAdded { text: said } = &entry.event {
            out.push(Note {
                at: Moment::new(entry.at, incident.declared),
                by: actor(&entry.actor),
                text: text(said),
            });
        }
    }
    out
}

fn item(item: &ActionItem, now: Timestamp) -> ActionItemView {
    let today = now.to_zoned(TimeZone::UTC).date();
    let state = match (&item.done, item.due.parse::<Date>()) {
        (Some(_), _) => "done",
        (None, Ok(due)) if due < today => "overdue",
        (None, _) => "open",
    };
    ActionItemView {
        item: text(&item.item),
        title: text(&item.title),
        owner: text(&item.owner),
        due: text(&item.due),
        state: state.to_owned(),
        evidence: item.done.as_deref().map(text).unwrap_or_default(),
    }
}
