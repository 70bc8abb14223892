//! The deltas of a pack as trees: which object is made from which.

use std::collections::BTreeMap;

use super::pack::{Form, Pack, Window};
use super::places::wide;
use super::{Kind, Oid, Trouble};

/// No base: the object is whole, or its base is not in this pack.
const NONE: u32 = u32::MAX;

/// All objects of one pack, numbered in the order in which they lie there.
#[derive(Debug, Default)]
pub(super) struct Forest {
    base: Vec<u32>,
    /// The children of object `n` are `children[first_child[n]..first_child[n + 1]]`, the one with most to do last.
    first_child: Vec<u32>,
    children: Vec<u32>,
    /// How many objects of the tree below (and with) an object are wanted.
    wanted: Vec<u32>,
    /// Whole objects other than trees, in pack order.
    pub(super) roots: Vec<(u32, Kind)>,
    /// Whole trees (folders), in pack order.
    pub(super) tree_roots: Vec<u32>,
    /// Deltas whose base is not in this pack.
    pub(super) foreign: BTreeMap<u32, Oid>,
    /// What cannot be read: headers that make no sense, and circles.
    pub(super) broken: Vec<(u32, Trouble)>,
    /// Objects that are trees, or made from one. They are not searched.
    pub(super) trees: u32,
}

impl Forest {
    /// Reads the header of every object. `wanted` says which ones are to be searched.
    pub(super) fn build(pack: &Pack, wanted: &dyn Fn(Oid) -> bool) -> Self {
        let count = pack.index.len();
        let mut forest = Self { base: vec![NONE; count], wanted: vec![0; count], ..Self::default() };
        let mut window = Window::default();
        for (number, (oid, offset)) in (0_u32..).zip(pack.index.in_pack_order()) {
            let at = wide(number);
            if wanted(oid) {
                set(&mut forest.wanted, at, 1);
            }
            match pack.entry_near(offset, &mut window).map(|entry| entry.form) {
                Ok(Form::Whole(Kind::Tree)) => forest.tree_roots.push(number),
                Ok(Form::Whole(kind)) => forest.roots.push((number, kind)),
                Ok(Form::Delta { base }) => match pack.index.position(base) {
                    Some(base) => set(&mut forest.base, at, base),
                    None => {
                        forest.broken.push((number, Trouble::Broken("its delta base is outside the pack")))
                    }
                },
                Ok(Form::Foreign { base }) => drop(forest.foreign.insert(number, base)),
                Err(trouble) => forest.broken.push((number, trouble)),
            }
        }
        forest.link();
        forest.order();
        forest
    }

    /// The children of an object, the one with most to do last.
    pub(super) fn children(&self, number: u32) -> &[u32] {
        let at = wide(number);
        let (start, end) = (get(&self.first_child, at), get(&self.first_child, at + 1));
        self.children.get(wide(start)..wide(end)).unwrap_or_default()
    }

    /// How many objects in the tree below an object, and with it, are wanted.
    pub(super) fn wanted(&self, number: u32) -> u32 {
        get(&self.wanted, wide(number))
    }

    /// The object that this one is made from.
    pub(super) fn base(&self, number: u32) -> Option<u32> {
        self.base.get(wide(number)).copied().filter(|base| *base != NONE)
    }

    fn link(&mut self) {
        let mut first = vec![0_u32; self.base.len() + 1];
        for base in self.base.iter().filter(|base| **base != NONE) {
            if let Some(count) = first.get_mut(wide(*base) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for slot in &mut first {
            sum += *slot;
            *slot = sum;
        }
        let mut next = first.clone();
        self.children = vec![0; wide(sum)];
        for (number, base) in (0_u32..).zip(&self.base).filter(|(_, base)| **base != NONE) {
            if let Some(slot) = next.get_mut(wide(*base)) {
                set(&mut self.children, wide(*slot), number);
                *slot += 1;
            }
        }
        self.first_child = first;
    }

    /// Counts what is wanted from the leaves up, and sorts the children by it. What no root leads to is a circle.
    fn order(&mut self) {
        let mut seen = vec![false; self.base.len()];
        let mut order = Vec::with_capacity(self.base.len());
        let visit = |forest: &Self, number: u32, seen: &mut Vec<bool>, order: &mut Vec<u32>| {
            let mut stack = vec![number];
            while let Some(number) = stack.pop() {
                set(seen, wide(number), true);
                order.push(number);
                stack.extend_from_slice(forest.children(number));
            }
        };
        for root in &self.tree_roots {
            visit(self, *root, &mut seen, &mut order);
        }
        self.trees = u32::try_from(order.iter().filter(|at| self.wanted(**at) > 0).count()).unwrap_or(0);
        order.clear();
        let roots = self.roots.iter().map(|(number, _)| *number).chain(self.foreign.keys().copied());
        let broken = self.broken.iter().map(|(number, _)| *number);
        for number in roots.chain(broken).collect::<Vec<_>>() {
            visit(self, number, &mut seen, &mut order);
        }
        for number in (0_u32..).zip(&seen).filter(|(_, seen)| !**seen).map(|(number, _)| number) {
            self.broken.push((number, Trouble::Broken("its delta chain is a cycle")));
        }
        for number in order.iter().rev() {
            if let Some(base) = self.base(*number) {
                let sum = self.wanted(base).saturating_add(self.wanted(*number));
                set(&mut self.wanted, wide(base), sum);
            }
        }
        for number in order {
            let at = wide(number);
            let (start, end) = (get(&self.first_child, at), get(&self.first_child, at + 1));
            let wanted = &self.wanted;
            if let Some(list) = self.children.get_mut(wide(start)..wide(end)).filter(|list| list.len() > 1) {
                list.sort_by_key(|child| get(wanted, wide(*child)));
            }
        }
    }
}

fn get(list: &[u32], at: usize) -> u32 {
    list.get(at).copied().unwrap_or(0)
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}
