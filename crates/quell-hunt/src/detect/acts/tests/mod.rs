//! Logs of each source with something planted, and clean ones, read by the real parsers: the detectors that speak are exactly those that
//! should.

mod databases;

use std::fmt::Write as _;

use jiff::SignedDuration;

use crate::detect::{Context, Detection, detect};
use crate::format::{self, Format, Spot};
use crate::hint::Hints;
use crate::needle::{Needle, Needles};
use crate::record::Access;

const START: &str = "2026-03-02T00:00:00Z";

/// The time of the n-th line, a number of seconds after [`START`].
fn at(seconds: i64) -> jiff::Timestamp {
    START.parse::<jiff::Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn read(format: Format, id: &str, lines: &[String]) -> Vec<Access> {
    let needles = Needles::new(vec![Needle::id(id).unwrap()]).unwrap();
    let hints = Hints { zone: Some(jiff::tz::TimeZone::UTC), ..Hints::default() };
    let all = lines.iter().zip(1..).filter_map(|(line, place)| {
        assert_eq!(Format::detect(line.as_bytes()), Some(format), "{line}");
        let spot = Spot { object: "o.log", place, bytes: line.as_bytes(), credential: id };
        format::line(format, spot, &needles, &hints).unwrap()
    });
    all.collect()
}

fn told(log: &[Access]) -> Detection {
    detect(log, &Context { exposed: Some(at(0)), revoked: None, known: &[], registered: None })
}

/// Which detectors spoke, those that were folded among them.
fn who(log: &[Access]) -> Vec<&'static str> {
    let mut who: Vec<_> =
        told(log).anomalies.into_iter().flat_map(|it| it.folded.into_iter().chain([it.detector])).collect();
    who.sort_unstable();
    who.dedup();
    who
}

/// What was said, a line each.
fn titles(log: &[Access]) -> String {
    told(log).anomalies.iter().fold(String::new(), |mut all, it| {
        writeln!(all, "{} {}: {}", it.weight.word(), it.detector, it.title).unwrap();
        all
    })
}

mod azure {
    use super::*;

    const APP: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    fn line(seconds: i64, category: &str, operation: &str, rest: &str) -> String {
        format!(
            r#"{{"time":"{}","resourceId":"/SUBSCRIPTIONS/S/X","operationName":"{operation}","category":"{category}","callerIpAddress":"203.0.113.9","resultType":"Success","identity":{{"claims":{{"appid":"{APP}","appidacr":"1"}}}}{rest}}}"#,
            at(seconds)
        )
    }

    fn secret(seconds: i64, name: &str) -> String {
        let rest = format!(
            r#","properties":{{"requestUri":"https://v.vault.azure.net/secrets/{name}?api-version=7.4","httpStatusCode":200}}"#
        );
        line(seconds, "AuditEvent", "SecretGet", &rest)
    }

    fn graph(seconds: i64, method: &str, path: &str) -> String {
        let rest = format!(
            r#","properties":{{"appId":"{APP}","clientAuthMethod":1,"ipAddress":"203.0.113.9","requestMethod":"{method}","requestUri":"https://graph.microsoft.com/v1.0{path}","responseStatusCode":200}}"#
        );
        line(seconds, "MicrosoftGraphActivityLogs", "Microsoft Graph Activity", &rest)
    }

