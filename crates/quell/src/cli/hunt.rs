//! The arguments of `quell hunt`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use quell_hunt::shard::Shard;
use quell_hunt::verdict::Owner;

use super::scan::time;

const WHAT: &str = "What to look for";
const WHERE: &str = "Where and when";
const KNOWN: &str = "What you know";
const SAY: &str = "Output";

/// Find every use of a leaked credential in audit logs, and say whether it was used
///
/// Reads folders and files: CloudTrail, Vault and OpenBao audit, access logs and any other text, plain,
/// gzip or zstd. Sessions, keys and tokens that the credential made are followed. Every object is
/// accounted for: what could not be read is said, and never taken for "no use". Writes nothing but the
/// verdict, and that only with --record.
///
/// Exit codes: 0 no evidence of use and the logs are complete, 10 it was used or likely used, 11 the
/// logs are incomplete or it cannot be told.
///
/// Examples:
///   quell hunt INC-2026-0007 --logs ./logs/aws --record
///   quell hunt --id AKIAEXAMPLEEXAMPLE01 --logs ./logs/aws --exposed 2026-03-01 --known 198.51.100.0/24
///   quell hunt --value-file - --logs /var/log/nginx < leaked-token
///   quell hunt --vault ADDRESS --value-file leaked --logs audit.log
///   quell hunt --id AKIAEXAMPLEEXAMPLE01 --logs ./logs --shard 0/8 --format json -o 0.json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct HuntArgs {
    #[command(subcommand)]
    pub(crate) command: Option<HuntCommand>,
    /// The incident: its compromised values are looked for, from its first exposure on
    pub(crate) incident: Option<String>,
    /// Folders and files with logs, and buckets: `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER`, `az://CONTAINER/FOLDER`
    #[arg(long, required = true, num_args = 1.., value_name = "PATH", help_heading = WHERE)]
    pub(crate) logs: Vec<PathBuf>,
    /// A public id of the credential: an access key id, an accessor, an HMAC of `sys/audit-hash`; repeat for several
    #[arg(long, value_name = "ID", help_heading = WHAT)]
    pub(crate) id: Vec<String>,
    /// A file with the value itself, looked for in all common spellings and as SHA-256; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    pub(crate) value_file: Option<PathBuf>,
    /// Ask this OpenBao or Vault for the HMACs of the values in its audit logs, with the token of `BAO_TOKEN`,
    /// `VAULT_TOKEN` or `~/.vault-token` [default: what the inventory says, for a secret of an incident that is issued or kept there]
    #[arg(long, value_name = "ADDRESS", help_heading = WHAT)]
    pub(crate) vault: Option<String>,
    /// Ask for this audit device only; repeat for several [default: all, which needs `sudo` on `sys/audit`]
    #[arg(long, value_name = "NAME", help_heading = WHAT)]
    pub(crate) vault_device: Vec<String>,
    /// Leave out what happened before this time or day (RFC 3339, or such as 2026-05-01, UTC)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = WHERE)]
    pub(crate) from: Option<Timestamp>,
    /// Leave out what happened after
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = WHERE)]
    pub(crate) to: Option<Timestamp>,
    /// Only objects of this account, as far as names tell; repeat for several
    #[arg(long, value_name = "ACCOUNT", help_heading = WHERE)]
    pub(crate) account: Vec<String>,
    /// Only objects of this region, as far as names tell; repeat for several
    #[arg(long, value_name = "REGION", help_heading = WHERE)]
    pub(crate) region: Vec<String>,
    /// Only this part of the objects, for machines that share a hunt: from 0/N to N-1/N
    #[arg(long, value_name = "I/N", help_heading = WHERE)]
    pub(crate) shard: Option<Shard>,
    /// Also look for what the leaked credential made, as this report (JSON) found it
    #[arg(long, value_name = "REPORT", help_heading = WHAT)]
    pub(crate) follow: Option<PathBuf>,
    /// The zone of times in logs that name none, such as MariaDB's (Europe/Berlin); without it these have no time
    #[arg(long, value_name = "ZONE", value_parser = zone, help_heading = KNOWN)]
    pub(crate) zone: Option<TimeZone>,
    /// How logs are read that no format knows: a TOML file, see docs/reference/hunt-mapping.md
    #[arg(long, value_name = "FILE", help_heading = KNOWN)]
    pub(crate) map: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) owner: HuntOwnerArgs,
    /// Data about to whom addresses are registered: CSV of ip-location-db or `MaxMind` DB, files or folders; repeat for several
    #[arg(long, num_args = 1.., value_name = "PATH", help_heading = KNOWN)]
    pub(crate) geo: Vec<PathBuf>,
    /// Public keys of CloudTrail's digests, as `aws cloudtrail list-public-keys` prints them: who signed them is checked
    #[arg(long, num_args = 1.., value_name = "FILE", help_heading = KNOWN)]
    pub(crate) digest_keys: Vec<PathBuf>,
    /// A file with the key that `TradePulse` signs its records with (HMAC): their signatures are checked; repeat for a key before
    #[arg(long, value_name = "FILE", help_heading = KNOWN)]
    pub(crate) record_key_file: Vec<PathBuf>,
    /// You say that every log that could tell of a use is there, with data events where reads are logged apart
    #[arg(long, help_heading = KNOWN)]
    pub(crate) all_logs: bool,
    /// Write the verdict and the whole report into the incident
    #[arg(long, requires = "incident", help_heading = SAY)]
    pub(crate) record: bool,
    /// Name each object with a hit by the SHA-256 of its bytes, as --record and --shard do by themselves: those of a large log
    /// take longer than its search
    #[arg(long, help_heading = SAY)]
    pub(crate) hash: bool,
    /// Only say how much would be read
    #[arg(long, help_heading = SAY, conflicts_with = "record")]
    pub(crate) estimate: bool,
    /// Read more than 100,000 objects or 50 GB from buckets without asking
    #[arg(long, help_heading = WHERE)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) say: HuntOutput,
    /// Keep in this file what each object gave, and go on from it when it is there: after a stop, or for another window
    #[arg(long, value_name = "FILE", help_heading = WHERE, conflicts_with = "estimate")]
    pub(crate) resume: Option<PathBuf>,
    /// Threads that search at the same time [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = WHERE)]
    pub(crate) threads: Option<u16>,
}

