//! Rules of the project that no compiler and no linter knows. Each finding names a place and says why.

mod connector;
mod edge;
mod link;
mod purity;
mod rule;
mod text;
mod tree;

use std::fmt;

pub(crate) use edge::metadata;
pub(crate) use tree::Tree;

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// Fails the run.
    Error,
    /// Is only said.
    Warning,
}

/// One broken rule.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    path: String,
    line: usize,
    why: String,
}

impl Finding {
    fn error(path: &str, line: usize, why: impl Into<String>) -> Self {
        Self { level: Level::Error, path: path.to_owned(), line, why: why.into() }
    }

    fn warning(path: &str, line: usize, why: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(path, line, why) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.level == Level::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {word}{}", self.path, self.line, self.why)
    }
}

/// Everything.
pub(crate) fn all(tree: &Tree, metadata: &serde_json::Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(text::check(tree));
    findings.extend(purity::check(tree));
    findings.extend(connector::check(tree));
    findings.extend(rule::check(tree));
    findings.extend(link::check(tree));
    findings.extend(edge::check(tree, metadata));
    findings
}

/// The lines of a text, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line))
}

#[cfg(test)]
mod tests;
