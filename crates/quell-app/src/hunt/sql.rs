//! SQL over what a hunt found: the report as tables of a database that lives in memory and cannot be written to.

use quell_hunt::report::Report;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    Column as _, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
    SqliteConnection, Statement as _, TypeInfo as _, ValueRef as _,
};

use crate::AppError;

/// The tables. Times are text in RFC 3339, UTC, so that they sort; `reads` is 0, 1 or null.
pub const TABLES: &str = "\
CREATE TABLE access (id INTEGER PRIMARY KEY, time TEXT, credential TEXT, role TEXT, action TEXT, resource TEXT, actor TEXT,
    address TEXT, agent TEXT, outcome TEXT, detail TEXT, reads INTEGER, format TEXT, account TEXT, region TEXT, request TEXT,
    bytes INTEGER, object TEXT, place INTEGER, sha256 TEXT) STRICT;
CREATE TABLE made (access INTEGER REFERENCES access, kind TEXT, id TEXT) STRICT;
CREATE TABLE followed (id TEXT, kind TEXT, made_with TEXT, at TEXT, uses INTEGER) STRICT;
CREATE TABLE anomaly (id TEXT PRIMARY KEY, detector TEXT, weight TEXT, title TEXT, credential TEXT, first TEXT, last TEXT,
    decision TEXT, reason TEXT) STRICT;
CREATE TABLE anomaly_access (anomaly TEXT REFERENCES anomaly, access INTEGER REFERENCES access) STRICT;
CREATE TABLE gap (stream TEXT, first TEXT, last TEXT, strength TEXT, why TEXT) STRICT;
CREATE TABLE problem (object TEXT, fate TEXT, why TEXT) STRICT;";

/// Rows that a question gave.
#[derive(Debug, Default)]
pub struct Answer {
    /// Names of columns.
    pub columns: Vec<String>,
    /// Their values: null, numbers, text; blobs as hex.
    pub rows: Vec<Vec<Value>>,
}

/// Asks a question of a report.
///
/// # Errors
/// What SQLite says of the question; writing is one of the things that it refuses.
pub async fn ask(report: &Report<'_>, question: &str) -> Result<Answer, AppError> {
    let wrong = |error: sqlx::Error| AppError::Usage(format!("SQL: {error}"));
    let mut db = load(report).await.map_err(wrong)?;
    sqlx::query("PRAGMA query_only = 1").execute(&mut db).await.map_err(wrong)?;
    let statement = db.prepare(sqlx::AssertSqlSafe(question).into_sql_str()).await.map_err(wrong)?;
    let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let rows = statement.query().fetch_all(&mut db).await.map_err(wrong)?;
    let answer = Answer { columns, rows: rows.iter().map(values).collect() };
    db.close().await.map_err(wrong)?;
    Ok(answer)
}

fn values(row: &SqliteRow) -> Vec<Value> {
    (0..row.len()).map(|at| value(row, at)).collect()
}

/// By what the value is, since SQLite's columns have no types of their own.
fn value(row: &SqliteRow, at: usize) -> Value {
    let Ok(raw) = row.try_get_raw(at) else { return Value::Null };
    if raw.is_null() {
        return Value::Null;
    }
    match raw.type_info().name() {
        "INTEGER" => row.try_get::<i64, _>(at).map(Value::from),
        "REAL" => row.try_get::<f64, _>(at).map(Value::from),
        "BLOB" => row.try_get::<Vec<u8>, _>(at).map(|bytes| Value::from(hex::encode(bytes))),
        _ => row.try_get::<String, _>(at).map(Value::from),
    }
    .unwrap_or(Value::Null)
}

