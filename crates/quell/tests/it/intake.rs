//! `quell intake`: what webhooks deliver becomes findings, incidents, signals and notes, once.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use super::world::{files_below, quell_program};

pub(crate) const PASSWORD: &str = "pT4-vy8Nw2Xk6-Ru9sLd";
pub(crate) const KEY: &str = "a key of the sender, long enough";

/// An installation with two secrets in env files, and every kind of sender. Issuers are never called.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    database: Option<String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(None, &json!({}))
    }

    /// `database`: a postgres:// URL. `more`: further senders.
    pub(crate) fn with(database: Option<&str>, more: &Value) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), database: database.map(str::to_owned) };
        place.write("app.env", format!("DATABASE_URL=postgres://orders_a:{PASSWORD}@127.0.0.1:1/orders\n"));
        place.write("admin.url", "postgres://admin:admin-of-nothing@127.0.0.1:1/postgres");
        let (id, secret) = access_key();
        place.write("aws.env", format!("KEYS={id}:{secret}\n"));
        place.write("hook.key", KEY);
        if let Some(url) = database {
            place.write("database.url", url);
        }
        let mut intake = json!({
            "github-org": {"github": {"secret": "file:hook.key"}},
            "gg": {"gitguardian": {"secret": "file:hook.key"}},
            "pager": {"pagerduty": {"secret": "file:hook.key"}},
            "health": {"eventbridge": {"secret": "file:hook.key"}},
            "siem": {"vault_audit": {"secret": "file:hook.key", "header": "X-Siem-Key", "audience": "few"}},
            "wiki": {"json": {"secret": "file:hook.key", "channel": "chat",
                "map": {"list": "/leaks", "rule": "/rule", "value": "/value", "place": "/place", "public": "/public"}}},
        });
        intake.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let inventory = json!({
            "secrets": [
                {"id": "orders-db", "kind": "postgres-password", "env": "prod",
                 "issuer": {"postgres": {"admin": "file:admin.url", "roles": ["orders_a"]}},
                 "stores": [{"env_file": {"path": "app.env", "key": "DATABASE_URL"}}]},
                {"id": "deploy-key", "kind": "aws-access-key", "env": "prod",
                 "issuer": {"aws_iam": {"admin": "env:NOBODY", "user": "deploy", "endpoint": "http://127.0.0.1:1"}},
                 "stores": [{"env_file": {"path": "aws.env", "key": "KEYS"}}]},
            ],
            "intake": intake,
        });
        place.write("quell.yaml", inventory.to_string());
        assert!(place.run(&["init"]).status.success());
        place
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub(crate) fn quell(&self, args: &[&str]) -> Command {
        let mut command = Command::new(quell_program());
        command
            .args(args.iter().map(|arg| of_today(arg)))
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("QUELL_DATA_DIR", self.folder.path().join("data"))
            .env("QUELL_ACTOR", "ines")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.database.is_some() {
            command.env("QUELL_DATABASE_FILE", self.folder.path().join("database.url"));
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.quell(args).output().unwrap();
        for said in [of_2026(&output.stdout), of_2026(&output.stderr)] {
            assert!(!said.contains(PASSWORD) && !said.contains(KEY), "quell {args:?} says a value: {said}");
        }
        output
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = self.run(&args);
        assert!(output.status.success(), "quell {args:?}: {}", of_2026(&output.stderr));
        serde_json::from_str(&of_2026(&output.stdout)).unwrap()
    }

    pub(crate) fn receive(&self, name: &str, headers: &[(&str, &str)], body: &[u8], more: &[&str]) -> Output {
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        self.write("request.headers", lines.concat());
        self.write("request.body", body);
        let args = ["intake", "receive", name, "--headers", "request.headers", "--body", "request.body"];
        self.run(&[&args, more].concat())
    }

    /// Taken in and worked off; what became of it.
    #[track_caller]
    pub(crate) fn deliver(&self, name: &str, headers: &[(&str, &str)], body: &Value) -> Value {
        let output = self.receive(name, headers, body.to_string().as_bytes(), &["--json"]);
        let said = of_2026(&output.stderr);
        assert!(output.status.success(), "{said}{}", of_2026(&output.stdout));
        let tries: Value = serde_json::from_str(&of_2026(&output.stdout)).unwrap();
        tries["tries"][0].clone()
    }

    #[track_caller]
    pub(crate) fn github(&self, topic: &str, body: &Value) -> Value {
        let signature = format!("sha256={}", signed(&[body.to_string().as_bytes()]));
        let headers = [
            ("X-GitHub-Event", topic),
            ("X-GitHub-Delivery", "72d3162e-cc78"),
            ("X-Hub-Signature-256", &signature),
        ];
        self.deliver("github-org", &headers, body)
    }

    pub(crate) fn incidents(&self) -> Vec<Value> {
        self.json(&["incident", "list"])["incidents"].as_array().unwrap().clone()
    }

    pub(crate) fn incident(&self, id: &str) -> Value {
        self.json(&["incident", "show", id])
    }

    pub(crate) fn deliveries(&self) -> Vec<Value> {
        self.json(&["intake", "list"])["deliveries"].as_array().unwrap().clone()
    }

    pub(crate) fn timeline(&self, id: &str) -> String {
        of_2026(&self.run(&["incident", "timeline", id]).stdout)
    }

    pub(crate) fn assert_no_value_on_disk(&self) {
        for file in files_below(&self.folder.path().join("data")) {
            let bytes = std::fs::read(&file).unwrap();
            for value in [PASSWORD.as_bytes(), KEY.as_bytes()] {
                assert!(!bytes.windows(value.len()).any(|w| w == value), "{}", file.display());
            }
        }
    }
}

