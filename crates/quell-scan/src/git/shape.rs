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
use super::ways::{self, Known, Ways};
use super::{ObjectFormat, Oid};
use crate::Report;
use crate::git::cache::Object;

/// The number of a shape. [`NOTHING`] is the shape of trees without a blob of interest.
pub(super) type Shape = u32;

pub(super) const NOTHING: Shape = 0;

const UNKNOWN: Shape = Shape::MAX;

/// Something of interest in a tree.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Item {
    /// By its number in [`Interest`].
    Blob(u32),
    Tree(Shape),
}

/// Numbers of names, and what those hold, sorted by number.
type Node = Box<[(u32, Item)]>;

/// Items kept at most over all shapes.
const MAX_ITEMS: usize = 3_000_000;

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
    /// What a pass over the packs has found, and the shapes of its lists.
    ways: Option<Ways>,
    of_list: BTreeMap<u32, Shape>,
    /// By the number of an object in the pass, as lists name them: the shape of a tree, or the number of a blob.
    /// [`UNKNOWN`] for most.
    of_number: Vec<u32>,
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
            of_list: BTreeMap::new(),
            of_number: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Goes over the packs once, so that few trees must be read by name.
    pub(super) fn survey(&mut self, forests: &[(Vec<u8>, Forest)], threads: usize) {
        self.ways = Ways::find(self.database, forests, &self.interest, threads);
        self.names = self.ways.as_mut().map(|ways| std::mem::take(&mut ways.names)).unwrap_or_default();
        self.numbers = self.names.iter().cloned().zip(0..).collect();
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

    fn node(&self, shape: Shape) -> &[(u32, Item)] {
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
        match self.ways.as_ref().and_then(|ways| ways.of(tree)) {
            Some(Known::Nothing) => return NOTHING,
            Some(Known::List(list)) => return self.listed(tree, list, depth),
            None => {}
        }
        // A forged tree that holds itself ends here.
        self.of_tree.insert(tree, NOTHING);
        if depth > MAX_DEPTH {
            self.report.skip(tree.to_string(), "the tree is nested too deep");
            return NOTHING;
        }
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
        let node =
            self.compare(tree, &object, like.as_ref().map(|(object, shape)| (object, *shape)), format, depth);
        let shape = self.intern(node);
        self.of_tree.insert(tree, shape);
        shape
    }

    /// The shape of a tree that the pass over the packs has met.
    fn listed(&mut self, tree: Oid, list: u32, depth: usize) -> Shape {
        if let Some(shape) = self.of_list.get(&list) {
            return *shape;
        }
        self.of_list.insert(list, NOTHING);
        if depth > MAX_DEPTH {
            self.report.skip(tree.to_string(), "the tree is nested too deep");
            return NOTHING;
        }
        let items: Vec<_> = self.ways.as_mut().map(|ways| ways.take(list)).unwrap_or_default();
        let mut node = Vec::with_capacity(items.len());
        for item in items {
            if item.is_tree {
                let shape = self.numbered(item, depth);
                node.extend((shape != NOTHING).then_some((item.name, Item::Tree(shape))));
                continue;
            }
            let blob = self.blob(item);
            node.extend(blob.map(|blob| (item.name, Item::Blob(blob))));
        }
        node.sort_unstable();
        node.dedup();
        let shape = self.intern(node);
        self.of_list.insert(list, shape);
        shape
    }

    /// The shape of a tree that a list names. A large folder has many entries that its other versions have, too.
    fn numbered(&mut self, item: ways::Item, depth: usize) -> Shape {
        if let Some(shape) = self.of_number.get(wide(item.child)).filter(|shape| **shape != UNKNOWN) {
            return *shape;
        }
        let Some(oid) = self.ways.as_ref().and_then(|ways| ways.oid(item)) else { return NOTHING };
        let shape = self.below(oid, None, depth.saturating_add(1));
        self.remember(item, shape);
        shape
    }

    /// The number of a blob that a list names; `None` for one that is not here.
    fn blob(&mut self, item: ways::Item) -> Option<u32> {
        if let Some(number) = self.of_number.get(wide(item.child)).filter(|number| **number != UNKNOWN) {
            return Some(*number);
        }
        let oid = self.ways.as_ref().and_then(|ways| ways.oid(item))?;
        let Some(number) = self.interest.number(oid) else {
            let name = self.names.get(wide(item.name)).cloned().unwrap_or_default();
            self.lost(oid, &format!("`{}` is not here", String::from_utf8_lossy(&name)));
            return None;
        };
        self.remember(item, number);
        Some(number)
    }

    fn remember(&mut self, item: ways::Item, number: u32) {
        let at = wide(item.child);
        if at >= self.of_number.len() {
            self.of_number.resize(at.saturating_add(1), UNKNOWN);
        }
        if let Some(slot) = self.of_number.get_mut(at) {
            *slot = number;
        }
    }

    fn compare(
        &mut self,
        tree: Oid,
        object: &Object,
        like: Option<(&Object, Shape)>,
        format: ObjectFormat,
        depth: usize,
    ) -> Vec<(u32, Item)> {
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
            if let Some(item) = item {
                node.push((self.number(entry.name), item));
            }
        }
        node.sort();
        node
    }

    /// An entry that the other tree does not have.
    fn fresh(&mut self, entry: &Entry<'_>, like: Option<Oid>, depth: usize) -> Option<Item> {
        match entry.mode {
            Mode::Submodule => None,
            Mode::Tree => {
                let shape = self.below(entry.oid, like, depth.saturating_add(1));
                (shape != NOTHING).then_some(Item::Tree(shape))
            }
            Mode::Blob => {
                let blob = self.interest.number(entry.oid);
                if blob.is_none() && !self.database.has(entry.oid) {
                    self.lost(entry.oid, &format!("`{}` is not here", String::from_utf8_lossy(entry.name)));
                }
                blob.map(Item::Blob)
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
        let at = node.binary_search_by_key(&name, |(other, _)| *other).ok()?;
        node.get(at).map(|(_, item)| *item)
    }

    fn intern(&mut self, node: Vec<(u32, Item)>) -> Shape {
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
        for (name, item) in self.node(shape) {
            while let Some((_, after)) = rest.split_first().filter(|((other, _), _)| other < name) {
                rest = after;
            }
            let same = rest.first().filter(|(other, _)| other == name).map(|(_, item)| *item);
            if same == Some(*item) || more.iter().any(|other| self.item(*other, *name) == Some(*item)) {
                continue;
            }
            let Some(path) = paths.below(at, *name) else { return false };
            let go_on = match item {
                Item::Blob(blob) => visit(paths, path, *blob),
                Item::Tree(below) => {
                    let tree = |item: Option<Item>| match item {
                        Some(Item::Tree(shape)) => Some(shape),
                        // A file of this name is no tree to compare with.
                        Some(Item::Blob(_)) | None => None,
                    };
                    let depth = depth.saturating_add(1);
                    if more.is_empty() {
                        self.difference(*below, tree(same).as_slice(), paths, path, depth, visit)
                    } else {
                        let more = more.iter().map(|other| self.item(*other, *name));
                        let before: Vec<Shape> = std::iter::once(same).chain(more).filter_map(tree).collect();
                        self.difference(*below, &before, paths, path, depth, visit)
                    }
                }
            };
            if !go_on {
                return false;
            }
        }
        true
    }
}
