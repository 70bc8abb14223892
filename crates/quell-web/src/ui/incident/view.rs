//! What the room says, in words, made from the incident and its entries.

use jiff::Timestamp;
use quell_app::report::TimelineRow;
use quell_core::event::{Entry, Event};
use quell_core::incident::task::Task;
use quell_core::incident::{Incident, RoomRole, Status, TaskEnd, inertness};
use quell_core::person::People;

use crate::caller::Caller;
use crate::ui::words::{self, Badge, When};
use crate::view::is_mine;

pub(super) struct ClockView {
    pub(super) name: String,
    pub(super) tone: &'static str,
    pub(super) mark: &'static str,
    pub(super) left: String,
    pub(super) due: When,
    pub(super) iso: String,
    pub(super) rule: String,
    /// Nobody has met it: it counts.
    pub(super) runs: bool,
}

/// Those that run first, by what is due first. Of those that were met, only the newest of each name.
pub(super) fn clocks(incident: &Incident, now: Timestamp) -> (Vec<ClockView>, usize) {
    let mut all: Vec<_> = incident.clocks.iter().collect();
    all.sort_by_key(|clock| (clock.met.is_some(), clock.due));
    let mut shown: Vec<ClockView> = Vec::new();
    let mut more = 0;
    for clock in all {
        let name = clock.name.replace('-', " ");
        // No further update is owed after the end.
        let ended = incident.status == Status::Closed && clock.met.is_none() && clock.name == "next-update";
        if ended || (clock.met.is_some() && shown.iter().any(|known| known.name == name)) {
            more += 1;
            continue;
        }
        let (tone, mark, left) = words::clock(clock, now);
        shown.push(ClockView {
            name,
            tone,
            mark,
            left,
            due: clock.due.into(),
            iso: clock.due.to_string(),
            rule: clock.rule.clone(),
            runs: clock.met.is_none(),
        });
    }
    (shown, more)
}

pub(super) struct SecretView {
    pub(super) id: String,
    pub(super) because: String,
    pub(super) inert: Badge,
    pub(super) why: String,
    pub(super) at: Option<String>,
    pub(super) state: &'static str,
    pub(super) left: usize,
    pub(super) excepted: bool,
}

pub(super) fn secrets(incident: &Incident) -> Vec<SecretView> {
    let view = |it: quell_core::incident::Inertness| SecretView {
        excepted: incident.exceptions.contains_key(&it.secret),
        id: it.secret.to_string(),
        because: it.because,
        inert: words::inert(it.inert),
        why: it.why,
        at: it.at.map(|step| step.to_string()),
        state: it.state.unwrap_or_default(),
        left: it.left,
    };
    inertness(incident).into_iter().map(view).collect()
}

/// `2 of 3 secrets proven inert`.
pub(super) fn contained(incident: &Incident) -> Badge {
    let all = incident.secrets.len();
    let inert = incident.secrets.iter().filter(|it| incident.is_inert(&it.secret)).count();
    contained_of(inert, all)
}

/// So many of so many secrets are proven inert.
pub(super) fn contained_of(inert: usize, all: usize) -> Badge {
    match (inert, all) {
        (_, 0) => Badge::new("bad", "?", "no secret named yet"),
        (inert, all) if inert == all => Badge::new(
            "good",
            "✓",
            if all == 1 { "proven inert".to_owned() } else { format!("all {all} secrets proven inert") },
        ),
        (inert, all) => Badge::new("bad", "✕", format!("{inert} of {all} secrets proven inert")),
    }
}

pub(super) struct AssessmentView {
    pub(super) at: When,
    pub(super) badge: Badge,
    pub(super) reasons: Vec<(String, String, String)>,
}

/// Newest first.
pub(super) fn assessments(incident: &Incident) -> Vec<AssessmentView> {
    let view = |(at, it): &(Timestamp, quell_core::severity::Assessment)| AssessmentView {
        at: (*at).into(),
        badge: words::severity(it.severity, &it.label),
        reasons: it
            .reasons
            .iter()
            .map(|reason| (reason.severity.to_string(), reason.because.clone(), reason.source.clone()))
            .collect(),
    };
    incident.severities.iter().rev().map(view).collect()
}

