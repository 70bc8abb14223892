//! The arguments of `quell scan` and `quell rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use quell_scan::Range;

const WHAT: &str = "What to scan";
const HOW: &str = "What to look for";
const IGNORE: &str = "What to leave out";
const SAY: &str = "Output";

/// Find secrets in a folder, a git history or standard input
///
/// A git repository is read whole: working tree, every ref, unreachable commits too. No value is
/// printed or stored.
///
/// Exit codes: 0 nothing found and everything read, 10 something found, 11 nothing found but
/// something was not read.
///
/// Examples:
///   quell scan .
///   kubectl logs deploy/api | quell scan -
///   quell scan --known /srv/backups          where else are the values of the inventory?
///   quell scan --format sarif -o scan.sarif .
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ScanArgs {
    /// Folder, repository or file; `-` is standard input
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Only the files, not the history
    #[arg(long, help_heading = WHAT)]
    pub(crate) no_git: bool,
    /// Only commits at or after this time or day (RFC 3339, or such as 2026-05-01, UTC)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = WHAT, conflicts_with = "no_git")]
    pub(crate) since: Option<Timestamp>,
    /// Only commits that this branch reaches; repeat for several
    #[arg(long, value_name = "NAME", help_heading = WHAT, conflicts_with = "no_git")]
    pub(crate) branch: Vec<String>,
    /// Only these commits: `A..B`, `A...B` or `B`, such as `origin/main..HEAD`; repeat for several
    #[arg(long, value_name = "RANGE", help_heading = WHAT, conflicts_with = "no_git")]
    pub(crate) commits: Vec<Range>,
    /// Only what is staged and not in HEAD, for a pre-commit hook. Opens no installation, writes nothing
    #[arg(long, help_heading = WHAT, conflicts_with_all = ["since", "branch", "commits", "no_git", "known", "pre_receive"])]
    pub(crate) staged: bool,
    /// Only what a push brings: reads `old new ref` lines on stdin, for a pre-receive hook. Opens no installation
    #[arg(long, help_heading = WHAT, conflicts_with_all = ["since", "branch", "commits", "no_git", "known"])]
    pub(crate) pre_receive: bool,
    /// Look for the values of the inventory's secrets, in all common spellings, instead of what the rules describe
    #[arg(long, help_heading = HOW)]
    pub(crate) known: bool,
    /// Rule files or folders (gitleaks-compatible TOML) instead of the built-in rules
    #[arg(long, value_name = "PATH", help_heading = HOW, conflicts_with = "known")]
    pub(crate) rules: Vec<PathBuf>,
    /// Only this rule; repeat for several (`quell rules list`)
    #[arg(long, value_name = "ID", help_heading = HOW, conflicts_with = "known")]
    pub(crate) rule: Vec<String>,
    /// Without this rule; repeat for several
    #[arg(long, value_name = "ID", help_heading = HOW, conflicts_with = "known")]
    pub(crate) disable_rule: Vec<String>,
    /// Threads that search at the same time [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = HOW)]
    pub(crate) threads: Option<u16>,
    /// How deep archives in archives are unpacked; 0 unpacks none [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=16), help_heading = HOW)]
    pub(crate) archive_depth: Option<u8>,
    /// Search every object of a history in full, not only where it differs from its base; finds the same, takes longer
    #[arg(long, help_heading = HOW)]
    pub(crate) full: bool,
    /// Report what comments (`quell:allow`, `gitleaks:allow`, …) except, too
    #[arg(long, help_heading = IGNORE)]
    pub(crate) no_ignore: bool,
    /// Ignore the values that this file accepts, wherever they are
    #[arg(long, value_name = "FILE", help_heading = IGNORE)]
    pub(crate) baseline: Option<PathBuf>,
    /// Accept every value that is found: add it to this file, with --reason
    #[arg(long, value_name = "FILE", requires = "reason", help_heading = IGNORE)]
    pub(crate) write_baseline: Option<PathBuf>,
    /// Why the values of --write-baseline are accepted
    #[arg(long, value_name = "TEXT", requires = "write_baseline", help_heading = IGNORE)]
    pub(crate) reason: Option<String>,
    /// Ignore the places in this file (`.gitleaksignore`: `commit:file:rule:line` or `file:rule:line`)
    #[arg(long, value_name = "FILE", help_heading = IGNORE)]
    pub(crate) ignore_file: Option<PathBuf>,
    /// How to print the result [default: table, or json with --json]
    #[arg(long, value_enum, help_heading = SAY)]
    pub(crate) format: Option<ScanFormat>,
    /// Write the result here (0600), whole or not at all, instead of to stdout
    #[arg(long, short, value_name = "FILE", help_heading = SAY)]
    pub(crate) output: Option<PathBuf>,
    /// Exit with this code when something is found, instead of 10
    #[arg(long, value_name = "N", help_heading = SAY)]
    pub(crate) exit_code: Option<u8>,
    /// No progress, no summary, no hints; warnings and errors only
    #[arg(long, short, help_heading = SAY)]
    pub(crate) quiet: bool,
    /// Do not record findings in the ledger
    #[arg(long, help_heading = SAY)]
    pub(crate) no_record: bool,
}

impl ScanArgs {
    /// True for the scans of hooks: fast, and nothing but the repository is opened.
    pub(crate) fn in_hook(&self) -> bool {
        self.staged || self.pre_receive
    }
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    // A `Date` is also read from a time without a zone, of which the time would be lost.
    let is_day = text.len() == "2026-05-01".len();
    let day = || text.parse::<Date>().ok().filter(|_| is_day)?.to_zoned(TimeZone::UTC).ok();
    match (text.parse::<Timestamp>(), day()) {
        (Ok(time), _) => Ok(time),
        (Err(_), Some(day)) => Ok(day.timestamp()),
        (Err(_), None) => Err("a time as 2026-05-01T12:00:00Z or a day as 2026-05-01".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ScanFormat {
    /// For people: one entry a value, with all its places
    Table,
    /// One JSON object
    Json,
    /// One finding a line, and a last line about the scan
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// What gitleaks writes, redacted
    Gitleaks,
    /// Annotations of GitHub Actions
    Github,
    /// One page to pass on or print
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// All rules: id, kind, description
    List {
        /// Rule files or folders instead of the built-in rules
        #[arg(long, value_name = "PATH")]
        rules: Vec<PathBuf>,
    },
    /// One rule: what it matches, where the format is published
    Show {
        /// Which rule
        id: String,
        /// Rule files or folders instead of the built-in rules
        #[arg(long, value_name = "PATH")]
        rules: Vec<PathBuf>,
    },
    /// Check a rule file of yours: it loads, every example matches, no non-example does
    Check {
        /// Rule files or folders
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}
