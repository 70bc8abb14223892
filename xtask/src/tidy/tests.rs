//! Each check on a tree that breaks it and on one that does not.

use serde_json::{Value, json};

use super::*;

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn long_files_warn_and_then_fail() {
    let at = |lines: usize| text::check(&Tree::made(&[("a.rs", &"x\n".repeat(lines))]));
    assert!(at(600).is_empty());
    assert_eq!(at(601)[0].level, Level::Warning);
    assert_eq!(at(1001)[0].level, Level::Error);
    assert!(text::check(&Tree::made(&[("a.toml", &"x\n".repeat(2000))])).is_empty());
}

#[test]
fn unfinished_code_and_tests_that_do_not_run_are_found() {
    let code = format!(
        "fn a() {{\n    {}\n}}\n{}]\n{};\n",
        concat!("to", "do!()"),
        concat!("#[ig", "nore"),
        concat!("assert!(tr", "ue)")
    );
    let found = said(&text::check(&Tree::made(&[("src/a.rs", &code), ("a.md", &code)])));
    assert_eq!(found.len(), 3);
    assert!(found[0].starts_with("src/a.rs:2: `"), "{found:?}");
    assert!(found[1].starts_with("src/a.rs:4: `"), "{found:?}");
}

#[test]
fn names_that_say_nothing_are_found() {
    let tree = Tree::made(&[
        ("src/utils.rs", ""),
        ("src/common/a.rs", ""),
        ("src/commonly.rs", ""),
        ("docs/types.md", ""),
    ]);
    let found = said(&text::check(&tree));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("src/common/a.rs:1: `common`"));
}

#[test]
fn places_on_one_machine_are_found() {
    let home = concat!("/ho", "me/");
    let worktree = concat!("/tmp/", "wt/");
    let bad = format!("ok\npath = \"{home}somebody/x\"\n");
    let good = format!("https://example.com{home}x\n$HOME{home}x\nsrc{home}x\n/etc/passwd\n");
    let tree = Tree::made(&[("a.toml", &bad), ("b.md", &good), ("c.sh", &format!("cd {worktree}x"))]);
    let found = said(&text::check(&tree));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.toml:2:") && found[1].starts_with("c.sh:1:"));
}

#[test]
fn too_many_packages_are_found() {
    let at = |count: usize| {
        text::check(&Tree::made(&[("Cargo.lock", &"[[package]]\nname = \"x\"\n".repeat(count))]))
    };
    assert!(at(540).is_empty());
    assert_eq!(at(541).len(), 1);
}

#[test]
fn pure_crates_touch_nothing_outside_their_tests() {
    let code = "// std::fs is for others\n#[cfg(test)]\nmod tests;\nuse std::fs;\nasync fn a() { b.await }\n\n#[cfg(test)]\nmod tests { use std::fs; }\n";
    let tree = Tree::made(&[
        ("crates/quell-core/src/a.rs", code),
        ("crates/quell-core/src/plan/tests.rs", code),
        ("crates/quell-core/tests/a.rs", code),
        ("crates/quell-store/src/a.rs", code),
    ]);
    let found = said(&purity::check(&tree));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("crates/quell-core/src/a.rs:4: `std::fs`"));
    assert!(found[1].starts_with("crates/quell-core/src/a.rs:5: `async fn`"));
}

#[test]
fn a_connector_is_registered_and_has_a_page() {
    const CODE: &str = "pub static CONNECTOR: Definition = …;";
    let src = "crates/quell-connect/src";
    let lib = "pub static ALL: &[&Definition] = &[\n    &good::CONNECTOR,\n    &bare::CONNECTOR,\n];\n// &lost::CONNECTOR\n";
    let file = |name: &str| format!("{src}/{name}");
    let tree = Tree::made(&[
        (&file("lib.rs"), lib),
        (&file("http.rs"), ""),
        (&file("conformance/mod.rs"), ""),
        (&file("good/mod.rs"), CODE),
        (&file("good/README.md"), "# good\n"),
        (&file("bare/mod.rs"), CODE),
        (&file("lost/mod.rs"), CODE),
        (&file("lost/README.md"), "# lost\n"),
        (&file("odd/api.rs"), ""),
    ]);
    let found = said(&connector::check(&tree));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with(&file("bare/README.md:1: missing")));
    assert!(found[1].contains("`&lost::CONNECTOR` is not in `ALL`"));
    assert!(found[2].starts_with(&file("odd/mod.rs:1:")));
}

