//! A rule as one file writes it, before other files complete or change it.

use super::parse::Trust;
use super::part::{Part, Required};
use super::{Allowlist, Checksum, DEFAULT_WINDOW, Pattern, Rank, Rule, inside};
use crate::RuleError;

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) file: String,
    pub(super) trust: Trust,
    pub(super) id: String,
    pub(super) description: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) pattern: Option<Pattern>,
    pub(super) secret_group: Option<usize>,
    pub(super) entropy: Option<f64>,
    pub(super) keywords: Vec<String>,
    pub(super) keywords_inside: Option<bool>,
    pub(super) path: Option<Pattern>,
    pub(super) tags: Vec<String>,
    pub(super) allowlists: Vec<Allowlist>,
    pub(super) prefix: Option<usize>,
    pub(super) window: Option<usize>,
    pub(super) examples: Vec<String>,
    pub(super) non_examples: Vec<String>,
    pub(super) source: Option<String>,
    pub(super) checksum: Option<Checksum>,
    pub(super) parts: Vec<Part>,
    pub(super) required: Vec<Required>,
    pub(super) skip_report: Option<bool>,
}

/// Matches nothing: a rule that only looks at paths has it.
const NEVER: &str = r"[^\x00-\xFF]";

impl Draft {
    /// True when it cannot be a rule by itself.
    pub(super) fn partial(&self) -> bool {
        self.pattern.is_none() && self.path.is_none()
    }

    /// Takes over what a file that extends this one says: given fields replace, lists are appended, as gitleaks has it.
    pub(super) fn change(&mut self, other: Self) {
        if other.pattern.is_some() {
            // What was true of the old form says nothing about the new one.
            self.pattern = other.pattern;
            self.secret_group = None;
            self.checksum = None;
            self.keywords_inside = None;
            self.parts.clear();
            self.prefix = None;
            self.trust = other.trust;
            self.file = other.file;
        } else if !other.keywords.is_empty() {
            self.keywords_inside = None;
        }
        self.description = other.description.or_else(|| self.description.take());
        self.kind = other.kind.or_else(|| self.kind.take());
        self.secret_group = other.secret_group.or(self.secret_group);
        self.entropy = other.entropy.or(self.entropy);
        self.path = other.path.or_else(|| self.path.take());
        self.prefix = other.prefix.or(self.prefix);
        self.window = other.window.or(self.window);
        self.checksum = other.checksum.or(self.checksum);
        self.skip_report = other.skip_report.or(self.skip_report);
        self.source = other.source.or_else(|| self.source.take());
        self.keywords.extend(other.keywords);
        self.tags.extend(other.tags);
        self.allowlists.extend(other.allowlists);
        self.parts.extend(other.parts);
        self.required.extend(other.required);
    }

    pub(super) fn finish(self) -> Result<Rule, Box<RuleError>> {
        if self.partial() {
            return Err(self.error(
                "regex",
                "there is neither `regex` nor `path`, and no rule of this name is extended",
                "say what the secret looks like, or extend the file that has the rule",
            ));
        }
        let path_only = self.pattern.is_none();
        let groups = match &self.pattern {
            Some(pattern) if self.trust == Trust::User => {
                pattern.regex().map(regex::bytes::Regex::captures_len)
            }
            _ => None,
        };
        let secret_group = self.secret_group.unwrap_or(0);
        if let Some(groups) = groups.filter(|groups| secret_group >= *groups) {
            let detail = format!("group {secret_group} does not exist; the regex has {}", groups - 1);
            return Err(self.error("secretGroup", &detail, "groups count from 1"));
        }
        let pattern = self.pattern.unwrap_or_else(|| Pattern::trusted(NEVER.to_owned()));
        let rank = if self.tags.iter().any(|tag| tag == "generic") {
            Rank::Generic
        } else if pattern.text().contains("(?P<password>") {
            Rank::Url
        } else {
            Rank::Specific
        };
        // The built-in rules are proven by a test, so that nobody pays for the proof at each start.
        let keywords_inside = self.keywords_inside.unwrap_or_else(|| {
            !self.keywords.is_empty()
                && (self.trust == Trust::Builtin || inside::proven(pattern.text(), &self.keywords))
        });
        Ok(Rule {
            description: self.description.unwrap_or_else(|| self.id.clone()),
            kind: self.kind.unwrap_or_else(|| self.id.clone()),
            pattern,
            secret_group,
            entropy: self.entropy,
            keywords_inside,
            anywhere: !keywords_inside && self.trust == Trust::User && self.window.is_none(),
            path_only,
            keywords: self.keywords,
            path: self.path,
            placeholders: rank != Rank::Specific || self.tags.iter().any(|tag| tag == "assigned"),
            tags: self.tags,
            allowlists: self.allowlists,
            prefix: self.prefix.unwrap_or(0),
            window: self.window.unwrap_or(DEFAULT_WINDOW),
            examples: self.examples,
            non_examples: self.non_examples,
            source: self.source,
            checksum: self.checksum,
            parts: self.parts,
            required: self.required,
            skip_report: self.skip_report.unwrap_or(false),
            rank,
            id: self.id,
        })
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every caller returns it boxed")]
    fn error(&self, key: &str, detail: &str, hint: &str) -> Box<RuleError> {
        Box::new(RuleError {
            file: self.file.clone(),
            rule: Some(self.id.clone()),
            key: Some(key.to_owned()),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        })
    }
}
