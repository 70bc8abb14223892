//! The description of everything that can be asked (OpenAPI 3.1), made from the operations and the types themselves.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use quell_core::person::Role;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operation::{Answer, Operation, SchemaOf, of};
use crate::problem::Problem;
use crate::route::{Access, Verb};

/// Where types are described.
const TYPES: &str = "/components/schemas";

/// The description, made once.
pub(crate) fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(describe)
}

/// The description as it is committed: `docs/reference/openapi.json`.
pub fn document() -> String {
    let mut text = serde_json::to_string_pretty(description()).unwrap_or_default();
    text.push('\n');
    text
}

fn describe() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = TYPES.into();
    let mut told = settings.into_generator();
    let problem = schema(&mut told, of::<Problem>);
    let mut paths: Map<String, Value> = Map::new();
    for operation in super::operations() {
        let described = one(operation, &mut told);
        let path = paths.entry(operation.route.path).or_insert_with(|| json!({}));
        if let Value::Object(verbs) = path {
            verbs.insert(operation.route.verb.word().to_lowercase(), described);
        }
    }
    let schemas = told.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Quell",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Takes a leaked secret from finding to proven inert",
            "description": "Everything that the command line can do about incidents. Operation ids are the command's words. Problems are RFC 9457, with what to do next in `hints`. No value of a secret is in any answer.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "session": [], "csrf": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problems(&problem),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of `qll_…`." },
                "session": { "type": "apiKey", "in": "cookie", "name": "quell", "description": "A person's session." },
                "csrf": { "type": "apiKey", "in": "header", "name": "X-Quell-Csrf", "description": "The session's token, for what changes something." },
            },
        },
    })
}

fn schema(generator: &mut SchemaGenerator, of: SchemaOf) -> Value {
    of(generator).to_value()
}

/// What is sent, in place: a name may mean one thing in a request and another in an answer.
fn asked(of: SchemaOf) -> Value {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut whole = schema(&mut inline.for_deserialize().into_generator(), of);
    if let Value::Object(whole) = &mut whole {
        whole.remove("title");
        whole.remove("$schema");
    }
    whole
}

fn one(operation: &Operation, told: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = operation.places().map(place).collect();
    parameters.extend(query(operation));
    parameters.extend(headers(operation));
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.route.path.split('/').nth(3).unwrap_or("server")],
        "parameters": parameters,
        "responses": answers(operation, told),
    });
    if let Value::Object(described) = &mut described {
        match operation.route.access {
            Access::Public => drop(described.insert("security".to_owned(), json!([]))),
            Access::Role(role) => drop(described.insert("description".to_owned(), needs(role).into())),
        }
        if let Some(body) = operation.body {
            let body = asked(body);
            described.insert(
                "requestBody".to_owned(),
                json!({ "required": true, "content": { "application/json": { "schema": body } } }),
            );
        }
    }
    described
}

fn needs(role: Role) -> String {
    format!("Needs the role `{role}`, or a higher one.")
}

fn place(name: &'static str) -> Value {
    let (what, example) = match name {
        "id" => ("Which incident.", "INC-2026-0001"),
        "step" => ("Which step of its plan.", "orders-db.install"),
        "item" => ("Which action item.", "A1"),
        "task" => ("Which task.", "T1"),
        "secret" => ("Which secret of the inventory.", "orders-db"),
        "delivery" => ("Which delivery of a webhook.", "d-0123456789abcdef"),
        "finding" => ("Which finding.", "F-1a2b3c4d5e6f"),
        "sha256" => ("SHA-256 of the content, in hex.", ""),
        "seq" => ("Number of an entry.", "0"),
        _ => ("", ""),
    };
    let mut schema = json!({ "type": "string", "minLength": 1 });
    if let (Value::Object(schema), false) = (&mut schema, example.is_empty()) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    json!({ "name": name, "in": "path", "required": true, "description": what, "schema": schema })
}

/// The fields of the type, each as a parameter.
fn query(operation: &Operation) -> Vec<Value> {
    let Some(of) = operation.query else { return Vec::new() };
    let whole = asked(of);
    let fields = whole.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    fields
        .into_iter()
        .map(|(name, mut schema)| {
            without_null(&mut schema);
            let what = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({ "name": name, "in": "query", "required": false, "description": what, "schema": schema })
        })
        .collect()
}

/// A parameter is there or is not; there is no null.
fn without_null(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let is_null = |value: &Value| value == "null" || value.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        kinds.retain(|kind| !is_null(kind));
    }
    let one = fields
        .get("anyOf")
        .and_then(Value::as_array)
        .and_then(|all| all.iter().find(|it| !is_null(it)).cloned());
    if let Some(Value::Object(one)) = one {
        fields.remove("anyOf");
        fields.extend(one);
    }
}

