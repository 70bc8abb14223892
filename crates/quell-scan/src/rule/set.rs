//! A checked set of rules, built in or of the user's own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::parse::{self, Parsed, Trust};
use super::{Allowlist, Rule};
use crate::engine::Plan;
use crate::{RuleError, ScanError};

/// A rule file larger than this is a mistake.
const MAX_FILE: u64 = 16 << 20;

/// The built-in rules, by issuer family.
const BUILTIN: &[(&str, &str)] = &[
    ("ai.toml", include_str!("../../../../rules/ai.toml")),
    ("cloud.toml", include_str!("../../../../rules/cloud.toml")),
    ("code-host.toml", include_str!("../../../../rules/code-host.toml")),
    ("database.toml", include_str!("../../../../rules/database.toml")),
    ("file-format.toml", include_str!("../../../../rules/file-format.toml")),
    ("generic.toml", include_str!("../../../../rules/generic.toml")),
    ("key.toml", include_str!("../../../../rules/key.toml")),
    ("message.toml", include_str!("../../../../rules/message.toml")),
    ("package.toml", include_str!("../../../../rules/package.toml")),
    ("payment.toml", include_str!("../../../../rules/payment.toml")),
    ("vault.toml", include_str!("../../../../rules/vault.toml")),
];

/// A checked set of rules.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    allowlists: Vec<Allowlist>,
    warnings: Vec<String>,
    plan: OnceLock<Plan>,
}

impl RuleSet {
    /// The rules that come with the binary.
    pub fn builtin() -> Result<Self, ScanError> {
        let mut all = Collector::default();
        for (name, text) in BUILTIN {
            all.add(&format!("(built in)/{name}"), text, Trust::Builtin)?;
        }
        Ok(all.finish()?)
    }

    /// Rules of the user's own files and folders (every `*.toml` in them), in place of the built-in ones.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ScanError> {
        let mut all = Collector::default();
        for path in paths {
            for file in files(path)? {
                all.add(&file.display().to_string(), &read(&file)?, Trust::User)?;
            }
        }
        Ok(all.finish()?)
    }

    /// Rules from text; `name` stands in for the file in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScanError> {
        let mut all = Collector::default();
        all.add(name, text, Trust::User)?;
        Ok(all.finish()?)
    }

    /// The rules, in the order of their indexes in matches.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Exceptions that hold for all rules (or those that they name).
    pub fn allowlists(&self) -> &[Allowlist] {
        &self.allowlists
    }

    /// The rules as the engine needs them, worked out once.
    pub(crate) fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| Plan::new(self))
    }

    /// What was odd but not fatal, such as unknown keys.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[derive(Default)]
struct Collector {
    parsed: Parsed,
    file_of: BTreeMap<String, String>,
    files: Vec<String>,
}

impl Collector {
    fn add(&mut self, file: &str, text: &str, trust: Trust) -> Result<(), Box<RuleError>> {
        let mut parsed = parse::parse(file, text, trust)?;
        for rule in &parsed.rules {
            if let Some(first) = self.file_of.insert(rule.id.clone(), file.to_owned()) {
                return Err(Box::new(RuleError {
                    file: file.to_owned(),
                    rule: Some(rule.id.clone()),
                    key: Some("id".to_owned()),
                    detail: format!("the id is taken by a rule in {first}"),
                    hint: "rename one of them".to_owned(),
                }));
            }
        }
        self.files.push(file.to_owned());
        self.parsed.rules.append(&mut parsed.rules);
        self.parsed.allowlists.append(&mut parsed.allowlists);
        self.parsed.warnings.append(&mut parsed.warnings);
        Ok(())
    }

    fn finish(self) -> Result<RuleSet, Box<RuleError>> {
        let whole_set = |detail: String, hint: &str| {
            let file =
                if self.files.is_empty() { "(no rule file)".to_owned() } else { self.files.join(", ") };
            Box::new(RuleError { file, rule: None, key: None, detail, hint: hint.to_owned() })
        };
        if self.parsed.rules.is_empty() {
            return Err(whole_set(
                "there is no rule in it".to_owned(),
                "a scan without rules would always find nothing; add `[[rules]]` or leave out `--rules`",
            ));
        }
        let Parsed { rules, allowlists, warnings } = self.parsed;
        Ok(RuleSet { rules, allowlists, warnings, plan: OnceLock::new() })
    }
}

/// The rule files at a path, sorted.
fn files(path: &Path) -> Result<Vec<PathBuf>, ScanError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| ScanError::read(path, error))? {
        let file = entry.map_err(|error| ScanError::read(path, error))?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<String, ScanError> {
    let failed = |error| ScanError::read(file, error);
    let mut text = String::new();
    let mut reader = std::fs::File::open(file).map_err(failed)?.take(MAX_FILE + 1);
    reader.read_to_string(&mut text).map_err(failed)?;
    if reader.limit() == 0 {
        return Err(failed(std::io::Error::other("larger than 16 MiB, so not a rule file")));
    }
    Ok(text)
}
