//! PostgreSQL's `jsonlog` and `csvlog`, a record a line.
//!
//! Neither holds an id of the credential: the needle is the role's name, and the old password cannot be told from the new one but by
//! time. A line that a session of the role wrote is a use; the name in a statement of another role is none. Without `log_connections`
//! there are only errors, and without `log_statement` or `pgaudit` nothing says what was read. Messages and statements may hold
//! passwords and are not kept; what a line says is told by its `SQLSTATE`, its command tag, words of ours for its statement, and by the
//! few messages named below, which are English only if `lc_messages` is.
//!
//! A message of `pgaudit` (`AUDIT: …`) names the class, the command and the object: these are kept, its statement and parameters are
//! not. Reads and writes are logged once rights were checked (`ExecutorCheckPerms_hook`), everything else before it is carried out.
//! Whoever may run `RAISE LOG` can write such a message, as a line of a session of its own.
//!
//! A statement of several lines makes a record of `csvlog` of several lines ([`bounds`]). `jsonlog` has none.
//!
//! Fields: <https://www.postgresql.org/docs/current/runtime-config-logging.html> (19.8.4 and 19.8.5); codes:
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>; `pgaudit`: README and `pgaudit.c` of
//! <https://github.com/pgaudit/pgaudit> at commit `3104214`.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Format, Spot, csv, has_name, parse, sql, value_after};
use crate::record::{Access, Outcome, Role};

/// A line of `jsonlog`.
pub(super) fn is_json(line: &[u8]) -> bool {
    ["timestamp", "pid", "session_id", "error_severity", "backend_type"]
        .iter()
        .all(|name| has_name(line, name))
}

/// A line of `csvlog`, by what its first columns look like; the rest may go on in the next line.
pub(super) fn is_csv(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let head: Vec<&str> = line.splitn(7, ',').collect();
    let [time, user, _, pid, _, session, _] = head.as_slice() else { return false };
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    time.starts_with("20")
        && time.split(' ').count() == 3
        && (user.is_empty() || user.starts_with('"'))
        && pid.bytes().all(|byte| byte.is_ascii_digit())
        && session.split_once('.').is_some_and(|(start, pid)| hex(start) && hex(pid))
}

/// The record of `csvlog` around a place of a text; `from` is the end of the one before. Records are told apart from the last line on
/// that can only be a first one. A line that belongs to none is one by itself.
pub(super) fn bounds(text: &[u8], from: usize, place: usize) -> (usize, usize) {
    let from = if from == 0 { 0 } else { from + 1 };
    let mut start = last_first_line(text, from, place).unwrap_or(from);
    loop {
        let stop = record_end(text, start);
        if stop >= place || stop == text.len() {
            return (start, stop);
        }
        start = stop + 1;
    }
}

/// Where the last record of a text begins, which may go on in what was not read yet; `None` if that cannot be told.
pub(super) fn last_record(text: &[u8]) -> Option<usize> {
    let mut start = last_first_line(text, 0, text.len())?;
    loop {
        let stop = record_end(text, start);
        if stop + 1 >= text.len() {
            return Some(start);
        }
        start = stop + 1;
    }
}

/// The last line that can only be the first one of a record, of those that begin in a part of a text.
fn last_first_line(text: &[u8], from: usize, until: usize) -> Option<usize> {
    let part = text.get(from..until)?;
    let starts = memchr::memrchr_iter(b'\n', part).map(|newline| from + newline + 1).chain([from]);
    starts.into_iter().find(|at| text.get(*at..).is_some_and(|rest| is_first(first_line(rest))))
}

/// Whether a line cannot be one of a statement: there, quotes are doubled, and none stands alone before the name of a user.
fn is_first(line: &[u8]) -> bool {
    let user = memchr::memchr(b',', line).and_then(|comma| line.get(comma + 1..));
    matches!(user, Some([b'"', next, ..]) if *next != b'"') && is_csv(line)
}

/// The line end at which a record ends: no quote is open there, or the next line begins one, as when the rest was lost.
fn record_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let is_record = is_csv(first_line(rest));
    let mut open = false;
    for at in memchr::memchr2_iter(b'"', b'\n', rest) {
        let after = rest.get(at + 1..).unwrap_or_default();
        match rest.get(at) {
            Some(b'"') => open = !open,
            _ if open && is_record && !after.is_empty() && !is_first(first_line(after)) => {}
            _ => return start + at,
        }
    }
    text.len()
}