    #[test]
    fn planted() {
        let mut lines = vec![graph(1, "GET", "/me")];
        lines.extend(
            ["users", "groups", "applications", "servicePrincipals", "devices", "domains"]
                .iter()
                .zip(2..)
                .map(|(it, n)| graph(n, "GET", &format!("/{it}?$top=999"))),
        );
        lines.push(graph(20, "PATCH", "/users/7"));
        lines.push(graph(21, "POST", "/applications/7/addPassword"));
        lines.push(line(3_000, "Administrative", "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", ""));
        lines.push(line(3_001, "AuditLogs", "Update application – Certificates and secrets management ", ""));
        lines.push(line(3_002, "Administrative", "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", ""));
        lines.push(line(3_003, "AuditLogs", "Delete conditional access policy", ""));
        lines.push(line(3_004, "Administrative", "Microsoft.Compute/snapshots/beginGetAccess/action", ""));
        lines.extend((0..20).map(|n| secret(6_000 + n, &format!("db-{n}"))));
        let log = read(Format::Azure, APP, &lines);
        assert_eq!(
            who(&log),
            [
                "bulk-export",
                "defence-evasion",
                "derived-credential",
                "enumeration-burst",
                "key-validation",
                "persistence",
                "privilege-climb",
                "secret-sweep"
            ]
        );
        insta::assert_snapshot!(titles(&log), @r"
        medium enumeration-burst: Somebody looked around: `Microsoft Graph Activity GET me`, `Microsoft Graph Activity GET users`, `Microsoft Graph Activity GET groups` and 4 more
        medium key-validation: `Microsoft Graph Activity GET` was the first call from `203.0.113.9`
        low privilege-climb: `203.0.113.9` read first (`Microsoft Graph Activity GET me`), then wrote (`Microsoft Graph Activity PATCH users`), then called `Microsoft Graph Activity POST applications/addPassword`
        high persistence: `Microsoft Graph Activity POST applications/addPassword` was called once: what it made outlives the credential
        high persistence: `MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE` was called once: what it made (`/SUBSCRIPTIONS/S/X`) outlives the credential
        high persistence: `Update application – Certificates and secrets management ` was called once: what it made outlives the credential
        high defence-evasion: `MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE` was called once: later logs may be blind
        high defence-evasion: `Delete conditional access policy` was called once: a protection may be gone
        medium bulk-export: `Microsoft.Compute/snapshots/beginGetAccess/action` copied data out, once
        high secret-sweep: 20 secrets were read one after another: `https://v.vault.azure.net/secrets/db-0`, `https://v.vault.azure.net/secrets/db-1`, `https://v.vault.azure.net/secrets/db-10` and 17 more
        ");
    }

    #[test]
    fn clean() {
        let mut lines: Vec<String> = (0..40).map(|n| secret(n, "db")).collect();
        lines.extend((0..9).map(|n| graph(50 + n, "GET", "/users")));
        lines.push(graph(70, "GET", "/me/messages"));
        lines.push(line(71, "Administrative", "Microsoft.Insights/diagnosticSettings/read", ""));
        lines.push(line(72, "Administrative", "Microsoft.Compute/virtualMachines/start/action", ""));
        assert_eq!(who(&read(Format::Azure, APP, &lines)), [""; 0]);
    }
}

mod gcp {
    use super::*;

    const KEY: &str = "0123example4567key89abcdef";

    fn line(seconds: i64, service: &str, method: &str, on: &str, kind: &str) -> String {
        format!(
            r#"{{"insertId":"i-{seconds}","logName":"projects/p/logs/x","protoPayload":{{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","serviceName":"{service}.googleapis.com","methodName":"{method}","resourceName":"{on}","authenticationInfo":{{"principalEmail":"ci@p.iam.gserviceaccount.com","serviceAccountKeyName":"//iam.googleapis.com/projects/p/serviceAccounts/ci/keys/{KEY}"}},"authorizationInfo":[{{"permissionType":"{kind}","granted":true}}],"requestMetadata":{{"callerIp":"203.0.113.9"}}}},"timestamp":"{}"}}"#,
            at(seconds)
        )
    }

    fn attack() -> Vec<String> {
        let mut lines = Vec::new();
        for (n, (service, method)) in [
            ("iam", "google.iam.admin.v1.ListServiceAccounts"),
            ("iam", "google.iam.admin.v1.ListRoles"),
            ("compute", "v1.compute.instances.aggregatedList"),
            ("storage", "storage.buckets.list"),
            ("cloudresourcemanager", "GetIamPolicy"),
            ("secretmanager", "google.cloud.secretmanager.v1.SecretManagerService.ListSecrets"),
        ]
        .iter()
        .enumerate()
        {
            lines.push(line(n.try_into().unwrap(), service, method, "projects/p", "ADMIN_READ"));
        }
        lines.push(line(
            10,
            "storage",
            "storage.objects.create",
            "projects/_/buckets/b/objects/x",
            "DATA_WRITE",
        ));
        lines.push(line(
            20,
            "iam",
            "google.iam.admin.v1.CreateServiceAccountKey",
            "projects/-/serviceAccounts/7",
            "ADMIN_WRITE",
        ));
        lines.push(line(21, "cloudresourcemanager", "SetIamPolicy", "projects/p", "ADMIN_WRITE"));
        lines.push(line(
            22,
            "logging",
            "google.logging.v2.ConfigServiceV2.DeleteSink",
            "projects/p/sinks/s",
            "ADMIN_WRITE",
        ));
        lines.push(line(
            23,
            "logging",
            "google.logging.v2.LoggingServiceV2.DeleteLog",
            "projects/p/logs/x",
            "ADMIN_WRITE",
        ));
        let secret = |n: i64| {
            line(
                3_000 + n,
                "secretmanager",
                "google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion",
                &format!("projects/p/secrets/{n}/versions/1"),
                "DATA_READ",
            )
        };
        lines.extend((0..20).map(secret));
        lines.extend((0..20).map(|n| {
            line(
                9_000 + n,
                "storage",
                "storage.objects.get",
                &format!("projects/_/buckets/b/objects/{n}"),
                "DATA_READ",
            )
        }));
        lines.extend((0..12).map(|n| {
            line(15_000 + n, "storage", "storage.objects.list", "projects/_/buckets/b", "DATA_READ")
        }));
        lines
    }

