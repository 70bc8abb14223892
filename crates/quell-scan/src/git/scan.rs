//! The passes over a repository: search every object once, then attribute what was found.

use std::collections::BTreeSet;

use super::attribute::{Attribution, Sight};
use super::cache::Object;
use super::commits::History;
use super::database::Database;
use super::object;
use super::refs::{self, Refs};
use super::search::{self, Found};
use super::{Kind, Oid, Repository};
use crate::collect::{Collector, Origin, Sighting};
use crate::hit::Hits;
use crate::stream::Searcher;
use crate::{ScanError, Visibility, unpack};

/// A tag of a tag of a tag is followed this far.
const MAX_TAGS: usize = 16;

/// Scans all objects of a repository.
pub(crate) fn scan(
    repository: &Repository,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let refs = refs::read(repository, &mut all.report)?;
    let mut database = Database::open(repository, &mut all.report)?;
    let found = search::run(&mut database, searcher, all);
    all.report.commits = u64::try_from(found.commits.len()).unwrap_or(u64::MAX);
    attribute(&mut database, &refs, found, all);
    Ok(())
}

fn attribute(database: &mut Database, refs: &Refs, found: Found, all: &mut Collector<'_>) {
    if found.blobs.is_empty() && found.messages.is_empty() {
        return;
    }
    let mut history = History::new(found.commits);
    let mut reached = BTreeSet::new();
    let mut bare_tips = Vec::new();
    for tip in &refs.tips {
        peel(*tip, database, &mut history, &mut reached, &mut bare_tips, all);
    }
    let interest = found.blobs.keys().copied().collect();
    let sights = Attribution::new(database, &mut all.report, interest).run(&history, refs.head, &bare_tips);
    for (blob, parts) in &found.blobs {
        let Some(places) = sights.get(blob) else {
            let visibility =
                if reached.contains(blob) { Visibility::Reachable } else { Visibility::Unreachable };
            let name = blob.to_string();
            let path = format!("(blob {})", name.get(..12).unwrap_or(&name));
            for (inner, hits) in parts {
                let path = unpack::place(&path, inner);
                all.add_all(hits, &Sighting { path: &path, commit: None, visibility });
            }
            continue;
        };
        for (path, sight) in places {
            for (inner, hits) in parts {
                place(hits, &unpack::place(&String::from_utf8_lossy(path), inner), *sight, &history, all);
            }
        }
    }
    for (oid, kind, hits) in &found.messages {
        let reachable = history.contains_reachable(*oid) || reached.contains(oid);
        let sight = Sight { first: history.find(*oid).map(|(at, _)| at), reachable, current: false };
        let path = if *kind == Kind::Tag { "(tag message)" } else { "(commit message)" };
        place(hits, path, sight, &history, all);
    }
}

fn place(hits: &Hits, path: &str, sight: Sight, history: &History, all: &mut Collector<'_>) {
    let visibility = match sight {
        Sight { current: true, .. } => Visibility::Current,
        Sight { reachable: true, .. } => Visibility::Reachable,
        Sight { .. } => Visibility::Unreachable,
    };
    let commit = sight.first.and_then(|at| history.commits.get(at).map(|commit| (at, commit)));
    let id = commit.map(|(_, commit)| commit.oid.to_string()).unwrap_or_default();
    let origin = commit.map(|(order, commit)| Origin {
        order,
        id: &id,
        author: &commit.author,
        author_time: commit.authored_at,
    });
    all.add_all(hits, &Sighting { path, commit: origin, visibility });
}

/// Follows a ref's tip through tags to a commit, or to the odd tree or blob.
fn peel(
    tip: Oid,
    database: &mut Database,
    history: &mut History,
    reached: &mut BTreeSet<Oid>,
    bare_tips: &mut Vec<Object>,
    all: &mut Collector<'_>,
) {
    let mut at = tip;
    for _ in 0..MAX_TAGS {
        if history.find(at).is_some() {
            history.reach(at);
            return;
        }
        if !reached.insert(at) {
            return;
        }
        match database.read(at) {
            Ok(Some(object)) if object.kind == Kind::Tag => match object::tag_target(&object.data) {
                Some(target) => at = target,
                None => return all.report.skip(at.to_string(), "the tag names no object"),
            },
            Ok(Some(object)) => return bare_tips.push(object),
            Ok(None) => return all.report.skip(at.to_string(), "a ref points to it, and it is not here"),
            Err(trouble) => return all.report.skip(at.to_string(), trouble.to_string()),
        }
    }
    all.report.skip(tip.to_string(), "a ref points to a tag that is nested too deep");
}