#[test]
fn a_rule_shows_examples_of_both_kinds() {
    let text = "[[rules]]\nid = \"a\"\nexamples = [\n  \"x\",\n]\nnon_examples = [\"y\"]\n\n\
                [[rules]]\nid = \"b\"\nexamples = []\n\n[[rules]]\nid = \"c\"\nexamples = [\n]\nnon_examples = [ ]\n";
    let found = said(&rule::check(&Tree::made(&[("rules/a.toml", text), ("other/a.toml", "[[rules]]\n")])));
    let places: Vec<_> =
        found.iter().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["rules/a.toml:8", "rules/a.toml:8", "rules/a.toml:12", "rules/a.toml:12"]);
}

/// As `cargo metadata` writes it.
#[test]
fn links_lead_to_files_and_headings() {
    let page = "# Two  words, `code`!\n[a](b/c.md) [b](b/) [c](#two--words-code) [d](https://example.com/x)\n\
                [e](b/d.md) [f](b/c.md#here) [g](b/c.md#gone) [h](../out.md)\n```\n[i](never.md)\n```\n";
    let tree = Tree::made(&[("a.md", page), ("b/c.md", "## Here\n[up](../a.md)\n")]);
    let found = said(&link::check(&tree));
    assert_eq!(
        found,
        [
            "a.md:3: link `b/d.md`: there is no such file",
            "a.md:3: link `b/c.md#gone`: the page has no such heading",
            "a.md:3: link `../out.md`: there is no such file",
        ]
    );
}

fn workspace(dependencies: &Value) -> (Tree, Value) {
    let manifest = "[package]\n[lints]\nworkspace = true\n\n[dependencies]\nquell-store.workspace = true\n";
    let tree = Tree::made(&[("crates/quell-connect/Cargo.toml", manifest)]);
    let metadata = json!({
        "workspace_root": "/w",
        "packages": [{
            "name": "quell-connect",
            "manifest_path": "/w/crates/quell-connect/Cargo.toml",
            "dependencies": dependencies,
        }],
    });
    (tree, metadata)
}

#[test]
fn only_edges_of_the_table_are_allowed() {
    let (tree, metadata) = workspace(&json!([
        { "name": "quell-core", "kind": null, "path": "/w/crates/quell-core" },
        { "name": "quell-testkit", "kind": "dev", "path": "/w/crates/quell-testkit" },
        { "name": "tokio", "kind": null },
    ]));
    assert!(edge::check(&tree, &metadata).is_empty());
    let (tree, metadata) = workspace(&json!([
        { "name": "quell-store", "kind": null, "path": "/w/crates/quell-store" },
        { "name": "quell-testkit", "kind": null, "path": "/w/crates/quell-testkit" },
        { "name": "quell-app", "kind": "dev", "path": "/w/crates/quell-app" },
        { "name": "quell-unheard", "kind": null, "path": "/w/crates/quell-unheard" },
    ]));
    let found = said(&edge::check(&tree, &metadata));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found[0].starts_with("crates/quell-connect/Cargo.toml:6: `quell-connect` may not use `quell-store`")
    );
    assert!(found[1].contains("in tests only"));
}

#[test]
fn a_crate_outside_the_table_or_without_lints_is_found() {
    let tree = Tree::made(&[("crates/new/Cargo.toml", "[package]\n")]);
    let metadata = json!({
        "workspace_root": "/w",
        "packages": [{ "name": "quell-new", "manifest_path": "/w/crates/new/Cargo.toml", "dependencies": [] }],
    });
    assert_eq!(edge::check(&tree, &metadata).len(), 2);
}

#[test]
fn git_names_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let git = |words: &[&str]| {
        let status =
            std::process::Command::new("git").args(words).current_dir(folder.path()).status().unwrap();
        assert!(status.success());
    };
    git(&["init", "--quiet"]);
    std::fs::write(folder.path().join(".gitignore"), "target\n").unwrap();
    std::fs::write(folder.path().join("a.rs"), "fn a() {}\n").unwrap();
    std::fs::write(folder.path().join("target"), "x").unwrap();
    std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
    git(&["add", "a.rs"]);
    let tree = Tree::of(folder.path()).unwrap();
    assert_eq!(tree.iter().map(|(path, _)| path).collect::<Vec<_>>(), [".gitignore", "a.rs"]);
}
