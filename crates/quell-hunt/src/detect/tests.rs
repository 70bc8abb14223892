use jiff::SignedDuration;
use proptest::prelude::*;

use super::planted::{AWAY, by, context, denied, made, on, ordinary, reads, used};
use super::*;
use crate::format::Format;
use crate::record::{MadeKind, Outcome, Role};

#[test]
fn ordinary_work_has_no_anomalies() {
    assert_eq!(detect(&ordinary(&[]), &context()).anomalies, []);
    assert_eq!(detect(&ordinary(&[]), &Context { exposed: None, ..context() }).anomalies, []);
    assert_eq!(detect(&[], &context()).anomalies, []);
}

#[test]
fn a_theft_is_told_in_its_order() {
    let cli = |access| by(access, "aws-cli/2.15 Python/3.11");
    let mut log = vec![cli(used(60, "sts:GetCallerIdentity", AWAY))];
    let names = [
        "iam:ListUsers",
        "iam:ListRoles",
        "s3:ListBuckets",
        "ec2:DescribeInstances",
        "iam:GetUser",
        "ssm:DescribeParameters",
    ];
    log.extend(names.iter().zip(70..).map(|(name, at)| cli(reads(used(at, name, AWAY), true))));
    log.extend((100..112).map(|at| cli(denied(used(at, "ec2:RunInstances", AWAY)))));
    log.extend((200..225).map(|at| cli(on(used(at, "s3:GetObject", AWAY), &format!("s3://orders/{at}")))));
    log.push(cli(made(reads(used(300, "iam:CreateAccessKey", AWAY), false), MadeKind::Key, "AKIABACKDOOR")));
    log.push(cli(used(86_400 * 3, "s3:ListBuckets", AWAY)));
    let revoked = Some(planted::exposed() + SignedDuration::from_hours(60));
    let found = detect(&ordinary(&log), &Context { revoked, ..context() });
    let told: Vec<String> = found
        .anomalies
        .iter()
        .map(|it| format!("{:?} {}: {} {:?}", it.weight, it.detector, it.title, it.folded))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    Medium key-validation: `sts:GetCallerIdentity` was the first call from `203.0.113.9` []
    Medium new-address: It came from `203.0.113.9`, which it never did before, in a network that is new, too (`203.0.0.0/16`) []
    Low new-agent: `aws-cli` used it, which it never did before by its user agent []
    Low off-hours: It was used 45 times at an hour at which it hardly ever was before ["rare-call"]
    Medium enumeration-burst: Somebody looked around: `iam:ListUsers`, `iam:ListRoles`, `s3:ListBuckets` and 3 more []
    Medium denied-burst: 12 calls in a short time were refused: `ec2:RunInstances` ["rare-call"]
    High bulk-export: 25 objects were fetched one after another: `s3://orders/200`, `s3://orders/201`, `s3://orders/202` and 22 more []
    High persistence: `iam:CreateAccessKey` was called once: what it made (`AKIABACKDOOR`) outlives the credential ["derived-credential"]
    High use-after-revocation: It was used with success once after it was revoked []
    "#);
}