    #[test]
    fn planted() {
        let log = read(Format::Gcp, KEY, &attack());
        assert_eq!(
            who(&log),
            [
                "bulk-export",
                "defence-evasion",
                "derived-credential",
                "enumeration-burst",
                "pagination",
                "persistence",
                "privilege-climb",
                "secret-sweep"
            ]
        );
        insta::assert_snapshot!(titles(&log), @r"
        medium enumeration-burst: Somebody looked around: `iam:google.iam.admin.v1.ListServiceAccounts`, `iam:google.iam.admin.v1.ListRoles`, `compute:v1.compute.instances.aggregatedList` and 3 more
        low privilege-climb: `203.0.113.9` read first (`iam:google.iam.admin.v1.ListServiceAccounts`), then wrote (`storage:storage.objects.create`), then called `iam:google.iam.admin.v1.CreateServiceAccountKey`
        high persistence: `iam:google.iam.admin.v1.CreateServiceAccountKey` was called once: what it made outlives the credential
        high persistence: `cloudresourcemanager:SetIamPolicy` was called once: what it made (`projects/p`) outlives the credential
        high defence-evasion: `logging:google.logging.v2.ConfigServiceV2.DeleteSink` was called once: later logs may be blind
        high defence-evasion: `logging:google.logging.v2.LoggingServiceV2.DeleteLog` was called once: later logs may be blind
        high secret-sweep: 20 secrets were read one after another: `projects/p/secrets/0/versions/1`, `projects/p/secrets/1/versions/1`, `projects/p/secrets/10/versions/1` and 17 more
        medium bulk-export: 20 objects were fetched one after another: `projects/_/buckets/b/objects/0`, `projects/_/buckets/b/objects/1`, `projects/_/buckets/b/objects/10` and 17 more
        low pagination: `storage:storage.objects.list` was called 12 times in a row on the same thing, as one reads pages
        ");
    }

    #[test]
    fn clean() {
        let mut lines: Vec<String> = (0..40)
            .map(|n| {
                line(n, "storage", "storage.objects.get", "projects/_/buckets/b/objects/same", "DATA_READ")
            })
            .collect();
        lines.push(line(50, "storage", "storage.buckets.list", "projects/p", "ADMIN_READ"));
        lines.push(line(
            51,
            "logging",
            "google.logging.v2.ConfigServiceV2.ListSinks",
            "projects/p",
            "ADMIN_READ",
        ));
        lines.push(line(52, "compute", "DeleteSink", "projects/p", "ADMIN_WRITE"));
        lines.push(line(
            53,
            "secretmanager",
            "google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion",
            "projects/p/secrets/a/versions/1",
            "DATA_READ",
        ));
        assert_eq!(who(&read(Format::Gcp, KEY, &lines)), [""; 0]);
    }
}

mod github {
    use super::*;

    const HASH: &str = "5v8f+q1mCkYzExampleExampleExample/ExampleHA=";

    fn line(seconds: i64, action: &str, repo: &str) -> String {
        format!(
            r#"{{"@timestamp":{},"action":"{action}","actor":"octo-ci","actor_ip":"203.0.113.9","repo":"{repo}","org":"octo","hashed_token":"{HASH}"}}"#,
            at(seconds).as_millisecond()
        )
    }

