//! Trees reduced to what matters: the blobs of interest in them and the way there.
//!
//! Most commits of a history change nothing about a secret, so most trees have one of a few shapes. Equal shapes have equal
//! numbers; whether a commit brings or drops a blob is then a look at a few small nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::database::Database;
use super::diff::{self, MAX_DEPTH, Side};
use super::forest::Forest;
use super::object::{self, Entry, Mode};
use super::places::{Interest, Paths, wide};
use super::ways::{Edge, TREE, Ways};
use super::{ObjectFormat, Oid};
use crate::Report;
use crate::git::cache::Object;

/// The number of a shape. [`NOTHING`] is the shape of trees without a blob of interest.
pub(super) type Shape = u32;

pub(super) const NOTHING: Shape = 0;

/// Not asked yet.
const UNKNOWN: Shape = Shape::MAX;

/// Just being asked: to ask again leads in a circle.
const BUSY: Shape = Shape::MAX - 1;

/// Deltas do not tell: it must be read by name.
const ODD: Shape = Shape::MAX - 2;

/// Something of interest in a tree. The order is that of the names' numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Item {
    /// Twice the number of the name, and one for a tree.
    key: u32,
    /// A tree's shape, or a blob's number in [`Interest`].
    value: u32,
}

impl Item {
    fn tree(name: u32, shape: Shape) -> Self {
        Self { key: name << 1 | 1, value: shape }
    }

    fn blob(name: u32, blob: u32) -> Self {
        Self { key: name << 1, value: blob }
    }

    fn name(self) -> u32 {
        self.key >> 1
    }

    fn shape(self) -> Option<Shape> {
        (self.key & 1 == 1).then_some(self.value)
    }
}

/// What is of interest in a tree, sorted.
type Node = Box<[Item]>;

/// Items kept at most over all shapes (eight bytes each).
const MAX_ITEMS: usize = 24_000_000;

/// Trees within trees up to which deltas are asked. A delta may lead to a tree that is nowhere near, which leads on.
const MAX_CHAINED: usize = 64;

