//! Tables as the database itself describes them, so that a new one is carried without a word here.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction};

use crate::{Db, StoreError};

/// Rows read at a time.
const PAGE: usize = 200;

/// What a column holds. There are no others: a migration that brings one fails a test, and a backup refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Bytes,
    Int,
    Text,
}

/// One field of a row.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Value {
    #[serde(rename = "b")]
    Bytes(String),
    #[serde(rename = "i")]
    Int(i64),
    #[serde(rename = "n")]
    Null,
    #[serde(rename = "t")]
    Text(String),
}

/// A table: its columns in order, and the places of those that make the primary key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
    key: Vec<usize>,
}

/// A transaction on one of two databases.
#[derive(Debug)]
pub(super) enum Tx {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

// What is computed from entries is not carried: it is computed anew.
const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
    AND name <> '_sqlx_migrations' AND name NOT LIKE 'projection%' ORDER BY name";
const SQLITE_COLUMNS: &str = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
const POSTGRES_TABLES: &str = "SELECT table_name::text FROM information_schema.tables \
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations' \
    AND table_name NOT LIKE 'projection%' ORDER BY table_name::text COLLATE \"C\"";
const POSTGRES_COLUMNS: &str = "SELECT c.column_name::text, c.data_type::text, \
    COALESCE((SELECT array_position(i.indkey::int2[], a.attnum)::bigint + 1 FROM pg_index i \
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = c.column_name AND a.attnum = ANY (i.indkey) \
        WHERE i.indrelid = format('%I.%I', c.table_schema, c.table_name)::regclass AND i.indisprimary), 0) \
    FROM information_schema.columns c WHERE c.table_schema = current_schema() AND c.table_name = $1 \
    ORDER BY c.ordinal_position";

impl Tx {
    /// Sees one moment, whatever others write meanwhile, and holds nobody up.
    pub(super) async fn snapshot(db: &Db) -> Result<Self, StoreError> {
        Ok(match db {
            Db::Sqlite(pool, _) => Self::Sqlite(pool.begin().await?),
            Db::Postgres(pool) => {
                let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                // A slow disk on our side is no reason to end it.
                sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *tx).await?;
                Self::Postgres(tx)
            }
        })
    }

