//! `quell hunt` on real audit logs, and what it writes into an incident.

use std::process::{Command, Output};

use quell_testkit::openbao;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{quell_program, text};

const TOKEN: &str = "tok-4Zr8mQx1Lw7Tz2Qe9bVh";

/// A folder with an installation whose one secret lies in an env file. Its issuer is never called.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn installed() -> Self {
        let place = Self::new();
        place.write("app.env", &format!("DATABASE_URL=postgres://orders_a:{TOKEN}@127.0.0.1:1/orders\n"));
        place.write("admin.url", "postgres://admin:admin-of-nothing@127.0.0.1:1/postgres");
        let inventory = json!({
            "secrets": [{
                "id": "orders-db", "kind": "postgres-password", "env": "prod",
                "issuer": {"postgres": {"admin": "file:admin.url", "roles": ["orders_a"]}},
                "stores": [{"env_file": {"path": "app.env", "key": "DATABASE_URL"}}], "consumers": [],
            }],
        });
        place.write("quell.yaml", &inventory.to_string());
        assert!(place.quell(&["init"]).status.success());
        place
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn quell(&self, args: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        let mut command = Command::new(quell_program());
        command.args(args).current_dir(&self.folder).env("QUELL_DATA_DIR", data).env("QUELL_ACTOR", "ana");
        command.output().unwrap()
    }

    fn report(&self, args: &[&str], code: i32) -> Value {
        let output = self.quell(&[&["hunt", "--json"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        serde_json::from_str(&text(&output.stdout)).unwrap()
    }
}

/// Actions of records in which the credential was used, with their outcome.
fn uses(report: &Value) -> Vec<String> {
    let all = report["accesses"].as_array().unwrap();
    let used = all.iter().filter(|access| access["role"] == "used");
    used.map(|access| {
        let outcome = &access["outcome"];
        let word = outcome.as_str().or_else(|| outcome.as_object()?.keys().next().map(String::as_str));
        format!("{} {}", access["action"].as_str().unwrap(), word.unwrap())
    })
    .collect()
}

#[test]
fn a_token_is_found_in_a_real_audit_log_by_its_hmac() {
    let server = openbao::Server::start().unwrap();
    server
        .request("POST", "kv/data/orders", &json!({"data": {"password": "a-value-of-the-vault-77"}}))
        .unwrap();
    let policy = r#"path "kv/data/orders" { capabilities = ["read"] }"#;
    let token = server.token_with("orders", policy).unwrap();
    let ask = |path: &str| server.request_as(&token, "GET", path, &Value::Null).unwrap().0;
    assert_eq!(ask("kv/data/orders"), 200);
    assert_eq!(ask("kv/data/payments"), 403);
    let hash = |input: &str| {
        let answer = server.request("POST", "sys/audit-hash/main", &json!({"input": input})).unwrap();
        answer
            .pointer("/data/hash")
            .or_else(|| answer.get("hash"))
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    let id = hash(&token);
    server.request("POST", "auth/token/revoke", &json!({"token": token})).unwrap();
    assert_eq!(ask("kv/data/orders"), 403);
    let place = Place::new();
    let log = server.audit_log();
    let log = log.to_str().unwrap();

    let report = place.report(&["--id", &id, "--logs", log, "--known", "192.0.2.0/24"], 10);
    assert_eq!(
        uses(&report),
        ["read kv/data/orders allowed", "read kv/data/payments denied", "read kv/data/orders denied"]
    );
    assert_eq!(report["verdict"], "used");
    let own = place.report(&["--id", &id, "--logs", log, "--known", "127.0.0.1"], 11);
    assert_eq!(own["verdict"], "no-evidence-logs-incomplete", "{}", own["because"]);
    // Our own look-ups are in the log and are no evidence.
    let all = report["accesses"].as_array().unwrap();
    assert!(all.iter().all(|access| !access["action"].as_str().unwrap().contains("audit-hash")));
    // Who was ever handed this value, under whatever path.
    let handed = place.report(&["--id", &hash("a-value-of-the-vault-77"), "--logs", log], 11);
    let named: Vec<&str> = handed["accesses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|access| access["action"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["create kv/data/orders", "read kv/data/orders"], "{handed}");
}

#[test]
fn quell_asks_openbao_for_the_hmacs_itself() {
    let server = openbao::Server::start().unwrap();
    server.request("POST", "kv/data/orders", &json!({"data": {"a": "b"}})).unwrap();
    let policy = r#"path "kv/data/orders" { capabilities = ["read"] }"#;
    let token = server.token_with("orders", policy).unwrap();
    assert_eq!(server.request_as(&token, "GET", "kv/data/orders", &Value::Null).unwrap().0, 200);
    let may_list = r#"path "sys/audit" { capabilities = ["read", "sudo"] } path "sys/audit-hash/*" { capabilities = ["update"] }"#;
    let may_hash = r#"path "sys/audit-hash/main" { capabilities = ["update"] }"#;
    let [lists, hashes] = [("lists", may_list), ("hashes", may_hash)]
        .map(|(name, policy)| server.token_with(name, policy).unwrap());
    let place = Place::new();
    place.write("leaked", &token);
    let log = server.audit_log();
    let (addr, log) = (server.addr(), log.to_str().unwrap().to_owned());
    let hunt = |with: &str, more: &[&str]| {
        let mut command = Command::new(quell_program());
        command.args(["hunt", "--json", "--vault", &addr, "--value-file", "leaked", "--logs", &log]);
        command.args(["--known", "192.0.2.0/24"]).args(more).current_dir(&place.folder);
        command.env("BAO_TOKEN", with).env("QUELL_DATA_DIR", place.folder.path().join("data"));
        command.output().unwrap()
    };
    for (with, more) in [(&lists, &[][..]), (&hashes, &["--vault-device", "main"][..])] {
        let output = hunt(with, more);
        assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
        let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        assert_eq!(uses(&report), ["read kv/data/orders allowed"], "no look-up of ours is a use");
        assert!(!text(&[output.stdout, output.stderr].concat()).contains(&token), "the value is shown");
    }
    // Neither silently less, nor a look-up that is itself a use.
    let denied = hunt(&hashes, &[]);
    assert_ne!(denied.status.code(), Some(10));
    assert!(text(&denied.stderr).contains("`read, sudo` on `sys/audit`"), "{}", text(&denied.stderr));
    let own = hunt(&token, &[]);
    assert!(
        text(&own.stderr).contains("the token that Quell itself would ask with"),
        "{}",
        text(&own.stderr)
    );
    assert!(!text(&own.stderr).contains(&token));

    // With an incident, the inventory says whom to ask.
    place.write("bao.token", &hashes);
    let inventory = json!({
        "connections": {"openbao": {"address": addr, "token": "file:bao.token"}},
        "secrets": [{"id": "orders-token", "kind": "openbao-token", "env": "prod",
            "issuer": {"openbao": {"token": {}}}, "stores": [], "consumers": []}],
    });
    place.write("quell.yaml", &inventory.to_string());
    assert!(place.quell(&["init"]).status.success());
    let opened =
        place.quell(&["incident", "open", "--json", "--secret", "orders-token", "--channel", "ci-log"]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let opened: Value = serde_json::from_str(&text(&opened.stdout)).unwrap();
    let id = opened["incident"].as_str().unwrap();
    let args = [id, "--value-file", "leaked", "--logs", &log, "--known", "192.0.2.0/24"];
    let report = place.report(&[&args[..], &["--vault-device", "main"]].concat(), 10);
    assert_eq!(uses(&report), ["read kv/data/orders allowed"]);
    // Without the right to list devices, the hunt goes on and is not complete.
    let partly = place.quell(&[&["hunt"], &args[..]].concat());
    assert_eq!(partly.status.code(), Some(11), "{}", text(&partly.stderr));
    assert!(text(&partly.stderr).contains("not looked for: HMACs"), "{}", text(&partly.stderr));
}

#[test]
fn the_verdict_and_its_evidence_are_written_into_the_incident() {
    let place = Place::installed();
    place.write("leaked", &format!("postgres://orders_a:{TOKEN}@127.0.0.1:1/orders\n"));
    let line = |address: &str, day: u8| {
        format!(
            "{address} - - [{day:02}/Mar/2026:10:00:00 +0000] \"GET /export?key={TOKEN} HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"
        )
    };
    place.write("access.log", &[line("198.51.100.4", 2), line("203.0.113.66", 3)].concat());
    let opened = place.quell(&[
        "incident",
        "open",
        "--json",
        "--secret",
        "orders-db",
        "--channel",
        "public-repo",
        "--value-file",
        "leaked",
        "--first-exposed",
        "2026-03-01T00:00:00Z",
    ]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let opened: Value = serde_json::from_str(&text(&opened.stdout)).unwrap();
    let id = opened["incident"].as_str().unwrap().to_owned();

    let report = place.report(&[&id, "--value-file", "leaked", "--logs", "access.log"], 11);
    assert_eq!(
        report["verdict"], "no-evidence-logs-incomplete",
        "the URL as a whole stands nowhere: {report}"
    );
    place.write("password", TOKEN);
    let args =
        [&id, "--value-file", "password", "--logs", "access.log", "--known", "198.51.100.0/24", "--record"];
    let report = place.report(&args, 10);
    assert_eq!(
        (&report["verdict"], &report["own_uses"], &report["foreign_uses"]),
        (&json!("used"), &json!(1), &json!(1))
    );
    assert!(!report.to_string().contains(TOKEN), "the value is shown");

    let shown = place.quell(&["incident", "show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&text(&shown.stdout)).unwrap();
    assert_eq!(shown["verdict"]["verdict"], "used", "{shown}");
    let verified = place.quell(&["ledger", "verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let exported = place.quell(&["evidence", "export", &id, "--output", "bundle.tar"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let bundle = std::fs::read(place.folder.path().join("bundle.tar")).unwrap();
    assert!(text(&bundle).contains("\"foreign_uses\":1"), "the report is not among the evidence");
    assert!(text(&bundle).contains("\"hunts\":[{\"conditions\""), "coverage.json does not tell of the hunt");
    assert!(!text(&bundle).contains(TOKEN), "the value is in the bundle");
    let proven = place.quell(&["evidence", "verify", "bundle.tar"]);
    assert!(proven.status.success(), "{}{}", text(&proven.stdout), text(&proven.stderr));
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.write("a.log", "x\n");
    for (args, expected) in [
        (&["--logs", "a.log"][..], "nothing to look for"),
        (&["--logs", "nowhere", "--id", "AKIAEXAMPLELEAKED001"], "cannot list `nowhere`"),
        (&["--logs", "a.log", "--id", "short"], "`short` has 5 bytes"),
        (&["--logs", "a.log", "--id", "AKIAEXAMPLELEAKED001", "--from", "yesterday"], "2026-05-01"),
        (
            &[
                "--logs",
                "a.log",
                "--id",
                "AKIAEXAMPLELEAKED001",
                "--from",
                "2026-03-02",
                "--to",
                "2026-03-01",
            ],
            "no time lies between",
        ),
        (&["--logs", "a.log", "--id", "AKIAEXAMPLELEAKED001", "--record"], "INCIDENT"),
    ] {
        let output = place.quell(&[&["hunt"], args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    assert!(!place.folder.path().join("data").exists(), "a hunt without an incident makes no installation");
}

#[test]
fn what_strangers_wrote_is_shown_escaped() {
    let place = Place::new();
    place.write(
        "access.log",
        "203.0.113.9 - =cmd|'/c'!A0 [02/Mar/2026:10:00:00 +0000] \"GET /tok-4Zr8mQx1Lw7 HTTP/1.1\" 200 1 \"-\" \"\u{1b}[31mred\u{202e}\"\n",
    );
    let args = ["hunt", "--id", "tok-4Zr8mQx1Lw7", "--logs", "access.log"];
    let shown = text(&place.quell(&args).stdout);
    assert!(shown.contains("\\u{1b}[31mred\\u{202e}") && !shown.contains('\u{1b}'), "{shown}");
    let csv = text(&place.quell(&[&args[..], &["--format", "csv"]].concat()).stdout);
    assert!(csv.contains("\"'=cmd|'/c'!A0\"") && !csv.contains('\u{1b}'), "{csv}");
}

/// An incident about a value that an access log tells two strangers' uses of.
fn incident_with_uses(place: &Place) -> String {
    place.write("password", TOKEN);
    let line = |address: &str, day: u8, agent: &str| {
        format!(
            "{address} - - [{day:02}/Mar/2026:10:00:00 +0000] \"GET /export?key={TOKEN} HTTP/1.1\" 200 12 \"-\" \"{agent}\"\n"
        )
    };
    place.write(
        "access.log",
        &[line("203.0.113.65", 2, "sqlmap/1.8"), line("203.0.113.66", 3, "s3browser")].concat(),
    );
    let opened = place.quell(&[
        "incident",
        "open",
        "--json",
        "--secret",
        "orders-db",
        "--channel",
        "public-repo",
        "--first-exposed",
        "2026-03-01T00:00:00Z",
    ]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let opened: Value = serde_json::from_str(&text(&opened.stdout)).unwrap();
    opened["incident"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_person_says_of_findings_decides_the_verdict() {
    let place = Place::installed();
    let id = incident_with_uses(&place);
    let none = place.quell(&["hunt", "triage", &id]);
    assert!(text(&none.stderr).contains("--record"), "{}", text(&none.stderr));
    let hunt = [&id, "--value-file", "password", "--logs", "access.log", "--record"];
    let first = place.report(&hunt, 10);
    assert_eq!(first["verdict"], "likely", "{first}");
    let listed = || {
        let listed = place.quell(&["hunt", "triage", &id, "--json"]);
        serde_json::from_str::<Value>(&text(&listed.stdout)).unwrap()
    };
    let all = listed();
    let findings: Vec<&Value> = all["findings"].as_array().unwrap().iter().collect();
    let heavy: Vec<&str> = findings
        .iter()
        .filter(|it| matches!(it["finding"]["weight"].as_str(), Some("medium" | "high")))
        .map(|it| it["finding"]["id"].as_str().unwrap())
        .collect();
    assert!(!heavy.is_empty(), "{findings:?}");
    for finding in &heavy {
        let said = place.quell(&["hunt", "triage", &id, finding, "--benign", "the scan of our own tester"]);
        assert!(said.status.success(), "{}", text(&said.stderr));
    }
    let after = listed();
    assert_eq!(after["verdict"], "cannot-tell", "{after}");
    // Another hunt of the same logs knows it, and says that nothing changed but that.
    let again = place.report(&hunt, 11);
    assert_eq!(again["verdict"], "cannot-tell");
    assert_eq!(again["changes"]["new_records"], json!([]));
    // With a further use the finding is another one.
    let more = std::fs::read_to_string(place.folder.path().join("access.log")).unwrap();
    place.write("access.log", &[more.clone(), more.replace("/Mar/", "/Apr/")].concat());
    let grown = place.report(&hunt, 10);
    assert_eq!(grown["verdict"], "likely", "{grown}");
    assert_eq!(grown["changes"]["verdict_before"], "cannot-tell");
    let shown = text(&place.quell(&["hunt", "show", "--incident", &id]).stdout);
    assert!(shown.contains("LOOK AGAIN: ana called it benign"), "{shown}");

    let said = place.quell(&["hunt", "triage", &id, heavy[0], "--confirmed", "nobody of ours"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(listed()["verdict"], "used");
    let shown = place.quell(&["incident", "show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&text(&shown.stdout)).unwrap();
    assert_eq!(shown["verdict"]["verdict"], "used", "{shown}");
    for bad in [
        &["hunt", "triage", &id, "ffffffff", "--benign", "x"][..],
        &["hunt", "triage", &id, heavy[0], "--benign", " "],
    ] {
        assert_eq!(place.quell(bad).status.code(), Some(2));
    }
    let nameless = Command::new(quell_program())
        .args(["hunt", "triage", &id, heavy[0], "--benign", "x"])
        .current_dir(&place.folder)
        .env("QUELL_DATA_DIR", place.folder.path().join("data"))
        .env("QUELL_ACTOR", " ")
        .output()
        .unwrap();
    assert!(!nameless.status.success(), "somebody has to have said it: {}", text(&nameless.stdout));
    assert!(place.quell(&["ledger", "verify"]).status.success());
}

#[test]
fn what_a_confirmed_stranger_made_becomes_work_to_do() {
    let place = Place::installed();
    let id = incident_with_uses(&place);
    let (leaked, made) = ("AKIAEXAMPLELEAKED001", "AKIAEXAMPLEBACKDOOR3");
    let event = json!({
        "eventVersion": "1.08", "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ci", "accessKeyId": leaked},
        "eventTime": "2026-03-02T10:00:00Z", "eventSource": "iam.amazonaws.com", "eventName": "CreateAccessKey", "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.66", "userAgent": "aws-cli/2", "requestID": "r1",
        "responseElements": {"accessKey": {"accessKeyId": made}},
    });
    place.write("trail.json", &json!({"Records": [event]}).to_string());
    let report = place.report(&[&id, "--id", leaked, "--logs", "trail.json", "--record"], 10);
    let all = report["anomalies"].as_array().unwrap();
    let finding = all.iter().find(|it| it["detector"] == "persistence").unwrap()["id"].as_str().unwrap();
    for _ in 0..2 {
        let said = place.quell(&["hunt", "triage", &id, finding, "--confirmed", "not ours"]);
        assert!(said.status.success(), "{}", text(&said.stderr));
    }
    let shown = place.quell(&["incident", "show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&text(&shown.stdout)).unwrap();
    let items: Vec<&str> =
        shown["action_items"].as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap()).collect();
    assert_eq!(
        items,
        [format!("remove the key {made} that a stranger made: deactivate it, then delete it")],
        "{shown}"
    );
}

#[test]
fn shards_of_many_machines_are_one_hunt_and_answer_sql() {
    let place = Place::new();
    let logs = place.folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    for number in 0..12 {
        let line = format!(
            "203.0.113.{number} - - [02/Mar/2026:10:00:{number:02} +0000] \"GET /?k=AKIAEXAMPLELEAKED001 HTTP/1.1\" 200 5 \"-\" \"curl\"\n"
        );
        std::fs::write(logs.join(format!("{number}.log")), line).unwrap();
    }
    let asked =
        ["--id", "AKIAEXAMPLELEAKED001", "--logs", "logs", "--to", "2026-03-03", "--format", "json", "-o"];
    let run = |rest: &[&str]| place.quell(&[&["hunt"], &asked[..], rest].concat()).status.code();
    assert_eq!(run(&["whole.json", "--hash"]), Some(11));
    for index in 0..3 {
        assert_eq!(run(&[&format!("{index}.json"), "--shard", &format!("{index}/3")]), Some(11));
    }
    assert_eq!(run(&["x.json", "--shard", "3/3"]), Some(2));
    let merged =
        place.quell(&["hunt", "merge", "0.json", "2.json", "1.json", "--format", "json", "-o", "all.json"]);
    assert_eq!(merged.status.code(), Some(11), "{}", text(&merged.stderr));
    let read = |name: &str| std::fs::read_to_string(place.folder.path().join(name)).unwrap();
    assert_eq!(read("all.json"), read("whole.json"));
    let twice = place.quell(&["hunt", "merge", "0.json", "0.json"]);
    assert!(text(&twice.stderr).contains("shard 0/3 was given twice"), "{}", text(&twice.stderr));

    let sql = "SELECT count(*) AS n, min(address) AS a FROM access WHERE address LIKE '203.%'";
    let answer = place.quell(&["hunt", "sql", sql, "--report", "all.json", "--csv"]);
    assert_eq!(text(&answer.stdout), "n,a\r\n12,203.0.113.0\r\n", "{}", text(&answer.stderr));
    let formulas = "SELECT '=cmd|x' AS a, '@SUM(1)' AS b, char(9) || 'x' AS c, '-1+2' AS \"=d\"";
    let answer = place.quell(&["hunt", "sql", formulas, "--report", "all.json", "--csv"]);
    let said = text(&answer.stdout);
    // What stands before a formula makes it text; a tab, which a spreadsheet would skip, is written out.
    let cells = "a,b,c,\"'=d\"\r\n\"'=cmd|x\",\"'@SUM(1)\",\\u{9}x,\"'-1+2\"\r\n";
    assert_eq!(said, cells, "{}", text(&answer.stderr));
    let wrong = place.quell(&["hunt", "sql", "DROP TABLE access", "--report", "all.json"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("readonly"), "{}", text(&wrong.stderr));
    let shown = place.quell(&["hunt", "show", "--report", "all.json", "--compare", "0.json"]);
    assert!(text(&shown.stdout).contains("Since the hunt before"), "{}", text(&shown.stdout));
}

#[test]
fn every_format_is_written_whole_and_without_what_a_stranger_wrote_as_markup() {
    let place = Place::new();
    place.write(
        "access.log",
        "203.0.113.9 - <b>ann [02/Mar/2026:10:00:00 +0000] \"GET /tok-4Zr8mQx1Lw7 HTTP/1.1\" 200 1 \"-\" \"</td><script>x\"\n",
    );
    for (format, begins, ends) in [
        ("html", &b"<!doctype html>"[..], &b"</html>\n"[..]),
        ("ocsf", b"{\"", b"}\n"),
        ("parquet", b"PAR1", b"PAR1"),
    ] {
        let args = ["hunt", "--id", "tok-4Zr8mQx1Lw7", "--logs", "access.log", "--format", format];
        let piped = place.quell(&args);
        assert_eq!(piped.status.code(), Some(11), "{}", text(&piped.stderr));
        let whole = piped.stdout.starts_with(begins) && piped.stdout.ends_with(ends);
        assert!(whole, "{format}: {}", text(&piped.stdout));
        let written = place.quell(&[&args[..], &["--output", "report"]].concat());
        assert!(written.stdout.is_empty());
        let file = std::fs::read(place.folder.path().join("report")).unwrap();
        assert!(file == piped.stdout, "{format}: a file and a pipe get other bytes");
        assert!(format != "html" || !text(&file).contains("<script"), "{}", text(&file));
    }
}
