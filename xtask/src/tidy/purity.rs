//! Crates that do no I/O: everything comes in as an argument, so that every run can be replayed.

use super::tree::Tree;
use super::{Finding, lines};

const PURE: [&str; 2] = ["crates/quell-core/src/", "crates/quell-ledger/src/"];

const IMPURE: [(&str, &str); 6] = [
    ("std::fs", "files are the caller's business"),
    ("std::net", "the network is the caller's business"),
    ("std::env", "the environment is an argument"),
    ("async fn", "nothing here may wait"),
    (".await", "nothing here may wait"),
    ("::now(", "time is an argument"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| is_pure(path)) {
        for (number, line) in product(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (word, why) in IMPURE {
                if line.contains(word) {
                    findings.push(Finding::error(path, number, format!("`{word}` in a pure crate: {why}")));
                }
            }
        }
    }
    findings
}

/// The lines above the test module, which stands at the end of a file (unless it is a file of its own).
fn product(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = text.lines().skip(1);
    lines(text).take_while(move |(_, line)| {
        let below = next.next().unwrap_or_default();
        line.trim() != "#[cfg(test)]" || below.trim_end().ends_with(';')
    })
}

fn is_pure(path: &str) -> bool {
    let inside = PURE.iter().any(|folder| path.starts_with(folder));
    let test = path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.split('/').any(|part| part == "tests" || part == "simulation");
    inside && !test
}