    /// Excludes every other writer until it ends.
    pub(super) async fn write(db: &Db) -> Result<Self, StoreError> {
        Ok(match db {
            Db::Sqlite(pool, _) => Self::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let sql = "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(7020094)";
                sqlx::raw_sql(sql).execute(&mut *tx).await?;
                Self::Postgres(tx)
            }
        })
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// All tables but those of the migrations, by name.
    pub(super) async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let names: Vec<String> = match self {
            Self::Sqlite(tx) => sqlx::query_scalar(SQLITE_TABLES).fetch_all(&mut **tx).await?,
            Self::Postgres(tx) => sqlx::query_scalar(POSTGRES_TABLES).fetch_all(&mut **tx).await?,
        };
        let mut tables = Vec::new();
        for name in names {
            type Column = (String, String, i64);
            let columns: Vec<Column> = match self {
                Self::Sqlite(tx) => sqlx::query_as(SQLITE_COLUMNS).bind(&name).fetch_all(&mut **tx).await?,
                Self::Postgres(tx) => {
                    sqlx::query_as(POSTGRES_COLUMNS).bind(&name).fetch_all(&mut **tx).await?
                }
            };
            tables.push(table(name, columns)?);
        }
        Ok(tables)
    }

    /// The next rows in the order of the primary key, which is the same in both databases: bytes, not a language's.
    pub(super) async fn page(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let sql = AssertSqlSafe(table.select(matches!(self, Self::Postgres(_)), after.is_some()));
        let key = after.map(|row| table.key_of(row)).unwrap_or_default();
        match self {
            Self::Sqlite(tx) => {
                let mut query = sqlx::query(sql);
                for value in key {
                    query = match value {
                        Value::Bytes(text) => query.bind(bytes(&text)?),
                        Value::Int(number) => query.bind(number),
                        Value::Null => query.bind(None::<i64>),
                        Value::Text(text) => query.bind(text),
                    };
                }
                let rows = query.fetch_all(&mut **tx).await?;
                rows.iter().map(|row| from_sqlite(row, table)).collect()
            }
            Self::Postgres(tx) => {
                let mut query = sqlx::query(sql);
                for value in key {
                    query = match value {
                        Value::Bytes(text) => query.bind(bytes(&text)?),
                        Value::Int(number) => query.bind(number),
                        Value::Null => query.bind(None::<i64>),
                        Value::Text(text) => query.bind(text),
                    };
                }
                let rows = query.fetch_all(&mut **tx).await?;
                rows.iter().map(|row| from_postgres(row, table)).collect()
            }
        }
    }

    pub(super) async fn insert(&mut self, table: &Table, row: &[Value]) -> Result<(), StoreError> {
        let fits = row.len() == table.columns.len()
            && row.iter().zip(&table.columns).all(|(value, (_, kind))| value.fits(*kind));
        if !fits {
            return Err(StoreError::Backup(format!("a row does not fit the table `{}`", table.name)));
        }
        let sql = AssertSqlSafe(table.insert());
        match self {
            Self::Sqlite(tx) => {
                let mut query = sqlx::query(sql);
                for (value, (_, kind)) in row.iter().zip(&table.columns) {
                    query = match (value, kind) {
                        (Value::Bytes(text), _) => query.bind(bytes(text)?),
                        (Value::Int(number), _) => query.bind(*number),
                        (Value::Text(text), _) => query.bind(text.clone()),
                        (Value::Null, Kind::Bytes) => query.bind(None::<Vec<u8>>),
                        (Value::Null, Kind::Int) => query.bind(None::<i64>),
                        (Value::Null, Kind::Text) => query.bind(None::<String>),
                    };
                }
                query.execute(&mut **tx).await?;
            }
            Self::Postgres(tx) => {
                let mut query = sqlx::query(sql);
                for (value, (_, kind)) in row.iter().zip(&table.columns) {
                    query = match (value, kind) {
                        (Value::Bytes(text), _) => query.bind(bytes(text)?),
                        (Value::Int(number), _) => query.bind(*number),
                        (Value::Text(text), _) => query.bind(text.clone()),
                        (Value::Null, Kind::Bytes) => query.bind(None::<Vec<u8>>),
                        (Value::Null, Kind::Int) => query.bind(None::<i64>),
                        (Value::Null, Kind::Text) => query.bind(None::<String>),
                    };
                }
                query.execute(&mut **tx).await?;
            }
        }
        Ok(())
    }

    /// Lets an embedded database refuse every later write to any table, whoever it is by.
    pub(super) async fn freeze(&mut self) -> Result<(), StoreError> {
        let tables = self.tables().await?;
        let Self::Sqlite(tx) = self else { return Ok(()) };
        for table in tables {
            for write in ["INSERT", "UPDATE", "DELETE"] {
                let sql = format!(
                    "CREATE TRIGGER \"moved_{0}_{write}\" BEFORE {write} ON \"{0}\" \
                     BEGIN SELECT RAISE(ABORT, 'this installation was moved'); END",
                    table.name
                );
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await?;
            }
        }
        Ok(())
    }

    /// The newest signed checkpoint.
    pub(super) async fn checkpoint(&mut self) -> Result<String, StoreError> {
        const SQL: &str = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1";
        let note: Option<String> = match self {
            Self::Sqlite(tx) => sqlx::query_scalar(SQL).fetch_optional(&mut **tx).await?,
            Self::Postgres(tx) => sqlx::query_scalar(SQL).fetch_optional(&mut **tx).await?,
        };
        note.ok_or_else(|| StoreError::Backup("the ledger has no checkpoint".to_owned()))
    }

    /// A row of `meta`; none removes it.
    pub(super) async fn set_meta(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        const SET: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        const UNSET: &str = "DELETE FROM meta WHERE name = $1";
        let sql = if value.is_some() { SET } else { UNSET };
        match self {
            Self::Sqlite(tx) => {
                let query = sqlx::query(sql).bind(name);
                let query = if let Some(value) = value { query.bind(value) } else { query };
                query.execute(&mut **tx).await?;
            }
            Self::Postgres(tx) => {
                let query = sqlx::query(sql).bind(name);
                let query = if let Some(value) = value { query.bind(value) } else { query };
                query.execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

fn table(name: String, described: Vec<(String, String, i64)>) -> Result<Table, StoreError> {
    let mut key: Vec<(i64, usize)> = Vec::new();
    let mut columns = Vec::new();
    for (place, (column, described, in_key)) in described.into_iter().enumerate() {
        let kind = match described.to_ascii_uppercase().as_str() {
            "BIGINT" => Kind::Int,
            "TEXT" => Kind::Text,
            "BLOB" | "BYTEA" => Kind::Bytes,
            _ => {
                let why = format!("the column `{name}.{column}` is {described}, which no backup can carry");
                return Err(StoreError::Backup(why));
            }
        };
        if in_key > 0 {
            key.push((in_key, place));
        }
        columns.push((column, kind));
    }
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, place)| place).collect();
    // What has no key has no order, and what has no order has no hash.
    if key.is_empty() {
        return Err(StoreError::Backup(format!("the table `{name}` has no primary key")));
    }
    Ok(Table { name, columns, key })
}

impl Table {
    pub(super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().filter_map(|place| row.get(*place).cloned()).collect()
    }

    fn select(&self, postgres: bool, after: bool) -> String {
        let ordered: Vec<String> = self
            .key
            .iter()
            .filter_map(|place| self.columns.get(*place))
            .map(|(name, kind)| {
                let by_bytes = if postgres && *kind == Kind::Text { " COLLATE \"C\"" } else { "" };
                format!("\"{name}\"{by_bytes}")
            })
            .collect();
        let list = ordered.join(", ");
        let marks: Vec<String> = (1..=ordered.len()).map(|n| format!("${n}")).collect();
        let from = if after { format!(" WHERE ({list}) > ({})", marks.join(", ")) } else { String::new() };
        let columns: Vec<String> = self.names().iter().map(|name| format!("\"{name}\"")).collect();
        format!("SELECT {} FROM \"{}\"{from} ORDER BY {list} LIMIT {PAGE}", columns.join(", "), self.name)
    }

    fn insert(&self) -> String {
        let columns: Vec<String> = self.names().iter().map(|name| format!("\"{name}\"")).collect();
        let marks: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
        format!("INSERT INTO \"{}\" ({}) VALUES ({})", self.name, columns.join(", "), marks.join(", "))
    }
}

impl Value {
    fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Bytes(_) => kind == Kind::Bytes,
            Self::Int(_) => kind == Kind::Int,
            Self::Null => true,
            Self::Text(_) => kind == Kind::Text,
        }
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        Self::Bytes(base64::engine::general_purpose::STANDARD.encode(bytes))
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, StoreError> {
    use base64::Engine as _;
    let wrong = |_e| StoreError::Backup("a field does not hold Base64".to_owned());
    base64::engine::general_purpose::STANDARD.decode(text).map_err(wrong)
}

fn from_sqlite(row: &SqliteRow, table: &Table) -> Result<Vec<Value>, StoreError> {
    let field = |(place, (_, kind)): (usize, &(String, Kind))| {
        Ok(match kind {
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(place)?.map(|bytes| Value::of_bytes(&bytes)),
            Kind::Int => row.try_get::<Option<i64>, _>(place)?.map(Value::Int),
            Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Value::Text),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(field).collect()
}

fn from_postgres(row: &PgRow, table: &Table) -> Result<Vec<Value>, StoreError> {
    let field = |(place, (_, kind)): (usize, &(String, Kind))| {
        Ok(match kind {
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(place)?.map(|bytes| Value::of_bytes(&bytes)),
            Kind::Int => row.try_get::<Option<i64>, _>(place)?.map(Value::Int),
            Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Value::Text),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(field).collect()
}
