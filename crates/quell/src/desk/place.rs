//! Where each command does its work when a server is named.

use quell_app::AppError;

/// Where a command does its work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// It needs no installation and no server, so a named one is nothing to it.
    Anywhere,
    /// On this machine only, and why.
    Here(&'static str),
    /// By the server, if one is named: the operations of the API that it asks.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the test that no operation is without a command")
    )]
    Server(&'static [&'static str]),
}

use Place::{Anywhere, Here, Server};

/// What every command about one incident reads.
const ENTRIES: &str = "incident_entries";

const FILES: &str = "it works on files that lie here";
const HOOKS: &str = "it guards a repository or a program on this machine";
const LOGS: &str =
    "logs are searched where they lie; `hunt show`, `hunt sql` and `hunt triage` ask the server";
const DATA: &str = "it is about the data folder of this machine";
const KEYS: &str = "keys stay with the machine that holds them";
const VALUE: &str = "the value of a secret must not leave this machine";

/// Every command, by its words. One that is not here is refused with a server named, and fails a test.
pub(crate) const COMMANDS: &[(&str, Place)] = &[
    ("approve", Server(&["approve", ENTRIES])),
    ("backup", Here(DATA)),
    ("break-glass list", Server(&["glass_list"])),
    ("break-glass open", Server(&["glass_break"])),
    ("break-glass review", Server(&["glass_review"])),
    ("completions", Anywhere),
    ("doctor", Here("it looks at this machine; a server's own state is at `/readyz`")),
    ("drill", Here("it starts systems of its own, or acts with rights that only the installation has")),
    ("evidence export", Server(&["evidence_export", "ledger_key"])),
    ("evidence verify", Anywhere),
    ("finding list", Server(&["finding_list"])),
    ("finding show", Server(&["finding_show"])),
    ("finding triage", Server(&["finding_triage"])),
    ("gate env", Here(HOOKS)),
    ("gate install", Here(HOOKS)),
    ("gate prove", Here(HOOKS)),
    ("gate run", Here(HOOKS)),
    ("gate status", Here(HOOKS)),
    ("gate suggest", Here(HOOKS)),
    ("gate uninstall", Here(HOOKS)),
    ("hunt", Here(LOGS)),
    ("hunt merge", Here(LOGS)),
    ("hunt query", Here(LOGS)),
    ("hunt result", Here(LOGS)),
    ("hunt show", Server(&["hunt_show"])),
    ("hunt sql", Server(&["hunt_show"])),
    ("hunt triage", Server(&["hunt_show", "hunt_triage", ENTRIES])),
    ("incident action", Server(&["incident_action", ENTRIES])),
    ("incident action-done", Server(&["incident_action_done", ENTRIES])),
    ("incident add", Server(&["incident_add", ENTRIES])),
    ("incident adjacent", Server(&["incident_adjacent"])),
    ("incident cleaned", Server(&["incident_cleaned", ENTRIES])),
    ("incident close", Server(&["incident_close", ENTRIES])),
    ("incident distrust", Server(&["incident_distrust", ENTRIES])),
    ("incident exception", Server(&["incident_exception", ENTRIES])),
    ("incident list", Server(&["incident_list"])),
    ("incident note", Server(&["incident_note", ENTRIES])),
    ("incident open", Server(&["incident_open", ENTRIES])),
    ("incident post-mortem", Server(&["incident_post_mortem_write", ENTRIES])),
    ("incident role", Server(&["incident_role", ENTRIES])),
    ("incident secrets", Server(&[ENTRIES])),
    ("incident show", Server(&[ENTRIES])),
    ("incident signal", Server(&["incident_signal", ENTRIES])),
    ("incident strategy", Server(&["incident_strategy", ENTRIES])),
    ("incident task add", Server(&["incident_task_add", ENTRIES])),
    ("incident task done", Server(&["incident_task_done", ENTRIES])),
    ("incident task drop", Server(&["incident_task_drop", ENTRIES])),
    ("incident task give", Server(&["incident_task_give", ENTRIES])),
    ("incident task list", Server(&["incident_tasks"])),
    ("incident timeline", Server(&[ENTRIES])),
    ("incident unlocked", Server(&["incident_unlocked", ENTRIES])),
    ("incident verdict", Server(&["incident_verdict", ENTRIES])),
    ("ingest", Server(&["ingest"])),
    ("init", Here(DATA)),
    ("intake list", Server(&["intake_list"])),
    ("intake receive", Here("a server is delivered to at `/hooks/NAME`")),
    ("intake retry", Server(&["intake_retry"])),
    ("intake show", Server(&["intake_show"])),
    ("intake work", Here("a server works deliveries off by itself")),
    ("inventory check", Server(&["inventory_check", "inventory_parse"])),
    ("inventory graph", Server(&["inventory_edges"])),
    ("inventory list", Server(&["inventory_list"])),
    ("inventory schema", Anywhere),
    ("inventory show", Server(&["inventory_show"])),
    ("inventory tighten", Here("it reads audit logs that lie here")),
    ("issue", Here("the credential is written to a file of this machine")),
    ("keys rotate", Here(KEYS)),
    ("keys rotate-ledger", Here(KEYS)),
    ("kill", Here(VALUE)),
    ("ledger checkpoint", Server(&["ledger_checkpoint"])),
    ("ledger key", Server(&["ledger_key"])),
    ("ledger rebuild", Server(&["ledger_rebuild"])),
    ("ledger verify", Server(&["ledger_verify"])),
    ("man", Anywhere),
    ("move", Here(DATA)),
    ("notice draft", Server(&["notice_draft", ENTRIES])),
    ("notice drop", Server(&["notice_drop", ENTRIES])),
    ("notice edit", Server(&["notice_edit", ENTRIES])),
    ("notice kinds", Server(&["notice_kinds"])),
    ("notice list", Server(&[ENTRIES])),
    ("notice retry", Server(&["notice_retry", ENTRIES])),
    ("notice send", Server(&["notice_send", ENTRIES])),
    ("notice show", Server(&[ENTRIES])),
    ("numbers", Server(&["numbers"])),
    ("openapi", Anywhere),
    ("pause", Server(&["pause", ENTRIES])),
    ("person add", Server(&["person_add"])),
    ("person code", Server(&["person_code"])),
    ("person list", Server(&["person_list"])),
    ("person remove", Server(&["person_remove"])),
    ("person same", Server(&["person_same"])),
    ("person sign-out", Server(&["person_sign_out"])),
    ("plan", Server(&["plan_make", "plan_check", ENTRIES])),
    ("provider check", Here(FILES)),
    ("provider list", Here(FILES)),
    ("provider schema", Anywhere),
    ("provider show", Here(FILES)),
    ("redact", Here(FILES)),
    ("report", Server(&["ledger_checkpoint", ENTRIES])),
    ("respond", Server(&["respond", "respond_show", "incident_follow", "server_show", ENTRIES])),
    ("restore", Here(DATA)),
    ("resume", Server(&["resume", ENTRIES])),
    ("rules check", Anywhere),
    ("rules list", Anywhere),
    ("rules show", Anywhere),
    ("sandbox-consumer", Anywhere),
    ("scan", Here(FILES)),
    ("serve", Here("it is the server")),
    ("session end", Server(&["session_end"])),
    ("session list", Server(&["session_list"])),
    ("step refuse", Server(&["step_refuse", ENTRIES])),
    ("step resolve", Server(&["step_resolve", ENTRIES])),
    ("step retry", Server(&["step_retry", ENTRIES])),
    ("step skip", Server(&["step_skip", ENTRIES])),
    ("token list", Server(&["token_list"])),
    ("token make", Server(&["token_make"])),
    ("token revoke", Server(&["token_revoke"])),
    ("verify", Server(&["verify"])),
];

