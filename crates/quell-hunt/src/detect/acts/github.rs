//! GitHub.
//!
//! * Names of events:
//!   <https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise/reviewing-audit-logs-for-your-enterprise/audit-log-events-for-your-enterprise>.
//! * Which of them matter: the ideas of Sigma's rules (`github_disable_high_risk_configuration`, `github_push_protection_disabled`,
//!   `github_self_hosted_runner_changes_detected`), Panther's and, for clones, Elastic's.

use super::{Act, Acts};

const ACTS: &Acts = &[
    (Act::Blinds, &["audit_log_streaming.destroy", "audit_log_streaming.update"]),
    (Act::Clones, &["git.clone", "repo.download_zip"]),
    (
        Act::Derives,
        &[
            "oauth_access.create",
            "personal_access_token.access_granted",
            "personal_access_token.create",
            "personal_access_token.credential_regenerated",
        ],
    ),
    (Act::Dumps, &["migration.create", "org.audit_log_export", "org.audit_log_git_event_export"]),
    (
        Act::Lasts,
        &[
            "business.add_admin",
            "business.invite_admin",
            "deploy_key.create",
            "enterprise.register_self_hosted_runner",
            "gpg_key.create",
            "hook.config_changed",
            "hook.create",
            "integration_installation.create",
            "ip_allow_list_entry.create",
            "oauth_access.create",
            "oauth_application.create",
            "org.add_member",
            "org.add_outside_collaborator",
            "org.invite_member",
            "org.register_self_hosted_runner",
            "org.update_default_repository_permission",
            "org.update_member",
            "org_credential_authorization.grant",
            "personal_access_token.access_granted",
            "personal_access_token.create",
            "personal_access_token.credential_regenerated",
            "personal_access_token.request_created",
            "public_key.create",
            "repo.add_member",
            "repo.register_self_hosted_runner",
            "ssh_certificate_authority.create",
            "team.add_member",
            "team.add_repository",
        ],
    ),
    (Act::Rules, &["repo.access", "repo.destroy", "repo.transfer"]),
    (
        Act::Unguards,
        &[
            "business.disable_oidc",
            "business.disable_saml",
            "business.disable_two_factor_requirement",
            "dependabot_alerts.disable",
            "ip_allow_list.disable",
            "org.disable_oauth_app_restrictions",
            "org.disable_saml",
            "org.disable_two_factor_requirement",
            "protected_branch.destroy",
            "protected_branch.policy_override",
            "repo.advanced_security_disabled",
            "repository_ruleset.destroy",
            "repository_vulnerability_alerts.disable",
            "secret_scanning_push_protection.bypass",
        ],
    ),
];

pub(super) fn does(act: Act, event: &str) -> bool {
    // Of a repository, an organization or an enterprise, of scanning or of its push protection, where the category or the event has the
    // word: `repository_secret_scanning.disable`, `org.secret_scanning_push_protection_disable`.
    let scanning = event.contains("secret_scanning") && event.contains("disable");
    super::listed(ACTS, act, event) || act == Act::Unguards && scanning
}
