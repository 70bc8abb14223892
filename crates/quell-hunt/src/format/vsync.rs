//! vsync's `audit.csv`: a row for each `pull`, `push`, `import`, `export` and `rotate`, under a header that is part of the format.
//! Columns may be added to the right.
//!
//! A row holds no id of a credential: neither the bucket's key nor the passphrase. The needle is `version_ts`: whoever wrote a row of
//! that version had both. Rows are written by the client, after the operation, by its own clock, and `local_ip` is an address of its
//! LAN: it can be compared with no other log's. A key that may not write cannot leave a row, so none proves nothing. `meta` holds
//! what people wrote and is not kept.
//!
//! Columns: <https://github.com/muthuishere/vsync>, its documents on `audit`; RFC 4180. A field with a line break is not supported.

use jiff::Timestamp;

use super::{Format, Spot, csv};
use crate::record::{Access, Outcome, Role};

const HEADER: &str =
    "ts,action,version_ts,hostname,local_ip,os_user,git_email,vsync_version,bun_version,meta";

/// The header.
pub(crate) fn is(line: &[u8]) -> bool {
    let rest = line.trim_ascii_end().strip_prefix(HEADER.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b","))
}

/// A row; the header is none.
pub(super) fn line(spot: Spot<'_>) -> Result<Option<Access>, String> {
    if is(spot.bytes) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(spot.bytes.trim_ascii_end());
    let fields = csv::fields(&text)?;
    let [ts, action, version, hostname, local_ip, os_user, git_email, vsync, _bun, _meta, ..] =
        fields.as_slice()
    else {
        return Err("a row of vsync's audit has ten columns".to_owned());
    };
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut access = spot.access(Format::Vsync, format!("vsync {action}"));
    access.time = ts.parse().ok();
    if version == spot.credential {
        access.role = Role::Used;
    }
    access.actor = told(git_email).or_else(|| told(os_user));
    access.resource = told(version);
    // Not `address`: nobody else sees this one.
    access.agent = Some(format!("vsync {vsync}, {os_user} at {hostname}, {local_ip} in its LAN"));
    access.outcome = Outcome::Allowed;
    access.reads = match action.as_ref() {
        "pull" | "export" => Some(true),
        "push" | "import" | "rotate" => Some(false),
        _ => None,
    };
    Ok(Some(access))
}

/// When, whether it is a rotation, and the version, of any row; `None` for a line that is none.
pub(crate) fn row(line: &[u8]) -> Option<(Option<Timestamp>, bool, Option<String>)> {
    let text = String::from_utf8_lossy(line);
    let fields = csv::fields(&text).ok()?;
    let [at, action, version, _, _, _, _, _, _, _, ..] = fields.as_slice() else { return None };
    Some((at.parse().ok(), action == "rotate", Some(version.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    const VERSION: &str = "20260302-095500";

    fn row(action: &str, version: &str) -> String {
        format!(
            r#"2026-03-02T10:00:00.000Z,{action},{version},laptop-7,192.168.1.20,ann,ann@shop.example,1.4.0,1.2.0,"{{""note"":""{VERSION} s3cr3t""}}",more"#
        )
    }

    #[test]
    fn a_row_of_the_version_is_a_use_and_its_lan_address_is_no_address() {
        let access = read(Format::Vsync, &row("pull", VERSION), VERSION).unwrap();
        assert_eq!((access.role, access.outcome, access.reads), (Role::Used, Outcome::Allowed, Some(true)));
        assert_eq!((access.address, access.actor.as_deref()), (None, Some("ann@shop.example")));
        assert_eq!(access.agent.as_deref(), Some("vsync 1.4.0, ann at laptop-7, 192.168.1.20 in its LAN"));
        assert_eq!(access.time, Some("2026-03-02T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_note_is_a_mention_and_is_not_kept() {
        let access = read(Format::Vsync, &row("push", "20260302-100000"), VERSION).unwrap();
        assert_eq!((access.role, access.reads), (Role::Mentioned, Some(false)));
        assert!(!format!("{access:?}").contains("s3cr3t"));
    }

    #[test]
    fn the_header_tells_the_format_and_is_no_row() {
        for header in [HEADER.to_owned(), format!("{HEADER},request_id\r")] {
            assert!(is(header.as_bytes()));
            let spot =
                Spot { object: "audit.csv", place: 1, bytes: header.as_bytes(), credential: "version_ts" };
            assert_eq!(line(spot), Ok(None));
        }
        assert!(!is(b"ts,action,version_ts"));
        assert!(!is(format!("{HEADER}data").as_bytes()));
        assert!(read(Format::Vsync, "a,b,20260302-095500", VERSION).is_err());
        assert!(read(Format::Vsync, "a,\"20260302-095500", VERSION).is_err());
    }
}
