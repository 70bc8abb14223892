//! Where the real binary connects to when people name other places: in leaked values, in words, and behind `--server`.
//!
//! A recording proxy stands before every request over HTTP, so that names and addresses that nobody can listen on here (a cloud's
//! metadata, `169.254.169.254`) are seen, too. What people can set, and what only the operator can, is listed in
//! `crates/quell-web/tests/web/outside.rs`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use quell_testkit::model::{Listener, Reply};
use serde_json::json;

use super::room::Room;
use crate::world::{Roles, Servers, World, private, text, wait_for};

const METADATA: &str = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";

/// Whoever comes is written down.
fn trap() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let came: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&came);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            kept.lock().unwrap().push(format!("{:?}", stream.peer_addr()));
        }
    });
    (port, came)
}

#[test]
fn a_leaked_value_is_tried_at_the_issuers_door_whatever_host_it_names() {
    let servers = Servers::start();
    let mut world = World::new(&servers, "doors", Roles::Single, "{ approvals: { destructive: 0 } }");
    // Consumers and the vault are the operator's, on loopback; all else would go through the proxy.
    let proxy = Listener::start(|_| Reply::empty(502)).unwrap();
    let through = PathBuf::from(format!("http://127.0.0.1:{}", proxy.port()));
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        world.env.push((name.to_owned(), through.clone()));
    }
    world.env.push(("no_proxy".to_owned(), PathBuf::from("127.0.0.1,localhost")));
    let (port, came) = trap();
    let room = Room::start(&world);
    let host = format!("127.0.0.1:{}", servers.postgres.port());
    let elsewhere = world.old_url.replace(&host, &format!("127.0.0.1:{port}"));
    assert_ne!(elsewhere, world.old_url);
    let leaked = json!({
        "secrets": [world.secret()], "channel": "chat", "value": elsewhere, "title": METADATA, "place": METADATA,
    });
    let opened = room.post("/incidents", &leaked).is(201);
    let id = opened["incident"].as_str().unwrap();
    for (path, field) in [("note", "text"), ("cleaned", "what")] {
        room.post(&format!("/incidents/{id}/{path}"), &json!({ field: METADATA })).is(200);
    }
    let verdict = json!({ "verdict": "cannot-tell", "reason": METADATA });
    room.post(&format!("/incidents/{id}/verdict"), &verdict).is(200);
    let plan = room.post(&format!("/incidents/{id}/plan"), &json!({})).is(200);
    room.post(&format!("/incidents/{id}/respond"), &json!({ "plan": plan["hash"] })).is(200);
    let done = || {
        let plan = room.get(&format!("/incidents/{id}/plan")).is(200);
        plan["states"].as_array().unwrap().iter().all(|step| step["state"]["is"] == "applied")
    };
    wait_for(done, "the plan is not carried out");
    let verified = room.post(&format!("/incidents/{id}/verify"), &json!({})).is(200);
    assert_eq!(
        verified["inert"], true,
        "it was valid at the real door, and is refused there now: {verified}"
    );
    assert_eq!(*came.lock().unwrap(), <Vec<String>>::new(), "the host inside a value was asked");
    assert_eq!(proxy.lines(), <Vec<String>>::new(), "somebody's words were asked");
}

#[test]
fn no_successor_is_written_for_the_host_that_a_reported_value_names() {
    let servers = Servers::start();
    let (port, came) = trap();
    let host = format!("127.0.0.1:{}", servers.postgres.port());
    for (name, names, made) in [("away", format!("127.0.0.1:{port}"), 0), ("home", host.clone(), 1)] {
        let world = World::new(&servers, name, Roles::Single, "{ approvals: { destructive: 0 } }");
        // No store says how the secret is written: only the reported value does.
        let text = std::fs::read_to_string(world.path("quell.yaml")).unwrap();
        let (head, rest) = text.split_once("    stores:\n").unwrap();
        let (_, tail) = rest.split_once("policy:").unwrap();
        std::fs::write(world.path("quell.yaml"), format!("{head}policy:{tail}")).unwrap();
        let file = world.path("leaked.txt");
        private(&file, &world.old_url.replace(&host, &names));
        let (secret, file) = (world.secret(), file.display().to_string());
        let opened = world.json(&[
            "incident",
            "open",
            "--secret",
            &secret,
            "--channel",
            "chat",
            "--value-file",
            &file,
        ]);
        let id = opened["incident"].as_str().unwrap();
        world.ok(&["plan", id]);
        let said = text_of(&world.run(&["respond", id]));
        assert_eq!(world.new_values(id), made, "{said}");
        assert_eq!(said.contains("the URL leads to another address"), made == 0, "{said}");
    }
    assert_eq!(*came.lock().unwrap(), <Vec<String>>::new());
}

fn text_of(output: &std::process::Output) -> String {
    text(&[&output.stdout[..], &output.stderr[..]].concat())
}

#[test]
fn a_token_is_not_carried_to_where_a_server_points() {
    let servers = Servers::start();
    let world = World::bare(&servers, "carried", Roles::Single, "{}");
    private(&world.path("server.token"), "qll_made-up");
    let (port, came) = trap();
    let to = format!("http://127.0.0.1:{port}/api/v1/incidents");
    for status in [301, 302, 307, 308] {
        let to = to.clone();
        let server = Listener::start(move |_| Reply::empty(status).header("location", &to)).unwrap();
        let url = format!("http://127.0.0.1:{}", server.port());
        for args in
            [&["incident", "list"][..], &["incident", "open", "--secret", "carried-db", "--channel", "chat"]]
        {
            let mut command = world.quell(args);
            command.env("QUELL_SERVER", &url).env("QUELL_TOKEN_FILE", world.path("server.token"));
            let output = command.output().unwrap();
            assert!(!output.status.success(), "{args:?}: {}", text(&output.stdout));
        }
        assert!(server.lines().len() >= 2, "{:?}", server.lines());
    }
    assert_eq!(*came.lock().unwrap(), <Vec<String>>::new());
}
