//! `quell rules`.

use quell_app::AppError;
use quell_app::scan;
use serde_json::{Value, json};

use crate::cli::RulesCommand;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) fn run(command: &RulesCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        RulesCommand::List { rules } => {
            let rules = scan::rules(rules)?;
            if out.json() {
                let all: Vec<Value> = rules.rules().iter().map(described).collect();
                out.object(&json!({"rules": all}))?;
            } else {
                let row = |rule: &quell_scan::rule::Rule| {
                    vec![rule.id.clone(), rule.kind.clone(), rule.description.clone()]
                };
                out.table(&["id", "kind", "description"], rules.rules().iter().map(row).collect())?;
                out.status(format!("{} rules", rules.rules().len()));
            }
            Ok(exit::OK)
        }
        RulesCommand::Show { id, rules } => {
            let rules = scan::rules(rules)?;
            let rule = rules
                .rules()
                .iter()
                .find(|rule| rule.id == *id)
                .ok_or_else(|| AppError::NotFound { what: "rule", id: id.clone() })?;
            show(rule, out)?;
            Ok(exit::OK)
        }
        RulesCommand::Check { files } => check(files, out),
    }
}

fn described(rule: &quell_scan::rule::Rule) -> Value {
    json!({
        "id": rule.id,
        "kind": rule.kind,
        "description": rule.description,
        "source": rule.source,
        "keywords": rule.keywords,
        "regex": rule.pattern.text(),
        "path": rule.path.as_ref().map(quell_scan::rule::Pattern::text),
        "entropy": rule.entropy,
        "tags": rule.tags,
        "examples": rule.examples,
        "non_examples": rule.non_examples,
    })
}

fn show(rule: &quell_scan::rule::Rule, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(&described(rule));
    }
    out.data(format!("{}  {}", tone(Tone::Name, &rule.id), tone(Tone::Strong, &rule.description)))?;
    out.data(format!("  kind      {}", rule.kind))?;
    out.data(format!("  source    {}", rule.source.as_deref().unwrap_or("none given")))?;
    out.data(format!("  keywords  {}", rule.keywords.join(", ")))?;
    out.data(format!("  regex     {}", rule.pattern.text()))?;
    if let Some(path) = &rule.path {
        out.data(format!("  path      {}", path.text()))?;
    }
    if let Some(entropy) = rule.entropy {
        out.data(format!("  entropy   above {entropy} bits a byte"))?;
    }
    for (what, texts) in [("like", &rule.examples), ("unlike", &rule.non_examples)] {
        for text in texts {
            out.data(format!("  {what:<8}  {}", text.replace('\n', "⏎")))?;
        }
    }
    Ok(())
}

fn check(files: &[std::path::PathBuf], out: &Out) -> Result<u8, AppError> {
    let checked = scan::check_rules(files)?;
    for warning in &checked.warnings {
        out.warning(warning);
    }
    if out.json() {
        out.object(&checked)?;
    } else {
        for problem in &checked.problems {
            out.data(format!("{} {problem}", tone(Tone::Bad, "wrong:")))?;
        }
        out.status(format!(
            "{} rules, {} examples, {} problem(s); {} rules have no example",
            checked.rules,
            checked.examples,
            checked.problems.len(),
            checked.without_examples
        ));
    }
    Ok(if checked.problems.is_empty() { exit::OK } else { exit::FINDINGS })
}
