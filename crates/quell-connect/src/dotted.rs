//! Paths into a JSON answer: `.gen`, `.db.users[0].name`. What a consumer tells about itself is found by them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::Seen;

/// Longest text that is taken as a generation or a principal.
const LONGEST: usize = 256;

/// One path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dotted(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Key(String),
    Index(usize),
}

/// Why a text is not a path.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a path into JSON: {0}; write `.gen` or `.db.users[0]`")]
pub(crate) struct BadPath(&'static str);

impl FromStr for Dotted {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or(BadPath("`]` is missing"))?;
                parts.push(Part::Index(index.parse().map_err(|_e| BadPath("an index is not a number"))?));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (key, after) = after.split_at_checked(end).ok_or(BadPath("a name is missing"))?;
                if key.is_empty() {
                    return Err(BadPath("a name is missing"));
                }
                parts.push(Part::Key(key.to_owned()));
                rest = after;
            } else {
                return Err(BadPath("a name starts with `.`"));
            }
        }
        if parts.is_empty() { Err(BadPath("it is empty")) } else { Ok(Self(parts)) }
    }
}

impl<'de> Deserialize<'de> for Dotted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Dotted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Key(key) => write!(f, ".{key}"),
            Part::Index(index) => write!(f, "[{index}]"),
        })
    }
}

impl Dotted {
    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, part| match part {
            Part::Key(key) => value.get(key),
            Part::Index(index) => value.get(index),
        })
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        let words = match self.find(value) {
            Some(Value::String(text)) => short(text),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(is)) => Ok(is.to_string()),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) => {
                Err("is neither text nor a number".to_owned())
            }
            None => Err("is not in the answer".to_owned()),
        };
        words.map_err(|words| format!("`{self}` {words}"))
    }
}

/// The text, if it can be a generation: one short line. It is not repeated otherwise.
pub(crate) fn short(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.chars().count() > LONGEST || text.contains(char::is_control) {
        Err(format!("is not one line of at most {LONGEST} characters"))
    } else {
        Ok(text.to_owned())
    }
}

/// The fields that an inventory names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// Where the generation is.
    pub(crate) generation: Option<Dotted>,
    /// Where the principal is.
    pub(crate) principal: Option<Dotted>,
    /// Where it says whether it is well.
    pub(crate) healthy: Option<Dotted>,
}

impl Fields {
    /// True when any is named.
    pub(crate) fn any(&self) -> bool {
        self.generation.is_some() || self.principal.is_some() || self.healthy.is_some()
    }

    /// What the answer says. `well` is what the way of answering says (status code, exit code). A consumer that
    /// is not well may leave the other fields out.
    pub(crate) fn seen(&self, answer: &Value, well: bool) -> Result<Seen, String> {
        let healthy = match &self.healthy {
            Some(path) if well => {
                is_well(path.find(answer).ok_or_else(|| format!("`{path}` is not in the answer"))?)
            }
            Some(_) | None => well,
        };
        let field = |path: &Option<Dotted>| match path {
            None => Ok(None),
            Some(path) if healthy => path.text(answer).map(Some),
            Some(path) => Ok(path.text(answer).ok()),
        };
        Ok(Seen {
            generation: field(&self.generation)?,
            principal: field(&self.principal)?,
            healthy,
            why: None,
        })
    }
}

/// ` .gen`, for a target in words.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.generation.iter().try_for_each(|path| write!(f, " {path}"))
    }
}

/// The usual words of health endpoints: `true`, `ok`, `pass` (draft-inadarei-api-health-check-06), `UP` (Spring Boot).
fn is_well(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::String(word) => {
            let word = word.to_ascii_lowercase();
            matches!(
                word.as_str(),
                "ok" | "up" | "pass" | "passing" | "healthy" | "true" | "ready" | "serving"
            )
        }
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// JSON Schema of a path.
pub(crate) fn schema(description: &str) -> Value {
    json!({ "type": "string", "pattern": r"^(\.[^.\[\]]+|\[[0-9]+\])+$", "description": description })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_text_and_numbers() {
        let answer = json!({ "gen": 7, "db": { "users": [{ "name": "orders_a" }] }, "long": "x".repeat(300), "ok": "UP" });
        let text = |path: &str| path.parse::<Dotted>().unwrap().text(&answer);
        assert_eq!(text(".gen").unwrap(), "7");
        assert_eq!(text(".db.users[0].name").unwrap(), "orders_a");
        assert_eq!(text(".db.users[1].name").unwrap_err(), "`.db.users[1].name` is not in the answer");
        assert_eq!(text(".db").unwrap_err(), "`.db` is neither text nor a number");
        assert_eq!(text(".long").unwrap_err(), "`.long` is not one line of at most 256 characters");
        for bad in ["", ".", "gen", ".a..b", ".a[", ".a[x]", ".a[0]b", "[99999999999999999999]"] {
            assert!(bad.parse::<Dotted>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unhealthy_consumer_may_be_short_of_words() {
        let path = |text: &str| Some(text.parse::<Dotted>().unwrap());
        let fields = Fields { generation: path(".gen"), principal: path(".user"), healthy: path(".status") };
        let seen = fields.seen(&json!({ "status": "failing", "gen": 3 }), true).unwrap();
        assert_eq!(
            seen,
            Seen { generation: Some("3".to_owned()), principal: None, healthy: false, why: None }
        );
        assert_eq!(
            fields.seen(&json!({ "status": "ok", "gen": 3 }), true).unwrap_err(),
            "`.user` is not in the answer"
        );
        assert_eq!(fields.seen(&Value::Null, false).unwrap(), Seen::default());
    }
}
