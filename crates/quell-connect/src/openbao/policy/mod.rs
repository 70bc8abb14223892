//! What policies allow on a path, by the server's own rules of matching.
//!
//! Source: openbao.org/docs/concepts/policies (2026-11-23): the most specific pattern alone counts, an exact one before all
//! others; of several, the one whose first `+` or `*` comes later, then one without `*`, then the one with fewer `+`, then the
//! longer; the same pattern in several policies gives the union, but `deny` wins. A test compares it with
//! `sys/capabilities` of a real server.

mod hcl;
pub(super) mod tighten;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One `path` block of a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rule {
    /// As it is written.
    pub(super) pattern: String,
    pub(super) capabilities: BTreeSet<String>,
    /// What else must hold: `required_parameters`, …
    pub(super) conditions: BTreeSet<String>,
}

/// The rules of all policies of a bearer, each with the name of its policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Acl {
    pub(super) root: bool,
    pub(super) rules: Vec<(String, Rule)>,
}

/// What an [`Acl`] gives on a path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Given {
    /// Empty when nothing is given, or `deny`.
    pub(super) capabilities: BTreeSet<String>,
    /// The pattern that decided, and the policies that have it.
    pub(super) pattern: String,
    pub(super) policies: BTreeSet<String>,
    pub(super) conditions: BTreeSet<String>,
}

/// The rules of a policy's text.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, String> {
    hcl::blocks(text)?.iter().map(|block| rule(&block.pattern, &block.body)).collect()
}

fn rule(pattern: &str, body: &serde_json::Map<String, Value>) -> Result<Rule, String> {
    let mut rule = Rule {
        pattern: pattern.trim_start_matches('/').to_owned(),
        capabilities: BTreeSet::new(),
        conditions: BTreeSet::new(),
    };
    for (key, value) in body {
        match key.as_str() {
            "capabilities" => {
                let list = value.as_array().ok_or_else(|| format!("`{pattern}`: no list of capabilities"))?;
                rule.capabilities.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            "policy" => rule.capabilities.extend(older(value).iter().copied().map(str::to_owned)),
            "comment" => {}
            other => {
                rule.conditions.insert(other.to_owned());
            }
        }
    }
    if rule.capabilities.contains("deny") {
        rule.capabilities = BTreeSet::from(["deny".to_owned()]);
    }
    Ok(rule)
}

/// The words that stood for capabilities before there were any.
fn older(policy: &Value) -> &'static [&'static str] {
    match policy.as_str() {
        Some("read") => &["read", "list"],
        Some("write") => &["create", "read", "update", "delete", "list"],
        Some("sudo") => &["create", "read", "update", "delete", "list", "sudo"],
        _ => &["deny"],
    }
}

impl Rule {
    /// Its pattern holds a part of whoever asks, which is not evaluated here.
    pub(super) fn is_templated(&self) -> bool {
        self.pattern.contains("{{")
    }

    /// How it matches a path, if it does.
    fn matches<'a>(&'a self, path: &str) -> Option<Rank<'a>> {
        let pattern = self.pattern.as_str();
        let segments = pattern == "+" || pattern.starts_with("+/") || pattern.contains("/+");
        let (body, glob) = match pattern.strip_suffix('*') {
            Some(body) => (body, true),
            None => (pattern, false),
        };
        if !segments {
            let hit = if glob { path.starts_with(body) } else { path == body };
            let first = if glob { body.len() } else { usize::MAX };
            return hit.then_some(Rank { first, glob, wildcards: 0, body });
        }
        let wanted: Vec<&str> = body.split('/').collect();
        let given: Vec<&str> = path.split('/').collect();
        if given.len() < wanted.len() || (!glob && given.len() != wanted.len()) {
            return None;
        }
        let mut wildcards = 0;
        for (n, (want, have)) in wanted.iter().zip(&given).enumerate() {
            let last = glob && n + 1 == wanted.len();
            match *want {
                "+" => wildcards += 1,
                want if want == *have || (last && have.starts_with(want)) => {}
                _ => return None,
            }
        }
        Some(Rank { first: pattern.find('+').unwrap_or(pattern.len()), glob, wildcards, body })
    }
}

/// How specific a match is; the greatest counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Rank<'a> {
    /// Where the first `+` or `*` stands; past all of them for an exact match.
    first: usize,
    glob: bool,
    wildcards: usize,
    body: &'a str,
}

impl Rank<'_> {
    fn cmp(&self, other: &Rank<'_>) -> Ordering {
        self.first
            .cmp(&other.first)
            .then(other.glob.cmp(&self.glob))
            .then(other.wildcards.cmp(&self.wildcards))
            .then(self.body.len().cmp(&other.body.len()))
            .then(self.body.cmp(other.body))
    }
}

