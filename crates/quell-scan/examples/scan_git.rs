//! Scans a path with the built-in rules and prints what that took: `scan_git PATH [--full] [--tree] [--threads N]`.
//! For measurements (`bench/`); prints no values.

use std::io::Write as _;
use std::path::PathBuf;

use quell_core::secret::FingerprintKey;
use quell_scan::{RuleSet, Scanner};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut path, mut full, mut tree, mut threads) = (None, false, false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--full" => full = true,
            "--tree" => tree = true,
            "--threads" => threads = args.next().and_then(|count| count.parse().ok()),
            other => path = Some(PathBuf::from(other)),
        }
    }
    let rules = RuleSet::builtin()?;
    let key = FingerprintKey::new([1; 32]);
    let mut scanner = Scanner::new(&rules, &key).incremental(!full);
    if let Some(threads) = threads {
        scanner = scanner.threads(threads);
    }
    let mut out = std::io::stdout().lock();
    let Some(path) = path else {
        writeln!(out, "rules {}", rules.rules().len())?;
        return Ok(());
    };
    let mut progress = |_| {};
    let report =
        if tree { scanner.tree(&path, &mut progress)? } else { scanner.path(&path, &mut progress)? };
    let occurrences: u64 = report.findings.iter().map(|finding| finding.occurrences).sum();
    writeln!(
        out,
        "findings {} occurrences {occurrences} blobs {} bytes {} incomplete {}",
        report.findings.len(),
        report.blobs,
        report.bytes_scanned,
        report.incomplete.len()
    )?;
    Ok(())
}
