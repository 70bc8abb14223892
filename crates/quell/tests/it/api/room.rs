//! A server that really runs, and somebody who is signed in to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::world::{World, text};

/// A running `quell serve`, asked by its first admin.
pub(super) struct Room {
    child: Child,
    pub(super) url: String,
    cookie: String,
    csrf: String,
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub(super) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n{}", self.head, text(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// A problem of this status, with words and hints.
    #[track_caller]
    pub(super) fn problem(&self, status: u16) -> Value {
        let problem = self.is(status);
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{}", self.head);
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

impl Room {
    /// The first server, asked by `ines`, an admin.
    pub(super) fn start(world: &World<'_>) -> Self {
        world.ok(&["person", "add", "ines", "--role", "admin"]);
        Self::start_as(world, "ines")
    }

    /// A further server of an installation, asked by somebody who is known there.
    pub(super) fn start_as(world: &World<'_>, person: &str) -> Self {
        let mut room = Self::serve(world);
        room.sign_in(world.ok(&["person", "code", person]).trim());
        room
    }

    /// A server to which nobody has signed in.
    fn serve(world: &World<'_>) -> Self {
        let mut child = world
            .quell(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.next().expect("where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        let url = said.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        Self { child, url, cookie: String::new(), csrf: String::new() }
    }

    /// Tells it to end, as a service manager does.
    pub(super) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// How it ended.
    pub(super) fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Signs in with a code.
    pub(super) fn sign_in(&mut self, code: &str) {
        let form = ["content-type: application/x-www-form-urlencoded"];
        let signed = self.raw("POST", "/sign-in", &form, format!("code={code}").as_bytes());
        let cookie = signed.header("set-cookie").unwrap_or_else(|| panic!("{signed:?}"));
        cookie.split(';').next().unwrap().clone_into(&mut self.cookie);
        let page = text(&self.raw("GET", "/settings", &[&format!("cookie: {}", self.cookie)], b"").body);
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        csrf.unwrap_or_default().clone_into(&mut self.csrf);
    }

    /// Asks as it is.
    pub(super) fn raw(&self, verb: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "--path-as-is", "--max-time", "60", "-X", verb, "-H", "Expect:"]);
        for header in headers {
            curl.args(["-H", header]);
        }
        if !body.is_empty() {
            curl.args(["--data-binary", "@-"]);
        }
        curl.arg(format!("{}{path}", self.url));
        let mut running =
            curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A server that refuses early closes the pipe.
        let _sent = running.stdin.take().unwrap().write_all(body);
        let output = running.wait_with_output().unwrap();
        let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{verb} {path}: {}", text(&output.stderr)));
        let head = text(&output.stdout[..end]);
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: output.stdout[end + 4..].to_vec() }
    }

    /// Who is signed in, as headers.
    fn signed(&self) -> [String; 2] {
        [format!("cookie: {}", self.cookie), format!("x-quell-csrf: {}", self.csrf)]
    }

    /// Asks as whoever is signed in.
    pub(super) fn ask(&self, verb: &str, path: &str, more: &[&str], body: &[u8]) -> Reply {
        let signed = self.signed();
        let headers: Vec<&str> = signed.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.raw(verb, &format!("/api/v1{path}"), &headers, body)
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body)
    }

    pub(super) fn post_with(&self, path: &str, more: &[&str], body: &Value) -> Reply {
        let headers: Vec<&str> = more.iter().copied().chain(["content-type: application/json"]).collect();
        self.ask("POST", path, &headers, body.to_string().as_bytes())
    }

    /// The headers of whoever is signed in, for other programs.
    pub(super) fn headers(&self) -> Vec<String> {
        self.signed().to_vec()
    }
}