/// The tests are written in 2026, and run in any year.
fn year() -> i16 {
    quell_app::clock::now().to_zoned(jiff::tz::TimeZone::UTC).year()
}

fn of_today(text: &str) -> String {
    text.replace("INC-2026-", &format!("INC-{}-", year()))
}

pub(crate) fn of_2026(text: &[u8]) -> String {
    super::world::text(text).replace(&format!("INC-{}-", year()), "INC-2026-")
}

/// Of the form that AWS's have; made up at run time.
pub(crate) fn access_key() -> (String, String) {
    let expand = |template: &str| quell_scan::rule::template::expand(template, 11).unwrap();
    (expand("AKIA{A-Z2-7:16}"), expand("{alnum:40}"))
}

pub(crate) fn signed(parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

/// Headers as Quell's own `webhook` connector sends them.
fn quells_own(body: &[u8]) -> Vec<(String, String)> {
    let now = quell_app::clock::now().as_second().to_string();
    let signature = format!("v1={}", signed(&[now.as_bytes(), b".", body]));
    vec![("X-Quell-Timestamp".to_owned(), now), ("X-Quell-Signature".to_owned(), signature)]
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn leak(value: &str, place: &str) -> Value {
    json!({"leaks": [{"rule": "wiki-password", "value": value, "place": place}]})
}

#[test]
fn a_delivery_with_a_value_opens_an_incident_and_its_replay_does_nothing() {
    let place = Place::new();
    let body = leak(PASSWORD, "wiki/Ops");
    let headers = quells_own(body.to_string().as_bytes());
    let done = place.deliver("wiki", &borrowed(&headers), &body);
    assert_eq!(
        (&done["state"], &done["note"]),
        (&"done".into(), &"opened INC-2026-0001 about orders-db".into()),
        "{done}"
    );
    let shown = place.incident("INC-2026-0001");
    assert_eq!(
        (&shown["exposures"][0]["channel"], &shown["exposures"][0]["place"]),
        (&"chat".into(), &"wiki/Ops:0".into())
    );
    assert!(shown["exposures"][0]["sealed"].is_string(), "the value is sealed for the proof: {shown}");

    // The same request again, and under another id: known, and nothing is worked off.
    let again = place.receive("wiki", &borrowed(&headers), body.to_string().as_bytes(), &["--json"]);
    assert!(of_2026(&again.stderr).contains("answered 200"), "{}", of_2026(&again.stderr));
    let tries: Value = serde_json::from_str(&of_2026(&again.stdout)).unwrap();
    assert_eq!(tries["tries"], json!([]));
    assert_eq!((place.incidents().len(), place.deliveries().len()), (1, 1));

    // Another place: it joins.
    let body = leak(PASSWORD, "wiki/Home");
    let headers = quells_own(body.to_string().as_bytes());
    let joined = place.deliver("wiki", &borrowed(&headers), &body);
    assert_eq!(joined["note"], "joined INC-2026-0001 about orders-db");
    assert_eq!(place.incident("INC-2026-0001")["exposures"].as_array().unwrap().len(), 2);

    // One that nobody knows is recorded, and says what to do.
    let body = leak("Zz81-other-value-Kq", "wiki/X");
    let headers = quells_own(body.to_string().as_bytes());
    let unknown = place.deliver("wiki", &borrowed(&headers), &body);
    assert!(unknown["note"].as_str().unwrap().contains("quell incident open --finding F-"), "{unknown}");
    place.assert_no_value_on_disk();
    assert!(place.run(&["ledger", "verify"]).status.success());
}

#[test]
fn what_nobody_signed_leaves_nothing_behind_and_says_nothing() {
    let place = Place::new();
    let body = leak(PASSWORD, "wiki/Ops").to_string();
    let good = quells_own(body.as_bytes());
    let forged = vec![good[0].clone(), ("X-Quell-Signature".to_owned(), format!("v1={}", "00".repeat(32)))];
    let late = vec![("X-Quell-Timestamp".to_owned(), "1700000000".to_owned()), good[1].clone()];
    let none: Vec<(String, String)> = Vec::new();
    let mut answers = Vec::new();
    for (name, headers, body) in [
        ("wiki", &forged, body.as_bytes()),
        ("wiki", &late, body.as_bytes()),
        ("wiki", &none, body.as_bytes()),
        ("wiki", &good, b"{}".as_slice()),
        ("wiki", &good, body.as_bytes().get(..20).unwrap()),
        ("nobody", &good, body.as_bytes()),
        ("../../etc", &good, body.as_bytes()),
        ("github-org", &good, body.as_bytes()),
    ] {
        let refused = place.receive(name, &borrowed(headers), body, &[]);
        assert_eq!(refused.status.code(), Some(3), "{name}: {}", of_2026(&refused.stderr));
        answers.push(of_2026(&refused.stderr));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "a name that nobody has is answered as a bad signature: {answers:?}");
    assert!(answers[0].contains("answered 401"), "{answers:?}");
    assert!(place.deliveries().is_empty());

    // Signed, and not JSON; signed, and of another format: the first is refused, the second is for people to look at.
    let junk = b"payload=%7B%7D";
    let refused = place.receive("wiki", &borrowed(&quells_own(junk)), junk, &[]);
    assert!(of_2026(&refused.stderr).contains("answered 400"), "{}", of_2026(&refused.stderr));
    assert!(place.deliveries().is_empty());
    let strange = json!({"leaks": "\u{1b}[2J many"});
    let headers = quells_own(strange.to_string().as_bytes());
    let output = place.receive("wiki", &borrowed(&headers), strange.to_string().as_bytes(), &[]);
    assert_eq!(output.status.code(), Some(5), "{}", of_2026(&output.stderr));
    let listed = of_2026(&place.run(&["intake", "list"]).stdout);
    assert!(listed.contains("failed") && listed.contains("has no list at `/leaks`"), "{listed}");
    assert!(!listed.contains('\u{1b}'), "{listed}");
    place.assert_no_value_on_disk();
}

#[test]
fn a_huge_delivery_is_refused_before_anything_is_looked_at() {
    let place = Place::new();
    let huge = vec![b' '; (25 << 20) + 1];
    let output = place.receive("wiki", &borrowed(&quells_own(&huge)), &huge, &[]);
    assert!(!output.status.success());
    assert!(place.deliveries().is_empty());
}

#[test]
fn a_value_is_not_repeated_where_a_sender_quotes_it_and_a_store_that_is_down_is_waited_for() {
    let place = Place::new();
    let body = json!({"leaks": [{"rule": "wiki-password", "value": PASSWORD, "place": format!("wiki/Ops?q={PASSWORD}")}]});
    let env = std::fs::read(place.folder.path().join("app.env")).unwrap();
    std::fs::remove_file(place.folder.path().join("app.env")).unwrap();
    std::fs::create_dir(place.folder.path().join("app.env")).unwrap();
    let headers = quells_own(body.to_string().as_bytes());
    let output = place.receive("wiki", &borrowed(&headers), body.to_string().as_bytes(), &[]);
    assert_eq!(output.status.code(), Some(5), "{}", of_2026(&output.stdout));
    let waiting = place.deliveries()[0].clone();
    assert!(
        waiting["state"] == "waiting" && waiting["note"].as_str().unwrap().contains("compared again"),
        "{waiting}"
    );
    assert!(place.incidents().is_empty());
    std::fs::remove_dir(place.folder.path().join("app.env")).unwrap();
    place.write("app.env", env);
    assert!(place.run(&["intake", "retry", waiting["id"].as_str().unwrap()]).status.success());
    let done = place.json(&["intake", "work"]);
    assert_eq!(done["tries"][0]["note"], "opened INC-2026-0001 about orders-db", "{done}");
    assert_eq!(place.incident("INC-2026-0001")["exposures"][0]["place"], "wiki/Ops?q=…:0");
    place.assert_no_value_on_disk();
}

/// octokit/webhooks, `secret_scanning_alert`.
pub(crate) fn alert(action: &str, more: &Value) -> Value {
    let mut alert =
        json!({"number": 191, "secret_type": "adafruit_io_key", "resolution": null, "updated_at": action});
    alert.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"action": action, "alert": alert, "repository": {"full_name": "Codertocat/Hello-World", "private": true},
        "sender": {"login": "Codertocat\u{1b}[31m"}})
}

