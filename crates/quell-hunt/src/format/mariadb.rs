//! MariaDB's audit plugin `server_audit`: a record a line, in a file of its own or in syslog.
//!
//! A record holds no id of a credential: the needle is the account's name, or name and host as they stand in the log
//! (`orders_app,203.0.113.9`). Statements may hold passwords and are not kept; what they did is told in words of ours. `CONNECT`
//! and `QUERY` say how it ended; a record of a table (`READ`, `WRITE`) is written before that. The name of a refused login is whatever
//! the client sent, also with commas in it: a line that does not have exactly its fields is an error, so none can pass for another.
//!
//! A file's times are in the server's own zone, which no record names: they are known only when somebody says it.
//!
//! Fields: <https://mariadb.com/docs/server/reference/plugins/mariadb-audit-plugin/mariadb-audit-plugin-log-format>; the form of
//! the time and the escapes in statements were seen from 10.11.19 (2026-11). Numbers of refusals:
//! <https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference>.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Format, Spot, sql};
use crate::record::{Access, Outcome, Role};

/// The name under which it writes into syslog, unless `server_audit_syslog_ident` says another.
pub(super) const IDENT: &str = "mysql-server_auditing";

/// What a record can be about.
const CONNECTIONS: [&str; 4] = ["CONNECT", "DISCONNECT", "FAILED_CONNECT", "CHANGEUSER"];
const STATEMENTS: [&str; 3] = ["QUERY", "PREPARE", "EXECUTE"];
const TABLES: [&str; 6] = ["READ", "WRITE", "CREATE", "ALTER", "DROP", "RENAME"];

/// Errors that say that the account, or its rights, were refused.
const REFUSALS: [u32; 8] = [1044, 1045, 1142, 1143, 1227, 1370, 1698, 4151];

/// A record of a file.
pub(super) fn is(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line.trim_ascii_end());
    split(&text).is_some_and(|(time, record)| clock(time).is_some() && Record::of(record).is_some())
}

/// What a record of a file says. `zone` is that of the server's clock.
pub(super) fn line(spot: Spot<'_>, zone: Option<&TimeZone>) -> Result<Option<Access>, String> {
    let text = String::from_utf8_lossy(spot.bytes.trim_ascii_end());
    let (time, record) = split(&text).ok_or("not a record of server_audit")?;
    clock(time).ok_or("not a time of server_audit")?;
    let record = Record::of(record).ok_or("not a whole record of server_audit")?;
    Ok(Some(record.access(Format::Mariadb, &spot, self::time(&text, zone))))
}

/// What a message in syslog says.
pub(super) fn syslog(spot: Spot<'_>, message: &str, time: Option<Timestamp>) -> Result<Access, String> {
    // `server_audit_syslog_info` stands before the record; a server's name has no blank.
    let comma = message.find(',').unwrap_or(message.len());
    let start = message.get(..comma).and_then(|head| head.rfind(' ')).map_or(0, |blank| blank + 1);
    let record = message.get(start..).and_then(Record::of).ok_or("not a whole record of server_audit")?;
    Ok(record.access(Format::Syslog, &spot, time))
}

/// When a line of a file was written.
pub(super) fn time(line: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let (time, _) = split(line)?;
    Some(clock(time)?.to_zoned(zone?.clone()).ok()?.timestamp())
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(',')
}

/// `20261122 19:04:00`.
fn clock(text: &str) -> Option<DateTime> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let date = text.get(..8).filter(|date| digits(date))?;
    (text.len() == 17 && date.starts_with("20")).then_some(())?;
    DateTime::strptime("%Y%m%d %H:%M:%S", text).ok()
}

struct Record<'a> {
    user: &'a str,
    host: &'a str,
    connection: &'a str,
    operation: &'a str,
    database: &'a str,
    /// A statement with its quotes, or a table.
    object: &'a str,
    code: Option<u32>,
}

