//! The public parts of a connection URL.

use super::{Details, put};
use crate::engine::Match;

/// Schemes whose path names a database or a virtual host.
const DATABASES: &[&str] = &[
    "amqp",
    "clickhouse",
    "cockroachdb",
    "mariadb",
    "mongodb",
    "mssql",
    "mysql",
    "postgres",
    "redis",
    "sqlserver",
];

/// Host, port and database: what follows the password of `scheme://user:password@host:port/database`.
pub(super) fn connection(bytes: &[u8], found: &Match, all: &mut Details) {
    let Some(password) = &found.password else { return };
    let text = |range| bytes.get(range).and_then(|part| std::str::from_utf8(part).ok());
    let Some(before) = text(found.secret.start..password.start) else { return };
    let Some(after) = text(password.end..found.secret.end).and_then(|rest| rest.strip_prefix('@')) else {
        return;
    };
    let scheme = before.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let Some((authority, path)) = after.split_at_checked(end) else { return };
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()));
    let (host, port) = port.unwrap_or((authority, ""));
    if host.contains('@') {
        return; // More of the password than the rule saw.
    }
    put(all, "host", host);
    put(all, "port", port);
    let database = path.strip_prefix('/').and_then(|path| path.split(['/', '?', '#']).next());
    if DATABASES.iter().any(|known| scheme.starts_with(known)) {
        put(all, "database", database.unwrap_or_default());
    }
}
