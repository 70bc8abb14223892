//! What a statement of SQL does, in words of ours.
//!
//! A statement may hold passwords and rows, so none of it is kept. What a record says of it are words from the lists below, in an order
//! that is ours, too: `ALTER ROLE SUPERUSER`, `COPY TO`, `SET log_statement (less is logged)`. Reading it is no parsing: texts,
//! comments and dollar quotes are skipped, and words are looked for. Somebody who wants to be misread can be; then the first word stays.
//!
//! Statements: <https://www.postgresql.org/docs/current/sql-commands.html>,
//! <https://mariadb.com/docs/server/reference/sql-statements>. How texts and comments are written:
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>, <https://mariadb.com/docs/server/reference/sql-structure/comment-syntax>.

use std::borrow::Cow;

/// Whose SQL it is: they differ in what a backslash and a number sign are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Mariadb,
    Postgres,
}

/// More of a statement is not looked at. What matters stands in front, and a line may have megabytes of rows.
const LONGEST: usize = 16 << 10;

/// A part of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token<'a> {
    /// A name or keyword, with dots.
    Name(&'a str),
    Sign(char),
    /// What stands between quotes.
    Text(&'a str),
}

/// What the most telling of some statements does. `None` if its first word is in no list.
pub(super) fn told(text: &str, dialect: Dialect) -> Option<Cow<'static, str>> {
    let tokens = tokens(text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default(), dialect);
    let told: Vec<_> = tokens.split(|token| *token == Token::Sign(';')).filter_map(statement).collect();
    let plain = |words: &Cow<'static, str>| !words.contains(' ');
    let telling = told.iter().find(|words| !plain(words)).or(told.first());
    telling.cloned()
}

/// Settings whose change can make the log tell less, each with the values that tell most.
const LOGGING: [(&str, &[&str]); 18] = [
    ("general_log", &["on", "1"]),
    ("log_connections", &["on", "all", "1", "true"]),
    ("log_destination", &[]),
    ("log_disconnections", &["on", "1", "true"]),
    ("log_duration", &["on", "1", "true"]),
    ("log_min_duration_statement", &["0"]),
    ("log_min_error_statement", &["debug5", "debug1", "info", "notice", "warning", "error"]),
    ("log_min_messages", &["debug5", "debug1", "info", "notice", "warning"]),
    ("log_output", &["file", "table"]),
    ("log_statement", &["all"]),
    ("logging_collector", &["on", "1", "true"]),
    ("pgaudit.log", &["all"]),
    ("pgaudit.log_catalog", &["on", "1", "true"]),
    ("server_audit_events", &[]),
    ("server_audit_excl_users", &[]),
    ("server_audit_incl_users", &[]),
    ("server_audit_logging", &["on", "1"]),
    ("sql_log_bin", &["on", "1"]),
];

/// Rights of a role that are above all others.
const RIGHTS: [&str; 4] = ["SUPERUSER", "CREATEROLE", "BYPASSRLS", "REPLICATION"];

/// First words, and kinds of things that `CREATE`, `ALTER` and `DROP` are about.
const VERBS: [&str; 40] = [
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "INSERT",
    "INSTALL",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "PREPARE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "TRUNCATE",
    "UNINSTALL",
    "UPDATE",
    "VACUUM",
];
const THINGS: [&str; 23] = [
    "AGGREGATE",
    "DATABASE",
    "EVENT",
    "EXTENSION",
    "FUNCTION",
    "GROUP",
    "INDEX",
    "LANGUAGE",
    "POLICY",
    "PROCEDURE",
    "PUBLICATION",
    "ROLE",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "SUBSCRIPTION",
    "SYSTEM",
    "TABLE",
    "TRIGGER",
    "TYPE",
    "USER",
    "VIEW",
];

