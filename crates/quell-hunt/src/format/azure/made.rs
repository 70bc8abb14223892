//! What a record says came into being.

use serde_json::{Map, Value};

use super::fields::{Record, member, text};
use crate::record::{Made, MadeKind};

impl Record<'_> {
    /// Credentials that an application was given, and rights.
    pub(super) fn made(&self, operation: &str) -> Result<Vec<Made>, String> {
        let mut made = Vec::new();
        for target in list(self.inner.unwrap_or(self.top), "targetResources") {
            let name = text(target, "displayName")?;
            for change in list(target, "modifiedProperties") {
                if text(change, "displayName")? != Some("KeyDescription") {
                    continue;
                }
                // `["[KeyIdentifier=…,KeyType=Password,…]"]`: all keys before and after.
                let old = text(change, "oldValue")?.unwrap_or_default();
                let ids = text(change, "newValue")?.unwrap_or_default().split("KeyIdentifier=").skip(1);
                let ids = ids.filter_map(|rest| rest.split([',', ']']).next());
                let ids = ids.filter(|id| !id.is_empty() && !old.contains(id));
                made.extend(ids.map(|id| Made { kind: MadeKind::Key, id: id.to_owned() }));
            }
            let kind = match operation {
                "Add user" | "Add application" | "Add service principal" | "Invite external user" => {
                    MadeKind::User
                }
                "Add member to role"
                | "Add app role assignment to service principal"
                | "Add delegated permission grant"
                | "Consent to application" => MadeKind::Policy,
                _ => continue,
            };
            made.extend(name.map(|name| Made { kind, id: name.to_owned() }));
        }
        if operation.eq_ignore_ascii_case("Microsoft.Authorization/roleAssignments/write") {
            let id = text(self.top, "resourceId")?;
            made.extend(id.map(|id| Made { kind: MadeKind::Policy, id: id.to_owned() }));
        }
        Ok(made)
    }
}

/// The objects of a list.
fn list<'a>(map: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    member(map, name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}
