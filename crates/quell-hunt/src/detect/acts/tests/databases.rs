//! Statements of SQL.

use super::*;

const ROLE: &str = "orders_app";

fn mariadb(seconds: i64, statement: &str) -> String {
    let time = at(seconds).strftime("%Y%m%d %H:%M:%S").to_string();
    let statement = statement.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{time},db1,{ROLE},203.0.113.9,4,{seconds},QUERY,orders,'{statement}',0")
}

fn postgres(seconds: i64, tag: &str, program: &str, message: &str) -> [String; 2] {
    let time = at(seconds).strftime("%Y-%m-%d %H:%M:%S.123 UTC").to_string();
    let json = serde_json::json!({"timestamp": time, "user": ROLE, "dbname": "orders", "pid": 77, "remote_host": "203.0.113.9",
        "session_id": "69a55a20.4d", "ps": tag, "error_severity": "LOG", "state_code": "00000", "message": message,
        "application_name": program, "backend_type": "client backend"});
    let message = message.replace('"', "\"\"");
    let csv = format!(
        "{time},\"{ROLE}\",\"orders\",77,\"203.0.113.9:50000\",69a55a20.4d,2,\"{tag}\",2026-03-02 00:00:00 UTC,3/4,0,LOG,00000,\"{message}\",,,,,,,,,\"{program}\",\"client backend\",,0"
    );
    [json.to_string(), csv]
}

#[test]
fn planted_mariadb() {
    let mut lines = vec![mariadb(0, "SELECT 1"), mariadb(1, "UPDATE t SET a = 1")];
    lines.push(mariadb(10, "CREATE USER 'eve'@'%' IDENTIFIED BY 'x'"));
    lines.push(mariadb(11, "GRANT ALL ON *.* TO 'eve'@'%'"));
    lines.push(mariadb(3_000, "UNINSTALL PLUGIN server_audit"));
    lines.push(mariadb(3_001, "SET GLOBAL server_audit_logging = 'OFF'"));
    lines.push(mariadb(6_000, "SELECT /*!40001 SQL_NO_CACHE */ `a` FROM `t`"));
    lines.push(mariadb(9_000, "SELECT a INTO OUTFILE '/tmp/it\\'s' FROM t"));
    lines.extend(
        (0..10).map(|n| mariadb(12_000 + n, &format!("select a from t order by a limit 100 offset {n}00"))),
    );
    let log = read(Format::Mariadb, ROLE, &lines);
    assert_eq!(who(&log), ["bulk-export", "defence-evasion", "pagination", "persistence", "privilege-climb"]);
    insta::assert_snapshot!(titles(&log), @r"
    low privilege-climb: `203.0.113.9` read first (`SELECT`), then wrote (`UPDATE`), then called `CREATE USER`
    high persistence: `CREATE USER` was called once: what it made outlives the credential
    high persistence: `GRANT` was called once: what it made outlives the credential
    high defence-evasion: `UNINSTALL PLUGIN server_audit (less is logged)` was called once: later logs may be blind
    high defence-evasion: `SET server_audit_logging (less is logged)` was called once: later logs may be blind
    medium bulk-export: `SELECT SQL_NO_CACHE` copied data out, once
    medium bulk-export: `SELECT INTO OUTFILE` copied data out, once
    low pagination: `SELECT OFFSET` was called 10 times in a row on the same thing, as one reads pages
    ");
}

#[test]
fn planted_postgres() {
    let planted = [
        (0, "SELECT", "app", "statement: SELECT 1"),
        (1, "INSERT", "app", "execute <unnamed>: INSERT INTO t VALUES ($1)"),
        (
            10,
            "ALTER ROLE",
            "psql",
            "AUDIT: SESSION,1,1,ROLE,ALTER ROLE,,,alter role eve with superuser,<not logged>",
        ),
        (11, "CREATE ROLE", "psql", "AUDIT: SESSION,2,1,ROLE,CREATE ROLE,,,<not logged>,<not logged>"),
        (12, "GRANT ROLE", "psql", "duration: 1.2 ms  statement: GRANT pg_read_all_data TO eve"),
        (3_000, "SET", "psql", "statement: SET log_statement = 'none'"),
        (3_001, "ALTER SYSTEM", "psql", "statement: ALTER SYSTEM SET \"pgaudit.log\" = none"),
        (6_000, "COPY", "psql", "statement: COPY (SELECT * FROM t) TO STDOUT"),
        (9_000, "SELECT", "pg_dump", "statement: SELECT pg_catalog.set_config('search_path', '', false)"),
    ];
    let lines = planted.map(|(seconds, tag, program, message)| postgres(seconds, tag, program, message));
    for (format, at) in [(Format::PostgresJson, 0), (Format::PostgresCsv, 1)] {
        let lines: Vec<String> = lines.iter().map(|both| both[at].clone()).collect();
        let log = read(format, ROLE, &lines);
        assert_eq!(who(&log), ["bulk-export", "defence-evasion", "persistence", "privilege-climb"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(titles(&log), @r"
            low privilege-climb: `203.0.113.9` read first (`SELECT`), then wrote (`INSERT`), then called `ALTER ROLE SUPERUSER`
            medium persistence: `ALTER ROLE SUPERUSER` was called once, and the log does not say whether it was done
            medium persistence: `CREATE ROLE` was called once, and the log does not say whether it was done
            high persistence: `GRANT` was called once: what it made outlives the credential
            high defence-evasion: `SET log_statement (less is logged)` was called once, and the log does not say whether it was done
            high defence-evasion: `ALTER SYSTEM SET pgaudit.log (less is logged)` was called once, and the log does not say whether it was done
            medium bulk-export: `COPY TO` copied data out, once
            medium bulk-export: `pg_dump` copied data out, once
            ");
        }
    }
}

#[test]
fn clean() {
    let statements = [
        ("SELECT", "SELECT 'create user eve', 'set log_statement = none'"),
        ("INSERT", "INSERT INTO t VALUES ('grant all', 'into outfile')"),
        ("UPDATE", "UPDATE users SET role = 'superuser'"),
        ("CREATE TABLE", "CREATE TABLE role_user (a int)"),
        ("SET", "SET search_path = shop"),
    ];
    let mut logs: [Vec<String>; 3] = Default::default();
    for (n, (tag, statement)) in statements.into_iter().cycle().take(60).enumerate() {
        let seconds = n.try_into().unwrap();
        let [json, csv] = postgres(seconds, tag, "app", &format!("statement: {statement}"));
        logs[0].push(json);
        logs[1].push(csv);
        logs[2].push(mariadb(seconds, statement));
    }
    logs[0].push(postgres(90, "COPY", "app", "statement: COPY t FROM STDIN")[0].clone());
    for (format, lines) in [Format::PostgresJson, Format::PostgresCsv, Format::Mariadb].into_iter().zip(logs)
    {
        assert_eq!(titles(&read(format, ROLE, &lines)), "", "{format:?}");
    }
}
