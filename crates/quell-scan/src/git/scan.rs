//! The passes over a repository: search every object once, then attribute what was found.

use super::attribute::{Attribution, Sight, Sights};
use super::commits::History;
use super::database::{self, Database};
use super::search::{self, Found};
use super::tips::Tips;
use super::{Kind, Oid, Repository, reflog, refs, second, survey};
use crate::collect::{Collector, Last, Origin, REFLOG, Sighting, Trail};
use crate::finding::name_text;
use crate::hit::Hits;
use crate::stream::Searcher;
use crate::{Finding, Report, ScanError, Sources, Visibility};

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
    if !database::is_shallow(repository)? {
        missing_parents(&history, &mut all.report);
    }
    let head = refs.head.and_then(|head| history.find(head)).map(|(_, commit)| (commit.oid, commit.tree));
    if let Some((_, tree)) = head {
        survey::head(&mut database, tree, &mut all.report);
    }
    let interesting = !found.blobs.is_empty() || !found.messages.is_empty();
    if interesting || database.promisor {
        let interest = found.blobs.keys().copied().collect();
        let (sights, missing) = Attribution::new(&mut database, &mut all.report, interest).run(
            &history,
            head.map(|(head, _)| head),
            &tips.trees,
        );
        if database.promisor && missing > 0 {
            let why = format!(
                "this is a partial clone: {missing} objects that its trees name were never fetched; \
                 `git fetch --refetch --no-filter` gets them"
            );
            all.report.skip("history", why);
        }
        Telling { history: &history, tips: &tips, all }.tell(&found, &sights);
    }
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

/// Turns hits and their sights into findings.
struct Telling<'t, 'a> {
    history: &'t History,
    tips: &'t Tips,
    all: &'t mut Collector<'a>,
}

/// A hit at a place, before the refs that reach it are known.
struct Told<'t> {
    hits: &'t Hits,
    path: String,
    sight: Sight,
    /// Names of refs that do not go by way of commits.
    names: Vec<String>,
}

impl Telling<'_, '_> {
    fn tell(&mut self, found: &Found, sights: &Sights) {
        let told = self.list(found, sights);
        let groups: Vec<&[usize]> = told.iter().map(|one| one.sight.introduced.as_slice()).collect();
        let reached = self.history.tips_that_reach(&self.tips.commits, &groups, Finding::MAX_REFS);
        let by_reflog = self.history.reached_by(self.tips.reflog.iter().copied());
        for (one, tips) in told.iter().zip(reached) {
            let mut refs: Vec<String> =
                tips.iter().filter_map(|tip| self.tips.names.get(*tip)).cloned().collect();
            refs.extend(one.names.iter().cloned());
            if refs.is_empty() && one.sight.introduced.iter().any(|at| by_reflog.get(*at) == Some(&true)) {
                refs.push(REFLOG.to_owned());
            }
            self.place(one, refs);
        }
    }

    fn list<'t>(&self, found: &'t Found, sights: &Sights) -> Vec<Told<'t>> {
        let mut told = Vec::new();
        for (blob, hits) in &found.blobs {
            let names = self.tips.names_of(*blob).to_vec();
            let Some(places) = sights.get(blob) else {
                let name = blob.to_string();
                let path = format!("(blob {})", name.get(..12).unwrap_or(&name));
                let sight = Sight { reachable: !names.is_empty(), ..Sight::default() };
                told.push(Told { hits, path, sight, names });
                continue;
            };
            for (path, sight) in places {
                let mut names = names.clone();
                let trees = sight.tips.iter().filter_map(|number| self.tips.trees.get(*number));
                names.extend(trees.flat_map(|tree| self.tips.names_of(*tree)).cloned());
                told.push(Told { hits, path: name_text(path), sight: sight.clone(), names });
            }
        }
        for (oid, kind, hits) in &found.messages {
            let path = if *kind == Kind::Tag { "(tag message)" } else { "(commit message)" };
            let names = self.tips.names_of(*oid).to_vec();
            let at = self.history.find(*oid).map(|(at, _)| at);
            let reachable = at.is_some_and(|at| self.history.is_reachable(at)) || !names.is_empty();
            let sight = Sight {
                introduced: at.into_iter().collect(),
                last: at.map(|at| (reachable, at)),
                reachable,
                ..Sight::default()
            };
            told.push(Told { hits, path: path.to_owned(), sight, names });
        }
        told
    }

    fn place(&mut self, told: &Told<'_>, refs: Vec<String>) {
        let visibility = match told.sight {
            Sight { current: true, .. } => Visibility::Current,
            Sight { reachable: true, .. } => Visibility::Reachable,
            Sight { .. } => Visibility::Unreachable,
        };
        let first = told.sight.introduced.first();
        let commit = first.and_then(|at| self.history.commits.get(*at).map(|commit| (*at, commit)));
        let id = commit.map(|(_, commit)| commit.oid.to_string()).unwrap_or_default();
        let origin = commit.map(|(order, commit)| Origin {
            order,
            id: &id,
            author: &commit.author,
            author_time: commit.authored_at,
        });
        let last = told.sight.last.and_then(|(reachable, order)| {
            let commit = self.history.commits.get(order)?;
            Some(Last { reachable, order, id: commit.oid.to_string(), author_time: commit.authored_at })
        });
        let sighting = Sighting { path: &told.path, commit: origin, visibility };
        self.all.add_trailed(told.hits, &sighting, &Trail { last, refs });
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