impl<'a> Record<'a> {
    /// `host,user,client,connection,query,OPERATION,database,object,code`.
    fn of(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(8, ',');
        let mut next = || fields.next();
        let (server, user, host) = (next()?, next()?, next()?);
        let (connection, query, operation) = (next()?, next()?, next()?);
        let (database, rest) = (next()?, next()?);
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if server.is_empty() || !number(connection) || !number(query) {
            return None;
        }
        let (object, code) = if STATEMENTS.contains(&operation) {
            statement(rest)?
        } else if CONNECTIONS.contains(&operation) || TABLES.contains(&operation) {
            rest.split_once(',').filter(|(_, code)| !code.contains(','))?
        } else {
            return None;
        };
        let code = if code.is_empty() { None } else { Some(code.parse().ok()?) };
        // Only what concerns tables is written before its end.
        (code.is_some() || TABLES.contains(&operation)).then_some(())?;
        Some(Self { user, host, connection, operation, database, object, code })
    }

    fn access(&self, format: Format, spot: &Spot<'_>, time: Option<Timestamp>) -> Access {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut access = spot.access(format, self.action());
        access.time = time;
        if self.user == spot.credential || format!("{},{}", self.user, self.host) == spot.credential {
            access.role = Role::Used;
        }
        access.actor = told(self.user);
        access.resource = if TABLES.contains(&self.operation) {
            Some(format!("{}.{}", self.database, self.object))
        } else {
            told(self.database)
        };
        access.address = told(self.host);
        access.reads = self.reads();
        access.outcome = match self.code {
            Some(0) => Outcome::Allowed,
            Some(code) if self.operation == "FAILED_CONNECT" || REFUSALS.contains(&code) => {
                Outcome::Denied(format!("error {code}"))
            }
            Some(code) => Outcome::Failed(format!("error {code}")),
            None => Outcome::Unknown,
        };
        access.request = told(self.connection);
        access
    }

    fn action(&self) -> String {
        match self.operation {
            "CONNECT" | "FAILED_CONNECT" => "connect".to_owned(),
            "DISCONNECT" => "disconnect".to_owned(),
            "CHANGEUSER" => "change user".to_owned(),
            operation if STATEMENTS.contains(&operation) => self.verb(),
            operation => format!("{operation} table"),
        }
    }

    /// What a statement does, in words of ours; else its first word, in capitals: no value stands there.
    fn verb(&self) -> String {
        if let Some(words) = sql::told(&unescaped(self.object), sql::Dialect::Mariadb) {
            return words.into_owned();
        }
        let verb: String = self.object.chars().take_while(char::is_ascii_alphabetic).take(16).collect();
        if verb.is_empty() { "a statement".to_owned() } else { verb.to_ascii_uppercase() }
    }

    fn reads(&self) -> Option<bool> {
        if TABLES.contains(&self.operation) {
            return Some(self.operation == "READ");
        }
        if !STATEMENTS.contains(&self.operation) {
            return None;
        }
        match self.verb().split(' ').next().unwrap_or_default() {
            "SELECT" | "SHOW" | "DESCRIBE" | "DESC" | "EXPLAIN" => Some(true),
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "TRUNCATE" | "CREATE" | "ALTER"
            | "DROP" | "RENAME" | "GRANT" | "REVOKE" => Some(false),
            _ => None,
        }
    }
}

/// A statement as it was sent: the plugin puts a backslash before quotes and backslashes, and writes line breaks as `\n`.
fn unescaped(object: &str) -> String {
    let mut text = String::with_capacity(object.len());
    let mut chars = object.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n' | 'r' | 't') => text.push('\n'),
                Some(c) => text.push(c),
                None => {}
            },
            (c, false) => text.push(c),
        }
    }
    text
}

