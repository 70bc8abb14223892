//! What a push brings, before its refs change.

use super::commits::History;
use super::database::{self, Database};
use super::introduced::Introduced;
use super::refs::{self, Refs};
use super::revision::Resolver;
use super::tell::{Telling, Told};
use super::tips::{MAX_TAGS, Tips};
use super::{Kind, Oid, Repository, object, walk};
use crate::collect::Collector;
use crate::finding::{name_text, printable};
use crate::stream::Searcher;
use crate::{Known, Received, ScanError, Update, unpack};

/// What the new ids of a push point to.
#[derive(Default)]
struct Brought {
    commits: Vec<(Oid, String)>,
    tags: Vec<(Oid, String)>,
    /// Trees and blobs that a ref or tag points to directly.
    odd: Vec<(Oid, Kind)>,
}

/// Scans what is new in a push: commits that no ref of the receiver reaches, and the tags on the way.
pub(crate) fn scan(
    repository: &Repository,
    received: &Received,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let refs = refs::read(repository, &mut all.report)?;
    let mut database = Database::look_up(repository, &received.object_folders, &mut all.report)?;
    let mut brought = Brought::default();
    let mut hidden = Vec::new();
    for update in &received.updates {
        hidden.extend(id(update.old.as_deref(), repository)?);
        if let Some(new) = id(update.new.as_deref(), repository)? {
            follow(new, update, &mut database, &mut brought, all);
        }
    }
    if brought.commits.is_empty() && brought.tags.is_empty() && brought.odd.is_empty() {
        return Ok(());
    }
    hidden.extend(known(&received.known, &refs));
    // What cannot be followed hides nothing.
    let hidden: Vec<Oid> = hidden
        .into_iter()
        .filter_map(|oid| Resolver { database: &mut database, refs: &refs }.peel(oid).ok())
        .collect();
    let shown: Vec<Oid> = brought.commits.iter().map(|(oid, _)| *oid).collect();
    let walked = walk::commits(&mut database, &shown, &hidden);
    for (oid, why) in walked.unread {
        all.report.skip(oid.to_string(), why);
    }
    let mut history = History::new(walked.commits);
    let mut introduced = Introduced::new(&mut database, searcher, all, database::shallow(repository)?);
    introduced.history(&history);
    for (tag, _) in &brought.tags {
        introduced.message(*tag);
    }
    for (oid, kind) in &brought.odd {
        if *kind == Kind::Tree {
            introduced.tree(*oid, &[], usize::MAX);
        } else {
            introduced.blob(*oid, b"(blob)");
            introduced.places.insert((*oid, format!("(blob {oid})").into_bytes()), usize::MAX);
        }
    }
    let Introduced { found, places, .. } = introduced;
    let mut tips = Tips::default();
    for (oid, name) in brought.commits {
        if let Some((at, _)) = history.find(oid) {
            tips.commits.push(at);
            tips.names.push(name);
            history.reach(at);
        }
    }
    for (oid, name) in brought.tags {
        tips.objects.entry(oid).or_default().push(name);
    }
    let mut telling = Telling { history: &history, tips: &tips, all };
    let mut told = telling.messages(&found);
    for ((blob, path), at) in &places {
        let Some(parts) = found.blobs.get(blob) else { continue };
        let first = Some(*at).filter(|at| *at < history.commits.len());
        let sight = super::attribute::Sight {
            introduced: first.into_iter().collect(),
            reachable: true,
            ..super::attribute::Sight::default()
        };
        for (inner, hits) in parts {
            let path = unpack::place(&name_text(path), inner);
            told.push(Told { hits, path, first, sight: sight.clone(), names: Vec::new() });
        }
    }
    telling.tell(&told);
    Ok(())
}

/// An id of a push. One of another hash is an error: it would hide that nothing was looked at.
fn id(text: Option<&str>, repository: &Repository) -> Result<Option<Oid>, ScanError> {
    let Some(text) = text else { return Ok(None) };
    let oid = Oid::from_hex(text).filter(|oid| oid.format == repository.format);
    oid.map(Some).ok_or_else(|| ScanError::Revision {
        revision: printable(text),
        detail: "is no full id of this repository".to_owned(),
        hint: "give the lines that git gives to the hook".to_owned(),
    })
}

fn known(known: &Known, refs: &Refs) -> Vec<Oid> {
    match known {
        Known::AllRefs => refs.all.iter().map(|one| one.oid).chain(refs.head).collect(),
        Known::Remote(remote) => refs.below(&format!("refs/remotes/{remote}/")).map(|one| one.oid).collect(),
    }
}

/// Follows a new id through tags.
fn follow(
    new: Oid,
    update: &Update,
    database: &mut Database,
    brought: &mut Brought,
    all: &mut Collector<'_>,
) {
    let mut at = new;
    for _ in 0..MAX_TAGS {
        let object = match database.read(at) {
            Ok(Some(object)) => object,
            Ok(None) => {
                return all.report.skip(
                    at.to_string(),
                    format!("`{}` is to point to it, and it is not here", update.name),
                );
            }
            Err(trouble) => return all.report.skip(at.to_string(), trouble.to_string()),
        };
        match object.kind {
            Kind::Commit => return brought.commits.push((at, update.name.clone())),
            Kind::Blob | Kind::Tree => return brought.odd.push((at, object.kind)),
            Kind::Tag => {
                brought.tags.push((at, update.name.clone()));
                match object::tag_target(&object.data) {
                    Some(target) => at = target,
                    None => return all.report.skip(at.to_string(), "the tag names no object"),
                }
            }
        }
    }
    all.report
        .skip(new.to_string(), format!("`{}` is to point to a tag that is nested too deep", update.name));
}
