//! IAM: service accounts and their keys. IAM REST reference v1, read 2026-11-23.

use serde_json::{Value, json};

use super::super::base64;
use super::{Reply, Request, State, allows, error};

impl State {
    pub(super) fn on_account(&mut self, rest: &[&str], request: &Request, may: &[String]) -> Reply {
        let missing = || error(404, "NOT_FOUND", "Unknown service account");
        let [email, rest @ ..] = rest else { return missing() };
        let (permission, method) = match (request.method.as_str(), rest) {
            ("GET", []) => ("iam.serviceAccounts.get", "account"),
            ("PATCH", []) => ("iam.serviceAccounts.update", "describe"),
            ("GET", ["keys"]) => ("iam.serviceAccountKeys.list", "list"),
            ("POST", ["keys"]) => ("iam.serviceAccountKeys.create", "create"),
            ("POST", ["keys", key]) if key.ends_with(":disable") => {
                ("iam.serviceAccountKeys.disable", "disable")
            }
            ("DELETE", ["keys", _]) => ("iam.serviceAccountKeys.delete", "delete"),
            _ => return missing(),
        };
        if let Some(refused) = allows(may, permission) {
            return refused;
        }
        let Some(account) = self.accounts.get_mut(*email) else { return missing() };
        let key = rest.get(1).map(|last| last.strip_suffix(":disable").unwrap_or(last)).unwrap_or_default();
        match method {
            "account" => Reply::json(
                200,
                &json!({
                    "email": email, "description": account.description, "etag": account.etag.to_string(),
                }),
            ),
            "describe" => {
                let body = request.json();
                if body["serviceAccount"]["etag"].as_str() != Some(&account.etag.to_string()) {
                    return error(409, "ABORTED", "There were concurrent policy changes.");
                }
                account.etag += 1;
                body["serviceAccount"]["description"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut account.description);
                Reply::json(200, &json!({ "email": email }))
            }
            "list" => {
                let keys: Vec<Value> = account.keys.iter().map(|(id, key)| key.object(email, id)).collect();
                Reply::json(200, &json!({ "keys": keys }))
            }
            "create" if account.forbidden => {
                error(400, "FAILED_PRECONDITION", "Key creation is not allowed on this service account.")
            }
            "create" => match account.make_key(email) {
                Ok((id, file)) => {
                    let mut object =
                        account.keys.get(&id).map(|key| key.object(email, &id)).unwrap_or_default();
                    object["privateKeyData"] = json!(base64(file.as_bytes()));
                    Reply::json(200, &object)
                }
                Err(_) => error(500, "INTERNAL", "Internal error encountered."),
            },
            "disable" => match account.keys.get_mut(key) {
                Some(key) => {
                    (key.disabled, key.reason) =
                        (true, Some("SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"));
                    Reply::json(200, &json!({}))
                }
                None => error(404, "NOT_FOUND", "Requested entity was not found."),
            },
            _ => match account.keys.remove(key) {
                Some(_) => Reply::json(200, &json!({})),
                None => error(404, "NOT_FOUND", "Requested entity was not found."),
            },
        }
    }
}
