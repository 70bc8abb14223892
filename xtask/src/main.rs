//! The project's own automation: `cargo xtask tidy`.

mod tidy;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

const USAGE: &str = "usage: cargo xtask tidy    checks the rules that no compiler knows\n";

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => run_tidy(),
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

fn run_tidy() -> anyhow::Result<ExitCode> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().context("xtask lies in the workspace")?;
    let tree = tidy::Tree::of(root)?;
    let metadata = tidy::metadata(root)?;
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
