//! Rule files that build on each other, to one list of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::parse::{self, Extend, Parsed, Trust};
use super::set::BUILTIN;
use super::{Allowlist, Rule, alias, reach};
use crate::{RuleError, ScanError};

/// A rule file larger than this is a mistake.
const MAX_FILE: u64 = 16 << 20;

/// How many files `[extend] path` may lead through, as in gitleaks.
const MAX_DEPTH: usize = 2;

/// Collects drafts from files until they are a set.
#[derive(Debug, Default)]
pub(super) struct Loader {
    drafts: Vec<Draft>,
    allowlists: Vec<Allowlist>,
    warnings: Vec<String>,
    file_of: BTreeMap<String, String>,
    files: Vec<String>,
    builtin: BTreeSet<String>,
    /// Files that are being read, to refuse circles.
    open: Vec<PathBuf>,
}

/// What a [`Loader`] leaves.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) rules: Vec<Rule>,
    pub(super) allowlists: Vec<Allowlist>,
    pub(super) warnings: Vec<String>,
}

impl Loader {
    /// The rules that come with the binary, once.
    pub(super) fn builtin(&mut self) -> Result<(), ScanError> {
        if !self.builtin.is_empty() {
            return Ok(());
        }
        for (file, parsed) in builtin() {
            let before = self.drafts.len();
            self.parsed(&file, parsed?, None)?;
            self.builtin.extend(self.drafts.iter().skip(before).map(|draft| draft.id.clone()));
        }
        Ok(())
    }

    /// A file, and the files that it extends.
    pub(super) fn file(&mut self, file: &Path) -> Result<(), ScanError> {
        let name = file.display().to_string();
        let text = read(file)?;
        let canonical = file.canonicalize().map_err(|error| ScanError::read(file, error))?;
        let trouble = if self.open.contains(&canonical) {
            Some("it extends itself, through other files or directly")
        } else if self.open.len() > MAX_DEPTH {
            Some("more than two files extend each other")
        } else {
            None
        };
        if let Some(detail) = trouble {
            return Err(about(&name, "extend.path", detail, "put the rules into fewer files").into());
        }
        self.open.push(canonical);
        let result = self.text(&name, &text, file.parent(), Trust::User);
        self.open.pop();
        result
    }

    /// Rules from text. `folder` is where `[extend] path` starts; without it there is nothing to extend.
    pub(super) fn text(
        &mut self,
        file: &str,
        text: &str,
        folder: Option<&Path>,
        trust: Trust,
    ) -> Result<(), ScanError> {
        self.parsed(file, parse::parse(file, text, trust)?, folder)
    }

    fn parsed(&mut self, file: &str, parsed: Parsed, folder: Option<&Path>) -> Result<(), ScanError> {
        self.files.push(file.to_owned());
        if let Some(extend) = &parsed.extend {
            self.extend(file, extend, folder)?;
        }
        let mut own = BTreeSet::new();
        for draft in parsed.drafts {
            let twice = !own.insert(draft.id.clone());
            self.add(draft, parsed.extend.is_some() && !twice)?;
        }
        self.allowlists.extend(parsed.allowlists);
        self.warnings.extend(parsed.warnings);
        Ok(())
    }

    fn extend(&mut self, file: &str, extend: &Extend, folder: Option<&Path>) -> Result<(), ScanError> {
        if extend.use_default {
            self.builtin()?;
        }
        if let Some(path) = &extend.path {
            let Some(folder) = folder else {
                let detail = "this text has no folder that a path could start from";
                return Err(about(file, "extend.path", detail, "load the rules from a file").into());
            };
            if extend.use_default {
                self.warn(file, "extend.path", "read in addition to `useDefault`; gitleaks would ignore it");
            }
            self.file(&folder.join(path))?;
        }
        for id in &extend.disabled {
            self.disable(file, id);
        }
        Ok(())
    }

    fn disable(&mut self, file: &str, id: &str) {
        let before = self.drafts.len();
        self.drafts.retain(|draft| draft.id != id);
        if self.drafts.len() < before {
            self.file_of.remove(id);
            return;
        }
        match alias::ours(id) {
            Some((ours, true)) => {
                self.drafts.retain(|draft| !ours.contains(&draft.id.as_str()));
                self.warn(file, "disabledRules", &format!("`{id}` is {} here, now off", quoted(ours)));
            }
            Some((ours, false)) => {
                let text = format!("`{id}` is part of {} here, which stays on", quoted(ours));
                self.warn(file, "disabledRules", &text);
            }
            None => self.warn(file, "disabledRules", &format!("there is no rule `{id}` to switch off")),
        }
    }

    fn add(&mut self, draft: Draft, extends: bool) -> Result<(), Box<RuleError>> {
        // Each rule that is kept has a file: most ids are new, which need no look at all others.
        let taken = self.file_of.contains_key(&draft.id);
        let known = taken.then(|| self.drafts.iter_mut().find(|known| known.id == draft.id)).flatten();
        if let Some(known) = known {
            if extends {
                known.change(draft);
                return Ok(());
            }
            let first = self.file_of.get(&draft.id).cloned().unwrap_or_default();
            return Err(Box::new(RuleError {
                file: draft.file,
                rule: Some(draft.id),
                key: Some("id".to_owned()),
                detail: format!("the id is taken by a rule in {first}"),
                hint: "rename one of them, or extend the other file".to_owned(),
            }));
        }
        if extends && draft.partial() {
            self.exceptions(draft);
            return Ok(());
        }
        self.file_of.insert(draft.id.clone(), draft.file.clone());
        self.drafts.push(draft);
        Ok(())
    }

