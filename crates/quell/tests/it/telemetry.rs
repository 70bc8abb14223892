//! What the server says of itself: logs on standard error, traces to a collector. Whatever is sent through any door, no value is in them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::world::{ask, quell_program, text, wait_for};

/// Something that listens on loopback, keeps what it gets, and answers all of it in the same way.
struct Listener {
    port: u16,
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Listener {
    /// Answers with this status; none: never.
    fn start(status: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || one(&stream, status, &keep));
            }
        });
        Self { port, got }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Head and body of each request.
    fn got(&self) -> Vec<(String, String)> {
        self.got.lock().unwrap().clone()
    }

    /// Every span that came.
    fn spans(&self) -> Vec<Value> {
        let all = self.got().into_iter().filter(|(head, _)| head.starts_with("POST /v1/traces "));
        let all = all.map(|(_, body)| serde_json::from_str::<Value>(&body).unwrap());
        let spans = |document: Value| {
            let resource = &document["resourceSpans"][0];
            assert_eq!(attributes(&resource["resource"])["service.name"], "quell");
            resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        };
        all.flat_map(spans).collect()
    }
}

fn one(stream: &TcpStream, status: Option<&str>, keep: &Mutex<Vec<(String, String)>>) {
    let mut from = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(given) = line.to_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).unwrap();
        keep.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
        let Some(status) = status else { continue };
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}");
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// As OTLP writes them.
fn attributes(of: &Value) -> BTreeMap<String, String> {
    let all = of["attributes"].as_array().unwrap().iter();
    let value = |value: &Value| {
        let found = ["stringValue", "intValue", "boolValue"].map(|kind| value[kind].clone());
        let found = found.into_iter().find(|value| !value.is_null()).unwrap();
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    };
    all.map(|one| (one["key"].as_str().unwrap().to_owned(), value(&one["value"]))).collect()
}

const HOOK_KEY: &str = "canary-hook-key-Zx9Zx9Zx9Zx9";

