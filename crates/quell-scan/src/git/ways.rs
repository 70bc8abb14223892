//! What the deltas of trees say about the blobs of interest, found in one pass over the packs instead of one look-up per
//! tree.
//!
//! Trees are stored as deltas of each other, so an entry that stays is stored once. The pass notes which entries of note a
//! tree has and its base has not, and the other way round; what a tree holds then follows from what its base holds. Trees
//! that the pass could not make, or that are not in packs, are unknown: whoever comes to one reads it by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::database::Database;
use super::forest::Forest;
use super::grow::{Grower, Grown};
use super::index::Index;
use super::places::{Interest, wide};
use super::{ObjectFormat, Oid};

/// Marks the name of an entry that is a tree.
pub(super) const TREE: u32 = 1 << 31;

/// Entries that come and go, kept at most (twelve bytes each). With more, all trees are read by name.
pub(super) const MAX_EDGES: usize = 24_000_000;

/// No place.
const NONE: u32 = u32::MAX;

/// An entry of a tree. Children have numbers (the pack's first, plus the position among its names; then those that are in
/// no pack), trees have places (the pack's first, plus the position in the pack).
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) child: u32,
    pub(super) tree: u32,
    /// The number of the name, and [`TREE`].
    pub(super) name: u32,
}

/// What all threads of the pass share.
pub(super) struct Shared<'a> {
    pub(super) format: ObjectFormat,
    indexes: Vec<(u32, Arc<Index>)>,
    total: u32,
    interest: &'a Interest,
    has_loose: &'a (dyn Fn(Oid) -> bool + Sync),
    numbers: Mutex<Numbers>,
}

/// What got a number when it was met.
#[derive(Default)]
struct Numbers {
    names: BTreeMap<Vec<u8>, u32>,
    strays: BTreeMap<Oid, u32>,
    stray_oids: Vec<Oid>,
}

impl Shared<'_> {
    fn packed(&self, oid: Oid) -> Option<u32> {
        packed(&self.indexes, oid)
    }

    /// The number of an object.
    pub(super) fn number(&self, oid: Oid) -> u32 {
        self.packed(oid).unwrap_or_else(|| {
            let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            let Numbers { strays, stray_oids, .. } = &mut *numbers;
            *strays.entry(oid).or_insert_with(|| {
                stray_oids.push(oid);
                let count = u32::try_from(stray_oids.len()).unwrap_or(u32::MAX);
                self.total.saturating_add(count - 1)
            })
        })
    }

    /// The number of a blob that is of interest or not here. One that is not `fresh` was asked for before.
    pub(super) fn blob_of_note(&self, oid: Oid, fresh: bool) -> Option<u32> {
        if self.interest.has(oid) {
            return Some(self.number(oid));
        }
        if !fresh {
            return self.numbers.lock().unwrap_or_else(PoisonError::into_inner).strays.get(&oid).copied();
        }
        let here = self.packed(oid).is_some() || (self.has_loose)(oid);
        (!here).then(|| self.number(oid))
    }

    /// The number of a name.
    pub(super) fn name(&self, name: &[u8]) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.names.get(name) {
            return *number;
        }
        let number = u32::try_from(numbers.names.len()).unwrap_or(u32::MAX) & !TREE;
        numbers.names.insert(name.to_vec(), number);
        number
    }
}

fn packed(indexes: &[(u32, Arc<Index>)], oid: Oid) -> Option<u32> {
    indexes.iter().find_map(|(first, index)| Some(first + index.position_of(oid)?))
}

/// For each tree in the packs: how it differs from its base.
pub(super) struct Ways {
    indexes: Vec<(u32, Arc<Index>)>,
    total: u32,
    stray_oids: Vec<Oid>,
    /// By number: the place of a tree whose entries are known, or [`NONE`].
    places: Vec<u32>,
    /// By place: the place of the base, or [`NONE`].
    bases: Vec<u32>,
    came: Edges,
    went: Edges,
    pub(super) names: Vec<Vec<u8>>,
}

