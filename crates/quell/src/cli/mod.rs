//! The command line. Doc comments are the help texts.

mod finding;
mod hunt;
mod intake;
mod inventory;
mod kill;
mod ledger;
mod list;
mod notice;
mod plan;
mod post_mortem;
mod scan;
mod serve;
mod session;
mod state;
mod task;

use std::path::PathBuf;

use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};

pub(crate) use finding::{FindingCommand, FindingListArgs, FindingSaysArg, FindingTriageArgs};
pub(crate) use hunt::{
    HuntArgs, HuntAskedArgs, HuntCommand, HuntEngine, HuntFormat, HuntMergeArgs, HuntOutput, HuntQueryArgs,
    HuntReport, HuntResultArgs, HuntShowArgs, HuntSqlArgs, HuntTriageArgs,
};
pub(crate) use intake::IntakeCommand;
pub(crate) use inventory::{GraphFormat, InventoryCommand, TightenArgs};
pub(crate) use kill::{KillArgs, ProviderCommand};
pub(crate) use ledger::{EvidenceCommand, IssueArgs, KeysCommand, LedgerCommand, ReportArgs, Since};
pub(crate) use list::ListArgs;
pub(crate) use notice::{EditArgs, NoticeArg, NoticeCommand, SendArgs};
pub(crate) use plan::{ApproveArgs, PauseArgs, PlanArgs, PlanFormat, RespondArgs, ResumeArgs, StepCommand};
pub(crate) use post_mortem::PostMortemArgs;
pub(crate) use scan::{RulesCommand, ScanArgs, ScanFormat};
pub(crate) use serve::{LogFormat, LogLevel, PersonCommand, ServeArgs, TokenCommand};
pub(crate) use session::{GlassCommand, SessionCommand};
pub(crate) use state::{BackupArgs, MoveArgs, RestoreArgs};
pub(crate) use task::{TaskArg, TaskCommand};

use crate::cli_gate::{GateCommand, RedactArgs};

/// Take a leaked secret from finding to proven inert, with evidence a stranger can verify
///
/// The main path, with a leak in a git repository:
///
///   quell scan PATH                      what leaked, where, since when
///   quell incident open --finding F-…    declare it; severity and clocks start
///   quell plan INC-2026-0001             what will happen, in which order, and why
///   quell respond INC-2026-0001          do it; ask for approvals; survive crashes
///   quell hunt INC-2026-0001 --logs …    was it used? what the audit logs say
///   quell report INC-2026-0001           the post-mortem
///   quell evidence export INC-2026-0001  one file for a stranger
///
/// See all of it in a sandbox, with nothing installed: `quell drill`.
#[derive(Debug, Parser)]
#[command(name = "quell", version, max_term_width = 110, arg_required_else_help = true, verbatim_doc_comment)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The words that name the command: `incident task add`.
pub(crate) fn words(found: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut at = found.subcommand();
    while let Some((word, rest)) = at {
        words.push(word);
        at = rest.subcommand();
    }
    words.join(" ")
}

