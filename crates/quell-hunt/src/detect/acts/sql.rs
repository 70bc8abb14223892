//! PostgreSQL and MariaDB, by the words that [`crate::format`] makes of a statement.
//!
//! * <https://www.postgresql.org/docs/current/sql-commands.html>, <https://github.com/pgaudit/pgaudit>,
//!   <https://mariadb.com/docs/server/reference/plugins/mariadb-audit-plugin/mariadb-audit-plugin-options-and-system-variables>.
//! * `pg_dump` says its name as `application_name`; `mariadb-dump` reads every table with `SQL_NO_CACHE`:
//!   <https://mariadb.com/docs/server/clients-and-utilities/backup-restore-and-import-clients/mariadb-dump>.
//! * Which of them matter: own.

use super::Act;

/// Beginnings of what makes or changes accounts and rights.
const LASTS: [&str; 11] = [
    "ALTER DEFAULT PRIVILEGES",
    "ALTER GROUP",
    "ALTER ROLE",
    "ALTER USER",
    "CREATE EVENT",
    "CREATE GROUP",
    "CREATE ROLE",
    "CREATE SUBSCRIPTION",
    "CREATE USER",
    "GRANT",
    "SET PASSWORD",
];

pub(super) fn does(act: Act, words: &str, program: &str) -> bool {
    let begins =
        |start: &str| words.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let blinds = words.ends_with(" (less is logged)");
    match act {
        Act::Blinds => blinds,
        // Its every statement is of a dump.
        Act::Dumps => {
            ["COPY TO", "SELECT INTO OUTFILE", "SELECT SQL_NO_CACHE"].iter().any(|start| begins(start))
                || matches!(program, "pg_dump" | "pg_dumpall" | "pg_basebackup")
        }
        Act::Lasts => !blinds && LASTS.iter().any(|start| begins(start)),
        Act::MayLast => {
            ["CREATE EXTENSION", "CREATE FUNCTION", "INSTALL PLUGIN"].iter().any(|start| begins(start))
        }
        Act::Pages => words == "SELECT OFFSET",
        Act::Rules => {
            ["ALTER SYSTEM", "COPY FROM PROGRAM", "COPY TO PROGRAM"].iter().any(|start| begins(start))
        }
        Act::AsksWho
        | Act::Clones
        | Act::Derives
        | Act::Fetches
        | Act::Looks
        | Act::ReadsSecret
        | Act::Unguards => false,
    }
}