    #[test]
    fn planted() {
        let mut lines: Vec<String> =
            (0..10).map(|n| line(n * 30, "git.clone", &format!("octo/shop-{n}"))).collect();
        lines.push(line(400, "git.push", "octo/shop-1"));
        for (action, n) in [
            "personal_access_token.access_granted",
            "deploy_key.create",
            "hook.create",
            "repo.register_self_hosted_runner",
            "org.add_member",
        ]
        .iter()
        .zip(2_000..)
        {
            lines.push(line(n, action, "octo/shop-1"));
        }
        for (action, n) in [
            "repository_secret_scanning.disable",
            "business_secret_scanning_push_protection.disable",
            "org.secret_scanning_push_protection_disable",
            "audit_log_streaming.destroy",
            "protected_branch.destroy",
        ]
        .iter()
        .zip(3_000..)
        {
            lines.push(line(n, action, "octo/shop-1"));
        }
        let log = read(Format::Github, HASH, &lines);
        assert_eq!(
            who(&log),
            ["bulk-export", "defence-evasion", "derived-credential", "persistence", "privilege-climb"]
        );
        insta::assert_snapshot!(titles(&log), @r"
        medium bulk-export: 10 repositories were cloned one after another: `octo/shop-0`, `octo/shop-1`, `octo/shop-2` and 7 more
        low privilege-climb: `203.0.113.9` read first (`git.clone`), then wrote (`git.push`), then called `personal_access_token.access_granted`
        high persistence: `personal_access_token.access_granted` was called once: what it made outlives the credential
        high persistence: `deploy_key.create` was called once: what it made outlives the credential
        high persistence: `hook.create` was called once: what it made outlives the credential
        high persistence: `repo.register_self_hosted_runner` was called once: what it made outlives the credential
        high persistence: `org.add_member` was called once: what it made outlives the credential
        high defence-evasion: `repository_secret_scanning.disable` was called once: a protection may be gone
        high defence-evasion: `business_secret_scanning_push_protection.disable` was called once: a protection may be gone
        high defence-evasion: `org.secret_scanning_push_protection_disable` was called once: a protection may be gone
        high defence-evasion: `audit_log_streaming.destroy` was called once: later logs may be blind
        high defence-evasion: `protected_branch.destroy` was called once: a protection may be gone
        ");
    }

    #[test]
    fn slow_clones_count_by_the_day() {
        let clones = |count: i64| -> Vec<String> {
            (0..count).map(|n| line(n * 1_800, "git.clone", &format!("octo/shop-{n}"))).collect()
        };
        let log = read(Format::Github, HASH, &clones(25));
        assert_eq!(
            titles(&log),
            "medium bulk-export: 25 repositories were cloned one after another: `octo/shop-0`, `octo/shop-1`, `octo/shop-10` and 22 more\n"
        );
        assert_eq!(who(&read(Format::Github, HASH, &clones(24))), [""; 0]);
    }

    #[test]
    fn clean() {
        let mut lines: Vec<String> = (0..40).map(|n| line(n, "git.clone", "octo/shop")).collect();
        lines.extend((0..8).map(|n| line(50 + n, "git.clone", &format!("octo/shop-{n}"))));
        for (action, n) in [
            "git.push",
            "pull_request.create",
            "secret_scanning_alert.create",
            "repository_secret_scanning.enable",
            "protected_branch.create",
        ]
        .iter()
        .zip(70..)
        {
            lines.push(line(n, action, "octo/shop"));
        }
        assert_eq!(who(&read(Format::Github, HASH, &lines)), [""; 0]);
    }
}

mod kubernetes {
    use super::*;

    const JTI: &str = "JTI=0f1e2d3c-1111-4222-8333-444455556666";

    fn line(seconds: i64, verb: &str, kind: &str, namespace: &str, name: &str) -> String {
        let (resource, sub) = kind.split_once('/').unwrap_or((kind, ""));
        let field = |key: &str, value: &str| {
            if value.is_empty() { String::new() } else { format!(r#","{key}":"{value}""#) }
        };
        let more = [field("namespace", namespace), field("name", name), field("subresource", sub)].concat();
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a-{seconds}","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"system:serviceaccount:shop:ci","groups":["system:authenticated"],"extra":{{"authentication.kubernetes.io/credential-id":["{JTI}"]}}}},"sourceIPs":["203.0.113.9"],"objectRef":{{"resource":"{resource}"{more}}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"{}"}}"#,
            at(seconds)
        )
    }