impl Ways {
    /// Goes over all trees of all packs. `None` when that would take too much memory.
    pub(super) fn find(
        database: &Database,
        forests: &[(Vec<u8>, Forest)],
        interest: &Interest,
        threads: usize,
    ) -> Option<Self> {
        let mut indexes = Vec::new();
        let mut total = 0_u32;
        for pack in &database.packs {
            indexes.push((total, Arc::clone(&pack.index)));
            total = total.checked_add(u32::try_from(pack.index.len()).ok()?)?;
        }
        if total >= TREE || forests.len() != indexes.len() {
            return None;
        }
        let loose = &database.loose;
        let has_loose = |oid: Oid| loose.binary_search_by(|(name, _)| name.cmp(&oid)).is_ok();
        let shared = Shared {
            format: database.format,
            indexes,
            total,
            interest,
            has_loose: &has_loose,
            numbers: Mutex::default(),
        };
        let mut grown = Grown::default();
        for ((pack, (_, forest)), (first, _)) in database.packs.iter().zip(forests).zip(&shared.indexes) {
            let next = AtomicUsize::new(0);
            let noted = AtomicUsize::new(grown.came.len() + grown.went.len());
            let work = || {
                let mut grower = Grower::new(pack, forest, *first, &shared);
                let mut told = 0;
                while let Some(root) = forest.tree_roots.get(next.fetch_add(1, Ordering::Relaxed)) {
                    grower.tree(*root);
                    let now = grower.grown.came.len() + grower.grown.went.len();
                    if noted.fetch_add(now - told, Ordering::Relaxed) > MAX_EDGES {
                        break;
                    }
                    told = now;
                }
                grower.grown
            };
            let all = std::thread::scope(|scope| {
                let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
                handles.into_iter().map(|handle| handle.join().ok()).collect::<Option<Vec<Grown>>>()
            })?;
            for one in all {
                grown.known.extend(one.known);
                grown.came.extend(one.came);
                grown.went.extend(one.went);
            }
            if grown.came.len() + grown.went.len() > MAX_EDGES {
                return None;
            }
        }
        let Shared { indexes, numbers, .. } = shared;
        let numbers = numbers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut names = vec![Vec::new(); numbers.names.len()];
        for (name, number) in numbers.names {
            if let Some(slot) = names.get_mut(wide(number)) {
                *slot = name;
            }
        }
        let count = wide(total);
        let mut ways = Self {
            indexes,
            total,
            stray_oids: numbers.stray_oids,
            places: vec![NONE; count],
            bases: Vec::with_capacity(count),
            came: Edges::new(grown.came, count),
            went: Edges::new(grown.went, count),
            names,
        };
        for ((first, index), (_, forest)) in ways.indexes.iter().zip(forests) {
            let positions = 0..u32::try_from(index.len()).unwrap_or(u32::MAX);
            ways.bases.extend(positions.map(|number| forest.base(number).map_or(NONE, |base| first + base)));
        }
        for place in grown.known {
            let number = ways.number_of(place).map(wide);
            if let Some(slot) = number.and_then(|number| ways.places.get_mut(number)) {
                *slot = place;
            }
        }
        Some(ways)
    }

    /// The place of a tree; `None` when it must be read.
    pub(super) fn place(&self, tree: Oid) -> Option<u32> {
        self.place_of(packed(&self.indexes, tree)?)
    }

    /// The same for the tree with this number.
    pub(super) fn place_of(&self, number: u32) -> Option<u32> {
        self.places.get(wide(number)).copied().filter(|place| *place != NONE)
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.bases.len()
    }

    /// What the tree at a place is made from.
    pub(super) fn base(&self, place: u32) -> Option<u32> {
        self.bases.get(wide(place)).copied().filter(|base| *base != NONE)
    }

    /// Entries of note that a tree has and its base has not.
    pub(super) fn came(&self, place: u32) -> &[Edge] {
        self.came.of(place)
    }

    /// Entries of note that a tree's base has and it has not.
    pub(super) fn went(&self, place: u32) -> &[Edge] {
        self.went.of(place)
    }

    /// The name of the object with this number.
    pub(super) fn oid(&self, number: u32) -> Option<Oid> {
        if let Some(stray) = number.checked_sub(self.total) {
            return self.stray_oids.get(wide(stray)).copied();
        }
        let (first, index) = self.indexes.iter().rev().find(|(first, _)| *first <= number)?;
        index.name_at(number - first)
    }

    /// The number of what lies at a place.
    fn number_of(&self, place: u32) -> Option<u32> {
        let pack = self.indexes.partition_point(|(first, _)| *first <= place).checked_sub(1)?;
        let (first, index) = self.indexes.get(pack)?;
        Some(first + index.row(place.checked_sub(*first)?)?)
    }
}

/// Entries by the place of their tree.
struct Edges {
    all: Vec<Edge>,
    /// Where the edges of each place begin.
    first: Vec<u32>,
}

impl Edges {
    fn new(mut all: Vec<Edge>, places: usize) -> Self {
        all.sort_by_key(|edge| edge.tree);
        all.shrink_to_fit();
        let mut first = vec![0_u32; places.saturating_add(1)];
        for edge in &all {
            if let Some(count) = first.get_mut(wide(edge.tree).saturating_add(1)) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for slot in &mut first {
            sum += *slot;
            *slot = sum;
        }
        Self { all, first }
    }

    fn of(&self, place: u32) -> &[Edge] {
        let bound = |at: usize| self.first.get(at).map_or(0, |at| wide(*at));
        self.all.get(bound(wide(place))..bound(wide(place).saturating_add(1))).unwrap_or_default()
    }
}
