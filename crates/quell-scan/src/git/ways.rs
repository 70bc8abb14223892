//! The way from trees to the blobs of interest, found in one pass over the packs instead of one look-up per tree.
//!
//! Trees are stored as deltas of each other, so an entry that stays is stored once. The pass notes where an entry of note
//! came and where it went; what trees between have it follows from the deltas, without a look at them. Then interest
//! spreads from blobs to the trees that hold them, and from those to theirs. All other trees hold nothing and are never
//! read again. Trees that the pass could not make, or that are not in packs, are unknown: they count as of interest, and
//! whoever comes to one reads it by name.

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

/// Entries that come and go, and entries of trees of interest, that are kept at most (twelve and eight bytes each). With
/// more, all trees are read by name.
const MAX_EDGES: usize = 24_000_000;
const MAX_ITEMS: usize = 16_000_000;

/// Steps at most along deltas.
const MAX_STEPS: usize = 200_000_000;

/// No list.
const NONE: u32 = u32::MAX;

/// An entry of a tree. Children have numbers (the pack's first, plus the position among its names; then those that are in
/// no pack), trees have places (the pack's first, plus the position in the pack).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
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

/// What is known about a tree.
pub(super) enum Known {
    /// Nothing of interest is in it, or below it.
    Nothing,
    /// The number of its list.
    List(u32),
}

/// An entry of a tree of interest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// The number of its name in [`Ways::names`].
    pub(super) name: u32,
    pub(super) is_tree: bool,
    /// The number of what it names.
    pub(super) child: u32,
}

