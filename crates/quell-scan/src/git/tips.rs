//! Refs followed to the commits, and to the odd trees and blobs, that they point to.

use std::collections::BTreeMap;

use super::commits::History;
use super::database::Database;
use super::object;
use super::reflog::Reflogs;
use super::refs::Refs;
use super::{Kind, Oid};
use crate::{Finding, Report};

/// A tag of a tag of a tag is followed this far.
pub(super) const MAX_TAGS: usize = 16;

/// The ends of history, with names.
#[derive(Debug, Default)]
pub(super) struct Tips {
    /// Positions of commits in the history; `names` goes along.
    pub(super) commits: Vec<usize>,
    pub(super) names: Vec<String>,
    /// Commits that only a reflog names.
    pub(super) reflog: Vec<usize>,
    /// Tags, trees and blobs that refs point to, and the names of those refs.
    pub(super) objects: BTreeMap<Oid, Vec<String>>,
    /// The trees among them.
    pub(super) trees: Vec<Oid>,
}

impl Tips {
    /// Follows all refs, and marks the commits of the history that they reach.
    pub(super) fn follow(
        refs: &Refs,
        logs: &Reflogs,
        database: &mut Database,
        history: &mut History,
        report: &mut Report,
    ) -> Self {
        let mut tips = Self::default();
        for one in &refs.all {
            tips.peel(&one.name, one.oid, database, history, report);
        }
        // What the stash's own log names is in the stash; entries that are gone are no loss.
        for (at, _) in logs.stash.iter().filter_map(|oid| history.find(*oid)) {
            tips.commits.push(at);
            tips.names.push("refs/stash".to_owned());
        }
        for at in &tips.commits {
            history.reach(*at);
        }
        tips.reflog = logs.named.iter().filter_map(|oid| history.find(*oid)).map(|(at, _)| at).collect();
        tips
    }

    fn peel(
        &mut self,
        name: &str,
        tip: Oid,
        database: &mut Database,
        history: &History,
        report: &mut Report,
    ) {
        let mut at = tip;
        for _ in 0..MAX_TAGS {
            if let Some((position, _)) = history.find(at) {
                self.commits.push(position);
                self.names.push(name.to_owned());
                return;
            }
            let names = self.objects.entry(at).or_default();
            let first = names.is_empty();
            if names.len() < Finding::MAX_REFS {
                names.push(name.to_owned());
            }
            match database.read(at) {
                Ok(Some(object)) if object.kind == Kind::Tag => match object::tag_target(&object.data) {
                    Some(target) => at = target,
                    None => return report.skip(at.to_string(), "the tag names no object"),
                },
                Ok(Some(object)) => {
                    if first && object.kind == Kind::Tree {
                        self.trees.push(at);
                    }
                    return;
                }
                Ok(None) => {
                    return report.skip(at.to_string(), format!("`{name}` points to it, and it is not here"));
                }
                Err(trouble) => return report.skip(at.to_string(), trouble.to_string()),
            }
        }
        report.skip(tip.to_string(), format!("`{name}` points to a tag that is nested too deep"));
    }

    /// The names of refs that point to an object by way of tags, or directly.
    pub(super) fn names_of(&self, oid: Oid) -> &[String] {
        self.objects.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }
}