#[test]
fn a_github_alert_without_a_value_is_followed_once_a_person_said_what_it_is() {
    let place = Place::new();
    let created = place.github("secret_scanning_alert", &alert("created", &json!({})));
    let note = created["note"].as_str().unwrap();
    let finding = note.split_whitespace().find(|word| word.starts_with("F-")).unwrap();
    let opened = place.run(&[
        "incident",
        "open",
        "--finding",
        finding,
        "--secret",
        "orders-db",
        "--channel",
        "private-repo",
    ]);
    assert!(opened.status.success(), "{}", of_2026(&opened.stderr));

    let mut located = alert("created", &json!({}));
    located["location"] = json!({"type": "commit", "details": {"path": "/example/secrets.txt", "start_line": 1, "commit_sha": "f14d7debf9775f957cf4f1e8176da0786431f72b"}});
    let joined = place.github("secret_scanning_alert_location", &located);
    assert_eq!(joined["note"], "joined INC-2026-0001 about orders-db");
    let shown = place.incident("INC-2026-0001");
    assert_eq!(shown["exposures"][1]["place"], "/example/secrets.txt:1 @f14d7debf977");

    let before = shown["severity"].clone();
    let public = place.github(
        "secret_scanning_alert",
        &alert("publicly_leaked", &json!({"publicly_leaked": true, "validity": "active"})),
    );
    assert!(public["note"].as_str().unwrap().contains("INC-2026-0001"), "{public}");
    let shown = place.incident("INC-2026-0001");
    assert_ne!(shown["severity"], before, "{shown}");
    let signals = place.timeline("INC-2026-0001");
    assert!(signals.contains("public") && signals.contains("live"), "{signals}");

    let resolved = place.github(
        "secret_scanning_alert",
        &alert("resolved", &json!({"resolution": "revoked", "state": "resolved"})),
    );
    assert!(resolved["note"].as_str().unwrap().contains("nothing opened"), "{resolved}");
    let timeline = place.timeline("INC-2026-0001");
    assert!(timeline.contains("was set to `revoked` by Codertocat"), "{timeline}");
    assert!(!timeline.contains('\u{1b}'));
    assert_eq!(place.incidents().len(), 1);
    assert_eq!(place.incident("INC-2026-0001")["status"], "open", "what GitHub calls resolved is not proven");
    let ping = place.github("ping", &json!({"zen": "Design for failure."}));
    assert_eq!(
        (&ping["state"], &ping["note"]),
        (&"done".into(), &"nothing to do: deliveries of `ping` are not about leaks".into())
    );
}