    /// A rule without a pattern that no file has: its exceptions go to ours of the same purpose.
    fn exceptions(&mut self, draft: Draft) {
        let Some((ours, _)) = alias::ours(&draft.id) else {
            let text = format!("there is no rule `{}` to extend, so this one does nothing", draft.id);
            return self.warn(&draft.file, "rules", &text);
        };
        let text = format!("the exceptions of `{}` now hold for {} here", draft.id, quoted(ours));
        self.warn(&draft.file, "rules", &text);
        for mut list in draft.allowlists {
            list.target_rules = ours.iter().map(|id| (*id).to_owned()).collect();
            self.allowlists.push(list);
        }
    }

    fn warn(&mut self, file: &str, key: &str, text: &str) {
        self.warnings.push(format!("{file}, key `{key}`: {text}"));
    }

    pub(super) fn finish(mut self, user: bool) -> Result<Loaded, Box<RuleError>> {
        let files = if self.files.is_empty() { "(no rule file)".to_owned() } else { self.files.join(", ") };
        let mut rules = Vec::with_capacity(self.drafts.len());
        // Rules of which nothing is ever reported.
        let mut idle = 0;
        for draft in std::mem::take(&mut self.drafts) {
            let (file, trust) = (draft.file.clone(), draft.trust);
            let rule = draft.finish()?;
            // The built-in rules have examples that a test looks for.
            if trust == Trust::User && !rule.path_only && !reach::takes_text(rule.pattern.text()) {
                idle += 1;
                let text = "it matches nothing, or nothing but empty text, so the rule never finds anything";
                self.warnings.push(format!("{file}, rule `{}`, key `regex`: {text}", rule.id));
            } else if rule.skip_report {
                idle += 1;
            }
            rules.push(rule);
        }
        if idle == rules.len() {
            let detail = if rules.is_empty() {
                "there is no rule in it"
            } else {
                "none of its rules can find anything: each has `skipReport`, or a regex that matches no text"
            };
            return Err(Box::new(RuleError {
                file: files,
                rule: None,
                key: None,
                detail: detail.to_owned(),
                hint:
                    "a scan without rules would always find nothing; add `[[rules]]`, or `[extend]` with `useDefault = true`"
                        .to_owned(),
            }));
        }
        let known: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        for rule in &rules {
            if let Some(missing) = rule.required.iter().find(|other| !known.contains(other.id.as_str())) {
                let file = self.file_of.get(&rule.id).cloned().unwrap_or_default();
                return Err(Box::new(RuleError {
                    file,
                    rule: Some(rule.id.clone()),
                    key: Some("required.id".to_owned()),
                    detail: format!("there is no rule `{}`, so this one could never be found", missing.id),
                    hint: "add that rule (with `skipReport = true` if it is none by itself)".to_owned(),
                }));
            }
        }
        let mut warnings = std::mem::take(&mut self.warnings);
        for list in &mut self.allowlists {
            warnings.extend(retarget(list, &known));
        }
        let active = rules.iter().filter(|rule| self.builtin.contains(&rule.id)).count();
        if user && active == 0 {
            let many = if rules.len() == 1 { "rule" } else { "rules" };
            warnings.push(format!("0 built-in rules are active; {} {many} of yours", rules.len()));
        }
        Ok(Loaded { rules, allowlists: self.allowlists, warnings })
    }
}

/// The built-in files as drafts. Two threads share them: reading TOML is most of what a start takes.
fn builtin() -> Vec<(String, Result<Parsed, Box<RuleError>>)> {
    let read = |files: &[(&str, &str)]| {
        let one = |(name, text): &(&str, &str)| {
            let file = format!("(built in)/{name}");
            let parsed = parse::parse(&file, text, Trust::Builtin);
            (file, parsed)
        };
        files.iter().map(one).collect::<Vec<_>>()
    };
    let (first, second) = BUILTIN.split_at(middle());
    std::thread::scope(|scope| {
        // A thread that cannot be had is no reason to fail.
        let other = std::thread::Builder::new().spawn_scoped(scope, || read(second));
        let mut all = read(first);
        let rest = other.ok().and_then(|other| other.join().ok());
        all.extend(rest.unwrap_or_else(|| read(second)));
        all
    })
}

/// The file with which the second half of the text begins.
fn middle() -> usize {
    let total: usize = BUILTIN.iter().map(|(_, text)| text.len()).sum();
    let mut sum = 0;
    BUILTIN
        .iter()
        .take_while(|(_, text)| {
            sum += text.len();
            sum <= total / 2
        })
        .count()
}

/// Gives a list's targets our names; says which are unknown. A list that is for unknown rules only holds for none.
fn retarget(list: &mut Allowlist, known: &BTreeSet<&str>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut targets = Vec::new();
    for id in &list.target_rules {
        match alias::ours(id) {
            _ if known.contains(id.as_str()) => targets.push(id.clone()),
            Some((ours, _)) => targets.extend(ours.iter().map(|id| (*id).to_owned())),
            None => {
                warnings.push(format!("key `allowlists.targetRules`: there is no rule `{id}`"));
                targets.push(id.clone());
            }
        }
    }
    list.target_rules = targets;
    warnings
}

fn quoted(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ")
}

#[expect(clippy::unnecessary_box_returns, reason = "every caller returns it boxed")]
fn about(file: &str, key: &str, detail: &str, hint: &str) -> Box<RuleError> {
    Box::new(RuleError {
        file: file.to_owned(),
        rule: None,
        key: Some(key.to_owned()),
        detail: detail.to_owned(),
        hint: hint.to_owned(),
    })
}

/// The rule files at a path, sorted.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, ScanError> {
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
