//! One page that needs nothing else: no script, nothing loaded, and a policy that forbids both. It prints well.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use quell_scan::Visibility;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{About, more};
use crate::AppError;
use crate::scan::group::{Group, seen, short};
use crate::scan::{Matched, Scanned};

const TEMPLATE: &str = include_str!("../../../../../documents/scan-report.html.j2");
const STYLE: &str = include_str!("../../../../../documents/scan-report.css");

#[derive(Serialize)]
struct Page<'a> {
    version: &'a str,
    target: &'a str,
    at: String,
    style: Value,
    style_hash: Value,
    groups: Vec<Row<'a>>,
    scanned: &'a Scanned,
    missed: u64,
    more: Option<String>,
    visible: usize,
    inventory: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    group: &'a Group,
    seen: &'static str,
    first_commit: Option<&'a str>,
    last_commit: Option<&'a str>,
    places: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    matched: &'a Matched,
    seen: &'static str,
    commit: Option<&'a str>,
}

pub(super) fn render(scanned: &Scanned, about: About<'_>) -> Result<String, AppError> {
    let by_id: BTreeMap<&str, &Matched> =
        scanned.findings.iter().map(|matched| (matched.finding.id.as_str(), matched)).collect();
    let groups: Vec<Row<'_>> = scanned.groups.iter().map(|group| row(group, &by_id)).collect();
    let page = Page {
        version: about.version,
        target: about.target,
        at: about.at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        // The only texts that are not escaped; they are ours, and the policy names the hash.
        style: Value::from_safe_string(STYLE.to_owned()),
        style_hash: Value::from_safe_string(STANDARD.encode(Sha256::digest(STYLE))),
        visible: groups.iter().filter(|row| row.group.still_visible == Visibility::Current).count(),
        inventory: groups.iter().filter(|row| row.group.secret.is_some()).count(),
        groups,
        scanned,
        missed: scanned.missed(),
        more: more(scanned),
    };
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine
        .template_from_named_str("scan-report.html.j2", TEMPLATE)
        .and_then(|template| template.render(Serde(page)))
        .map(|text| text + "\n")
        .map_err(|error| AppError::Evidence(format!("the page could not be made: {error}")))
}

fn row<'a>(group: &'a Group, by_id: &BTreeMap<&str, &'a Matched>) -> Row<'a> {
    let places = group
        .findings
        .iter()
        .filter_map(|id| by_id.get(id.as_str()).copied())
        .map(|matched| Place {
            matched,
            seen: seen(matched.finding.still_visible),
            commit: matched.finding.first_seen_commit.as_deref().map(short),
        })
        .collect();
    Row {
        group,
        seen: seen(group.still_visible),
        first_commit: group.first_seen_commit.as_deref().map(short),
        last_commit: group.last_seen_commit.as_deref().map(short),
        places,
    }
}