fn headers(operation: &Operation) -> Vec<Value> {
    let header = |name: &str, what: &str| json!({ "name": name, "in": "header", "required": false, "description": what, "schema": { "type": "string" } });
    let mut out = Vec::new();
    let acts = operation.route.verb != Verb::Get;
    if acts && operation.kept {
        out.push(header("Idempotency-Key", "A name of yours for this very request, 1 to 255 visible characters: sent again within 24 hours, nothing is done twice and the same answer is given."));
    }
    if acts && operation.tagged && operation.is_about_an_incident() {
        out.push(header("If-Match", "The `ETag` of the state that you looked at: where something was written since, nothing is decided (412)."));
    }
    if !acts && operation.tagged {
        out.push(header("If-None-Match", "An `ETag` that you know: 304 where nothing was written since."));
    }
    if operation.is_stream() {
        out.push(header(
            "Last-Event-ID",
            "Number of the last entry that you heard of: all later ones follow, none twice.",
        ));
    }
    out
}

/// Statuses of problems, with what they say here.
const PROBLEMS: [(u16, &str); 14] = [
    (400, "What is asked cannot be read."),
    (401, "Nobody is signed in."),
    (403, "The role does not suffice, or the request is from elsewhere."),
    (404, "There is no such thing."),
    (408, "The body did not come in time."),
    (409, "A rule says no, or the state does not fit; `hints` say what to do."),
    (412, "Something was written since you looked; `hints` say what."),
    (413, "The body is too long."),
    (415, "The body is not JSON."),
    (422, "What is asked does not fit."),
    (429, "Too often; `Retry-After` says how long to wait."),
    (500, "Something unexpected."),
    (502, "An outside system did not do it."),
    (503, "The state cannot be read or written now, or it took too long."),
];

/// Each status of a problem, described once.
fn problems(problem: &Value) -> Map<String, Value> {
    let one = |(status, what): &(u16, &str)| {
        let content = json!({ "application/problem+json": { "schema": problem } });
        (format!("Problem{status}"), json!({ "description": what, "content": content }))
    };
    PROBLEMS.iter().map(one).collect()
}

fn can_be(operation: &Operation) -> BTreeSet<u16> {
    let mut all = BTreeSet::from([500, 503]);
    let has_places = operation.places().next().is_some();
    if operation.route.access != Access::Public {
        all.extend([401, 403, 429]);
    }
    if has_places || operation.query.is_some() {
        all.extend([400, 404, 422]);
    }
    if operation.route.verb == Verb::Get {
        all.extend((has_places || operation.id == "inventory_check").then_some(502));
        all.extend(operation.id.starts_with("ledger_").then_some(404));
    } else {
        all.extend([400, 404, 408, 409, 413, 422, 502]);
        all.extend(operation.body.map(|_| 415));
        all.extend((operation.tagged && operation.is_about_an_incident()).then_some(412));
    }
    all
}

fn answers(operation: &Operation, told: &mut SchemaGenerator) -> Value {
    let content = match operation.answer {
        Answer::Json(of) => json!({ "application/json": { "schema": schema(told, of) } }),
        Answer::Media(kind) => {
            let kind = kind.split(';').next().unwrap_or(kind);
            json!({ kind: { "schema": { "type": "string" } } })
        }
        Answer::Stream => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let mut done = json!({ "description": operation.summary, "content": content });
    if let (Value::Object(done), true) = (&mut done, operation.tagged) {
        let what = "Which state of the incident this is.";
        done.insert(
            "headers".to_owned(),
            json!({ "ETag": { "description": what, "schema": { "type": "string" } } }),
        );
    }
    let mut all = Map::new();
    all.insert(operation.status.to_string(), done);
    if operation.route.verb == Verb::Get && operation.tagged {
        all.insert("304".to_owned(), json!({ "description": "Nothing was written since." }));
    }
    for status in can_be(operation) {
        all.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/Problem{status}") }));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Kind, all};

    #[test]
    fn every_route_of_the_api_is_described_and_nothing_else() {
        let routes: BTreeSet<(String, String)> = all()
            .filter(|route| route.kind == Kind::Api)
            .map(|route| (route.path.to_owned(), route.verb.word().to_lowercase()))
            .collect();
        let paths = description()["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, verbs)| {
                verbs.as_object().unwrap().keys().map(|verb| (path.clone(), verb.clone()))
            })
            .collect();
        assert_eq!(routes, described);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_summary() {
        let mut names = BTreeSet::new();
        for operation in crate::api::operations() {
            assert!(names.insert(operation.id), "{} is there twice", operation.id);
            assert!(!operation.summary.is_empty(), "{} has no summary", operation.id);
        }
        assert!(names.len() > 40, "{}", names.len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = description().to_string();
        let document = description();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let place = part.split('"').next().unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
        }
        assert!(text.contains("#/components/schemas/Incident"), "types are named");
    }
}
