//! Hits from everywhere, grouped into findings.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use quell_core::secret::Fingerprint;

use crate::finding::printable;
use crate::hit::{Hit, Hits, Recovered};
use crate::rule::Rule;
use crate::{Finding, Place, Progress, Report, RuleSet, Visibility, known};

/// Where a set of hits was seen.
#[derive(Debug)]
pub(crate) struct Sighting<'a> {
    pub(crate) path: &'a str,
    pub(crate) commit: Option<Origin<'a>>,
    pub(crate) visibility: Visibility,
}

/// The commit that introduced it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// Position in parents-first order: lower is earlier.
    pub(crate) order: usize,
    pub(crate) id: &'a str,
    pub(crate) author: &'a str,
    pub(crate) author_time: Option<Timestamp>,
}

/// What became of it later, in a history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    /// The newest commit that had it.
    pub(crate) last: Option<Last>,
    /// Names of refs that reach a commit that has it.
    pub(crate) refs: Vec<String>,
}

/// The newest commit that had it. The greater of two is the one to name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Last {
    pub(crate) reachable: bool,
    /// Position in parents-first order.
    pub(crate) order: usize,
    pub(crate) id: String,
    pub(crate) author_time: Option<Timestamp>,
}

/// The name in [`Finding::refs`] of what only a reflog reaches.
pub(crate) const REFLOG: &str = "reflog";

/// A finding while it grows.
struct Growing {
    finding: Finding,
    /// Position of the commit that it names as the first.
    earliest: usize,
    last: Option<Last>,
}

impl Growing {
    fn follow(&mut self, trail: &Trail) {
        if trail.last > self.last {
            self.last.clone_from(&trail.last);
            self.finding.last_seen_commit = self.last.as_ref().map(|last| last.id.clone());
            self.finding.last_seen_time = self.last.as_ref().and_then(|last| last.author_time);
        }
        let refs = &mut self.finding.refs;
        for name in &trail.refs {
            if refs.len() < Finding::MAX_REFS && !refs.contains(name) {
                refs.push(name.clone());
            }
        }
        if refs.len() > 1 {
            refs.retain(|name| name != REFLOG);
        }
    }
}

