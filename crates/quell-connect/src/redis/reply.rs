//! What Redis answers, taken apart. Replies come from outside: what is not there is never guessed.
//!
//! Shapes: <https://redis.io/docs/latest/commands/acl-getuser/>, <https://redis.io/docs/latest/commands/acl-log/>,
//! <https://redis.io/docs/latest/commands/client-list/>, <https://redis.io/docs/latest/commands/time/>.

use jiff::Timestamp;
use redis::Value;

/// An ACL user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct User {
    pub(super) on: bool,
    /// Any password is accepted.
    pub(super) nopass: bool,
    /// SHA-256 of each password, in hex.
    pub(super) passwords: Vec<String>,
}

/// A refused login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attempt {
    pub(super) user: String,
    /// How often, as Redis counts alike attempts together.
    pub(super) count: u64,
    /// The client's address, without its port.
    pub(super) address: Option<String>,
}

/// A connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) user: String,
    /// Whole seconds since it began; negative when the server's clock was set back.
    pub(super) age: i64,
    /// It is a replica's.
    pub(super) is_replica: bool,
}

/// Text, if it is some.
pub(super) fn text(value: &Value) -> Option<String> {
    redis::from_redis_value_ref(value).ok()
}

/// Of `ACL GETUSER`; `None` for a reply that is no user.
pub(super) fn user(reply: &Value) -> Option<User> {
    let flags = strings(&field(reply, "flags")?);
    let has = |flag: &str| flags.iter().any(|it| it == flag);
    Some(User { on: has("on"), nopass: has("nopass"), passwords: strings(&field(reply, "passwords")?) })
}

/// Refused logins of `ACL LOG`; entries for other reasons are left out.
pub(super) fn attempts(reply: &Value) -> Vec<Attempt> {
    let Value::Array(entries) = reply else { return Vec::new() };
    let attempts = entries.iter().filter_map(|entry| {
        let part = |name: &str| field(entry, name).as_ref().and_then(text);
        if part("reason")? != "auth" {
            return None;
        }
        let count = redis::from_redis_value(field(entry, "count")?).unwrap_or(1);
        let client = part("client-info").unwrap_or_default();
        let address = word(&client, "addr").and_then(|it| it.rsplit_once(':')).map(|(ip, _)| ip.to_owned());
        Some(Attempt { user: part("username")?, count, address })
    });
    attempts.collect()
}

/// Lines of `CLIENT LIST`; `None` when one of them cannot be read: a session that is not understood is not none.
pub(super) fn sessions(list: &str) -> Option<Vec<Session>> {
    let lines = list.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            Some(Session {
                id: word(line, "id")?.parse().ok()?,
                user: word(line, "user")?.to_owned(),
                age: word(line, "age")?.parse().ok()?,
                is_replica: word(line, "flags").is_some_and(|flags| flags.contains('S')),
            })
        })
        .collect()
}

/// Of `TIME`: seconds and microseconds.
pub(super) fn time(reply: &Value) -> Option<Timestamp> {
    let (seconds, micros): (i64, i32) = redis::from_redis_value_ref(reply).ok()?;
    Timestamp::new(seconds, micros.checked_mul(1000)?).ok()
}

/// A line of `INFO`.
pub(super) fn info<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// `name=word` in a line of such.
fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A value of a flat list of names and values (RESP2), or of a map (RESP3).
fn field(reply: &Value, name: &str) -> Option<Value> {
    reply.as_map_iter()?.find(|(key, _)| text(key).as_deref() == Some(name)).map(|(_, value)| value.clone())
}

fn strings(value: &Value) -> Vec<String> {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn list(items: &[&str]) -> Value {
        Value::Array(items.iter().map(|it| bulk(it)).collect())
    }

    #[test]
    fn a_user_is_read() {
        let reply = |flags: &[&str]| {
            Value::Array(vec![
                bulk("flags"),
                list(flags),
                bulk("passwords"),
                list(&["ab12"]),
                bulk("keys"),
                bulk("~*"),
            ])
        };
        let read = user(&reply(&["on", "sanitize-payload"])).unwrap();
        assert_eq!(read, User { on: true, nopass: false, passwords: vec!["ab12".to_owned()] });
        assert!(user(&reply(&["off", "nopass"])).unwrap().nopass);
        for odd in
            [Value::Nil, Value::Okay, list(&["flags"]), list(&["flags", "on"]), Value::Array(Vec::new())]
        {
            assert_eq!(user(&odd), None, "{odd:?}");
        }
    }

    #[test]
    fn attempts_are_read_and_odd_ones_left_out_and_no_session_is_overlooked() {
        let entry = Value::Array(vec![
            bulk("count"),
            Value::Int(3),
            bulk("reason"),
            bulk("auth"),
            bulk("username"),
            bulk("orders"),
            bulk("client-info"),
            bulk("id=7 addr=[2001:db8::1]:5000 laddr=127.0.0.1:1 user=default"),
        ]);
        let other = Value::Array(vec![bulk("reason"), bulk("command"), bulk("username"), bulk("orders")]);
        let read = attempts(&Value::Array(vec![entry, other, Value::Nil]));
        let address = Some("[2001:db8::1]".to_owned());
        assert_eq!(read, [Attempt { user: "orders".to_owned(), count: 3, address }]);
        let line = "id=3 addr=127.0.0.1:1 name= age=12 idle=0 flags=N user=orders";
        let session = |age, is_replica| Session { id: 3, user: "orders".to_owned(), age, is_replica };
        assert_eq!(sessions(&format!("{line}\n\n")).unwrap(), [session(12, false)]);
        let replica = line.replace("age=12", "age=-58").replace("flags=N", "flags=S");
        assert_eq!(sessions(&replica).unwrap(), [session(-58, true)]);
        for odd in ["id=x user=orders age=1", "age=1 user=o", "id=1 user=o", "id=1 age=1", "?"] {
            assert_eq!(sessions(&format!("{line}\n{odd}\n")), None, "{odd}");
        }
        assert_eq!(time(&list(&["1780000000", "5"])).unwrap().to_string(), "2026-05-28T20:26:40.000005Z");
        assert_eq!(time(&list(&["1780000000"])), None);
        assert_eq!(time(&list(&["1780000000", "2147483647"])), None);
    }
}