fn statement(tokens: &[Token<'_>]) -> Option<Cow<'static, str>> {
    let verb = one_of(&VERBS, tokens.iter().find_map(name)?)?;
    let has = |word: &str| tokens.iter().filter_map(name).any(|name| name.eq_ignore_ascii_case(word));
    let at = |nth: usize| tokens.iter().filter_map(name).nth(nth).unwrap_or_default();
    Some(match verb {
        "CREATE" | "ALTER" | "DROP" => return Some(definition(verb, tokens)),
        "COPY" => copy(tokens).into(),
        "INSTALL" => "INSTALL PLUGIN".into(),
        "UNINSTALL" if tokens.iter().any(|token| is_called(token, "server_audit")) => {
            "UNINSTALL PLUGIN server_audit (less is logged)".into()
        }
        "SELECT" if has("INTO") && (has("OUTFILE") || has("DUMPFILE")) => "SELECT INTO OUTFILE".into(),
        "SELECT" if has("set_config") => match logging(tokens) {
            Some(words) => format!("SELECT set_config {words}").into(),
            None => "SELECT".into(),
        },
        // `mariadb-dump` writes it, and hardly anybody else.
        "SELECT" if at(1).eq_ignore_ascii_case("SQL_NO_CACHE") => "SELECT SQL_NO_CACHE".into(),
        "SELECT" if has("OFFSET") => "SELECT OFFSET".into(),
        "SET" if at(1).eq_ignore_ascii_case("PASSWORD") => "SET PASSWORD".into(),
        "SET" => logging(tokens).map_or("SET".into(), |words| format!("SET {words}").into()),
        verb => verb.into(),
    })
}

/// `ALTER ROLE SUPERUSER`, `DROP EXTENSION pgaudit`, `CREATE TABLE`.
fn definition(verb: &'static str, tokens: &[Token<'_>]) -> Cow<'static, str> {
    let names = || tokens.iter().filter_map(name);
    if verb == "ALTER" && names().nth(1).is_some_and(|word| word.eq_ignore_ascii_case("DEFAULT")) {
        return "ALTER DEFAULT PRIVILEGES".into();
    }
    // `CREATE OR REPLACE TEMPORARY TABLE`: few words stand between.
    let Some(thing) = names().skip(1).take(6).find_map(|word| one_of(&THINGS, word)) else {
        return verb.into();
    };
    let what = format!("{verb} {thing}");
    if verb == "DROP" {
        let audits = tokens.iter().any(|token| is_called(token, "pgaudit"));
        return if audits { format!("{what} pgaudit (less is logged)").into() } else { what.into() };
    }
    if let Some(words) = names()
        .any(|it| ["SET", "RESET"].iter().any(|word| it.eq_ignore_ascii_case(word)))
        .then(|| logging(tokens))
        .flatten()
    {
        return format!("{what} SET {words}").into();
    }
    let is_role = matches!(thing, "ROLE" | "USER" | "GROUP");
    match names().find_map(|word| one_of(&RIGHTS, word)).filter(|_| is_role) {
        Some(right) => format!("{what} {right}").into(),
        None => what.into(),
    }
}

/// Which way the rows go: the first word for it that is in no brackets.
fn copy(tokens: &[Token<'_>]) -> &'static str {
    let mut depth = 0_usize;
    let mut rest = tokens.iter();
    while let Some(token) = rest.next() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Name(word) if depth == 0 => {
                let runs =
                    rest.clone().find_map(name).is_some_and(|next| next.eq_ignore_ascii_case("PROGRAM"));
                match (word.to_ascii_uppercase().as_str(), runs) {
                    ("TO", false) => return "COPY TO",
                    ("TO", true) => return "COPY TO PROGRAM",
                    ("FROM", false) => return "COPY FROM",
                    ("FROM", true) => return "COPY FROM PROGRAM",
                    _ => {}
                }
            }
            Token::Name(_) | Token::Sign(_) | Token::Text(_) => {}
        }
    }
    "COPY"
}

/// A setting of the log that is set, and whether that makes it tell less.
fn logging(tokens: &[Token<'_>]) -> Option<String> {
    let mut rest = tokens.iter();
    let (setting, most) =
        rest.find_map(|token| LOGGING.into_iter().find(|(known, _)| is_called(token, known)))?;
    let value = rest.find_map(|token| match token {
        Token::Name(word) if word.eq_ignore_ascii_case("TO") => None,
        Token::Name(value) | Token::Text(value) => Some(value),
        Token::Sign(_) => None,
    });
    // `RESET` names no value.
    let tells_most = value.is_some_and(|value| most.iter().any(|it| it.eq_ignore_ascii_case(value)));
    Some(if tells_most { setting.to_owned() } else { format!("{setting} (less is logged)") })
}

/// Whether a name or text is this one: `@@global.server_audit_logging` is `server_audit_logging`.
fn is_called(token: &Token<'_>, known: &str) -> bool {
    match token {
        Token::Name(text) | Token::Text(text) => {
            let text = text.strip_suffix(".so").unwrap_or(text);
            let scoped = ["global.", "session."].iter().find_map(|scope| {
                let (start, rest) = text.split_at_checked(scope.len())?;
                start.eq_ignore_ascii_case(scope).then_some(rest)
            });
            scoped.unwrap_or(text).eq_ignore_ascii_case(known)
        }
        Token::Sign(_) => false,
    }
}

fn name<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token {
        Token::Name(name) => Some(name),
        Token::Sign(_) | Token::Text(_) => None,
    }
}