#[test]
fn an_acknowledged_page_meets_the_first_response() {
    let place = Place::new();
    place.json(&["incident", "open", "--secret", "orders-db", "--channel", "chat"]);
    let page = |kind: &str, key: &str| {
        json!({"event": {"id": kind, "event_type": kind, "resource_type": "incident", "occurred_at": "2026-11-23T12:00:00Z",
            "agent": {"summary": "Tenex Engineer", "type": "user_reference"},
            "data": {"id": "PGR0VU2", "type": "incident", "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2", "incident_key": key}}})
    };
    let deliver = |body: &Value| {
        let text = of_today(&body.to_string());
        let body = &serde_json::from_str::<Value>(&text).unwrap();
        let text = body.to_string();
        // Two signatures, as while the key is changed.
        let signature = format!("v1={},v1={}", "ab".repeat(32), signed(&[text.as_bytes()]));
        place.deliver("pager", &[("X-PagerDuty-Signature", &signature), ("X-Webhook-Id", "w1")], body)
    };
    let met = |place: &Place| {
        let shown = place.incident("INC-2026-0001");
        let clocks = shown["clocks"].as_array().unwrap().clone();
        clocks.iter().any(|c| c["clock"]["name"] == "first-response" && c["state"] == "met")
    };
    assert_eq!(
        deliver(&page("incident.acknowledged", "d3640fbd41094207a1c11e58e46b1662"))["note"],
        "nothing to do: the page is not one of ours"
    );
    assert_eq!(
        deliver(&page("incident.acknowledged", "INC-2026-0777"))["note"],
        "the page is about no incident of this installation"
    );
    assert!(!met(&place));
    assert_eq!(
        deliver(&page("incident.acknowledged", "quell/x/INC-2026-0001"))["note"],
        "noted in INC-2026-0001"
    );
    assert!(met(&place));
    assert_eq!(
        deliver(&page("incident.resolved", "quell/x/INC-2026-0001"))["note"],
        "noted in INC-2026-0001"
    );
    let timeline = place.timeline("INC-2026-0001");
    assert!(timeline.contains("the page was acknowledged by Tenex Engineer"), "{timeline}");
    assert!(timeline.contains("resolved there: that closes nothing here"), "{timeline}");
    assert_eq!(place.incident("INC-2026-0001")["status"], "open");
}

