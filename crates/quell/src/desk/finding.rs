//! Findings, and how fast leaks end.

use quell_app::finding::{self, Wanted};
use quell_app::{App, AppError, clock::now, measure};
use quell_core::event::FindingSays;
use quell_web::view;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::{Desk, Remote, missing};

/// Findings on a page of a server.
const PAGE: usize = 200;

impl Desk {
    /// Findings in the order of their ids.
    pub(crate) async fn findings(&self, wanted: &Wanted, most: usize) -> Result<view::Findings, AppError> {
        let findings = match self {
            Self::Here(app) => local(app, wanted, most).await?,
            Self::There(remote) => pages(remote, wanted, most).await?,
        };
        Ok(view::Findings { findings, next: None })
    }

    /// One finding.
    pub(crate) async fn finding(&self, id: &str) -> Result<view::Finding, AppError> {
        match self {
            Self::Here(app) => Ok(finding::show(app, id).await?.into()),
            Self::There(remote) => {
                let told = remote.get(&format!("/findings/{id}")).await;
                told.map_err(|error| missing(error, "finding", id))?.json()
            }
        }
    }

    /// Says that it is no leak, or a duplicate.
    pub(crate) async fn triage_finding(
        &self,
        id: &str,
        says: FindingSays,
        reason: &str,
    ) -> Result<view::Finding, AppError> {
        match self {
            Self::Here(app) => {
                finding::triage(app, id, says, reason).await?;
                self.finding(id).await
            }
            Self::There(remote) => {
                let body = match &says {
                    FindingSays::Duplicate { of } => {
                        json!({ "says": "duplicate", "of": of, "reason": reason })
                    }
                    FindingSays::NotALeak => json!({ "says": "not-a-leak", "reason": reason }),
                    FindingSays::Leak { .. } => {
                        return Err(AppError::Usage("a leak is declared as an incident".to_owned()));
                    }
                };
                let told = remote.post(&format!("/findings/{id}/triage"), &body).await;
                told.map_err(|error| missing(error, "finding", id))?.json()
            }
        }
    }

    /// How fast leaks end here.
    pub(crate) async fn numbers(&self) -> Result<view::Numbers, AppError> {
        match self {
            Self::Here(app) => Ok(view::Numbers::of(&measure::all(app, now()).await?)),
            Self::There(remote) => remote.get("/numbers").await?.json(),
        }
    }
}

/// Page after page, until there are as many as are wanted.
async fn local(app: &App, wanted: &Wanted, most: usize) -> Result<Vec<view::Finding>, AppError> {
    let (mut all, mut after) = (Vec::new(), String::new());
    while all.len() < most {
        let (found, next) = finding::list(app, wanted, &after, most - all.len()).await?;
        all.extend(found.into_iter().map(view::Finding::from));
        let Some(next) = next else { break };
        after = next;
    }
    Ok(all)
}

/// The same, of a server.
async fn pages(remote: &Remote, wanted: &Wanted, most: usize) -> Result<Vec<view::Finding>, AppError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    while all.len() < most {
        let query = Serializer::new(String::new())
            .append_pair("limit", &(most - all.len()).min(PAGE).to_string())
            .append_pair("open", if wanted.open { "true" } else { "false" })
            .extend_pairs(wanted.secret.iter().map(|secret| ("secret", secret)))
            .extend_pairs(wanted.rule.iter().map(|rule| ("rule", rule)))
            .extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)))
            .finish();
        let page: view::Findings = remote.get(&format!("/findings?{query}")).await?.json()?;
        all.extend(page.findings);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}
