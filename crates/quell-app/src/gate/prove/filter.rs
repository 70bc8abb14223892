//! The leak once more through the filter for logs, in memory.

use std::path::{Path, PathBuf};

use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use quell_scan::{Finding, Redactor, Scanner};

use super::Shown;
use crate::{App, AppError, files, scan};

/// Larger logs are not tried, in bytes.
const MAX: u64 = 64 << 20;

/// Lines that hold nothing: they must come out as they are.
const CONTROL: &str =
    "2026-01-02T03:04:05Z info request served status=200 path=/orders took_ms=17\nstarting worker 3 of 8\n";

/// Filters the file in which the secret was found: the value must be gone, and harmless text must stay.
pub(super) fn redact(
    app: &App,
    finding: &Finding,
    target: &Path,
    rules: &[PathBuf],
) -> Result<Shown, AppError> {
    let key = &app.store.keys().fingerprint;
    let path = if target.is_dir() { target.join(&finding.place.file) } else { target.to_owned() };
    let text = match files::read(&path, MAX) {
        Ok(text) => text,
        Err(error) => {
            let why = format!("{} cannot be read again: {error}", path.display());
            return Ok(Shown::not(finding, why));
        }
    };
    let rules = scan::rules(rules)?;
    let scanner = Scanner::new(&rules, key);
    let wanted: Vec<Fingerprint> =
        std::iter::once(finding.fingerprint).chain(finding.parts.iter().copied()).collect();
    let mut shown = Shown::not(finding, "");
    let Some(lengths) = lengths(&scanner, target, finding)? else {
        let why = "the secret is not there any more, so nothing can be shown with it";
        return Ok(Shown::not(finding, why));
    };
    let redactor = Redactor::new(&rules);
    let mut filtered = Vec::new();
    let io = |error| AppError::io(&path, error);
    redactor.filter(&mut text.as_slice(), &mut filtered).map_err(io)?;
    let there = holds(key, lines_around(&text, finding.place.line), &lengths, &wanted);
    let report = scanner.reader("filtered", &mut filtered.as_slice(), &mut |_| {})?;
    let found = report.findings.iter().any(|other| wanted.iter().any(|name| other.concerns(name)));
    let left = holds(key, lines_around(&filtered, finding.place.line), &lengths, &wanted);
    shown.refused = there && !found && !left;
    let mut control = Vec::new();
    redactor.filter(&mut CONTROL.as_bytes(), &mut control).map_err(io)?;
    shown.accepted = control == CONTROL.as_bytes();
    let why = match (there, found || left, shown.accepted) {
        (false, ..) => "the value does not stand there as it is, so its absence would prove nothing",
        (true, true, _) => "the value is still in what the filter lets through",
        (true, false, false) => "the filter changes harmless text",
        (true, false, true) => "`quell redact` took the value out and left harmless text alone",
    };
    why.clone_into(&mut shown.why);
    Ok(shown)
}

/// How long the value and its password are; `None` when it is not found again.
fn lengths(scanner: &Scanner<'_>, target: &Path, finding: &Finding) -> Result<Option<Vec<usize>>, AppError> {
    let recovered = scanner.recover_parts(target, &finding.id)?;
    Ok(recovered.map(|parts| {
        let password = parts.password.as_ref().map(SecretValue::len);
        std::iter::once(parts.secret.len()).chain(password).collect()
    }))
}

/// Lines near a number: the filter makes one line of a key with many.
fn lines_around(text: &[u8], number: u64) -> &[u8] {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let (mut start, mut at) = (0, 0);
    for (line, length) in text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).enumerate() {
        if line < number.saturating_sub(60) {
            start += length;
        }
        at += length;
        if line > number.saturating_add(60) {
            break;
        }
    }
    text.get(start..at).unwrap_or_default()
}

/// Longest text that is looked at place by place, in bytes.
const MAX_WINDOWS: usize = 256 << 10;

/// True when a piece of one of these lengths goes by one of these names.
fn holds(key: &FingerprintKey, text: &[u8], lengths: &[usize], wanted: &[Fingerprint]) -> bool {
    let text = text.get(..text.len().min(MAX_WINDOWS)).unwrap_or_default();
    let windows = lengths.iter().filter(|length| **length > 0).flat_map(|length| text.windows(*length));
    windows.into_iter().any(|piece| wanted.contains(&key.fingerprint_bytes(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_known_by_its_name() {
        let key = FingerprintKey::new([7; 32]);
        let name = key.fingerprint_bytes(b"needle");
        assert!(holds(&key, b"a needle here", &[6], &[name]));
        assert!(!holds(&key, b"a needl e here", &[6], &[name]));
        assert!(!holds(&key, b"a needle here", &[5, 0], &[name]));
    }

    #[test]
    fn lines_are_cut_near_the_place() {
        let text: Vec<u8> = (1..=500).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let near = String::from_utf8_lossy(lines_around(&text, 300)).into_owned();
        assert!(
            near.starts_with("line 241\n") && near.contains("line 300\n") && !near.contains("line 400\n"),
            "{near}"
        );
        assert_eq!(lines_around(b"one\ntwo", 1), b"one\ntwo");
        assert!(lines_around(b"", 9).is_empty());
    }
}
