//! A validator for the part of JSON Schema (draft 7) that the schema of SARIF uses. A keyword that it does not know is a
//! problem, so that a newer schema cannot pass unchecked.

use regex::Regex;
use serde_json::Value;

pub(super) struct Schema(pub(super) Value);

impl Schema {
    /// What is wrong with an instance, with the place of each.
    pub(super) fn problems(&self, instance: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.check(&self.0, instance, "", &mut problems);
        problems
    }

    fn check(&self, schema: &Value, instance: &Value, at: &str, problems: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "$id" | "title" | "description" | "default" | "definitions" => true,
                "$ref" => {
                    let target = self.0.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap();
                    self.check(target, instance, at, problems);
                    true
                }
                "anyOf" => self.matching(rule, instance) > 0,
                "oneOf" => self.matching(rule, instance) == 1,
                "items" => {
                    for (index, item) in instance.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{index}"), problems);
                    }
                    true
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        if let Some(value) = instance.get(name) {
                            self.check(schema, value, &format!("{at}/{name}"), problems);
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (name, value) in instance.as_object().into_iter().flatten() {
                        if known.is_some_and(|known| known.contains_key(name)) {
                            continue;
                        }
                        if *rule == Value::Bool(false) {
                            problems.push(format!("{at}/{name}: is not in the schema"));
                        } else if *rule != Value::Bool(true) {
                            self.check(rule, value, &format!("{at}/{name}"), problems);
                        }
                    }
                    true
                }
                simple => plain(simple, rule, instance),
            };
            if !holds {
                problems.push(format!("{at}: {keyword} {rule} does not hold for {instance}"));
            }
        }
    }

    fn matching(&self, schemas: &Value, instance: &Value) -> usize {
        let fits = |schema: &&Value| {
            let mut problems = Vec::new();
            self.check(schema, instance, "", &mut problems);
            problems.is_empty()
        };
        schemas.as_array().unwrap().iter().filter(fits).count()
    }
}

/// Keywords that hold no schema.
fn plain(keyword: &str, rule: &Value, instance: &Value) -> bool {
    let (text, list) = (instance.as_str(), instance.as_array());
    match keyword {
        "type" => {
            let is = |name: &Value| match name.as_str().unwrap() {
                "object" => instance.is_object(),
                "array" => instance.is_array(),
                "string" => instance.is_string(),
                "boolean" => instance.is_boolean(),
                "number" => instance.is_number(),
                "integer" => instance.is_i64() || instance.is_u64(),
                "null" => instance.is_null(),
                other => panic!("the type {other} is not known"),
            };
            rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
        }
        "enum" => rule.as_array().unwrap().contains(instance),
        "required" => {
            rule.as_array().unwrap().iter().all(|name| instance.get(name.as_str().unwrap()).is_some())
        }
        "minItems" => list.is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
        "uniqueItems" => {
            list.is_none_or(|list| list.iter().enumerate().all(|(at, item)| !list[..at].contains(item)))
        }
        "minimum" => instance.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => instance.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "pattern" => text.is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "format" => text.is_none_or(|text| match rule.as_str().unwrap() {
            "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
            // RFC 3986, appendix A, as far as characters go.
            "uri" => Regex::new("^[A-Za-z][A-Za-z0-9+.-]*:").unwrap().is_match(text) && is_reference(text),
            "uri-reference" => is_reference(text),
            other => panic!("the format {other} is not known"),
        }),
        other => panic!("the keyword {other} is not known"),
    }
}

fn is_reference(text: &str) -> bool {
    let allowed = r"^(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$";
    let first = text.split('/').next().unwrap_or_default();
    // A colon in the first part of a path would make it a scheme.
    let scheme = Regex::new("^(?:[A-Za-z][A-Za-z0-9+.-]*:)?[^:]*$").unwrap();
    Regex::new(allowed).unwrap().is_match(text) && scheme.is_match(first)
}