/// What stands between the quotes, a backslash before a quote being part of it, and the code behind.
fn statement(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('\'')?;
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'\'' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (statement, rest) = text.split_at_checked(end)?;
    let code = rest.strip_prefix("',")?;
    Some((statement.trim_start(), code))
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const USER: &str = "orders_app";

    fn access(rest: &str) -> Access {
        let text = format!("20260302 10:00:00,db1,{rest}");
        assert!(is(text.as_bytes()), "{text}");
        read(Format::Mariadb, &text, USER).unwrap()
    }

    #[test]
    fn logins_statements_and_tables_are_told() {
        let denied = |code: &str| Outcome::Denied(code.to_owned());
        for (rest, action, reads, outcome) in [
            ("CONNECT,orders,,0", "connect", None, Outcome::Allowed),
            ("FAILED_CONNECT,,,1045", "connect", None, denied("error 1045")),
            ("DISCONNECT,orders,,0", "disconnect", None, Outcome::Allowed),
            ("QUERY,orders,'select \\'a,b\\' from t',0", "SELECT", Some(true), Outcome::Allowed),
            ("QUERY,orders,'update t',1142", "UPDATE", Some(false), denied("error 1142")),
            ("QUERY,orders,'-- x',1146", "a statement", None, Outcome::Failed("error 1146".to_owned())),
            ("READ,orders,t,", "READ table", Some(true), Outcome::Unknown),
            ("RENAME,orders,t|orders.t2,", "RENAME table", Some(false), Outcome::Unknown),
        ] {
            let access = access(&format!("{USER},203.0.113.9,4,6,{rest}"));
            assert_eq!((access.action.as_str(), access.reads), (action, reads), "{rest}");
            assert_eq!((access.role, &access.outcome), (Role::Used, &outcome), "{rest}");
            assert_eq!(access.address.as_deref(), Some("203.0.113.9"));
        }
        let mention = access("root,localhost,4,6,QUERY,,'drop user orders_app identified by \\'s3cr3t\\'',0");
        assert_eq!(mention.role, Role::Mentioned);
        assert!(!format!("{mention:?}").contains("s3cr3t"));
        let both = "orders_app,203.0.113.9";
        let text = format!("20260302 10:00:00,db1,{both},4,0,CONNECT,orders,,0");
        assert_eq!(read(Format::Mariadb, &text, both).unwrap().role, Role::Used);
    }

    #[test]
    fn a_name_that_a_client_made_up_passes_for_no_other_record() {
        let forged = "x,203.0.113.1,4,0,CONNECT,orders,,0,db1,203.0.113.9,5,0,FAILED_CONNECT,,,1045";
        let quoted = "orders_app,10.0.0.1,4,6,QUERY,orders,'x',203.0.113.9,5,0,FAILED_CONNECT,,,1045";
        for rest in [forged, quoted, "orders_app,h,4,6,QUERY,orders,'x", "orders_app,h,4,6,CONNECT,orders,,"]
        {
            let text = format!("20260302 10:00:00,db1,{rest}");
            assert!(!is(text.as_bytes()), "{rest}");
            assert!(read(Format::Mariadb, &text, USER).is_err(), "{rest}");
        }
        for text in ["2026-03-02,a,b", "20269902 10:00:00,db1,orders_app,h,4,0,CONNECT,orders,,0"] {
            assert!(!is(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_time_is_known_only_with_its_zone() {
        let text = "20260302 10:00:00,db1,orders_app,h,4,0,CONNECT,orders,,0";
        assert_eq!(read(Format::Mariadb, text, USER).unwrap().time, None);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time(text, Some(&zone)), Some("2026-03-02T08:00:00Z".parse().unwrap()));
    }

    #[test]
    fn syslog_has_the_same_record_behind_its_header() {
        let record = "db1,orders_app,203.0.113.9,4,0,FAILED_CONNECT,,,1045";
        for between in [" ", " some info "] {
            let text = format!("2026-03-02T10:00:00Z db1 {IDENT}:{between}{record}");
            let access = read(Format::Syslog, &text, USER).unwrap();
            assert_eq!((access.role, access.action.as_str()), (Role::Used, "connect"));
            assert_eq!(access.time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
            assert!(matches!(access.outcome, Outcome::Denied(_)));
        }
        let broken = format!("2026-03-02T10:00:00Z db1 {IDENT}: db1,orders_app,h,x");
        assert!(read(Format::Syslog, &broken, USER).is_err());
    }
}
