//! What a token says of itself when it is a JWT (RFC 7519; as an access token RFC 9068). Nothing of it is verified: it only makes Quell
//! more careful.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

/// Its claims.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Claims {
    /// Who issued it.
    pub(super) issuer: Option<String>,
    /// Whom it is for.
    pub(super) audiences: Vec<String>,
    /// When it was issued.
    pub(super) issued: Option<Timestamp>,
    /// When it ends by itself.
    pub(super) expires: Option<Timestamp>,
}

/// `None` for a token that is no JWT.
pub(super) fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (header, body, rest) = (parts.next()?, parts.next()?, parts.count());
    if rest != 1 {
        return None;
    }
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    read(header)?.get("alg")?;
    let body = read(body)?;
    let issuer = body.get("iss").and_then(Value::as_str).map(str::to_owned);
    let moment = |name: &str| Timestamp::from_second(body.get(name)?.as_i64()?).ok();
    // One by itself, or a list (section 4.1.3).
    let audiences = match body.get("aud") {
        Some(Value::Array(all)) => {
            all.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
        }
        Some(one) => vec![one.as_str().unwrap_or_default().to_owned()],
        None => Vec::new(),
    };
    Some(Claims { issuer, audiences, issued: moment("iat"), expires: moment("exp") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_told_from_a_token_with_dots() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let head = part(r#"{"alg":"RS256"}"#);
        let body =
            part(r#"{"iss":"https://login.example.com","exp":1795424359,"iat":1795424059,"aud":["a",7]}"#);
        let seen = claims(&format!("{head}.{body}.c2ln")).unwrap();
        assert_eq!(seen.issuer.as_deref(), Some("https://login.example.com"));
        assert_eq!(seen.expires.unwrap().to_string(), "2026-11-23T08:59:19Z");
        assert_eq!(seen.issued.unwrap().to_string(), "2026-11-23T08:54:19Z");
        assert_eq!(seen.audiences, ["a", ""], "what is no name is nobody's");
        let one = claims(&format!("{head}.{}.c2ln", part(r#"{"aud":"urn:a"}"#))).unwrap();
        assert_eq!((one.audiences, one.expires), (vec!["urn:a".to_owned()], None));
        for other in ["", "opaque", "a.b.c", &format!("{head}.{body}"), &format!("{head}.{body}.a.b")] {
            assert_eq!(claims(other), None, "{other}");
        }
    }
}