#[test]
fn an_access_key_that_aws_saw_in_public_is_matched_by_its_id_and_killed_first() {
    let place = Place::new();
    let (id, secret) = access_key();
    let body = json!({"version": "0", "id": "1213", "detail-type": "AWS Health Event", "source": "aws.health", "account": "123456789012",
        "time": "2026-11-05T06:27:57Z", "region": "us-east-1", "resources": [],
        "detail": {"eventArn": "arn:aws:health:us-east-1::event/X", "service": "RISK", "eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED",
        "eventTypeCategory": "issue", "affectedEntities": [{"entityValue": id}]}});
    let refused = place.receive(
        "health",
        &[("X-Api-Key", "another key, long enough too")],
        body.to_string().as_bytes(),
        &[],
    );
    assert!(of_2026(&refused.stderr).contains("answered 401"));
    let done = place.deliver("health", &[("X-Api-Key", KEY)], &body);
    assert_eq!(done["note"], "opened INC-2026-0001 about deploy-key", "{done}");
    let shown = place.incident("INC-2026-0001");
    assert_eq!(shown["exposures"][0]["audience"], "public");
    assert!(shown["exposures"][0]["sealed"].is_string(), "what is in the store is what leaked: {shown}");
    let timeline = place.timeline("INC-2026-0001");
    assert!(timeline.contains("AWS_RISK_CREDENTIALS_EXPOSED in account 123456789012"), "{timeline}");
    let plan = place.json(&["plan", "INC-2026-0001"]);
    assert_eq!(plan["plan"]["strategy"], "kill-first", "{plan}");
    assert!(!timeline.contains(&secret) && !plan.to_string().contains(&secret));
    // The same alert within the hour is known; a key that nobody knows is recorded.
    assert!(
        of_2026(&place.receive("health", &[("x-api-key", KEY)], body.to_string().as_bytes(), &[]).stderr)
            .contains("answered 200")
    );
    let mut other = body;
    other["detail"]["affectedEntities"][0]["entityValue"] = json!(id.replace("AKIA", "ASIA"));
    assert!(
        place.deliver("health", &[("x-api-key", KEY)], &other)["note"]
            .as_str()
            .unwrap()
            .contains("is not known")
    );
}

