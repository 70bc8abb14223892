//! The engine: literals wake rules, and a woken rule's regex looks at a bounded piece of text around them.

use std::sync::{Mutex, PoisonError};

use super::plan::Plan;
use super::worker::Worker;
use super::{Engine, Match};
use crate::RuleSet;

/// Rules, ready to be searched for by any number of threads.
///
/// Each place where a literal stands is judged by itself, from a bounded piece of text around it. A match therefore does
/// not depend on what lies further away, nor on what other rules find.
#[derive(Debug)]
pub struct KeywordEngine<'a> {
    rules: &'a RuleSet,
    /// Scratch memory of threads that are not searching just now.
    idle: Mutex<Vec<Worker>>,
}

impl<'a> KeywordEngine<'a> {
    /// An engine over these rules.
    pub fn new(rules: &'a RuleSet) -> Self {
        Self { rules, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn rules(&self) -> &'a RuleSet {
        self.rules
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.rules.plan()
    }

    pub(super) fn with_worker<T>(&self, work: impl FnOnce(&mut Worker) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = idle().pop().unwrap_or_default();
        let result = work(&mut worker);
        idle().push(worker);
        result
    }
}

impl Engine for KeywordEngine<'_> {
    fn scan(&self, bytes: &[u8], sink: &mut dyn FnMut(Match)) {
        let searched = self.full(bytes);
        self.matches(bytes, &searched).into_iter().for_each(sink);
    }
}
