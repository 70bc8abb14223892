//! Scanner rules: each shows what it finds and what it leaves alone, and the tests run over both.

use super::tree::{Tree, has_extension};
use super::{Finding, lines};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in
        tree.iter().filter(|(path, _)| path.starts_with("rules/") && has_extension(path, "toml"))
    {
        for rule in rules(text) {
            for (key, has) in [("examples", rule.examples), ("non_examples", rule.non_examples)] {
                if !has {
                    let why = format!("the rule has no `{key}`: show at least one");
                    findings.push(Finding::error(path, rule.line, why));
                }
            }
        }
    }
    findings
}

struct Rule {
    line: usize,
    examples: bool,
    non_examples: bool,
}

/// The lines below each `[[rules]]`. (No TOML parser: a key at the start of a line is what reviewers look for too.)
fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut all = lines(text).peekable();
    while let Some((number, line)) = all.next() {
        if line.trim() == "[[rules]]" {
            rules.push(Rule { line: number, examples: false, non_examples: false });
        }
        let (Some(rule), Some((key, value))) = (rules.last_mut(), line.split_once('=')) else { continue };
        let next = all.peek().map_or("", |(_, next)| next.trim());
        let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        let filled = value != "[]" && !(value == "[" && next.starts_with(']'));
        match key.trim() {
            "examples" => rule.examples |= filled,
            "non_examples" => rule.non_examples |= filled,
            _ => {}
        }
    }
    rules
}
