//! `quell kill -` against the stateful model of a provider file: nothing at hand but the value.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use quell_connect::conformance::{Fault, FlakyProxy};
use quell_connect::provider::model::{Model, ModelKey, Mood};
use quell_scan::rule::template;
use serde_json::Value;

use super::world::{files_below, private, quell_program, text};

/// Recorded and not begun; done and not recorded; recorded.
const PLACES: [&str; 3] = ["after-intent", "after-effect", "after-result"];

/// A folder with a provider file that points to a model, and a key that the scanner takes for what it is.
pub(crate) struct Desk {
    pub(crate) folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    pub(crate) model: Model,
    pub(crate) key: ModelKey,
    pub(crate) control: ModelKey,
    id: String,
    address: String,
}

pub(crate) fn embedded(id: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../quell-connect/src/provider/providers");
    std::fs::read_to_string(format!("{folder}/{id}.yaml")).unwrap()
}

fn token(seed: u64) -> String {
    template::expand("ghp_{alnum:30}{checksum}", seed).unwrap()
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::of("github", "https://api.github.com", &token(41))
    }

    /// For another provider: its id, its address, and a key of its form.
    pub(crate) fn of(id: &str, address: &str, value: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let file = quell_connect::provider::read(id, &embedded(id)).unwrap();
        let model = runtime.block_on(Model::start(Arc::new(file), 3)).unwrap();
        let control = match id {
            "github" => model.adopt(&token(42)),
            _ => model.key("control"),
        };
        let key = model.adopt(value);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("providers")).unwrap();
        let (id, address) = (id.to_owned(), address.to_owned());
        let desk = Self { folder, runtime, model, key, control, id, address };
        desk.point_to(&desk.model.url());
        assert!(desk.run(&["init"], None).status.success());
        desk
    }

    /// The provider is elsewhere from now on.
    fn point_to(&self, url: &str) {
        let file = embedded(&self.id).replace(&self.address, url);
        let (before, after) = file.split_once("\nsettle: ").unwrap();
        let (_, rest) = after.split_once('\n').unwrap();
        let file =
            format!("{before}\nsettle: 100ms\n{rest}").replace("\n  settle: 8s\n", "\n  settle: 100ms\n");
        std::fs::write(self.folder.path().join(format!("providers/{}.yaml", self.id)), file).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(quell_program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("QUELL_DATA_DIR", self.folder.path().join("data"))
            .env("QUELL_ACTOR", "ines")
            .env("GOOD", &self.control.value)
            .env("ADMIN", self.model.admin())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str], failpoint: Option<&str>) -> Output {
        let mut command = self.command(args);
        if let Some(failpoint) = failpoint {
            command.env("QUELL_FAILPOINT", failpoint);
        }
        let mut child = command.spawn().unwrap();
        // A command that does not read it may be gone already.
        let _unread = child.stdin.take().unwrap().write_all(format!("{}\n", self.key.value).as_bytes());
        let output = child.wait_with_output().unwrap();
        for said in [text(&output.stdout), text(&output.stderr)] {
            assert!(!said.contains(&self.key.value), "quell {args:?} says the value");
            assert!(!said.contains(&self.control.value), "quell {args:?} says the control");
        }
        output
    }

    /// With `--yes` and `--json`; the exit code and the object.
    #[track_caller]
    pub(crate) fn kill(&self, more: &[&str]) -> (i32, Value) {
        let args: Vec<&str> = ["kill", "-", "--yes", "--json", "--providers", "providers"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let output = self.run(&args, None);
        let object = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}\n{}", text(&output.stdout), text(&output.stderr)));
        (output.status.code().unwrap(), object)
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = self.run(&args, None);
        assert!(output.status.success(), "quell {args:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn assert_traceless(&self) {
        for file in files_below(self.folder.path()) {
            let bytes = std::fs::read(&file).unwrap();
            for value in [&self.key.value, &self.control.value] {
                let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
                assert!(!found, "{} holds a value", file.display());
            }
        }
        let lines = self.model.lines().join("\n");
        assert!(!lines.contains(&self.key.value), "an address holds the value");
        assert!(self.run(&["ledger", "verify"], None).status.success());
    }
}

