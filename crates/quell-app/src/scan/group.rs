//! Findings of one value together: what a responder works on is the value, not each place of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use quell_core::SecretId;
use quell_core::secret::Fingerprint;
use quell_scan::{Confidence, Finding, Joined, Visibility};
use serde::Serialize;

use super::Matched;

/// All findings of one value. A URL and the bare password that is in it are one value.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The fingerprint that the findings share.
    pub fingerprint: Fingerprint,
    /// The secret of the inventory that it is.
    pub secret: Option<SecretId>,
    /// What it is, as its first finding says.
    pub description: String,
    /// The public part of the value, as its first finding shows it.
    pub preview: String,
    /// The most certain of the findings.
    pub confidence: Confidence,
    /// When the oldest commit that has it was authored. `None` when no finding has a commit.
    pub first_seen: Option<Timestamp>,
    /// That commit.
    pub first_seen_commit: Option<String>,
    /// When the newest commit that still had it was authored. `None` while it is in the current files, and when unknown.
    pub last_seen: Option<Timestamp>,
    /// That commit.
    pub last_seen_commit: Option<String>,
    /// Where it can still be seen: the widest of its findings.
    pub still_visible: Visibility,
    /// Refs that reach a commit that has it, sorted; at most [`Finding::MAX_REFS`].
    pub refs: Vec<String>,
    /// Ids of the findings, those in the current files first.
    pub findings: Vec<String>,
    /// How often it was seen in all places.
    pub occurrences: u64,
    /// The user that it belongs to.
    pub principal: Option<String>,
    /// What the value says about itself.
    pub details: BTreeMap<String, String>,
    /// Other parts of the same credential.
    pub joined: Vec<Joined>,
}

/// The most urgent first: the inventory's own, then by visibility, certainty and place.
pub(super) fn groups(findings: &[Matched]) -> Vec<Group> {
    let mut by_value: BTreeMap<Fingerprint, (usize, Vec<&Matched>)> = BTreeMap::new();
    for (at, matched) in findings.iter().enumerate() {
        by_value.entry(core(&matched.finding)).or_insert((at, Vec::new())).1.push(matched);
    }
    let mut groups: Vec<(usize, Group)> = by_value
        .into_iter()
        .filter_map(|(fingerprint, (at, members))| Some((at, group(fingerprint, members.first()?, &members))))
        .collect();
    groups.sort_by_key(|(at, group)| {
        (group.secret.is_none(), group.still_visible, std::cmp::Reverse(group.confidence), *at)
    });
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The value itself: the password where there is a URL around it.
fn core(finding: &Finding) -> Fingerprint {
    finding.parts.first().copied().unwrap_or(finding.fingerprint)
}

fn group(fingerprint: Fingerprint, first: &Matched, members: &[&Matched]) -> Group {
    let all = || members.iter().map(|matched| &matched.finding);
    let oldest = all()
        .filter_map(|finding| Some((finding.place.author_time?, finding.first_seen_commit.clone())))
        .min();
    let still_visible = all().map(|finding| finding.still_visible).min().unwrap_or(Visibility::Current);
    let newest = all()
        .filter_map(|finding| Some((finding.last_seen_time?, finding.last_seen_commit.clone())))
        .max()
        .filter(|_| still_visible != Visibility::Current);
    let refs: BTreeSet<&String> = all().flat_map(|finding| &finding.refs).collect();
    let joined: BTreeSet<&Joined> = all().flat_map(|finding| &finding.joined).collect();
    let mut order: Vec<&Finding> = all().collect();
    order.sort_by_key(|finding| finding.still_visible);
    Group {
        fingerprint,
        secret: members.iter().find_map(|matched| matched.secret.clone()),
        description: first.finding.description.clone(),
        preview: first.finding.preview.clone(),
        confidence: all().map(|finding| finding.confidence).max().unwrap_or_default(),
        first_seen: oldest.as_ref().map(|(time, _)| *time),
        first_seen_commit: oldest.and_then(|(_, commit)| commit),
        last_seen: newest.as_ref().map(|(time, _)| *time),
        last_seen_commit: newest.and_then(|(_, commit)| commit),
        still_visible,
        refs: refs.into_iter().take(Finding::MAX_REFS).cloned().collect(),
        findings: order.into_iter().map(|finding| finding.id.clone()).collect(),
        occurrences: all().fold(0, |sum, finding| sum.saturating_add(finding.occurrences)),
        principal: all().find_map(|finding| finding.principal.clone()),
        details: all().flat_map(|finding| finding.details.clone()).collect(),
        joined: joined.into_iter().cloned().collect(),
    }
}

/// Where it can be seen, in words.
pub(super) fn seen(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Current => "in the current files",
        Visibility::Reachable => "only in the history; whoever clones gets it",
        Visibility::Unreachable => "only in objects that no ref reaches",
    }
}

/// The start of a commit's name.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
