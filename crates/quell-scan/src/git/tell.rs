//! From hits and sights to findings, with the names of the refs that reach them.

use super::Kind;
use super::attribute::{Sight, Sights};
use super::commits::History;
use super::search::{Found, Spot};
use super::tips::Tips;
use crate::collect::{Collector, Last, Origin, REFLOG, Sighting, Trail};
use crate::finding::name_text;
use crate::hit::Hits;
use crate::{Finding, Visibility, unpack};

/// Turns hits and their sights into findings.
pub(super) struct Telling<'t, 'a> {
    pub(super) history: &'t History,
    pub(super) tips: &'t Tips,
    pub(super) all: &'t mut Collector<'a>,
}

/// A hit at a place, before the refs that reach it are known.
pub(super) struct Told<'t> {
    pub(super) hits: &'t Hits,
    pub(super) path: String,
    /// Position of the commit to name as the first.
    pub(super) first: Option<usize>,
    pub(super) sight: Sight,
    /// Names of refs that do not go by way of commits.
    pub(super) names: Vec<String>,
}

impl Telling<'_, '_> {
    /// Adds findings for all of them, with the refs that reach each.
    pub(super) fn tell(&mut self, told: &[Told<'_>]) {
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

    /// Blobs at all their places.
    pub(super) fn blobs<'t>(&self, found: &'t Found, sights: &Sights) -> Vec<Told<'t>> {
        let mut told = Vec::new();
        for (blob, parts) in &found.blobs {
            let names = self.tips.names_of(*blob).to_vec();
            let Some(places) = sights.get(blob) else {
                let name = blob.to_string();
                let path = format!("(blob {})", name.get(..12).unwrap_or(&name));
                let sight = Sight { reachable: !names.is_empty(), ..Sight::default() };
                for (inner, hits) in parts {
                    let path = unpack::place(&path, inner);
                    told.push(Told { hits, path, first: None, sight: sight.clone(), names: names.clone() });
                }
                continue;
            };
            for (path, sight) in places {
                let mut names = names.clone();
                let trees = sight.tips.iter().filter_map(|number| self.tips.trees.get(*number));
                names.extend(trees.flat_map(|tree| self.tips.names_of(*tree)).cloned());
                let first = sight.introduced.first().copied();
                for (inner, hits) in parts {
                    let path = unpack::place(&name_text(path), inner);
                    told.push(Told { hits, path, first, sight: sight.clone(), names: names.clone() });
                }
            }
        }
        told
    }

    /// Messages of commits and tags.
    pub(super) fn messages<'t>(&self, found: &'t Found) -> Vec<Told<'t>> {
        let mut told = Vec::new();
        for (oid, spot, hits) in &found.messages {
            let path = match spot {
                Spot::Message(Kind::Tag) => "(tag message)",
                Spot::Headers(Kind::Tag) => "(tag headers)",
                Spot::Message(_) => "(commit message)",
                Spot::Headers(_) => "(commit headers)",
            };
            let names = self.tips.names_of(*oid).to_vec();
            let at = self.history.find(*oid).map(|(at, _)| at);
            let reachable = at.is_some_and(|at| self.history.is_reachable(at)) || !names.is_empty();
            let sight = Sight {
                introduced: at.into_iter().collect(),
                last: at.map(|at| (reachable, at)),
                reachable,
                ..Sight::default()
            };
            told.push(Told { hits, path: path.to_owned(), first: at, sight, names });
        }
        told
    }

    fn place(&mut self, told: &Told<'_>, refs: Vec<String>) {
        let visibility = match told.sight {
            Sight { current: true, .. } => Visibility::Current,
            Sight { reachable: true, .. } => Visibility::Reachable,
            Sight { .. } => Visibility::Unreachable,
        };
        let commit = told.first.and_then(|at| self.history.commits.get(at).map(|commit| (at, commit)));
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
