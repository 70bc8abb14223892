//! A second look at what was not there: git packs loose objects and joins packs while others read.

use std::collections::BTreeSet;

use super::cache::Object;
use super::database::Database;
use super::object::Commit;
use super::search::{self, Found};
use super::{Kind, Oid, Repository};
use crate::Report;
use crate::collect::Collector;
use crate::stream::Searcher;
use crate::unpack::Input;

/// Reads once more what the first pass could not read, from folders that are listed anew. What is read now is no longer
/// incomplete.
pub(super) fn look(
    repository: &Repository,
    first: &Database,
    searcher: &Searcher<'_>,
    found: &mut Found,
    all: &mut Collector<'_>,
) {
    let failed: BTreeSet<Oid> =
        all.report.incomplete.iter().filter_map(|part| Oid::from_hex(&part.what)).collect();
    // Objects whose content is not what their name says were searched.
    if failed.is_empty() {
        return;
    }
    let Ok(mut fresh) = Database::open(repository, &mut Report::default()) else { return };
    let known: BTreeSet<Oid> = found.commits.iter().map(|commit| commit.oid).collect();
    for oid in failed {
        if moved(first, &fresh, oid)
            && !known.contains(&oid)
            && let Ok(Some(object)) = fresh.read(oid)
        {
            all.report.incomplete.retain(|part| Oid::from_hex(&part.what) != Some(oid));
            search(oid, &object, searcher, found, all);
        }
    }
}

/// Whether an object lies elsewhere now. Where it lies where it lay, the first answer stands.
fn moved(first: &Database, fresh: &Database, oid: Oid) -> bool {
    first.place(oid) != fresh.place(oid)
}

/// Searches one object that was read by its name.
pub(super) fn search(
    oid: Oid,
    object: &Object,
    searcher: &Searcher<'_>,
    found: &mut Found,
    all: &mut Collector<'_>,
) {
    all.advance(u64::try_from(object.data.len()).unwrap_or(0), 0);
    match object.kind {
        Kind::Tree => {}
        Kind::Blob => {
            all.report.blobs = all.report.blobs.saturating_add(1);
            let (_, parts) = search::inside(oid, Input::Bytes(&object.data), searcher, all);
            found.keep(oid, parts, searcher);
        }
        Kind::Commit | Kind::Tag => {
            let written = search::written(object.kind, &object.data, searcher);
            found.messages.extend(written.into_iter().map(|(spot, hits)| (oid, spot, hits)));
            if object.kind == Kind::Commit {
                match Commit::parse(oid, &object.data) {
                    Some(commit) => found.commits.push(commit),
                    None => all.report.skip(oid.to_string(), "the commit names no tree"),
                }
            }
        }
    }
}
