//! The project's own automation: `cargo xtask tidy`, `cargo xtask codegen`.

mod codegen;
mod tidy;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

const USAGE: &str = "\
usage: cargo xtask tidy               checks the rules that no compiler knows
       cargo xtask codegen            writes the pages that the program itself knows best
       cargo xtask codegen --check    fails when one of them is out of date
";

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => run_tidy(),
        ["codegen"] => run_codegen(false),
        ["codegen", "--check"] => run_codegen(true),
        [] | ["help" | "--help" | "-h"] => {
            std::io::stdout().write_all(USAGE.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            std::io::stderr().write_all(USAGE.as_bytes())?;
            Ok(ExitCode::from(2))
        }
    }
}

fn root() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace")?.to_owned())
}

fn run_codegen(check: bool) -> anyhow::Result<ExitCode> {
    let root = root()?;
    let pages = codegen::pages(&root)?;
    let differing = codegen::settle(&root, &pages, check)?;
    let mut out = std::io::stdout().lock();
    for path in &differing {
        let word = if check { "is out of date; `cargo xtask codegen` writes it" } else { "written" };
        writeln!(out, "{path}: {word}")?;
    }
    writeln!(out, "codegen: {} pages, {} differed", pages.len(), differing.len())?;
    Ok(if check && !differing.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_tidy() -> anyhow::Result<ExitCode> {
    let root = root()?;
    let tree = tidy::Tree::of(&root)?;
    let metadata = tidy::metadata(&root)?;
    let mut findings = tidy::all(&tree, &metadata);
    findings.sort();
    let failing = findings.iter().filter(|finding| finding.level == tidy::Level::Error).count();
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "tidy: {} files, {failing} to mend, {} warnings", tree.len(), findings.len() - failing)?;
    Ok(if failing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
