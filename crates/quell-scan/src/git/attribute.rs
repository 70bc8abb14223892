//! From blobs with hits to the commits that introduced them and dropped them, and what still reaches those.
//!
//! A blob at a path is introduced by a commit whose tree has it there while no parent's tree does. A ref reaches a commit
//! that has it exactly when it reaches one that introduced it. The last commit that has it has no child that has it, too.

use std::collections::{BTreeMap, BTreeSet};

use super::Oid;
use super::commits::History;
use super::database::Database;
use super::forest::Forest;
use super::shape::{NOTHING, Shape, Shapes};
use crate::Report;

/// Places kept at most: a tree that holds itself many times over must not fill the memory.
const MAX_PLACES: usize = 200_000;

/// Visits of places at most, for the same reason.
const MAX_STEPS: u64 = 50_000_000;

/// Where a blob lies, who brought it there, and who had it last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Positions in the history of all commits that introduced it, oldest first.
    pub(super) introduced: Vec<usize>,
    /// The newest commit that had it; one that a ref reaches comes before others.
    pub(super) last: Option<(bool, usize)>,
    pub(super) reachable: bool,
    pub(super) current: bool,
    /// Positions in the list of odd tips: refs to trees that have it.
    pub(super) tips: BTreeSet<usize>,
}

/// Places of blobs: blob, then path.
pub(super) type Sights = BTreeMap<Oid, BTreeMap<Vec<u8>, Sight>>;

/// Finds the places of the blobs of interest.
pub(super) struct Attribution<'a> {
    shapes: Shapes<'a>,
    sights: Sights,
    places: usize,
    left: u64,
    gate: Gate<'a>,
}

/// Says whether something counts at a path.
type Counts<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// Blobs of which only some paths are of interest.
#[derive(Default)]
struct Gate<'a> {
    blobs: Option<&'a BTreeSet<Oid>>,
    counts: Option<&'a Counts<'a>>,
    /// What the question was answered for each path.
    answers: BTreeMap<Vec<u8>, bool>,
}

impl Gate<'_> {
    fn lets(&mut self, blob: Oid, path: &[u8]) -> bool {
        let Some(counts) = self.counts.filter(|_| self.blobs.is_some_and(|blobs| blobs.contains(&blob)))
        else {
            return true;
        };
        if let Some(answer) = self.answers.get(path) {
            return *answer;
        }
        let answer = counts(path);
        if self.answers.len() < MAX_PLACES {
            self.answers.insert(path.to_vec(), answer);
        }
        answer
    }
}

impl<'a> Attribution<'a> {
    pub(super) fn new(database: &'a mut Database, report: &'a mut Report, interest: BTreeSet<Oid>) -> Self {
        Self::limited(database, report, interest, MAX_STEPS)
    }

    /// The same with another limit of visits.
    pub(super) fn limited(
        database: &'a mut Database,
        report: &'a mut Report,
        interest: BTreeSet<Oid>,
        max_steps: u64,
    ) -> Self {
        Self {
            shapes: Shapes::new(database, report, interest),
            sights: Sights::new(),
            places: 0,
            left: max_steps,
            gate: Gate::default(),
        }
    }

    /// With objects that are known to be missing, and told.
    pub(super) fn without(mut self, missing: BTreeSet<Oid>) -> Self {
        self.shapes.missing = missing;
        self
    }

    /// With blobs that are only looked for at paths for which `counts` says yes.
    pub(super) fn only_where(mut self, blobs: &'a BTreeSet<Oid>, counts: &'a dyn Fn(&[u8]) -> bool) -> Self {
        self.gate.blobs = Some(blobs);
        self.gate.counts = Some(counts);
        self
    }

    /// With one pass over the packs before trees are read by name. The deltas must be those of the database's packs.
    pub(super) fn surveyed(mut self, forests: &[(Vec<u8>, Forest)], threads: usize) -> Self {
        let packs = self.shapes.database.packs.iter().map(|pack| &pack.index.pack_checksum);
        if packs.eq(forests.iter().map(|(checksum, _)| checksum)) {
            self.shapes.survey(forests, threads);
        }
        self
    }

