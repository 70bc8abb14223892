//! GitLab: vulnerability events of secret detection (17.11), or a secret detection report that a CI job posts.
//!
//! Payload: docs.gitlab.com, "Webhook events", "Vulnerability events" (2026-11). It tells no value; a report does.

use serde::Deserialize;

use super::{Findings, Found, Reading, object, word};
use crate::AppError;
use crate::ingest::{self, Foreign, Format, some, time};

#[derive(Deserialize)]
struct Hook {
    object_kind: Option<String>,
    object_attributes: Option<Vulnerability>,
    /// Only a report has it.
    vulnerabilities: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    url: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    project_id: u64,
    #[serde(default)]
    location: Location,
    #[serde(default)]
    identifiers: Vec<Identifier>,
    #[serde(default)]
    report_type: String,
    created_at: Option<String>,
}

#[derive(Default, Deserialize)]
struct Location {
    #[serde(default)]
    file: String,
    #[serde(default)]
    start_line: u64,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    sha: String,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(default)]
    external_id: String,
}

pub(super) fn read(text: &str) -> Result<Reading, AppError> {
    let hook: Hook = object(text)?;
    if hook.vulnerabilities.is_some() {
        let (_, found) = ingest::read("the delivery", text, Some(Format::Gitlab))?;
        let found = found.into_iter().map(Found::from).collect();
        return Ok(Reading::Findings(Findings { tool: Format::Gitlab.word(), found, ..Findings::default() }));
    }
    let Some(seen) = hook.object_attributes.filter(|_| hook.object_kind.as_deref() == Some("vulnerability"))
    else {
        let kind = word(hook.object_kind.as_deref().unwrap_or("(no kind)"));
        return Ok(Reading::Nothing(format!("deliveries of `{kind}` are not about leaks")));
    };
    if seen.report_type != "secret_detection" {
        return Ok(Reading::Nothing(format!(
            "a vulnerability of `{}`, not a secret",
            word(&seen.report_type)
        )));
    }
    let done = matches!(seen.state.as_str(), "resolved" | "dismissed");
    let (state, title, url) = (word(&seen.state), word(&seen.title), word(&seen.url));
    let foreign = Foreign {
        rule: seen
            .identifiers
            .into_iter()
            .find_map(|one| some(one.external_id))
            .unwrap_or_else(|| title.clone()),
        description: title,
        file: some(seen.location.file).unwrap_or_else(|| "(place not told)".to_owned()),
        line: seen.location.start_line,
        commit: seen.location.commit.and_then(|commit| some(commit.sha)),
        seen: time(seen.created_at.as_deref()),
        link: some(url.clone()),
        resolved: done.then(|| state.clone()),
        reference: some(url.clone()).or_else(|| Some(format!("project {}", seen.project_id))),
        ..Foreign::default()
    };
    let remarks = done
        .then(|| format!("GitLab vulnerability {url} is `{state}`: that is no proof that the value is dead"));
    Ok(Reading::Findings(Findings {
        tool: Format::Gitlab.word(),
        found: vec![foreign.into()],
        remarks: remarks.into_iter().collect(),
        ..Findings::default()
    }))
}
