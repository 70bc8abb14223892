//! `quell gate prove`: from a leak to the gate that would have stopped it, and an action item that only it closes.

use serde_json::Value;

use super::{Repository, text, token};

const INVENTORY: &str = "secrets:
  - id: registry-token
    kind: postgres-password
    env: test
    issuer: { postgres: { admin: \"file:admin.url\", roles: [a, b], group: g } }
";

/// A repository with a leak in its second commit, an installation, and an incident about the leak.
struct Leaky {
    repository: Repository,
    incident: String,
    token: String,
}

impl Leaky {
    fn new(file: &str, channel: &str, more: &[&str]) -> Self {
        let repository = Repository::with(more).named();
        repository.stage("README.md", "hello\n");
        repository.git(&["commit", "-q", "-m", "first"]);
        let token = token(21);
        repository.stage(file, &format!("line\nTOKEN={token}\n"));
        repository.git(&["commit", "-q", "-m", "leak"]);
        repository.git(&["rm", "-q", file]);
        repository.git(&["commit", "-q", "-m", "clean"]);
        let target = repository.path.to_str().unwrap().to_owned();
        Self::of(repository, token, &target, channel)
    }

    fn of(repository: Repository, token: String, target: &str, channel: &str) -> Self {
        std::fs::write(repository.folder.path().join("quell.yaml"), INVENTORY).unwrap();
        std::fs::write(repository.folder.path().join("admin.url"), "postgres://127.0.0.1:1/x\n").unwrap();
        let mut leaky = Self { repository, incident: String::new(), token };
        leaky.ok(&["init"]);
        let scanned = leaky.quell(&["scan", target, "--json"]);
        assert_eq!(scanned.status.code(), Some(10), "{}", text(&scanned.stderr));
        let scanned: Value = serde_json::from_slice(&scanned.stdout).unwrap();
        let finding = scanned["findings"][0]["id"].as_str().unwrap().to_owned();
        let opened = leaky.ok(&[
            "incident",
            "open",
            "--finding",
            &finding,
            "--secret",
            "registry-token",
            "--channel",
            channel,
        ]);
        opened.trim().clone_into(&mut leaky.incident);
        leaky
    }

    fn quell(&self, args: &[&str]) -> std::process::Output {
        let inventory = self.repository.folder.path().join("quell.yaml");
        let mut command = self.repository.command(&super::quell_program(), args);
        command.env("QUELL_INVENTORY", inventory).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.quell(args);
        assert_eq!(output.status.code(), Some(0), "quell {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn prove(&self, more: &[&str]) -> (Option<i32>, Value) {
        let args: Vec<&str> =
            ["gate", "prove", &self.incident, "--json"].iter().chain(more).copied().collect();
        let output = self.quell(&args);
        let all = [output.stdout.clone(), output.stderr.clone()].concat();
        assert!(!text(&all).contains(&self.token), "the value is in what was said");
        (
            output.status.code(),
            serde_json::from_slice(&output.stdout).unwrap_or(Value::String(text(&output.stderr))),
        )
    }

    fn items(&self) -> Value {
        let shown: Value =
            serde_json::from_str(&self.ok(&["incident", "show", &self.incident, "--json"])).unwrap();
        shown["action_items"].clone()
    }
}

#[test]
fn each_hook_is_proven_on_the_leak_itself_and_closes_its_item() {
    let leaky = Leaky::new("deploy/npm.cfg", "private-repo", &[]);
    let before = leaky.repository.bytes("");
    for (n, gate) in ["pre-commit", "pre-push", "pre-receive"].into_iter().enumerate() {
        let item = format!("A{}", n + 1);
        leaky.ok(&[
            "incident",
            "action",
            &leaky.incident,
            "gate",
            "--owner",
            "ines",
            "--due",
            "2027-01-01",
            "--gate",
            gate,
        ]);
        let words = leaky.quell(&[
            "incident",
            "action-done",
            &leaky.incident,
            &item,
            "--evidence",
            "it is installed",
        ]);
        assert_eq!(words.status.code(), Some(3), "{}", text(&words.stderr));
        assert!(text(&words.stderr).contains("quell gate prove"), "{}", text(&words.stderr));
        let (code, answer) = leaky.prove(&["--item", &item]);
        assert_eq!(
            (code, &answer["proven"], &answer["closed"]),
            (Some(0), &true.into(), &item.as_str().into()),
            "{answer}"
        );
        assert_eq!(answer["gate"], gate);
        let shown = &answer["shown"][0];
        assert_eq!(
            (&shown["refused"], &shown["accepted"], &shown["rule"]),
            (&true.into(), &true.into(), &"npm-token".into())
        );
        let done = leaky.items()[n]["done"].as_str().unwrap().to_owned();
        for part in
            [gate, "F-", "hook sha256:", "refused", "accepted", env!("CARGO_PKG_VERSION"), "deploy/npm.cfg"]
        {
            assert!(done.contains(part), "{part}: {done}");
        }
    }
    assert_eq!(leaky.repository.bytes(""), before, "the leaky repository is only read");
    leaky.ok(&["ledger", "verify"]);
}

#[test]
fn what_the_gate_would_not_have_stopped_is_not_proven() {
    let leaky = Leaky::new("deploy/npm.cfg", "private-repo", &[]);
    leaky.ok(&[
        "incident",
        "action",
        &leaky.incident,
        "gate",
        "--owner",
        "ines",
        "--due",
        "2027-01-01",
        "--gate",
        "pre-commit",
    ]);
    // A rule set that knows other things.
    let rules = leaky.repository.folder.path().join("other.toml");
    std::fs::write(&rules, "[[rules]]\nid = \"other\"\ndescription = \"other\"\nregex = '''other-[0-9]{12}'''\nkeywords = [\"other-\"]\n").unwrap();
    let (code, answer) = leaky.prove(&["--item", "A1", "--rules", rules.to_str().unwrap()]);
    assert_eq!(
        (code, &answer["proven"], &answer["closed"]),
        (Some(3), &false.into(), &Value::Null),
        "{answer}"
    );
    let shown = &answer["shown"][0];
    assert_eq!((&shown["refused"], &shown["accepted"]), (&false.into(), &true.into()));
    assert!(shown["why"].as_str().unwrap().contains("went through"), "{shown}");
    assert_eq!(leaky.items()[0]["done"], Value::Null);
    let timeline = leaky.ok(&["incident", "timeline", &leaky.incident]);
    assert!(timeline.contains("NOT shown to stop it"), "{timeline}");
    // A gate that refuses everything proves nothing.
    let all = leaky.repository.folder.path().join("all.toml");
    let text = "[[rules]]\nid = \"npm-token\"\ndescription = \"all\"\nregex = '''(npm_|harmless)[a-zA-Z0-9 ]{5,60}'''\nkeywords = [\"npm_\", \"harmless\"]\n";
    std::fs::write(&all, text).unwrap();
    let (code, answer) = leaky.prove(&["--item", "A1", "--rules", all.to_str().unwrap()]);
    let shown = &answer["shown"][0];
    assert_eq!(
        (code, &shown["refused"], &shown["accepted"]),
        (Some(3), &false.into(), &false.into()),
        "{answer}"
    );
    assert!(shown["why"].as_str().unwrap().contains("harmless change was not accepted"), "{shown}");
    // What the leaky repository accepts, its gate lets through.
    let baseline = leaky.repository.path.join(".quell-baseline");
    let target = leaky.repository.path.to_str().unwrap();
    leaky.ok(&[
        "scan",
        target,
        "--write-baseline",
        baseline.to_str().unwrap(),
        "--reason",
        "somebody's mistake",
    ]);
    let (code, answer) = leaky.prove(&["--item", "A1"]);
    assert_eq!((code, &answer["proven"]), (Some(3), &false.into()), "{answer}");
    std::fs::remove_file(&baseline).unwrap();
    // Another gate than the item's, one that does not fit, and a repository that is gone.
    assert_eq!(leaky.prove(&["--item", "A1", "--gate", "pre-push"]).0, Some(2));
    assert_eq!(leaky.prove(&["--gate", "env"]).1["proven"], false);
    assert_eq!(leaky.prove(&["--gate", "redact"]).1["proven"], false);
    let away = leaky.repository.folder.path().join("away");
    std::fs::rename(&leaky.repository.path, &away).unwrap();
    std::fs::create_dir(&leaky.repository.path).unwrap();
    let (code, answer) = leaky.prove(&["--item", "A1"]);
    assert!(code != Some(0), "{answer}");
    let (code, answer) = leaky.prove(&["--item", "A1", "--repository", away.to_str().unwrap()]);
    assert_eq!((code, &answer["closed"]), (Some(0), &"A1".into()), "{answer}");
}

#[test]
fn the_first_commit_of_a_sha256_repository_counts_too() {
    let repository = Repository::with(&["--object-format=sha256"]).named();
    let token = token(22);
    repository.stage("a.cfg", &format!("TOKEN={token}\n"));
    repository.git(&["commit", "-q", "-m", "leak at once"]);
    let target = repository.path.to_str().unwrap().to_owned();
    let leaky = Leaky::of(repository, token, &target, "public-repo");
    for gate in ["pre-commit", "pre-receive"] {
        let (code, answer) = leaky.prove(&["--gate", gate]);
        assert_eq!((code, &answer["proven"]), (Some(0), &true.into()), "{answer}");
    }
}

#[test]
fn a_leak_into_a_log_is_proven_with_the_filter() {
    let repository = Repository::new();
    let token = token(23);
    let log = repository.folder.path().join("server.log");
    std::fs::write(&log, format!("start\nauth with {token} ok\nend\n")).unwrap();
    let leaky = Leaky::of(repository, token, log.to_str().unwrap(), "support-log");
    let suggested = leaky.ok(&["gate", "suggest", &leaky.incident]);
    assert!(suggested.contains("quell redact") && suggested.contains("seed 159"), "{suggested}");
    let (code, answer) = leaky.prove(&[]);
    assert_eq!(
        (code, &answer["gate"], &answer["proven"]),
        (Some(0), &"redact".into(), &true.into()),
        "{answer}"
    );
    assert_eq!(leaky.prove(&["--gate", "pre-commit"]).0, Some(3), "no commit to try again");
    std::fs::write(&log, "rotated away\n").unwrap();
    let (code, answer) = leaky.prove(&[]);
    assert_eq!((code, &answer["proven"]), (Some(3), &false.into()), "{answer}");
}

#[test]
fn a_leaked_env_file_is_proven_by_its_name() {
    let leaky = Leaky::new("app/.env", "public-repo", &[]);
    let (code, answer) = leaky.prove(&[]);
    assert_eq!(
        (code, &answer["gate"], &answer["proven"]),
        (Some(0), &"env".into(), &true.into()),
        "{answer}"
    );
    let (code, answer) = leaky.prove(&["--gate", "pre-commit"]);
    assert_eq!((code, &answer["proven"]), (Some(0), &true.into()), "{answer}");
    let suggested: Value =
        serde_json::from_str(&leaky.ok(&["gate", "suggest", &leaky.incident, "--json"])).unwrap();
    assert_eq!(suggested["gates"][0]["advice"]["gate"], "env");
}
