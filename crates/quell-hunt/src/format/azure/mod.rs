//! Azure's and Entra's logs, a JSON object a line, as diagnostic settings write them to a storage account (`{"time":…,"category":…,
//! "properties":{…}}`) or as tables of a workspace are exported (`{"TimeGenerated":…,"AppId":…}`): sign-ins, directory audit,
//! Graph activity, Azure activity, Key Vault and storage. What an event hub wraps in `{"records":[…]}` is not read.
//!
//! The credential is `servicePrincipalCredentialKeyId` or its thumbprint in sign-ins of service principals. What was done with the
//! token of a sign-in is joined by its id: `uniqueTokenIdentifier` there, `signInActivityId` in Graph activity, the claim `uti`
//! elsewhere. The application's id finds the uses of all its credentials, unless the log says that the client showed none.
//!
//! Fields: <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/aadserviceprincipalsigninlogs>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/reference/tables/microsoftgraphactivitylogs>,
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/platform/activity-log-schema> and
//! <https://learn.microsoft.com/en-us/azure/key-vault/general/logging>.

mod fields;
mod made;

use serde_json::{Map, Value};

use super::{Format, Spot, has_name, has_text, http, parse};
use crate::needle::Needles;
use crate::record::{Access, Outcome, Role};

use fields::{Record, member, text};

/// A line of such a log.
pub(super) fn is(line: &[u8]) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| has_name(line, name));
    let of_azure = ["/tenants/", "/TENANTS/", "/subscriptions/", "/SUBSCRIPTIONS/"];
    let of_azure = of_azure.iter().any(|start| has_text(line, "resourceId", start));
    of_azure && has(&["time", "category", "operationName"])
        || has(&["TimeGenerated", "TenantId", "OperationName", "Category"])
        || has(&["TimeGenerated", "AadTenantId", "AppId", "RequestUri"])
}

/// Where a log names who it was, if not beside the rest.
const ACTORS: [&str; 6] = [
    "initiatedBy/app/displayName",
    "initiatedBy/user/userPrincipalName",
    "identity",
    "identity/claims/name",
    "identity/claims/appid",
    "identity/claim/appid",
];

/// What a line says. Descriptions of results quote requests, and the query of a storage URL may be a credential: neither is kept.
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let top: Map<String, Value> = parse(spot.bytes)?;
    let inner = member(&top, "properties").and_then(Value::as_object);
    let record = Record { top: &top, inner };
    let own = |text: Option<&str>| text.map(str::to_owned);
    let operation = record.first(&["operationName"])?.unwrap_or("an operation without a name");
    let uri = record.first(&["requestUri", "uri"])?.and_then(|uri| uri.split(['?', '#']).next());
    let method = record.first(&["requestMethod"])?;
    let action = method.map_or_else(|| operation.to_owned(), |method| format!("{operation} {method}"));
    let mut access = spot.access(Format::Azure, action);
    let time = record.first(&["time", "TimeGenerated", "createdDateTime", "activityDateTime"])?;
    access.time = time.and_then(|time| time.parse().ok());
    if record.showed(&spot, needles)? {
        access.role = Role::Used;
    }
    access.outcome = record.outcome()?;
    let verb = operation.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let reads = ["read", "get", "list"].iter().any(|word| verb.starts_with(word) || verb.ends_with(word));
    access.reads = match (method, verb.as_str()) {
        (Some(method), _) => Some(matches!(method, "GET" | "HEAD" | "OPTIONS")),
        (None, "write" | "delete") => Some(false),
        (None, _) => reads.then_some(true),
    };
    if access.role == Role::Used && access.outcome == Outcome::Allowed {
        access.made = record.made(operation)?;
    }
    let named = record.first(&["servicePrincipalName", "userPrincipalName"])?;
    let named = named.or_else(|| record.within(&ACTORS));
    access.actor = own(named.or(record.first(&["appId"])?));
    access.resource = own(uri.or(record.first(&["resourceDisplayName"])?).or(text(&top, "resourceId")?));
    let address = record.first(&["ipAddress", "callerIpAddress"])?;
    access.address =
        own(address.or_else(|| record.within(&["initiatedBy/user/ipAddress", "initiatedBy/app/ipAddress"])));
    access.agent = own(record.first(&["userAgent", "userAgentHeader", "clientInfo"])?);
    access.request = own(record.first(&["requestId", "correlationId", "id"])?);
    // Storage's name and Graph's.
    access.bytes = record.number("responseBodySize").or_else(|| record.number("responseSizeBytes"));
    access.account = own(record.first(&["tenantId", "aadTenantId"])?);
    access.region = own(member(&top, "location").and_then(Value::as_str));
    Ok(Some(access))
}

