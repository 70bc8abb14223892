//! Links between pages: the file and the heading that a link names must be there.

use std::collections::BTreeSet;

use super::tree::{Tree, has_extension};
use super::{Finding, lines};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let paths: BTreeSet<&str> = tree.iter().map(|(path, _)| path).collect();
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| has_extension(path, "md")) {
        for (number, line) in prose(text) {
            for target in targets(line) {
                if let Some(why) = broken(tree, &paths, path, target) {
                    findings.push(Finding::error(path, number, format!("link `{target}`: {why}")));
                }
            }
        }
    }
    findings
}

/// The lines outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    lines(text).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What stands in the round brackets of `[words](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.trim())
}

fn broken(tree: &Tree, paths: &BTreeSet<&str>, page: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let Some(file) = (if file.is_empty() { Some(page.to_owned()) } else { resolve(page, file) }) else {
        return Some("there is no such file");
    };
    let folder = format!("{}/", file.trim_end_matches('/'));
    let there = paths.contains(file.as_str()) || paths.iter().any(|path| path.starts_with(&folder));
    if !there {
        return Some("there is no such file");
    }
    if heading.is_empty() || !has_extension(&file, "md") {
        return None;
    }
    let known = headings(tree.get(&file).unwrap_or_default());
    (!known.contains(heading)).then_some("the page has no such heading")
}

/// A path from the root. `None` for what lies outside it.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Headings as code hosts turn them into anchors.
fn headings(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter_map(|(_, line)| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()))
        .map(|title| {
            title
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}
