//! Hits from everywhere, grouped into findings.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use quell_core::secret::{Fingerprint, FingerprintKey};

use crate::finding::printable;
use crate::hit::{Hit, Hits, Recovered};
use crate::rule::{Rank, Rule};
use crate::stream::Searcher;
use crate::unpack::{self, Input};
use crate::{Finding, Place, Progress, Report, RuleSet, Suppressed, Visibility, detail, known};

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
    suppressed: BTreeMap<String, Suppressed>,
    /// For the findings of rules that only look at paths.
    pub(crate) key: Option<&'a FingerprintKey>,
    pub(crate) ignore_allow_comments: bool,
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
            suppressed: BTreeMap::new(),
            key: None,
            ignore_allow_comments: false,
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
        for hit in self.chosen(hits, sighting) {
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
        for hit in self.chosen(hits, sighting) {
            self.add(hit, sighting, trail);
        }
        for rule in self.rules.path_rules().iter().filter(|rule| self.rules.is_for(**rule, sighting.path)) {
            if let Some(key) = self.key {
                self.add(&Hit::of_path(*rule, sighting.path, key), sighting, trail);
            }
        }
        self.tell_dropped(hits, sighting);
    }

    /// Hits that count at a path: rules for other paths do not, and what a rule for this path has named needs no second,
    /// generic name.
    fn chosen<'h>(&self, hits: &'h Hits, sighting: &Sighting<'_>) -> Vec<&'h Hit> {
        let rules = self.rules.rules();
        let for_path = |hit: &Hit| {
            let path = rules.get(hit.rule).and_then(|rule| rule.path.as_ref());
            path.map(|pattern| pattern.matches(sighting.path.as_bytes()))
        };
        let whole = || hits.iter().filter(|hit| self.complete(hit, hits));
        let mut named = BTreeSet::new();
        let mut chosen: Vec<&Hit> =
            whole().filter(|hit| for_path(hit) == Some(true) && named.insert(hit.fingerprint)).collect();
        chosen.extend(whole().filter(|hit| for_path(hit).is_none()).filter(|hit| {
            let generic = rules.get(hit.rule).is_some_and(|rule| rule.rank == Rank::Generic);
            !(generic && named.contains(&hit.fingerprint))
        }));
        chosen
    }

    /// Whether everything that the hit's rule requires is in the same file.
    fn complete(&self, hit: &Hit, hits: &Hits) -> bool {
        // A value of the inventory is of no rule.
        self.rules.rules().get(hit.rule).is_none_or(|rule| has_required(rule, hit, hits, self.rules))
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
        let (path, commit) = (sighting.path, sighting.commit.map(|origin| origin.id));
        // No list and no path excuses a value of the inventory.
        if rule.is_some_and(|rule| self.elsewhere(rule, hit, path, commit)) {
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
        if let Some(allow) = hit.allow.as_ref().filter(|_| !self.ignore_allow_comments) {
            let suppressed = || Suppressed {
                rule: rule_id.to_owned(),
                place,
                marker: allow.marker.to_owned(),
                reason: allow.reason.clone(),
            };
            self.report.suppressed = self.report.suppressed.saturating_add(hit.count);
            if self.suppressed.len() < Report::MAX_SUPPRESSED {
                self.suppressed.entry(id).or_insert_with(suppressed);
            }
            return;
        }
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
            note: note_of(hit),
        };
        let mut growing = Growing { finding, earliest: order, last: None };
        growing.follow(trail);
        self.by_id.insert(id, growing);
    }

    /// Scans an input with all that is inside it, and returns how far the input itself was read.
    pub(crate) fn unpack(
        &mut self,
        input: Input<'_>,
        searcher: &Searcher<'_>,
        sighting: &Sighting<'_>,
    ) -> unpack::Outcome {
        let mut inside = Inside { all: self, sighting, seen: false };
        let outcome = unpack::scan(input, searcher, &searcher.limits, &mut inside);
        if !inside.seen {
            // Rules that only look at paths want every file, readable or not.
            self.add_all(&Hits::default(), sighting);
        }
        outcome
    }

    /// Adds an input and what is inside it, searched before.
    pub(crate) fn add_parts(&mut self, parts: unpack::Parts, sighting: &Sighting<'_>) {
        let mut seen = false;
        for (inner, hits) in parts.hits {
            seen |= inner.is_empty();
            let path = unpack::place(sighting.path, &inner);
            self.add_all(&hits, &Sighting { path: &path, ..*sighting });
        }
        if !seen {
            self.add_all(&Hits::default(), sighting);
        }
        for (inner, why) in parts.skipped {
            self.report.skip(unpack::place(sighting.path, &inner), why);
        }
    }

    /// True when a rule does not hold at a path or in a commit, or is only there for others.
    fn elsewhere(&self, rule: &Rule, hit: &Hit, path: &str, commit: Option<&str>) -> bool {
        let mut lists = self.rules.lists_for(rule).enumerate();
        rule.skip_report || lists.any(|(at, list)| list.allows_place(path, commit, hit.agreed.contains(&at)))
    }

    pub(crate) fn finish(self) -> (Report, Option<Recovered>) {
        let mut report = self.report;
        report.findings = self.by_id.into_values().map(|growing| growing.finding).collect();
        detail::cases(&mut report.findings);
        report.suppressions = self.suppressed.into_values().collect();
        report.suppressions.sort_by(|a, b| {
            let key = |place: &Place| (place.line, place.column);
            (&a.place.file, key(&a.place), &a.rule).cmp(&(&b.place.file, key(&b.place), &b.rule))
        });
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

/// What a reader of the finding should know.
fn note_of(hit: &Hit) -> Option<String> {
    let allowed = || hit.allow.as_ref().map(|allow| format!("allowed by a `{}` comment", allow.marker));
    hit.note.clone().or_else(allowed)
}

/// Whether all rules that a hit's rule requires matched in the same file, and near enough.
fn has_required(rule: &Rule, hit: &Hit, hits: &Hits, rules: &RuleSet) -> bool {
    rule.required.iter().all(|required| {
        let close = |(line, column): (u64, u64), (other_line, other_column): (u64, u64)| {
            required.lines.is_none_or(|most| line.abs_diff(other_line) <= most)
                && required.columns.is_none_or(|most| column.abs_diff(other_column) <= most)
        };
        hits.iter().any(|other| {
            rules.rules().get(other.rule).is_some_and(|rule| rule.id == required.id)
                && hit.places().any(|place| other.places().any(|far| close(place, far)))
        })
    })
}

/// Puts what is inside an input at places of its own.
struct Inside<'c, 'a, 's> {
    all: &'c mut Collector<'a>,
    sighting: &'c Sighting<'s>,
    /// Whether the input itself has been seen.
    seen: bool,
}

impl unpack::Sink for Inside<'_, '_, '_> {
    fn hits(&mut self, inner: &str, hits: Hits) {
        self.seen |= inner.is_empty();
        let path = unpack::place(self.sighting.path, inner);
        self.all.add_all(&hits, &Sighting { path: &path, ..*self.sighting });
    }

    fn skipped(&mut self, inner: &str, why: String) {
        self.all.report.skip(unpack::place(self.sighting.path, inner), why);
    }

    fn bytes(&mut self, count: u64) {
        self.all.advance(count, 0);
    }
}
