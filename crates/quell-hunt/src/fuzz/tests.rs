//! The targets with seeds of each kind, spoiled in small ways. `PROPTEST_CASES=1000000` goes on for longer.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Records with the id or the value in them, one of each format and some that are close to two.
fn lines() -> Vec<Vec<u8>> {
    [
        format!(r#"{{"time":"2026-03-02T10:00:00Z","resourceId":"/tenants/t/x","operationName":"Sign-in activity","category":"SignInLogs","resultType":"0","callerIpAddress":"192.0.2.1","properties":{{"appId":"{ID}","ipAddress":"192.0.2.1","userAgent":"x","servicePrincipalCredentialKeyId":"{ID}"}}}}"#),
        format!(r#"{{"Records":[{{"eventVersion":"1.08","eventTime":"2026-03-02T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","sourceIPAddress":"192.0.2.1","userAgent":"x","userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::1:user/u","accessKeyId":"{ID}"}},"requestParameters":{{"bucketName":"b","key":"{VALUE}"}},"responseElements":{{"credentials":{{"accessKeyId":"ASIAEXAMPLE","expiration":"x"}}}}}}]}}"#),
        format!(r#"192.0.2.1 - {ID} [10/Oct/2026:13:55:36 -0700] "GET /a?b={VALUE} HTTP/1.1" 200 23 "http://x/" "curl""#),
        format!(r#"{{"insertId":"i","protoPayload":{{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","methodName":"storage.objects.get","serviceName":"storage.googleapis.com","resourceName":"r","authenticationInfo":{{"principalEmail":"a@x.example","serviceAccountKeyName":"//iam/keys/{ID}"}},"requestMetadata":{{"callerIp":"192.0.2.1"}}}},"timestamp":"2026-03-02T10:00:00Z"}}"#),
        format!(r#"{{"action":"git.clone","@timestamp":1772445600123,"actor":"octo","actor_ip":"192.0.2.1","repository":"o/r","hashed_token":"{ID}","token_id":7,"operation_type":"access"}}"#),
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete","requestURI":"/x?y","verb":"get","user":{{"username":"u","extra":{{"authentication.kubernetes.io/credential-id":["{ID}"]}}}},"sourceIPs":["192.0.2.1"],"objectRef":{{"resource":"secrets","namespace":"s","name":"n"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-03-02T10:00:00Z"}}"#),
        format!(r#"2026-03-02 10:00:00.123 UTC,"{ID}","db",77,"192.0.2.1:5",69a5.4d,2,"SELECT",2026-03-02 10:00:00 UTC,3/4,0,ERROR,42501,"permission denied",,,,,,,,,"psql","client backend",,0"#),
        format!(r#"{{"timestamp":"2026-03-02 10:00:00.123 UTC","user":"{ID}","dbname":"db","pid":7,"remote_host":"192.0.2.1","session_id":"a.b","ps":"SELECT","error_severity":"LOG","message":"statement: {VALUE}","application_name":"psql","backend_type":"client backend"}}"#),
        format!(r#"79a5 b [02/Mar/2026:10:00:00 +0000] 192.0.2.1 {ID} R REST.GET.OBJECT k "GET /k?X-Amz-Credential={ID} HTTP/1.1" 403 AccessDenied 1 1 7 6 "-" "x" - h= SigV4 C AuthHeader b.s3 T - -"#),
        format!("2026-03-02T10:00:00Z h sshd[8]: Accepted publickey for ann from 192.0.2.1 port 5 ssh2: ED25519 {ID}"),
        format!("2026-03-02T10:00:00Z {ID} hello {VALUE}"),
        format!(r#"{{"time":"2026-03-02T10:00:00Z","type":"response","auth":{{"client_token":"{ID}","accessor":"x","display_name":"d"}},"request":{{"id":"r","client_token":"{ID}","operation":"read","path":"kv/data/x","remote_address":"192.0.2.1"}},"response":{{"data":{{"v":"x"}}}}}}"#),
        format!(r#"{{"chain_hash":"{0}","record":{{"actor":"{ID}","details":{{"resource":"{VALUE}","a":[1,{{"b":null}}]}},"event_type":"secret_read","ip_address":"192.0.2.1","signature":"{0}","timestamp":"2026-03-02T10:00:00Z"}},"record_hash":"{0}","sequence":1}}"#, "0".repeat(64)),
        format!("ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta\n2026-03-02T10:00:00Z,pull,{ID},h,192.0.2.1,ann,a@x.example,1,1,"),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn digests() -> Vec<u8> {
    let one = |hour: u8, before: &str| {
        format!(
            r#"{{"awsAccountId":"111122223333","digestStartTime":"2026-03-02T{hour}:00:00Z","digestEndTime":"2026-03-02T{}:00:00Z","digestS3Object":"a/d{hour}","previousDigestS3Object":{before},"previousDigestHashValue":"00","logFiles":[{{"s3Object":"a/l{hour}","hashValue":"00","oldestEventTime":"2026-03-02T{hour}:05:00Z","newestEventTime":null}}]}}"#,
            hour + 1
        )
    };
    format!("{}\n{}\n{}", one(10, "null"), one(11, "\"a/d10\""), one(13, "\"a/d11\"")).into_bytes()
}

fn names() -> Vec<Vec<u8>> {
    [
        "AWSLogs/o-1/111122223333/CloudTrail/eu-west-1/2026/03/02/111122223333_CloudTrail_eu-west-1_20260302T1015Z_Ab3.json.gz",
        "111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260302T101533Z.json.gz",
    ]
    .map(|name| name.as_bytes().to_vec())
    .to_vec()
}

/// Whole objects: the same lines once and twice, and documents, for each way to pack them.
fn objects() -> Vec<Vec<u8>> {
    let lines = lines();
    let mut all = Vec::new();
    for packing in 0..3 {
        for line in &lines {
            all.push([&[packing], line.as_slice()].concat());
            all.push([&[packing], line.as_slice(), b"\n", line, b"\n"].concat());
        }
        all.push([&[packing], lines.join(&b'\n').as_slice()].concat());
    }
    all
}

/// One of some seeds with a few bytes changed, or bytes that come from nowhere.
fn spoiled(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let put = prop_oneof![
        Just(ID.as_bytes().to_vec()),
        Just(VALUE.as_bytes().to_vec()),
        prop::sample::select(vec![
            &b"\""[..],
            b"\n",
            b"\\",
            b"{",
            b"}",
            b"[",
            b",",
            b" ",
            b"\0",
            b"\xff",
            b"\\u0000",
            b"9999999999",
            b"-1",
            b"null"
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    let edit = (any::<Index>(), 0_usize..12, put);
    let changed =
        (prop::sample::select(seeds), prop::collection::vec(edit, 0..5)).prop_map(|(mut seed, edits)| {
            for (at, length, put) in edits {
                let at = at.index(seed.len() + 1);
                let until = (at + length).min(seed.len());
                seed.splice(at..until, put);
            }
            seed
        });
    prop_oneof![8 => changed, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(least), ..config }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn lines_tell_what_is_in_them_and_no_more(bytes in spoiled(lines())) {
        line(&bytes);
        cloudtrail(&bytes);
    }

    #[test]
    fn digests_bear_any_bytes(bytes in spoiled(vec![digests()])) {
        digest(&bytes);
    }

    #[test]
    fn names_bear_any_bytes(bytes in spoiled(names())) {
        layout(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn objects_are_told_alike_however_they_are_packed(bytes in spoiled(objects())) {
        object(&bytes);
    }
}

#[test]
fn the_seeds_are_what_they_should_be() {
    let used = lines().iter().filter(|line| !search(line).accesses.is_empty()).count();
    assert_eq!(used, lines().len());
    let formats: std::collections::BTreeSet<Format> =
        lines().iter().filter_map(|line| Format::detect(line)).collect();
    assert_eq!(formats.len(), 14, "{formats:?}");
    let (read, _, gaps) = digest::of_lines(&digests(), (None, None));
    assert_eq!((read, gaps.len()), (3, 5), "{gaps:?}");
    assert!(names().iter().all(|name| Delivery::of(&String::from_utf8_lossy(name)).is_some()));
}

#[test]
fn the_checks_see_what_is_made_up() {
    let spot = Spot { object: "o", place: 1, bytes: b"from 192.0.2.1", credential: ID };
    let mut access = spot.access(Format::Text, "named in a line".to_owned());
    access.address = Some("192.0.2.1".to_owned());
    is_of(&access, spot.bytes);
    for (address, action) in [("192.0.2.9", "named in a line"), ("192.0.2.1", "s3:GetObject")] {
        access.address = Some(address.to_owned());
        action.clone_into(&mut access.action);
        let wrong = std::panic::catch_unwind(|| is_of(&access, spot.bytes));
        assert!(wrong.is_err(), "{address} {action}");
    }
}
