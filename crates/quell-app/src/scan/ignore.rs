//! `.gitleaksignore`: places to ignore, one a line, `commit:file:rule:line` or `file:rule:line`.
//! The format is described in the README of <https://github.com/gitleaks/gitleaks>.

use std::collections::BTreeSet;
use std::path::Path;

use quell_scan::{Finding, RuleSet};

use crate::{AppError, files};

/// Larger files are refused, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Places to ignore.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    entries: BTreeSet<Place>,
    warnings: Vec<String>,
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    commit: Option<String>,
    file: String,
    rule: String,
    line: u64,
}

impl IgnoreFile {
    /// Reads one.
    pub fn load(path: &Path, rules: &RuleSet) -> Result<Self, AppError> {
        let text = files::read_text(path, MAX_FILE).map_err(|error| AppError::io(path, error))?;
        Ok(Self::parse(&path.display().to_string(), &text, rules))
    }

    /// Parses one; `name` stands in for its path in warnings.
    pub(super) fn parse(name: &str, text: &str, rules: &RuleSet) -> Self {
        let mut parsed = Self::default();
        let mut strange = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(place) = place(line) else {
                parsed.warnings.push(format!(
                    "{name}, line {}: not `commit:file:rule:line` nor `file:rule:line`; it ignores nothing",
                    number + 1
                ));
                continue;
            };
            if !rules.rules().iter().any(|rule| rule.id == place.rule) {
                strange.insert(place.rule.clone());
            }
            parsed.entries.insert(place);
        }
        if !strange.is_empty() {
            let names: Vec<String> = strange.into_iter().collect();
            parsed.warnings.push(format!(
                "{name} names rules that are not loaded, so these lines ignore nothing: {}",
                names.join(", ")
            ));
        }
        parsed
    }

    /// What was odd.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// True when the place of a finding is to be ignored.
    pub fn has(&self, finding: &Finding) -> bool {
        let mut wanted = Place {
            commit: None,
            file: finding.place.file.clone(),
            rule: finding.rule.clone(),
            line: finding.place.line,
        };
        if self.entries.contains(&wanted) {
            return true;
        }
        wanted.commit.clone_from(&finding.place.commit);
        wanted.commit.is_some() && self.entries.contains(&wanted)
    }
}

/// From the right, as paths may hold colons.
fn place(line: &str) -> Option<Place> {
    let (rest, number) = line.rsplit_once(':')?;
    let (file, rule) = rest.rsplit_once(':')?;
    let line = number.trim().parse().ok()?;
    let is_commit = |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (commit, file) = match file.split_once(':') {
        Some((commit, file)) if is_commit(commit) => (Some(commit.to_ascii_lowercase()), file),
        _ => (None, file),
    };
    (!file.is_empty() && !rule.is_empty()).then(|| Place {
        commit,
        file: file.to_owned(),
        rule: rule.to_owned(),
        line,
    })
}