#[test]
fn a_vault_alert_opens_an_incident_and_the_next_one_is_more_evidence() {
    let place = Place::new();
    let alert = |at: &str| {
        json!({"result": {"event_type": "vault.secret_read", "actor": "ci-runner", "ip_address": "203.0.113.9", "timestamp": at,
            "details": {"secret": {"name": "orders-db"}}, "signature": "ab"}})
    };
    let deliver = |at: &str| place.deliver("siem", &[("X-SIEM-Key", KEY)], &alert(at));
    assert_eq!(deliver("2026-11-22T03:00:00Z")["note"], "opened INC-2026-0001 about orders-db");
    let shown = place.incident("INC-2026-0001");
    assert_eq!(shown["exposures"][0]["audience"], "few", "as configured: {shown}");
    let timeline = place.timeline("INC-2026-0001");
    assert!(
        timeline.contains("vault.secret_read of `orders-db` by ci-runner from 203.0.113.9"),
        "{timeline}"
    );
    assert_eq!(deliver("2026-11-22T03:05:00Z")["note"], "joined INC-2026-0001 about orders-db");
    assert_eq!(place.incidents().len(), 1);
}

/// Ten deliveries about one secret and three processes at once: one incident, ten places, each delivery once.
fn many_workers(database: Option<&str>) {
    let place = Place::with(database, &json!({}));
    for n in 0..10 {
        let body = leak(PASSWORD, &format!("wiki/{n}")).to_string();
        let taken = place.receive(
            "wiki",
            &borrowed(&quells_own(body.as_bytes())),
            body.as_bytes(),
            &["--only-accept"],
        );
        assert!(taken.status.success(), "{}", of_2026(&taken.stderr));
    }
    let workers: Vec<_> =
        (0..3).map(|_| place.quell(&["intake", "work", "--json"]).spawn().unwrap()).collect();
    let mut done = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}{}", of_2026(&output.stderr), of_2026(&output.stdout));
        let tries: Value = serde_json::from_str(&of_2026(&output.stdout)).unwrap();
        done.extend(
            tries["tries"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
    }
    done.sort();
    let all = done.len();
    done.dedup();
    assert_eq!((all, done.len()), (10, 10), "each was worked on once");
    assert_eq!(place.incidents().len(), 1, "{:?}", place.deliveries());
    let shown = place.incident("INC-2026-0001");
    assert_eq!(shown["exposures"].as_array().unwrap().len(), 10, "{shown}");
    assert!(place.deliveries().iter().all(|one| one["state"] == "done" && one["tries"] == 1));
    assert!(place.run(&["ledger", "verify"]).status.success());
}

#[test]
fn each_delivery_is_worked_off_once_by_many_workers_on_sqlite() {
    many_workers(None);
}

#[test]
fn each_delivery_is_worked_off_once_by_many_workers_on_postgres() {
    let server = quell_testkit::postgres::Server::start(&[]).unwrap();
    many_workers(Some(&server.admin_url()));
}

#[test]
fn a_worker_that_is_killed_loses_nothing_and_nothing_happens_twice() {
    let place = Place::new();
    place.json(&["incident", "open", "--secret", "orders-db", "--channel", "chat"]);
    let body =
        json!({"leaks": [{"rule": "r", "value": PASSWORD, "place": "wiki/Ops", "public": true}]}).to_string();
    let taken =
        place.receive("wiki", &borrowed(&quells_own(body.as_bytes())), body.as_bytes(), &["--only-accept"]);
    assert!(taken.status.success(), "{}", of_2026(&taken.stderr));
    let waiting = place.deliveries();
    assert_eq!((&waiting[0]["state"], &waiting[0]["tries"]), (&"waiting".into(), &0.into()));
    for (n, at) in
        ["intake:after-reading", "intake:after-effect", "intake:after-effect"].into_iter().enumerate()
    {
        let killed = place.quell(&["intake", "work"]).env("QUELL_FAILPOINT", at).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{at}: {}", of_2026(&killed.stderr));
        assert_eq!(place.deliveries()[0]["tries"], n + 1);
        assert!(place.run(&["ledger", "verify"]).status.success());
    }
    let done = place.json(&["intake", "work"]);
    assert_eq!(done["tries"][0]["state"], "done", "{done}");
    assert_eq!(place.incidents().len(), 1);
    let shown = place.incident("INC-2026-0001");
    assert_eq!(shown["exposures"].as_array().unwrap().len(), 2, "{shown}");
    let timeline = place.timeline("INC-2026-0001");
    assert_eq!(timeline.matches("wiki/Ops").count(), 1, "{timeline}");
    place.assert_no_value_on_disk();
}

