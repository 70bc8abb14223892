//! A scan of chosen commits only.

use std::collections::BTreeSet;

use super::attribute::Attribution;
use super::commits::History;
use super::database::{self, Database};
use super::introduced::Introduced;
use super::refs::{self, Refs};
use super::revision::Resolver;
use super::search::Found;
use super::tell::{Telling, Told};
use super::tips::Tips;
use super::{Oid, Repository, reflog, walk};
use crate::collect::Collector;
use crate::finding::name_text;
use crate::git::introduced::Places;
use crate::stream::Searcher;
use crate::{Report, ScanError, Selection, unpack};

/// Scans what the selected commits introduced.
pub(crate) fn scan(
    repository: &Repository,
    selection: &Selection,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let refs = refs::read(repository, &mut all.report)?;
    let mut database = Database::look_up(repository, &[], &mut all.report)?;
    let shallow = database::shallow(repository)?;
    let (shown, hidden) = ends(selection, &refs, &mut database)?;
    let mut walked = walk::commits(&mut database, &shown, &hidden);
    let at_the_cut = walked.commits.iter().filter(|commit| shallow.contains(&commit.oid));
    let cut: BTreeSet<Oid> = at_the_cut.flat_map(|commit| commit.parents.iter().copied()).collect();
    for (oid, why) in walked.unread {
        if !cut.contains(&oid) {
            all.report.skip(oid.to_string(), why);
        }
    }
    let (since, until) =
        (selection.since.map(jiff::Timestamp::as_second), selection.until.map(jiff::Timestamp::as_second));
    walked.commits.retain(|commit| {
        since.is_none_or(|since| commit.committed_at >= since)
            && until.is_none_or(|until| commit.committed_at <= until)
    });
    if !shallow.is_empty() && walked.commits.iter().any(|commit| shallow.contains(&commit.oid)) {
        all.report
            .skip("history", "this is a shallow clone: older commits are not here; fetch with `--unshallow`");
    }
    let history = History::new(walked.commits);
    let mut introduced = Introduced::new(&mut database, searcher, all, shallow);
    introduced.history(&history);
    let Introduced { found, places, .. } = introduced;
    if !found.blobs.is_empty() || !found.messages.is_empty() {
        tell(repository, &refs, &mut database, &history, &found, &places, all);
    }
    Ok(())
}

/// Where to begin, and what to leave out.
fn ends(
    selection: &Selection,
    refs: &Refs,
    database: &mut Database,
) -> Result<(Vec<Oid>, Vec<Oid>), ScanError> {
    let (mut shown, mut hidden) = (Vec::new(), Vec::new());
    let mut resolver = Resolver { database, refs };
    for branch in &selection.branches {
        shown.push(resolver.branch(branch)?);
    }
    for range in &selection.ranges {
        let to = resolver.commit(&range.to)?;
        shown.push(to);
        let Some(from) = &range.from else { continue };
        let from = resolver.commit(from)?;
        if range.symmetric {
            shown.push(from);
            hidden.extend(common(resolver.database, from, to));
        } else {
            hidden.push(from);
        }
    }
    if selection.branches.is_empty() && selection.ranges.is_empty() {
        // Refs to trees and blobs have no commits.
        shown = refs.all.iter().filter_map(|one| resolver.peel(one.oid).ok()).collect();
        shown.extend(refs.head);
    }
    Ok((shown, hidden))
}

/// Commits that both reach; their newest ones would do, and hide the same.
fn common(database: &mut Database, one: Oid, other: Oid) -> Vec<Oid> {
    let of_one: BTreeSet<Oid> =
        walk::commits(database, &[one], &[]).commits.iter().map(|commit| commit.oid).collect();
    let of_other = walk::commits(database, &[other], &[]).commits;
    of_other.iter().map(|commit| commit.oid).filter(|oid| of_one.contains(oid)).collect()
}

/// Findings name the chosen commit that introduced them; what became of them is looked up in all history.
fn tell(
    repository: &Repository,
    refs: &Refs,
    database: &mut Database,
    chosen: &History,
    found: &Found,
    places: &Places,
    all: &mut Collector<'_>,
) {
    // What is missing elsewhere is no matter of this selection.
    let mut quiet = Report::default();
    let logs = reflog::read(repository, &mut quiet);
    let mut tips: Vec<Oid> = Vec::new();
    for one in &refs.all {
        tips.extend(Resolver { database, refs }.peel(one.oid).ok());
    }
    tips.extend(chosen.commits.iter().map(|commit| commit.oid));
    let mut history = History::new(walk::commits(database, &tips, &[]).commits);
    let tips = Tips::follow(refs, &logs, database, &mut history, &mut quiet);
    let interest = found.blobs.keys().copied().collect();
    let (sights, _) = Attribution::new(database, &mut quiet, interest).run(&history, refs.head, &tips.trees);
    let position = |at: usize| chosen.commits.get(at).and_then(|commit| history.find(commit.oid));
    let mut telling = Telling { history: &history, tips: &tips, all };
    let mut told = telling.messages(found);
    for ((blob, path), at) in places {
        let Some(parts) = found.blobs.get(blob) else { continue };
        let sight = sights.get(blob).and_then(|places| places.get(path)).cloned().unwrap_or_default();
        let first = position(*at).map(|(at, _)| at);
        for (inner, hits) in parts {
            let path = unpack::place(&name_text(path), inner);
            told.push(Told { hits, path, first, sight: sight.clone(), names: Vec::new() });
        }
    }
    telling.tell(&told);
}
