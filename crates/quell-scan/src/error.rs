//! What can stop a scan or a rule set. Parts that could not be read are no error: see [`crate::Incomplete`].

use std::fmt;
use std::path::PathBuf;

/// Why a scan could not be done at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The input itself could not be opened or read.
    #[error("reading {} failed", path.display())]
    Read {
        /// What was being read.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The rules do not load.
    #[error(transparent)]
    Rule(#[from] Box<RuleError>),
    /// The repository uses something that this scanner does not read, and guessing would give false answers.
    #[error("the repository {} uses {feature}, which is not supported yet", path.display())]
    Unsupported {
        /// The git directory.
        path: PathBuf,
        /// What it uses.
        feature: String,
    },
    /// The folder looks like a repository but its structure is broken.
    #[error("the repository {} is broken: {detail}", path.display())]
    BrokenRepository {
        /// The git directory.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// There is no repository where one is needed.
    #[error("{} is no git repository; name the folder that has `.git` in it, or one below it", path.display())]
    NoRepository {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A revision or a range of commits names nothing, or more than one thing.
    #[error("`{revision}` {detail}; {hint}")]
    Revision {
        /// As it was given, made printable.
        revision: String,
        /// What is wrong.
        detail: String,
        /// What to do.
        hint: String,
    },
    /// A line of a push is not `old new name`.
    #[error("line {line} of the push is broken: {detail}; give the hook's standard input as git wrote it")]
    Update {
        /// Which line, from 1.
        line: usize,
        /// What is wrong. Never repeats the line.
        detail: String,
    },
    /// The index (what is staged) cannot be read, so nothing can be said about it.
    #[error("the index {} {detail}; {hint}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
        /// What to do.
        hint: String,
    },
}

impl ScanError {
    pub(crate) fn read(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }
}

/// What is wrong with a rule set: file, rule, key, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleError {
    /// The file, or `(built in)/name.toml`.
    pub file: String,
    /// The id of the rule, or its position when it has none.
    pub rule: Option<String>,
    /// The key inside the rule.
    pub key: Option<String>,
    /// What is wrong.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(rule) = &self.rule {
            write!(f, ", rule `{rule}`")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key `{key}`")?;
        }
        write!(f, ": {}", self.detail)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}