    #[test]
    fn planted() {
        let mut lines = vec![line(0, "create", "selfsubjectrulesreviews", "", "")];
        lines.extend(
            ["pods", "nodes", "namespaces", "deployments", "services"]
                .iter()
                .zip(1..)
                .map(|(kind, n)| line(n, "list", kind, "", "")),
        );
        lines.push(line(10, "create", "configmaps", "shop", "x"));
        lines.push(line(11, "create", "pods/exec", "shop", "db-0"));
        for (kind, n) in [
            "rolebindings",
            "clusterrolebindings",
            "serviceaccounts/token",
            "secrets",
            "certificatesigningrequests/approval",
        ]
        .iter()
        .zip(3_000..)
        {
            lines.push(line(n, "create", kind, "shop", "eve"));
        }
        lines.push(line(4_000, "deletecollection", "events", "shop", ""));
        lines.push(line(4_001, "delete", "validatingwebhookconfigurations", "", "policy"));
        lines.push(line(6_000, "list", "secrets", "", ""));
        lines.extend((0..10).map(|n| line(8_000 + n, "get", "secrets", "shop", &format!("db-{n}"))));
        lines.extend((0..10).map(|n| line(12_000 + n, "list", "pods", "shop", "")));
        lines
            .push(line(13_000, "get", "pods", "shop", "x").replace("system:authenticated", "system:masters"));
        let log = read(Format::Kubernetes, JTI, &lines);
        assert_eq!(
            who(&log),
            [
                "defence-evasion",
                "derived-credential",
                "enumeration-burst",
                "key-validation",
                "pagination",
                "persistence",
                "privilege-climb",
                "root",
                "secret-sweep"
            ]
        );
        insta::assert_snapshot!(titles(&log), @r"
        medium enumeration-burst: Somebody looked around: `create selfsubjectrulesreviews`, `list pods`, `list nodes` and 3 more
        medium key-validation: `create selfsubjectrulesreviews` was the first call from `203.0.113.9`
        low privilege-climb: `203.0.113.9` read first (`create selfsubjectrulesreviews`), then wrote (`create configmaps`), then called `create pods/exec`
        high persistence: `create rolebindings` was called once: what it made (`shop/rolebindings/eve`) outlives the credential
        high persistence: `create clusterrolebindings` was called once: what it made (`shop/clusterrolebindings/eve`) outlives the credential
        high persistence: `create serviceaccounts/token` was called once: what it made outlives the credential
        medium persistence: `create secrets` was called once: what it made may outlive the credential
        high persistence: `create certificatesigningrequests/approval` was called once: what it made (`eve`) outlives the credential
        high defence-evasion: `deletecollection events` was called once: later logs may be blind
        high defence-evasion: `delete validatingwebhookconfigurations` was called once: a protection may be gone
        medium secret-sweep: All secrets of a cluster were read at once
        high secret-sweep: 10 secrets were read one after another: `shop/secrets/db-0`, `shop/secrets/db-1`, `shop/secrets/db-2` and 7 more
        low pagination: `list pods` was called 10 times in a row on the same thing, as one reads pages
        medium root: It is in the group `system:masters`, and was used once
        ");
    }

    #[test]
    fn clean() {
        let mut lines: Vec<String> = (0..40).map(|n| line(n, "get", "secrets", "shop", "db")).collect();
        lines.extend(
            ["pods", "nodes", "services"].iter().zip(50..).map(|(kind, n)| line(n, "list", kind, "shop", "")),
        );
        // Things of these names, not of these kinds.
        lines.push(line(60, "create", "configmaps", "rolebindings", "secrets"));
        lines.push(line(61, "delete", "pods", "events", "events"));
        lines.push(line(62, "list", "configmaps", "secrets", ""));
        lines.push(line(63, "patch", "deployments", "shop", "web"));
        assert_eq!(who(&read(Format::Kubernetes, JTI, &lines)), [""; 0]);
    }
}

mod s3 {
    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:user/ci";

    fn line(seconds: i64, operation: &str, bucket: &str, key: &str) -> String {
        let time = at(seconds).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        format!(
            "79a5owner {bucket} [{time}] 203.0.113.9 {ARN} R{seconds} {operation} {key} \"GET /x HTTP/1.1\" 200 - 113 113 7 6 \"-\" \"aws-cli/2\" - h= SigV4 C AuthHeader b.s3 T - -"
        )
    }