#[test]
fn a_leaked_key_dies_with_nothing_but_its_value() {
    let desk = Desk::new();
    let (code, killed) = desk.kill(&["--channel", "public-repo"]);
    assert_eq!(code, 0, "{killed}");
    assert_eq!(killed["kind"], "github-token");
    assert_eq!(killed["shown"]["is"], "refused-after-accepted", "without a control it is no proof: {killed}");
    assert_eq!(killed["proof"]["inert"], false);
    assert_eq!(killed["proof"]["control_is"], "none");
    assert_eq!(killed["proof"]["old"][0]["probes"][1]["code"], "401 Bad credentials");
    assert!(!desk.model.alive(&desk.key.id) && desk.model.alive(&desk.control.id));
    assert_eq!(desk.model.revocations(), 1);
    let revoked = desk.model.lines().into_iter().position(|line| line == "POST /credentials/revoke").unwrap();
    assert!(desk.model.lines()[..revoked].contains(&"GET /user".to_owned()), "it is looked at first");
    desk.assert_traceless();

    // Again, with a good key beside it: the same incident, no second revocation, and now a proof.
    let (code, proven) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &proven["shown"]["is"]), (0, &Value::from("proven")), "{proven}");
    assert_eq!(proven["incident"], killed["incident"]);
    assert_eq!(proven["proof"]["inert"], true);
    assert_eq!(desk.model.revocations(), 1);
    desk.assert_traceless();
    let shown = desk.json(&["incident", "show", proven["incident"].as_str().unwrap()]);
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
}

#[test]
fn with_a_control_it_is_a_proof_at_once() {
    let desk = Desk::new();
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (0, &Value::from("proven")), "{killed}");
    assert_eq!(killed["proof"]["control"].as_array().unwrap().len(), 2);
    desk.assert_traceless();
    // The control must be good: a dead one takes the worth from the refusal.
    let desk = Desk::new();
    desk.model.revoke(&desk.control.id);
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (5, &Value::from("not-dead")), "{killed}");
}

#[test]
fn a_key_that_is_dead_already_is_not_revoked() {
    let desk = Desk::new();
    desk.model.revoke(&desk.key.id);
    let (code, killed) = desk.kill(&[]);
    assert_eq!((code, &killed["shown"]["is"]), (3, &Value::from("refused")), "never seen accepted: {killed}");
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (3, &Value::from("refused-beside-control")), "{killed}");
    assert_eq!(desk.model.revocations(), 0);
}

#[test]
fn nothing_happens_without_a_yes_or_on_a_dry_run() {
    let desk = Desk::new();
    let asked = desk.run(&["kill", "-", "--providers", "providers"], None);
    assert_eq!(asked.status.code(), Some(4), "{}", text(&asked.stderr));
    let said = text(&asked.stderr);
    for words in [
        "GitHub personal access token",
        "it opens the door",
        "POST /credentials/revoke",
        "revoking breaks",
        "no control",
        "--yes",
    ] {
        assert!(said.contains(words), "{words} is missing: {said}");
    }
    // Who decides is recorded, so a name is asked for before anything else. This one is what somebody has whom the system does not know.
    let nameless = desk
        .command(&["kill", "-", "--yes", "--providers", "providers"])
        .env("QUELL_ACTOR", "unknown")
        .spawn();
    let mut nameless = nameless.unwrap();
    nameless.stdin.take().unwrap().write_all(desk.key.value.as_bytes()).unwrap();
    let nameless = nameless.wait_with_output().unwrap();
    assert_eq!(nameless.status.code(), Some(2));
    assert!(text(&nameless.stderr).contains("--as NAME"), "{}", text(&nameless.stderr));
    let (code, seen) = desk.kill(&["--dry-run"]);
    assert_eq!((code, &seen["seen"]["is"]), (0, &Value::from("accepted")), "{seen}");
    assert!(desk.model.alive(&desk.key.id) && desk.model.revocations() == 0);
    assert_eq!(desk.json(&["incident", "list"])["incidents"].as_array().unwrap().len(), 0);
    // A dry run needs no installation either.
    std::fs::remove_dir_all(desk.folder.path().join("data")).unwrap();
    assert_eq!(desk.kill(&["--dry-run"]).0, 0);
    assert!(!desk.folder.path().join("data").exists());
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let desk = Desk::new();
    let output = desk.run(&["kill", &desk.key.value, "--yes"], None);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("from standard input only"), "{}", text(&output.stderr));
    assert!(desk.model.alive(&desk.key.id));
}

