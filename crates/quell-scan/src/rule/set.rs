//! A checked set of rules, built in or of the user's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;

use super::parse::{self, Parsed, Trust};
use super::{Allowlist, Rule};
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
    keywords: KeywordIndex,
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

    /// No rules at all: for a search that looks for known values only.
    pub fn none() -> Result<Self, ScanError> {
        Self::of(Vec::new(), Vec::new(), Vec::new())
    }

    /// Only these rules (all, if none is named) without those.
    pub fn select(self, only: &[String], without: &[String]) -> Result<Self, ScanError> {
        let wrong = |rule: Option<&String>, detail: &str, hint: &str| {
            Box::new(RuleError {
                file: "(choice of rules)".to_owned(),
                rule: rule.cloned(),
                key: None,
                detail: detail.to_owned(),
                hint: hint.to_owned(),
            })
        };
        let unknown = only.iter().chain(without).find(|id| !self.rules.iter().any(|rule| rule.id == **id));
        if let Some(id) = unknown {
            return Err(wrong(Some(id), "there is no such rule", "`quell rules list` names all").into());
        }
        let mut rules = self.rules;
        rules.retain(|rule| (only.is_empty() || only.contains(&rule.id)) && !without.contains(&rule.id));
        if rules.is_empty() {
            return Err(wrong(None, "no rule is left", "a scan without rules finds nothing").into());
        }
        Self::of(rules, self.allowlists, self.warnings)
    }

    fn of(rules: Vec<Rule>, allowlists: Vec<Allowlist>, warnings: Vec<String>) -> Result<Self, ScanError> {
        let keywords = KeywordIndex::build(&rules).map_err(|error| {
            Box::new(RuleError {
                file: "(choice of rules)".to_owned(),
                rule: None,
                key: None,
                detail: format!("the keywords do not fit: {error}"),
                hint: "use fewer keywords".to_owned(),
            })
        })?;
        Ok(Self { rules, allowlists, warnings, keywords })
    }

    /// The rules, in the order of their indexes in matches.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Exceptions that hold for all rules (or those that they name).
    pub fn allowlists(&self) -> &[Allowlist] {
        &self.allowlists
    }

    /// What was odd but not fatal, such as unknown keys.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn keywords(&self) -> &KeywordIndex {
        &self.keywords
    }
}

/// Which rules a keyword wakes.
#[derive(Debug)]
pub(crate) struct KeywordIndex {
    pub(crate) automaton: AhoCorasick,
    /// Rule indexes by pattern id.
    pub(crate) rules: Vec<Vec<usize>>,
    /// Rules that run over everything.
    pub(crate) always: Vec<usize>,
}

impl KeywordIndex {
    fn build(rules: &[Rule]) -> Result<Self, aho_corasick::BuildError> {
        let mut by_keyword: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut always = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.keywords.is_empty() {
                always.push(index);
            }
            for keyword in &rule.keywords {
                by_keyword.entry(keyword).or_default().insert(index);
            }
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(by_keyword.keys())?;
        let rules = by_keyword.into_values().map(|set| set.into_iter().collect()).collect();
        Ok(Self { automaton, rules, always })
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
        let keywords = KeywordIndex::build(&self.parsed.rules)
            .map_err(|error| whole_set(format!("the keywords do not fit: {error}"), "use fewer keywords"))?;
        let Parsed { rules, allowlists, warnings } = self.parsed;
        Ok(RuleSet { rules, allowlists, warnings, keywords })
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
