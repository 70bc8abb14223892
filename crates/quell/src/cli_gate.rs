//! The arguments of `quell gate` and `quell redact`. Doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Take the secrets out of a log: standard input to standard output
///
/// A secret becomes `[REDACTED:rule]`, everything else stays as it is, and output is flushed when
/// the input pauses. Without --known it reads no installation. Exit code 11 with --strict when
/// something was withheld, or a value could not be looked for.
///
/// Examples:
///   ./server 2>&1 | quell redact >> server.log
///   quell redact --strict < build.log > public.log
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RedactArgs {
    /// Also withhold what no rule knows and nobody can rule out: random-looking tokens, lines that are no text
    #[arg(long)]
    pub(crate) strict: bool,
    /// Rule files or folders (gitleaks-compatible TOML) instead of the built-in rules
    #[arg(long, value_name = "PATH")]
    pub(crate) rules: Vec<PathBuf>,
    /// Also take out the values of the inventory's secrets, in all common spellings; reads their stores
    #[arg(long)]
    pub(crate) known: bool,
    /// No summary on stderr
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Stop the next leak: hooks, CI jobs, `.env` files; prove that a gate stops this one
#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    Install(InstallArgs),
    /// Take a hook out and put the one from before back
    Uninstall {
        /// Which
        #[arg(value_enum)]
        hook: HookArg,
        /// The repository
        #[arg(long, value_name = "PATH", default_value = ".")]
        repository: PathBuf,
    },
    /// Say how the hooks of a repository are, and how they can be gone round; exit 10 when one is broken
    Status {
        /// The repository
        #[arg(long, value_name = "PATH", default_value = ".")]
        repository: PathBuf,
    },
    Run(RunArgs),
    Env(EnvArgs),
    Prove(ProveArgs),
    /// Say which gates fit the way an incident leaked
    Suggest {
        /// Which incident
        id: String,
    },
}

/// Put a gate in: a git hook, a CI job, or the hook of the pre-commit framework
///
/// Hooks go where git looks for them (core.hooksPath, linked work trees). Another hook is never
/// overwritten. Every hook and job refuses when it cannot check: quell missing, crashed, objects
/// unreadable. CI jobs and the framework's part are printed; --write puts the job into its file.
///
/// Examples:
///   quell gate install pre-commit
///   quell gate install pre-receive --repository /srv/git/orders.git
///   quell gate install ci --for github --write
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InstallArgs {
    /// Which gate
    #[arg(value_enum)]
    pub(crate) gate: InstallArg,
    /// The repository
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) repository: PathBuf,
    /// Keep a hook that is there (renamed to HOOK.before-quell) and call it first
    #[arg(long)]
    pub(crate) chain: bool,
    /// Rule files or folders that the hook uses instead of the built-in rules
    #[arg(long, value_name = "PATH")]
    pub(crate) rules: Vec<PathBuf>,
    /// Which CI the job is for
    #[arg(long = "for", value_enum, value_name = "HOST", required_if_eq("gate", "ci"))]
    pub(crate) host: Option<HostArg>,
    /// Write the CI job into its file instead of printing it
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum HookArg {
    #[value(name = "pre-commit")]
    Commit,
    #[value(name = "pre-push")]
    Push,
    #[value(name = "pre-receive")]
    Receive,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum InstallArg {
    PreCommit,
    PrePush,
    PreReceive,
    Ci,
    PreCommitFramework,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum HostArg {
    Github,
    Gitlab,
    Jenkins,
    Azure,
    Generic,
}

/// Check what a hook is asked about; the installed hooks call this
///
/// pre-commit looks at what is staged, pre-push and pre-receive at the new commits of the lines that
/// git gives on standard input. Exit 0: it may pass. 10: it would leak. 11: not everything was read.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RunArgs {
    /// Which hook
    #[arg(value_enum)]
    pub(crate) hook: HookArg,
    /// The remote that is pushed to, as git names it to the hook
    #[arg(long, default_value = "origin", value_name = "NAME")]
    pub(crate) remote: String,
    /// Rule files or folders instead of the built-in rules
    #[arg(long, value_name = "PATH")]
    pub(crate) rules: Vec<PathBuf>,
}

/// Check that every `.env` file is ignored by git, not tracked, and readable by its owner only
///
/// Files named example, sample, template or dist are left alone. Ignoring counts when the
/// repository's own files say so, not one user's settings. Exit 10 when something is wrong.
///
/// Examples:
///   quell gate env
///   quell gate env --fix ~/src/orders
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EnvArgs {
    /// A folder; the whole repository around it is looked at
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Set modes to 0600 and add to .gitignore; never deletes, never untracks
    #[arg(long)]
    pub(crate) fix: bool,
}

/// Show that a gate would have stopped this very leak, and close the action item that asks for it
///
/// The leaked change is tried again in a private repository that borrows the leaky one's objects: it
/// must be refused, naming rule and path, and a harmless change must be accepted. For a leak into a
/// log, `quell redact` must take the value out. The answer is recorded. Exit 3 when not proven.
///
/// Examples:
///   quell incident action INC-2026-0001 "gate on commit" --owner team-orders --due 2026-12-01 --gate pre-commit
///   quell gate prove INC-2026-0001 --item A1
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ProveArgs {
    /// Which incident
    pub(crate) id: String,
    /// pre-commit, pre-push, pre-receive, redact, env; without it, the item's, or what fits the leak
    #[arg(long)]
    pub(crate) gate: Option<String>,
    /// The action item that a proof closes; without it, the first open one with this gate
    #[arg(long, value_name = "ITEM")]
    pub(crate) item: Option<String>,
    /// Where the leaky repository or file is, if it has moved since the scan
    #[arg(long, value_name = "PATH")]
    pub(crate) repository: Option<PathBuf>,
    /// Rule files or folders that the gate uses instead of the built-in rules
    #[arg(long, value_name = "PATH")]
    pub(crate) rules: Vec<PathBuf>,
}
