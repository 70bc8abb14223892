//! GitLab's Token Revocation API, as the one who is asked: GitLab sends tokens that its secret detection found.
//!
//! docs.gitlab.com, "Token Revocation API" (2026-11), and GitLab's `Security::TokenRevocationService`: it gets the types
//! first, then posts `[{"type", "token", "location"}]` with the bare token in `Authorization`; 204 is "accepted for eventual
//! revocation", 400 "do not send this again". Its own personal access tokens it revokes itself and does not send.

use serde::Deserialize;

use super::{Findings, Found, Reading, object};
use crate::AppError;
use crate::ingest::{Foreign, Told};

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "token", default)]
    value: Told,
    #[serde(default)]
    location: String,
}

/// The shape only, without the tokens.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "token")]
    _token: Told,
}

/// What GitLab expects a 400 for.
pub(in crate::intake) fn check(body: &[u8], types: &[String]) -> Result<(), String> {
    let all: Vec<Shape> = serde_json::from_slice(body).map_err(|error| {
        format!("not a list of tokens, at line {}, column {}", error.line(), error.column())
    })?;
    if all.iter().any(|one| !types.contains(&one.kind)) {
        return Err("a type that is not among the revocable ones".to_owned());
    }
    Ok(())
}

pub(super) fn read(text: &str) -> Result<Reading, AppError> {
    let tokens: Vec<Token> = object(text)?;
    let found: Vec<Found> = tokens
        .into_iter()
        .map(|one| {
            Found::from(Foreign {
                description: format!("GitLab asks to revoke a {}", super::word(&one.kind)),
                reference: Some(super::word(&one.location)),
                rule: super::word(&one.kind),
                values: one.value.0.into_iter().collect(),
                link: Some(super::word(&one.location)),
                file: super::word(&one.location),
                ..Foreign::default()
            })
        })
        .collect();
    if found.is_empty() {
        return Ok(Reading::Nothing("there is no token in it".to_owned()));
    }
    Ok(Reading::Findings(Findings { tool: "gitlab-revocation", found, ..Findings::default() }))
}