#[test]
fn what_is_no_bare_key_is_refused_before_anything_is_sent() {
    let desk = Desk::new();
    let named = format!("GITHUB_TOKEN={}\n", desk.key.value);
    for (input, wanted) in [
        ("no-such-form-of-a-key\n", "no rule recognizes this value; name the provider with --provider"),
        (named.as_str(), "the input holds more than the value"),
        ("\n", "holds no value"),
    ] {
        let mut child = desk.command(&["kill", "-", "--yes", "--providers", "providers"]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains(wanted) && !said.contains(&desk.key.value), "{said}");
    }
    assert!(desk.model.lines().is_empty());
}

/// Through the binary, for every file that says that the value is enough.
#[test]
fn each_self_revocable_provider_is_killed_before_any_administrator_is_at_hand() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../quell-connect/src/provider/providers");
    let mut killed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let id = name.strip_suffix(".yaml").unwrap();
        let file = quell_connect::provider::read(id, &embedded(id)).unwrap();
        if !file.self_revocable() {
            continue;
        }
        let desk = Desk::of(
            id,
            "https://nowhere.example",
            &quell_connect::provider::expand(&file.example.value, 99),
        );
        let url = desk.model.url();
        let set: Vec<String> =
            file.example.vars.iter().map(|(name, text)| format!("{name}={text}")).collect();
        let mut more = vec!["--provider", id, "--url", &url];
        more.extend(set.iter().flat_map(|pair| ["--set", pair.as_str()]));
        let (code, shown) = desk.kill(&more);
        assert_eq!(
            (code, &shown["shown"]["is"]),
            (0, &Value::from("refused-after-accepted")),
            "{id}: {shown}"
        );
        assert!(!desk.model.alive(&desk.key.id) && desk.model.revocations() == 1, "{id}");
        if file.secret_in_url.is_none() {
            desk.assert_traceless();
        }
        killed += 1;
    }
    assert!(killed >= 12, "{killed}");
}

#[test]
fn where_no_call_revokes_it_a_person_does_and_the_same_command_sees_it() {
    let desk = Desk::of("figma", "https://api.figma.com", &template::expand("figd_{alnum:40}", 7).unwrap());
    let (code, told) = desk.kill(&["--provider", "figma", "--control", "env:GOOD"]);
    assert_eq!((code, &told["shown"]["is"]), (5, &Value::from("not-dead")), "{told}");
    let args =
        ["kill", "-", "--yes", "--providers", "providers", "--provider", "figma", "--control", "env:GOOD"];
    let said = text(&desk.run(&args, None).stderr);
    assert!(said.contains("Revoke it in Figma under Settings"), "{said}");
    desk.model.revoke(&desk.key.id);
    let (code, killed) = desk.kill(&["--provider", "figma", "--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (0, &Value::from("proven")), "{killed}");
    assert_eq!(killed["incident"], told["incident"]);
    let shown = desk.json(&["incident", "show", killed["incident"].as_str().unwrap()]);
    let unmet = shown["unmet"].to_string();
    assert!(
        !unmet.contains("ever seen to be valid"),
        "it was seen alive before the person revoked it: {unmet}"
    );
    desk.assert_traceless();
}

#[test]
fn it_survives_sigkill_at_every_boundary_and_revokes_once() {
    for step in ["capture", "disable", "prove"] {
        for place in PLACES {
            let desk = Desk::new();
            let failpoint = format!("*.{step}:{place}");
            let args = ["kill", "-", "--yes", "--providers", "providers", "--control", "env:GOOD"];
            let died = desk.run(&args, Some(&failpoint));
            assert_eq!(died.status.code(), None, "{failpoint} was not reached: {}", text(&died.stderr));
            assert!(desk.run(&["ledger", "verify"], None).status.success());
            let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
            assert_eq!((code, &killed["shown"]["is"]), (0, &Value::from("proven")), "{failpoint}: {killed}");
            assert_eq!(desk.model.revocations(), 1, "{failpoint}");
            desk.assert_traceless();
        }
    }
}

#[test]
fn a_lost_answer_is_looked_at_and_nothing_is_revoked_twice() {
    let desk = Desk::new();
    let proxy = desk.runtime.block_on(async { FlakyProxy::start(desk.model.address()) }).unwrap();
    desk.point_to(&format!("http://{}", proxy.address()));
    desk.runtime.block_on(proxy.once(Fault::DropAnswerTo(b"POST /credentials/revoke".to_vec())));
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!(proxy.struck(), 1);
    assert_eq!((code, &killed["shown"]["is"]), (0, &Value::from("proven")), "{killed}");
    assert_eq!(desk.model.revocations(), 1);
    desk.assert_traceless();
}

#[test]
fn an_issuer_that_says_done_and_does_nothing_is_not_believed() {
    let desk = Desk::new();
    desk.model.set(Mood::Liar);
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (5, &Value::from("not-dead")), "{killed}");
    assert!(desk.model.alive(&desk.key.id));
    // It behaves, and the same command goes on.
    desk.model.set(Mood::Honest);
    let (code, killed) = desk.kill(&["--control", "env:GOOD"]);
    assert_eq!((code, &killed["shown"]["is"]), (0, &Value::from("proven")), "{killed}");
}

impl Desk {
    pub(crate) fn write_inventory(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("quell.yaml"), yaml).unwrap();
    }
}

