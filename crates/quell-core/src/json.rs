//! Canonical JSON: the exact bytes that are stored and hashed.
//!
//! The subset of RFC 8785 (JCS) that the ledger uses: sorted keys, no insignificant space, no floats,
//! integers below 2^53, strings unchanged. Sorting is done here and not left to `serde_json`'s map, because a
//! dependency can switch that map to insertion order for the whole build.

use serde_json::Value;

/// Largest integer that every JSON reader keeps exactly (2^53 - 1).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotCanonical {
    /// Floats do not have one spelling.
    #[error("a number that is not an integer below 2^53")]
    Number,
    /// The type could not be turned into JSON.
    #[error("cannot be written as JSON: {0}")]
    Serialize(String),
}

/// The canonical bytes of anything serialisable.
pub fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    let value = serde_json::to_value(value).map_err(|e| NotCanonical::Serialize(e.to_string()))?;
    let mut out = String::new();
    write(&value, &mut out)?;
    Ok(out.into_bytes())
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let fits = n.as_u64().is_some_and(|n| n <= INTEGER_MAX)
                || n.as_i64().is_some_and(|n| n.unsigned_abs() <= INTEGER_MAX);
            if !fits {
                return Err(NotCanonical::Number);
            }
            out.push_str(&n.to_string());
        }
        Value::String(s) => out.push_str(&Value::from(s.as_str()).to_string()),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(map.get(key).unwrap_or(&Value::Null), out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_floats_refused() {
        let bytes = canonical(&json!({"b": [1, null, true], "a": {"z": "ü\n", "y": -3}})).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), r#"{"a":{"y":-3,"z":"ü\n"},"b":[1,null,true]}"#);
        assert_eq!(canonical(&json!({"x": 0.5})), Err(NotCanonical::Number));
        assert_eq!(canonical(&json!(1_u64 << 53)), Err(NotCanonical::Number));
    }
}
