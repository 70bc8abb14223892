//! People are told by a pager, a chat, mail and a webhook while a plan runs; each of them loses an answer, or is down from the begin to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use quell_connect::conformance::Fault;
use quell_testkit::model::pagerduty::PagerDuty;
use quell_testkit::model::slack::Slack;
use quell_testkit::smtp;
use serde_json::{Value, json};

use super::fault::Proxy;
use super::world::{Roles, Servers, World, private, text};

const ROUTING_KEY: &str = "canary0routing0key0of320letters0";
const BOT_TOKEN: &str = "canary-bot-token-of-the-chat";
const MAIL_PASSWORD: &str = "canary-password-of-the-mail";
const HOOK_KEY: &str = "canary-key-of-the-webhook";
const SITE: &str = "https://quell.example.com";

/// Bodies that came to a webhook. The first answer is lost.
fn webhook() -> (u16, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                request.extend_from_slice(&chunk[..count]);
                let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                if let Ok(body) = serde_json::from_slice(&request[at + 4..]) {
                    let mut kept = kept.lock().unwrap();
                    kept.push(body);
                    if kept.len() > 1 {
                        drop(stream.write_all(
                            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                        ));
                    }
                    break;
                }
            }
        }
    });
    (port, got)
}

/// Every system that people are told by.
struct Channels {
    pager: PagerDuty,
    chat: Slack,
    mail: smtp::Server,
    hook: (u16, Arc<Mutex<Vec<Value>>>),
}

impl Channels {
    fn start() -> Self {
        Self {
            pager: PagerDuty::start().unwrap(),
            chat: Slack::start(BOT_TOKEN, "C0SECURITY").unwrap(),
            mail: smtp::Server::start(MAIL_PASSWORD).unwrap(),
            hook: webhook(),
        }
    }

    fn policy(&self, approvals: u8, pager: u16, chat: u16) -> String {
        let (mail, certificate, hook) = (self.mail.implicit(), self.mail.certificate(), self.hook.0);
        let channels = json!({
            "oncall": {"pagerduty": {"routing_key": "file:pager.key", "url": format!("http://127.0.0.1:{pager}")}},
            "security": {"slack": {
                "token": "file:chat.token", "channel": "C0SECURITY", "url": format!("http://127.0.0.1:{chat}/api"),
                "signing_secret": "file:hook.key", "users": {"U0INES": "ines"},
            }},
            "mail": {"smtp": {
                "host": "127.0.0.1", "port": mail, "user": smtp::USER, "password": "file:mail.password",
                "from": "Quell <quell@example.com>", "to": ["ines@example.com"], "ca": certificate,
            }},
            "hook": {"webhook": {"url": format!("http://127.0.0.1:{hook}/quell"), "secret": "file:hook.key"}},
        });
        format!(
            "{{ approvals: {{ destructive: {approvals} }}, site: \"{SITE}\", \
             notify: {{ page: oncall, post: security, mail: mail, siem: hook }} }}\nchannels: {channels}"
        )
    }

    /// What the pager was told of its one alert.
    fn paged(&self) -> Vec<String> {
        let [alert] = &self.pager.alerts()[..] else { panic!("{:?}", self.pager.alerts()) };
        alert.log.iter().map(|event| event["event_action"].as_str().unwrap().to_owned()).collect()
    }

    fn posted(&self) -> Vec<Value> {
        self.chat.messages("C0SECURITY")
    }

    /// Message ids of mail, as often as they came.
    fn mailed(&self) -> Vec<String> {
        let taken = self.mail.taken().unwrap();
        let id = |mail: &Value| {
            let lines = mail["content"].as_str().unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
            lines.iter().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().to_owned()
        };
        taken.iter().map(id).collect()
    }

    fn hooked(&self) -> Vec<Value> {
        self.hook.1.lock().unwrap().clone()
    }
}

/// With every credential of a channel in a file.
fn world_with<'a>(servers: &'a Servers, name: &str, policy: &str) -> World<'a> {
    let world = World::bare(servers, name, Roles::Alternating, policy);
    for (file, value) in [
        ("pager.key", ROUTING_KEY),
        ("chat.token", BOT_TOKEN),
        ("mail.password", MAIL_PASSWORD),
        ("hook.key", HOOK_KEY),
    ] {
        private(&world.path(file), value);
    }
    world.ok(&["init"]);
    world
}