#[test]
fn weights_are_ordered_and_written_small() {
    assert!(Weight::Info < Weight::Low && Weight::Low < Weight::Medium && Weight::Medium < Weight::High);
    assert_eq!(serde_json::to_string(&Weight::High).unwrap(), "\"high\"");
    let judged = Baseline::Judged { uses: 50, days: 7 };
    assert_eq!(serde_json::to_string(&judged).unwrap(), r#"{"judged":{"uses":50,"days":7}}"#);
}

#[test]
fn a_long_log_has_few_anomalies() {
    // Quadratic work would be felt even here; a million records took less than 20 s, not optimized.
    let log: Vec<Access> = (0..30_000)
        .map(|n| {
            let action = if n % 3 == 0 { "iam:ListUsers" } else { "s3:GetObject" };
            let address = format!("203.{}.113.{}", n % 7, n % 200);
            let access = on(used(n - 15_000, action, &address), &format!("s3://a/{n}"));
            if n % 5 == 0 { denied(access) } else { access }
        })
        .collect();
    let found = detect(&log, &context());
    assert!(found.anomalies.len() < 100, "{}", found.anomalies.len());
    assert!(!found.anomalies.is_empty());
}

fn access() -> impl Strategy<Value = Access> {
    let action = prop_oneof![
        prop::sample::select(vec![
            "",
            ":",
            " ",
            "s3:GetObject",
            "sts:GetCallerIdentity",
            "iam:CreateAccessKey",
            "cloudtrail:StopLogging",
            "iam:ListUsers",
            "iam:ListRoles",
            "ec2:DescribeInstances",
            "read kv/a",
            "update auth/token/create",
            "delete sys/audit/x",
            "list kv/b",
            "GET /x",
            "secretsmanager:GetSecretValue",
            "dynamodb:Scan",
        ])
        .prop_map(str::to_owned),
        ".{0,20}",
    ];
    let address = prop::option::of(prop_oneof![
        prop::sample::select(vec![
            "203.0.113.9",
            "198.51.100.7",
            "10.1.2.3",
            "2001:db8::1",
            "AWS Internal",
            ""
        ])
        .prop_map(str::to_owned),
        ".{0,12}",
    ]);
    let agent = prop::option::of(prop_oneof![Just("kali".to_owned()), ".{0,12}"]);
    let time = prop::option::of(prop_oneof![
        8 => -2_000_000_i64..2_000_000,
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ]);
    let outcome = prop_oneof![
        3 => Just(Outcome::Allowed),
        1 => Just(Outcome::Unknown),
        1 => ".{0,6}".prop_map(Outcome::Denied),
        1 => ".{0,6}".prop_map(Outcome::Failed),
    ];
    let format = prop::sample::select(vec![
        Format::Cloudtrail,
        Format::CloudtrailDigest,
        Format::Combined,
        Format::Vault,
        Format::JsonLines,
        Format::Text,
    ]);
    let role = prop::sample::select(vec![Role::Used, Role::Used, Role::Mentioned]);
    let many =
        (action, address, agent, time, outcome, format, role, 0..3_usize, prop::option::of(any::<bool>()));
    many.prop_map(|(action, address, agent, time, outcome, format, role, credential, reads)| {
        let time = time.map(|seconds| match seconds {
            i64::MIN => Timestamp::MIN,
            i64::MAX => Timestamp::MAX,
            _ => planted::exposed() + SignedDuration::from_secs(seconds),
        });
        let kind = [MadeKind::Session, MadeKind::User, MadeKind::Key][credential];
        let access = made(used(0, &action, ""), kind, &action);
        let credential = ["", "a", "b"][credential].to_owned();
        Access {
            time,
            address,
            agent,
            outcome,
            format,
            role,
            credential,
            reads,
            resource: Some(action),
            ..access
        }
    })
}

proptest! {
    #[test]
    fn any_log_is_judged_without_a_panic(
        log in prop::collection::vec(access(), 0..160),
        is_sorted in any::<bool>(),
        has_data in any::<bool>(),
        exposed in prop::option::of(-1_000_000_i64..1_000_000),
        revoked in prop::option::of(-1_000_000_i64..1_000_000),
        known in prop::collection::vec(prop_oneof![Just("203.0.113.0/24".to_owned()), ".{0,8}"], 0..3),
    ) {
        let mut log = log;
        if is_sorted {
            log.sort_by_key(|access| access.time);
        }
        let at = |seconds: Option<i64>| seconds.map(|it| planted::exposed() + SignedDuration::from_secs(it));
        let data = planted::registered();
        let registered = has_data.then_some(&data);
        let context = Context { exposed: at(exposed), revoked: at(revoked), known: &known, registered };
        let found = detect(&log, &context);
        for anomaly in &found.anomalies {
            prop_assert!(!anomaly.records.is_empty());
            prop_assert!(anomaly.records.is_sorted_by(|a, b| a < b), "{anomaly:?}");
            prop_assert!(anomaly.addresses.is_sorted_by(|a, b| a < b));
            prop_assert!(anomaly.from <= anomaly.to);
            for record in &anomaly.records {
                prop_assert_eq!(&log[*record].credential, &anomaly.credential);
            }
        }
        prop_assert_eq!(&detect(&log, &context), &found, "the same again");
    }
}
