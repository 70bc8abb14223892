//! A policy that gives what is needed, and denies everything else by not naming it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Acl, Rule, hcl};

/// What is needed: capabilities on a path, each with who says so.
pub type Needs = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// More paths than these below one pattern are kept as the pattern: nobody reviews a list of thousands.
const PATHS_MAX: usize = 50;

/// A policy, reviewed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Tightened {
    /// Its patterns, in the order of the text.
    pub rules: Vec<Reviewed>,
    /// The proposal. Blocks that stay as they are stay as they are written, with the comments.
    pub text: String,
}

/// One pattern of a policy.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Reviewed {
    /// As it is written.
    pub pattern: String,
    /// The capabilities that it gives.
    pub gives: BTreeSet<String>,
    /// What of it is needed; nothing of a pattern that goes.
    pub needed: Vec<Needed>,
    /// Why it is kept wider than what is needed, if it is.
    pub kept: Option<String>,
}

/// What is needed below a pattern.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Needed {
    /// The path.
    pub path: String,
    /// On it.
    pub capabilities: BTreeSet<String>,
    /// Who says so.
    pub because: BTreeSet<String>,
}

/// Proposes a policy that gives what is needed and nothing else.
///
/// # Errors
/// When the policy cannot be read.
pub fn tighten(text: &str, needs: &Needs) -> Result<Tightened, String> {
    let blocks = hcl::blocks(text)?;
    let mut acl = Acl::default();
    for block in &blocks {
        acl.rules.push((String::new(), super::rule(&block.pattern, &block.body)?));
    }
    let mut by_pattern = needed_by_pattern(&acl, needs);
    let mut reviewed = Vec::new();
    let mut edits = Vec::new();
    for (block, (_, rule)) in blocks.iter().zip(&acl.rules) {
        // A pattern that stands twice is decided at its first place.
        let needed = by_pattern.remove(&rule.pattern).unwrap_or_default();
        let (kept, instead) = decide(rule, &block.body, &needed);
        reviewed.push(Reviewed {
            pattern: rule.pattern.clone(),
            gives: rule.capabilities.clone(),
            needed,
            kept,
        });
        edits.push((block.span.clone(), instead));
    }
    let text = if edits.iter().all(|(span, _)| span.is_some()) {
        edited(text, &edits)
    } else {
        let left = blocks.iter().zip(&edits).map(|(block, (_, instead))| {
            instead.clone().unwrap_or_else(|| shown(&block.pattern, &block.body))
        });
        let lines: Vec<String> = left.filter(|block| !block.is_empty()).collect();
        lines.join("\n") + "\n"
    };
    Ok(Tightened { rules: reviewed, text })
}

fn needed_by_pattern(acl: &Acl, needs: &Needs) -> BTreeMap<String, Vec<Needed>> {
    let mut by_pattern: BTreeMap<String, Vec<Needed>> = BTreeMap::new();
    for (path, capabilities) in needs {
        let mut given = acl.on(path);
        if given.pattern.is_empty() {
            // A list is asked for with a slash at its end, and may be given without.
            given = acl.on(path.trim_end_matches('/'));
        }
        let writes = capabilities.keys().any(|one| one == "create" || one == "update");
        let is_needed = |one: &&String| match one.as_str() {
            // Whether it is one or the other depends on what is there already.
            "create" | "update" => writes,
            // The log does not tell whether a request needed it.
            "sudo" => true,
            one => capabilities.contains_key(one),
        };
        let kept: BTreeSet<String> = given.capabilities.iter().filter(is_needed).cloned().collect();
        if kept.iter().all(|one| one == "sudo") {
            continue;
        }
        by_pattern.entry(given.pattern).or_default().push(Needed {
            path: path.clone(),
            capabilities: kept,
            because: capabilities.values().flatten().cloned().collect(),
        });
    }
    by_pattern
}

/// Why a rule is kept wider than needed, and the blocks that take its place: `None` leaves it as it is.
fn decide(rule: &Rule, body: &Map<String, Value>, needed: &[Needed]) -> (Option<String>, Option<String>) {
    if rule.is_templated() {
        return (Some("its pattern depends on who asks, and was not evaluated".to_owned()), None);
    }
    if rule.capabilities.contains("deny") {
        return (Some("it denies".to_owned()), None);
    }
    let used: BTreeSet<String> = needed.iter().flat_map(|one| one.capabilities.iter().cloned()).collect();
    if needed.is_empty() {
        return (None, Some(String::new()));
    }
    let exact = matches!(needed, [one] if one.path == rule.pattern);
    let conditions = !rule.conditions.is_empty();
    if exact || conditions || needed.len() > PATHS_MAX {
        let why = match (exact, conditions) {
            (true, _) => None,
            (false, true) => Some("it has conditions, which were not evaluated".to_owned()),
            (false, false) => Some(format!("{} paths below it are needed", needed.len())),
        };
        if used == rule.capabilities {
            return (why, None);
        }
        let mut body = body.clone();
        body.remove("policy");
        body.insert("capabilities".to_owned(), used.into_iter().collect());
        return (why, Some(shown(&rule.pattern, &body)));
    }
    let blocks: Vec<String> = needed
        .iter()
        .map(|one| {
            let capabilities = one.capabilities.iter().cloned().collect();
            shown(&one.path, &Map::from_iter([("capabilities".to_owned(), capabilities)]))
        })
        .collect();
    (None, Some(blocks.join("\n")))
}

