//! Values are planted, the whole job is run, failures included, and then everything that was written, printed, sent
//! or visible to other processes is searched for them.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::search::{Planted, Sampler};
use super::world::{Roles, Servers, World, text};

const PASSPHRASE: &str = "correct horse 7Gq battery staple";
const SECOND_PASSPHRASE: &str = "tangled otter Xy2 brittle lantern";
const HOOK_KEY: &str = "hook-key-93hfkwQmzpTT2";

/// Runs commands and keeps all they say.
struct Watched<'a> {
    world: World<'a>,
    said: RefCell<Vec<u8>>,
    sampled: RefCell<Vec<u8>>,
}

impl Watched<'_> {
    /// Gives the exit code and stdout.
    #[track_caller]
    fn run(&self, expected: i32, args: &[&str]) -> Output {
        let child = self.world.spawn(args);
        let sampler = Sampler::of(child.id());
        let output = child.wait_with_output().unwrap();
        for seen in sampler.finish() {
            self.sampled.borrow_mut().extend(seen);
        }
        let mut said = self.said.borrow_mut();
        said.extend(&output.stdout);
        said.extend(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "quell {args:?}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        output
    }

    #[track_caller]
    fn json(&self, expected: i32, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_slice(&self.run(expected, &args).stdout).unwrap()
    }

    fn passphrase(&mut self, file: &str) {
        let path = self.world.path(file);
        self.world.env.retain(|(name, _)| name != "QUELL_PASSPHRASE_FILE");
        self.world.env.push(("QUELL_PASSPHRASE_FILE".to_owned(), path));
    }
}

/// Answers every request with 200 and keeps what was sent.
fn webhook() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let traffic: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = Arc::clone(&traffic);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                request.extend_from_slice(&chunk[..count]);
                if is_whole(&request) {
                    drop(
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                    );
                    break;
                }
            }
            kept.lock().unwrap().extend(request);
        }
    });
    (port, traffic)
}

