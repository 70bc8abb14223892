//! Google Cloud.
//!
//! * Names of methods: <https://cloud.google.com/iam/docs/audit-logging>, <https://cloud.google.com/logging/docs/audit/configure-data-access>,
//!   <https://cloud.google.com/secret-manager/docs/audit-logging>, <https://cloud.google.com/storage/docs/audit-logging>. A method is
//!   told by its last part (`google.iam.admin.v1.CreateServiceAccountKey`, `v1.compute.instances.setMetadata`).
//! * Which of them matter: the ideas of Sigma's, Panther's and Elastic's rules for GCP (`gcp_service_account_key_created`,
//!   `gcp_logging_sink_deletion`).

use super::{Act, Acts};

const ACTS: &Acts = &[
    (
        Act::Blinds,
        &[
            "logging:CreateExclusion",
            "logging:DeleteBucket",
            "logging:DeleteLog",
            "logging:DeleteSink",
            "logging:UpdateBucket",
            "logging:UpdateExclusion",
            "logging:UpdateSink",
            "monitoring:DeleteAlertPolicy",
            "securitycenter:CreateMuteConfig",
        ],
    ),
    (
        Act::Derives,
        &[
            "iam:CreateServiceAccountKey",
            "iam:UploadServiceAccountKey",
            "iamcredentials:GenerateAccessToken",
            "iamcredentials:GenerateIdToken",
            "iamcredentials:SignBlob",
            "iamcredentials:SignJwt",
            "storage:storage.hmacKeys.create",
        ],
    ),
    (Act::Dumps, &["cloudsql:cloudsql.instances.export"]),
    (Act::Fetches, &["storage:storage.objects.get"]),
    (
        Act::Lasts,
        &[
            "apikeys:CreateKey",
            "compute:setCommonInstanceMetadata",
            "compute:setMetadata",
            "iam:CreateRole",
            "iam:CreateServiceAccount",
            "iam:CreateServiceAccountKey",
            "iam:CreateWorkloadIdentityPool",
            "iam:CreateWorkloadIdentityPoolProvider",
            "iam:EnableServiceAccount",
            "iam:EnableServiceAccountKey",
            "iam:UndeleteServiceAccount",
            "iam:UpdateRole",
            "iam:UploadServiceAccountKey",
            "oslogin:ImportSshPublicKey",
            "storage:storage.hmacKeys.create",
            "storage:storage.setIamPermissions",
        ],
    ),
    (Act::ReadsSecret, &["secretmanager:AccessSecretVersion"]),
    (Act::Unguards, &["compute:v1.compute.firewalls.delete", "orgpolicy:DeletePolicy"]),
];

pub(super) fn does(act: Act, service: &str, method: &str) -> bool {
    let last = method.rsplit('.').next().unwrap_or_default();
    // Any service has it: `SetIamPolicy` of Cloud Resource Manager, `setIamPolicy` of Compute Engine.
    if act == Act::Lasts && last.eq_ignore_ascii_case("SetIamPolicy") {
        return true;
    }
    let lists = ["List", "list", "Search", "search", "AggregatedList", "aggregatedList"]
        .iter()
        .any(|verb| last.starts_with(verb));
    match act {
        Act::Looks => {
            lists
                || ["GetIamPolicy", "QueryGrantableRoles", "TestIamPermissions"]
                    .iter()
                    .any(|name| last.eq_ignore_ascii_case(name))
        }
        Act::Pages => lists,
        Act::AsksWho
        | Act::Blinds
        | Act::Clones
        | Act::Derives
        | Act::Dumps
        | Act::Fetches
        | Act::Lasts
        | Act::MayLast
        | Act::ReadsSecret
        | Act::Rules
        | Act::Unguards => {
            ACTS.iter().filter(|(known, _)| *known == act).flat_map(|(_, names)| *names).any(|name| {
                // A name that has dots is the whole method.
                let known = name.split_once(':');
                known.is_some_and(|(of, name)| of == service && (name == method || name == last))
            })
        }
    }
}