#[test]
fn what_cannot_be_worked_off_is_shown_and_can_be_retried() {
    let place = Place::new();
    let body = leak(PASSWORD, "wiki/Ops").to_string();
    let taken =
        place.receive("wiki", &borrowed(&quells_own(body.as_bytes())), body.as_bytes(), &["--only-accept"]);
    assert!(taken.status.success(), "{}", of_2026(&taken.stderr));
    let whole = std::fs::read_to_string(place.folder.path().join("quell.yaml")).unwrap();
    place.write("quell.yaml", whole.replace("\"wiki\":", "\"elsewhere\":"));
    assert_eq!(place.run(&["intake", "work"]).status.code(), Some(5));
    let id = place.deliveries()[0]["id"].as_str().unwrap().to_owned();
    let shown = of_2026(&place.run(&["intake", "show", &id]).stdout);
    assert!(shown.contains("failed") && shown.contains("has no `intake.wiki` any more"), "{shown}");
    place.write("quell.yaml", whole);
    assert_eq!(of_2026(&place.run(&["intake", "work"]).stdout), "", "what was given up waits for a person");
    assert!(place.run(&["intake", "retry", &id]).status.success());
    let done = place.json(&["intake", "work"]);
    assert_eq!(done["tries"][0]["note"], "opened INC-2026-0001 about orders-db");
    let refused = place.run(&["intake", "retry", &id]);
    assert!(
        of_2026(&refused.stderr).contains("is done, and its body is gone"),
        "{}",
        of_2026(&refused.stderr)
    );
    assert!(of_2026(&place.run(&["intake", "show", "d-none"]).stderr).contains("quell intake list"));
}

#[test]
fn the_inventorys_intake_is_checked() {
    let place = Place::new();
    assert!(place.run(&["inventory", "check", "--offline"]).status.success());
    for (config, wanted) in [
        (json!({"github": {"secret": "hunter2hunter2hunter2"}}), "not a reference to a value"),
        (
            json!({"github": {"secret": "file:k", "previous": "hunter2\"hunter2"}}),
            "invalid type: a text, expected a sequence",
        ),
        (json!({"gitub": {"secret": "file:k"}}), "`gitub` is no kind of sender"),
        (json!({"github": {"secret": "file:k", "sercet": 1}}), "unknown field `sercet`"),
        (json!({"json": {"secret": "file:k", "map": {"place": "/x"}}}), "says nowhere which secret it is"),
        (json!({"json": {"secret": "file:k", "map": {"value": "x"}}}), "`map.value` is no JSON Pointer"),
        (json!({"gitlab_revocation": {"secret": "file:k", "types": []}}), "GitLab would send nothing"),
    ] {
        let text_of = json!({"intake": {"hook": config}}).to_string();
        place.write("other.yaml", text_of);
        let refused = place.run(&["inventory", "check", "--offline", "--inventory", "other.yaml"]);
        let said = of_2026(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("intake.hook") && said.contains(wanted), "{wanted}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let keys = of_2026(&place.run(&["inventory", "check"]).stdout);
    assert!(keys.contains("intake.wiki") && keys.contains("have the key of its deliveries"), "{keys}");
    place.write("hook.key", "short");
    let short = of_2026(&place.run(&["inventory", "check"]).stdout);
    assert!(short.contains("shorter than 16 bytes"), "{short}");
}
