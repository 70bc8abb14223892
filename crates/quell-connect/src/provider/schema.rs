//! JSON Schemas: of a provider file, for editors, and of the connector's part of the inventory.

use serde_json::{Value, json};

use super::file::FORMAT;

/// Of a provider file (draft 2020-12).
pub fn schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let texts = |description: &str| json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": description });
    let fact = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["what", "source", "checked"],
        "properties": { "what": text("The statement"), "source": source(), "checked": checked() },
    });
    let auth = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "shape": text("How the credential is built: {api}:{app}"),
            "headers": texts("Headers with {key} or {key.part}"),
            "basic": {
                "type": "object",
                "additionalProperties": false,
                "required": ["user", "password"],
                "properties": { "user": { "type": "string" }, "password": { "type": "string" } },
            },
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quell provider",
        "type": "object",
        "additionalProperties": false,
        "required": ["provider", "id", "name", "url", "auth", "probe", "settle", "breaks", "example"],
        "properties": {
            "provider": { "const": FORMAT, "description": "Version of this format" },
            "id": { "type": "string", "pattern": "^[a-z0-9-]+$" },
            "name": text("For people: GitHub personal access token"),
            "kinds": { "type": "array", "items": { "type": "string" }, "description": "Kinds of the scan rules (`quell rules list`)" },
            "prefixes": { "type": "array", "items": { "type": "string", "minLength": 1 }, "description": "How such keys begin, when others of the kind are refused at this door although they live" },
            "url": text("Where the API is: https://api.example.com"),
            "shape": text("How a value is built, when its parts are needed: SG.{id}.{rest}"),
            "public": { "type": "array", "items": { "type": "string" }, "description": "Parts of the shape that are no secret" },
            "vars": texts("What the inventory must say beside the key: name, and what it is"),
            "secret_in_url": text("The API leaves no way but its URL: why, and what that means"),
            "auth": {
                "type": "object",
                "additionalProperties": false,
                "required": ["key"],
                "properties": { "key": auth, "admin": auth },
            },
            "probe": call("Is the key alive?"),
            "revoke": { "type": "array", "items": call("A way to revoke it, the best first") },
            "mint": call("Makes a successor"),
            "list": call("Lists keys by name"),
            "last_used": call("When it was last used"),
            "key_id": {
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": { "part": text("A part of the value"), "probe": text("A pointer into the probe's answer"), "inventory": text("Where a person finds it, for `key_id` in the inventory") },
            },
            "by_hand": text("What a person does when no call can revoke it"),
            "settle": text("How long a revocation takes to bind: 2s"),
            "max_keys": { "type": "integer", "minimum": 1 },
            "limits": { "type": "array", "items": fact },
            "breaks": text("What revoking the key breaks"),
            "outlives": { "type": "array", "items": fact, "description": "What lives on after the key is dead" },
            "elsewhere": { "type": "array", "items": fact, "description": "Other doors of the vendor, whose living keys are refused here in the same words" },
            "example": {
                "type": "object",
                "additionalProperties": false,
                "required": ["value"],
                "properties": {
                    "value": text("Pattern of a value: ghp_{alnum:36}"),
                    "admin": text("Pattern of an administrator's credential"),
                    "vars": texts("Values for the variables"),
                    "mint": { "type": "object" },
                },
            },
        },
    })
}

fn source() -> Value {
    json!({ "type": "string", "pattern": "^https://", "description": "The vendor's page that says so" })
}

fn checked() -> Value {
    json!({ "type": "string", "format": "date", "description": "The day on which it was read" })
}

