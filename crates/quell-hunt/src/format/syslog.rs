//! Lines of syslog, as `/var/log/auth.log` has them; those of OpenSSH and MariaDB's audit plugin are understood, those of other
//! programs only say that the credential stands in them.
//!
//! The needle is the fingerprint of a key (`SHA256:…`, as `ssh-keygen -l` shows it), that of a certificate's authority, or the
//! name of an account, by which one key or password cannot be told from another. sshd names the key of a login; that of an attempt
//! that failed only with `LogLevel VERBOSE`. Who typed a password in place of a name has it in the log: names of accounts that do
//! not exist are not kept.
//!
//! The traditional header has neither year nor zone, so such a line has no time; one of RFC 3339 has. RFC 5424's is not read.
//!
//! OpenSSH has no page with its messages; they are in `auth.c` and `packet.c` of
//! <https://github.com/openssh/openssh-portable>; the levels are in <https://man.openbsd.org/sshd_config#LogLevel>.

use jiff::Timestamp;

use super::{Format, Spot, mariadb, text};
use crate::record::{Access, Outcome, Role};

/// A line with the header of syslog, from whichever program.
pub(super) fn is(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(|line| header(line.trim_end())).is_some()
}

/// What a line says.
pub(super) fn line(spot: Spot<'_>) -> Result<Option<Access>, String> {
    let line = String::from_utf8_lossy(spot.bytes);
    let header = header(line.trim_end()).ok_or("not a line of syslog")?;
    if header.program == mariadb::IDENT {
        return mariadb::syslog(spot, header.message, header.time).map(Some);
    }
    let event =
        matches!(header.program, "sshd" | "sshd-session" | "sshd-auth").then(|| event(header.message));
    let Some(event) = event.flatten() else {
        let mut access = text(Format::Syslog, spot);
        access.time = header.time;
        return Ok(Some(access));
    };
    let mut access = spot.access(Format::Syslog, format!("ssh {}", event.method).trim_end().to_owned());
    access.time = header.time;
    let is_ours = |key: &&str| {
        *key == spot.credential || key.split_once(':').is_some_and(|(_, digest)| digest == spot.credential)
    };
    if event.user == spot.credential || event.keys.iter().any(is_ours) {
        access.role = Role::Used;
    }
    let keep = event.exists || event.user == spot.credential;
    access.actor = keep.then(|| event.user.to_owned());
    access.resource = Some(header.host.to_owned());
    access.address = Some(event.address.to_owned());
    access.outcome = event.outcome;
    Ok(Some(access))
}

struct Header<'a> {
    time: Option<Timestamp>,
    host: &'a str,
    program: &'a str,
    message: &'a str,
}

/// `Mar  2 10:00:00 host program[pid]: message`, or with a time of RFC 3339 in front.
fn header(line: &str) -> Option<Header<'_>> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (first, rest) = line.split_once(' ')?;
    let is_traditional = MONTHS.contains(&first);
    let (time, rest) = if is_traditional {
        let (day, rest) = rest.trim_start().split_once(' ')?;
        let (clock, rest) = rest.split_once(' ')?;
        let digits = |text: &str| text.len() <= 2 && text.parse::<u8>().is_ok();
        if !digits(day) || clock.split(':').count() != 3 || !clock.split(':').all(digits) {
            return None;
        }
        (None, rest)
    } else {
        (Some(first.parse().ok()?), rest)
    };
    let (host, rest) = rest.split_once(' ')?;
    let (tag, message) = rest.split_once(": ")?;
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, Some(pid.strip_suffix(']')?.parse::<u32>().ok()?)),
        None => (tag, None),
    };
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    // Logs of programs often begin with such a time and a few words, too.
    let is_certain =
        is_traditional || pid.is_some() || matches!(program, "kernel" | "su" | "sudo" | mariadb::IDENT);
    (is_name(host) && is_name(program) && is_certain).then_some(Header { time, host, program, message })
}

/// What sshd says of a login or an attempt.
struct Event<'a> {
    method: &'a str,
    user: &'a str,
    /// Whether there is such an account.
    exists: bool,
    address: &'a str,
    keys: Vec<&'a str>,
    outcome: Outcome,
}

fn event(message: &str) -> Option<Event<'_>> {
    if let Some(rest) = message.strip_prefix("Accepted ") {
        // An account's name has no blanks.
        let (method, rest) = rest.split_once(" for ")?;
        let (user, rest) = rest.split_once(" from ")?;
        let (address, rest) = rest.split_once(" port ")?;
        let (keys, outcome) = (keys(rest), Outcome::Allowed);
        return Some(Event { method, user, exists: true, address, keys, outcome });
    }
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let denied = |words: &str| Outcome::Denied(words.trim_end().to_owned());
    if let Some(rest) = message.strip_prefix("Failed ") {
        let (method, rest) = rest.split_once(" for ")?;
        return attempt(method, rest, " from ", denied(&format!("Failed {method}")));
    }
    for words in ["Invalid user ", "maximum authentication attempts exceeded for "] {
        if let Some(rest) = message.strip_prefix(words) {
            let event = attempt("", rest, " from ", denied(words))?;
            return Some(Event { exists: event.exists && words != "Invalid user ", ..event });
        }
    }
    for words in ["Connection closed by ", "Connection reset by ", "Disconnected from ", "Disconnecting "] {
        // Without one of these words, it is the end of a session.
        let rest = message.strip_prefix(words).filter(|rest| rest.ends_with(" [preauth]"));
        if let Some(rest) = rest {
            let rest = rest
                .strip_prefix("authenticating user ")
                .or(rest.starts_with("invalid user ").then_some(rest))?;
            return attempt("", rest, " ", denied(words));
        }
    }
    None
}

