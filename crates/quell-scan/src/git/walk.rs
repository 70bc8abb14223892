//! Commits that some tips reach and others do not, without a look at the rest of the history.

use std::collections::{BTreeMap, BinaryHeap};

use super::database::Database;
use super::object::Commit;
use super::{Kind, Oid};

/// When only hidden commits are left to visit, this many more are: a clock that was wrong may have brought them late.
const SLOP: usize = 256;

/// What a walk yields.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) commits: Vec<Commit>,
    /// Commits that could not be read, and why.
    pub(super) unread: Vec<(Oid, String)>,
}

#[derive(Debug, Default)]
struct State {
    hidden: bool,
    /// Known once it was visited.
    parents: Option<Vec<Oid>>,
}

/// Visits commits from the newest to the oldest by the committer's clock.
struct Walk<'a> {
    database: &'a mut Database,
    states: BTreeMap<Oid, State>,
    queue: BinaryHeap<(i64, Oid)>,
    /// Commits in the queue that are not hidden.
    open: usize,
    waiting: BTreeMap<Oid, Commit>,
    walked: Walked,
}

/// Commits that `shown` reach and `hidden` do not. Everything visited is checked against `hidden` once more at the end, and
/// where a doubt is left a commit is shown: too much is searched then, never too little.
pub(super) fn commits(database: &mut Database, shown: &[Oid], hidden: &[Oid]) -> Walked {
    let mut walk = Walk {
        database,
        states: BTreeMap::new(),
        queue: BinaryHeap::new(),
        open: 0,
        waiting: BTreeMap::new(),
        walked: Walked::default(),
    };
    for oid in hidden {
        walk.push(*oid, true);
    }
    for oid in shown {
        walk.push(*oid, false);
    }
    walk.run();
    let Walk { states, mut walked, .. } = walk;
    let is_hidden = |oid: &Oid| states.get(oid).is_some_and(|state| state.hidden);
    walked.commits.retain(|commit| !is_hidden(&commit.oid));
    walked.unread.retain(|(oid, _)| !is_hidden(oid));
    walked
}

impl Walk<'_> {
    fn run(&mut self) {
        let mut slop = SLOP;
        while let Some((_, oid)) = self.queue.pop() {
            let Some(commit) = self.waiting.remove(&oid) else { continue };
            let hidden = self.states.get(&oid).is_some_and(|state| state.hidden);
            if !hidden {
                self.open = self.open.saturating_sub(1);
            } else if self.open == 0 {
                if self.walked.commits.is_empty() || slop == 0 {
                    return;
                }
                slop -= 1;
            }
            if let Some(state) = self.states.get_mut(&oid) {
                state.parents = Some(commit.parents.clone());
            }
            for parent in &commit.parents {
                self.push(*parent, hidden);
            }
            if !hidden {
                self.walked.commits.push(commit);
            }
        }
    }

    fn push(&mut self, oid: Oid, hidden: bool) {
        if let Some(state) = self.states.get(&oid) {
            if hidden && !state.hidden {
                self.hide(oid);
            }
            return;
        }
        self.states.insert(oid, State { hidden, parents: None });
        let why = match self.database.read(oid) {
            Ok(Some(object)) if object.kind == Kind::Commit => match Commit::parse(oid, &object.data) {
                Some(commit) => {
                    self.open = self.open.saturating_add(usize::from(!hidden));
                    self.queue.push((commit.committed_at, oid));
                    self.waiting.insert(oid, commit);
                    return;
                }
                None => "the commit names no tree".to_owned(),
            },
            Ok(Some(_other)) => "it is used as a commit and is none".to_owned(),
            Ok(None) => "the commit is not here".to_owned(),
            Err(trouble) => trouble.to_string(),
        };
        self.walked.unread.push((oid, why));
    }

    /// Hides a commit that was met before, and what was visited below it.
    fn hide(&mut self, oid: Oid) {
        let mut stack = vec![oid];
        while let Some(oid) = stack.pop() {
            let Some(state) = self.states.get_mut(&oid).filter(|state| !state.hidden) else { continue };
            state.hidden = true;
            match &state.parents {
                Some(parents) => stack.extend(parents),
                None if self.waiting.contains_key(&oid) => self.open = self.open.saturating_sub(1),
                None => {}
            }
        }
    }
}
