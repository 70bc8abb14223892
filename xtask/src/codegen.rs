//! Pages that the program and the connectors write themselves: `cargo xtask codegen`, `--check` in the gate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

const CLI: &str = "docs/reference/cli.md";
const SCHEMA: &str = "docs/reference/inventory.schema.json";
const PROVIDER: &str = "docs/reference/provider.schema.json";
const API: &str = "docs/reference/openapi.json";
const CONNECTORS: &str = "docs/reference/connectors.md";
/// Where the folders of connectors lie.
const FOLDER: &str = "crates/quell-connect/src";
const ROLES: [&str; 6] = ["issuer", "store", "reload", "observe", "notify", "channel"];

/// Every generated page by its path, as it should be.
pub(crate) fn pages(root: &Path) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let program = build(root)?;
    let mut schema = say(&program, &["inventory", "schema"])?;
    if !schema.ends_with('\n') {
        schema.push('\n');
    }
    let mut provider = say(&program, &["provider", "schema"])?;
    if !provider.ends_with('\n') {
        provider.push('\n');
    }
    Ok(BTreeMap::from([
        (CLI, cli(&program)?),
        (SCHEMA, schema),
        (PROVIDER, provider),
        (API, say(&program, &["openapi"])?),
        (CONNECTORS, connectors(root)?),
    ]))
}

/// Writes what differs; with `check` only names it. The paths that differ.
pub(crate) fn settle(
    root: &Path,
    pages: &BTreeMap<&'static str, String>,
    check: bool,
) -> anyhow::Result<Vec<&'static str>> {
    let mut differing = Vec::new();
    for (path, wanted) in pages {
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|found| found == *wanted) {
            continue;
        }
        differing.push(*path);
        if !check {
            std::fs::write(&file, wanted).with_context(|| format!("writing {path}"))?;
        }
    }
    Ok(differing)
}

/// Builds the program and says where it lies.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "quell", "--bin", "quell", "--message-format", "json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo build")?;
    anyhow::ensure!(output.status.success(), "cargo build ended with {}", output.status);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message.get("executable").and_then(Value::as_str).map(PathBuf::from))
        .next_back()
        .context("cargo build names no executable")
}

/// What the program prints. No environment, no terminal: the same on every machine.
fn say(program: &Path, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(words)
        .env_clear()
        .env("HOME", "/")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    anyhow::ensure!(output.status.success(), "`quell {}` ended with {}", words.join(" "), output.status);
    String::from_utf8(output.stdout).context("the program prints no text")
}

fn cli(program: &Path) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Commands\n\nWhat `--help` says, for every command. Written by `cargo xtask codegen`; edit \
         `crates/quell/src/cli/` instead. The global options stand once, in the first block, and go with every \
         command. What commands exit with: [exit codes](exit-codes.md).\n",
    );
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = todo.pop() {
        let help = said(program, &words)?;
        for name in subcommands(&help).into_iter().rev() {
            todo.push(words.iter().cloned().chain([name]).collect());
        }
        let title: Vec<&str> = std::iter::once("quell").chain(words.iter().map(String::as_str)).collect();
        let shown = if words.is_empty() { help.as_str() } else { own_part(&help) };
        write!(page, "\n## {}\n\n```text\n", title.join(" "))?;
        for line in shown.trim_end().lines() {
            writeln!(page, "{}", line.trim_end())?;
        }
        page.push_str("```\n");
    }
    Ok(page)
}

fn said(program: &Path, words: &[String]) -> anyhow::Result<String> {
    let mut line: Vec<&str> = words.iter().map(String::as_str).collect();
    line.push("--help");
    say(program, &line)
}

/// The names in the section `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A longer indentation continues the text of the line above.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The help without the global options, which are the same everywhere and come last.
fn own_part(help: &str) -> &str {
    help.split_once("\nGlobal options:\n").map_or(help, |(own, _)| own)
}

fn connectors(root: &Path) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Connectors\n\nEvery system that Quell can speak to, and the operator's page of each: what it needs, what it \
         does, what it cannot do. Written by `cargo xtask codegen` from `crates/quell-connect`. How they are named \
         in the inventory: [inventory](inventory.md). How to add one: [CONTRIBUTING](../../CONTRIBUTING.md).\n\n\
         | connector | as | what it does | page |\n| --- | --- | --- | --- |\n",
    );
    let mut rows = BTreeMap::new();
    for entry in std::fs::read_dir(root.join(FOLDER)).context("reading the connectors")? {
        let folder = entry?.path();
        let Ok(code) = std::fs::read_to_string(folder.join("mod.rs")) else { continue };
        let Some((id, row)) = row(&code, &folder.file_name().unwrap_or_default().to_string_lossy()) else {
            continue;
        };
        rows.insert(id, row);
    }
    anyhow::ensure!(!rows.is_empty(), "no connector was found in {FOLDER}");
    page.extend(rows.into_values());
    Ok(page)
}

/// A connector's id and its row, if the code of a folder's `mod.rs` defines one.
fn row(code: &str, folder: &str) -> Option<(String, String)> {
    let (_, definition) = code.split_once("pub static CONNECTOR: Definition = Definition {")?;
    let (definition, _) = definition.split_once("\n};")?;
    let text = |key: &str| {
        let (_, rest) = definition.split_once(&format!("\n    {key}: \""))?;
        rest.split_once('"').map(|(text, _)| text.to_owned())
    };
    let id = text("id")?;
    let roles: Vec<&str> =
        ROLES.into_iter().filter(|role| definition.contains(&format!("\n    {role}: Some("))).collect();
    let row = format!(
        "| `{id}` | {} | {} | [{folder}](../../{FOLDER}/{folder}/README.md) |\n",
        roles.join(", "),
        text("summary")?
    );
    Some((id, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_and_the_part_of_their_own_are_read_from_the_help() {
        let help = "Do it\n\nCommands:\n  init    Make\n          more of it\n  inventory  Check\n  help    Print\n\nOptions:\n  -h\n\nGlobal options:\n  --json\n";
        assert_eq!(subcommands(help), ["init", "inventory"]);
        assert!(subcommands("Do it\n\nOptions:\n  -h\n").is_empty());
        assert!(own_part(help).ends_with("  -h\n"));
    }

    #[test]
    fn a_row_names_the_roles_of_a_connector() {
        let code = "pub static CONNECTOR: Definition = Definition {\n    id: \"http\",\n    summary: \"Calls\",\n    issuer: None,\n    reload: Some(a),\n    observe: Some(b),\n};\n";
        let (id, row) = row(code, "http_hook").unwrap();
        assert_eq!(id, "http");
        assert_eq!(
            row,
            "| `http` | reload, observe | Calls | [http_hook](../../crates/quell-connect/src/http_hook/README.md) |\n"
        );
        assert!(super::row("mod a;", "a").is_none());
    }

    #[test]
    fn checking_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pages = BTreeMap::from([("a.md", "new\n".to_owned())]);
        std::fs::write(folder.path().join("a.md"), "old\n").unwrap();
        assert_eq!(settle(folder.path(), &pages, true).unwrap(), ["a.md"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("a.md")).unwrap(), "old\n");
        assert_eq!(settle(folder.path(), &pages, false).unwrap(), ["a.md"]);
        assert!(settle(folder.path(), &pages, true).unwrap().is_empty());
    }
}