/// All shapes that were seen.
pub(super) struct Shapes<'a> {
    pub(super) database: &'a mut Database,
    pub(super) report: &'a mut Report,
    pub(super) interest: Interest,
    nodes: Vec<Node>,
    /// Shapes by the hash of their nodes.
    known: BTreeMap<u64, Vec<Shape>>,
    items: usize,
    pub(super) names: Vec<Vec<u8>>,
    numbers: BTreeMap<Vec<u8>, u32>,
    /// Trees that were read by name.
    of_tree: BTreeMap<Oid, Shape>,
    /// What a pass over the packs has found, and the shapes of the trees at its places.
    ways: Option<Ways>,
    of_place: Vec<Shape>,
    /// Trees that are just being read by name, one within the other. Deltas are not followed from there: they could lead
    /// back to one of those, of which nothing is known yet.
    reading: usize,
    /// What trees name and the database does not have, each told once.
    pub(super) missing: BTreeSet<Oid>,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(database: &'a mut Database, report: &'a mut Report, interest: BTreeSet<Oid>) -> Self {
        Self {
            database,
            report,
            interest: Interest::new(interest),
            nodes: vec![Node::default()],
            known: BTreeMap::new(),
            items: 0,
            names: Vec::new(),
            numbers: BTreeMap::new(),
            of_tree: BTreeMap::new(),
            ways: None,
            of_place: Vec::new(),
            reading: 0,
            missing: BTreeSet::new(),
        }
    }

    /// Goes over the packs once, so that few trees must be read by name.
    pub(super) fn survey(&mut self, forests: &[(Vec<u8>, Forest)], threads: usize) {
        self.ways = Ways::find(self.database, forests, &self.interest, threads);
        self.names = self.ways.as_mut().map(|ways| std::mem::take(&mut ways.names)).unwrap_or_default();
        self.numbers = self.names.iter().cloned().zip(0..).collect();
        self.of_place = vec![UNKNOWN; self.ways.as_ref().map_or(0, Ways::len)];
    }

    fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_vec());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    fn node(&self, shape: Shape) -> &[Item] {
        self.nodes.get(wide(shape)).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The shape of a tree. With a tree that is `like` it and was shaped before, only the differences are looked at.
    pub(super) fn of(&mut self, tree: Oid, like: Option<Oid>) -> Shape {
        self.below(tree, like, 0)
    }

    fn below(&mut self, tree: Oid, like: Option<Oid>, depth: usize) -> Shape {
        if let Some(shape) = self.of_tree.get(&tree) {
            return *shape;
        }
        let place = self.ways.as_ref().and_then(|ways| ways.place(tree));
        if let Some(shape) = place.and_then(|place| self.placed(place, depth)) {
            return shape;
        }
        if depth > MAX_DEPTH {
            self.report.skip(tree.to_string(), "the tree is nested too deep");
            return NOTHING;
        }
        // A forged tree that holds itself ends here.
        self.of_tree.insert(tree, NOTHING);
        let object = match diff::read(self.database, tree) {
            Ok(object) => object,
            Err(why) => {
                self.lost(tree, &format!("{why}: commits that use it are not attributed"));
                return NOTHING;
            }
        };
        let format = self.database.format;
        let like = like.filter(|like| *like != tree).and_then(|like| {
            let shape = *self.of_tree.get(&like)?;
            Some((diff::read(self.database, like).ok()?, shape))
        });
        self.reading += 1;
        let like = like.as_ref().map(|(object, shape)| (object, *shape));
        let node = self.compare(tree, &object, like, format, depth);
        self.reading -= 1;
        let shape = self.intern(node);
        self.of_tree.insert(tree, shape);
        shape
    }

    /// The shape of a tree that the pass over the packs has met, from that of its base. `None` when it must be read.
    fn placed(&mut self, place: u32, depth: usize) -> Option<Shape> {
        match self.state(place) {
            BUSY | ODD => return None,
            UNKNOWN => {}
            shape => return Some(shape),
        }
        if depth > MAX_CHAINED || self.reading > 0 {
            return None;
        }
        let mut chain = vec![place];
        let mut shape = NOTHING;
        let mut last = place;
        while let Some(base) = self.ways.as_ref().and_then(|ways| ways.base(last)) {
            match self.state(base) {
                // A tree may be stored as a delta of one that holds it.
                BUSY | ODD => {
                    for place in chain {
                        self.settle(place, ODD);
                    }
                    return None;
                }
                UNKNOWN => chain.push(base),
                known => {
                    shape = known;
                    break;
                }
            }
            last = base;
        }
        for place in &chain {
            self.settle(*place, BUSY);
        }
        while let Some(place) = chain.pop() {
            let Some(edited) = self.edited(shape, place, depth) else {
                // Nothing that is made from it can be told, either.
                self.settle(place, ODD);
                for place in chain {
                    self.settle(place, ODD);
                }
                return None;
            };
            shape = edited;
            self.settle(place, shape);
        }
        Some(shape)
    }

    fn state(&self, place: u32) -> Shape {
        self.of_place.get(wide(place)).copied().unwrap_or(ODD)
    }

    fn settle(&mut self, place: u32, shape: Shape) {
        if let Some(slot) = self.of_place.get_mut(wide(place)) {
            *slot = shape;
        }
    }

    /// A shape with what went and came. `None` when a name would be there twice: such a tree is forged.
    fn edited(&mut self, base: Shape, place: u32, depth: usize) -> Option<Shape> {
        let ways = self.ways.as_ref()?;
        let key = |edge: &Edge| (edge.name & !TREE) << 1 | u32::from(edge.name & TREE != 0);
        let mut went: Vec<u32> = ways.went(place).iter().map(key).collect();
        let edges = ways.came(place).to_vec();
        went.sort_unstable();
        let mut came = Vec::with_capacity(edges.len());
        for edge in edges {
            let name = edge.name & !TREE;
            if edge.name & TREE != 0 {
                let shape = self.numbered(edge.child, depth);
                came.extend((shape != NOTHING).then_some(Item::tree(name, shape)));
            } else {
                came.extend(self.blob(edge.child, name).map(|blob| Item::blob(name, blob)));
            }
        }
        let node = self.node(base);
        let stays = |item: &&Item| went.binary_search(&item.key).is_err();
        if came.is_empty() && node.iter().all(|item| stays(&item)) {
            return Some(base);
        }
        let mut node: Vec<Item> = node.iter().filter(stays).chain(&came).copied().collect();
        // Two sorted lists, more or less.
        node.sort();
        let twice = node.windows(2).any(|pair| matches!(pair, [one, next] if one.name() == next.name()));
        (!twice).then(|| self.intern(node))
    }

    /// The shape of the tree with this number in the pass.
    fn numbered(&mut self, number: u32, depth: usize) -> Shape {
        let place = self.ways.as_ref().and_then(|ways| ways.place_of(number));
        if let Some(shape) = place.and_then(|place| self.placed(place, depth.saturating_add(1))) {
            return shape;
        }
        let Some(oid) = self.ways.as_ref().and_then(|ways| ways.oid(number)) else { return NOTHING };
        self.below(oid, None, depth.saturating_add(1))
    }

    /// A blob that the pass has noted: it is of interest, or not here.
    fn blob(&mut self, number: u32, name: u32) -> Option<u32> {
        let oid = self.ways.as_ref().and_then(|ways| ways.oid(number))?;
        let blob = self.interest.number(oid);
        if blob.is_none() {
            let name = self.names.get(wide(name)).cloned().unwrap_or_default();
            self.lost(oid, &format!("`{}` is not here", String::from_utf8_lossy(&name)));
        }
        blob
    }

    fn compare(
        &mut self,
        tree: Oid,
        object: &Object,
        like: Option<(&Object, Shape)>,
        format: ObjectFormat,
        depth: usize,
    ) -> Vec<Item> {
        let mut side = like.map(|(object, shape)| (Side::new(object, format), shape));
        let mut node = Vec::new();
        for entry in object::entries(&object.data, format) {
            let Ok(entry) = entry else {
                self.report.skip(tree.to_string(), "the tree is broken: some places are missing");
                break;
            };
            let before = side.as_mut().and_then(|(side, shape)| Some((side.find(&entry)?, *shape)));
            let item = match before {
                Some((other, shape)) if other.oid == entry.oid => {
                    self.numbers.get(entry.name).and_then(|name| self.item(shape, *name))
                }
                _ => self.fresh(&entry, before.map(|(other, _)| other.oid), depth),
            };
            node.extend(item);
        }
        node.sort();
        node.dedup();
        node
    }

    /// An entry that the other tree does not have.
    fn fresh(&mut self, entry: &Entry<'_>, like: Option<Oid>, depth: usize) -> Option<Item> {
        match entry.mode {
            Mode::Submodule => None,
            Mode::Tree => {
                let shape = self.below(entry.oid, like, depth.saturating_add(1));
                (shape != NOTHING).then(|| Item::tree(self.number(entry.name), shape))
            }
            Mode::Blob => {
                let blob = self.interest.number(entry.oid);
                if blob.is_none() && !self.database.has(entry.oid) {
                    self.lost(entry.oid, &format!("`{}` is not here", String::from_utf8_lossy(entry.name)));
                }
                blob.map(|blob| Item::blob(self.number(entry.name), blob))
            }
        }
    }

    fn lost(&mut self, oid: Oid, why: &str) {
        if self.missing.insert(oid) {
            self.report.skip(oid.to_string(), format!("{why}{}", self.database.advice()));
        }
    }

    fn item(&self, shape: Shape, name: u32) -> Option<Item> {
        let node = self.node(shape);
        let at = node.binary_search_by_key(&name, |item| item.name()).ok()?;
        node.get(at).copied()
    }

    fn intern(&mut self, node: Vec<Item>) -> Shape {
        if node.is_empty() {
            return NOTHING;
        }
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        let hash = hasher.finish();
        let same = |shape: &&Shape| self.node(**shape) == node.as_slice();
        if let Some(shape) = self.known.get(&hash).and_then(|shapes| shapes.iter().find(same)) {
            return *shape;
        }
        self.items = self.items.saturating_add(node.len());
        let number = Shape::try_from(self.nodes.len()).ok().filter(|_| self.items <= MAX_ITEMS);
        let Some(shape) = number else {
            self.report.skip("attribution", "secrets come and go too often; some places are missing");
            return NOTHING;
        };
        self.nodes.push(node.into());
        self.known.entry(hash).or_default().push(shape);
        shape
    }

    /// Visits each blob of interest below `at` in `shape` that no shape of `others` has at the same path, with the numbers
    /// of path and blob, until `visit` says stop or there are too many paths.
    pub(super) fn difference(
        &self,
        shape: Shape,
        others: &[Shape],
        paths: &mut Paths,
        at: u32,
        depth: usize,
        visit: &mut dyn FnMut(&Paths, u32, u32) -> bool,
    ) -> bool {
        if shape == NOTHING || others.contains(&shape) || depth > MAX_DEPTH {
            return true;
        }
        let (first, more) = others.split_first().map_or((NOTHING, others), |(first, more)| (*first, more));
        // Both lists are sorted, so one pass over both tells them apart. Most commits have one parent, and what a merge
        // does not have from its first parent is little.
        let mut rest = self.node(first);
        for item in self.node(shape) {
            let name = item.name();
            while let Some((_, after)) = rest.split_first().filter(|(other, _)| other.name() < name) {
                rest = after;
            }
            let same = rest.first().filter(|other| other.name() == name).copied();
            if same == Some(*item) || more.iter().any(|other| self.item(*other, name) == Some(*item)) {
                continue;
            }
            let Some(path) = paths.below(at, name) else {
                if paths.are_exhausted() {
                    return false;
                }
                continue;
            };
            let go_on = if let Some(below) = item.shape() {
                // A file of this name is no tree to compare with.
                let same = same.and_then(Item::shape);
                let depth = depth.saturating_add(1);
                if more.is_empty() {
                    self.difference(below, same.as_slice(), paths, path, depth, visit)
                } else {
                    let more = more.iter().filter_map(|other| self.item(*other, name)?.shape());
                    let before: Vec<Shape> = same.into_iter().chain(more).collect();
                    self.difference(below, &before, paths, path, depth, visit)
                }
            } else {
                visit(paths, path, item.value)
            };
            if !go_on {
                return false;
            }
        }
        true
    }
}