pub(super) struct ExposureView {
    pub(super) channel: &'static str,
    pub(super) audience: &'static str,
    pub(super) place: String,
    pub(super) first: Option<When>,
    pub(super) discovered: When,
    pub(super) visible: &'static str,
    pub(super) finding: Option<String>,
    pub(super) fingerprint: Option<String>,
}

pub(super) fn exposures(incident: &Incident) -> Vec<ExposureView> {
    let view = |it: &quell_core::exposure::Exposure| ExposureView {
        channel: it.channel.verdict().1,
        audience: it.audience.word(),
        place: it.place.clone(),
        first: it.first_exposed.map(When::from),
        discovered: it.discovered.into(),
        visible: match it.still_visible {
            Some(true) => "It can still be seen there",
            Some(false) => "It is gone from there; copies may exist",
            None => "Nobody said whether it can still be seen",
        },
        finding: it.finding.clone(),
        fingerprint: it.fingerprint.map(|name| name.to_string()),
    };
    incident.exposures.iter().map(view).collect()
}

pub(super) struct RoleView {
    pub(super) word: &'static str,
    pub(super) name: String,
    pub(super) does: &'static str,
    pub(super) person: Option<String>,
    pub(super) mine: bool,
}

pub(super) fn roles(incident: &Incident, caller: &Caller) -> Vec<RoleView> {
    let view = |role: RoomRole| {
        let person = incident.roles.get(&role).cloned();
        RoleView {
            word: role.word(),
            name: role.word().replace('-', " "),
            does: role.does(),
            mine: person.as_ref() == Some(&caller.person),
            person,
        }
    };
    RoomRole::ALL.into_iter().map(view).collect()
}

pub(super) struct TaskView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) owner: Option<String>,
    pub(super) due: Option<When>,
    pub(super) badge: Badge,
    pub(super) ended: Option<EndedView>,
    pub(super) mine: bool,
}

/// Who ended it, when, and what came of it or why.
pub(super) struct EndedView {
    pub(super) by: String,
    pub(super) at: When,
    pub(super) reason: String,
}

/// Those that nobody ended first, by what is due first.
pub(super) fn tasks(incident: &Incident, people: &People, caller: &Caller, now: Timestamp) -> Vec<TaskView> {
    let mut all: Vec<_> = incident.tasks.iter().collect();
    all.sort_by_key(|task| (task.ended.is_some(), task.due.is_none(), task.due));
    let view = |task: &Task| {
        let (tone, mark) = match task.ended.as_ref().map(|ended| ended.how) {
            Some(TaskEnd::Done) => ("good", "✓"),
            Some(TaskEnd::Dropped) => ("", "–"),
            None if task.is_overdue(now) => ("bad", "▲"),
            None => ("info", "○"),
        };
        let ended = task.ended.as_ref();
        TaskView {
            id: task.task.clone(),
            title: task.title.clone(),
            due: task.due.map(When::from),
            badge: Badge::new(tone, mark, task.word(now)),
            ended: ended.map(|it| EndedView {
                by: it.by.clone(),
                at: it.at.into(),
                reason: it.reason.clone(),
            }),
            mine: is_mine(task, people, &caller.person),
            owner: task.owner.clone(),
        }
    };
    all.into_iter().map(view).collect()
}

pub(super) struct EvidenceView {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) at: When,
    pub(super) by: String,
}

/// Each piece once.
pub(super) fn evidence(entries: &[Entry]) -> Vec<EvidenceView> {
    let mut out: Vec<EvidenceView> = Vec::new();
    for entry in entries {
        for piece in &entry.evidence {
            if !out.iter().any(|known| known.sha256 == piece.sha256 && known.name == piece.name) {
                out.push(EvidenceView {
                    name: piece.name.clone(),
                    size: piece.size,
                    sha256: piece.sha256.clone(),
                    at: entry.at.into(),
                    by: entry.actor.id.clone(),
                });
            }
        }
    }
    out
}

