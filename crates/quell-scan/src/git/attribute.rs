//! From blobs with hits to the commits that introduced them and dropped them, and what still reaches those.
//!
//! A blob at a path is introduced by a commit whose tree has it there while no parent's tree does. A ref reaches a commit
//! that has it exactly when it reaches one that introduced it. The last commit that has it has no child that has it, too.

use std::collections::{BTreeMap, BTreeSet};

use super::Oid;
use super::commits::History;
use super::database::Database;
use super::forest::Forest;
use super::places::{Paths, TOP, wide};
use super::shape::{NOTHING, Shape, Shapes};
use crate::Report;

/// Places kept at most: a tree that holds itself many times over must not fill the memory.
const MAX_PLACES: usize = 200_000;

/// Paths kept at most, folders too.
const MAX_PATHS: usize = 1_000_000;

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
    paths: Paths,
    /// By path: the blobs that were there, sorted, and the numbers of their sights.
    blobs: Vec<Vec<(u32, u32)>>,
    sights: Vec<Sight>,
    left: u64,
    gate: Gate<'a>,
}

/// Says whether something counts at a path.
type Counts<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// Blobs of which only some paths are of interest.
#[derive(Default)]
struct Gate<'a> {
    /// By the number of the blob.
    blobs: Vec<bool>,
    counts: Option<&'a Counts<'a>>,
    /// What the question was answered for each path.
    answers: Vec<Option<bool>>,
}

impl Gate<'_> {
    fn lets(&mut self, blob: u32, path: u32, text: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(counts) = self.counts.filter(|_| self.blobs.get(wide(blob)) == Some(&true)) else {
            return true;
        };
        let at = wide(path);
        if at >= self.answers.len() {
            self.answers.resize(at.saturating_add(1), None);
        }
        self.answers.get_mut(at).is_none_or(|answer| *answer.get_or_insert_with(|| counts(&text())))
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
            paths: Paths::new(MAX_PATHS),
            blobs: Vec::new(),
            sights: Vec::new(),
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
    pub(super) fn only_where(mut self, blobs: &BTreeSet<Oid>, counts: &'a dyn Fn(&[u8]) -> bool) -> Self {
        for number in blobs.iter().filter_map(|blob| self.shapes.interest.number(*blob)).map(wide) {
            if number >= self.gate.blobs.len() {
                self.gate.blobs.resize(number.saturating_add(1), false);
            }
            if let Some(slot) = self.gate.blobs.get_mut(number) {
                *slot = true;
            }
        }
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
        if self.left == 0 || self.sights.len() >= MAX_PLACES || self.paths.are_full() {
            let why =
                "the trees are nested too often, or there are more than 200000 places; some are missing";
            self.shapes.report.skip("attribution", why);
        }
        let missing = self.shapes.missing.len();
        (self.by_name(), missing)
    }

    /// The sights with the names of their blobs and paths.
    fn by_name(mut self) -> Sights {
        let mut sights = Sights::new();
        for (path, blobs) in (0..).zip(&self.blobs) {
            if blobs.is_empty() {
                continue;
            }
            let text = self.paths.text(path, &self.shapes.names);
            for (blob, sight) in blobs {
                let sight = self.sights.get_mut(wide(*sight)).map(std::mem::take);
                if let (Some(blob), Some(sight)) = (self.shapes.interest.oid(*blob), sight) {
                    sights.entry(blob).or_default().insert(text.clone(), sight);
                }
            }
        }
        sights
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
        let Self { shapes, paths, blobs, sights, left, gate } = self;
        shapes.difference(shape, others, paths, TOP, 0, &mut |paths, path, blob| {
            *left = left.saturating_sub(1);
            if !gate.lets(blob, path, || paths.text(path, &shapes.names)) {
                return *left > 0;
            }
            let at = wide(path);
            if at >= blobs.len() {
                blobs.resize_with(at.saturating_add(1), Vec::new);
            }
            let Some(there) = blobs.get_mut(at) else { return false };
            let number = match there.binary_search_by_key(&blob, |(blob, _)| *blob) {
                Ok(at) => there.get(at).map(|(_, sight)| *sight),
                Err(at) => {
                    let next = u32::try_from(sights.len()).ok().filter(|_| sights.len() < MAX_PLACES);
                    if let Some(next) = next {
                        there.insert(at, (blob, next));
                        sights.push(Sight::default());
                    }
                    next
                }
            };
            if let Some(sight) = number.and_then(|number| sights.get_mut(wide(number))) {
                change(sight);
            }
            *left > 0
        });
    }
}
