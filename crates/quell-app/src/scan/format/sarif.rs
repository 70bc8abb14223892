//! SARIF 2.1.0: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.
//!
//! Nobody's mail address and no author is in it: it is uploaded to places where many can read. Columns are left out, since
//! ours count bytes and those of SARIF count characters; they are in the properties.

use std::collections::BTreeMap;

use quell_scan::Confidence;
use serde_json::{Value, json};

use super::{About, more, sentence};
use crate::scan::{Matched, Scanned};

pub(super) fn render(scanned: &Scanned, about: About<'_>) -> Value {
    let mut rules: BTreeMap<&str, &Matched> = BTreeMap::new();
    for matched in &scanned.findings {
        rules.entry(&matched.finding.rule).or_insert(matched);
    }
    let index: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let results: Vec<Value> = scanned
        .findings
        .iter()
        .map(|matched| result(matched, index.get(matched.finding.rule.as_str()).copied().unwrap_or(0)))
        .collect();
    let descriptors: Vec<Value> = rules.values().map(|matched| descriptor(matched, about)).collect();
    let notices: Vec<Value> = scanned
        .incomplete
        .iter()
        .map(|missed| format!("not read: {}: {}", missed.what, missed.why))
        .chain(more(scanned))
        .map(|text| json!({"level": "warning", "message": {"text": text}}))
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "quell", "semanticVersion": about.version, "rules": descriptors}},
            "invocations": [{
                "executionSuccessful": scanned.complete,
                "endTimeUtc": utc(about.at),
                "toolExecutionNotifications": notices,
            }],
            "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "What was scanned."}}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn descriptor(matched: &Matched, about: About<'_>) -> Value {
    let finding = &matched.finding;
    let mut descriptor = json!({
        "id": finding.rule,
        "shortDescription": {"text": finding.description},
        "properties": {"tags": ["security"], "kind": finding.kind},
    });
    let rule = about.rules.rules().iter().find(|rule| rule.id == finding.rule);
    let source = rule.and_then(|rule| rule.source.as_ref()).filter(|source| source.starts_with("https://"));
    if let (Value::Object(map), Some(source)) = (&mut descriptor, source) {
        map.insert("helpUri".to_owned(), uri(source, b":/?#[]@!$&'()*+,;=%").into());
    }
    descriptor
}

fn result(matched: &Matched, rule_index: usize) -> Value {
    let finding = &matched.finding;
    json!({
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": if finding.confidence == Confidence::Low { "warning" } else { "error" },
        "message": {"text": sentence(matched)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.place.file, b"/"), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": finding.place.line.max(1)},
        }}],
        "partialFingerprints": {"quellFinding/v1": finding.id},
        "properties": {
            "kind": finding.kind,
            "confidence": finding.confidence,
            "secret": matched.secret,
            "commit": finding.first_seen_commit,
            "firstSeen": finding.place.author_time,
            "lastSeen": finding.last_seen_time,
            "stillVisible": finding.still_visible,
            "refs": finding.refs,
            "occurrences": finding.occurrences,
            "encoding": finding.encoding,
            "columnInBytes": finding.place.column,
        },
    })
}

/// Section 3.9: UTC, at most milliseconds.
fn utc(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A relative reference (RFC 3986): everything is percent-encoded but the unreserved and what is named.
fn uri(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(["%", &hex::encode_upper([byte])]);
        }
    }
    out
}
