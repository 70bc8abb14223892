//! The NCSA combined log format of nginx and Apache:
//! `host ident user [day/Mon/year:hour:minute:second zone] "request" status bytes "referer" "agent"`
//! (<https://httpd.apache.org/docs/2.4/logs.html#combined>).
//!
//! It does not hold the `Authorization` header: a credential stands in it only as part of a URL or as a user's name.

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::{Format, HIDDEN, Spot};
use crate::record::{Access, Role};

/// A line of this format.
pub(super) fn is(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(|line| split(line.trim_end())).is_some()
}

struct Line<'a> {
    address: &'a str,
    user: &'a str,
    time: Timestamp,
    request: &'a str,
    status: u16,
    bytes: Option<u64>,
    agent: Option<&'a str>,
}

/// What a line says.
pub(super) fn line(spot: Spot<'_>) -> Result<Option<Access>, String> {
    // Names in a request may be any bytes; servers escape them, mostly.
    let text = String::from_utf8_lossy(spot.bytes);
    let line = split(text.trim_end()).ok_or("not a line of the combined log format")?;
    let mut words = line.request.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    // A query may hold the credential, also in a spelling that no needle has: none of it is kept.
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut access = spot.access(Format::Combined, format!("{method} {}", shown(path, &spot)));
    access.time = Some(line.time);
    access.role = Role::Used;
    access.actor = (line.user != "-").then(|| shown(line.user, &spot));
    access.resource = Some(shown(path, &spot));
    access.address = Some(line.address.to_owned());
    access.agent = line.agent.filter(|agent| *agent != "-").map(str::to_owned);
    access.reads = Some(matches!(method, "GET" | "HEAD" | "OPTIONS"));
    access.outcome = super::http(line.status.into(), None);
    access.bytes = line.bytes;
    Ok(Some(access))
}

/// When a line was written.
pub(super) fn time(line: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(line).ok().and_then(|line| split(line.trim_end())).map(|line| line.time)
}

/// A part of the line, unless the credential may be in it: what is found is shown, the credential never.
pub(super) fn shown(text: &str, spot: &Spot<'_>) -> String {
    let long = text.split(['/', ':', '@']).any(|part| part.len() > 24 && !part.contains(spot.credential));
    if long { HIDDEN.to_owned() } else { text.to_owned() }
}

fn split(line: &str) -> Option<Line<'_>> {
    let (address, rest) = line.split_once(' ')?;
    let (before, rest) = rest.split_once(" [")?;
    let user = before.split(' ').nth(1)?;
    let (time, rest) = rest.split_once("] \"")?;
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).ok()?.to_timestamp().ok()?;
    let (request, rest) = quoted(rest)?;
    let mut numbers = rest.trim_start().splitn(3, ' ');
    let status = numbers.next()?.parse().ok()?;
    // A dash is Apache's word for none.
    let bytes = numbers.next()?;
    let bytes = if bytes == "-" { Some(0) } else { bytes.parse().ok() };
    // Referer and agent are there in the combined format, not in the common one.
    let agent = numbers.next().and_then(|rest| {
        let (_referer, rest) = quoted(rest.strip_prefix('"')?)?;
        quoted(rest.trim_start().strip_prefix('"')?).map(|(agent, _)| agent)
    });
    Some(Line { address, user, time, request, status, bytes, agent })
}

/// Up to the next quote that is not escaped, and what follows it.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    fn read(text: &str, credential: &str) -> Access {
        line(Spot { object: "access.log", place: 3, bytes: text.as_bytes(), credential }).unwrap().unwrap()
    }

    const LINE: &str = r#"203.0.113.5 - - [10/Oct/2026:13:55:36 -0700] "GET /api/orders?token=s3cr3t-t0ken HTTP/1.1" 200 2326 "-" "curl \"8\"""#;

    #[test]
    fn a_line_is_read_without_its_query() {
        let access = read(LINE, "the value");
        assert_eq!(access.time, Some("2026-10-10T20:55:36Z".parse().unwrap()));
        assert_eq!((access.action.as_str(), access.outcome.clone()), ("GET /api/orders", Outcome::Allowed));
        assert_eq!(access.agent.as_deref(), Some(r#"curl \"8\""#));
        assert_eq!(access.bytes, Some(2326));
        assert_eq!(read(&LINE.replace(" 2326 ", " - "), "the value").bytes, Some(0));
        assert!(!format!("{access:?}").contains("s3cr3t"), "{access:?}");
    }

    #[test]
    fn a_credential_in_the_path_is_not_shown() {
        let path = LINE.replace("/api/orders?token=s3cr3t-t0ken", "/hook/s3cr3t-t0ken-of-thirty-bytes/x");
        assert!(!format!("{:?}", read(&path, "the value")).contains("s3cr3t"));
    }

    #[test]
    fn other_text_is_not_of_this_format() {
        for text in
            ["", "- - [", "1.2.3.4 - - [10/Oct/2026:13:55:36 -0700] \"GET", "Mar  3 10:00:00 host sshd[1]: x"]
        {
            assert!(!is(text.as_bytes()), "{text}");
        }
        assert!(is(LINE.as_bytes()));
        assert!(is(br#"::1 - bob [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.0" 403 12"#));
    }
}
