//! Finds secrets in bytes, files and git history, offline.
//!
//! Bytes go in, redacted findings come out. A raw value never leaves this crate except through
//! [`Scanner::recover`], as a [`quell_core::secret::SecretValue`]; findings hold a fingerprint and a preview that says nothing.
//!
//! Map: [`rule`] (what a secret looks like), [`engine`] (bytes in, matches out, in full or from what was found
//! in an older version), `detail` (what a secret says about itself without being one), `decode` (encoded text), `stream` (inputs of any
//! length through the engine in bounded memory), `unpack` (what is inside archives and documents), `git` (an object database
//! read without the git program), `tree` (files), [`known`] (values of the inventory), [`Redactor`] (a filter for logs),
//! [`Scanner`] (the entry), [`Report`] (what came out).
//!
//! What is absent: network, clock, environment, the git program, and any write.

mod collect;
mod decode;
mod detail;
pub mod engine;
mod error;
mod finding;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod git;
mod hit;
pub mod known;
mod options;
mod redact;
pub mod rule;
mod scanner;
mod stream;
mod tree;
mod unpack;

pub use detail::certificate_validity;
pub use error::{RuleError, ScanError};
pub use finding::{
    Confidence, Encoding, Finding, Incomplete, Joined, Place, Progress, Report, Sources, Suppressed,
    Visibility,
};
pub use hit::Recovered;
pub use options::{Known, Range, Received, Selection, Staged, Update};
pub use redact::{Redacted, Redactor};
pub use rule::{RuleSet, checksum62};
pub use scanner::{Scanner, recover};