fn first_line(text: &[u8]) -> &[u8] {
    text.get(..memchr::memchr(b'\n', text).unwrap_or(text.len())).unwrap_or_default()
}

/// When a line was written; one that goes on with a record has no time.
pub(super) fn time_of(line: &[u8]) -> Option<Timestamp> {
    let text = match value_after(line, "timestamp").next() {
        Some(json) if line.starts_with(b"{") => {
            json.strip_prefix(b"\"")?.split(|byte| *byte == b'"').next()?
        }
        _ => line.split(|byte| *byte == b',').next()?,
    };
    time(std::str::from_utf8(text).ok()?)
}

/// What is logged afterwards.
const DONE: [&str; 4] =
    ["connection authorized: ", "connection authenticated: ", "disconnection: ", "duration: "];

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
    dbname: Option<Cow<'a, str>>,
    remote_host: Option<Cow<'a, str>>,
    session_id: Option<Cow<'a, str>>,
    ps: Option<Cow<'a, str>>,
    error_severity: Option<Cow<'a, str>>,
    state_code: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    application_name: Option<Cow<'a, str>>,
}

/// A line of `jsonlog`.
pub(super) fn json(spot: Spot<'_>) -> Result<Option<Access>, String> {
    Ok(Some(parse::<Line<'_>>(spot.bytes)?.access(Format::PostgresJson, &spot)))
}

/// A line of `csvlog`: 23 columns, since PostgreSQL 13 24, since 14 26.
pub(super) fn csv(spot: Spot<'_>) -> Result<Option<Access>, String> {
    let text = String::from_utf8_lossy(spot.bytes.trim_ascii_end());
    let fields = csv::fields(&text)?;
    if fields.len() < 23 || !is_csv(first_line(spot.bytes)) {
        return Err("not a whole record of csvlog".to_owned());
    }
    let field = |at: usize| fields.get(at).filter(|field| !field.is_empty()).cloned();
    let line = Line {
        timestamp: field(0),
        user: field(1),
        dbname: field(2),
        // The port stands behind the last colon; addresses of IPv6 have no brackets.
        remote_host: field(4).map(|from| match from.rsplit_once(':') {
            Some((host, _port)) => Cow::Owned(host.to_owned()),
            None => from,
        }),
        session_id: field(5),
        ps: field(7),
        error_severity: field(11),
        state_code: field(12),
        message: field(13),
        application_name: field(22),
    };
    Ok(Some(line.access(Format::PostgresCsv, &spot)))
}

impl Line<'_> {
    fn access(&self, format: Format, spot: &Spot<'_>) -> Access {
        let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let message = self.message.as_deref().unwrap_or_default();
        let mut access = spot.access(format, self.action(message));
        access.time = self.timestamp.as_deref().and_then(time);
        if self.user.as_deref() == Some(spot.credential) {
            access.role = Role::Used;
        }
        access.outcome = self.outcome(message);
        let audit = Audit::of(message);
        access.reads = match self.ps.as_deref().unwrap_or_default() {
            "COPY" if access.action.starts_with("COPY TO") => Some(true),
            "COPY" if access.action.starts_with("COPY FROM") => Some(false),
            "SELECT" | "SHOW" => Some(true),
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE TABLE" => Some(false),
            tag => ["CREATE ", "ALTER ", "DROP "].iter().any(|verb| tag.starts_with(verb)).then_some(false),
        };
        access.actor = own(&self.user);
        access.resource = own(&self.dbname);
        if let Some(audit) = audit {
            audit.tell(&mut access);
        }
        access.address = own(&self.remote_host);
        access.agent = own(&self.application_name);
        access.request = own(&self.session_id);
        access
    }

    /// What the session did, in the log's own short words.
    fn action(&self, message: &str) -> String {
        let refused = self.state_code.as_deref().is_some_and(|code| code.starts_with("28"));
        match self.ps.as_deref().unwrap_or_default() {
            _ if refused || message.starts_with("connection a") => "connect".to_owned(),
            _ if message.starts_with("disconnection: ") => "disconnect".to_owned(),
            // While a session is let in, the tag says so; before, there is none.
            "" | "authentication" | "startup" => "connect".to_owned(),
            tag => match statement(message).and_then(|text| sql::told(&text, sql::Dialect::Postgres)) {
                Some(words) => words.into_owned(),
                None => tag.to_owned(),
            },
        }
    }

    fn outcome(&self, message: &str) -> Outcome {
        let code = self.state_code.as_deref().unwrap_or_default();
        let severity = self.error_severity.as_deref().unwrap_or_default();
        let detail = || if code.is_empty() { severity.to_owned() } else { format!("{severity} {code}") };
        match severity {
            // No valid authorization, no rights.
            "ERROR" | "FATAL" | "PANIC" if code.starts_with("28") || code == "42501" => {
                Outcome::Denied(detail())
            }
            "ERROR" | "FATAL" | "PANIC" => Outcome::Failed(detail()),
            // A statement is logged before it is carried out, its duration afterwards.
            _ if DONE.iter().any(|start| message.starts_with(start)) => Outcome::Allowed,
            _ => Outcome::Unknown,
        }
    }
}

/// The statement in a message of `log_statement`, `log_min_duration_statement` or pgaudit
/// (<https://github.com/pgaudit/pgaudit#format>), from which only words of ours are kept.
fn statement(message: &str) -> Option<Cow<'_, str>> {
    if let Some(record) = message.strip_prefix("AUDIT: ") {
        // Kind, two numbers, class, command, type and name of the object, statement, parameters.
        let fields = csv::fields(record).ok()?;
        let (command, text) = (fields.get(4)?, fields.get(7)?);
        let is_there = !text.is_empty() && !matches!(text.as_ref(), "<not logged>" | "<previously logged>");
        return Some(Cow::Owned(if is_there { text } else { command }.to_string()));
    }
    let rest = match message.strip_prefix("duration: ") {
        Some(rest) => rest.split_once(" ms")?.1.trim_start(),
        None => message,
    };
    let (kind, text) = rest.split_once(": ")?;
    (kind == "statement" || kind.starts_with("execute ")).then_some(Cow::Borrowed(text))
}

