//! S3's server access log: a line a request, fields between spaces, some of them in brackets or quotes.
//!
//! The access key's id is **not** a field. It stands in a line only when the request was signed in advance, in the query of the URL
//! (`X-Amz-Credential=AKIA…%2F…`, or `AWSAccessKeyId=AKIA…` of the older signature). Otherwise the caller is `requester`: an ARN for
//! users and roles of IAM, which is what to look for; it cannot tell one key of a user from another. CloudTrail's data events can.
//! Delivery is at best effort and hours late: no line is no proof that nothing happened.
//!
//! Fields: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>.

use jiff::fmt::strtime;

use super::combined::quoted;
use super::{Format, Spot};
use crate::needle::Needles;
use crate::record::{Access, Outcome, Role};

/// A line of this format, by its operation.
pub(super) fn is(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(|line| split(line.trim_end())).is_some()
}

struct Line<'a> {
    bucket: &'a str,
    time: &'a str,
    address: &'a str,
    requester: &'a str,
    request: &'a str,
    operation: &'a str,
    key: &'a str,
    uri: &'a str,
    status: &'a str,
    error: &'a str,
    agent: Option<&'a str>,
    sent: &'a str,
    host_id: Option<&'a str>,
}

/// What a line says. The query of the URL is not kept: whoever has it can repeat the request until it expires.
pub(super) fn line(spot: Spot<'_>, needles: &Needles) -> Result<Option<Access>, String> {
    let text = String::from_utf8_lossy(spot.bytes);
    let line = split(text.trim_end()).ok_or("not a line of S3's server access log")?;
    let told = |text: &str| (text != "-").then(|| text.to_owned());
    let mut access = spot.access(Format::S3, line.operation.to_owned());
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", line.time).and_then(|time| time.to_timestamp());
    access.time = time.ok();
    if line.signed_by(&spot, needles) || is_principal(line.requester, spot.credential) {
        access.role = Role::Used;
    }
    access.actor = told(line.requester);
    access.resource = Some(match line.key {
        "-" => format!("s3://{}", line.bucket),
        key => format!("s3://{}/{key}", line.bucket),
    });
    access.address = told(line.address);
    access.agent = line.agent.and_then(told);
    access.outcome = outcome(line.status, line.error);
    access.reads = reads(line.operation);
    access.request = told(line.request);
    access.bytes = line.sent.parse().ok();
    access.host_id = line.host_id.and_then(told);
    // arn:partition:iam::account:…
    access.account =
        line.requester.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(3)).map(str::to_owned);
    Ok(Some(access))
}

impl Line<'_> {
    /// Whether the URL says that the credential signed it.
    fn signed_by(&self, spot: &Spot<'_>, needles: &Needles) -> bool {
        let target = self.uri.split(' ').nth(1).unwrap_or_default();
        let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
            let is_credential =
                ["X-Amz-Credential", "AWSAccessKeyId"].iter().any(|known| known.eq_ignore_ascii_case(name));
            is_credential && spot.is_in(value, needles)
        })
    }
}

/// The principal itself, or a session of the role.
fn is_principal(requester: &str, credential: &str) -> bool {
    let rest = requester.strip_prefix(credential);
    rest.is_some_and(|rest| rest.is_empty() || credential.contains(":assumed-role/") && rest.starts_with('/'))
}

fn outcome(status: &str, error: &str) -> Outcome {
    // Answered with 400, but the request was refused for its credential.
    const REFUSALS: [&str; 4] =
        ["ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"];
    let detail = (error != "-").then(|| error.to_owned());
    match status.parse() {
        _ if REFUSALS.contains(&error) => Outcome::Denied(error.to_owned()),
        Ok(status) => super::http(status, detail),
        // What the service did by itself has no status.
        Err(_) => Outcome::Unknown,
    }
}

/// `REST.GET.OBJECT` reads; `REST.COPY.OBJECT_GET` is the reading half of a copy.
fn reads(operation: &str) -> Option<bool> {
    let mut words = operation.split('.');
    let interface = words.next()?;
    let method = words.next()?;
    if !matches!(interface, "REST" | "WEBSITE") {
        return None;
    }
    Some(matches!(method, "GET" | "HEAD" | "OPTIONS") || words.next()?.ends_with("_GET"))
}

fn split(line: &str) -> Option<Line<'_>> {
    let (head, rest) = line.split_once(" [")?;
    let (_owner, bucket) = head.split_once(' ')?;
    let (time, rest) = rest.split_once("] ")?;
    let mut words = rest.splitn(6, ' ');
    let address = words.next()?;
    let requester = words.next()?;
    let request = words.next()?;
    let operation = words.next()?;
    let known = ["REST.", "SOAP.", "WEBSITE.", "BATCH.", "S3."];
    if bucket.contains(' ') || !known.iter().any(|interface| operation.starts_with(interface)) {
        return None;
    }
    let key = words.next()?;
    let (uri, rest) = quoted_or_dash(words.next()?)?;
    // Status, error, bytes sent, size, total time, turn-around time, and then the referer.
    let mut words = rest.trim_start().splitn(7, ' ');
    let status = words.next()?;
    let error = words.next()?;
    let sent = words.next().unwrap_or("-");
    // The agent may hold quotes that are not escaped; no field behind it has any.
    let (agent, after) = words
        .nth(3)
        .and_then(|rest| {
            let (_referer, rest) = quoted_or_dash(rest)?;
            let rest = rest.trim_start();
            rest.strip_prefix('"').map_or_else(|| quoted_or_dash(rest), |rest| rest.rsplit_once('"'))
        })
        .unzip();
    // Behind it are the version of the object and the second id. Fields that AWS adds come after these.
    let host_id = after.and_then(|after| after.split_whitespace().nth(1));
    Some(Line {
        bucket,
        time,
        address,
        requester,
        request,
        operation,
        key,
        uri,
        status,
        error,
        agent,
        sent,
        host_id,
    })
}

