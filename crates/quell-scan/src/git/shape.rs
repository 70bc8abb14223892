//! Trees reduced to what matters: the blobs of interest in them and the way there.
//!
//! Most commits of a history change nothing about a secret, so most trees have one of a few shapes. Equal shapes have equal
//! numbers; whether a commit brings or drops a blob is then a look at a few small nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::database::Database;
use super::diff::{self, MAX_DEPTH, Side};
use super::object::{self, Entry, Mode};
use super::{ObjectFormat, Oid};
use crate::Report;
use crate::git::cache::Object;

/// The number of a shape. [`NOTHING`] is the shape of trees without a blob of interest.
pub(super) type Shape = u32;

pub(super) const NOTHING: Shape = 0;

/// Something of interest in a tree.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Item {
    Blob(Oid),
    Tree(Shape),
}

/// Names and what they hold, sorted by name.
type Node = Arc<[(Vec<u8>, Item)]>;

/// Items kept at most over all shapes.
const MAX_ITEMS: usize = 3_000_000;

/// All shapes that were seen.
pub(super) struct Shapes<'a> {
    pub(super) database: &'a mut Database,
    pub(super) report: &'a mut Report,
    interest: BTreeSet<Oid>,
    nodes: Vec<Node>,
    known: BTreeMap<Node, Shape>,
    items: usize,
    of_tree: BTreeMap<Oid, Shape>,
    /// What trees name and the database does not have, each told once.
    pub(super) missing: BTreeSet<Oid>,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(database: &'a mut Database, report: &'a mut Report, interest: BTreeSet<Oid>) -> Self {
        let empty: Node = Arc::from(Vec::new());
        let known = BTreeMap::from([(Arc::clone(&empty), NOTHING)]);
        Self {
            database,
            report,
            interest,
            nodes: vec![empty],
            known,
            items: 0,
            of_tree: BTreeMap::new(),
            missing: BTreeSet::new(),
        }
    }

    fn node(&self, shape: Shape) -> &[(Vec<u8>, Item)] {
        usize::try_from(shape).ok().and_then(|at| self.nodes.get(at)).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The shape of a tree. With a tree that is `like` it and was shaped before, only the differences are looked at.
    pub(super) fn of(&mut self, tree: Oid, like: Option<Oid>) -> Shape {
        self.below(tree, like, 0)
    }

    fn below(&mut self, tree: Oid, like: Option<Oid>, depth: usize) -> Shape {
        if let Some(shape) = self.of_tree.get(&tree) {
            return *shape;
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

    fn compare(
        &mut self,
        tree: Oid,
        object: &Object,
        like: Option<(&Object, Shape)>,
        format: ObjectFormat,
        depth: usize,
    ) -> Vec<(Vec<u8>, Item)> {
        let mut side = like.map(|(object, shape)| (Side::new(object, format), shape));
        let mut node = Vec::new();
        for entry in object::entries(&object.data, format) {
            let Ok(entry) = entry else {
                self.report.skip(tree.to_string(), "the tree is broken: some places are missing");
                break;
            };
            let before = side.as_mut().and_then(|(side, shape)| Some((side.find(&entry)?, *shape)));
            let item = match before {
                Some((other, shape)) if other.oid == entry.oid => self.item(shape, entry.name),
                _ => self.fresh(&entry, before.map(|(other, _)| other.oid), depth),
            };
            node.extend(item.map(|item| (entry.name.to_vec(), item)));
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
            Mode::Blob if self.interest.contains(&entry.oid) => Some(Item::Blob(entry.oid)),
            Mode::Blob => {
                if !self.database.has(entry.oid) {
                    self.lost(entry.oid, &format!("`{}` is not here", String::from_utf8_lossy(entry.name)));
                }
                None
            }
        }
    }

    fn lost(&mut self, oid: Oid, why: &str) {
        if self.missing.insert(oid) {
            self.report.skip(oid.to_string(), format!("{why}{}", self.database.advice()));
        }
    }

    fn item(&self, shape: Shape, name: &[u8]) -> Option<Item> {
        let node = self.node(shape);
        let at = node.binary_search_by(|(other, _)| other.as_slice().cmp(name)).ok()?;
        node.get(at).map(|(_, item)| *item)
    }

    fn intern(&mut self, node: Vec<(Vec<u8>, Item)>) -> Shape {
        if let Some(shape) = self.known.get(node.as_slice()) {
            return *shape;
        }
        self.items = self.items.saturating_add(node.len());
        let number = Shape::try_from(self.nodes.len()).ok().filter(|_| self.items <= MAX_ITEMS);
        let Some(shape) = number else {
            self.report.skip("attribution", "secrets come and go too often; some places are missing");
            return NOTHING;
        };
        let node: Node = node.into();
        self.nodes.push(Arc::clone(&node));
        self.known.insert(node, shape);
        shape
    }

    /// Visits each blob of interest in `shape` that no shape of `others` has at the same path, until `visit` says stop.
    pub(super) fn difference(
        &self,
        shape: Shape,
        others: &[Shape],
        path: &mut Vec<u8>,
        depth: usize,
        visit: &mut dyn FnMut(&[u8], Oid) -> bool,
    ) -> bool {
        if shape == NOTHING || others.contains(&shape) || depth > MAX_DEPTH {
            return true;
        }
        for (name, item) in self.node(shape) {
            let before: Vec<Item> = others.iter().filter_map(|other| self.item(*other, name)).collect();
            if before.contains(item) {
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let go_on = match item {
                Item::Blob(blob) => visit(path, *blob),
                Item::Tree(below) => {
                    let trees = |item: &Item| match item {
                        Item::Tree(shape) => Some(*shape),
                        // A file of this name is no tree to compare with.
                        Item::Blob(_) => None,
                    };
                    let before: Vec<Shape> = before.iter().filter_map(trees).collect();
                    self.difference(*below, &before, path, depth.saturating_add(1), visit)
                }
            };
            path.truncate(length);
            if !go_on {
                return false;
            }
        }
        true
    }
}