/// What the owner of the credential knows.
#[derive(Args, Debug)]
pub(crate) struct HuntOwnerArgs {
    /// When the exposure began [default: what the incident says]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = KNOWN)]
    pub(crate) exposed: Option<Timestamp>,
    /// When the credential was killed: a use after that is told
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = KNOWN)]
    pub(crate) revoked: Option<Timestamp>,
    /// An address or network of yours (198.51.100.0/24): uses from elsewhere are somebody else's; repeat for several
    #[arg(long, value_name = "ADDRESS", value_parser = known, help_heading = KNOWN)]
    pub(crate) known: Vec<String>,
}

/// How a report goes out.
#[derive(Args, Debug)]
pub(crate) struct HuntOutput {
    /// Say what is otherwise than in this earlier report (JSON) [default: the incident's newest]
    #[arg(long, value_name = "REPORT", help_heading = SAY)]
    pub(crate) compare: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = HuntFormat::Text, help_heading = SAY)]
    pub(crate) format: HuntFormat,
    /// Into this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = SAY)]
    pub(crate) output: Option<PathBuf>,
}

/// What can be done with hunts that are done.
#[derive(Debug, Subcommand)]
pub(crate) enum HuntCommand {
    Merge(HuntMergeArgs),
    Query(HuntQueryArgs),
    Result(HuntResultArgs),
    Show(HuntShowArgs),
    Sql(HuntSqlArgs),
    Triage(HuntTriageArgs),
}

/// Put the reports of shards together
///
/// Each object counts once, and the counts add up. A shard that is not there, and a credential that one shard
/// found and another did not look for, are said and keep the verdict from being "complete": run that shard again
/// with --follow and the merged report.
///
/// Exit codes: as of a hunt.
///
/// Examples:
///   quell hunt merge 0.json 1.json 2.json --format json -o all.json
///   quell hunt merge shards/*.json --incident INC-2026-0007 --record
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntMergeArgs {
    /// Reports in JSON, one of each shard
    #[arg(required = true, value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,
    /// The incident
    #[arg(long, value_name = "INCIDENT")]
    pub(crate) incident: Option<String>,
    /// Write the verdict and the whole report into the incident
    #[arg(long, requires = "incident", help_heading = SAY)]
    pub(crate) record: bool,
    #[command(flatten)]
    pub(crate) say: HuntOutput,
}