#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Folder with all state: ledger, sealed values, keys
    #[arg(long, global = true, env = "QUELL_DATA_DIR", value_name = "DIR", help_heading = "Global options")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The inventory: a YAML file or a folder of them
    #[arg(
        long,
        global = true,
        env = "QUELL_INVENTORY",
        value_name = "PATH",
        default_value = "quell.yaml",
        help_heading = "Global options"
    )]
    pub(crate) inventory: PathBuf,
    /// Address of a server that does the work instead of this machine, such as `https://quell.example.com`
    #[arg(long, global = true, env = "QUELL_SERVER", value_name = "URL", help_heading = "Global options")]
    pub(crate) server: Option<String>,
    /// File with the token that the server knows you by
    #[arg(
        long,
        global = true,
        env = "QUELL_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// File whose content is a postgres:// URL for state shared by a team; without it, SQLite in the data folder
    #[arg(
        long,
        global = true,
        env = "QUELL_DATABASE_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) database_file: Option<PathBuf>,
    /// File with the passphrase, when keys are sealed under one
    #[arg(
        long,
        global = true,
        env = "QUELL_PASSPHRASE_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Who is acting; recorded with everything you decide. Default: the login name
    #[arg(
        long = "as",
        global = true,
        env = "QUELL_ACTOR",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) actor: Option<String>,
    /// Longest time for one call to an outside system, in seconds
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600), value_name = "SECONDS", help_heading = "Global options")]
    pub(crate) call_limit: u64,
    /// One JSON object on stdout instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a data folder, keys and a commented inventory
    Init(InitArgs),
    /// Say whether everything that Quell needs is there
    Doctor,
    Scan(Box<ScanArgs>),
    Ingest(IngestArgs),
    #[command(subcommand)]
    Finding(FindingCommand),
    /// Deliveries of webhooks: list, show, retry; take one in from files
    #[command(subcommand)]
    Intake(IntakeCommand),
    /// List the rules of the scanner, check your own
    #[command(subcommand)]
    Rules(RulesCommand),
    Redact(RedactArgs),
    #[command(subcommand)]
    Gate(GateCommand),
    /// Check the inventory, draw what a secret opens
    #[command(subcommand)]
    Inventory(InventoryCommand),
    /// Open, look at, change and close incidents
    #[command(subcommand)]
    Incident(IncidentCommand),
    #[command(subcommand)]
    Notice(NoticeCommand),
    Hunt(Box<HuntArgs>),
    Kill(Box<KillArgs>),
    /// Providers of keys: list, show, check your own
    #[command(subcommand)]
    Provider(ProviderCommand),
    Plan(PlanArgs),
    Respond(RespondArgs),
    /// Approve steps of exactly the plan that you looked at
    Approve(ApproveArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    /// Decide about a single step
    #[command(subcommand)]
    Step(StepCommand),
    /// Prove again, now, that every old value is dead; say when the answer changed
    Verify(IncidentArg),
    /// Write the post-mortem
    Report(ReportArgs),
    /// Export and verify evidence bundles
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Verify the ledger, show its checkpoint
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Rotate Quell's own keys
    #[command(subcommand)]
    Keys(KeysCommand),
    Backup(BackupArgs),
    Restore(RestoreArgs),
    Move(MoveArgs),
    /// Issue a short-lived database credential from OpenBao
    Issue(IssueArgs),
    Drill(DrillArgs),
    Serve(ServeArgs),
    /// Who may sign in to the server
    #[command(subcommand)]
    Person(PersonCommand),
    /// Tokens that programs sign in to the server with
    #[command(subcommand)]
    Token(TokenCommand),
    #[command(subcommand)]
    Session(SessionCommand),
    #[command(subcommand)]
    BreakGlass(GlassCommand),
    /// How fast leaks end here: times to first response, to contain and to proof; clocks that run or were missed
    ///
    /// Example:
    ///   quell numbers --json
    #[command(verbatim_doc_comment)]
    Numbers,
    /// Print the description of the server's API (OpenAPI 3.1)
    Openapi,
    /// Print a shell completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    #[command(hide = true)]
    SandboxConsumer(SandboxConsumerArgs),
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Seal keys under a passphrase instead of a key file
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Put the key file here instead of into the data folder
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    Open(Box<OpenArgs>),
    List(ListArgs),
    /// One incident: severity and why, clocks, secrets, steps
    Show(IncidentArg),
    /// One line for each secret: inert, not inert, or nobody can tell; why, and where it stands
    Secrets(IncidentArg),
    /// Secrets that lie where those of the incident lay, with reasons; you decide whether they belong to it
    Adjacent(IncidentArg),
    /// It is also about these secrets, and about everything that they open
    Add {
        /// Which incident
        id: String,
        /// A secret of the inventory; repeat for several
        #[arg(long, value_name = "ID", required = true)]
        secret: Vec<String>,
        /// Why they belong to it
        #[arg(long)]
        reason: String,
    },
    /// Everything that happened, in order
    Timeline(IncidentArg),
    /// Record evidence that changes the severity
    Signal {
        /// Which incident
        id: String,
        /// public, live, not-live, used-by-unknown, log-gap, store-node-compromised, kms-key-compromised, repeated-failed-auth, unconfirmed
        signal: String,
        /// What it rests on
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say whether it was used: used, likely, no-evidence-logs-complete, no-evidence-logs-incomplete, cannot-tell
    Verdict {
        /// Which incident
        id: String,
        /// The verdict
        verdict: String,
        /// What it rests on
        #[arg(long)]
        reason: String,
    },
    /// Override the strategy of the next plan
    Strategy {
        /// Which incident
        id: String,
        /// Which
        #[arg(value_enum)]
        strategy: StrategyArg,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Accept closing without proof for one secret; you are named
    Exception {
        /// Which incident
        id: String,
        /// Which secret
        secret: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// State that a place where it leaked was unlocked by hand
    Unlocked {
        /// Which incident
        id: String,
        /// The channel of the inventory
        channel: String,
        /// How, and how you know
        #[arg(long)]
        reason: String,
    },
    /// Give up the successor of a secret: it leaked, too, or does not do. It counts as compromised, and a new plan makes another
    ///
    /// Never the way back to the leaked value. Example:
    ///   quell incident distrust INC-2026-0001 orders-db --reason "printed in a CI log" && quell plan INC-2026-0001 --again
    #[command(verbatim_doc_comment)]
    Distrust {
        /// Which incident
        id: String,
        /// Which secret
        secret: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Add a remark; counts as an update
    Note {
        /// Which incident
        id: String,
        /// The remark
        text: String,
    },
    /// Record that a message was deleted or history rewritten (hygiene; never containment)
    Cleaned {
        /// Which incident
        id: String,
        /// What was cleaned
        what: String,
    },
    /// Add something to do afterwards
    Action {
        /// Which incident
        id: String,
        /// What is to be done
        title: String,
        /// Who does it
        #[arg(long)]
        owner: String,
        /// Until when, a date
        #[arg(long)]
        due: String,
        /// The gate that it ships: pre-commit, pre-push, pre-receive, redact, env. Only `quell gate prove` closes it then
        #[arg(long)]
        gate: Option<String>,
    },
    /// An action item is done, with what shows it
    ActionDone {
        /// Which incident
        id: String,
        /// Which item, such as A1
        item: String,
        /// What shows it
        #[arg(long)]
        evidence: String,
    },
    /// Take a role in the response, or give it to somebody
    Role {
        /// Which incident
        id: String,
        /// commander, scribe, communications or service-owner
        role: String,
        /// Who has it from now on; you if not given
        person: Option<String>,
    },
    PostMortem(PostMortemArgs),
    #[command(subcommand)]
    Task(TaskCommand),
    /// Close it, if everything is proven
    Close {
        /// Which incident
        id: String,
        /// In a line
        #[arg(long, default_value = "")]
        summary: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StrategyArg {
    Auto,
    KillFirst,
    MakeBeforeBreak,
}

/// Declare an incident, from a finding or by hand
///
/// The value is never asked for on the command line. If you have it, give it with --value-file;
/// it is sealed and used to prove that it is dead. A finding's value is read again from where it
/// was found.
///
/// Examples:
///   quell incident open --finding F-1a2b3c4d5e6f
///   quell incident open --secret orders-db --channel ci-log --audience internal
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct OpenArgs {
    /// A recorded finding (see `quell scan`)
    #[arg(long, value_name = "ID")]
    pub(crate) finding: Option<String>,
    /// A secret of the inventory; repeat for several
    #[arg(long, value_name = "ID")]
    pub(crate) secret: Vec<String>,
    /// public-repo, private-repo, ci-log, chat, error-page, support-log, local-commit, unknown
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// nobody, few (2 to 5 people), internal, public
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// When somebody could first see it (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) first_exposed: Option<jiff::Timestamp>,
    /// When you learnt of it (RFC 3339); default: now
    #[arg(long, value_name = "TIME")]
    pub(crate) discovered: Option<jiff::Timestamp>,
    /// Whether it can still be seen there
    #[arg(long, value_name = "BOOL")]
    pub(crate) still_visible: Option<bool>,
    /// Where it was seen, in words
    #[arg(long, default_value = "")]
    pub(crate) place: String,
    /// The channel of the inventory in which it leaked: the plan locks it, preserves what it shows, and unlocks it
    #[arg(long = "in", value_name = "NAME")]
    pub(crate) channel_name: Option<String>,
    /// In a line
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// File with the leaked value; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
}

/// Take over findings of other tools; open or join incidents
///
/// Reads reports of betterleaks, detect-secrets, GitHub secret scanning (REST), `GitGuardian`, GitLab, gitleaks,
/// Kingfisher, trufflehog, and SARIF of any tool. Findings are put together by secret and matched to the
/// inventory by value (or by its hash). For a secret that is known, the open incident about it gets the new
/// exposures, or a new incident is opened; for others you are told how to open one. Taking the same report
/// over again changes nothing. No value is recorded; one that opens an incident is sealed for the proof.
///
/// Examples:
///   quell ingest gitleaks-report.json
///   trufflehog git file://. --json | quell ingest --channel private-repo -
///   gh api --paginate repos/acme/orders/secret-scanning/alerts | quell ingest --format github -
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct IngestArgs {
    /// Reports; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Whose report it is, when it cannot be told from its keys
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Only record the findings; open and join nothing
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Where the findings were readable: public-repo, private-repo, ci-log, chat, … (default: what the report says, else unknown)
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// Who could see it: nobody, few, internal, public
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct IncidentArg {
    /// Which incident, such as INC-2026-0001
    pub(crate) id: String,
}

/// Rehearse the whole job, timed, in a sandbox or on a secret of yours
///
/// Without --secret it starts an issuer, a store and two consumers on loopback, plants a leak in a git repository,
/// and does everything from scan to verified evidence. It asks nothing and ends in seconds.
#[derive(Args, Debug)]
pub(crate) struct DrillArgs {
    /// Rehearse on this secret of the inventory
    #[arg(long, value_name = "ID")]
    pub(crate) secret: Option<String>,
    /// Also if its tier is infrastructure or its environment is production (say the secret's id again)
    #[arg(long, value_name = "ID", requires = "secret")]
    pub(crate) even_production: Option<String>,
    /// Really (the second time): this will rotate a production secret
    #[arg(long, requires = "even_production")]
    pub(crate) really: bool,
    /// Which strategy to rehearse
    #[arg(long, value_enum, default_value_t = StrategyArg::Auto)]
    pub(crate) strategy: StrategyArg,
}

#[derive(Args, Debug)]
pub(crate) struct SandboxConsumerArgs {
    #[arg(long)]
    pub(crate) env_file: PathBuf,
    #[arg(long, default_value = "DATABASE_URL")]
    pub(crate) key: String,
    #[arg(long)]
    pub(crate) port_file: PathBuf,
    #[arg(long)]
    pub(crate) pid_file: PathBuf,
}