/// A bundle that somebody took with them.
pub(super) struct BundleView {
    pub(super) manifest: String,
    pub(super) entries: u64,
    pub(super) at: When,
    pub(super) by: String,
}

/// Newest first.
pub(super) fn bundles(entries: &[Entry]) -> Vec<BundleView> {
    let mut out = Vec::new();
    for entry in entries.iter().rev() {
        if let Event::EvidenceExported { manifest_sha256, entries } = &entry.event {
            out.push(BundleView {
                manifest: manifest_sha256.clone(),
                entries: *entries,
                at: entry.at.into(),
                by: entry.actor.id.clone(),
            });
        }
    }
    out
}

/// Which lines of the timeline are shown.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub(crate) struct Filter {
    /// `all`, `decisions` or `people`.
    #[serde(default)]
    pub(super) show: String,
    /// Of this person only.
    #[serde(default)]
    pub(super) who: String,
    /// About this step only.
    #[serde(default)]
    pub(super) step: String,
    /// With this text in it.
    #[serde(default)]
    pub(super) text: String,
    /// `all`, or only the newest.
    #[serde(default)]
    pub(super) lines: String,
}

impl Filter {
    pub(super) fn is(&self, word: &str) -> bool {
        self.show == word
    }

    fn takes(&self, row: &TimelineRow) -> bool {
        let kind = match self.show.as_str() {
            "decisions" => row.decision,
            "people" => !row.actor.starts_with("engine "),
            _all => true,
        };
        let text = self.text.trim().to_lowercase();
        kind && (self.who.is_empty() || row.actor == self.who)
            && (self.step.is_empty() || row.step.as_deref() == Some(self.step.as_str()))
            && (text.is_empty()
                || row.what.to_lowercase().contains(&text)
                || row.detail.to_lowercase().contains(&text))
    }

    /// The same with every line, as part of an address.
    pub(super) fn with_all(&self) -> String {
        Self { lines: "all".to_owned(), ..self.clone() }.query()
    }

    /// The same as part of an address.
    pub(super) fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(
                [
                    ("show", &self.show),
                    ("who", &self.who),
                    ("step", &self.step),
                    ("text", &self.text),
                    ("lines", &self.lines),
                ]
                .iter()
                .filter(|(_, value)| !value.is_empty()),
            )
            .finish()
    }
}

pub(super) struct LineView {
    pub(super) seq: u64,
    pub(super) at: When,
    pub(super) actor: String,
    pub(super) what: String,
    pub(super) detail: String,
    pub(super) decision: bool,
}

pub(super) struct TimelineView {
    /// Newest first: at 3 a.m. the last thing that happened matters.
    pub(super) lines: Vec<LineView>,
    /// Those that fit the filter and are older than the lines.
    pub(super) older: usize,
    pub(super) all: usize,
    pub(super) people: Vec<String>,
    pub(super) steps: Vec<String>,
}

/// Lines on the page unless all are asked for: a room in which thousands of things happened must open as quickly as any other.
const NEWEST: usize = 200;

pub(super) fn timeline(entries: &[Entry], filter: &Filter) -> TimelineView {
    let rows = quell_app::report::timeline(entries);
    let mut people: Vec<String> =
        rows.iter().filter(|row| !row.actor.starts_with("engine ")).map(|row| row.actor.clone()).collect();
    people.sort();
    people.dedup();
    let mut steps: Vec<String> = rows.iter().filter_map(|row| row.step.clone()).collect();
    steps.sort();
    steps.dedup();
    let all = rows.len();
    let mut fitting: Vec<TimelineRow> = rows.into_iter().rev().filter(|row| filter.takes(row)).collect();
    let most = if filter.lines == "all" { usize::MAX } else { NEWEST };
    let older = fitting.len().saturating_sub(most);
    fitting.truncate(most);
    let lines = fitting.into_iter().map(|row| LineView {
        seq: row.seq,
        at: row.at.into(),
        actor: row.actor,
        what: row.what,
        detail: row.detail,
        decision: row.decision,
    });
    TimelineView { lines: lines.collect(), older, all, people, steps }
}
