//! Gates: checks that stop the next leak, and the proof that one of them would have stopped this one.
//!
//! Map: `git` (the git program, to look at and set up repositories), [`script`] (the hook), [`install`] (hooks in and out,
//! and how they are), [`run`] (what a hook asks), [`env`] (`.env` files), [`ci`] (snippets for CI), [`prove`] (the proof).
//! Which gate fits which leak is data in [`quell_core::gate`].
//!
//! A gate fails closed: whatever cannot be read, found or understood ends in a refusal.

pub mod ci;
pub mod env;
mod git;
pub mod install;
pub mod prove;
pub mod run;
pub mod script;

use quell_core::gate::Gate;

/// Gates that are git hooks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Hook {
    /// <https://git-scm.com/docs/githooks#_pre_commit>
    PreCommit,
    /// <https://git-scm.com/docs/githooks#_pre_push>
    PrePush,
    /// <https://git-scm.com/docs/githooks#pre-receive>
    PreReceive,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::PreCommit, Self::PrePush, Self::PreReceive];

    /// Its name, which is the name of its file.
    pub fn word(self) -> &'static str {
        self.gate().word()
    }

    /// As a gate.
    pub fn gate(self) -> Gate {
        match self {
            Self::PreCommit => Gate::PreCommit,
            Self::PrePush => Gate::PrePush,
            Self::PreReceive => Gate::PreReceive,
        }
    }

    /// The hook of a gate, if it is one.
    pub fn of(gate: Gate) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.gate() == gate)
    }

    /// How it can be gone round.
    pub fn bypass(self) -> &'static str {
        match self {
            Self::PreCommit => {
                "`git commit --no-verify` skips it, and other clones do not have it; only pre-receive or a required CI check cannot be skipped"
            }
            Self::PrePush => {
                "`git push --no-verify` skips it, and other clones do not have it; only pre-receive or a required CI check cannot be skipped"
            }
            Self::PreReceive => "who pushes cannot skip it; who can write to the server's files can",
        }
    }
}
