//! What is asked, taken apart strictly: what is not known is refused, and no refusal repeats what was sent, since it may be a value.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use quell_app::App;
use quell_core::id::BadId;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::problem::Problem;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not sent as JSON")
                .hint("send `Content-Type: application/json`"));
        }
        // The rules have read it, and bounded it.
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_cut| Problem::bad_request("the body was cut off"))?;
        read(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would be taken for an object's fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body does not fit: expected an object",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => {
                let detail =
                    format!("the body does not fit: {} ({place})", without_content(&error.to_string()));
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                    .hint("/api/v1/openapi.json says what is asked for")
            }
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => {
                Problem::bad_request(format!("the body is not JSON ({place})"))
            }
        }
    })
}

/// What is wrong, without what was sent.
fn without_content(said: &str) -> String {
    let expected = said.split_once(", expected ").map(|(_, rest)| rest);
    let expected = expected.map(|rest| rest.rsplit_once(" at line ").map_or(rest, |(rest, _)| rest));
    if said.starts_with("missing field") || said.starts_with("duplicate field") {
        // The name is one of ours.
        return said.rsplit_once(" at line ").map_or(said, |(said, _)| said).to_owned();
    }
    match (said.starts_with("unknown field"), expected) {
        (true, Some(known)) => format!("a field is not known; known: {known}"),
        (false, Some(expected)) => format!("expected {expected}"),
        (true, None) => "a field is not known".to_owned(),
        (false, None) => "a value is not of the right kind".to_owned(),
    }
}

/// What stands behind `?`.
#[derive(Debug)]
pub(crate) struct Words<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Words<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| {
            let text = error.body_text();
            let detail =
                text.rsplit_once("deserialize query string: ").map_or(text.as_str(), |(_, rest)| rest);
            // The name of a field stands before the colon; it comes from outside as well.
            let detail = detail.split_once(": ").map_or(detail, |(_, rest)| rest);
            Problem::bad_request(format!("what stands behind `?` does not fit: {}", without_content(detail)))
                .hint("/api/v1/openapi.json says what can be asked for")
        })?;
        Ok(Self(query))
    }
}

/// What stands in the path.
#[derive(Debug)]
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|_error| Problem::bad_request("the path is not text in UTF-8"))?;
        Ok(Self(path))
    }
}

/// An id or a word of the domain.
pub(crate) fn word<T: std::str::FromStr<Err = BadId>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(Problem::from)
}

/// The installation, asked by whoever decides, on the state that they saw (`If-Match`).
#[derive(Debug)]
pub(crate) struct Deciding(pub(crate) Arc<App>);

impl<S: Send + Sync> FromRequestParts<S> for Deciding {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(match seen(&parts.headers)? {
            Some(pos) => caller.app.expecting(pos),
            None => caller.app,
        }))
    }
}

/// The position of the stream that was seen.
pub(crate) fn seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = given.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    // A proxy that compresses marks the tag as weak; it is of the same state.
    let text = text.strip_prefix("W/").unwrap_or(text);
    let position = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let position = position.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Problem::bad_request("`If-Match` is not an `ETag` that this server gave")
            .hint("take over the `ETag` of the incident's answer as it is, with its quotation marks")
    })?;
    Ok(Some(position))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read")]
        reason: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        count: u64,
    }

    #[test]
    fn no_refusal_repeats_what_was_sent() {
        let value = format!("hunter{}", 2);
        for body in [
            format!(r#"{{"reason":"a","count":"{value}"}}"#),
            format!(r#"{{"reason":"a","{value}":1}}"#),
            format!(r#"{{"reason":{{"{value}":1}}}}"#),
            format!(r#""{value}""#),
            format!("{{{value}"),
            format!(r#"{{"reason":"a"}} {value}"#),
        ] {
            let problem = read::<Sample>(body.as_bytes()).unwrap_err();
            assert!(!format!("{problem:?}").contains(&value), "{problem:?}");
            assert!((400..500).contains(&problem.status), "{problem:?}");
        }
        let missing = read::<Sample>(b"{}").unwrap_err();
        assert!(missing.detail.contains("missing field `reason`"), "{missing:?}");
        let unknown = read::<Sample>(br#"{"reason":"a","reson":"b"}"#).unwrap_err();
        assert!(unknown.detail.contains("known: `reason` or `count`"), "{unknown:?}");
    }

    #[test]
    fn deep_json_is_refused_before_the_stack_ends() {
        let deep = format!(r#"{{"reason":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(read::<Sample>(deep.as_bytes()).unwrap_err().status, 422);
        let deep = "[".repeat(200_000);
        assert!((400..500).contains(&read::<serde_json::Value>(deep.as_bytes()).unwrap_err().status));
    }
}
