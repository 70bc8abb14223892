//! Recently rebuilt objects, because the next delta is often on one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Kind;

/// Bytes that the cache may hold.
const LIMIT: usize = 96 << 20;

/// An object in memory.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) data: Arc<[u8]>,
}

/// Pack number and offset.
type Key = (usize, u64);

/// Least recently used out.
#[derive(Debug, Default)]
pub(super) struct Cache {
    objects: BTreeMap<Key, (u64, Object)>,
    by_use: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    pub(super) fn get(&mut self, key: Key) -> Option<Object> {
        self.clock += 1;
        let (used, object) = self.objects.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key);
        Some(object.clone())
    }

    pub(super) fn put(&mut self, key: Key, object: Object) {
        // One object may not push out all others.
        if object.data.len() > LIMIT / 4 || self.objects.contains_key(&key) {
            return;
        }
        self.clock += 1;
        self.bytes += object.data.len();
        self.by_use.insert(self.clock, key);
        self.objects.insert(key, (self.clock, object));
        while self.bytes > LIMIT {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((_, gone)) = self.objects.remove(&oldest) {
                self.bytes -= gone.data.len();
            }
        }
    }
}
