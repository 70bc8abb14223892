//! Who may use whom. A new edge is a change to this table: rare, and worth a hard thought.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::tree::Tree;
use super::{Finding, lines};

/// Each crate with the crates of ours that it may use. All may use the kit in tests.
const EDGES: [(&str, &[&str]); 12] = [
    (
        "quell",
        &[
            "quell-app",
            "quell-bucket",
            "quell-connect",
            "quell-core",
            "quell-hunt",
            "quell-scan",
            "quell-web",
        ],
    ),
    (
        "quell-app",
        &["quell-connect", "quell-core", "quell-hunt", "quell-ledger", "quell-scan", "quell-store"],
    ),
    ("quell-bucket", &["quell-hunt"]),
    ("quell-connect", &["quell-core"]),
    ("quell-core", &[]),
    ("quell-hunt", &["quell-core"]),
    ("quell-ledger", &[]),
    ("quell-scan", &["quell-core"]),
    ("quell-store", &["quell-core", "quell-ledger"]),
    ("quell-testkit", &[]),
    ("quell-web", &["quell-app", "quell-core"]),
    ("xtask", &[]),
];
const TEST_ONLY: &str = "quell-testkit";

/// What cargo knows about the workspace; asks no network.
pub(crate) fn metadata(root: &Path) -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")
}

pub(super) fn check(tree: &Tree, metadata: &Value) -> Vec<Finding> {
    let root = text(metadata, "workspace_root");
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let manifest = Path::new(text(package, "manifest_path")).strip_prefix(root).unwrap_or(Path::new(""));
        let manifest = manifest.to_string_lossy().into_owned();
        findings.extend(package_edges(tree, package, &manifest));
        let content = tree.get(&manifest).unwrap_or_default();
        let linted = content
            .split_once("[lints]")
            .is_some_and(|(_, rest)| rest.trim_start().starts_with("workspace = true"));
        if !linted {
            findings.push(Finding::error(&manifest, 1, "`[lints] workspace = true` is missing"));
        }
    }
    findings
}

fn package_edges(tree: &Tree, package: &Value, manifest: &str) -> Vec<Finding> {
    let name = text(package, "name");
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        let why = format!("`{name}` is not in the table of who may use whom (xtask/src/tidy/edge.rs)");
        return vec![Finding::error(manifest, 1, why)];
    };
    let mut findings = Vec::new();
    for dependency in list(package, "dependencies") {
        let used = text(dependency, "name");
        let ours = EDGES.iter().any(|(known, _)| *known == used)
            || dependency.get("path").is_some_and(Value::is_string);
        let in_tests = text(dependency, "kind") == "dev";
        let permitted = allowed.contains(&used) || (in_tests && used == TEST_ONLY);
        if ours && !permitted {
            let manifest_text = tree.get(manifest).unwrap_or_default();
            let line =
                lines(manifest_text).find(|(_, line)| line.starts_with(used)).map_or(1, |(number, _)| number);
            let why = if used == TEST_ONLY {
                format!("`{name}` may use `{used}` in tests only: it is not part of the product")
            } else {
                format!("`{name}` may not use `{used}` (the table is in xtask/src/tidy/edge.rs)")
            };
            findings.push(Finding::error(manifest, line, why));
        }
    }
    findings
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