/// With a server named, what only works on this machine says so: it must not act on another installation than the one that is meant.
pub(crate) fn by_a_server(words: &str) -> Result<(), AppError> {
    let known = COMMANDS.iter().find(|(command, _)| *command == words);
    let why = match known {
        Some((_, Anywhere | Server(_))) => return Ok(()),
        Some((_, Here(why))) => why,
        None => "no server knows it",
    };
    Err(AppError::Usage(format!(
        "`quell {words}` works on this machine only, and a server is named: {why}; leave --server (QUELL_SERVER) away"
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;
    use serde_json::Value;

    use super::*;
    use crate::cli::Cli;

    /// Operations that no command asks, and why.
    const OTHERWISE: &[(&str, &str)] = &[
        ("drill_list", "`incident list --drills only`"),
        ("evidence_list", "`evidence export` brings all of it"),
        ("evidence_show", "`evidence export` brings all of it"),
        ("gate_list", "`incident show` and `report` name the gates of an incident"),
        ("hunt_list", "`incident timeline` names every hunt, `hunt show` shows the newest"),
        ("incident_post_mortem", FOLDED),
        ("incident_secrets", FOLDED),
        ("incident_show", FOLDED),
        ("incident_timeline", FOLDED),
        ("inventory_graph", "`inventory graph` makes it from the edges"),
        ("ledger_entries", "`incident timeline` shows them, `evidence export` brings them with their proofs"),
        ("ledger_proof", "`evidence export` brings every proof"),
        ("notice_list", FOLDED),
        ("notice_show", FOLDED),
        ("openapi", "`quell openapi` prints the same without a server"),
        ("plan_show", FOLDED),
        ("report", FOLDED),
        ("report_context", FOLDED),
        ("report_leak", "for those who may do nothing else; whoever has a command line opens the incident"),
        ("step_show", FOLDED),
        ("token_own", "for a program that knows nothing but its token; `token list` shows it, too"),
        ("token_revoke_own", "for whoever finds a token; `token revoke` revokes by name"),
    ];
    const FOLDED: &str = "the command line makes it from the entries of the incident";

    /// The words of everything that can be run.
    fn leaves(command: &clap::Command, words: &str, out: &mut Vec<String>) {
        let has_own = !command.is_subcommand_required_set() || !command.has_subcommands();
        if !words.is_empty() && has_own {
            out.push(words.to_owned());
        }
        for below in command.get_subcommands() {
            leaves(below, format!("{words} {}", below.get_name()).trim(), out);
        }
    }

    #[test]
    fn every_command_says_where_it_works() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        let known: Vec<&str> = COMMANDS.iter().map(|(words, _)| *words).collect();
        assert!(known.is_sorted(), "keep the list sorted");
        let missing: Vec<&String> = all.iter().filter(|words| !known.contains(&words.as_str())).collect();
        let gone: Vec<&&str> = known.iter().filter(|words| !all.iter().any(|own| own == *words)).collect();
        assert!(missing.is_empty() && gone.is_empty(), "not listed: {missing:#?}; no command: {gone:#?}");
    }

    #[test]
    fn every_operation_of_the_api_is_asked_by_a_command_or_says_why_not() {
        let described: Value = serde_json::from_str(&quell_web::openapi()).unwrap();
        let paths = described["paths"].as_object().unwrap().values();
        let operations: BTreeSet<&str> = paths
            .flat_map(|path| path.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (words, place) in COMMANDS {
            if let Server(asked) = place {
                assert!(!asked.is_empty(), "{words} asks nothing");
                told.extend(*asked);
            }
        }
        for (operation, _) in OTHERWISE {
            assert!(told.insert(operation), "{operation} is asked by a command");
        }
        let unknown: Vec<_> = told.difference(&operations).collect();
        let untold: Vec<_> = operations.difference(&told).collect();
        assert!(
            unknown.is_empty() && untold.is_empty(),
            "no operation: {unknown:?}; by no command: {untold:?}"
        );
    }

    const BOOK: &str = include_str!("../../../../docs/book/api.md");

    /// What stands in the book between two marks.
    fn told(mark: &str) -> &'static str {
        let (_, rest) = BOOK.split_once(&format!("<!-- {mark} -->\n")).unwrap();
        rest.split_once(&format!("<!-- /{mark} -->")).unwrap().0
    }

    #[test]
    fn the_book_names_every_command_that_a_server_does() {
        let named: BTreeSet<&str> = told("commands").split('`').skip(1).step_by(2).collect();
        let done: BTreeSet<&str> = COMMANDS
            .iter()
            .filter_map(|(words, place)| matches!(place, Server(_)).then_some(*words))
            .collect();
        assert_eq!(named, done, "keep the list in docs/book/api.md");
    }

    #[test]
    fn the_book_says_of_the_others_why_not() {
        let rows = |mark: &str| told(mark).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        let row = |(words, why): (&str, &str)| format!("| `{words}` | {why} |");
        let here = COMMANDS.iter().filter_map(|(words, place)| match place {
            Here(why) => Some(row((words, why))),
            Anywhere | Server(_) => None,
        });
        assert_eq!(rows("local"), here.collect::<Vec<_>>(), "keep the list in docs/book/api.md");
        let otherwise: Vec<String> = OTHERWISE.iter().copied().map(row).collect();
        assert_eq!(rows("operations"), otherwise, "keep the list in docs/book/api.md");
    }

    /// What a server does is done by one in a test: its words stand in one of those that drive a real server.
    #[test]
    fn every_command_that_a_server_does_is_run_against_one() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api");
        let mut written = String::new();
        for name in ["both.rs", "everywhere.rs", "remote.rs"] {
            written.push_str(&std::fs::read_to_string(folder.join(name)).unwrap());
        }
        let written: String = written.split_whitespace().collect();
        let untried = COMMANDS.iter().filter(|(words, place)| {
            let quoted: Vec<String> = words.split(' ').map(|word| format!("\"{word}\"")).collect();
            matches!(place, Server(_)) && !written.contains(&quoted.join(","))
        });
        let untried: Vec<&str> = untried.map(|(words, _)| *words).collect();
        assert!(untried.is_empty(), "by no test of a server: {untried:?}");
    }
}