fn is_whole(request: &[u8]) -> bool {
    let request = text(request).to_lowercase();
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn write_executable(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A world with both kinds of channel, children of every kind, and a passphrase; no data folder yet.
fn watched(servers: &Servers, hook_port: u16) -> Watched<'_> {
    let policy = format!(
        "{{ approvals: {{ destructive: 1 }}, notify: {{ post: hook, page: journal }} }}\n\
         channels:\n  hook: {{ webhook: {{ url: \"http://127.0.0.1:{hook_port}/quell\", secret: \"file:hook.key\" }} }}\n  \
         journal: {{ log: {{ path: notices.jsonl }} }}"
    );
    let world = World::bare(servers, "hyg", Roles::Alternating, &policy);
    // The administrator's URL comes out of a program, and a consumer is reloaded by one: children to be sampled.
    world.edit("openbao:kv/infra/hyg#admin_url", "exec:./slow-cat admin.url");
    write_executable(&world.path("slow-cat"), "#!/bin/sh\nsleep 0.02\ncat \"$1\"\n");
    let here = world.folder.path().display().to_string();
    world.edit(
        &format!("{{ process: {{ pidfile: {here}/worker.pid, signal: HUP }} }}"),
        "{ exec: [./reload-worker] }",
    );
    write_executable(
        &world.path("reload-worker"),
        "#!/bin/sh\nsleep 0.05\nkill -HUP \"$(cat worker.pid)\"\n",
    );
    std::fs::write(world.path("hook.key"), HOOK_KEY).unwrap();
    std::fs::write(world.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    std::fs::write(world.path("passphrase2"), format!("{SECOND_PASSPHRASE}\n")).unwrap();
    let mut watched = Watched { world, said: RefCell::default(), sampled: RefCell::default() };
    watched.passphrase("passphrase");
    watched
}

/// What goes wrong must not say values either: pasted into the inventory, in files, at servers that are not there.
fn failures(watched: &Watched<'_>, id: &str) {
    let world = &watched.world;
    let inventory = world.path("quell.yaml");
    let good = std::fs::read_to_string(&inventory).unwrap();
    let admin = servers_admin(world);
    let bad = [
        good.replace("exec:./slow-cat admin.url", &admin),
        good.replace("exec:./slow-cat admin.url", &format!("file:{admin}")),
        good.replace("file:token", world.servers.openbao.root_token()),
        good.replace("    env: prod\n", &format!("    env: prod\n    password: {}\n", world.old_password)),
        good.replace("    env: prod\n", &format!("    env: prod\n    owners: {}\n", world.old_password)),
        good.replace("kind: postgres-password", &format!("kind: [\"{}\"", world.old_url)),
        good.replace("mount: kv,", &format!("mount: kv, value: \"{}\",", world.old_url)),
        good.replace(
            "/healthz\"",
            &format!("/healthz?key={}\", token: \"{}\"", world.old_password, world.old_url),
        ),
        good.replace("http://127.0.0.1", &format!("http://hyg:{}@127.0.0.1", world.old_password)),
    ];
    for text in bad {
        assert_ne!(text, good);
        std::fs::write(&inventory, text).unwrap();
        for args in [["inventory", "check"].as_slice(), &["respond", id], &["verify", id], &["doctor"]] {
            let output = world.run(args);
            watched.said.borrow_mut().extend([output.stdout, output.stderr].concat());
        }
    }
    // An issuer that is not there, and one that refuses.
    for wrong in [admin.replace(&world.servers.postgres.port().to_string(), "1"), format!("{admin}-wrong")] {
        std::fs::write(&inventory, &good).unwrap();
        std::fs::write(world.path("admin.url"), wrong).unwrap();
        watched.run(5, &["inventory", "check"]);
        watched.run(5, &["verify", id]);
    }
    std::fs::write(world.path("admin.url"), &admin).unwrap();
    watched.run(1, &["ledger", "verify", "--passphrase-file", "hook.key"]);
    watched.run(2, &["incident", "open", "--secret", "hyg-db", "--finding", "F-000000000000"]);
    watched.run(
        2,
        &["incident", "open", "--secret", "hyg-db", "--channel", "nowhere", "--value-file", "app.env"],
    );
}

fn servers_admin(world: &World<'_>) -> String {
    world.servers.postgres.admin_url()
}

#[test]
fn planted_values_are_found_nowhere() {
    let servers = Servers::start();
    let (hook_port, traffic) = webhook();
    let mut watched = watched(&servers, hook_port);
    // The test's own statements hold the old password; from here on nobody may write it.
    let log_before = servers.postgres.log().len();
    let repository = watched.world.leaky_repository("2026-03-01T08:00:00Z");

    std::fs::create_dir(watched.world.path("out")).unwrap();
    watched.run(0, &["init", "--passphrase"]);
    watched.run(0, &["doctor"]);
    watched.run(0, &["inventory", "check"]);
    let scanned = watched.json(10, &["scan", repository.to_str().unwrap()]);
    watched.run(10, &["scan", repository.to_str().unwrap()]);
    let finding = scanned["findings"][0]["id"].as_str().unwrap().to_owned();
    let opened = watched.json(0, &["incident", "open", "--finding", &finding, "--channel", "public-repo"]);
    let id = opened["incident"].as_str().unwrap().to_owned();
    watched.run(0, &["plan", &id]);
    watched.json(0, &["plan", &id]);
    failures(&watched, &id);
    watched.run(4, &["respond", &id]);
    watched.run(0, &["respond", &id, "--yes", &id]);
    watched.world.assert_inert(&id, Roles::Alternating);
    watched.json(0, &["verify", &id]);
    watched.run(0, &["verify", &id]);
    watched.run(0, &["report", &id]);
    watched.json(0, &["report", &id]);
    watched.run(0, &["report", &id, "--output", "out/report.md"]);
    watched.run(0, &["evidence", "export", &id, "--output", "out/bundle.quell.tar"]);
    watched.run(0, &["evidence", "verify", "out/bundle.quell.tar"]);
    watched.run(0, &["incident", "show", &id]);
    watched.json(0, &["incident", "show", &id]);
    watched.json(0, &["incident", "timeline", &id]);
    watched.run(0, &["incident", "timeline", &id]);
    watched.run(0, &["keys", "rotate", "--passphrase", "--new-passphrase-file", "passphrase2"]);
    watched.run(1, &["ledger", "verify"]);
    watched.passphrase("passphrase2");
    watched.run(0, &["verify", &id]);
    watched.run(0, &["ledger", "verify"]);

    let mut planted = Planted::default();
    let world = &watched.world;
    let new_url = world.kv()["data"]["DATABASE_URL"].as_str().unwrap().to_owned();
    let password_of = |url: &str| {
        url.split_once("://").unwrap().1.split_once(':').unwrap().1.split_once('@').unwrap().0.to_owned()
    };
    planted.add("the old password", world.old_password.as_bytes());
    planted.add("the new password", password_of(&new_url).as_bytes());
    planted.add("the administrator's password", password_of(&servers.postgres.admin_url()).as_bytes());
    planted.add("OpenBao's token", servers.openbao.root_token().as_bytes());
    planted.add("the passphrase", PASSPHRASE.as_bytes());
    planted.add("the second passphrase", SECOND_PASSPHRASE.as_bytes());
    planted.add("the webhook's key", HOOK_KEY.as_bytes());

    let sampled = watched.sampled.borrow();
    for child in ["slow-cat", "reload-worker"] {
        assert!(text(&sampled).contains(child), "{child} was not sampled");
    }
    let traffic = traffic.lock().unwrap();
    assert!(text(&traffic).contains("x-quell-signature"), "the webhook got nothing: {}", text(&traffic));
    let log = servers.postgres.log();
    assert!(log[log_before..].contains("SCRAM-SHA-256$"), "the log does not show what Quell does");
    let audit = std::fs::read(servers.openbao.audit_log()).unwrap();
    assert!(text(&audit).contains("kv/data/apps/hyg"), "the audit log does not show what Quell does");

    let mut found = planted.in_folder(&world.path("data"));
    found.extend(planted.in_folder(&world.path("out")));
    for (place, bytes) in [
        ("what Quell printed", watched.said.borrow().as_slice()),
        ("arguments or environment of a process", &sampled),
        ("what the webhook got", &traffic),
        ("the log channel", &std::fs::read(world.path("notices.jsonl")).unwrap()),
        ("PostgreSQL's log", &log.as_bytes()[log_before..]),
        ("OpenBao's audit log", &audit),
    ] {
        assert!(!bytes.is_empty(), "{place} is empty, so nothing was shown");
        found.extend(planted.in_bytes(place, bytes));
    }
    assert_eq!(found, [""; 0]);

    // The same search finds what was planted where it does belong: it is not blind.
    let env_file = std::fs::read(world.path("app.env")).unwrap();
    assert_ne!(planted.in_bytes("the env file", &env_file), [""; 0]);
    assert_ne!(planted.in_bytes("PostgreSQL's log before", &log.as_bytes()[..log_before]), [""; 0]);
    let body = json!({"nested": {"url": new_url}}).to_string();
    assert_ne!(planted.in_bytes("a body", body.as_bytes()), [""; 0]);
}
