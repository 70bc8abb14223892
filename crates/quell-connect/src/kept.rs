//! Whether what a store keeps holds a value.

use quell_core::secret::SecretValue;
use serde_json::{Map, Value};

use crate::openbao::holds;

/// As text, in JSON, or anywhere in its bytes when it is binary?
pub(crate) fn keeps(bytes: &[u8], value: &SecretValue) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let wanted = value.expose();
        return !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted);
    };
    let whole = Map::from_iter([("all".to_owned(), Value::String(text.to_owned()))]);
    holds(&whole, value)
        || serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|data| holds(&data, value))
}
