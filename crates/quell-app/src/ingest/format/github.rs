//! Secret scanning alerts of GitHub, of a repository, an organisation or an enterprise:
//! <https://docs.github.com/en/rest/secret-scanning/secret-scanning>. Locations are a second call there; an export may have
//! them merged in as `locations`, newer answers have `first_location_detected`.

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::Report;

/// One alert.
#[derive(Debug, Deserialize)]
pub(crate) struct Alert {
    number: u64,
    #[serde(default)]
    created_at: String,
    html_url: Option<String>,
    #[serde(default)]
    state: String,
    resolution: Option<String>,
    secret_type: String,
    secret_type_display_name: Option<String>,
    #[serde(default)]
    secret: Told,
    /// `active`, `inactive` or `unknown`.
    validity: Option<String>,
    publicly_leaked: Option<bool>,
    repository: Option<Repository>,
    first_location_detected: Option<Details>,
    #[serde(default)]
    locations: Vec<Location>,
}

/// Where it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Repository {
    #[serde(default)]
    full_name: String,
    private: Option<bool>,
}

/// A place in it.
#[derive(Debug, Deserialize)]
pub(crate) struct Location {
    #[serde(rename = "type", default)]
    kind: String,
    details: Option<Details>,
}

/// Of a commit; other kinds have one URL, whose key depends on the kind.
#[derive(Debug, Deserialize)]
struct Details {
    path: Option<String>,
    #[serde(default)]
    start_line: u64,
    #[serde(default)]
    start_column: u64,
    commit_sha: Option<String>,
    #[serde(
        alias = "issue_title_url",
        alias = "issue_body_url",
        alias = "issue_comment_url",
        alias = "discussion_title_url",
        alias = "discussion_body_url",
        alias = "discussion_comment_url",
        alias = "pull_request_title_url",
        alias = "pull_request_body_url",
        alias = "pull_request_comment_url",
        alias = "pull_request_review_url",
        alias = "pull_request_review_comment_url"
    )]
    page: Option<String>,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let alerts: Vec<Alert> = report.elements()?;
    Ok(alerts.into_iter().flat_map(foreign).collect())
}

/// An alert as webhooks and the API for a single one have it: its repository and its places stand elsewhere.
pub(crate) fn alert(mut alert: Alert, repository: Option<Repository>, places: Vec<Location>) -> Vec<Foreign> {
    alert.repository = alert.repository.or(repository);
    alert.locations.extend(places);
    foreign(alert)
}

/// One finding per location; one without a place when the export has none.
fn foreign(alert: Alert) -> Vec<Foreign> {
    let repository = alert.repository.as_ref();
    let mut places: Vec<(String, Details)> =
        alert.locations.into_iter().filter_map(|at| Some((at.kind, at.details?))).collect();
    if places.is_empty() {
        places.extend(alert.first_location_detected.map(|details| (String::new(), details)));
    }
    let unplaced = || Foreign {
        rule: alert.secret_type.clone(),
        description: alert.secret_type_display_name.clone().unwrap_or_else(|| alert.secret_type.clone()),
        values: alert.secret.0.iter().map(quell_core::secret::SecretValue::duplicate).collect(),
        file: repository
            .map_or_else(|| "(place not exported)".to_owned(), |found| format!("({})", found.full_name)),
        seen: time(Some(&alert.created_at)),
        link: alert.html_url.clone().and_then(some),
        live: match alert.validity.as_deref() {
            Some("active") => Some(true),
            Some("inactive") => Some(false),
            _ => None,
        },
        public: alert
            .publicly_leaked
            .filter(|leaked| *leaked)
            .or(repository.and_then(|found| Some(!found.private?))),
        resolved: (alert.state == "resolved")
            .then(|| alert.resolution.clone().unwrap_or_else(|| "resolved".to_owned())),
        reference: Some(format!(
            "{}#{}",
            repository.map(|found| found.full_name.as_str()).unwrap_or_default(),
            alert.number
        )),
        ..Foreign::default()
    };
    if places.is_empty() {
        return vec![unplaced()];
    }
    places
        .into_iter()
        .map(|(kind, details)| Foreign {
            file: details.path.or(details.page).unwrap_or_else(|| format!("({kind})")),
            line: details.start_line,
            column: details.start_column,
            commit: details.commit_sha.and_then(some),
            ..unplaced()
        })
        .collect()
}