impl Record<'_> {
    fn showed(&self, spot: &Spot<'_>, needles: &Needles) -> Result<bool, String> {
        let mut shown = Vec::new();
        for name in [
            "servicePrincipalCredentialKeyId",
            "servicePrincipalCredentialThumbprint",
            "uniqueTokenIdentifier",
            "signInActivityId",
        ] {
            shown.push(self.first(&[name])?);
        }
        for way in [
            "identity/claims/uti",
            "identity/claim/uti",
            "identity/tokenHash",
            "identity/requester/appId",
            "initiatedBy/app/appId",
        ] {
            shown.push(self.within(&[way]));
        }
        // A client that showed neither a secret nor a certificate is known by its id alone, and so is one that a user signs in to.
        let public = self.number("clientAuthMethod") == Some(0)
            || self.within(&["identity/claims/appidacr"]) == Some("0");
        let category = text(self.top, "category")?.or(text(self.top, "type")?).unwrap_or_default();
        let of_user = category.ends_with("SignInLogs") && !category.contains("ServicePrincipal");
        if !public && !of_user {
            shown.push(self.first(&["appId"])?);
            shown.push(self.within(&["identity/claims/appid", "identity/claim/appid"]));
        }
        Ok(spot.is_in_any(shown, needles))
    }

    /// Codes of sign-ins: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>.
    fn outcome(&self) -> Result<Outcome, String> {
        // It timed out, was overloaded or not there. Every other code is a refusal.
        const OF_SERVICE: [u64; 5] = [90012, 90024, 90033, 90036, 90055];
        let status = ["responseStatusCode", "httpStatusCode", "statusCode"]
            .into_iter()
            .find_map(|name| self.number(name));
        match (status, self.number("resultType")) {
            (Some(status), _) => return Ok(http(status, None)),
            (None, Some(0)) => return Ok(Outcome::Allowed),
            (None, Some(code)) if OF_SERVICE.contains(&code) => {
                return Ok(Outcome::Failed(format!("AADSTS{code}")));
            }
            (None, Some(code)) => return Ok(Outcome::Denied(format!("AADSTS{code}"))),
            (None, None) => {}
        }
        let Some(result) = self.first(&["resultType", "result", "activityStatusValue"])? else {
            return Ok(Outcome::Unknown);
        };
        let detail =
            self.first(&["resultSignature"])?.filter(|signature| *signature != "None").unwrap_or(result);
        Ok(match result.to_ascii_lowercase().as_str() {
            "success" | "succeeded" => Outcome::Allowed,
            "failure" | "failed" => {
                let refused = ["Forbidden", "Unauthorized"].iter().any(|word| detail.contains(word));
                if refused { Outcome::Denied(detail.to_owned()) } else { Outcome::Failed(detail.to_owned()) }
            }
            // Started or accepted; another line tells the end.
            _ => Outcome::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use crate::record::{Made, MadeKind};

    const KEY: &str = "11111111-2222-4333-8444-555555555555";
    const APP: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    fn sign_in(result: &str) -> String {
        format!(
            r#"{{"time":"2026-03-02T10:00:00.1234567Z","resourceId":"/tenants/t-1/providers/Microsoft.aadiam","operationName":"Sign-in activity",
            "category":"ServicePrincipalSignInLogs","tenantId":"t-1","resultType":{result},"callerIpAddress":"203.0.113.9","location":"IE",
            "properties":{{"id":"r-1","appId":"{APP}","servicePrincipalName":"ci","ipAddress":"203.0.113.9","location":{{"city":"x"}},
            "servicePrincipalCredentialKeyId":"{KEY}","uniqueTokenIdentifier":"TokenOfExample","resourceDisplayName":"Azure Key Vault"}}}}"#
        )
    }

    fn activity(category: &str, operation: &str, rest: &str) -> String {
        format!(
            r#"{{"time":"2026-03-02T10:00:00Z","resourceId":"/SUBSCRIPTIONS/S/X","operationName":"{operation}","category":"{category}",{rest}}}"#
        )
    }

    fn told(text: &str, id: &str) -> Access {
        assert!(is(text.as_bytes()), "{text}");
        read(Format::Azure, text, id).unwrap()
    }

    #[test]
    fn a_sign_in_is_a_use_of_the_key_the_application_and_the_token() {
        for id in [KEY, APP, "TokenOfExample"] {
            let access = told(&sign_in("\"0\""), id);
            assert_eq!((access.role, access.outcome), (Role::Used, Outcome::Allowed));
            let texts = [access.actor, access.address, access.resource, access.region].map(Option::unwrap);
            assert_eq!(texts, ["ci", "203.0.113.9", "Azure Key Vault", "IE"]);
            assert_eq!(access.time, Some("2026-03-02T10:00:00.1234567Z".parse().unwrap()));
        }
        let table = format!(
            r#"{{"TimeGenerated":"2026-03-02T10:00:00Z","TenantId":"w","OperationName":"Sign-in activity","Category":"ServicePrincipalSignInLogs","ResultType":"7000215","ServicePrincipalCredentialKeyId":"{KEY}"}}"#
        );
        assert_eq!(told(&table, KEY).outcome, Outcome::Denied("AADSTS7000215".to_owned()));
        assert_eq!(told(&sign_in("90033"), KEY).outcome, Outcome::Failed("AADSTS90033".to_owned()));
    }

    #[test]
    fn the_id_of_an_application_is_no_use_where_a_user_signs_in_or_no_secret_was_shown() {
        let user = sign_in("0").replace("ServicePrincipalSignInLogs", "NonInteractiveUserSignInLogs");
        assert_eq!(told(&user, APP).role, Role::Mentioned);
        for (method, role) in [(0, Role::Mentioned), (1, Role::Used)] {
            let rest = format!(
                r#""properties":{{"appId":"{APP}","clientAuthMethod":{method},"requestMethod":"GET","requestUri":"https://graph.microsoft.com/v1.0/users?$search=s3cr3t","responseStatusCode":403,"responseSizeBytes":4711}}"#
            );
            let access =
                told(&activity("MicrosoftGraphActivityLogs", "Microsoft Graph Activity", &rest), APP);
            assert_eq!((access.role, &access.outcome), (role, &Outcome::Denied("403".to_owned())));
            assert_eq!(access.resource.as_deref(), Some("https://graph.microsoft.com/v1.0/users"));
            assert_eq!(access.bytes, Some(4711));
            assert!(!format!("{access:?}").contains("s3cr3t"));
        }
    }

    #[test]
    fn activity_is_told_by_claims_and_words() {
        for (result, signature, expected) in [
            ("Success", "Succeeded.OK", Outcome::Allowed),
            ("Failure", "Failed.Forbidden", Outcome::Denied("Failed.Forbidden".to_owned())),
            ("Failure", "Failed.Conflict", Outcome::Failed("Failed.Conflict".to_owned())),
            ("Start", "Started.", Outcome::Unknown),
        ] {
            let rest = format!(
                r#""resultType":"{result}","resultSignature":"{signature}","identity":{{"claims":{{"appid":"{APP}","appidacr":"1","uti":"TokenOfExample"}}}}"#
            );
            let access = told(
                &activity("Administrative", "Microsoft.Authorization/roleAssignments/write", &rest),
                "TokenOfExample",
            );
            assert_eq!((access.role, access.reads, &access.outcome), (Role::Used, Some(false), &expected));
            assert_eq!(access.made.len(), usize::from(expected == Outcome::Allowed));
        }
    }

    #[test]
    fn a_key_that_was_added_is_followed_and_was_not_used_there() {
        let rest = format!(
            r#""properties":{{"result":"success","initiatedBy":{{"app":{{"appId":"{APP}","displayName":"ci"}}}},"targetResources":[{{"displayName":"shop","modifiedProperties":[{{"displayName":"KeyDescription","oldValue":"[\"[KeyIdentifier=old-key-id,KeyType=Password]\"]","newValue":"[\"[KeyIdentifier=old-key-id,KeyType=Password]\",\"[KeyIdentifier={KEY},KeyType=Password]\"]"}}]}}]}}"#
        );
        let text = activity("AuditLogs", "Update application", &rest);
        assert_eq!(told(&text, APP).made, [Made { kind: MadeKind::Key, id: KEY.to_owned() }]);
        assert_eq!(told(&text, KEY).role, Role::Mentioned);
    }

    #[test]
    fn wrong_types_are_errors_and_other_json_is_not_of_this_format() {
        let wrong = sign_in("0").replace("\"Sign-in activity\"", "7");
        assert_eq!(read(Format::Azure, &wrong, KEY).unwrap_err(), "`operationName` is not a text");
        assert!(read(Format::Azure, "[]", KEY).is_err());
        assert!(!is(br#"{"time":"2026-03-02T10:00:00Z","category":"x","operationName":"y"}"#));
    }
}