impl Acl {
    /// What is given on `path`. Templated patterns match nothing here: see [`Acl::depends_on_who_asks`].
    pub(super) fn on(&self, path: &str) -> Given {
        let mut best: Option<Rank<'_>> = None;
        let mut by_pattern: BTreeMap<&str, Vec<(&str, &Rule)>> = BTreeMap::new();
        for (policy, rule) in self.rules.iter().filter(|(_, rule)| !rule.is_templated()) {
            let Some(rank) = rule.matches(path) else { continue };
            if best.is_none_or(|best| best.cmp(&rank) == Ordering::Less) {
                best = Some(rank);
                by_pattern.clear();
            }
            if best == Some(rank) {
                by_pattern.entry(&rule.pattern).or_default().push((policy, rule));
            }
        }
        let mut given = Given::default();
        for (pattern, found) in by_pattern {
            pattern.clone_into(&mut given.pattern);
            for (policy, rule) in found {
                given.policies.insert(policy.to_owned());
                given.capabilities.extend(rule.capabilities.iter().cloned());
                given.conditions.extend(rule.conditions.iter().cloned());
            }
        }
        if given.capabilities.contains("deny") {
            given.capabilities.clear();
        }
        if self.root {
            given.capabilities.insert("root".to_owned());
            given.policies.insert("root".to_owned());
        }
        given
    }

    /// Some rule depends on who asks, and could match the path.
    pub(super) fn depends_on_who_asks(&self, path: &str) -> bool {
        let could = |rule: &Rule| {
            let before = rule.pattern.split_once("{{").map(|(before, _)| before);
            before.is_some_and(|before| before.contains('+') || path.starts_with(before))
        };
        self.rules.iter().any(|(_, rule)| could(rule))
    }
}

impl Given {
    /// Whether one of these is given.
    pub(super) fn has_one_of(&self, wanted: &[&str]) -> bool {
        self.capabilities.iter().any(|one| one == "root" || wanted.contains(&one.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(policies: &[(&str, &str)]) -> Acl {
        let mut acl = Acl::default();
        for (name, text) in policies {
            acl.rules.extend(rules(text).unwrap().into_iter().map(|rule| ((*name).to_owned(), rule)));
        }
        acl
    }

    fn seen(acl: &Acl, path: &str) -> String {
        let given = acl.on(path);
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join("+");
        format!("{} by {} of {}", list(&given.capabilities), given.pattern, list(&given.policies))
    }

    #[test]
    fn the_most_specific_pattern_alone_counts_and_deny_wins() {
        let acl = acl(&[
            (
                "wide",
                "path \"kv/*\" { capabilities = [\"read\", \"list\"] } path \"kv/data/hr/*\" { policy = \"deny\" }",
            ),
            (
                "app",
                "path \"kv/data/+/db\" { capabilities = [\"update\"] } path \"kv/data/x\" { capabilities = [\"read\"] }",
            ),
            (
                "more",
                "path \"kv/data/x\" { capabilities = [\"create\"] } path \"kv/data/+/d*\" { capabilities = [\"sudo\"] }",
            ),
            (
                "no",
                "path \"kv/data/y\" { capabilities = [\"read\"] } path \"kv/data/y\" { capabilities = [\"deny\"] }",
            ),
        ]);
        assert_eq!(seen(&acl, "kv/metadata/a"), "list+read by kv/* of wide");
        assert_eq!(seen(&acl, "kv/data/x"), "create+read by kv/data/x of app+more");
        assert_eq!(seen(&acl, "kv/data/y"), " by kv/data/y of no");
        assert_eq!(seen(&acl, "kv/data/hr/db"), " by kv/data/hr/* of wide", "its first wildcard comes later");
        assert_eq!(seen(&acl, "kv/data/a/db"), "update by kv/data/+/db of app", "without a glob");
        assert_eq!(seen(&acl, "kv/data/a/dx/y"), "sudo by kv/data/+/d* of more");
        assert_eq!(seen(&acl, "other"), " by  of ");
        assert!(!acl.on("other").has_one_of(&["read"]) && acl.on("kv/data/x").has_one_of(&["read"]));
    }

    #[test]
    fn conditions_templates_and_root_are_told() {
        let acl = acl(&[(
            "t",
            "path \"kv/data/{{identity.entity.name}}/*\" { capabilities = [\"read\"] }
             path \"/pki/issue/x\" { capabilities = [\"update\"] required_parameters = [\"ttl\"] comment = \"c\" }",
        )]);
        assert!(acl.depends_on_who_asks("kv/data/x") && !acl.depends_on_who_asks("pki/issue/x"));
        assert_eq!(acl.on("pki/issue/x").conditions, BTreeSet::from(["required_parameters".to_owned()]));
        let root = Acl { root: true, rules: Vec::new() };
        assert!(root.on("anything").has_one_of(&["read"]));
    }
}