fn call(description: &str) -> Value {
    let pointer =
        |description: &str| json!({ "type": "string", "pattern": "^(/.*)?$", "description": description });
    let when = json!({ "type": "array", "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["status"],
        "properties": {
            "status": { "type": "integer", "minimum": 200, "maximum": 499 },
            "at": pointer("Pointer to something that must be in the JSON body"),
            "is": { "description": "What stands there, exactly" },
            "has": { "type": "string", "description": "A part of what stands there" },
            "and": { "type": "array", "description": "What else must be in the body", "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["at"],
                "properties": { "at": pointer("Pointer to it"), "is": true, "has": { "type": "string" } },
            }},
            "weak": { "type": "string", "minLength": 1, "description": "Refusals: why this one proves nothing" },
        },
    }});
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
        "required": ["method", "path", "source", "checked"],
        "properties": {
            "method": { "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"] },
            "path": { "type": "string", "pattern": "^/", "description": "Holes: {id}, {tag}, {vars.NAME}, {secret.PART}" },
            "url": { "type": "string", "pattern": "^https?://", "description": "Where this call goes, when not to the URL of the file" },
            "as": { "enum": ["key", "admin", "nobody"], "default": "key" },
            "headers": texts,
            "json": { "description": "Texts in it may have holes" },
            "form": texts,
            "accepted": when,
            "refused": when,
            "limited": when,
            "done": when,
            "gone": when,
            "id": pointer("The key's id in the answer"),
            "value": pointer("The new value in the answer"),
            "items": pointer("The array of keys in the answer"),
            "name": pointer("The name in an item"),
            "pages": pages(),
            "settle": { "type": "string", "description": "List: how long until it shows a new key, and no longer a revoked one: 10s" },
            "rights": {
                "type": "object",
                "additionalProperties": false,
                "required": ["setting", "at"],
                "description": "Mint: where it is said what the new key may do",
                "properties": {
                    "setting": { "type": "string", "description": "The setting of `mint` in the inventory that names them" },
                    "at": pointer("What was given, in the answer"),
                    "added": { "type": "array", "items": { "type": "string" }, "description": "What the vendor adds to every key" },
                },
            },
            "all_alike": { "type": "string", "minLength": 1, "description": "Mint: why nothing has to be said of the new key's rights" },
            "longest": { "type": "integer", "minimum": 30, "description": "Mint: most characters of a name" },
            "facts": texts,
            "needs": { "type": "string", "description": "What the credential must be allowed" },
            "source": source(),
            "checked": checked(),
            "note": { "type": "string", "description": "What the page does not say, and where it is known from" },
            "examples": { "type": "object", "additionalProperties": {
                "type": "object",
                "additionalProperties": false,
                "required": ["status"],
                "properties": { "status": { "type": "integer" }, "json": true },
            }},
        },
    })
}

/// How a list goes on.
fn pages() -> Value {
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let text = |description: &str| json!({ "type": "string", "description": description });
    let parameter = || text("The parameter's name");
    json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "description": "List: how it goes on after its first page",
        "properties": {
            "cursor": object(&["query", "next"], json!({ "query": parameter(), "next": text("Pointer to what the next request gives back; nothing on the last page") })),
            "link": text("Pointer to the next page's address; nothing on the last page"),
            "number": object(&["query"], json!({
                "query": parameter(),
                "from": { "type": "integer", "minimum": 0, "default": 1, "description": "The first page's number" },
                "last": text("Pointer to the last page's number; without it the first empty page is the end"),
                "total": text("Pointer to how many keys there are in all"),
            })),
            "whole": object(&["below", "why"], json!({
                "below": { "type": "integer", "minimum": 1, "description": "A list that is this long may have been cut off" },
                "why": text("Who says that one answer holds all"),
            })),
        },
    })
}

/// Of the connector's part of the inventory.
pub(super) fn inventory() -> Vec<(&'static str, Value)> {
    let reference = |description: &str| json!({ "type": "string", "description": description });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A key of a service, described by a provider file",
        "type": "object",
        "additionalProperties": false,
        "required": ["id"],
        "properties": {
            "id": { "type": "string", "description": "`quell provider list` names them" },
            "url": { "type": "string", "pattern": "^https?://", "description": "In place of the provider's, for a server of your own" },
            "admin": reference("Reference to an administrator's credential: openbao:…, file:…, env:…, exec:…"),
            "control": reference("Reference to a good key of the same kind: the control of the proof"),
            "key_id": { "type": "string", "description": "The key's id, when its value does not tell" },
            "vars": { "type": "object", "additionalProperties": { "type": "string" }, "description": "What the provider needs beside the key" },
            "mint": { "type": "object", "description": "Settings of a successor, as the API names them; without it none is made" },
            "settle": { "type": "string", "description": "How long a revocation takes to bind: 2s" },
        },
    });
    vec![("issuer", schema)]
}