/// Write the query for an engine where the logs already are
///
/// Prints SQL that gives every record with one of the ids in it, after the statement that makes a table over the
/// raw objects where the engine needs one. Only public ids: an engine keeps its queries. Run it there, save the
/// result as JSON lines or as CSV with its header, and read it with `quell hunt result`.
///
/// Examples:
///   quell hunt query --engine athena --id AKIAEXAMPLEEXAMPLE01 --logs URL --from 2026-03-01 --to 2026-03-09 --account 111122223333 --region eu-west-1 -o hunt.sql
///   quell hunt query --engine clickhouse --id AKIAEXAMPLEEXAMPLE01 --logs URL
///   quell hunt query --engine trino --lines --id hmac-sha256:5f9c0d6e --logs URL --follow round1.json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntQueryArgs {
    #[command(flatten)]
    pub(crate) asked: HuntAskedArgs,
    /// A record a line, instead of CloudTrail's documents
    #[arg(long)]
    pub(crate) lines: bool,
    /// The table that is made, for Athena, BigQuery and Trino
    #[arg(long, value_name = "TABLE", default_value = "quell_hunt")]
    pub(crate) table: String,
    /// Events before are not wanted: whole days are left out, with a slop of an hour
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Events after are not wanted: whole days are left out, with a slop of a day
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
    /// Only this account; repeat for several
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Vec<String>,
    /// Only this region; repeat for several
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// Into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What an engine is asked for, in the query and in its result.
#[derive(Args, Debug)]
pub(crate) struct HuntAskedArgs {
    /// The engine
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub(crate) engine: HuntEngine,
    /// A public id of the credential; repeat for several
    #[arg(long, value_name = "ID", required = true)]
    pub(crate) id: Vec<String>,
    /// Also what the leaked credential made, as this report (JSON) found it
    #[arg(long, value_name = "REPORT")]
    pub(crate) follow: Option<PathBuf>,
    /// Where the logs lie, as the engine knows it: the folder that holds `AWSLogs`, or the files
    #[arg(long, value_name = "URL")]
    pub(crate) logs: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum HuntEngine {
    /// Amazon Athena
    Athena,
    /// Google BigQuery
    Bigquery,
    /// ClickHouse, clickhouse-local and chDB
    Clickhouse,
    /// Trino with its Hive connector
    Trino,
}

/// Read what an engine answered, as a hunt
///
/// The records are read as in a hunt of our own; the engine, its id of the run and the hashes of query and
/// result go into the report. What the engine looked at is not known, so "no evidence" is never "complete".
///
/// Exit codes: as of a hunt.
///
/// Example:
///   quell hunt result rows.csv --engine athena --query-id 0f3c2a7e --query hunt.sql --id AKIAEXAMPLEEXAMPLE01 --logs URL
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntResultArgs {
    /// The result: JSON lines, or CSV with a header; columns object, place and record
    pub(crate) rows: PathBuf,
    #[command(flatten)]
    pub(crate) asked: HuntAskedArgs,
    /// The engine's own id of the run
    #[arg(long, value_name = "ID")]
    pub(crate) query_id: String,
    /// The query that was run
    #[arg(long, value_name = "FILE")]
    pub(crate) query: Option<PathBuf>,
    /// The incident
    #[arg(long, value_name = "INCIDENT")]
    pub(crate) incident: Option<String>,
    #[command(flatten)]
    pub(crate) owner: HuntOwnerArgs,
    /// Write the verdict and the whole report into the incident
    #[arg(long, requires = "incident", help_heading = SAY)]
    pub(crate) record: bool,
    #[command(flatten)]
    pub(crate) say: HuntOutput,
}

/// A report that is there already.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct HuntReport {
    /// A report in JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// The newest that was written into this incident
    #[arg(long, value_name = "INCIDENT")]
    pub(crate) incident: Option<String>,
}

/// Print a report again, in any format
///
/// Example:
///   quell hunt show --incident INC-2026-0007 --format csv -o timeline.csv
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntShowArgs {
    #[command(flatten)]
    pub(crate) source: HuntReport,
    #[command(flatten)]
    pub(crate) say: HuntOutput,
}

/// Ask questions of what a hunt found, in SQL (SQLite)
///
/// The report is loaded into a database in memory. Tables: access (one row a record), made, followed, anomaly,
/// `anomaly_access`, gap, problem. Times are text in UTC. Nothing can be written.
///
/// Examples:
///   quell hunt sql --incident INC-2026-0007 "SELECT address, count(*) FROM access GROUP BY 1 ORDER BY 2 DESC"
///   quell hunt sql --report hunt.json "SELECT * FROM followed"
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntSqlArgs {
    /// One statement
    pub(crate) question: String,
    #[command(flatten)]
    pub(crate) source: HuntReport,
    /// Rows as CSV instead of a table
    #[arg(long)]
    pub(crate) csv: bool,
}

/// Say what a finding of a hunt is: the owner's own doing, or a stranger's
///
/// Without a finding, lists those of the newest hunt. What is said is kept for later hunts, too; a finding that
/// was called benign and has other records later has to be looked at again. The verdict is worked out again at
/// once; what a confirmed finding made becomes action items with the steps that remove it.
///
/// Examples:
///   quell hunt triage INC-2026-0007
///   quell hunt triage INC-2026-0007 3fa9c1d2 --benign "the nightly backup, see its job log"
///   quell hunt triage INC-2026-0007 77b0e4aa --confirmed "nobody of ours has this address"
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntTriageArgs {
    /// The incident
    pub(crate) incident: String,
    /// The finding, as the report names it
    #[arg(requires = "decision")]
    pub(crate) finding: Option<String>,
    /// The owner did it; why that is known
    #[arg(long, value_name = "REASON", group = "decision", requires = "finding")]
    pub(crate) benign: Option<String>,
    /// A stranger did it; why that is known
    #[arg(long, value_name = "REASON", group = "decision", requires = "finding")]
    pub(crate) confirmed: Option<String>,
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text)
        .map_err(|_error| "there is no such zone; use a name such as UTC or Europe/Berlin".to_owned())
}

fn known(text: &str) -> Result<String, String> {
    Owner::check(text).map(|()| text.trim().to_owned())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum HuntFormat {
    /// For people: the verdict first
    Text,
    /// One JSON object with everything
    Json,
    /// The timeline, one row a record
    Csv,
    /// One page for a browser, which loads and runs nothing: the verdict, a plot of the uses, and all lists
    Html,
    /// Events of OCSF 1.8.0, one JSON object a line, for a SIEM
    Ocsf,
    /// The timeline in columns, for databases; needs -o or a pipe
    Parquet,
}
