//! One folder per system, complete: a page for operators and a line in the registry.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "crates/quell-connect/src/";
/// Folders there that are no system.
const OTHERS: [&str; 9] =
    ["aws", "azure", "conformance", "consumer_sandbox", "gcp", "github", "gitlab", "kubernetes", "releases"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let folders: BTreeSet<&str> = tree
        .rust()
        .filter_map(|(path, _)| path.strip_prefix(FOLDER)?.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| !OTHERS.contains(folder))
        .collect();
    let registry = format!("{FOLDER}lib.rs");
    let lib = tree.get(&registry).unwrap_or_default();
    let listed = lib.split_once("pub static ALL").map_or("", |(_, rest)| rest);
    let listed = listed.split_once(';').map_or("", |(list, _)| list);
    let mut findings = Vec::new();
    for folder in folders {
        let module = format!("{FOLDER}{folder}/mod.rs");
        if !tree.get(&module).is_some_and(|text| text.contains("pub static CONNECTOR")) {
            let why = "a folder here is a system: it needs `pub static CONNECTOR` in its mod.rs";
            findings.push(Finding::error(&module, 1, why));
            continue;
        }
        if !listed.contains(&format!("&{folder}::CONNECTOR")) {
            findings.push(Finding::error(&registry, 1, format!("`&{folder}::CONNECTOR` is not in `ALL`")));
        }
        let page = format!("{FOLDER}{folder}/README.md");
        if tree.get(&page).is_none_or(|text| text.trim().is_empty()) {
            findings.push(Finding::error(&page, 1, "missing: the operator's page (needs, does, cannot do)"));
        }
    }
    findings
}
