//! The report as one page that needs nothing else: no script, nothing loaded, and a policy that forbids both. It prints well.
//!
//! Two things keep what strangers wrote apart from the page: [`clean`] makes control characters and those that turn text around
//! visible, and the template engine escapes all that is left. No time of making stands in it: the same report is the same bytes.

mod plot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use quell_core::event::Verdict;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Asked, Report, Row, clean, removal, said};
use crate::detect::{Anomaly, Baseline};
use crate::record::{Access, Outcome, Role};
use crate::verdict::{Knowledge, Owner};

const TEMPLATE: &str = include_str!("../../../../../documents/hunt-report.html.j2");
const STYLE: &str = include_str!("../../../../../documents/hunt-report.css");

/// Rows of the timeline: a browser still shows so many at once. The page says how many there are, and where the rest is.
const TIMELINE: usize = 3000;

/// Rows of every other list.
const ROWS: usize = 500;

/// Why there is no page: the template and the report do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("the page could not be made: {0}")]
pub struct PageError(#[from] minijinja::Error);

#[derive(Serialize)]
struct Page {
    version: &'static str,
    style: Value,
    style_hash: Value,
    verdict: &'static str,
    /// A class of the style sheet: how bad it is.
    tone: &'static str,
    because: String,
    credentials: Rows<String>,
    known: Rows<String>,
    window: Vec<(&'static str, String)>,
    conditions: Vec<(bool, String)>,
    foreign_uses: u64,
    own_uses: u64,
    plot: Option<plot::Plot>,
    addresses: Rows<Place>,
    anomalies: Rows<Unusual>,
    no_baseline: Option<String>,
    made: Rows<MadeRow>,
    gaps: Rows<GapRow>,
    counts: [(&'static str, u64); 7],
    bytes_read: u64,
    bytes_searched: u64,
    passes: usize,
    unparsed: u64,
    duplicates: u64,
    formats: Vec<(String, u64)>,
    problems: Rows<[String; 3]>,
    cut_off: Rows<String>,
    compared: Vec<String>,
    joined: Rows<Row>,
    /// How times and logs were read that do not say it themselves.
    hints: Vec<String>,
    timeline: Rows<Step>,
}

/// The first rows of a list, and how many there are.
#[derive(Serialize)]
struct Rows<T> {
    rows: Vec<T>,
    all: usize,
}

#[derive(Serialize)]
struct Place {
    address: String,
    registered: Option<String>,
    own: bool,
    credential: String,
    allowed: u64,
    other: u64,
    first: String,
    last: String,
    agent: String,
}

#[derive(Serialize)]
struct Unusual {
    id: String,
    weight: &'static str,
    said: String,
    from: String,
    to: String,
    title: String,
    detector: String,
    credential: String,
    addresses: String,
    records: usize,
}

#[derive(Serialize)]
struct MadeRow {
    kind: &'static str,
    id: String,
    at: String,
    with: String,
    /// `None`: it is no credential, and its uses are not followed.
    uses: Option<u64>,
    removal: &'static str,
}

#[derive(Serialize)]
struct GapRow {
    strength: &'static str,
    stream: String,
    from: String,
    to: String,
    why: String,
}

#[derive(Serialize)]
struct Step {
    time: String,
    used: bool,
    own: bool,
    credential: String,
    address: String,
    action: String,
    resource: String,
    actor: String,
    agent: String,
    outcome: &'static str,
    detail: String,
    made: Vec<String>,
    format: &'static str,
    object: String,
    place: u64,
}

/// The page, with a newline at its end.
///
/// # Errors
/// When the template and what it is given do not fit together, which is a fault of this program.
pub fn render(report: &Report<'_>) -> Result<String, PageError> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    let template = engine.template_from_named_str("hunt-report.html.j2", TEMPLATE)?;
    Ok(template.render(Serde(page(report)))? + "\n")
}

fn page(report: &Report<'_>) -> Page {
    let (asked, knowledge) = (report.asked, &report.asked.knowledge);
    let coverage = &report.hunt.coverage;
    let told = [
        ("exposed", knowledge.exposed),
        ("revoked", knowledge.revoked),
        ("from", asked.from),
        ("to", asked.to),
    ];
    Page {
        version: env!("CARGO_PKG_VERSION"),
        // The only texts that are not escaped; they are ours, and the policy names the hash.
        style: Value::from_safe_string(STYLE.to_owned()),
        style_hash: Value::from_safe_string(STANDARD.encode(Sha256::digest(STYLE))),
        verdict: report.verdict.sentence(),
        tone: tone(report.verdict),
        because: clean(report.because),
        credentials: rows(report.asked.credentials.iter().map(|it| clean(it))),
        known: rows(report.asked.knowledge.known.iter().map(|it| clean(it))),
        window: told.into_iter().filter_map(|(name, at)| Some((name, at?.to_string()))).collect(),
        conditions: report.conditions.iter().map(|it| (it.met, clean(&it.text))).collect(),
        foreign_uses: report.foreign_uses,
        own_uses: report.own_uses,
        plot: plot::plot(report),
        addresses: addresses(report),
        anomalies: rows(report.anomalies.iter().map(|it| unusual(it, knowledge))),
        no_baseline: match report.baseline {
            Baseline::Judged { .. } => None,
            Baseline::None { why } => Some(clean(why)),
        },
        made: made(report),
        gaps: rows(report.hunt.gaps.iter().map(|gap| GapRow {
            strength: gap.strength.word(),
            stream: clean(&gap.stream),
            from: gap.from.to_string(),
            to: gap.to.to_string(),
            why: clean(&gap.why),
        })),
        counts: [
            ("objects", coverage.objects),
            ("scanned", coverage.scanned),
            ("pruned", coverage.pruned),
            ("unreadable", coverage.unreadable),
            ("corrupt", coverage.corrupt),
            ("too large", coverage.too_large),
            ("wrong format", coverage.wrong_format),
        ],
        bytes_read: coverage.bytes_read,
        bytes_searched: coverage.bytes_searched,
        passes: report.hunt.passes,
        unparsed: coverage.unparsed,
        duplicates: coverage.duplicates,
        formats: coverage.formats.iter().map(|(format, count)| (format.word().to_owned(), *count)).collect(),
        problems: rows(coverage.problems.iter().map(|problem| {
            let why = problem.fate.why().unwrap_or_default();
            [problem.fate.word().to_owned(), clean(&problem.object), clean(why)]
        })),
        cut_off: rows(coverage.cut_off.iter().map(|it| clean(it))),
        joined: rows(
            report
                .hunt
                .cross
                .s3
                .as_ref()
                .map(|it| it.joined.as_slice())
                .unwrap_or_default()
                .iter()
                .map(Row::of),
        ),
        hints: hints(asked),
        compared: report.hunt.cross.sentences().iter().map(|it| clean(it)).collect(),
        timeline: timeline(report),
    }
}

fn hints(asked: &Asked) -> Vec<String> {
    let zone = asked.zone.iter().map(|zone| format!("Times without a zone were read as of {}", clean(zone)));
    let mapping = asked
        .mapping
        .iter()
        .map(|sha256| format!("Logs were read as the mapping file with SHA-256 {} says", clean(sha256)));
    zone.chain(mapping).collect()
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Used | Verdict::Likely => "bad",
        Verdict::NoEvidenceLogsIncomplete | Verdict::CannotTell => "warn",
        Verdict::NoEvidenceLogsComplete => "good",
    }
}

fn rows<T>(all: impl ExactSizeIterator<Item = T>) -> Rows<T> {
    let count = all.len();
    Rows { rows: all.take(ROWS).collect(), all: count }
}

/// Uses by where they came from and by which credential, the busiest first.
fn addresses(report: &Report<'_>) -> Rows<Place> {
    let owner = Owner::new(&report.asked.knowledge.known);
    let mut known: BTreeMap<(&str, &str), Vec<&Access>> = BTreeMap::new();
    for access in report.hunt.accesses.iter().filter(|access| access.role == Role::Used) {
        let key = (access.address.as_deref().unwrap_or("no address in the log"), access.credential.as_str());
        known.entry(key).or_default().push(access);
    }
    let mut order: Vec<((&str, &str), Vec<&Access>)> = known.into_iter().collect();
    order.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    rows(order.into_iter().map(|((address, credential), uses)| {
        let allowed = uses.iter().filter(|access| access.outcome == Outcome::Allowed).count() as u64;
        let times = || uses.iter().filter_map(|access| access.time);
        Place {
            address: clean(address),
            registered: report
                .hunt
                .registered
                .as_ref()
                .and_then(|all| all.of(address))
                .map(|it| clean(&it.to_string())),
            own: uses.first().is_some_and(|access| owner.owns(access)),
            credential: clean(credential),
            allowed,
            other: uses.len() as u64 - allowed,
            first: time(times().min()),
            last: time(times().max()),
            agent: clean(uses.iter().find_map(|access| access.agent.as_deref()).unwrap_or("no agent")),
        }
    }))
}

fn unusual(anomaly: &Anomaly, knowledge: &Knowledge) -> Unusual {
    Unusual {
        id: anomaly.id.clone(),
        weight: anomaly.weight.word(),
        said: said(knowledge.standing(anomaly)).unwrap_or_else(|| "not looked at yet".to_owned()),
        from: time(anomaly.from),
        to: time(anomaly.to),
        title: clean(&anomaly.title),
        detector: clean(anomaly.detector),
        credential: clean(&anomaly.credential),
        addresses: clean(&anomaly.addresses.join(", ")),
        records: anomaly.records.len(),
    }
}

/// Credentials that were followed, then what else outlives the access.
fn made(report: &Report<'_>) -> Rows<MadeRow> {
    let followed = report.hunt.followed.iter().map(|it| MadeRow {
        kind: it.kind.word(),
        id: clean(&it.id),
        at: time(it.at),
        with: clean(&it.made_with),
        uses: Some(it.uses),
        removal: removal(it.kind),
    });
    let other = report.made.iter().map(|it| MadeRow {
        kind: it.kind.word(),
        id: clean(&it.id),
        at: String::new(),
        with: String::new(),
        uses: None,
        removal: removal(it.kind),
    });
    let all = report.hunt.followed.len() + report.made.len();
    Rows { rows: followed.chain(other).take(ROWS).collect(), all }
}

/// Records in the order of time. One that is a use of one credential and names another is listed once.
fn timeline(report: &Report<'_>) -> Rows<Step> {
    let owner = Owner::new(&report.asked.knowledge.known);
    let used: BTreeSet<&str> =
        report.hunt.accesses.iter().filter(|it| it.role == Role::Used).map(|it| it.sha256.as_str()).collect();
    let repeats = |access: &Access| access.role == Role::Mentioned && used.contains(access.sha256.as_str());
    let listed: Vec<&Access> = report.hunt.accesses.iter().filter(|access| !repeats(access)).collect();
    let text = |text: &Option<String>| clean(text.as_deref().unwrap_or_default());
    let step = |access: &&Access| Step {
        time: time(access.time),
        used: access.role == Role::Used,
        own: owner.owns(access),
        credential: clean(&access.credential),
        address: text(&access.address),
        action: clean(&access.action),
        resource: text(&access.resource),
        actor: text(&access.actor),
        agent: text(&access.agent),
        outcome: access.outcome.word(),
        detail: clean(access.outcome.detail().unwrap_or_default()),
        made: access.made.iter().map(|it| format!("{} {}", it.kind.word(), clean(&it.id))).collect(),
        format: access.format.word(),
        object: clean(&access.object),
        place: access.place,
    };
    Rows { rows: listed.iter().take(TIMELINE).map(step).collect(), all: listed.len() }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "no time".to_owned(), |at| at.to_string())
}
