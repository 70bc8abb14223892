//! A checked set of rules, built in or of the user's own.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::load::{self, Loaded, Loader};
use super::parse::Trust;
use super::{Allowlist, Rule};
use crate::engine::Plan;
use crate::{RuleError, ScanError};

/// The built-in rules, by issuer family.
pub(super) const BUILTIN: &[(&str, &str)] = &[
    ("ai-tool.toml", include_str!("../../../../rules/ai-tool.toml")),
    ("ai.toml", include_str!("../../../../rules/ai.toml")),
    ("analytics.toml", include_str!("../../../../rules/analytics.toml")),
    ("aws.toml", include_str!("../../../../rules/aws.toml")),
    ("azure.toml", include_str!("../../../../rules/azure.toml")),
    ("ci.toml", include_str!("../../../../rules/ci.toml")),
    ("cloud-provider.toml", include_str!("../../../../rules/cloud-provider.toml")),
    ("cloud.toml", include_str!("../../../../rules/cloud.toml")),
    ("code-host.toml", include_str!("../../../../rules/code-host.toml")),
    ("coin.toml", include_str!("../../../../rules/coin.toml")),
    ("command-line.toml", include_str!("../../../../rules/command-line.toml")),
    ("command.toml", include_str!("../../../../rules/command.toml")),
    ("commerce.toml", include_str!("../../../../rules/commerce.toml")),
    ("container.toml", include_str!("../../../../rules/container.toml")),
    ("content.toml", include_str!("../../../../rules/content.toml")),
    ("credential-file.toml", include_str!("../../../../rules/credential-file.toml")),
    ("data-search.toml", include_str!("../../../../rules/data-search.toml")),
    ("data-service.toml", include_str!("../../../../rules/data-service.toml")),
    ("database.toml", include_str!("../../../../rules/database.toml")),
    ("dev-tool.toml", include_str!("../../../../rules/dev-tool.toml")),
    ("edge.toml", include_str!("../../../../rules/edge.toml")),
    ("file-format.toml", include_str!("../../../../rules/file-format.toml")),
    ("framework.toml", include_str!("../../../../rules/framework.toml")),
    ("generic.toml", include_str!("../../../../rules/generic.toml")),
    ("google.toml", include_str!("../../../../rules/google.toml")),
    ("hosting.toml", include_str!("../../../../rules/hosting.toml")),
    ("identity.toml", include_str!("../../../../rules/identity.toml")),
    ("key.toml", include_str!("../../../../rules/key.toml")),
    ("mail.toml", include_str!("../../../../rules/mail.toml")),
    ("message.toml", include_str!("../../../../rules/message.toml")),
    ("monitor.toml", include_str!("../../../../rules/monitor.toml")),
    ("network.toml", include_str!("../../../../rules/network.toml")),
    ("notify.toml", include_str!("../../../../rules/notify.toml")),
    ("observe.toml", include_str!("../../../../rules/observe.toml")),
    ("office.toml", include_str!("../../../../rules/office.toml")),
    ("package.toml", include_str!("../../../../rules/package.toml")),
    ("part.toml", include_str!("../../../../rules/part.toml")),
    ("payment.toml", include_str!("../../../../rules/payment.toml")),
    ("social.toml", include_str!("../../../../rules/social.toml")),
    ("vault.toml", include_str!("../../../../rules/vault.toml")),
    ("work.toml", include_str!("../../../../rules/work.toml")),
];

/// A checked set of rules.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    allowlists: Vec<Allowlist>,
    warnings: Vec<String>,
    plan: OnceLock<Plan>,
    path_rules: Vec<usize>,
}

impl RuleSet {
    /// The rules that come with the binary.
    pub fn builtin() -> Result<Self, ScanError> {
        let mut loader = Loader::default();
        loader.builtin()?;
        Self::from_loader(loader, false)
    }

    /// Rules of the user's own files and folders (every `*.toml` in them), in place of the built-in ones unless a file
    /// says `[extend] useDefault = true`. [`RuleSet::warnings`] says so when no built-in rule is left.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ScanError> {
        let mut loader = Loader::default();
        for path in paths {
            for file in load::files(path)? {
                loader.file(&file)?;
            }
        }
        Self::from_loader(loader, true)
    }

    /// Rules from text; `name` stands in for the file in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScanError> {
        let mut loader = Loader::default();
        loader.text(name, text, None, Trust::User)?;
        Self::from_loader(loader, true)
    }

    fn from_loader(loader: Loader, user: bool) -> Result<Self, ScanError> {
        let Loaded { rules, allowlists, warnings } = loader.finish(user)?;
        Ok(Self::of(rules, allowlists, warnings))
    }

    /// No rules at all: for a search that looks for known values only.
    pub fn none() -> Result<Self, ScanError> {
        Ok(Self::of(Vec::new(), Vec::new(), Vec::new()))
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
        if rules.iter().all(|rule| rule.skip_report) {
            let detail = "all rules that are left only serve others (`skipReport`)";
            return Err(wrong(None, detail, "add a rule that requires them").into());
        }
        Ok(Self::of(rules, self.allowlists, self.warnings))
    }

    fn of(rules: Vec<Rule>, allowlists: Vec<Allowlist>, warnings: Vec<String>) -> Self {
        let path_rules = (0..rules.len()).filter(|at| rules.get(*at).is_some_and(|r| r.path_only)).collect();
        Self { rules, allowlists, warnings, plan: OnceLock::new(), path_rules }
    }

    #[cfg(test)]
    pub(crate) fn into_rules(self) -> Vec<Rule> {
        self.rules
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

    /// Indexes of the rules that only look at paths: every path must be shown to them, whatever its content.
    pub(crate) fn path_rules(&self) -> &[usize] {
        &self.path_rules
    }

    /// Whether a rule is for a path: those without a path pattern are for all.
    pub(crate) fn is_for(&self, rule: usize, path: &str) -> bool {
        let pattern = self.rules.get(rule).and_then(|rule| rule.path.as_ref());
        pattern.is_none_or(|pattern| pattern.matches(path.as_bytes()))
    }

    /// Whether some rule is for files at this path and not for all others.
    pub(crate) fn counts_at(&self, path: &[u8]) -> bool {
        self.rules.iter().filter_map(|rule| rule.path.as_ref()).any(|pattern| pattern.matches(path))
    }

    /// The lists that can except a match of a rule: its own, then the global ones.
    pub(crate) fn lists_for<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a Allowlist> {
        let global = self.allowlists.iter().filter(|list| list.concerns(&rule.id));
        rule.allowlists.iter().chain(global)
    }
}