/// The parts of `pgaudit`'s message that are kept.
struct Audit {
    class: String,
    object: String,
}

impl Audit {
    fn of(message: &str) -> Option<Self> {
        let fields = csv::fields(message.strip_prefix("AUDIT: ")?).ok()?;
        let [kind, _statement, _part, class, _command, _type, object, ..] = fields.as_slice() else {
            return None;
        };
        matches!(kind.as_ref(), "SESSION" | "OBJECT")
            .then(|| Self { class: class.clone().into_owned(), object: object.clone().into_owned() })
    }

    fn tell(self, access: &mut Access) {
        access.reads = match self.class.as_str() {
            "READ" => Some(true),
            "DDL" | "ROLE" | "WRITE" => Some(false),
            _ => None,
        };
        if matches!(self.class.as_str(), "READ" | "WRITE") && access.outcome == Outcome::Unknown {
            access.outcome = Outcome::Allowed;
        }
        if !self.object.is_empty() {
            access.resource = Some(self.object);
        }
    }
}

/// `2026-03-02 10:11:12.123 UTC`, in the zone of `log_timezone`. Other abbreviations than UTC's have several meanings: no time.
fn time(text: &str) -> Option<Timestamp> {
    let mut words = text.split(' ');
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let zone = if matches!(zone, "UTC" | "GMT") { "Z" } else { zone };
    format!("{date}T{time}{zone}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const ROLE: &str = "orders_app";

    fn both(user: &str, tag: &str, severity: &str, code: &str, message: &str) -> [Access; 2] {
        let json = format!(
            r#"{{"timestamp":"2026-03-02 10:00:00.123 UTC","user":"{user}","dbname":"orders","pid":77,"remote_host":"203.0.113.9",
            "remote_port":50000,"session_id":"69a55a20.4d","line_num":2,"ps":"{tag}","session_start":"2026-03-02 10:00:00 UTC",
            "vxid":"3/4","txid":0,"error_severity":"{severity}","state_code":"{code}","message":"{message}",
            "application_name":"psql","backend_type":"client backend","query_id":0}}"#
        );
        let csv = format!(
            "2026-03-02 10:00:00.123 UTC,\"{user}\",\"orders\",77,\"203.0.113.9:50000\",69a55a20.4d,2,\"{tag}\",2026-03-02 \
             10:00:00 UTC,3/4,0,{severity},{code},\"{message}\",,,,,,,,,\"psql\",\"client backend\",,0\n"
        );
        assert!(is_json(json.as_bytes()) && is_csv(csv.as_bytes()));
        [read(Format::PostgresJson, &json, ROLE).unwrap(), read(Format::PostgresCsv, &csv, ROLE).unwrap()]
    }

    #[test]
    fn a_session_of_the_role_is_a_use() {
        let message = "connection authorized: user=orders_app database=orders";
        for access in both(ROLE, "authentication", "LOG", "00000", message) {
            assert_eq!((access.role, access.outcome), (Role::Used, Outcome::Allowed));
            assert_eq!(access.action, "connect");
            assert_eq!(access.time, Some("2026-03-02T10:00:00.123Z".parse().unwrap()));
            let texts = [access.address, access.agent, access.resource, access.request];
            assert_eq!(texts.map(Option::unwrap), ["203.0.113.9", "psql", "orders", "69a55a20.4d"]);
        }
    }

    #[test]
    fn a_role_in_the_statement_of_another_is_a_mention_and_statements_are_not_kept() {
        let message = "statement: ALTER ROLE orders_app PASSWORD 's3cr3t'";
        for access in both("postgres", "ALTER ROLE", "LOG", "00000", message) {
            assert_eq!(
                (access.role, &access.outcome, access.reads),
                (Role::Mentioned, &Outcome::Unknown, Some(false))
            );
            assert!(!format!("{access:?}").contains("s3cr3t"), "{access:?}");
        }
        let [longer, _] = both("orders_app_ro", "SELECT", "LOG", "00000", "statement: SELECT 'orders_app'");
        assert_eq!(longer.role, Role::Mentioned);
    }

    #[test]
    fn refusals_are_told_from_failures() {
        let failed = "password authentication failed for user";
        for (tag, severity, code, message, expected) in [
            ("authentication", "FATAL", "28P01", failed, Outcome::Denied("FATAL 28P01".to_owned())),
            ("SELECT", "ERROR", "42501", "permission denied", Outcome::Denied("ERROR 42501".to_owned())),
            ("SELECT", "ERROR", "42P01", "no such relation", Outcome::Failed("ERROR 42P01".to_owned())),
            ("SELECT", "LOG", "00000", "duration: 1.2 ms  statement: SELECT 1", Outcome::Allowed),
        ] {
            for access in both(ROLE, tag, severity, code, message) {
                assert_eq!((access.role, &access.outcome), (Role::Used, &expected));
            }
        }
    }

    #[test]
    fn half_a_record_is_an_error() {
        let first = "2026-03-02 10:00:00.123 UTC,\"orders_app\",\"orders\",77,\"[local]\",69a55a20.4d,2,\"SELECT\",x,3/4,0,LOG,00000,\"statement: SELECT";
        assert!(is_csv(first.as_bytes()), "what the log is can be told");
        assert_eq!(read(Format::PostgresCsv, first, ROLE).unwrap_err(), "a quote is not closed in this line");
        let second = " from orders_app\",,,,,,,,,\"psql\",\"client backend\",,0";
        assert!(read(Format::PostgresCsv, second, ROLE).is_err());
        assert!(read(Format::PostgresCsv, "orders_app,,,,", ROLE).is_err());
        assert!(read(Format::PostgresJson, r#"{"user":7}"#, ROLE).is_err());
    }

    /// Messages as the README of `pgaudit` has them.
    #[test]
    fn what_pgaudit_says_names_the_class_and_the_object_and_no_statement() {
        let read_account = "AUDIT: SESSION,2,1,READ,SELECT,TABLE,public.account,select 's3cr3t',<not logged>";
        for access in both(ROLE, "SELECT", "LOG", "00000", read_account) {
            assert_eq!(
                (access.role, &access.outcome, access.reads),
                (Role::Used, &Outcome::Allowed, Some(true))
            );
            let texts = (access.action.as_str(), access.resource.as_deref());
            assert_eq!(texts, ("SELECT", Some("public.account")));
            assert!(!format!("{access:?}").contains("s3cr3t"));
        }
        let role = "AUDIT: SESSION,5,1,ROLE,ALTER ROLE,,,<not logged>,<not logged>";
        for access in both(ROLE, "ALTER ROLE", "LOG", "00000", role) {
            assert_eq!((access.action.as_str(), &access.outcome), ("ALTER ROLE", &Outcome::Unknown));
            assert_eq!((access.resource.as_deref(), access.reads), (Some("orders"), Some(false)));
        }
        for other in [
            "AUDIT: SESSION,5,1",
            "AUDIT: OTHER,5,1,READ,SELECT,TABLE,x",
            "statement: AUDIT: SESSION,2,1,READ,SELECT,,x,y",
        ] {
            for access in both(ROLE, "SELECT", "LOG", "00000", other) {
                assert_eq!(
                    (access.action.as_str(), &access.outcome),
                    ("SELECT", &Outcome::Unknown),
                    "{other}"
                );
            }
        }
    }

    /// A record of three lines between two of one.
    fn several() -> (String, std::ops::Range<usize>) {
        let one = |user: &str, message: &str| {
            format!(
                "2026-03-02 10:00:00.123 UTC,\"{user}\",\"orders\",77,\"203.0.113.9:50000\",69a55a20.4d,2,\"SELECT\",2026-03-02 \
                 10:00:00 UTC,3/4,0,LOG,00000,\"{message}\",,,,,,,,,\"psql\",\"client backend\",,0\n"
            )
        };
        let (before, after) =
            (one("other", "statement: SELECT 1"), one("another_app", "statement: SELECT 2"));
        let statement = "AUDIT: SESSION,2,1,READ,SELECT,TABLE,public.account,\"\"select *\n  from account -- orders_app\n where a = 'x'\"\",<none>";
        let middle = one(ROLE, statement);
        let range = before.len()..before.len() + middle.len() - 1;
        (format!("{before}{middle}{after}"), range)
    }

    #[test]
    fn a_record_of_several_lines_is_one_wherever_it_is_met() {
        let (text, range) = several();
        for place in range.clone() {
            assert_eq!(bounds(text.as_bytes(), 0, place), (range.start, range.end), "{place}");
        }
        assert_eq!(bounds(text.as_bytes(), 0, 3), (0, range.start - 1));
        assert_eq!(bounds(text.as_bytes(), range.start - 1, range.start + 200), (range.start, range.end));
        let access = read(Format::PostgresCsv, text.get(range.clone()).unwrap(), ROLE).unwrap();
        assert_eq!((access.role, access.action.as_str()), (Role::Used, "SELECT"));
        assert_eq!(last_record(text.as_bytes().get(..range.end).unwrap()), Some(range.start));
        assert_eq!(last_record(b"no record\nin it"), None);
        assert_eq!(bounds(b"no record\nin it", 0, 12), (10, 15));
    }

    #[test]
    fn a_line_in_a_statement_that_looks_like_a_record_is_no_use() {
        let (text, range) = several();
        let fake = "2026-03-02 11:00:00.000 UTC,\"\"orders_app\"\",\"\"orders\"\",77,,69a55a20.4d,2,,x,3/4,0,LOG,00000,x,,,,,,,,,x,x,,0";
        let text = text
            .replace("  from account", fake)
            .replace(&format!(",\"{ROLE}\",\"orders\",77,\"203"), ",\"mallory\",\"orders\",77,\"203");
        let place = text.find("11:00").unwrap();
        let (start, stop) = bounds(text.as_bytes(), 0, place);
        assert_eq!(start, range.start, "the record that the statement is of");
        let told = read(Format::PostgresCsv, text.get(start..stop).unwrap(), ROLE);
        assert!(told.as_ref().map_or(true, |access| access.role == Role::Mentioned), "{told:?}");
    }

    #[test]
    fn a_quote_that_is_never_closed_swallows_no_other_record() {
        let (text, range) = several();
        let text = text.replace("where a = 'x'\"\"", "where a = 'x'");
        let place = text.rfind("another_app").unwrap();
        let (start, stop) = bounds(text.as_bytes(), 0, place);
        assert!(
            start > range.start
                && read(Format::PostgresCsv, text.get(start..stop).unwrap(), "another_app").is_ok()
        );
    }

    #[test]
    fn the_time_of_a_line_is_told_by_both() {
        let expected = Some("2026-03-02T10:00:00.123Z".parse().unwrap());
        assert_eq!(time_of(br#"{"timestamp":"2026-03-02 10:00:00.123 UTC","user":"x"}"#), expected);
        assert_eq!(time_of(several().0.as_bytes()), expected);
        assert_eq!(time_of(b" where a = 'x'"), None);
    }

    #[test]
    fn a_zone_that_has_several_meanings_is_no_time() {
        assert_eq!(time("2026-03-02 10:00:00.123 +03"), Some("2026-03-02T07:00:00.123Z".parse().unwrap()));
        assert_eq!(time("2026-03-02 10:00:00.123 CST"), None);
        assert_eq!(time("2026-03-02"), None);
        assert!(!is_csv(b"2026-03-02 10:00:00 UTC,a,b,c,d,e,f"));
    }
}