fn quoted_or_dash(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('"') {
        Some(text) => quoted(text),
        None => text.strip_prefix('-').map(|rest| ("-", rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const KEY: &str = "AKIAEXAMPLEEXAMPLE01";
    const ARN: &str = "arn:aws:iam::111122223333:user/ci";

    fn entry(requester: &str, query: &str, status: &str) -> String {
        format!(
            "79a5ownerownerowner shop-backups [02/Mar/2026:10:00:00 +0000] 203.0.113.9 {requester} REQ0000000000001 \
             REST.GET.OBJECT dumps/orders-2026-03-01.sql.gz \"GET /dumps/orders-2026-03-01.sql.gz{query} HTTP/1.1\" {status} 113 \
             113 7 6 \"-\" \"aws-cli/2 \"x\" y\" - hostid= SigV4 ECDHE AuthHeader shop-backups.s3.amazonaws.com TLSv1.3 - - eu-west-1"
        )
    }

    #[test]
    fn a_request_of_the_principal_is_a_use() {
        let text = entry(ARN, "", "200 -");
        assert!(is(text.as_bytes()));
        let access = read(Format::S3, &text, ARN).unwrap();
        assert_eq!((access.role, access.outcome, access.reads), (Role::Used, Outcome::Allowed, Some(true)));
        assert_eq!(access.resource.as_deref(), Some("s3://shop-backups/dumps/orders-2026-03-01.sql.gz"));
        assert_eq!(access.time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
        assert_eq!(
            (access.account.as_deref(), access.agent.as_deref()),
            (Some("111122223333"), Some("aws-cli/2 \"x\" y"))
        );
        assert_eq!((access.bytes, access.host_id.as_deref()), (Some(113), Some("hostid=")));
        let other = entry(&format!("{ARN}-2"), "", "200 -");
        assert_eq!(read(Format::S3, &other, ARN).unwrap().role, Role::Mentioned);
    }

    #[test]
    fn a_session_of_a_role_is_a_use_of_it_and_a_user_below_a_path_is_not() {
        let role = "arn:aws:sts::111122223333:assumed-role/deploy";
        assert!(is_principal(&format!("{role}/session-1"), role));
        assert!(!is_principal(&format!("{role}-2/session-1"), role));
        assert!(!is_principal(&format!("{ARN}/bob"), ARN));
    }

    #[test]
    fn a_url_that_was_signed_in_advance_is_a_use_and_its_query_is_not_kept() {
        let query = format!("?X-Amz-Credential={KEY}%2F20260302%2Feu-west-1&X-Amz-Signature=51gn4tur3");
        let access = read(Format::S3, &entry("-", &query, "200 -"), KEY).unwrap();
        assert_eq!((access.role, &access.actor), (Role::Used, &None));
        assert!(!format!("{access:?}").contains("51gn4tur3"), "{access:?}");
        let old = format!("?AWSAccessKeyId={KEY}&Signature=x");
        assert_eq!(read(Format::S3, &entry("-", &old, "200 -"), KEY).unwrap().role, Role::Used);
        let prefix = format!("?list-type=2&prefix={KEY}");
        assert_eq!(read(Format::S3, &entry("-", &prefix, "200 -"), KEY).unwrap().role, Role::Mentioned);
    }

    #[test]
    fn refusals_are_told_from_failures() {
        for (status, expected) in [
            ("403 AccessDenied", Outcome::Denied("AccessDenied".to_owned())),
            ("400 ExpiredToken", Outcome::Denied("ExpiredToken".to_owned())),
            ("404 NoSuchKey", Outcome::Failed("NoSuchKey".to_owned())),
            ("304 -", Outcome::Allowed),
            ("- -", Outcome::Unknown),
        ] {
            assert_eq!(read(Format::S3, &entry(ARN, "", status), ARN).unwrap().outcome, expected);
        }
    }

    #[test]
    fn a_copy_is_read_by_half_and_what_the_service_does_itself_is_neither() {
        assert_eq!(reads("REST.COPY.OBJECT_GET"), Some(true));
        assert_eq!(reads("REST.COPY.OBJECT"), Some(false));
        assert_eq!(reads("S3.EXPIRE.OBJECT"), None);
    }

    #[test]
    fn other_text_is_not_of_this_format() {
        let combined = r#"203.0.113.5 - - [10/Oct/2026:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "-" "curl""#;
        for text in ["", "a b [", "a b [c] d e f REST.", combined] {
            assert!(!is(text.as_bytes()), "{text}");
        }
        assert!(read(Format::S3, combined, ARN).is_err());
    }
}
