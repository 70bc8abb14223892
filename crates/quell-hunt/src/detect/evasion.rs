//! `defence-evasion`: somebody tried to make the logs blind, or took a protection away.
//!
//! * Looks at: calls that stop, delete or narrow CloudTrail, `GuardDuty`, Config, Security Hub, flow logs and log groups;
//!   Vault's removal of an audit device, sealing it, and what it leaves out of the audit; what [`super::acts`] lists of other logs.
//! * Speaks from: any; an attempt counts.
//! * Idea: Sigma's rules for CloudTrail (`aws_cloudtrail_disable_logging`, `aws_guardduty_disruption`,
//!   `aws_config_disable_recording`).

use super::Weight;
use super::acts::Act;
use super::call::{Call, Table};
use super::persistence::{How, grouped, how};
use super::run::{Detector, Finding, Scene, Soft};
use super::wording::{quoted, times};

pub(super) const DETECTOR: Detector = Detector { id: "defence-evasion", soft: Soft::Habit, find };

const CALLS: &Table = &[
    ("access-analyzer", &["DeleteAnalyzer"]),
    (
        "cloudtrail",
        &[
            "DeleteEventDataStore",
            "DeleteTrail",
            "PutEventSelectors",
            "PutInsightSelectors",
            "StopEventDataStoreIngestion",
            "StopLogging",
            "UpdateTrail",
        ],
    ),
    ("config", &["DeleteConfigurationRecorder", "DeleteDeliveryChannel", "StopConfigurationRecorder"]),
    ("ec2", &["DeleteFlowLogs"]),
    (
        "guardduty",
        &[
            "CreateFilter",
            "CreateIPSet",
            "DeleteDetector",
            "DeleteMembers",
            "DeletePublishingDestination",
            "DisassociateFromAdministratorAccount",
            "DisassociateFromMasterAccount",
            "DisassociateMembers",
            "StopMonitoringMembers",
            "UpdateDetector",
            "UpdateIPSet",
        ],
    ),
    ("inspector2", &["Disable"]),
    ("logs", &["DeleteLogGroup", "DeleteLogStream", "DeleteRetentionPolicy", "PutRetentionPolicy"]),
    ("macie2", &["DisableMacie"]),
    ("organizations", &["LeaveOrganization"]),
    ("route53resolver", &["DeleteResolverQueryLogConfig", "DisassociateResolverQueryLogConfig"]),
    ("s3", &["PutBucketLogging"]),
    ("securityhub", &["BatchDisableStandards", "DisableSecurityHub", "UpdateFindings"]),
    ("wafv2", &["DeleteLoggingConfiguration"]),
];

/// Whether a call blinds the logs.
fn blinds(call: Call<'_>) -> bool {
    call.is_in(CALLS) || is_vault(call) || call.does(Act::Blinds)
}

/// Whether a call is any of what is looked for here.
pub(super) fn evades(call: Call<'_>) -> bool {
    blinds(call) || call.does(Act::Unguards)
}

fn is_vault(call: Call<'_>) -> bool {
    match call {
        Call::Vault { operation, path } => {
            let is_removal = matches!(operation, "delete" | "revoke");
            (is_removal && path.starts_with("sys/audit/"))
                || (path == "sys/seal" && operation != "read")
                || (operation != "read" && path.starts_with("sys/config/auditing/"))
        }
        Call::Aws { .. } | Call::Http { .. } | Call::Named(_) | Call::Other => false,
    }
}

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = grouped(scene.uses, blinds, |kind, group| {
        let called = format!("{} was called {}", quoted(kind), times(group.len()));
        match how(group) {
            How::Done => (Weight::High, format!("{called}: later logs may be blind")),
            How::Untold => (Weight::High, format!("{called}, and the log does not say whether it was done")),
            How::Not => {
                (Weight::Medium, format!("{called} and was not done: somebody wanted the logs blind"))
            }
        }
    });
    let unguards = |call: Call<'_>| call.does(Act::Unguards) && !blinds(call);
    findings.extend(grouped(scene.uses, unguards, |kind, group| {
        let called = format!("{} was called {}", quoted(kind), times(group.len()));
        match how(group) {
            How::Done => (Weight::High, format!("{called}: a protection may be gone")),
            How::Untold => {
                (Weight::Medium, format!("{called}, and the log does not say whether it was done"))
            }
            How::Not => {
                (Weight::Medium, format!("{called} and was not done: somebody wanted a protection gone"))
            }
        }
    }));
    findings
}

#[cfg(test)]
mod tests {
    use crate::detect::Weight;
    use crate::detect::planted::{AWAY, denied, fires, silent, used, vault};

    #[test]
    fn blinding_the_logs_is_told_and_so_is_the_attempt() {
        let all = fires("defence-evasion", &[used(60, "cloudtrail:StopLogging", AWAY)]);
        insta::assert_snapshot!(all[0].title, @"`cloudtrail:StopLogging` was called once: later logs may be blind");
        assert_eq!(all[0].weight, Weight::High);
        let all = fires("defence-evasion", &[denied(used(60, "guardduty:DeleteDetector", AWAY))]);
        assert_eq!(all[0].weight, Weight::Medium);
        for action in
            ["delete sys/audit/file", "update sys/seal", "update sys/config/auditing/request-headers/x"]
        {
            fires("defence-evasion", &[vault(60, action, AWAY)]);
        }
    }

    #[test]
    fn looking_at_the_logs_is_none() {
        let more = [
            used(60, "cloudtrail:LookupEvents", AWAY),
            used(61, "cloudtrail:StartLogging", AWAY),
            used(62, "StopLogging", AWAY),
            vault(63, "read sys/audit", AWAY),
            vault(64, "update sys/audit-hash/file", AWAY),
            vault(65, "update sys/audit/file", AWAY),
        ];
        silent("defence-evasion", &more);
    }
}