/// An attempt. The name is whatever the client sent, also with blanks and addresses in it: what sshd says itself stands at the end.
fn attempt<'a>(method: &'a str, rest: &'a str, between: &str, outcome: Outcome) -> Option<Event<'a>> {
    let (head, tail) = rest.rsplit_once(" port ").unwrap_or((rest, ""));
    let (user, address) = head.rsplit_once(between)?;
    let unknown = user.strip_prefix("invalid user ");
    let (user, exists, keys) = (unknown.unwrap_or(user), unknown.is_none(), keys(tail));
    Some(Event { method, user, exists, address, keys, outcome })
}

/// The fingerprints in `22 ssh2: ED25519-CERT SHA256:… ID … (serial 1) CA ED25519 SHA256:…`. The id is whatever its authority wrote.
fn keys(tail: &str) -> Vec<&str> {
    let Some((_, shown)) = tail.split_once(": ") else { return Vec::new() };
    let authority = shown.rsplit_once(" CA ").map(|(_, authority)| authority);
    [Some(shown), authority]
        .into_iter()
        .flatten()
        .filter_map(|words| words.split([' ', ',']).nth(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const KEY: &str = "SHA256:ExampleExampleExampleExampleExampleExample0";

    fn entry(message: &str) -> String {
        format!("2026-03-02T10:00:00.5+01:00 bastion sshd-session[812]: {message}")
    }

    fn ssh(message: &str, id: &str) -> Access {
        read(Format::Syslog, &entry(message), id).unwrap()
    }

    #[test]
    fn a_login_with_the_key_is_a_use() {
        let message =
            format!("Accepted publickey for deploy from 203.0.113.9 port 50022 ssh2: ED25519 {KEY}");
        for id in [KEY, KEY.strip_prefix("SHA256:").unwrap()] {
            let access = ssh(&message, id);
            assert_eq!((access.role, &access.outcome), (Role::Used, &Outcome::Allowed));
            assert_eq!(access.action, "ssh publickey");
            let texts = [access.actor, access.address, access.resource].map(Option::unwrap);
            assert_eq!(texts, ["deploy", "203.0.113.9", "bastion"]);
            assert_eq!(access.time, Some("2026-03-02T09:00:00.5Z".parse().unwrap()));
        }
        let other = ssh(&message, "SHA256:Example");
        assert_eq!(other.role, Role::Mentioned);
    }

    #[test]
    fn a_certificate_is_a_use_of_its_authority_but_not_of_what_its_id_says() {
        let message = format!(
            "Accepted publickey for deploy from 2001:db8::9 port 1 ssh2: RSA-CERT SHA256:Certificate ID x CA RSA SHA256:Forged (serial 3) CA ED25519 {KEY}"
        );
        assert_eq!(ssh(&message, KEY).role, Role::Used);
        assert_eq!(ssh(&message, "SHA256:Certificate").role, Role::Used);
        assert_eq!(ssh(&message, "SHA256:Forged").role, Role::Mentioned);
    }

    #[test]
    fn refused_attempts_are_told_and_names_that_nobody_has_are_not_kept() {
        for (message, user, detail) in [
            ("Failed password for orders-ops from @ ssh2", Some("orders-ops"), "Failed password"),
            ("Failed password for invalid user p4ss-typed from @ ssh2", None, "Failed password"),
            ("Invalid user p4ss from 10.0.0.1 port 1 from @", None, "Invalid user"),
            (
                "Disconnecting invalid user p4ss @: Too many authentication failures [preauth]",
                None,
                "Disconnecting",
            ),
            ("Disconnected from invalid user p4ss x @ [preauth]", None, "Disconnected from"),
            (
                "Connection closed by authenticating user orders-ops @ [preauth]",
                Some("orders-ops"),
                "Connection closed by",
            ),
        ] {
            let message = &message.replace('@', "203.0.113.9 port 7");
            let access = ssh(message, "orders-ops");
            assert_eq!(access.outcome, Outcome::Denied(detail.to_owned()), "{message}");
            assert_eq!(access.address.as_deref(), Some("203.0.113.9"), "{message}");
            assert_eq!(access.actor.as_deref(), user);
            assert_eq!(access.role == Role::Used, user.is_some());
            assert!(!format!("{access:?}").contains("p4ss"), "{access:?}");
        }
        let message = format!("Failed publickey for deploy from 203.0.113.9 port 7 ssh2: ED25519 {KEY}");
        assert_eq!(ssh(&message, KEY).role, Role::Used);
    }

    #[test]
    fn a_time_without_a_year_is_none_and_other_programs_only_mention() {
        let text = "Mar  2 10:00:00 bastion sshd[812]: Accepted password for orders-ops from 203.0.113.9 port 7 ssh2";
        assert!(is(text.as_bytes()));
        let access = read(Format::Syslog, text, "orders-ops").unwrap();
        assert_eq!((access.time, access.role), (None, Role::Used));
        let cron = "Mar  2 10:00:00 bastion CRON[9]: (orders-ops) CMD (echo 2026-01-01T00:00:00Z)";
        let access = read(Format::Syslog, cron, "orders-ops").unwrap();
        assert_eq!((access.time, access.role, access.outcome), (None, Role::Mentioned, Outcome::Unknown));
    }

    #[test]
    fn other_text_is_not_of_this_format() {
        for text in
            ["", "Mar 2", "Mar  2 10:00 h p: x", "2026-03-02T10:00:00Z INFO server: started", "a b c: d"]
        {
            assert!(!is(text.as_bytes()), "{text}");
        }
        assert!(read(Format::Syslog, "orders-ops", "orders-ops").is_err());
    }
}
