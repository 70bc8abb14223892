//! What `quell kill` asks, says and does not say.

use std::process::Output;

use quell_connect::provider::model::Mood;
use quell_scan::rule::template;

use super::kill_key::Desk;
use super::terminal::at_terminal;
use super::world::{private, text};

impl Desk {
    fn at_terminal(&self, question: &str, keys: &str, args: &[&str]) -> serde_json::Value {
        at_terminal(&self.command(args), question, keys)
    }

    fn kill_words(&self, more: &[&str]) -> Output {
        let args: Vec<&str> = ["kill", "-", "--yes", "--providers", "providers"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        self.run(&args, None)
    }
}

#[test]
fn the_terminal_echoes_again_when_somebody_stops_at_a_hidden_question() {
    let desk = Desk::new();
    let stopped = desk.at_terminal("the leaked value", "\u{3}", &["kill", "-"]);
    assert_eq!(stopped["status"], 130, "{stopped}");
    assert_eq!((&stopped["quiet"], &stopped["restored"]), (&true.into(), &true.into()), "{stopped}");

    private(&desk.folder.path().join("words"), "correct horse battery\n");
    let data = desk.folder.path().join("sealed").display().to_string();
    let init = ["--data-dir", &data, "--passphrase-file", "words", "init"];
    let made = desk.run(&init, None);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let args = ["--data-dir", data.as_str(), "incident", "list"];
    let stopped = desk.at_terminal("passphrase: ", "correct\u{3}", &args);
    assert_eq!(stopped["status"], 130, "{stopped}");
    assert_eq!((&stopped["quiet"], &stopped["restored"]), (&true.into(), &true.into()), "{stopped}");
    // Typed to the end it is taken, with a letter that was taken back.
    let opened = desk.at_terminal("passphrase: ", "correct horse batteryx\u{7f}\r", &args);
    assert_eq!((&opened["status"], &opened["restored"]), (&0.into(), &true.into()), "{opened}");
    assert!(!opened.to_string().contains("correct"), "{opened}");
}

#[test]
fn a_value_that_is_typed_is_not_shown() {
    let desk = Desk::new();
    let keys = format!("{}\r", desk.key.value);
    let url = desk.model.url();
    let args = ["kill", "-", "--dry-run", "--url", &url];
    let looked = desk.at_terminal("the leaked value", &keys, &args);
    assert_eq!((&looked["status"], &looked["restored"]), (&0.into(), &true.into()), "{looked}");
    assert!(looked["seen"].as_str().unwrap().contains("it opens the door"), "{looked}");
    assert!(!looked.to_string().contains(&desk.key.value));
}

/// `Desk::run` looks for the value in everything that is said.
#[test]
fn a_value_among_the_arguments_is_not_repeated_wherever_it_stands() {
    let desk = Desk::new();
    let value = desk.key.value.clone();
    let (long, short, pair) = (format!("--token={value}"), format!("-t{value}"), format!("x={value}"));
    for args in [
        vec!["kill", "-", &value],
        vec!["kill", &value, &value],
        vec!["kill", "-", &long],
        vec!["kill", "-", &short],
        vec!["kill", "-", "--yes", "--tokn", &value],
        vec!["kill", "-", "--dry-run", "--kind", &value],
        vec!["kill", "-", "--dry-run", "--provider", &value],
        vec!["kill", "-", "--dry-run", "--control", &value],
        vec!["kill", "-", "--dry-run", "--admin", &value],
        vec!["kill", "-", "--dry-run", "--providers", &value],
        vec!["kill", "-", "--dry-run", "--set", &pair],
        vec!["kill", "-", "--dry-run", "--set", &value],
        vec!["kill", "-", "--dry-run", "--url", &value],
        vec!["kill", "-", "--yes", "--channel", &value],
        vec!["kill", "-", "--yes", "--audience", &value],
        vec![value.as_str()],
        vec!["scan", "--jobs", &value],
        vec!["respond", &value],
        vec!["provider", "show", &value],
    ] {
        let output = desk.run(&args, None);
        assert!(!output.status.success(), "{args:?}: {}", text(&output.stderr));
    }
    assert!(desk.model.alive(&desk.key.id), "none of them did anything");
    // No rule knows it, and it is short: beside `kill` any word may be one.
    let output = desk.run(&["kill", "-", "swordfish"], None);
    let said = text(&output.stderr);
    assert!(said.contains("unexpected argument '<hidden>' found") && !said.contains("swordfish"), "{said}");
    // What is no value stays readable.
    let output = desk.run(&["kill", "-", "--even-in-usee"], None);
    assert!(text(&output.stderr).contains("--even-in-usee"), "{}", text(&output.stderr));
    let help = desk.run(&["kill", "--help"], None);
    assert!(help.status.success() && text(&help.stdout).contains("--even-in-use"));
}

#[test]
fn a_value_in_a_store_is_not_killed_although_no_scan_has_seen_it() {
    let desk = Desk::new();
    private(&desk.folder.path().join("app.env"), &format!("TOKEN={}\n", desk.key.value));
    // Its issuer cannot even be used from here: what the store holds is known all the same.
    desk.write_inventory(
        "secrets:\n  - id: deploy\n    kind: github-token\n    env: prod\n    \
         issuer: { provider: { id: nobody-knows-it } }\n    \
         stores: [{ env_file: { path: app.env, key: TOKEN } }, { env_file: { path: other.env, key: TOKEN } }]\n",
    );
    std::fs::create_dir(desk.folder.path().join("other.env")).unwrap();
    let refused = desk.kill_words(&[]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("a value of `deploy`"), "{}", text(&refused.stderr));
    assert!(desk.model.alive(&desk.key.id));
    // Where it cannot be read, that is said.
    private(&desk.folder.path().join("app.env"), "TOKEN=another-one\n");
    let looked = Desk::new();
    looked.write_inventory(&std::fs::read_to_string(desk.folder.path().join("quell.yaml")).unwrap());
    std::fs::create_dir(looked.folder.path().join("other.env")).unwrap();
    let killed = looked.kill_words(&[]);
    let said = text(&killed.stderr);
    assert!(said.contains("could not be read, so whether the value is in use there is not known"), "{said}");
}

/// A vault that is down must not keep a leaked key alive.
#[test]
fn stores_that_hang_are_waited_for_once_and_the_key_dies() {
    let desk = Desk::new();
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    private(&desk.folder.path().join("aws"), &format!("AKIA{}:{}", "A".repeat(16), "x".repeat(40)));
    let store = format!(
        "{{ aws_secrets_manager: {{ credentials: \"file:aws\", secret: apps/orders, endpoint: \"{endpoint}\" }} }}"
    );
    let stores = [store.as_str(); 4].join(", ");
    desk.write_inventory(&format!(
        "secrets:\n  - id: deploy\n    kind: github-token\n    env: prod\n    \
         issuer: {{ provider: {{ id: github }} }}\n    stores: [{stores}]\n"
    ));
    let killed = desk.kill_words(&["--call-limit", "1"]);
    let said = text(&killed.stderr);
    assert!(killed.status.success(), "{said}");
    assert!(said.contains("the stores of the inventory: no answer within 1 s"), "{said}");
    assert!(!desk.model.alive(&desk.key.id));
}

#[test]
fn what_is_not_shown_to_be_dead_is_said_with_the_next_step() {
    let desk = Desk::new();
    desk.model.set(Mood::Liar);
    let said = text(&desk.kill_words(&["--control", "env:GOOD"]).stderr);
    for words in [
        "NOT shown to be dead",
        "the key still opens the door",
        "a person can end it: Delete it at",
        "run the same command again",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Only an administrator revokes it, and none is at hand: the preview names no call that cannot be made.
    let value = quell_connect::provider::expand("SG.{alnum:22}.{alnum:43}", 5);
    let desk = Desk::of("sendgrid", "https://api.sendgrid.com", &value);
    let said = text(&desk.kill_words(&["--provider", "sendgrid"]).stderr);
    for words in [
        "only an administrator's credential revokes it (--admin REF)",
        "run it again with --admin REF",
        "api_keys.delete",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("DELETE /v3/api_keys"), "{said}");
    let said = text(&desk.kill_words(&["--provider", "sendgrid", "--admin", "env:ADMIN"]).stderr);
    assert!(said.contains("DELETE /v3/api_keys/{id}, then tried"), "{said}");
    assert!(!desk.model.alive(&desk.key.id));
}

#[test]
fn a_kill_that_is_paused_names_the_pause_and_who_lifts_it() {
    let desk = Desk::new();
    let args = ["kill", "-", "--yes", "--providers", "providers", "--control", "env:GOOD"];
    let died = desk.run(&args, Some("*.capture:after-result"));
    assert_eq!(died.status.code(), None, "{}", text(&died.stderr));
    let listed = desk.json(&["incident", "list"]);
    let id = listed["incidents"][0]["incident"].as_str().unwrap_or_else(|| panic!("{listed}"));
    let paused = desk.run(&["pause", id, "--now", "--reason", "is it ours?"], None);
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    let held = desk.kill_words(&["--control", "env:GOOD"]);
    let said = text(&held.stderr);
    assert_eq!(held.status.code(), Some(4), "{said}");
    for words in ["NOT shown to be dead: the plan is paused: is it ours?", &format!("`quell resume {id}")] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("a person can end it"), "{said}");
    assert!(desk.model.alive(&desk.key.id));
    let resumed = desk.run(&["resume", id, "--reason", "it is"], None);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    let killed = desk.kill_words(&["--control", "env:GOOD"]);
    assert!(killed.status.success(), "{}", text(&killed.stderr));
    assert!(!desk.model.alive(&desk.key.id));
}

#[test]
fn a_refusal_that_proves_nothing_leads_to_a_person_and_an_exception() {
    let value =
        template::expand("nfp_{alnum:36}", 7).unwrap_or_else(|_| "nfp_".to_owned() + &"a1B2".repeat(9));
    let desk = Desk::of("netlify", "https://api.netlify.com", &value);
    desk.model.revoke(&desk.key.id);
    let output = desk.kill_words(&["--provider", "netlify", "--control", "env:GOOD"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    for words in [
        "cannot be proven dead here",
        "many proxies and gateways say Access Denied",
        "quell incident exception INC-",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn respond_and_verify_name_the_command_that_takes_up_a_killed_key() {
    let desk = Desk::new();
    let (_, killed) = desk.kill(&[]);
    let id = killed["incident"].as_str().unwrap();
    // Without an inventory, and with one that knows nothing of it.
    for inventory in [None, Some("secrets: []\n")] {
        if let Some(yaml) = inventory {
            desk.write_inventory(yaml);
        }
        for args in [["verify", id], ["respond", id]] {
            let output = desk.run(&args, None);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
            assert!(
                said.contains("was made by `quell kill`")
                    && said.contains("`quell kill -` with the same value"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_plan_does_not_run_with_another_provider_file_than_it_was_made_with() {
    let desk = Desk::new();
    desk.write_inventory(
        "providers: [providers]\nsecrets:\n  - id: deploy\n    kind: github-token\n    env: prod\n    \
         issuer: { provider: { id: github, control: \"env:GOOD\" } }\npolicy: { approvals: { destructive: 0 } }\n",
    );
    let opened =
        desk.json(&["incident", "open", "--secret", "deploy", "--channel", "chat", "--value-file", "-"]);
    let id = opened["incident"].as_str().unwrap();
    desk.json(&["plan", id]);
    let path = desk.folder.path().join("providers/github.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, file.replace("settle: 100ms", "settle: 200ms")).unwrap();
    let refused = desk.run(&["respond", id], None);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("the inventory has changed since plan"),
        "{}",
        text(&refused.stderr)
    );
    assert!(desk.model.alive(&desk.key.id));
    // A comment is no change.
    std::fs::write(&path, format!("# of our own\n{file}")).unwrap();
    let done = desk.run(&["respond", id], None);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(!desk.model.alive(&desk.key.id));
}
