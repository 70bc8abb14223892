//! `GitGuardian`, in two shapes: `ggshield secret scan … --json` (<https://docs.gitguardian.com/ggshield-docs/reference/secret/scan/overview>;
//! values only with `--show-secrets`), and the list of incidents of its REST API (<https://api.gitguardian.com/docs>), which
//! has no values, so that only people can say which secret it is.

use quell_core::secret::SecretValue;
use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::{Layout, Report};

/// A scan of ggshield holds files, or further scans (commits) that do.
#[derive(Deserialize)]
struct Scan {
    #[serde(default)]
    id: String,
    #[serde(default)]
    entities_with_incidents: Vec<Entity>,
    #[serde(default)]
    scans: Vec<Self>,
    extra_info: Option<Extra>,
}

#[derive(Deserialize)]
struct Extra {
    #[serde(default)]
    author: String,
    #[serde(default)]
    date: String,
}

#[derive(Deserialize)]
struct Entity {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    incidents: Vec<Incident>,
}

#[derive(Deserialize)]
struct Incident {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    validity: String,
    #[serde(default)]
    ignore_sha: String,
    #[serde(rename = "incident_url", default)]
    url: String,
    #[serde(default)]
    occurrences: Vec<Occurrence>,
}

#[derive(Deserialize)]
struct Occurrence {
    #[serde(rename = "match", default)]
    matched: Told,
    #[serde(default)]
    line_start: u64,
}

/// An incident of the REST API, or of a webhook.
#[derive(Debug, Deserialize)]
pub(crate) struct Remote {
    id: u64,
    #[serde(default)]
    date: String,
    detector: Detector,
    #[serde(default)]
    status: String,
    ignore_reason: Option<String>,
    #[serde(default)]
    validity: String,
    gitguardian_url: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    occurrences: Option<Vec<RemoteOccurrence>>,
}

#[derive(Debug, Deserialize)]
struct Detector {
    #[serde(default)]
    name: String,
    #[serde(default)]
    display_name: String,
}

/// Where it was seen.
#[derive(Debug, Deserialize)]
pub(crate) struct RemoteOccurrence {
    #[serde(default)]
    matches: Vec<Match>,
    source: Option<Origin>,
    filepath: Option<String>,
    sha: Option<String>,
    author_name: Option<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Match {
    #[serde(rename = "match", alias = "value", default)]
    matched: Told,
}

#[derive(Debug, Deserialize)]
struct Origin {
    visibility: Option<String>,
}

/// An incident of a webhook: the place, if there is one, stands beside it.
pub(crate) fn hooked(mut incident: Remote, occurrence: Option<RemoteOccurrence>) -> Vec<Foreign> {
    if let Some(occurrence) = occurrence {
        incident.occurrences.get_or_insert_with(Vec::new).push(occurrence);
    }
    remote(&incident)
}

/// Scans within scans are followed this deep.
const MAX_DEPTH: usize = 8;

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    if report.layout == Layout::List {
        let incidents: Vec<Remote> = report.elements()?;
        return Ok(incidents.iter().flat_map(remote).collect());
    }
    let mut findings = Vec::new();
    for scan in report.elements::<Scan>()? {
        collect(scan, None, 0, &mut findings);
    }
    Ok(findings)
}

fn live(validity: &str) -> Option<bool> {
    match validity {
        "valid" => Some(true),
        "invalid" => Some(false),
        _ => None,
    }
}

fn collect(scan: Scan, parent: Option<&str>, depth: usize, findings: &mut Vec<Foreign>) {
    let sha = |id: &str| id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = if sha(&scan.id) { Some(scan.id.as_str()) } else { parent };
    let (author, date) =
        scan.extra_info.map_or((None, None), |extra| (some(extra.author), time(Some(&extra.date))));
    for entity in scan.entities_with_incidents {
        for incident in entity.incidents {
            let line = incident.occurrences.first().map_or(0, |occurrence| occurrence.line_start);
            findings.push(Foreign {
                rule: incident.kind.to_ascii_lowercase().replace(' ', "-"),
                description: incident.kind,
                values: incident
                    .occurrences
                    .into_iter()
                    .filter_map(|occurrence| occurrence.matched.0)
                    .collect(),
                file: entity.filename.clone(),
                line,
                commit: commit.map(str::to_owned),
                author: author.clone(),
                seen: date,
                link: some(incident.url),
                live: live(&incident.validity),
                reference: some(incident.ignore_sha),
                ..Foreign::default()
            });
        }
    }
    if depth < MAX_DEPTH {
        for inner in scan.scans {
            collect(inner, commit, depth + 1, findings);
        }
    }
}

fn remote(incident: &Remote) -> Vec<Foreign> {
    let public = incident.tags.iter().any(|tag| tag == "PUBLIC" || tag == "PUBLICLY_EXPOSED");
    let resolved = ["RESOLVED", "IGNORED"].iter().any(|word| incident.status.eq_ignore_ascii_case(word));
    let unplaced = || Foreign {
        rule: incident.detector.name.clone(),
        description: some(incident.detector.display_name.clone())
            .unwrap_or_else(|| incident.detector.name.clone()),
        file: "(place not exported)".to_owned(),
        seen: time(Some(&incident.date)),
        link: incident.gitguardian_url.clone(),
        live: live(&incident.validity),
        public: public.then_some(true),
        resolved: resolved
            .then(|| incident.ignore_reason.clone().unwrap_or_else(|| incident.status.to_ascii_lowercase())),
        reference: Some(format!("incident {}", incident.id)),
        ..Foreign::default()
    };
    let places = incident.occurrences.as_deref().unwrap_or_default();
    if places.is_empty() {
        return vec![unplaced()];
    }
    places
        .iter()
        .map(|place| Foreign {
            file: place.filepath.clone().unwrap_or_else(|| "(place not exported)".to_owned()),
            commit: place.sha.clone(),
            author: place.author_name.clone(),
            link: place.url.clone().or_else(|| incident.gitguardian_url.clone()),
            values: place
                .matches
                .iter()
                .filter_map(|told| told.matched.0.as_ref())
                .map(SecretValue::duplicate)
                .collect(),
            public: match place.source.as_ref().and_then(|source| source.visibility.as_deref()) {
                Some("public") => Some(true),
                Some("private" | "internal") => public.then_some(true).or(Some(false)),
                _ => public.then_some(true),
            },
            ..unplaced()
        })
        .collect()
}