#[test]
fn a_value_of_the_inventory_is_not_killed_by_mistake() {
    let desk = Desk::new();
    private(&desk.folder.path().join("app.env"), &format!("TOKEN={}\n", desk.key.value));
    desk.write_inventory(
        "providers: [providers]\nsecrets:\n  - id: deploy\n    kind: github-token\n    env: prod\n    \
         issuer: { provider: { id: github, control: \"env:GOOD\" } }\n    \
         stores: [{ env_file: { path: app.env, key: TOKEN } }]\n",
    );
    assert_eq!(desk.run(&["scan", "app.env"], None).status.code(), Some(10));
    let refused = desk.run(&["kill", "-", "--yes", "--providers", "providers"], None);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("a value of `deploy`"), "{}", text(&refused.stderr));
    assert!(desk.model.alive(&desk.key.id));
    let killed = desk.run(&["kill", "-", "--yes", "--even-in-use", "--providers", "providers"], None);
    assert!(killed.status.success(), "{}", text(&killed.stderr));
    assert!(!desk.model.alive(&desk.key.id));
}

/// The repository that leaks may be where the responder stands: what lies there must not choose who gets the key.
#[test]
fn a_provider_file_of_the_inventory_does_not_get_the_key() {
    let desk = Desk::new();
    desk.write_inventory("providers: [providers]\n");
    let before = desk.model.lines().len();
    // Nobody listens there.
    let looked = desk.run(&["kill", "-", "--dry-run", "--url", "http://127.0.0.1:9"], None);
    assert!(text(&looked.stderr).contains("http://127.0.0.1:9"), "{}", text(&looked.stderr));
    assert_eq!(desk.model.lines().len(), before);
}

#[test]
fn an_inventory_can_name_a_provider_as_issuer() {
    let desk = Desk::new();
    desk.write_inventory(
        "providers: [providers]\nsecrets:\n  - id: deploy\n    kind: github-token\n    env: prod\n    \
         issuer: { provider: { id: github, control: \"env:GOOD\" } }\npolicy: { approvals: { destructive: 0 } }\n",
    );
    let checked = desk.json(&["inventory", "check"]);
    assert!(
        checked["checks"].as_array().is_none_or(|all| all.iter().all(|one| one["ok"] == true)),
        "{checked}"
    );
    let opened =
        desk.json(&["incident", "open", "--secret", "deploy", "--channel", "chat", "--value-file", "-"]);
    let id = opened["incident"].as_str().unwrap();
    let done = desk.run(&["respond", id], None);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shown = desk.json(&["incident", "show", id]);
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
    assert!(!desk.model.alive(&desk.key.id) && desk.model.revocations() == 1);
}

