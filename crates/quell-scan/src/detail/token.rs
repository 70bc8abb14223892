//! JSON Web Tokens and basic authentication.

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Details, put, put_time};
use crate::rule::decode_base64url;

/// A part larger than this is not read.
const MAX_PART: usize = 16 << 10;

/// RFC 7515, section 4.1.
#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
}

/// RFC 7519, section 4.1. Times are numbers of seconds, which may have a fraction.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Value>,
    exp: Option<f64>,
    iat: Option<f64>,
}

/// Claims of a token whose payload is not encrypted. Whether it has expired is for whoever has a clock.
pub(super) fn jwt(secret: &[u8], all: &mut Details) {
    let Ok(text) = std::str::from_utf8(secret) else { return };
    let mut parts = text.split('.').map(|part| decode_base64url(part).filter(|json| json.len() <= MAX_PART));
    let Some(header) = parts.next().flatten() else { return };
    let Ok(header) = serde_json::from_slice::<Header>(&header) else { return };
    put(all, "alg", &header.alg.unwrap_or_default());
    let Some(claims) = parts.next().flatten().and_then(|json| serde_json::from_slice::<Claims>(&json).ok())
    else {
        return;
    };
    put(all, "issuer", &claims.iss.unwrap_or_default());
    put(all, "subject", &claims.sub.unwrap_or_default());
    match claims.aud {
        Some(Value::String(one)) => put(all, "audience", &one),
        Some(Value::Array(many)) => {
            let names: Vec<&str> = many.iter().filter_map(Value::as_str).collect();
            put(all, "audience", &names.join(", "));
        }
        _ => {}
    }
    for (name, time) in [("expires", claims.exp), ("issued", claims.iat)] {
        if let Some(time) = time.filter(|time| (0.0..253_402_300_800.0).contains(time)) {
            #[expect(clippy::cast_possible_truncation, reason = "checked: before the year 10000")]
            let seconds = time as i64;
            put_time(all, name, seconds);
        }
    }
}

/// The user of `user:password` in Base64 (RFC 7617).
pub(super) fn basic(secret: &[u8], all: &mut Details) {
    let text = std::str::from_utf8(secret).ok().filter(|text| text.len() <= MAX_PART);
    let url_safe: Option<Zeroizing<String>> =
        text.map(|text| Zeroizing::new(text.replace('+', "-").replace('/', "_")));
    let Some(decoded) = url_safe.and_then(|text| decode_base64url(&text)).map(Zeroizing::new) else { return };
    let user = decoded.split(|byte| *byte == b':').next().and_then(|user| std::str::from_utf8(user).ok());
    let has_password = decoded.contains(&b':');
    put(all, "user", user.filter(|_| has_password).unwrap_or_default());
}
