//! The JSON of entries and manifests: a subset of RFC 8785 (JCS) in which a value has exactly one spelling.
//!
//! UTF-8, no space between tokens, keys sorted by their bytes and never repeated, integers of at most 53 bits, no
//! fractions. (JCS sorts keys by UTF-16 code units; that is the same order for all keys below U+E000.)
//! Readers hash the stored bytes and never this re-serialisation; it only serves to refuse a second spelling.

use serde_json::{Map, Value};

/// Integers above this are not the same number in every language (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why some JSON is not canonical.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON with another spelling than the canonical one.
    #[error(
        "not canonical JSON: byte {0} should be different (sorted unique keys, no spaces, shortest escapes)"
    )]
    Spelling(usize),
    /// A fraction, or an integer of more than 53 bits.
    #[error("not canonical JSON: the number {0} is not an integer below 2^53")]
    Number(String),
    /// A record must be an object.
    #[error("the JSON is not an object")]
    NotObject,
}

/// The canonical bytes of a value.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

/// Reads an object that must be spelled canonically.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, CanonicalError> {
    let value: Value = serde_json::from_slice(bytes)?;
    let again = to_bytes(&value)?;
    if again != bytes {
        let same = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(CanonicalError::Spelling(same));
    }
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(CanonicalError::NotObject)
        }
    }
}

// The depth is limited by serde_json's parser (128); values made by hand are as deep as their maker made them.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => serde_json::to_writer(out, value)?,
        Value::Number(number) => {
            let small = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if small.is_none_or(|n| n > MAX_INTEGER) {
                return Err(CanonicalError::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Another crate of the build may switch on serde_json's `preserve_order`, so sort here.
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (at, (key, item)) in pairs.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_per_value() {
        let good = br#"{"a":[1,-2,{"z":null}],"b":"\u0001\n\"\\/","c":true}"#;
        assert_eq!(to_bytes(&Value::Object(parse_object(good).unwrap())).unwrap(), good);
        let bad: [&[u8]; 12] = [
            br#"{"b":1,"a":2}"#,
            br#"{"a":1,"a":1}"#,
            br#"{"a": 1}"#,
            br#"{"a":1.0}"#,
            br#"{"a":1e2}"#,
            br#"{"a":-0}"#,
            br#"{"a":"\u0041"}"#,
            br#"{"a":"\/"}"#,
            br#"{"a":9007199254740992}"#,
            b"{\"a\":1}\n",
            b"[1]",
            b"{",
        ];
        for text in bad {
            assert!(parse_object(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let error = parse_object(br#"{"seq":1,"a":2}"#).unwrap_err().to_string();
        assert!(error.contains("byte 2"), "{error}");
    }
}
