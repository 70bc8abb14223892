//! Checks rules of the user's own against their examples.

use std::path::PathBuf;

use quell_scan::RuleSet;
use quell_scan::engine::{Engine as _, KeywordEngine};
use quell_scan::rule::template::{expand, seed};
use serde::Serialize;

use crate::AppError;

/// What a check of rule files gave.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Checked {
    /// Rules that were read.
    pub rules: usize,
    /// Examples and non-examples that were tried.
    pub examples: usize,
    /// Rules that nothing was tried on.
    pub without_examples: usize,
    /// What is wrong, with the rule's id. Examples are shown as their templates, never expanded.
    pub problems: Vec<String>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// Loads rule files, and tries every example.
pub fn check_rules(files: &[PathBuf]) -> Result<Checked, AppError> {
    let set = RuleSet::load(files)?;
    let engine = KeywordEngine::new(&set);
    let mut checked = Checked {
        rules: set.rules().len(),
        examples: 0,
        without_examples: 0,
        problems: Vec::new(),
        warnings: set.warnings().to_vec(),
    };
    for (index, rule) in set.rules().iter().enumerate() {
        let wanted = rule.examples.iter().map(|text| (text, true));
        let all: Vec<_> = wanted.chain(rule.non_examples.iter().map(|text| (text, false))).collect();
        checked.without_examples += usize::from(all.is_empty());
        for (number, (template, wanted)) in all.into_iter().enumerate() {
            checked.examples += 1;
            let text = match expand(template, seed(&rule.id, number)) {
                Ok(text) => text,
                Err(why) => {
                    checked.problems.push(format!("{}: {why}", rule.id));
                    continue;
                }
            };
            let mut found = false;
            engine.scan(text.as_bytes(), &mut |one| found |= one.rule == index);
            if found != wanted {
                let what = if wanted { "does not match its example" } else { "matches its non-example" };
                checked.problems.push(format!("{} {what} {template:?}", rule.id));
            }
        }
    }
    Ok(checked)
}