/// The text with each block replaced, left or taken out.
fn edited(text: &str, edits: &[(Option<std::ops::Range<usize>>, Option<String>)]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for (span, instead) in edits {
        let (Some(span), Some(instead)) = (span, instead) else { continue };
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(instead);
        at = span.end;
        if instead.is_empty() {
            // No empty line where a block was.
            let rest = text.get(at..).unwrap_or_default();
            at += rest.len() - rest.trim_start_matches([' ', '\t']).trim_start_matches('\n').len();
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn shown(pattern: &str, body: &Map<String, Value>) -> String {
    let lines: Vec<String> =
        body.iter().map(|(key, value)| format!("  {key} = {}", hcl_value(value))).collect();
    format!("path {} {{\n{}\n}}", quoted(pattern), lines.join("\n"))
}

fn hcl_value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(hcl_value).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{} = {}", quoted(key), hcl_value(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(list: &[(&str, &str)]) -> Needs {
        let mut needs = Needs::new();
        for (path, capability) in list {
            let on = needs.entry((*path).to_owned()).or_default();
            on.entry((*capability).to_owned()).or_default().insert("the log".to_owned());
        }
        needs
    }

    const POLICY: &str = r#"# The orders service.
path "kv/data/apps/*" { capabilities = ["create", "read", "update", "list"] }

# Never.
path "kv/data/hr/*" { capabilities = ["deny"] }
path "kv/data/exact" { capabilities = ["read"] } # as it is
path "kv/metadata/*" { capabilities = ["list"] }
path "kv/data/{{identity.entity.name}}/*" { capabilities = ["read"] }
path "pki/issue/web" {
  capabilities = ["create", "update"]
  allowed_parameters = { "common_name" = ["a.example"], "*" = [] }
}
path "sys/raw/*" { policy = "sudo" }
"#;

    #[test]
    fn what_is_needed_stays_and_all_else_goes() {
        let needed = needs(&[
            ("kv/data/apps/orders", "read"),
            ("kv/data/apps/new", "create"),
            ("kv/data/exact", "read"),
            ("kv/metadata/apps/", "list"),
            ("kv/data/hr/x", "read"),
            ("pki/issue/web", "update"),
            ("somewhere/else", "read"),
        ]);
        let tight = tighten(POLICY, &needed).unwrap();
        insta::assert_snapshot!(tight.text, @r#"
        # The orders service.
        path "kv/data/apps/new" {
          capabilities = ["create", "update"]
        }
        path "kv/data/apps/orders" {
          capabilities = ["read"]
        }

        # Never.
        path "kv/data/hr/*" { capabilities = ["deny"] }
        path "kv/data/exact" { capabilities = ["read"] } # as it is
        path "kv/metadata/apps/" {
          capabilities = ["list"]
        }
        path "kv/data/{{identity.entity.name}}/*" { capabilities = ["read"] }
        path "pki/issue/web" {
          capabilities = ["create", "update"]
          allowed_parameters = { "common_name" = ["a.example"], "*" = [] }
        }
        "#);
        assert_eq!(super::super::rules(&tight.text).unwrap().len(), 7, "{}", tight.text);
        let kept = |pattern: &str| tight.rules.iter().find(|rule| rule.pattern == pattern).unwrap();
        assert_eq!(kept("kv/data/hr/*").kept.as_deref(), Some("it denies"));
        assert!(kept("sys/raw/*").needed.is_empty() && kept("sys/raw/*").gives.contains("sudo"));
        assert_eq!(kept("kv/data/apps/*").needed[1].because, BTreeSet::from(["the log".to_owned()]));
        // Tightened once, it is tight.
        assert_eq!(tighten(&tight.text, &needed).unwrap().text, tight.text);
    }

    #[test]
    fn nothing_is_needed_and_nothing_is_left_and_json_becomes_hcl() {
        let json = r#"{"path": {"a/*": {"capabilities": ["read", "sudo"]}, "b": {"policy": "deny"}}}"#;
        assert_eq!(tighten(json, &Needs::new()).unwrap().text, "path \"b\" {\n  policy = \"deny\"\n}\n");
        let tight = tighten(json, &needs(&[("a/x", "read")])).unwrap();
        assert!(
            tight.text.starts_with("path \"a/x\" {\n  capabilities = [\"read\", \"sudo\"]\n}\n"),
            "{}",
            tight.text
        );
        assert!(tighten("path", &Needs::new()).is_err());
    }

    #[test]
    fn a_pattern_with_too_many_paths_or_with_conditions_is_kept_with_what_is_used() {
        let many: Vec<String> = (0..60).map(|n| format!("kv/data/{n}")).collect();
        let all: Vec<(&str, &str)> = many.iter().map(|path| (path.as_str(), "read")).collect();
        let policy = "path \"kv/data/*\" { capabilities = [\"read\", \"delete\"] }";
        let tight = tighten(policy, &needs(&all)).unwrap();
        assert_eq!(tight.text, "path \"kv/data/*\" {\n  capabilities = [\"read\"]\n}");
        assert_eq!(tight.rules[0].kept.as_deref(), Some("60 paths below it are needed"));
        let policy = "path \"t/*\" { capabilities = [\"update\", \"read\"] required_parameters = [\"x\"] }";
        let tight = tighten(policy, &needs(&[("t/a", "update")])).unwrap();
        assert!(
            tight.text.contains("required_parameters = [\"x\"]") && !tight.text.contains("read\""),
            "{}",
            tight.text
        );
    }
}
