//! The report of gitleaks, which many programs import: <https://github.com/gitleaks/gitleaks>, README, "Report format".
//!
//! `Secret` and `Match` are the public preview. A match's end, its entropy and the commit's message are not kept, so the
//! end is the start, the entropy 0 and the message empty.

use serde_json::{Value, json};

use crate::scan::{Matched, Scanned};

pub(super) fn render(scanned: &Scanned) -> Value {
    scanned.findings.iter().map(one).collect()
}

fn one(matched: &Matched) -> Value {
    let finding = &matched.finding;
    let place = &finding.place;
    let (author, email) = place.author.as_deref().map(author).unwrap_or_default();
    let commit = place.commit.as_deref().unwrap_or_default();
    let start = if commit.is_empty() { String::new() } else { format!("{commit}:") };
    let mut tags: Vec<String> = vec![format!("finding:{}", finding.id), format!("kind:{}", finding.kind)];
    tags.extend(matched.secret.iter().map(|secret| format!("secret:{secret}")));
    json!({
        "RuleID": finding.rule,
        "Description": finding.description,
        "StartLine": place.line,
        "EndLine": place.line,
        "StartColumn": place.column,
        "EndColumn": place.column,
        "Match": finding.preview,
        "Secret": finding.preview,
        "File": place.file,
        "SymlinkFile": "",
        "Commit": commit,
        "Entropy": 0,
        "Author": author,
        "Email": email,
        "Date": place.author_time.map(|time| time.to_string()).unwrap_or_default(),
        "Message": "",
        "Tags": tags,
        "Fingerprint": format!("{start}{}:{}:{}", place.file, finding.rule, place.line),
    })
}

/// `Name <address>`, apart.
fn author(text: &str) -> (&str, &str) {
    match text.rsplit_once('<') {
        Some((name, address)) => (name.trim(), address.trim_end().trim_end_matches('>')),
        None => (text.trim(), ""),
    }
}
