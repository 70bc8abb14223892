//! What strangers and accidents send.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::room::Room;
use crate::world::{Roles, Servers, World, text};

#[test]
fn what_cannot_be_read_is_refused_with_a_problem_and_without_repeating_it() {
    let servers = Servers::start();
    let world = World::new(&servers, "hostile", Roles::Single, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let before = room.get("/server").is(200)["entries"].clone();
    let note = format!("/incidents/{id}/note");
    let json_kind = ["content-type: application/json"];
    let canary = world.old_password.as_str();
    let deep = format!("{{\"text\":{}", "[".repeat(100_000));
    let wrong: [(u16, &[&str], Vec<u8>); 9] = [
        (400, &json_kind, b"{".to_vec()),
        (400, &json_kind, vec![0xff, 0xfe, 0, 1]),
        (422, &json_kind, deep.into_bytes()),
        (422, &json_kind, format!(r#"{{"text":{{"{canary}":1}}}}"#).into_bytes()),
        (422, &json_kind, format!(r#"{{"text":"a","{canary}":1}}"#).into_bytes()),
        (422, &json_kind, b"[]".to_vec()),
        (413, &json_kind, vec![b' '; (1 << 20) + 1]),
        (415, &["content-type: text/plain"], br#"{"text":"a"}"#.to_vec()),
        (415, &["content-type: application/x-www-form-urlencoded"], br#"{"text":"a"}"#.to_vec()),
    ];
    for (status, headers, body) in wrong {
        let reply = room.ask("POST", &note, headers, &body);
        let shown = text(&body[..body.len().min(60)]);
        assert_eq!(reply.status, status, "{shown}: {}", text(&reply.body));
        let problem = reply.problem(status);
        assert!(!problem.to_string().contains(canary), "{problem}");
    }
    let odd = ["..%2f..%2fetc%2fpasswd", "%00", "%ff", "INC-1", "INC-2026-0001%0d%0aa:b", canary];
    for odd in odd {
        let reply = room.get(&format!("/incidents/{odd}"));
        assert!(matches!(reply.status, 400 | 404), "{odd}: {}", reply.status);
        let problem = reply.problem(reply.status);
        assert!(!problem.to_string().contains(canary), "{problem}");
    }
    for path in ["/incidents/../../etc/passwd", "/incidents/INC-2026-0001/evidence/..%2f..%2fkeys", "/x"] {
        assert!(matches!(room.get(path).status, 400 | 404), "{path}");
    }
    room.ask("DELETE", &format!("/incidents/{id}"), &[], b"").problem(405);
    room.raw("GET", "/api/v1/incidents", &[], b"").problem(401);
    let file = |name: &str, content: &str| json!({ "statement": "seen in the console", "evidence": [{ "name": name, "content": content }] });
    let step = format!("/incidents/{id}/steps/hostile-db.disable/resolve");
    world.ok(&["plan", &id]);
    for body in [file("../a", "YQ=="), file("", "YQ=="), file("a\nb", "YQ=="), file("a", "no base64")] {
        room.post(&step, &body).problem(422);
    }
    let after = room.get("/server").is(200)["entries"].as_u64().unwrap();
    assert_eq!(after, before.as_u64().unwrap() + 1, "only the plan was written");
}

#[test]
fn of_two_who_decide_at_once_one_is_told_what_the_other_did() {
    let servers = Servers::start();
    let world = World::new(&servers, "two", Roles::Single, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let note = format!("/incidents/{id}/note");
    let tag = room.get(&format!("/incidents/{id}")).header("etag").unwrap();
    let seen = format!("if-match: {tag}");
    let replies: Vec<u16> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2)
            .map(|n| {
                let (room, seen, note) = (&room, seen.as_str(), note.as_str());
                scope.spawn(move || {
                    room.post_with(note, &[seen], &json!({ "text": format!("from {n}") })).status
                })
            })
            .collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut sorted = replies.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [200, 412], "{replies:?}");
    let late = room.post_with(&note, &[&seen], &json!({ "text": "late" }));
    let problem = late.problem(412);
    let hints = problem["hints"].as_array().unwrap();
    assert!(hints.iter().any(|hint| hint.as_str().unwrap().starts_with("since then: ")), "{problem}");
    let newest = late.header("etag").unwrap();
    room.post_with(&note, &[&format!("if-match: {newest}")], &json!({ "text": "seen" })).is(200);
    let weak = room.get(&format!("/incidents/{id}")).header("etag").unwrap();
    room.post_with(&note, &[&format!("if-match: W/{weak}")], &json!({ "text": "by a proxy" })).is(200);
    room.post_with(&note, &["if-match: yesterday"], &json!({ "text": "a" })).problem(400);
    let unchanged = room.get(&format!("/incidents/{id}")).header("etag").unwrap();
    let same = room.ask("GET", &format!("/incidents/{id}"), &[&format!("if-none-match: {unchanged}")], b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[test]
fn a_request_that_is_sent_again_does_nothing_twice() {
    let servers = Servers::start();
    sent_again(&World::new(&servers, "again", Roles::Single, "{}"));
}

#[test]
fn nor_with_state_in_postgresql() {
    let servers = Servers::start();
    servers.postgres.psql("CREATE DATABASE quell").unwrap();
    let mut world = World::bare(&servers, "shared", Roles::Single, "{}");
    let admin = servers.postgres.admin_url();
    let (front, _) = admin.rsplit_once('/').unwrap();
    crate::world::private(&world.path("database"), &format!("{front}/quell"));
    world.env.push(("QUELL_DATABASE_FILE".to_owned(), world.path("database")));
    world.ok(&["init"]);
    sent_again(&world);
}

fn sent_again(world: &World<'_>) {
    let room = Room::start(world);
    let key = ["idempotency-key: k-1"];
    let leaked = json!({ "secrets": [world.secret()], "channel": "chat", "value": world.old_url });
    let replies: Vec<_> = std::thread::scope(|scope| {
        let four: Vec<_> =
            (0..4).map(|_| scope.spawn(|| room.post_with("/incidents", &key, &leaked))).collect();
        four.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(replies.iter().all(|reply| matches!(reply.status, 201 | 409)), "{replies:?}");
    let again = room.post_with("/incidents", &key, &leaked);
    let opened = again.is(201);
    assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"));
    let shown = room.get(&format!("/incidents/{}", opened["incident"].as_str().unwrap()));
    assert_eq!(shown.header("etag"), again.header("etag"), "the tag is given again, too");
    assert_eq!(room.get("/incidents").is(200)["incidents"].as_array().unwrap().len(), 1, "opened once");
    let other = json!({ "secrets": [world.secret()], "channel": "chat" });
    room.post_with("/incidents", &key, &other).problem(422);
    let note = format!("/incidents/{}/note", opened["incident"].as_str().unwrap());
    room.post_with(&note, &key, &json!({ "text": "a" })).problem(422);
    room.post_with(&note, &["idempotency-key:"], &json!({ "text": "a" })).is(200);
    let long = format!("idempotency-key: {}", "k".repeat(256));
    room.post_with(&note, &[&long], &json!({ "text": "a" })).problem(400);
    for file in crate::world::files_below(&world.path("data")) {
        let bytes = std::fs::read(&file).unwrap();
        let needle = world.old_password.as_bytes();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", file.display());
    }
}

/// The numbers of the first entries that a watcher hears of.
fn hear(room: &Room, id: &str, last: Option<u64>, count: usize) -> Vec<u64> {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-N", "--max-time", "20"]);
    for header in room.headers() {
        curl.args(["-H", &header]);
    }
    let query = if last.is_none() { "?after=0" } else { "" };
    if let Some(last) = last {
        curl.args(["-H", &format!("last-event-id: {last}")]);
    }
    curl.arg(format!("{}/api/v1/incidents/{id}/events{query}", room.url));
    let mut running = curl.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let heard = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok());
    let heard = heard.take(count).collect();
    drop(running.kill());
    drop(running.wait());
    heard
}

#[test]
fn whoever_comes_back_to_the_news_hears_each_entry_once() {
    let servers = Servers::start();
    let world = World::new(&servers, "news", Roles::Single, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let entries = room.get(&format!("/incidents/{id}/entries")).is(200);
    let numbers: Vec<u64> =
        entries["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    let half = numbers.len() / 2;
    let first = hear(&room, &id, None, half);
    let heard = std::thread::scope(|scope| {
        let last = first.last().copied();
        let (room, id) = (&room, id.as_str());
        let rest = scope.spawn(move || hear(room, id, last, numbers.len() - half + 3));
        for n in 0..3 {
            let noted = room.post(&format!("/incidents/{id}/note"), &json!({ "text": format!("note {n}") }));
            assert_eq!(noted.status, 200);
        }
        rest.join().unwrap()
    });
    let all: Vec<u64> = first.into_iter().chain(heard).collect();
    let after = room.get(&format!("/incidents/{id}/entries")).is(200);
    let written: Vec<Value> =
        after["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].clone()).collect();
    let expected: Vec<Value> = all.iter().map(|seq| json!(seq)).collect();
    assert_eq!(written[..expected.len()], expected[..], "each once, in order");
    assert!(expected.len() >= 5);
}
