//! The arguments of `quell hunt`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
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
///   quell hunt --id "$(bao write -field=hash sys/audit-hash/file input=@leaked)" --logs audit.log
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct HuntArgs {
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
    /// When the exposure began [default: what the incident says]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = KNOWN)]
    pub(crate) exposed: Option<Timestamp>,
    /// When the credential was killed: a use after that is told
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = KNOWN)]
    pub(crate) revoked: Option<Timestamp>,
    /// An address or network of yours (198.51.100.0/24): uses from elsewhere are somebody else's; repeat for several
    #[arg(long, value_name = "ADDRESS", value_parser = known, help_heading = KNOWN)]
    pub(crate) known: Vec<String>,
    /// You say that every log that could tell of a use is there, with data events where reads are logged apart
    #[arg(long, help_heading = KNOWN)]
    pub(crate) all_logs: bool,
    /// Write the verdict and the whole report into the incident
    #[arg(long, requires = "incident", help_heading = SAY)]
    pub(crate) record: bool,
    /// Only say how much would be read
    #[arg(long, help_heading = SAY, conflicts_with = "record")]
    pub(crate) estimate: bool,
    /// Read more than 100,000 objects or 50 GB from buckets without asking
    #[arg(long, help_heading = WHERE)]
    pub(crate) yes: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = HuntFormat::Text, help_heading = SAY)]
    pub(crate) format: HuntFormat,
    /// Into this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = SAY)]
    pub(crate) output: Option<PathBuf>,
    /// Threads that search at the same time [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = WHERE)]
    pub(crate) threads: Option<u16>,
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
}
