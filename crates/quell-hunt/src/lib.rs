//! Was it used, by whom, for what? Every use of a credential in audit logs, with what was not read.
//!
//! A hunt looks for [`needle`]s in the raw bytes of log objects, which costs little more than to unpack them, and parses only
//! the records that have one. It follows what the credential made (sessions, keys, tokens) until nothing new turns up. Every
//! object ends in exactly one [`object::Fate`]; the [`verdict`] quotes the counts and each condition that is not met.

mod ahead;
pub mod chain;
mod clock;
pub mod cross;
pub mod detect;
mod digest;
pub mod engine;
mod finder;
pub mod format;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gap;
mod hash;
pub mod hint;
pub mod hunt;
pub mod layout;
pub mod mapping;
pub mod memory;
pub mod merge;
pub mod needle;
pub mod object;
pub mod prefix;
pub mod record;
pub mod registration;
pub mod report;
mod seam;
mod search;
pub mod shard;
pub mod signature;
pub mod source;
mod unpack;
pub mod verdict;