async fn load(report: &Report<'_>) -> Result<SqliteConnection, sqlx::Error> {
    let mut db = SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await?;
    sqlx::raw_sql(TABLES).execute(&mut db).await?;
    let mut all = db.begin().await?;
    for (id, it) in (0_i64..).zip(&report.hunt.accesses) {
        sqlx::query("INSERT INTO access VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
            .bind(id)
            .bind(it.time.map(|time| time.to_string()))
            .bind(&it.credential)
            .bind(it.role.word())
            .bind(&it.action)
            .bind(&it.resource)
            .bind(&it.actor)
            .bind(&it.address)
            .bind(&it.agent)
            .bind(it.outcome.word())
            .bind(it.outcome.detail())
            .bind(it.reads)
            .bind(it.format.word())
            .bind(&it.account)
            .bind(&it.region)
            .bind(&it.request)
            .bind(it.bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
            .bind(&it.object)
            .bind(i64::try_from(it.place).unwrap_or(i64::MAX))
            .bind(&it.sha256)
            .execute(&mut *all)
            .await?;
        for made in &it.made {
            let row = sqlx::query("INSERT INTO made VALUES (?,?,?)").bind(id).bind(made.kind.word());
            row.bind(&made.id).execute(&mut *all).await?;
        }
    }
    for it in &report.hunt.followed {
        let row = sqlx::query("INSERT INTO followed VALUES (?,?,?,?,?)").bind(&it.id).bind(it.kind.word());
        let row = row.bind(&it.made_with).bind(it.at.map(|at| at.to_string()));
        row.bind(i64::try_from(it.uses).unwrap_or(i64::MAX)).execute(&mut *all).await?;
    }
    for it in report.anomalies {
        let said = report.asked.knowledge.standing(it).words();
        sqlx::query("INSERT INTO anomaly VALUES (?,?,?,?,?,?,?,?,?)")
            .bind(&it.id)
            .bind(it.detector)
            .bind(it.weight.word())
            .bind(&it.title)
            .bind(&it.credential)
            .bind(it.from.map(|at| at.to_string()))
            .bind(it.to.map(|at| at.to_string()))
            .bind(said.map(|(word, _)| word))
            .bind(said.map(|(_, reason)| reason))
            .execute(&mut *all)
            .await?;
        for record in &it.records {
            let row = sqlx::query("INSERT INTO anomaly_access VALUES (?,?)").bind(&it.id);
            row.bind(i64::try_from(*record).unwrap_or(i64::MAX)).execute(&mut *all).await?;
        }
    }
    for it in &report.hunt.gaps {
        let row = sqlx::query("INSERT INTO gap VALUES (?,?,?,?,?)").bind(&it.stream);
        let row = row.bind(it.from.to_string()).bind(it.to.to_string());
        row.bind(it.strength.word()).bind(&it.why).execute(&mut *all).await?;
    }
    for it in &report.hunt.coverage.problems {
        let row = sqlx::query("INSERT INTO problem VALUES (?,?,?)").bind(&it.object);
        row.bind(it.fate.word()).bind(it.fate.why()).execute(&mut *all).await?;
    }
    all.commit().await?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use quell_hunt::hunt::Hunt;
    use quell_hunt::report::saved::Saved;

    use super::*;

    fn saved() -> Saved {
        let access = |time: &str, action: &str, address: &str| {
            serde_json::json!({
                "time": time, "format": "cloudtrail", "object": "o", "place": 1, "credential": "AKIAPLANTED",
                "role": "used", "actor": null, "action": action, "resource": null, "address": address,
                "agent": "x'; DROP TABLE access; --", "outcome": "allowed", "reads": true, "request": null,
                "account": null, "region": null, "made": [{"kind": "key", "id": "AKIAMADE"}], "sha256": "00"
            })
        };
        let hunt = serde_json::json!({
            "accesses": [access("2026-03-02T10:00:00Z", "iam:CreateAccessKey", "203.0.113.7"),
                access("2026-03-03T10:00:00Z", "s3:GetObject", "203.0.113.8")],
            "followed": [], "searched": [], "coverage": quell_hunt::object::Coverage::default(), "gaps": [],
            "digests": null, "span": null, "passes": 1, "closed": true, "stopped": false, "shard": null, "missing": []
        });
        let hunt: Hunt = serde_json::from_value(hunt).unwrap();
        Saved::new(quell_hunt::report::Asked::default(), hunt)
    }

    async fn ask_saved(question: &str) -> Result<Answer, AppError> {
        let saved = saved();
        let opinion = saved.opinion();
        ask(&saved.report(&opinion), question).await
    }

    #[tokio::test]
    async fn records_are_rows() {
        let answer = ask_saved(
            "SELECT action, count(*) AS n, agent FROM access JOIN made ON access = access.id
             WHERE time < '2026-03-03' GROUP BY action",
        )
        .await
        .unwrap();
        assert_eq!(answer.columns, ["action", "n", "agent"]);
        let row: [Value; 3] = ["iam:CreateAccessKey".into(), 1.into(), "x'; DROP TABLE access; --".into()];
        assert_eq!(answer.rows, [row]);
        let types = ask_saved("SELECT NULL, 1.5, x'00ff', reads FROM access LIMIT 1").await.unwrap();
        assert_eq!(types.rows, [[Value::Null, 1.5.into(), "00ff".into(), 1.into()]]);
        let anomalies =
            ask_saved("SELECT a.detector FROM anomaly a JOIN anomaly_access x ON x.anomaly = a.id").await;
        assert!(!anomalies.unwrap().rows.is_empty());
    }

    #[tokio::test]
    async fn nothing_can_be_changed() {
        for question in ["DELETE FROM access", "CREATE TABLE x (y)", "INSERT INTO gap VALUES (1,2,3,4,5)"] {
            let error = ask_saved(question).await.unwrap_err().to_string();
            assert!(error.contains("readonly"), "{error}");
        }
        let error = ask_saved("SELECT x FROM nowhere").await.unwrap_err().to_string();
        assert!(error.contains("no such table: nowhere"), "{error}");
    }
}