/// For each tree in the packs: what of interest is in it.
pub(super) struct Ways {
    indexes: Vec<(u32, Arc<Index>)>,
    total: u32,
    stray_oids: Vec<Oid>,
    /// Whether all entries of the object with this number are known.
    known: Vec<bool>,
    /// The list of each number, or [`NONE`].
    slots: Vec<u32>,
    lists: Vec<Vec<(u32, u32)>>,
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
        let ways = Self {
            indexes,
            total,
            stray_oids: numbers.stray_oids,
            known: vec![false; count],
            slots: vec![NONE; count],
            lists: Vec::new(),
            names,
        };
        ways.spread(grown, forests)
    }

    /// Says what is known about a tree; `None` when it must be read.
    pub(super) fn of(&self, tree: Oid) -> Option<Known> {
        let number = wide(packed(&self.indexes, tree)?);
        if self.known.get(number) != Some(&true) {
            return None;
        }
        Some(match self.slots.get(number) {
            Some(slot) if *slot != NONE => Known::List(*slot),
            _ => Known::Nothing,
        })
    }

    /// The entries of a list, which is then empty: all of them together take much memory, and each is asked for once.
    pub(super) fn take(&mut self, list: u32) -> Vec<Item> {
        let list = self.lists.get_mut(wide(list)).map(std::mem::take).unwrap_or_default();
        let item = |(name, child): (u32, u32)| Item { name: name & !TREE, is_tree: name & TREE != 0, child };
        list.into_iter().map(item).collect()
    }

    pub(super) fn oid(&self, item: Item) -> Option<Oid> {
        if let Some(stray) = item.child.checked_sub(self.total) {
            return self.stray_oids.get(wide(stray)).copied();
        }
        let (first, index) = self.indexes.iter().rev().find(|(first, _)| *first <= item.child)?;
        index.name_at(item.child - first)
    }

    /// From blobs to trees, and on to the trees that hold those.
    fn spread(mut self, grown: Grown, forests: &[(Vec<u8>, Forest)]) -> Option<Self> {
        let Grown { known, mut came, mut went } = grown;
        for place in known {
            if let Some((_, number)) = self.number_of(place)
                && let Some(slot) = self.known.get_mut(wide(number))
            {
                *slot = true;
            }
        }
        came.sort_unstable();
        went.sort_unstable_by_key(|edge| (edge.tree, edge.name, edge.child));
        let gone = Gone::new(&went, wide(self.total));
        let mut queued = vec![false; wide(self.total).saturating_add(self.stray_oids.len())];
        let mut queue = Vec::new();
        for edge in &came {
            // Blobs were noted because they are of interest; trees about which nothing is known may hold anything.
            let open = edge.name & TREE == 0 || self.known.get(wide(edge.child)) != Some(&true);
            if open && let Some(queued) = queued.get_mut(wide(edge.child)).filter(|queued| !**queued) {
                *queued = true;
                queue.push(edge.child);
            }
        }
        let (mut steps, mut items) = (0, 0);
        let mut stack = Vec::new();
        while let Some(child) = queue.pop() {
            let first = came.partition_point(|edge| edge.child < child);
            let edges = came.get(first..).unwrap_or_default();
            for edge in edges.iter().take_while(|edge| edge.child == child) {
                stack.push(edge.tree);
                while let Some(place) = stack.pop() {
                    steps += 1;
                    let Some((pack, number)) = self.number_of(place) else { continue };
                    let came_here = place == edge.tree;
                    if self.known.get(wide(number)) != Some(&true)
                        || (!came_here && gone.has(place, edge.name, child))
                    {
                        continue;
                    }
                    // A second copy only passes on what it holds.
                    if self.is_first(pack, number) {
                        items += 1;
                        self.add(number, (edge.name, child));
                        if let Some(queued) = queued.get_mut(wide(number)).filter(|queued| !**queued) {
                            *queued = true;
                            queue.push(number);
                        }
                    }
                    let start = self.indexes.get(pack).map_or(0, |(first, _)| *first);
                    let below = forests.get(pack).map(|(_, forest)| forest.children(place - start));
                    stack.extend(below.unwrap_or_default().iter().map(|child| start + child));
                }
                if steps > MAX_STEPS || items > MAX_ITEMS {
                    return None;
                }
            }
        }
        Some(self)
    }

    fn add(&mut self, number: u32, item: (u32, u32)) {
        let Some(slot) = self.slots.get_mut(wide(number)) else { return };
        if *slot == NONE {
            *slot = u32::try_from(self.lists.len()).unwrap_or(NONE);
            self.lists.push(Vec::new());
        }
        if let Some(list) = self.lists.get_mut(wide(*slot)) {
            list.push(item);
        }
    }

    /// The pack of a place, and the number of what lies there.
    fn number_of(&self, place: u32) -> Option<(usize, u32)> {
        let pack = self.indexes.partition_point(|(first, _)| *first <= place).checked_sub(1)?;
        let (first, index) = self.indexes.get(pack)?;
        Some((pack, first + index.row(place.checked_sub(*first)?)?))
    }

    fn is_first(&self, pack: usize, number: u32) -> bool {
        let Some((first, index)) = self.indexes.get(pack).filter(|_| pack > 0) else { return true };
        let Some(oid) = index.name_at(number - first) else { return false };
        packed(&self.indexes, oid) == Some(number)
    }
}

/// Entries that went, by the place of the tree.
struct Gone<'a> {
    edges: &'a [Edge],
    /// Where the edges of each place begin.
    first: Vec<u32>,
}

impl<'a> Gone<'a> {
    fn new(edges: &'a [Edge], places: usize) -> Self {
        let mut first = vec![0_u32; places.saturating_add(1)];
        for edge in edges {
            if let Some(count) = first.get_mut(wide(edge.tree).saturating_add(1)) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for slot in &mut first {
            sum += *slot;
            *slot = sum;
        }
        Self { edges, first }
    }

    fn has(&self, place: u32, name: u32, child: u32) -> bool {
        let bound = |at: usize| self.first.get(at).map_or(0, |at| wide(*at));
        let edges = self.edges.get(bound(wide(place))..bound(wide(place).saturating_add(1)));
        edges.unwrap_or_default().binary_search_by_key(&(name, child), |edge| (edge.name, edge.child)).is_ok()
    }
}
