//! Azure and Entra.
//!
//! * Directory audit: <https://learn.microsoft.com/en-us/entra/identity/monitoring-health/reference-audit-activities>.
//! * Azure activity: operations of resource providers,
//!   <https://learn.microsoft.com/en-us/azure/role-based-access-control/permissions/management-and-governance>; their case varies.
//! * Key Vault: <https://learn.microsoft.com/en-us/azure/key-vault/general/logging>; storage:
//!   <https://learn.microsoft.com/en-us/rest/api/storageservices/storage-analytics-logged-operations-and-status-messages>.
//! * Which of them matter: the ideas of Sigma's rules for Azure (`azure_app_credential_added`, `azure_diagnostic_settings_deleted`)
//!   and of Elastic's.

use super::{Act, Acts};

/// What Graph's own log calls every request; the method stands behind it.
const GRAPH: &str = "Microsoft Graph Activity ";

const ACTS: &Acts = &[
    (
        Act::Blinds,
        &[
            "microsoft.eventhub/namespaces/eventhubs/delete",
            "microsoft.insights/activitylogalerts/delete",
            "microsoft.insights/diagnosticsettings/delete",
            "microsoft.insights/logprofiles/delete",
            "microsoft.network/networkwatchers/delete",
            "microsoft.network/networkwatchers/flowlogs/delete",
            "microsoft.operationalinsights/workspaces/delete",
            "microsoft.securityinsights/alertrules/delete",
            "microsoft.securityinsights/dataconnectors/delete",
        ],
    ),
    (
        Act::Derives,
        &[
            "add service principal credentials",
            "microsoft.containerservice/managedclusters/listclusteradmincredential/action",
            "microsoft.containerservice/managedclusters/listclusterusercredential/action",
            "microsoft.storage/storageaccounts/listaccountsas/action",
            "microsoft.storage/storageaccounts/listkeys/action",
            "microsoft.storage/storageaccounts/listservicesas/action",
            "microsoft.storage/storageaccounts/regeneratekey/action",
        ],
    ),
    (
        Act::Dumps,
        &[
            "microsoft.compute/disks/begingetaccess/action",
            "microsoft.compute/snapshots/begingetaccess/action",
            "microsoft.sql/servers/databases/export/action",
        ],
    ),
    (Act::Fetches, &["getblob"]),
    (
        Act::Lasts,
        &[
            "add app role assignment to service principal",
            "add application",
            "add delegated permission grant",
            "add eligible member to role",
            "add member to role",
            "add owner to application",
            "add owner to service principal",
            "add service principal",
            "add service principal credentials",
            "add user",
            "consent to application",
            "invite external user",
            "microsoft.authorization/elevateaccess/action",
            "microsoft.authorization/roleassignments/write",
            "microsoft.authorization/roledefinitions/write",
            "microsoft.automation/automationaccounts/runbooks/write",
            "microsoft.automation/automationaccounts/webhooks/write",
            "microsoft.keyvault/vaults/accesspolicies/write",
            "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials/write",
            "reset user password",
            "set domain authentication",
            "set federation settings on domain",
        ],
    ),
    (
        Act::Looks,
        &[
            "certificatelist",
            "keylist",
            "listblobs",
            "listcontainers",
            "secretlist",
            "secretlistversions",
            "vaultget",
            "vaultlist",
        ],
    ),
    (Act::MayLast, &["update application", "update service principal", "update user"]),
    (Act::Pages, &["listblobs", "listcontainers", "secretlist"]),
    (Act::ReadsSecret, &["secretget"]),
    (
        Act::Rules,
        &[
            "microsoft.compute/virtualmachines/runcommand/action",
            "microsoft.storage/storageaccounts/listkeys/action",
        ],
    ),
    (
        Act::Unguards,
        &[
            "delete conditional access policy",
            "disable strong authentication",
            "microsoft.authorization/locks/delete",
            "microsoft.network/azurefirewalls/delete",
            "microsoft.network/networksecuritygroups/delete",
        ],
    ),
];

/// Parts of a path of Graph's that a request to write makes something lasting with
/// (<https://learn.microsoft.com/en-us/graph/api/overview>).
const LASTING_PATHS: [&str; 8] = [
    "/addKey",
    "/addPassword",
    "/appRoleAssignedTo",
    "/appRoleAssignments",
    "/federatedIdentityCredentials",
    "/oauth2PermissionGrants",
    "/owners/$ref",
    "/roleManagement/directory/roleAssignments",
];

pub(super) fn does(act: Act, operation: &str, on: &str) -> bool {
    if let Some(method) = operation.strip_prefix(GRAPH) {
        let path = path(on);
        return match act {
            Act::AsksWho => method == "GET" && path == "/me",
            Act::Derives => {
                method == "POST" && ["/addKey", "/addPassword"].iter().any(|it| path.ends_with(it))
            }
            Act::Lasts => method != "GET" && LASTING_PATHS.iter().any(|part| path.contains(part)),
            Act::Looks | Act::Pages => method == "GET",
            Act::Blinds
            | Act::Clones
            | Act::Dumps
            | Act::Fetches
            | Act::MayLast
            | Act::ReadsSecret
            | Act::Rules
            | Act::Unguards => false,
        };
    }
    // `Update application – Certificates and secrets management`, with whichever dash.
    let lower = operation.to_ascii_lowercase();
    if act == Act::Lasts
        && lower.starts_with("update application")
        && lower.contains("certificates and secrets")
    {
        return true;
    }
    super::listed(ACTS, act, &lower)
}

/// The path of a URL of Graph's, without its version.
fn path(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    let path = path.trim_end_matches('/');
    ["/v1.0", "/beta"].iter().find_map(|version| path.strip_prefix(version)).unwrap_or(path)
}

/// The operation; of a request to Graph also what it is about, without ids.
pub(super) fn name(operation: &str, on: &str) -> String {
    if !operation.starts_with(GRAPH) {
        return operation.to_owned();
    }
    let (first, last) = (collection(operation, on), path(on).rsplit('/').next().unwrap_or_default());
    let is_word = last.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'$');
    if is_word && last != first {
        format!("{operation} {first}/{last}")
    } else {
        format!("{operation} {first}")
    }
}

/// Which of Graph's collections a request is about: `users` of `/users/7/memberOf`.
pub(super) fn collection<'a>(operation: &str, on: &'a str) -> &'a str {
    if operation.starts_with(GRAPH) { path(on).split('/').nth(1).unwrap_or_default() } else { "" }
}