/// Where the steps that tell people stand.
fn notices(world: &World<'_>, id: &str) -> Vec<(String, String)> {
    let shown = world.json(&["incident", "show", id]);
    let steps = shown["steps"].as_array().unwrap().iter();
    let of_people = steps.filter(|step| step["id"].as_str().unwrap().starts_with("notice."));
    of_people
        .map(|step| {
            (step["id"].as_str().unwrap().to_owned(), step["state"]["is"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn everybody_is_told_three_times_and_nobody_twice_although_an_answer_of_each_is_lost() {
    let servers = Servers::start();
    let channels = Channels::start();
    let (pager, chat) = (Proxy::to(channels.pager.port()), Proxy::to(channels.chat.port()));
    let world = world_with(&servers, "told", &channels.policy(0, pager.port(), chat.port()));
    world.ok(&["inventory", "check"]);
    let id = world.open("public-repo");
    pager.once(Fault::DropAnswer);
    chat.once(Fault::DropAnswerTo(b"chat.postMessage".to_vec()));
    channels.mail.fault(smtp::Fault::AfterTaken).unwrap();
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    assert_eq!((pager.struck(), chat.struck()), (1, 1), "both lost an answer");

    let told = notices(&world, &id);
    assert_eq!(told.len(), 12, "{told:?}");
    assert!(told.iter().all(|(_, state)| state == "applied"), "{told:?}");
    assert_eq!(channels.paged(), ["trigger", "trigger", "acknowledge", "resolve"]);
    assert_eq!(channels.pager.alerts()[0].status, "resolved");
    let posted = channels.posted();
    assert_eq!(posted.len(), 3, "{posted:?}");
    assert!(posted[0]["text"].as_str().unwrap().contains("proven inert"), "{}", posted[0]);
    let link = format!("{SITE}/incidents/{id}");
    assert!(posted[0]["blocks"].to_string().contains(&link));
    let mailed = channels.mailed();
    let different: BTreeSet<&String> = mailed.iter().collect();
    assert_eq!((mailed.len(), different.len()), (4, 3), "{mailed:?}");
    let hooked = channels.hooked();
    let different: BTreeSet<&str> = hooked.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((hooked.len(), different.len()), (4, 3), "{hooked:?}");
    let stages: Vec<&str> = hooked.iter().map(|it| it["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["opened", "opened", "first-response", "proven"]);
    assert!(hooked.iter().all(|it| it["link"] == *link), "{hooked:?}");

    let everything =
        format!("{posted:?}{hooked:?}{:?}{:?}", channels.pager.alerts(), channels.mail.taken().unwrap());
    for value in [&world.old_password, MAIL_PASSWORD, BOT_TOKEN, HOOK_KEY] {
        assert!(!everything.contains(value), "{value} was told");
    }
}

#[test]
fn nobody_is_woken_for_what_is_less_bad_than_the_policy_says() {
    let servers = Servers::start();
    let channels = Channels::start();
    let policy = channels.policy(0, channels.pager.port(), channels.chat.port());
    let world = world_with(&servers, "asleep", &policy.replacen("notify:", "page_from: SEV-1, notify:", 1));
    let id = world.open("chat");
    assert_eq!(world.json(&["incident", "show", &id])["severity"], "SEV-2");
    let write = |name: &str| {
        world.ok(&["notice", "draft", &id, "service-owner"]);
        let seen = hash_of(&world, &id, name);
        world.ok(&["notice", "send", &id, name, "--seen", &seen])
    };
    let told = || -> Vec<String> {
        world.ok(&["plan", &id, "--again"]);
        notices(&world, &id).into_iter().map(|(step, _)| step).collect()
    };
    assert_eq!(told().len(), 9, "three channels of four");
    assert!(told().iter().all(|step| !step.ends_with(".oncall")), "{:?}", told());
    write("N1");
    assert!(channels.pager.alerts().is_empty());
    assert_eq!(channels.posted().len(), 1);
    // It gets as bad as it can: what is told from here on wakes somebody, too.
    world.ok(&["incident", "signal", &id, "used-by-unknown", "--reason", "it was seen in a log"]);
    assert_eq!(world.json(&["incident", "show", &id])["severity"], "SEV-1");
    write("N2");
    assert_eq!(channels.paged(), ["trigger"]);
    assert_eq!(told().len(), 12, "{:?}", told());
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    assert_eq!(channels.pager.alerts()[0].status, "resolved");
}

#[test]
fn a_pager_that_is_down_all_the_time_stops_nothing_and_is_seen() {
    let servers = Servers::start();
    let channels = Channels::start();
    let pager = Proxy::to(channels.pager.port());
    pager.set(Fault::Refuse);
    let world = world_with(&servers, "down", &channels.policy(0, pager.port(), channels.chat.port()));
    let id = world.open("public-repo");
    let answered = world.run(&["respond", &id]);
    assert!(answered.status.success(), "{}", text(&answered.stderr));
    assert!(text(&answered.stderr).contains("notice.opened.oncall"), "{}", text(&answered.stderr));
    world.assert_inert(&id, Roles::Alternating);
    let told = notices(&world, &id);
    for (step, state) in &told {
        let expected = if step.ends_with(".oncall") { "failed" } else { "applied" };
        assert_eq!(state, expected, "{step}");
    }
    assert_eq!(told.len(), 12);
    for command in [["incident", "show"], ["report", ""]] {
        let args: Vec<&str> = command.into_iter().filter(|it| !it.is_empty()).chain([id.as_str()]).collect();
        let shown = world.ok(&args);
        assert!(shown.contains("notice.contained.oncall") && shown.contains("Connection refused"), "{shown}");
    }
    assert_eq!(channels.posted().len(), 3);

    // The pager is back, and a person asks for other tries, the last notice first: what is over does not ring.
    pager.set(Fault::Pass);
    for step in ["notice.contained.oncall", "notice.opened.oncall"] {
        world.ok(&["step", "retry", &id, step]);
        world.ok(&["respond", &id]);
    }
    assert_eq!((channels.pager.alerts().len(), channels.pager.dropped()), (0, 1));
    let told: BTreeMap<String, String> = notices(&world, &id).into_iter().collect();
    assert_eq!(
        (told["notice.contained.oncall"].as_str(), told["notice.opened.oncall"].as_str()),
        ("applied", "applied")
    );
    world.ok(&["ledger", "verify"]);
}

#[test]
fn who_may_approve_is_asked_and_nobody_has_responded_before() {
    let servers = Servers::start();
    let channels = Channels::start();
    let policy = channels.policy(1, channels.pager.port(), channels.chat.port());
    let world = world_with(&servers, "asked", &policy);
    let id = world.open("public-repo");
    let waiting = world.run(&["respond", &id]);
    assert_eq!(waiting.status.code(), Some(4), "{}", text(&waiting.stderr));
    assert_eq!((channels.paged(), channels.posted().len()), (vec!["trigger".to_owned()], 1));
    let hash = world.json(&["plan", &id])["hash"].as_str().unwrap().to_owned();
    let asks = channels.hooked()[0]["asks"].clone();
    let disable = json!({
        "step": "asked-db.disable", "plan_hash": hash, "needed": 1, "what": asks[0]["what"],
    });
    assert_eq!(asks[0], disable);
    let buttons = channels.posted()[0]["blocks"].to_string();
    assert!(buttons.contains("quell.approve") && buttons.contains(&hash), "{buttons}");
    world.ok(&["approve", &id, "--plan", &hash]);
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    let buttons = channels.posted()[0]["blocks"].to_string();
    assert!(!buttons.contains("quell.approve"), "{buttons}");
    assert_eq!(channels.paged(), ["trigger", "acknowledge", "resolve"]);
}

#[test]
fn a_crash_around_a_notice_tells_nobody_twice() {
    let servers = Servers::start();
    let channels = Channels::start();
    let policy = channels.policy(0, channels.pager.port(), channels.chat.port());
    let world = world_with(&servers, "crash", &policy);
    let id = world.open("public-repo");
    for failpoint in [
        "notice.opened.security:after-intent",
        "notice.opened.security:after-effect",
        "notice.first-response.security:after-effect",
        "notice.contained.security:after-effect",
    ] {
        let killed = world.quell(&["respond", &id]).env("QUELL_FAILPOINT", failpoint).output().unwrap();
        assert_eq!(killed.status.code(), None, "{failpoint} was not reached: {}", text(&killed.stderr));
    }
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    assert_eq!(channels.posted().len(), 3, "{:?}", channels.posted());
    let [alert] = &channels.pager.alerts()[..] else { panic!("{:?}", channels.pager.alerts()) };
    assert_eq!(alert.status, "resolved");
    let mailed = channels.mailed().into_iter().collect::<BTreeSet<_>>();
    let hooked = channels.hooked().iter().map(|it| it["id"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!((mailed.len(), hooked.len()), (3, 3));
}

#[test]
fn what_people_wrote_reaches_each_channel_once_although_answers_are_lost() {
    let servers = Servers::start();
    let channels = Channels::start();
    let (pager, chat) = (Proxy::to(channels.pager.port()), Proxy::to(channels.chat.port()));
    let world = world_with(&servers, "written", &channels.policy(0, pager.port(), chat.port()));
    let id = world.open("public-repo");
    let drafted = world.json(&["notice", "draft", &id, "update"]);
    assert_eq!((drafted["notice"].as_str(), drafted["state"].as_str()), (Some("N1"), Some("draft")));
    let text = world.path("update.txt");
    std::fs::write(&text, "The key is being killed.\nNobody can tell yet whether it was used.\n").unwrap();
    world.ok(&["notice", "edit", &id, "N1", "--title", "Where it stands", "--file", text.to_str().unwrap()]);
    pager.once(Fault::DropAnswer);
    chat.once(Fault::DropAnswerTo(b"chat.postMessage".to_vec()));
    channels.mail.fault(smtp::Fault::AfterTaken).unwrap();
    let seen = hash_of(&world, &id, "N1");
    let sent = world.json(&["notice", "send", &id, "N1", "--seen", &seen]);
    assert_eq!(sent["state"], "sent", "{sent}");
    assert_eq!((pager.struck(), chat.struck()), (1, 1), "both lost an answer");
    let posted = channels.posted();
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert!(posted[0].to_string().contains("Nobody can tell yet"), "{}", posted[0]);
    assert_eq!(channels.mailed().into_iter().collect::<BTreeSet<_>>().len(), 1);
    let hooked = channels.hooked();
    let different: BTreeSet<&str> = hooked.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((hooked.len(), different.len()), (2, 1), "{hooked:?}");
    assert_eq!(hooked[0]["update"], true);
    assert_eq!(channels.pager.alerts().len(), 1);
    // After the proof one more event would wake somebody for an afterword: that channel says so, and the others tell it.
    world.ok(&["respond", &id]);
    assert_eq!(channels.pager.alerts()[0].status, "resolved");
    world.ok(&["notice", "draft", &id, "management"]);
    let seen = hash_of(&world, &id, "N2");
    let late = world.run(&[
        "notice",
        "send",
        &id,
        "N2",
        "--channel",
        "oncall",
        "--channel",
        "hook",
        "--seen",
        &seen,
    ]);
    assert_eq!(late.status.code(), Some(5), "{}", super::world::text(&late.stderr));
    assert!(
        super::world::text(&late.stderr).contains("would page anew"),
        "{}",
        super::world::text(&late.stderr)
    );
    assert_eq!(channels.pager.alerts().len(), 1);
    let shown = world.json(&["notice", "show", &id, "N2"]);
    assert_eq!(shown["state"], "in-part", "{shown}");
    assert!(world.ok(&["report", &id]).contains("notice N1 goes out by hook, mail, oncall, security"));
    world.ok(&["ledger", "verify"]);
}

/// As `quell notice show` prints it for people.
fn hash_of(world: &World<'_>, id: &str, notice: &str) -> String {
    let shown = world.run(&["notice", "show", id, notice]);
    let said = text(&shown.stderr);
    said.split("for --seen: ")
        .nth(1)
        .unwrap_or_else(|| panic!("{said}"))
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn nobody_sends_or_overwrites_what_they_have_not_read() {
    let servers = Servers::start();
    let world = World::new(&servers, "unread", Roles::Single, "{}");
    std::fs::write(
        world.path("quell.yaml"),
        std::fs::read_to_string(world.path("quell.yaml")).unwrap()
            + &format!(
                "channels: {{ board: {{ log: {{ path: {}/board.jsonl }} }} }}\n",
                world.folder.path().display()
            ),
    )
    .unwrap();
    let id = world.open("chat");
    world.ok(&["notice", "draft", &id, "update"]);
    world.ok(&["notice", "edit", &id, "N1", "--title", "Where it stands"]);
    let before = hash_of(&world, &id, "N1");
    let send = ["notice", "send", &id, "N1", "--channel", "board"];
    let refused = |args: &[&str], code: i32, words: &str| {
        let output = world.run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words) && said.contains("quell notice show"), "{args:?}: {said}");
    };
    refused(&send, 3, "nothing says that you know its text");
    refused(&[&send[..], &["--seen", "5f"]].concat(), 2, "at least 12 digits");
    // Another person changes it: neither the old hash nor one's own draft counts any more.
    world.ok(&["notice", "edit", &id, "N1", "--title", "All is well", "--as", "otto", "--seen", &before]);
    let with = |args: &[&str]| {
        refused(&[args, &["--seen", &before]].concat(), 3, "another text than the one that you have read")
    };
    with(&send);
    let edit = ["notice", "edit", &id, "N1", "--title", "It is not"];
    with(&edit);
    refused(&edit, 3, "nothing says that you know its text");
    assert!(!world.path("board.jsonl").exists(), "nothing was sent");
    let now = hash_of(&world, &id, "N1");
    assert_ne!(now, before);
    world.ok(&[&send[..], &["--seen", &now]].concat());
    let sent = std::fs::read_to_string(world.path("board.jsonl")).unwrap();
    assert!(sent.contains("All is well"), "{sent}");
}
