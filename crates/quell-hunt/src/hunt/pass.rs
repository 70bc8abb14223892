//! One pass over the logs, with all workers.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Progress;
use crate::ahead::Ahead;
use crate::memory::{self, Key, Recall};
use crate::needle::Needles;
use crate::object::Object;
use crate::search::{self, Seen, Task};
use crate::unpack::Unpacker;

/// What all workers of a pass share.
pub(super) struct Context<'a> {
    pub(super) threads: NonZero<usize>,
    pub(super) pass: usize,
    pub(super) recall: Option<&'a Recall<'a>>,
    /// The leaked credential, whose values are not kept.
    pub(super) secret: &'a Needles,
    pub(super) tell: &'a (dyn Fn(Progress) + Sync),
    pub(super) stop: &'a AtomicBool,
}

/// Searches all objects with all workers; results in the order of the objects, `None` for those not reached when stopped.
pub(super) fn pass(objects: &[&Object], task: &Task<'_>, context: &Context<'_>) -> Vec<Option<Box<Seen>>> {
    let Context { threads, pass, recall, tell, stop, .. } = *context;
    let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let (of, of_bytes) = (objects.len() as u64, objects.iter().map(|object| object.size).sum());
    let add = |seen: &Seen| {
        let bytes = bytes.fetch_add(seen.stored, Ordering::Relaxed) + seen.stored;
        let objects = done.fetch_add(1, Ordering::Relaxed) + 1;
        tell(Progress { pass, objects, of, bytes, of_bytes });
    };
    let mut all: Vec<Option<Box<Seen>>> = Vec::with_capacity(objects.len());
    let mut keys: Vec<Option<Key>> = Vec::new();
    for object in objects {
        let key = recall.and_then(|recall| recall.key(object, task));
        let known = recall.zip(key).and_then(|(recall, key)| recall.recall(&key, object));
        if let Some(seen) = &known {
            let edges = i64::try_from(seen.edges.len()).unwrap_or(i64::MAX);
            task.edges.fetch_sub(edges, Ordering::Relaxed);
            add(seen);
        } else {
            keys.push(key);
        }
        all.push(known.map(Box::new));
    }
    let unknown = objects.iter().zip(&all).filter(|(_, known)| known.is_none());
    let unknown: Vec<&Object> = unknown.map(|(object, _)| *object).collect();
    let ahead = Ahead::new(&unknown);
    let fresh: Mutex<Vec<(usize, Box<Seen>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                let mut unpacker = Unpacker::default();
                let mut mine = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let Some(next) = ahead.next() else { break };
                    let (at, object) = (next.at, next.object);
                    let mut seen = search::object(next, task, &mut unpacker);
                    memory::clean(&mut seen, context.secret);
                    // A file that somebody wrote to meanwhile has another key now, and is read again the next time.
                    if let (Some(recall), Some(Some(key))) = (recall, keys.get(at))
                        && recall.key(object, task).as_ref() == Some(key)
                    {
                        recall.keep(key, &mut seen);
                    }
                    add(&seen);
                    mine.push((at, Box::new(seen)));
                }
                if let Ok(mut fresh) = fresh.lock() {
                    fresh.append(&mut mine);
                }
            });
        }
    });
    let mut fresh = fresh.into_inner().unwrap_or_default();
    fresh.sort_unstable_by_key(|(at, _)| *at);
    let mut fresh = fresh.into_iter().peekable();
    let slots = all.iter_mut().filter(|slot| slot.is_none()).enumerate();
    for (at, slot) in slots {
        *slot = fresh.next_if(|(place, _)| *place == at).map(|(_, seen)| seen);
    }
    all
}
