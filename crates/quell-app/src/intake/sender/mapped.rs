//! JSON of any sender, with the inventory saying where its parts are.

use quell_core::secret::SecretValue;
use serde_json::Value;

use super::{Findings, Found, Reading, object, word};
use crate::AppError;
use crate::ingest::{Foreign, some, time};
use crate::intake::config::Map;

/// A body whose texts are wiped in the end, since one of them may be a value.
struct Wiped(Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => drop(SecretValue::from_text(std::mem::take(text))),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Findings in one delivery, at most.
const MOST: usize = 10_000;

pub(super) fn read(map: &Map, text: &str) -> Result<Reading, AppError> {
    let body = Wiped(object(text)?);
    let elements: Vec<&Value> = match &map.list {
        None => vec![&body.0],
        Some(pointer) => match body.0.pointer(pointer) {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(Value::Null) | None => Vec::new(),
            Some(_) => return Err(AppError::Usage(format!("the body has no list at `{pointer}`"))),
        },
    };
    if elements.len() > MOST {
        return Err(AppError::Usage(format!("more than {MOST} findings in one delivery")));
    }
    let found: Vec<Found> = elements.into_iter().map(|element| one(map, element)).collect();
    if found.is_empty() {
        return Ok(Reading::Nothing("there is no finding in it".to_owned()));
    }
    Ok(Reading::Findings(Findings { tool: "json", found, ..Findings::default() }))
}

fn one(map: &Map, element: &Value) -> Found {
    let at = |pointer: &Option<String>| pointer.as_ref().and_then(|pointer| element.pointer(pointer));
    let text = |pointer: &Option<String>| at(pointer).and_then(Value::as_str).map(word).and_then(some);
    let number = |pointer: &Option<String>| match at(pointer) {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(other) => other.as_u64(),
        None => None,
    };
    let flag = |pointer: &Option<String>| at(pointer).and_then(Value::as_bool);
    let resolved = match at(&map.resolved) {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(text)) => some(word(text)),
        Some(_) => Some("resolved".to_owned()),
    };
    let value = at(&map.value).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let reference = match at(&map.reference) {
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::String(text)) => some(word(text)),
        _ => None,
    };
    let foreign = Foreign {
        rule: text(&map.rule).unwrap_or_else(|| "finding".to_owned()),
        description: text(&map.description).or_else(|| text(&map.rule)).unwrap_or_default(),
        values: value.map(|text| SecretValue::new(text.as_bytes().to_vec())).into_iter().collect(),
        file: text(&map.place).unwrap_or_else(|| "(place not told)".to_owned()),
        line: number(&map.line).unwrap_or(0),
        seen: time(text(&map.seen).as_deref()),
        link: text(&map.link),
        live: flag(&map.live),
        public: flag(&map.public),
        resolved,
        reference,
        secret: text(&map.secret).and_then(|id| id.parse().ok()),
        ..Foreign::default()
    };
    Found { foreign, principal: text(&map.principal) }
}
