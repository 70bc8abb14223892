use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use quell_core::secret::SecretValue;

use super::*;
use crate::needle::Needle;

/// What a line says about a public id.
pub(super) fn read(format: Format, text: &str, id: &str) -> Result<Access, String> {
    let needles = Needles::new(vec![Needle::id(id).unwrap()]).unwrap();
    let spot = Spot { object: "o.log", place: 1, bytes: text.as_bytes(), credential: id };
    line(format, spot, &needles, &Hints::default()).map(Option::unwrap)
}

/// A first line of each.
const LINES: [(Format, &str); 17] = [
    (
        Format::Azure,
        r#"{ "time": "2026-03-02T10:00:00Z", "resourceId": "/tenants/t/x", "operationName": "Sign-in activity", "category": "SignInLogs", "resultType": 0, "identity": "ci", "properties": {"appId": "a", "ipAddress": "192.0.2.1", "userAgent": "x", "targetResources": [{"displayName": "x", "modifiedProperties": [{"displayName": "KeyDescription", "newValue": "[KeyIdentifier=a,b]"}]}]}}"#,
    ),
    (Format::Cloudtrail, r#"{"Records":[{"eventName":"GetObject","userIdentity":{"accessKeyId":"x"}}]}"#),
    (Format::CloudtrailDigest, r#"{"awsAccountId":"1","digestStartTime":"2026-03-02T10:00:00Z"}"#),
    (
        Format::Combined,
        r#"192.0.2.1 - ann [10/Oct/2026:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 23 "http://x/" "curl""#,
    ),
    (
        Format::Gcp,
        r#"{"insertId":"i","logName":"projects/p/logs/x","protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","methodName":"a.Get","serviceName":"iam.googleapis.com","resourceName":"r","status":{"code":7,"message":"m"},"authenticationInfo":{"principalEmail":"a@x.example"},"requestMetadata":{"callerIp":"192.0.2.1","callerSuppliedUserAgent":"x"}},"timestamp":"2026-03-02T10:00:00Z"}"#,
    ),
    (
        Format::Github,
        r#"{"action":"git.clone","@timestamp":1772445600123,"actor":"octo","repository":"o/r","user_agent":"git","hashed_token":"x","status_code":200,"request_method":"GET","url_path":"/a"}"#,
    ),
    (Format::JsonLines, r#"{"level":"info","message":"hello"}"#),
    (
        Format::Kubernetes,
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete","requestURI":"/x?y","verb":"get","user":{"username":"u","extra":{"authentication.kubernetes.io/credential-id":["JTI=x"]}},"sourceIPs":["192.0.2.1"],"userAgent":"x","objectRef":{"resource":"secrets","name":"n"},"responseStatus":{"code":200,"reason":"OK"},"requestReceivedTimestamp":"2026-03-02T10:00:00Z"}"#,
    ),
    (Format::Mariadb, "20260302 10:00:00,db1,app,192.0.2.1,4,6,QUERY,orders,'select \\'a\\', 1',0"),
    (
        Format::PostgresCsv,
        r#"2026-03-02 10:00:00.123 UTC,"app","db",77,"192.0.2.1:5",69a5.4d,2,"SELECT",2026-03-02 10:00:00 UTC,3/4,0,ERROR,42501,"permission denied for ""x""",,,,,,,,,"psql","client backend",,0"#,
    ),
    (
        Format::PostgresJson,
        r#"{"timestamp":"2026-03-02 10:00:00.123 UTC","user":"app","dbname":"db","pid":7,"remote_host":"192.0.2.1","session_id":"a.b","ps":"SELECT","error_severity":"LOG","message":"statement: x","application_name":"psql","backend_type":"client backend"}"#,
    ),
    (
        Format::S3,
        r#"79a5 b [02/Mar/2026:10:00:00 +0000] 192.0.2.1 arn:aws:iam::1:user/u R REST.GET.OBJECT k "GET /k?X-Amz-Credential=a%2Fb HTTP/1.1" 403 AccessDenied 1 1 7 6 "-" "x" - h= SigV4 C AuthHeader b.s3 T - -"#,
    ),
    (
        Format::Syslog,
        "Mar  2 10:00:00 h sshd[8]: Accepted publickey for ann from 192.0.2.1 port 5 ssh2: ED25519 SHA256:x",
    ),
    (Format::Text, "2026-03-02T10:00:00Z hello"),
    (
        Format::Tradepulse,
        r#"{"chain_hash":"00","record":{"actor":"ops","details":{"resource":"risk","status":"error","lease_id":"x"},"event_type":"secret_read","ip_address":"192.0.2.1","signature":"00","timestamp":"2026-03-02T10:00:00Z"},"record_hash":"00","sequence":0}"#,
    ),
    (
        Format::Vault,
        r#"{"time":"2026-03-02T10:00:00Z","type":"response","auth":{"client_token":"x","display_name":"d"},"request":{"id":"q","operation":"read","path":"kv/x","remote_address":"192.0.2.1"},"error":"e"}"#,
    ),
    (
        Format::Vsync,
        "ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta",
    ),
];

#[test]
fn each_format_is_told_by_its_first_line() {
    for (format, first) in LINES {
        assert_eq!(Format::detect(first.as_bytes()), Some(format), "{first}");
        assert_eq!(Format::detect(format!("\u{feff}\n{first}\r\nmore").as_bytes()), Some(format), "{first}");
    }
    assert_eq!(Format::detect(b"\x1f\x8b\0"), None);
}

#[test]
fn no_format_claims_the_first_line_of_another() {
    type Is = fn(&[u8]) -> bool;
    let all: [(Format, Is); 15] = [
        (Format::Azure, azure::is),
        (Format::Cloudtrail, cloudtrail::is),
        (Format::CloudtrailDigest, cloudtrail::is_digest),
        (Format::Combined, combined::is),
        (Format::Gcp, gcp::is),
        (Format::Github, github::is),
        (Format::Kubernetes, kubernetes::is),
        (Format::Mariadb, mariadb::is),
        (Format::PostgresCsv, postgres::is_csv),
        (Format::PostgresJson, postgres::is_json),
        (Format::S3, s3::is),
        (Format::Syslog, syslog::is),
        (Format::Tradepulse, tradepulse::is),
        (Format::Vault, vault::is),
        (Format::Vsync, vsync::is),
    ];
    for (format, first) in LINES {
        for (other, is) in all {
            assert_eq!(is(first.as_bytes()), other == format, "{other:?} of {first}");
        }
    }
}

const VALUE: &str = "s3cr3t-value";

/// Every parser reads the line; none may panic or tell the value.
fn every_parser_reads(bytes: &[u8]) {
    static NEEDLES: LazyLock<Needles> = LazyLock::new(|| {
        let value = SecretValue::from_text(VALUE.to_owned());
        Needles::new(Needle::value("the value", &value).unwrap()).unwrap()
    });
    let _detected = Format::detect(bytes);
    let (_records, unparsed) = cloudtrail::records("o", bytes, &NEEDLES);
    assert!(unparsed <= 1 + bytes.len() as u64);
    for (format, _) in LINES {
        let spot = Spot { object: "o", place: 1, bytes, credential: "the value" };
        let told = line(format, spot, &NEEDLES, &Hints::default());
        let shown = format!("{told:?}");
        assert!(!shown.contains(VALUE), "{format:?} tells the value: {shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        every_parser_reads(&bytes);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "[\\PC \"\\[\\],:{}]{0,120}") {
        every_parser_reads(text.as_bytes());
    }

    #[test]
    fn no_broken_line_makes_a_parser_panic_or_tell_the_value(
        which in any::<Index>(), at in any::<Index>(), until in any::<Index>(), put in prop_oneof![
            Just(VALUE.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
            Just(b"\" from :, [".to_vec()),
        ],
    ) {
        let (_, line) = which.get(&LINES);
        let mut bytes = line.as_bytes().to_vec();
        let at = at.index(bytes.len());
        // Half of them only gain something, the others lose some bytes, too.
        let until = if until.index(2) == 0 { at } else { at + until.index(bytes.len() - at) };
        bytes.splice(at..until, put);
        every_parser_reads(&bytes);
    }
}

#[test]
fn a_value_in_any_place_is_not_told() {
    for (_, line) in LINES {
        for at in 0..line.len() {
            let mut text = line.to_owned();
            text.insert_str(at, VALUE);
            every_parser_reads(text.as_bytes());
        }
    }
}