/// The binary, serving.
struct Served {
    child: Child,
    url: String,
    said: Arc<Mutex<String>>,
    folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn quell(folder: &Path) -> Command {
    let mut command = Command::new(quell_program());
    command.env_clear().env("HOOK_KEY", HOOK_KEY).env("CLIENT", "canary-client-secret-Zx9Zx9");
    command.arg("--data-dir").arg(folder.join("data")).arg("--inventory").arg(folder.join("quell.yaml"));
    // On a terminal SIGHUP means something else.
    command.stdin(Stdio::null());
    command.args(["--as", "ines"]);
    command
}

impl Served {
    fn start(arguments: &[&str], issuer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let oidc = json!({ "issuer": issuer, "client_id": "quell", "client_secret": "env:CLIENT" });
        let intake = json!({ "org": { "github": { "secret": "env:HOOK_KEY" } } });
        let inventory = json!({ "intake": intake, "server": { "oidc": oidc } });
        std::fs::write(folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
        let mut command = quell(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"]);
        let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (keep, mut from) = (Arc::clone(&said), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while from.read_line(&mut line).unwrap_or(0) > 0 {
                keep.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut served = Self { child, url: String::new(), said, folder };
        wait_for(|| served.lines().iter().any(|line| line["what"] == "listening"), "it does not listen");
        let lines = served.lines();
        let line = lines.iter().find(|line| line["what"] == "listening").unwrap();
        served.url = format!("http://{}", line["address"].as_str().unwrap());
        served
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Every line of the log that is whole; each is an object of JSON, whatever happened.
    fn lines(&self) -> Vec<Value> {
        let said = self.said();
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = quell(self.folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Status and head of the answer.
    fn ask(&self, verb: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let (status, head, _) = ask(&self.url, verb, path, headers, body);
        (status, head)
    }

    fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        wait_for(|| self.said().contains(r#""what":"ended""#), "its last word is missing");
    }
}

const FORM: &str = "content-type: application/x-www-form-urlencoded";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn canary(place: &str) -> String {
    format!("canary-{place}-{}", "Zx9".repeat(6))
}

/// Signs in with a code: cookie and token of the forms.
fn sign_in(served: &Served, planted: &mut Vec<String>) -> String {
    served.run(&["person", "add", "ines", "--role", "admin"]);
    let code: Value = serde_json::from_str(&served.run(&["--json", "person", "code", "ines"])).unwrap();
    let code = code["code"].as_str().unwrap().to_owned();
    let (status, head) = served.ask("POST", "/sign-in", &[FORM], &format!("code={code}&next=/report"));
    assert_eq!(status, 303, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    planted.extend([code, cookie.split_once('=').unwrap().1.to_owned()]);
    cookie
}

/// The token of a session's forms, from a page.
fn csrf(served: &Served, cookie: &str) -> String {
    let (_, _, page) = ask(&served.url, "GET", "/report", &[&format!("cookie: {cookie}")], "");
    let (_, rest) = page.split_once(r#"name="csrf" value=""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn whatever_is_sent_through_any_door_no_value_is_in_logs_and_traces() {
    let (collector, issuer) = (Listener::start(Some("200 OK")), Listener::start(Some("404 Not Found")));
    let mut served = Served::start(&["--otlp-endpoint", &collector.url()], &issuer.url());
    let mut planted = vec![HOOK_KEY.to_owned(), "canary-client-secret-Zx9Zx9".to_owned()];
    strangers(&served, &mut planted);
    members(&served, &mut planted);
    wait_for(|| served.said().contains(r#""what":"delivery worked on""#), "the delivery is not worked off");
    served.end();
    let (said, sent) = (served.said(), collector.got());
    for value in &planted {
        assert!(!said.contains(value.as_str()), "{value} is in the log");
        for (head, body) in &sent {
            assert!(
                !body.contains(value.as_str()) && !head.contains(value.as_str()),
                "{value} is in a trace"
            );
        }
        for (head, _) in issuer.got() {
            assert!(!head.contains(value.as_str()), "{value} went out");
        }
    }
    requests_are_told(&served, &collector, &issuer);
}

/// A value wherever one can stand.
fn strangers(served: &Served, planted: &mut Vec<String>) {
    let mut plant = |place: &str| {
        let value = canary(place);
        planted.push(value.clone());
        value
    };
    let value = plant("stranger");
    let headers = [
        format!("cookie: quell={value}"),
        format!("user-agent: {value}"),
        format!("traceparent: {value}"),
        format!("x-request-id: {value}"),
        format!("referer: http://x/{value}"),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    for path in [
        format!("/incidents/{value}?q={value}"),
        format!("/{value}"),
        format!("/sign-in/back?code={value}&state={value}"),
    ] {
        served.ask("GET", &path, &headers, "");
    }
    served.ask("GET", "/api/v1/incidents", &[&format!("authorization: Bearer qll_{value}")], "");
    served.ask("POST", "/sign-in", &[FORM], &format!("code={}&next=/{value}", plant("code")));
    served.ask("POST", "/sign-in/provider", &[FORM], &format!("next=/{value}"));
    let body = format!(r#"{{"zen":"{}"}}"#, plant("delivery"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(HOOK_KEY.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let signed = format!("x-hub-signature-256: sha256={signature}");
    let event = "x-github-event: ping";
    assert_eq!(served.ask("POST", "/hooks/org", &[&signed, event], &body).0, 202);
    assert_eq!(served.ask("POST", &format!("/hooks/{value}"), &[&signed, event], &body).0, 401);
    assert_eq!(served.ask("POST", &format!("/hooks/org?key={value}"), &[event], &body).0, 401);
    planted.push(signature);
}

/// People and programs, with a value where none belongs.
fn members(served: &Served, planted: &mut Vec<String>) {
    let cookie = sign_in(served, planted);
    let csrf = csrf(served, &cookie);
    let cookie = format!("cookie: {cookie}");
    let reported = canary("reported");
    let form = format!("csrf={csrf}&what=a+key&place=a+chat&value={reported}");
    let (status, head) = served.ask("POST", "/report", &[FORM, &cookie], &form);
    assert_eq!(status, 303, "{head}");
    let told = canary("told-in-the-wrong-field");
    served.ask(
        "POST",
        "/report",
        &[FORM, &cookie],
        &format!("csrf={csrf}&what={told}&place={told}&channel={told}"),
    );
    let token: Value = serde_json::from_str(&served.run(&[
        "--json",
        "token",
        "make",
        "--name",
        "ci",
        "--role",
        "responder",
    ]))
    .unwrap();
    let token = token["token"].as_str().or_else(|| token["text"].as_str()).unwrap().to_owned();
    let bearer = format!("authorization: Bearer {token}");
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let key = format!("idempotency-key: {told}");
    let body = format!(r#"{{"secrets":["{told}"],"channel":"{told}","{told}":1}}"#);
    let (status, head) = served.ask(
        "POST",
        "/api/v1/incidents",
        &[&bearer, &parent, &key, "content-type: application/json"],
        &body,
    );
    assert!((400..500).contains(&status), "{head}");
    served.ask(
        "GET",
        &format!("/api/v1/incidents/{told}/plan?after={told}"),
        &[&bearer, &format!("if-none-match: {told}")],
        "",
    );
    planted.extend([reported, told, token, csrf]);
}

/// The same doors, as they are to be told of.
fn requests_are_told(served: &Served, collector: &Listener, issuer: &Listener) {
    let lines = served.lines();
    let line = |verb: &str, route: &str, status: u64| {
        let found = lines
            .iter()
            .find(|line| line["verb"] == verb && line["route"] == route && line["status"] == status);
        found.unwrap_or_else(|| panic!("{verb} {route} {status} is not told: {}", served.said())).clone()
    };
    assert_eq!(line("POST", "/sign-in", 401)["caller"], Value::Null);
    let reported = line("POST", "/report", 303);
    assert!(reported["caller"].as_str().unwrap().starts_with("session:"), "{reported}");
    assert!(reported["ms"].is_u64() && reported["request"].as_str().unwrap().len() == 16, "{reported}");
    assert!(line("GET", "/incidents/{id}", 303)["at"].as_str().unwrap().ends_with('Z'));
    line("GET", "none", 404);
    line("POST", "/hooks/{name}", 202);
    let asked =
        lines.iter().find(|line| line["verb"] == "POST" && line["route"] == "/api/v1/incidents").unwrap();
    assert!(asked["caller"].as_str().unwrap().starts_with("token:"), "{asked}");
    assert_eq!(asked["trace"], TRACE);

    let spans = collector.spans();
    let found = spans.iter().find(|span| span["name"] == "POST /api/v1/incidents").unwrap();
    assert_eq!((&found["traceId"], &found["parentSpanId"]), (&json!(TRACE), &json!("b7ad6b7169203331")));
    let known = attributes(found);
    assert_eq!(
        (known["http.request.method"].as_str(), known["http.route"].as_str()),
        ("POST", "/api/v1/incidents")
    );
    assert_eq!(found["kind"], 2);
    let times = ["startTimeUnixNano", "endTimeUnixNano"]
        .map(|key| found[key].as_str().unwrap().parse::<u64>().unwrap());
    assert!(times[0] > 1_600_000_000_000_000_000 && times[0] <= times[1], "{times:?}");
    let delivery = spans.iter().find(|span| span["name"] == "delivery").expect("a delivery is a span");
    assert_eq!(attributes(delivery)["quell.source"], "org");

    // The call that a request led to is part of its trace.
    let away = spans.iter().find(|span| span["name"] == "POST /sign-in/provider").unwrap();
    let asked = issuer.got();
    let header = asked
        .iter()
        .find_map(|(head, _)| head.lines().find_map(|line| line.strip_prefix("traceparent: ")))
        .unwrap();
    assert_eq!(
        header,
        format!("00-{}-{}-01", away["traceId"].as_str().unwrap(), away["spanId"].as_str().unwrap())
    );
}

#[test]
fn a_collector_that_never_answers_stops_nothing_and_one_that_refuses_is_counted() {
    let silent = Listener::start(None);
    let mut served = Served::start(&["--otlp-endpoint", &silent.url()], "http://127.0.0.1:9");
    for _ in 0..50 {
        assert_eq!(served.ask("GET", "/healthz", &[], "").0, 200);
    }
    wait_for(|| !silent.got().is_empty(), "nothing was sent");
    assert_eq!(served.ask("GET", "/healthz", &[], "").0, 200);
    // It ends although nobody took its last spans.
    served.end();

    let refusing = Listener::start(Some("400 Bad Request"));
    let served = Served::start(&["--otlp-endpoint", &refusing.url()], "http://127.0.0.1:9");
    let dropped = || {
        let (_, _, page) = ask(&served.url, "GET", "/metrics", &[], "");
        let line = page.lines().find_map(|line| line.strip_prefix("quell_spans_dropped_total ")).unwrap();
        line.parse::<u64>().unwrap() > 0
    };
    wait_for(dropped, "what a collector refused is not counted");
}

#[test]
fn without_a_collector_no_call_carries_a_trace() {
    let issuer = Listener::start(Some("404 Not Found"));
    let mut served = Served::start(&[], &issuer.url());
    served.ask("POST", "/sign-in/provider", &[FORM], "next=/");
    assert!(issuer.got().iter().all(|(head, _)| !head.contains("traceparent")), "{:?}", issuer.got());
    assert_eq!(issuer.got().len(), 1);
    served.end();
    assert!(served.lines().iter().all(|line| line["trace"].is_null()));
}

/// Nothing has changed, so it is the signal that has the files read.
#[test]
fn at_sighup_files_are_read_again_and_the_server_goes_on() {
    let mut served = Served::start(&[], "http://127.0.0.1:9");
    let taken_up = || served.lines().iter().filter(|line| line["what"] == "inventory taken up").count();
    assert_eq!(taken_up(), 0);
    kill_process(Pid::from_child(&served.child), Signal::HUP).unwrap();
    wait_for(|| taken_up() == 1, "the signal is not heard");
    assert_eq!(served.ask("GET", "/readyz", &[], "").0, 200);
    served.end();
}
