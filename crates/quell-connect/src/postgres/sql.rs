//! Every statement that the connector sends, as a template.
//!
//! The sandbox reads statements with the same templates, so the two cannot drift apart: a statement that is
//! changed here without its meaning there answers `0A000`.

/// SQL with holes: `{i}` for an identifier, `{l}` for a string literal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Template(&'static str);

/// What the consumers of the drill send.
pub(super) const ONE: Template = Template("SELECT 1");
pub(super) const CURRENT_USER: Template = Template("SELECT current_user");

/// Bounds our own statements, so that one that waits for a lock cannot take effect after we gave up.
pub(super) const LIMIT: Template = Template("SET statement_timeout TO {l}");
/// Who was let in, where, and the server's time (RFC 3339).
pub(super) const WHOAMI: Template = Template(
    "SELECT session_user, current_database(), \
     to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
);
pub(super) const SERVER: Template = Template(
    "SELECT current_setting('server_version'), current_setting('server_version_num'), \
     current_setting('password_encryption'), current_setting('log_statement'), \
     (SELECT setting FROM pg_settings WHERE name = 'authentication_timeout')",
);
/// What the admin is and may. `pg_signal_backend` and `pg_read_all_stats` are predefined roles.
pub(super) const ADMIN: Template = Template(
    "SELECT session_user, current_user, rolsuper, rolcreaterole, \
     pg_has_role('pg_signal_backend', 'USAGE'), pg_has_role('pg_read_all_stats', 'USAGE') \
     FROM pg_roles WHERE rolname = current_user",
);
/// One role; holes: group, group, role. An empty group matches nothing.
pub(super) const ROLE: Template = Template(
    "SELECT r.rolcanlogin, r.rolsuper, r.rolreplication, \
     CASE WHEN isfinite(r.rolvaliduntil) THEN \
     to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') END, \
     coalesce(r.rolvaliduntil < clock_timestamp(), false), \
     pg_has_role(r.oid, 'USAGE'), pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'), \
     (SELECT pg_has_role(r.oid, g.oid, 'MEMBER') FROM pg_roles g WHERE g.rolname = {l}), \
     coalesce(('role=' || {l}) = ANY (r.rolconfig), false) \
     FROM pg_roles r WHERE r.rolname = {l}",
);
/// Holes: role, verifier.
pub(super) const INSTALL: Template = Template("ALTER ROLE {i} LOGIN PASSWORD {l} VALID UNTIL 'infinity'");
/// Holes: group, role.
pub(super) const GRANT: Template = Template("GRANT {i} TO {i}");
/// Holes: role, group. New objects then belong to the group, so the other role can alter them.
pub(super) const SET_ROLE: Template = Template("ALTER ROLE {i} SET role TO {l}");
pub(super) const DISABLE: Template = Template("ALTER ROLE {i} NOLOGIN PASSWORD NULL");
/// Live sessions; holes: role, cutoff (`infinity` for all). A start that we may not see counts, and is counted.
pub(super) const SESSIONS: Template = Template(
    "SELECT count(*), count(*) FILTER (WHERE backend_start IS NULL), \
     count(*) FILTER (WHERE backend_type = 'walsender') FROM pg_stat_activity \
     WHERE usename = {l} AND pid <> pg_backend_pid() \
     AND (backend_start IS NULL OR backend_start < CAST({l} AS timestamptz))",
);
/// Ends the same sessions, and counts those that took the signal.
pub(super) const TERMINATE: Template = Template(
    "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE usename = {l} AND pid <> pg_backend_pid() \
     AND (backend_start IS NULL OR backend_start < CAST({l} AS timestamptz))",
);
/// Live sessions of an account that something else made and drops; hole: its name. A session outlives `DROP ROLE`, and then has no
/// name any more: each such session counts, whoever it was (measured on PostgreSQL 15).
pub(super) const GUESTS: Template = Template(
    "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
     AND (usename = {l} OR (usesysid IS NOT NULL AND usename IS NULL))",
);
/// Ends the same sessions.
pub(super) const END_GUESTS: Template = Template(
    "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
     AND (usename = {l} OR (usesysid IS NOT NULL AND usename IS NULL))",
);
/// Prepared transactions outlive their session; holes: role, group.
pub(super) const PREPARED: Template =
    Template("SELECT count(*) FROM pg_prepared_xacts WHERE owner IN ({l}, {l})");