    /// Walks all commits, then the tree of `HEAD`, then trees that refs point to. Also says how many objects are missing.
    pub(super) fn run(mut self, history: &History, head: Option<Oid>, odd_trees: &[Oid]) -> (Sights, usize) {
        let shapes = self.commits(history);
        self.last(history, &shapes);
        if let Some((at, _)) = head.and_then(|head| history.find(head)) {
            let shape = shapes.get(at).copied().unwrap_or(NOTHING);
            self.each(shape, &[], &mut |sight| {
                sight.current = true;
                sight.reachable = true;
            });
        }
        for (number, tree) in odd_trees.iter().enumerate() {
            let shape = self.shapes.of(*tree, None);
            self.each(shape, &[], &mut |sight| {
                sight.reachable = true;
                sight.tips.insert(number);
            });
        }
        if self.left == 0 || self.places >= MAX_PLACES {
            let why =
                "the trees are nested too often, or there are more than 200000 places; some are missing";
            self.shapes.report.skip("attribution", why);
        }
        (self.sights, self.shapes.missing.len())
    }

    /// The shape of each commit's tree, and what it introduced.
    fn commits(&mut self, history: &History) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(history.commits.len());
        for (at, commit) in history.commits.iter().enumerate() {
            let parents = history.parents(at);
            let like =
                parents.first().and_then(|parent| history.commits.get(*parent)).map(|parent| parent.tree);
            let shape = self.shapes.of(commit.tree, like);
            shapes.push(shape);
            let before: Vec<Shape> =
                parents.iter().filter_map(|parent| shapes.get(*parent)).copied().collect();
            let reachable = history.is_reachable(at);
            self.each(shape, &before, &mut |sight| {
                sight.introduced.push(at);
                sight.reachable |= reachable;
            });
        }
        shapes
    }

    /// The newest commit of each place: one without children, or one whose child dropped it.
    ///
    /// Reachable commits only count reachable children, since a commit that nobody sees does not end an exposure.
    fn last(&mut self, history: &History, shapes: &[Shape]) {
        let mut ends = vec![true; shapes.len()];
        for (child, shape) in shapes.iter().enumerate() {
            for parent in history.parents(child) {
                let reachable = history.is_reachable(*parent);
                if reachable != history.is_reachable(child) {
                    continue;
                }
                if let Some(end) = ends.get_mut(*parent) {
                    *end = false;
                }
                let had = shapes.get(*parent).copied().unwrap_or(NOTHING);
                self.each(had, &[*shape], &mut |sight| {
                    sight.last = sight.last.max(Some((reachable, *parent)))
                });
            }
        }
        // Many tips have one shape: the newest of them answers for all.
        let mut newest: BTreeMap<(bool, Shape), usize> = BTreeMap::new();
        for (at, shape) in shapes.iter().enumerate() {
            if ends.get(at) == Some(&true) && *shape != NOTHING {
                newest.insert((history.is_reachable(at), *shape), at);
            }
        }
        for ((reachable, shape), at) in newest {
            self.each(shape, &[], &mut |sight| sight.last = sight.last.max(Some((reachable, at))));
        }
    }

    fn each(&mut self, shape: Shape, others: &[Shape], change: &mut dyn FnMut(&mut Sight)) {
        let Self { shapes, sights, places, left, gate } = self;
        shapes.difference(shape, others, &mut Vec::new(), 0, &mut |path, blob| {
            *left = left.saturating_sub(1);
            if !gate.lets(blob, path) {
                return *left > 0;
            }
            let by_path = sights.entry(blob).or_default();
            if let Some(sight) = by_path.get_mut(path) {
                change(sight);
            } else if *places < MAX_PLACES {
                *places = places.saturating_add(1);
                change(by_path.entry(path.to_vec()).or_default());
            }
            *left > 0
        });
    }
}