/// The word of the list that it is.
fn one_of(list: &[&'static str], word: &str) -> Option<&'static str> {
    list.iter().copied().find(|known| known.eq_ignore_ascii_case(word))
}

fn tokens(text: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = |count: usize| rest.get(count..).unwrap_or_default();
        let past =
            |end: &str, from: usize| after(from).find(end).map_or("", |at| after(from + at + end.len()));
        rest = match c {
            _ if rest.starts_with("--") => past("\n", 2),
            '#' if dialect == Dialect::Mariadb => past("\n", 1),
            // MariaDB runs what stands in such a comment.
            '/' if dialect == Dialect::Mariadb && (rest.starts_with("/*!") || rest.starts_with("/*M!")) => {
                after(3).trim_start_matches(|c: char| c == '!' || c.is_ascii_digit())
            }
            '/' if rest.starts_with("/*") => past("*/", 2),
            '\'' | '"' | '`' => {
                let (inner, rest) = quoted(after(1), c, dialect);
                // Double quotes are a text in MariaDB, unless told otherwise: as a name it matters no more.
                tokens.push(if c == '\'' { Token::Text(inner) } else { Token::Name(inner) });
                rest
            }
            '$' if dialect == Dialect::Postgres => dollar(rest).unwrap_or(after(1)),
            _ if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '$')));
                let (word, rest) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
                tokens.push(Token::Name(word));
                rest
            }
            _ => {
                if !c.is_whitespace() {
                    tokens.push(Token::Sign(c));
                }
                after(c.len_utf8())
            }
        };
    }
    tokens
}

/// Up to the quote that ends it; two of them are one that does not.
fn quoted(text: &str, quote: char, dialect: Dialect) -> (&str, &str) {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && dialect == Dialect::Mariadb {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        }
    }
    (text, "")
}

/// What follows `$tag$…$tag$`, if it is one.
fn dollar(text: &str) -> Option<&str> {
    let end = text.get(1..)?.find('$')? + 2;
    let (tag, rest) = text.split_at_checked(end)?;
    tag.trim_matches('$').chars().all(|c| c.is_alphanumeric() || c == '_').then_some(())?;
    Some(rest.find(tag).map_or("", |at| rest.get(at + tag.len()..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_in_words_of_ours() {
        for (statement, words) in [
            ("select * from t", "SELECT"),
            ("/* hi */ -- x\n SELECT 1", "SELECT"),
            ("alter role eve with superuser login", "ALTER ROLE SUPERUSER"),
            ("ALTER ROLE eve NOSUPERUSER", "ALTER ROLE"),
            ("CREATE USER eve PASSWORD 's3cr3t superuser'", "CREATE USER"),
            (
                "create or replace function f() returns int as $x$ alter role eve superuser $x$",
                "CREATE FUNCTION",
            ),
            ("GRANT pg_read_all_data TO eve", "GRANT"),
            ("COPY (SELECT a FROM t) TO STDOUT", "COPY TO"),
            ("copy t from stdin", "COPY FROM"),
            ("COPY t TO PROGRAM 'curl'", "COPY TO PROGRAM"),
            ("SET log_statement = 'none'", "SET log_statement (less is logged)"),
            ("SET log_statement TO \"all\"", "SET log_statement"),
            ("set \"pgaudit.log\" = none", "SET pgaudit.log (less is logged)"),
            ("SET search_path = x", "SET"),
            ("ALTER SYSTEM RESET log_statement", "ALTER SYSTEM SET log_statement (less is logged)"),
            ("ALTER ROLE eve SET pgaudit.log = 'none'", "ALTER ROLE SET pgaudit.log (less is logged)"),
            (
                "SELECT set_config('log_statement', 'none', false)",
                "SELECT set_config log_statement (less is logged)",
            ),
            ("DROP EXTENSION pgaudit", "DROP EXTENSION pgaudit (less is logged)"),
            ("SELECT 1; alter role eve superuser", "ALTER ROLE SUPERUSER"),
            ("SELECT a FROM t ORDER BY a LIMIT 10 OFFSET 20", "SELECT OFFSET"),
            ("DO $$ BEGIN SET log_statement = none; END $$", "DO"),
        ] {
            assert_eq!(told(statement, Dialect::Postgres).as_deref(), Some(words), "{statement}");
        }
        for (statement, words) in [
            ("SELECT /*!40001 SQL_NO_CACHE */ `a` FROM `t`", "SELECT SQL_NO_CACHE"),
            ("SELECT 'it\\'s' INTO OUTFILE '/tmp/x' FROM t", "SELECT INTO OUTFILE"),
            ("SELECT 'into outfile' FROM t", "SELECT"),
            ("UNINSTALL SONAME 'server_audit.so'", "UNINSTALL PLUGIN server_audit (less is logged)"),
            ("SET @@GLOBAL.server_audit_logging=OFF", "SET server_audit_logging (less is logged)"),
            ("set global server_audit_logging = on", "SET server_audit_logging"),
            ("# x\nSET PASSWORD FOR eve = 'y'", "SET PASSWORD"),
        ] {
            assert_eq!(told(statement, Dialect::Mariadb).as_deref(), Some(words), "{statement}");
        }
        for statement in ["", "s3cr3t", "'x", "$$", "/*", "🎉 \\", "😀';"] {
            assert_eq!(told(statement, Dialect::Postgres), None, "{statement}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_or_is_kept(text in "[\\PC'\"`$;/*! -]{0,60}", which in 0..2) {
            let dialect = if which == 0 { Dialect::Mariadb } else { Dialect::Postgres };
            let text = format!("ALTER ROLE {text} s3cr3t");
            let told = told(&text, dialect);
            proptest::prop_assert!(told.is_none_or(|words| !words.contains("s3cr3t")));
        }
    }
}
