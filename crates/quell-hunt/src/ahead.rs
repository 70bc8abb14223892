//! Objects of stores, fetched while the ones before them are searched: most are small, and each takes a store some dozens of
//! milliseconds to find.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::object::Object;
use crate::source::{Fetch, WHOLE};

/// Objects that are fetched at the same time, and bytes of them that are held.
const AT_ONCE: usize = 32;
const HELD: u64 = 16 << 20;

/// A list of objects that workers take one by one, in order.
pub(crate) struct Ahead<'a> {
    objects: &'a [&'a Object],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many were taken.
    taken: usize,
    /// Those after them that are on their way; files are opened when it is their turn.
    begun: VecDeque<Option<Fetch>>,
    held: u64,
}

/// An object, its place in the list, and its bytes if they are fetched already.
pub(crate) struct Next<'a> {
    pub(crate) at: usize,
    pub(crate) object: &'a Object,
    pub(crate) fetch: Option<Fetch>,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(objects: &'a [&'a Object]) -> Self {
        Self { objects, state: Mutex::default() }
    }

    /// The next one; `None` after the last.
    pub(crate) fn next(&self) -> Option<Next<'a>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.begun.len() < AT_ONCE && (state.held < HELD || state.begun.is_empty()) {
            let Some(object) = self.objects.get(state.taken + state.begun.len()) else { break };
            state.held += object.size.min(WHOLE);
            state.begun.push_back(object.fetch());
        }
        let fetch = state.begun.pop_front()?;
        let at = state.taken;
        let object = self.objects.get(at)?;
        state.taken += 1;
        state.held -= object.size.min(WHOLE);
        Some(Next { at, object, fetch })
    }
}