/// Builds a report.
pub(crate) struct Collector<'a> {
    rules: &'a RuleSet,
    progress: &'a mut dyn FnMut(Progress),
    state: Progress,
    by_id: BTreeMap<String, Growing>,
    wanted: Option<&'a str>,
    recovered: Option<Recovered>,
    pub(crate) report: Report,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        rules: &'a RuleSet,
        wanted: Option<&'a str>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            rules,
            progress,
            state: Progress::default(),
            by_id: BTreeMap::new(),
            wanted,
            recovered: None,
            report: Report::default(),
        }
    }

    /// Tells the caller how far the scan is.
    pub(crate) fn advance(&mut self, bytes: u64, done: u64) {
        self.report.bytes_scanned = self.report.bytes_scanned.saturating_add(bytes);
        self.state.bytes = self.report.bytes_scanned;
        self.state.done = self.state.done.saturating_add(done);
        (self.progress)(self.state);
    }

    /// More files or objects are known to come.
    pub(crate) fn expect(&mut self, more: usize) {
        let more = u64::try_from(more).unwrap_or(0);
        self.state.total = Some(self.state.total.unwrap_or(self.state.done).saturating_add(more));
    }

    pub(crate) fn add_all(&mut self, hits: &Hits, sighting: &Sighting<'_>) {
        self.add_trailed(hits, sighting, &Trail::default());
    }

    /// The same without secrets that are `known` already; returns how many those are.
    pub(crate) fn add_new(
        &mut self,
        hits: &Hits,
        known: &BTreeSet<Fingerprint>,
        sighting: &Sighting<'_>,
    ) -> usize {
        let mut old = 0_usize;
        for hit in hits.iter() {
            if known.contains(&hit.fingerprint) {
                old = old.saturating_add(1);
            } else {
                self.add(hit, sighting, &Trail::default());
            }
        }
        self.tell_dropped(hits, sighting);
        old
    }

    /// The same with what became of them.
    pub(crate) fn add_trailed(&mut self, hits: &Hits, sighting: &Sighting<'_>, trail: &Trail) {
        for hit in hits.iter() {
            self.add(hit, sighting, trail);
        }
        self.tell_dropped(hits, sighting);
    }

    fn tell_dropped(&mut self, hits: &Hits, sighting: &Sighting<'_>) {
        if hits.dropped > 0 {
            let why = format!("{} further secrets in one file were not kept", hits.dropped);
            self.report.skip(sighting.path, why);
        }
    }

    fn add(&mut self, hit: &Hit, sighting: &Sighting<'_>, trail: &Trail) {
        let rule = self.rules.rules().get(hit.rule);
        if rule.is_none() && hit.rule != known::INDEX {
            return;
        }
        let (rule_id, description, kind) = rule
            .map_or((known::RULE, known::DESCRIPTION, known::RULE), |rule| {
                (rule.id.as_str(), rule.description.as_str(), rule.kind.as_str())
            });
        let path = sighting.path;
        let commit = sighting.commit.map(|origin| origin.id);
        // No list and no path excuses a value of the inventory.
        if rule.is_some_and(|rule| self.elsewhere(rule, path, commit)) {
            return;
        }
        let file = printable(path);
        let id = Finding::id_of(rule_id, &hit.fingerprint, &file);
        if self.wanted == Some(id.as_str()) && self.recovered.is_none() {
            self.recovered = hit.kept.as_ref().map(Recovered::duplicate);
        }
        let order = sighting.commit.map_or(usize::MAX, |origin| origin.order);
        let place = Place {
            file,
            line: hit.line,
            column: hit.column,
            commit: commit.map(str::to_owned),
            author_time: sighting.commit.and_then(|origin| origin.author_time),
            author: sighting.commit.map(|origin| printable(origin.author)),
        };
        if let Some(growing) = self.by_id.get_mut(&id) {
            growing.follow(trail);
            let Growing { finding, earliest, .. } = growing;
            finding.occurrences = finding.occurrences.saturating_add(hit.count);
            finding.still_visible = finding.still_visible.min(sighting.visibility);
            finding.still_reachable |= sighting.visibility != Visibility::Unreachable;
            let before = |new: &Place, old: &Place| (new.line, new.column) < (old.line, old.column);
            if order < *earliest || (order == *earliest && before(&place, &finding.place)) {
                finding.first_seen_commit.clone_from(&place.commit);
                finding.place = place;
                *earliest = order;
            }
            return;
        }
        let finding = Finding {
            id: id.clone(),
            rule: rule_id.to_owned(),
            description: description.to_owned(),
            kind: kind.to_owned(),
            first_seen_commit: place.commit.clone(),
            place,
            last_seen_commit: None,
            last_seen_time: None,
            refs: Vec::new(),
            details: hit.details.clone(),
            joined: hit.joined.clone(),
            encoding: hit.encoding,
            confidence: hit.confidence,
            still_visible: sighting.visibility,
            still_reachable: sighting.visibility != Visibility::Unreachable,
            preview: hit.preview.clone(),
            fingerprint: hit.fingerprint,
            baseline: hit.baseline,
            parts: hit.parts.clone(),
            principal: hit.principal.clone(),
            occurrences: hit.count,
            note: hit.note.clone(),
        };
        let mut growing = Growing { finding, earliest: order, last: None };
        growing.follow(trail);
        self.by_id.insert(id, growing);
    }

    /// True when a rule does not hold at a path or in a commit.
    fn elsewhere(&self, rule: &Rule, path: &str, commit: Option<&str>) -> bool {
        if rule.path.as_ref().is_some_and(|pattern| !pattern.matches(path.as_bytes())) {
            return true;
        }
        let global = self.rules.allowlists().iter().filter(|list| list.concerns(&rule.id));
        rule.allowlists.iter().chain(global).any(|list| list.allows_place(path, commit))
    }

    pub(crate) fn finish(self) -> (Report, Option<Recovered>) {
        let mut report = self.report;
        report.findings = self.by_id.into_values().map(|growing| growing.finding).collect();
        report.findings.sort_by(|a, b| {
            let key = |finding: &Finding| (finding.place.line, finding.place.column);
            (&a.place.file, key(a), &a.rule, a.fingerprint).cmp(&(
                &b.place.file,
                key(b),
                &b.rule,
                b.fingerprint,
            ))
        });
        report.incomplete.sort();
        report.incomplete.dedup();
        (report, self.recovered)
    }
}