    #[test]
    fn planted() {
        let mut lines: Vec<String> =
            (0..16).map(|n| line(n / 2, "REST.GET.ACL", &format!("shop-{n}"), "-")).collect();
        for (what, n) in
            ["LOCATION", "VERSIONING", "BUCKETPOLICY", "ENCRYPTION", "LIFECYCLE"].iter().zip(20..)
        {
            lines.push(line(n, &format!("REST.GET.{what}"), "shop", "-"));
        }
        lines.push(line(40, "REST.PUT.OBJECT", "shop", "x"));
        lines.push(line(41, "REST.PUT.BUCKETPOLICY", "shop", "-"));
        lines.push(line(3_000, "REST.PUT.LOGGING_STATUS", "shop", "-"));
        lines.push(line(3_001, "REST.PUT.PUBLIC_ACCESS_BLOCK", "shop", "-"));
        lines.extend((0..12).map(|n| line(6_000 + n, "REST.GET.BUCKET", "shop", "-")));
        lines.extend((0..20).map(|n| line(9_000 + n, "REST.GET.OBJECT", "shop", &format!("dump-{n}"))));
        let log = read(Format::S3, ARN, &lines);
        assert_eq!(
            who(&log),
            [
                "bulk-export",
                "defence-evasion",
                "enumeration-burst",
                "pagination",
                "persistence",
                "privilege-climb"
            ]
        );
        insta::assert_snapshot!(titles(&log), @r"
        medium enumeration-burst: 16 buckets were asked about within seconds: `shop-0`, `shop-1`, `shop-10` and 13 more
        medium enumeration-burst: Somebody looked around: `REST.GET.ACL`, `REST.GET.LOCATION`, `REST.GET.VERSIONING` and 3 more
        low privilege-climb: `203.0.113.9` read first (`REST.GET.ACL`), then wrote (`REST.PUT.OBJECT`), then called `REST.PUT.BUCKETPOLICY`
        high persistence: `REST.PUT.BUCKETPOLICY` was called once: what it made outlives the credential
        high defence-evasion: `REST.PUT.LOGGING_STATUS` was called once: later logs may be blind
        high defence-evasion: `REST.PUT.PUBLIC_ACCESS_BLOCK` was called once: a protection may be gone
        low pagination: `REST.GET.BUCKET` was called 12 times in a row on the same thing, as one reads pages
        medium bulk-export: 20 objects were fetched one after another: `s3://shop/dump-0`, `s3://shop/dump-1`, `s3://shop/dump-10` and 17 more
        ");
    }

    #[test]
    fn clean() {
        let mut lines: Vec<String> =
            (0..60).map(|n| line(n, "REST.GET.OBJECT", "shop", &format!("a-{}", n % 19))).collect();
        lines.push(line(70, "REST.GET.BUCKET", "shop", "-"));
        lines.push(line(71, "REST.PUT.OBJECT", "shop", "x"));
        assert_eq!(who(&read(Format::S3, ARN, &lines)), [""; 0]);
    }
}

mod logins {
    use super::*;

    const KEY: &str = "SHA256:ExampleExampleExampleExampleExampleExample";

    fn login(seconds: i64, word: &str, address: &str) -> String {
        format!(
            "{} web sshd[8]: {word} publickey for ann from {address} port 5 ssh2: ED25519 {KEY}",
            at(seconds)
        )
    }

    #[test]
    fn planted_and_clean() {
        let failed: Vec<String> = (0..10).map(|n| login(n, "Failed", "203.0.113.9")).collect();
        let log = read(Format::Syslog, KEY, &failed);
        assert_eq!(
            titles(&log),
            "medium denied-burst: 10 calls in a short time were refused: `ssh publickey`\n"
        );
        let accepted: Vec<String> = (0..40).map(|n| login(n, "Accepted", "203.0.113.9")).collect();
        assert_eq!(who(&read(Format::Syslog, KEY, &accepted)), [""; 0]);
    }

    #[test]
    fn a_kind_of_login_or_pull_that_is_new_is_told() {
        // Ten days of one kind, then another.
        let header =
            "ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta";
        let row = |hours: i64, action: &str| {
            let text = format!("{},{action},20260302-095500,h,10.0.0.1,ann,,1,1,", at(hours * 3_600));
            let needles = Needles::new(vec![Needle::id("20260302-095500").unwrap()]).unwrap();
            let spot =
                Spot { object: "audit.csv", place: 1, bytes: text.as_bytes(), credential: "20260302-095500" };
            assert_eq!(Format::detect(header.as_bytes()), Some(Format::Vsync));
            format::line(Format::Vsync, spot, &needles, &Hints::default()).unwrap().unwrap()
        };
        let mut log: Vec<Access> = (-240..0).step_by(3).map(|hour| row(hour, "pull")).collect();
        log.push(row(3, "pull"));
        assert_eq!(titles(&log), "");
        log.push(row(6, "rotate"));
        assert_eq!(titles(&log), "info rare-call: It never had this call before: `vsync rotate`\n");
    }
}
