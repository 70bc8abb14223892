//! Every statement that the connector sends.
//!
//! Quoting must mean the same whatever `sql_mode` is (`ANSI_QUOTES`, `NO_BACKSLASH_ESCAPES`): names stand in backticks, texts as
//! hexadecimal literals (<https://mariadb.com/kb/en/hexadecimal-literals/>, <https://mariadb.com/kb/en/identifier-names/>).

use super::account::Method;

/// Who was let in, and the server's time.
pub(super) const WHOAMI: &str = "SELECT CURRENT_USER(), CONNECTION_ID(), UNIX_TIMESTAMP(NOW(6)), VERSION()";

/// When the server started is its time less its uptime, both of the same clock.
pub(super) const NOW: &str = "SELECT CONNECTION_ID(), UNIX_TIMESTAMP(NOW(6)), VARIABLE_VALUE \
     FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'";

/// Servers whose sessions we do not see.
pub(super) const OTHERS: &str = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
     WHERE VARIABLE_NAME IN ('WSREP_CLUSTER_SIZE', 'SLAVES_CONNECTED')";

/// Whether hashes are refused, and how many plugins judge passwords. (Beside an aggregate over `PLUGINS`, `@@GLOBAL` reads 0 on 10.11.)
pub(super) const STRICT: &str = "SELECT VARIABLE_VALUE, (SELECT COUNT(*) FROM information_schema.PLUGINS \
     WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE') \
     FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'STRICT_PASSWORD_VALIDATION'";

/// Transactions that outlive their session; the server does not tell whose they are.
pub(super) const PREPARED: &str = "XA RECOVER";

/// What the administrator may do.
pub(super) const GRANTS: &str = "SHOW GRANTS";

/// Bounds our own statements, so that one that waits for a lock cannot take effect after we gave up.
pub(super) fn limit(seconds: u64) -> String {
    let seconds = seconds.max(1);
    format!("SET SESSION lock_wait_timeout = {seconds}, max_statement_time = {seconds}")
}

/// All accounts of a user's name, whatever their host.
pub(super) fn accounts(user: &str) -> String {
    format!("SELECT Host, Priv FROM mysql.global_priv WHERE User = {}", text(user))
}

/// Sessions of a user's name, and logins that have not told their name yet.
pub(super) fn sessions(user: &str) -> String {
    format!(
        "SELECT ID, USER = {0} FROM information_schema.PROCESSLIST \
         WHERE USER IN ({0}, 'unauthenticated user') AND ID <> CONNECTION_ID()",
        text(user)
    )
}

/// Events that go on by themselves as the user.
pub(super) fn events(user: &str) -> String {
    let definer = text(&format!("{user}@"));
    format!(
        "SELECT COUNT(*) FROM information_schema.EVENTS \
         WHERE STATUS = 'ENABLED' AND LEFT(DEFINER, CHAR_LENGTH({definer})) = {definer}"
    )
}

pub(super) fn kill(id: u64) -> String {
    format!("KILL CONNECTION {id}")
}

/// Replaces all of an account's methods in one statement; `None` if one of them cannot be written down.
pub(super) fn identify(user: &str, host: &str, methods: &[Method]) -> Option<String> {
    let each = methods.iter().map(Method::sql).collect::<Option<Vec<_>>>()?;
    let methods = each.join(" OR ");
    Some(format!("ALTER USER {}@{} IDENTIFIED VIA {methods}", name(user), name(host)))
}

/// Quotes a name. MariaDB knows no name with a zero byte; the configuration refuses such names, here the byte is left out.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('\0', "").replace('`', "``"))
}

fn text(text: &str) -> String {
    format!("X'{}'", hex::encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(name("a`b'\\\0"), "`a``b'\\`");
        assert_eq!(text("it's"), "X'69742773'");
        let (old, new) = (Method::native(format!("*{}", "A".repeat(40))), Method::unusable());
        let sql = identify("o`r", "10.%", &[old, new]).unwrap();
        let hash = "A".repeat(40);
        assert_eq!(
            sql,
            format!(
                "ALTER USER `o``r`@`10.%` IDENTIFIED VIA `mysql_native_password` USING '*{hash}' \
                 OR `mysql_native_password` USING 'invalid'"
            )
        );
        let odd = Method::native("x' OR 'y".to_owned());
        assert_eq!(identify("a", "%", &[odd]), None);
        assert_eq!(limit(0), limit(1));
    }
}
