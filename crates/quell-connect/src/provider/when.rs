//! Reads answers: which of the vendor's sentences is it, if any?

use quell_core::outcome::Facts;
use serde_json::Value;

use super::file::When;
use crate::http::Answer;

/// Does the answer fit? `body` is `None` when there is no JSON.
pub(super) fn fits(when: &When, status: u16, body: Option<&Value>) -> bool {
    if when.status != status {
        return false;
    }
    let stands = |at: &str, is: Option<&Value>, has: Option<&String>| {
        let Some(found) = body.and_then(|body| body.pointer(at)).filter(|found| !found.is_null()) else {
            return false;
        };
        is.is_none_or(|wanted| wanted == found)
            && has.is_none_or(|part| found.as_str().is_some_and(|text| text.contains(part)))
    };
    when.at.as_ref().is_none_or(|at| stands(at, when.is.as_ref(), when.has.as_ref()))
        && when.and.iter().all(|mark| stands(&mark.at, mark.is.as_ref(), mark.has.as_ref()))
}

/// The JSON of an answer. Pages are none: portals and proxies answer with them, whatever the status.
pub(super) fn json(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

/// What an answer is that no sentence of the file fits, with what to do. Nothing of its body is repeated.
pub(super) fn odd(answer: &Answer, checked: &str) -> String {
    let first = answer.body.iter().find(|byte| !byte.is_ascii_whitespace());
    let page = if first == Some(&b'<') { " with a page" } else { "" };
    let status = answer.status;
    match status {
        300..=399 => format!(
            "status {status}: redirects are not followed with a credential; set `url` to where it leads"
        ),
        401 | 403 => {
            format!(
                "status {status}{page}, not in this API's own words: something in between may have answered, so it proves nothing"
            )
        }
        404 | 410 => format!(
            "status {status}{page}: there is no such call; is `url` right, or has the API a new version? (the provider file was \
             checked on {checked})"
        ),
        407 => "status 407: a proxy asks for its own credential".to_owned(),
        500..=599 => format!("status {status}{page}: the API has a problem of its own, so it proves nothing"),
        _ => format!(
            "status {status}{page}: the provider file (checked on {checked}) does not know this answer"
        ),
    }
}

/// What may be shown of an answer. A text that holds the secret or a part of it is left out.
pub(super) fn facts<'a>(
    wanted: impl Iterator<Item = (&'a String, &'a String)>,
    body: &Value,
    secret: &str,
) -> Facts {
    let clean = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && !secret.contains(text.as_str()) && !text.contains(secret),
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    wanted
        .filter_map(|(name, at)| Some((name.clone(), body.pointer(at).filter(|value| clean(value))?.clone())))
        .collect()
}

/// `2s` in milliseconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    u64::try_from(duration.as_millis()).ok()
}

/// A text or a number, as text.
pub(super) fn word(body: &Value, at: &str) -> Option<String> {
    match body.pointer(at)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::file::Mark;
    use super::*;

    fn when(status: u16, at: Option<&str>, is: Option<Value>, has: Option<&str>) -> When {
        let (at, has) = (at.map(str::to_owned), has.map(str::to_owned));
        When { status, at, is, has, and: Vec::new(), weak: None }
    }

    #[test]
    fn an_answer_fits_by_status_and_words() {
        let body = json!({ "message": "Bad credentials", "ok": false, "none": null });
        assert!(fits(&when(401, Some("/message"), Some(json!("Bad credentials")), None), 401, Some(&body)));
        assert!(fits(&when(401, Some("/ok"), Some(json!(false)), None), 401, Some(&body)));
        assert!(fits(&when(401, Some("/message"), None, Some("cred")), 401, Some(&body)));
        assert!(!fits(&when(403, Some("/message"), None, None), 401, Some(&body)));
        assert!(!fits(&when(401, Some("/none"), None, None), 401, Some(&body)), "null is nothing");
        assert!(!fits(&when(401, Some("/message"), Some(json!("Bad")), None), 401, Some(&body)));
        assert!(!fits(&when(401, Some("/message"), None, None), 401, None), "a page has no words");
        let mut both = when(401, Some("/message"), Some(json!("Bad credentials")), None);
        both.and.push(Mark { at: "/ok".to_owned(), is: Some(json!(false)), has: None });
        assert!(fits(&both, 401, Some(&body)));
        both.and.push(Mark { at: "/code".to_owned(), is: None, has: None });
        assert!(!fits(&both, 401, Some(&body)), "all of it must stand there");
    }

    #[test]
    fn facts_never_hold_the_secret_or_a_part_of_it() {
        let body = json!({ "login": "ines", "token": "s3cret-value", "part": "cret-v", "n": 3, "list": [1] });
        let wanted =
            ["login", "token", "part", "n", "list"].map(|name| (name.to_owned(), format!("/{name}")));
        let seen = facts(wanted.iter().map(|(name, at)| (name, at)), &body, "s3cret-value");
        assert_eq!(Value::Object(seen), json!({ "login": "ines", "n": 3 }));
    }
}