/// The engine, the plan and the proof are the usual ones: a successor is made, the store gets it, the old key dies.
#[test]
fn a_provider_that_makes_keys_is_rotated_and_a_crash_leaves_no_stranger() {
    for failpoint in
        [None, Some("*.mint:after-intent"), Some("*.mint:after-effect"), Some("*.disable:after-effect")]
    {
        let value = quell_connect::provider::expand("SG.{alnum:22}.{alnum:43}", 5);
        let desk = Desk::of("sendgrid", "https://api.sendgrid.com", &value);
        private(&desk.folder.path().join("mail.env"), &format!("KEY={value}\n"));
        desk.write_inventory(
            "providers: [providers]\nsecrets:\n  - id: mail\n    kind: sendgrid-api-key\n    env: prod\n    \
             issuer: { provider: { id: sendgrid, admin: \"env:ADMIN\", control: \"env:GOOD\", mint: { scopes: [mail.send] } } }\n    \
             stores: [{ env_file: { path: mail.env, key: KEY } }]\npolicy: { approvals: { destructive: 0 } }\n",
        );
        let opened = desk.json(&["incident", "open", "--secret", "mail", "--channel", "chat"]);
        let id = opened["incident"].as_str().unwrap();
        if failpoint.is_some() {
            assert_eq!(
                desk.run(&["respond", id], failpoint).status.code(),
                None,
                "{failpoint:?} was not reached"
            );
        }
        let done = desk.run(&["respond", id], None);
        assert!(done.status.success(), "{failpoint:?}: {}", text(&done.stderr));
        let shown = desk.json(&["incident", "show", id]);
        assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
        assert_eq!(shown["secrets"][0]["proof"]["control_is"], "successor");
        assert!(!desk.model.alive(&desk.key.id), "{failpoint:?}: the old key lives");
        assert_eq!(desk.model.named("/mail.mint"), 1, "{failpoint:?}: exactly one successor lives");
        let kept = std::fs::read_to_string(desk.folder.path().join("mail.env")).unwrap();
        assert!(kept.starts_with("KEY=SG.") && !kept.contains(&value), "the store holds the successor");
    }
}

/// The answer of the mint is lost, and the list shows the key only later: the plan goes on, and exactly one successor lives.
#[test]
fn a_lost_answer_of_a_mint_leaves_one_successor_with_the_rights_that_were_asked_for() {
    for id in ["sendgrid", "linode"] {
        let file = quell_connect::provider::read(id, &embedded(id)).unwrap();
        let value = quell_connect::provider::expand(&file.example.value, 99);
        let desk = Desk::of(id, &file.url, &value);
        let proxy = desk.runtime.block_on(async { FlakyProxy::start(desk.model.address()) }).unwrap();
        desk.point_to(&format!("http://{}", proxy.address()));
        for n in 0..7 {
            desk.model.key(&format!("other-{n}"));
        }
        private(&desk.folder.path().join("app.env"), &format!("KEY={value}\n"));
        let (kind, scopes) = (&file.kinds[0], &file.example.mint.as_ref().unwrap()["scopes"]);
        desk.write_inventory(&format!(
            "providers: [providers]\nsecrets:\n  - id: app\n    kind: {kind}\n    env: prod\n    \
             issuer: {{ provider: {{ id: {id}, admin: \"env:ADMIN\", control: \"env:GOOD\", key_id: \"{}\", mint: {{ scopes: {scopes} }} }} }}\n    \
             stores: [{{ env_file: {{ path: app.env, key: KEY }} }}]\npolicy: {{ approvals: {{ destructive: 0 }} }}\n",
            desk.key.id
        ));
        let opened = desk.json(&["incident", "open", "--secret", "app", "--channel", "chat"]);
        let incident = opened["incident"].as_str().unwrap();
        let mint = file.mint.as_ref().unwrap().value.path.clone();
        desk.model.set(Mood::Late(2));
        desk.runtime.block_on(proxy.once(Fault::DropAnswerTo(format!("POST {mint}").into_bytes())));
        let done = desk.run(&["respond", incident], None);
        assert_eq!(proxy.struck(), 1, "{id}");
        assert!(done.status.success(), "{id}: {}", text(&done.stderr));
        assert_eq!(desk.model.named("/app.mint"), 1, "{id}: exactly one successor lives");
        assert_eq!(desk.model.rights("/app.mint"), std::slice::from_ref(scopes), "{id}");
        assert!(!desk.model.alive(&desk.key.id), "{id}: the old key lives");
    }
}

/// Where the program that is tested writes what it finds about providers.
pub(crate) fn plain(folder: &std::path::Path, args: &[&str]) -> Output {
    Command::new(quell_program())
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", PathBuf::from(folder))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