impl Template {
    /// Puts quoted values into the holes.
    pub(super) fn fill(self, values: &[&str]) -> String {
        debug_assert_eq!(self.0.matches("{i}").count() + self.0.matches("{l}").count(), values.len());
        let mut sql = String::new();
        let mut rest = self.0;
        for value in values {
            let Some((before, hole, after)) = next_hole(rest) else { break };
            sql.push_str(before);
            sql.push_str(&if hole == 'i' { identifier(value) } else { literal(value) });
            rest = after;
        }
        sql.push_str(rest);
        sql
    }

    /// The values in the holes, when `sql` is this statement.
    pub(super) fn read(self, sql: &str) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut rest = self.0;
        let mut sql = sql;
        while let Some((before, hole, after)) = next_hole(rest) {
            sql = sql.strip_prefix(before)?;
            let value;
            (value, sql) = if hole == 'i' { quoted(sql, '"')? } else { read_literal(sql)? };
            values.push(value);
            rest = after;
        }
        (sql == rest).then_some(values)
    }
}

/// Quotes a name (PostgreSQL 15 documentation, 4.1.1). PostgreSQL knows no name with a zero byte; callers refuse
/// such names, here the byte is left out.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// Quotes text (4.1.2.1 and 4.1.2.2). The `E` form means the same whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\0', "").replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// Splits a script at the semicolons that are outside quotes.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let mut quote = None;
    script
        .split(|c| {
            match (quote, c) {
                (None, ';') => return true,
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), _) if open == c => quote = None,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .collect()
}

fn next_hole(text: &'static str) -> Option<(&'static str, char, &'static str)> {
    let at = text.find("{i}").into_iter().chain(text.find("{l}")).min()?;
    let (before, hole) = text.split_at(at);
    let kind = if hole.starts_with("{i}") { 'i' } else { 'l' };
    Some((before, kind, hole.get(3..)?))
}

fn read_literal(sql: &str) -> Option<(String, &str)> {
    match sql.strip_prefix('E') {
        Some(escaped) => quoted(escaped, '\'').map(|(text, rest)| (text.replace("\\\\", "\\"), rest)),
        None => quoted(sql, '\''),
    }
}

/// Reads quoted text whose quotes are doubled inside, and returns what follows.
fn quoted(sql: &str, quote: char) -> Option<(String, &str)> {
    let mut rest = sql.strip_prefix(quote)?;
    let mut text = String::new();
    loop {
        let (part, after) = rest.split_once(quote)?;
        text.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                text.push(quote);
                rest = more;
            }
            None => return Some((text, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 8] =
        ["plain", "", "we\"ird", "it's", "back\\slash'", "\"; DROP ROLE x; --", "{i} {l}", "ünï"];

    #[test]
    fn what_is_filled_in_reads_back() {
        for name in HOSTILE {
            for text in HOSTILE {
                let sql = SET_ROLE.fill(&[name, text]);
                assert_eq!(SET_ROLE.read(&sql).unwrap(), [name, text], "{sql}");
                assert_eq!(statements(&format!("{sql};\n{sql}")).len(), 2, "{sql}");
                assert!(DISABLE.read(&sql).is_none());
            }
        }
        assert_eq!(ONE.read("SELECT 1").unwrap(), [""; 0]);
        assert!(ONE.read("SELECT 12").is_none());
    }

    #[test]
    fn quoting_is_postgresqls() {
        assert_eq!(identifier("a\"b\0"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(statements("A 'x;y' ; B \"c;'d\";;"), ["A 'x;y'", "B \"c;'d\""]);
    }
}
