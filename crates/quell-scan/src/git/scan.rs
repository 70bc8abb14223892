//! The passes over a repository: search every object once, then attribute what was found.

use super::attribute::Attribution;
use super::commits::History;
use super::database::{self, Database};
use super::search;
use super::tell::Telling;
use super::tips::Tips;
use super::{Oid, Repository, reflog, refs, second, survey};
use crate::collect::Collector;
use crate::finding::name_text;
use crate::stream::Searcher;
use crate::{Report, ScanError, Sources};

/// Scans all objects of a repository.
pub(crate) fn scan(
    repository: &Repository,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let refs = refs::read(repository, &mut all.report)?;
    let logs = reflog::read(repository, &mut all.report);
    let mut database = Database::open(repository, &mut all.report)?;
    let mut found = search::run(&mut database, searcher, all);
    second::look(repository, &database, searcher, &mut found, all);
    let mut history = History::new(std::mem::take(&mut found.commits));
    all.report.commits = wide(history.commits.len());
    let tips = Tips::follow(&refs, &logs, &mut database, &mut history, &mut all.report);
    let stash = refs.find("refs/stash").into_iter().chain(logs.stash.iter().copied());
    all.report.sources = Sources {
        refs: wide(refs.all.len()),
        tags: wide(refs.below("refs/tags/").count()),
        notes: wide(refs.below("refs/notes/").count()),
        stashes: wide(stash.collect::<std::collections::BTreeSet<Oid>>().len()),
        reflog_entries: wide(logs.named.len()),
        unreachable_commits: wide(history.unreachable()),
    };
    if database::shallow(repository)?.is_empty() {
        missing_parents(&history, &mut all.report);
    }
    let head = refs.head.and_then(|head| history.find(head)).map(|(_, commit)| (commit.oid, commit.tree));
    let missing = match head {
        Some((_, tree)) => survey::head(&mut database, tree, &mut all.report),
        None => std::collections::BTreeSet::new(),
    };
    // Also when nothing was found: what is missing is only met on the way through all trees.
    let interest = found.blobs.keys().chain(&found.elsewhere).copied().collect();
    let counts = |path: &[u8]| searcher.rules.counts_at(name_text(path).as_bytes());
    let (sights, missing) = Attribution::new(&mut database, &mut all.report, interest)
        .without(missing)
        .only_where(&found.elsewhere, &counts)
        .surveyed(&found.forests, searcher.threads)
        .run(&history, head.map(|(head, _)| head), &tips.trees);
    if database.promisor && missing > 0 {
        let why = format!(
            "this is a partial clone: objects that its trees name and that were never fetched: {missing}; \
             `git fetch --refetch --no-filter` gets them"
        );
        all.report.skip("history", why);
    }
    let there: Vec<Oid> = sights.keys().filter(|blob| found.elsewhere.contains(blob)).copied().collect();
    search::again(&there, &mut database, searcher, &mut found, &mut all.report);
    let mut telling = Telling { history: &history, tips: &tips, all };
    let mut told = telling.blobs(&found, &sights);
    told.extend(telling.messages(&found));
    telling.tell(&told);
    Ok(())
}

/// A commit that is named and not here means that history is not whole.
fn missing_parents(history: &History, report: &mut Report) {
    for (at, commit) in history.commits.iter().enumerate() {
        if history.parents(at).len() != commit.parents.len() {
            for parent in commit.parents.iter().filter(|parent| history.find(**parent).is_none()) {
                report.skip(
                    parent.to_string(),
                    format!("it is a parent of commit {} and not here", commit.oid),
                );
            }
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
