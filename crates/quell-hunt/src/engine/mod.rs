//! Hunts where the logs already are: a query for somebody else's engine, and its result read again.
//!
//! The engine only filters: it gives the records that have one of the ids in them, with the object and place that they are from.
//! What a record says is read by the same code as in a hunt of our own. What the engine looked at cannot be counted here, so
//! such a hunt never proves an absence.

mod rows;
mod sql;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::rows::{Answer, RowsError, read};
pub use self::sql::{QueryError, write};

/// An engine that people have their logs in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Amazon Athena (<https://docs.aws.amazon.com/athena/latest/ug/ddl-sql-reference.html>).
    Athena,
    /// Google BigQuery (<https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax>).
    Bigquery,
    /// ClickHouse, clickhouse-local and chDB (<https://clickhouse.com/docs/sql-reference/table-functions/s3>).
    Clickhouse,
    /// Trino with its Hive connector (<https://trino.io/docs/current/connector/hive.html>).
    Trino,
}

impl Engine {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Athena => "Athena",
            Self::Bigquery => "BigQuery",
            Self::Clickhouse => "ClickHouse",
            Self::Trino => "Trino",
        }
    }
}

/// How records lie in objects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layout {
    /// CloudTrail's documents, in its folders.
    Cloudtrail,
    /// A record a line.
    Lines,
}

/// What is asked of an engine.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which.
    pub engine: Engine,
    /// How the records lie.
    pub layout: Layout,
    /// Where: `s3://…` or `gs://…`, or a folder for an engine on this machine, down to the folder that holds `AWSLogs` or the files.
    pub location: String,
    /// The name of the table that is made, for engines that need one.
    pub table: String,
    /// Public ids. A value must not be among them: the engine keeps its queries.
    pub ids: Vec<String>,
    /// The window, for CloudTrail's folders.
    pub from: Option<Timestamp>,
    /// See above.
    pub to: Option<Timestamp>,
    /// Only these accounts.
    pub accounts: Vec<String>,
    /// Only these regions.
    pub regions: Vec<String>,
}

/// Who answered, for the evidence.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Source {
    /// The engine.
    pub engine: Engine,
    /// Its own id of the run (Athena's `QueryExecutionId`, BigQuery's job id), by which its owner can show what it read.
    pub query_id: String,
    /// SHA-256 of the query's text in hex, if it was given.
    pub query_sha256: Option<String>,
    /// SHA-256 of the result as it was read, in hex.
    pub rows_sha256: String,
    /// Rows in it.
    pub rows: u64,
}
