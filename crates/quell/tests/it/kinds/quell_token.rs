//! A token of a Quell server, leaked, replaced and proven dead by Quell: as any other key of a service. The server is a real one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Kept, Kind, MAKE_BEFORE_BREAK, Place, Session, is_answered, survives_crashes_in, survives_lost_answers,
};
use crate::world::{private, quell_program, text};

/// An installation whose tokens leak, apart from the one that answers.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ok =
            |args: &[&str]| assert!(command(&folder, args).output().unwrap().status.success(), "{args:?}");
        ok(&["init"]);
        ok(&["person", "add", "ines", "--role", "admin"]);
        let mut serve = command(&folder, &["serve", "--listen", "127.0.0.1:0"]);
        let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.next().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let port = said.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{said}"));
        Self { folder, child, port }
    }

    fn token(&self, name: &str, role: &str) -> String {
        let made =
            command(&self.folder, &["token", "make", "--name", name, "--role", role]).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    }

    /// Names and ids of the tokens that are good.
    fn tokens(&self) -> Vec<(String, String)> {
        let listed = command(&self.folder, &["token", "list", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        listed["tokens"].as_array().unwrap().iter().map(|one| (text(one, "name"), text(one, "id"))).collect()
    }

    fn kind(&self, name: &str, port: u16) -> Kind {
        let door = self.port;
        let (control, admin) = (self.token("control", "reporter"), self.token("rotation", "admin"));
        private(&self.folder.path().join("control"), &control);
        Kind {
            name: "quell-token",
            issuer: json!({"provider": {
                "id": "quell",
                "url": format!("http://127.0.0.1:{port}"),
                "admin": "file:admin.url",
                "control": format!("file:{}", self.folder.path().join("control").display()),
                "mint": {"role": "responder"},
                "settle": "50ms",
            }}),
            connections: json!({}),
            admin,
            old: self.token(name, "responder"),
            kept: Kept::Key,
            door: Arc::new(move |value| {
                let token = Token { port: door, token: value.to_owned() };
                (token.status() == 200).then(|| Box::new(token) as Box<dyn Session>)
            }),
        }
    }
}

fn command(folder: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(quell_program());
    command.args(args).current_dir(folder.path()).env_clear();
    command.env("QUELL_DATA_DIR", folder.path().join("data")).env("QUELL_ACTOR", "ines");
    command
}

struct Token {
    port: u16,
    token: String,
}

impl Token {
    fn status(&self) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "GET /api/v1/incidents HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }
}

impl Session for Token {
    fn is_alive(&mut self) -> bool {
        self.status() == 200
    }
}

/// Of each leaked token one successor is good, made by the step that is in its name.
#[track_caller]
fn assert_one_each(server: &Server, incidents: usize) {
    let made: Vec<_> = server
        .tokens()
        .into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "control" | "rotation"))
        .collect();
    assert_eq!(made.len(), incidents, "{made:?}");
}

#[test]
fn a_token_of_a_server_is_replaced_and_proven_dead() {
    let server = Server::start();
    is_answered(|name| server.kind(name, server.port));
    assert_one_each(&server, 2);
}

#[test]
fn a_crash_while_a_token_of_a_server_is_replaced_leaves_no_stranger() {
    let server = Server::start();
    survives_crashes_in(MAKE_BEFORE_BREAK, &["mint", "disable"], |name| server.kind(name, server.port));
    assert_one_each(&server, 6);
}

#[test]
fn lost_answers_of_a_server_leave_one_token() {
    let server = Server::start();
    let requests = ["POST /api/v1/tokens ", "POST /api/v1/tokens/revoke"];
    survives_lost_answers(&requests, |name, port| server.kind(name, port), server.port);
    assert_one_each(&server, 2);
}

/// What an attacker made with an admin's token is known, and goes with it when asked.
#[test]
fn tokens_that_a_leaked_token_made_are_named_and_go_with_it() {
    let server = Server::start();
    let place = Place::new(server.kind("app", server.port));
    let id = place.leak("chat");
    place.ok(&["respond", &id], None);
    let tokens = server.tokens();
    let rotation = tokens.iter().find(|(name, _)| name == "rotation").unwrap().1.clone();
    let (_, successor) = tokens.iter().find(|(name, _)| name.contains("orders")).unwrap();
    let revoke = |more: &[&str]| {
        let mut args = vec!["token", "revoke", &rotation, "--reason", "it leaked, too", "--json"];
        args.extend(more);
        let said = command(&server.folder, &args).output().unwrap();
        (
            said.status.success(),
            serde_json::from_slice::<Value>(&said.stdout).unwrap_or_default(),
            text(&said.stderr),
        )
    };
    let (_, said, _) = revoke(&["--made"]);
    assert_eq!((&said["revoked"], &said["made"]), (&json!([rotation, successor]), &json!([])));
    let file = std::fs::read_to_string(place.kind.kept.file(place.folder.path())).unwrap();
    assert!((place.kind.door)(place.kind.kept.value(&file)).is_none(), "the successor is refused, too");
    let (again, _, words) = revoke(&[]);
    assert!(!again && words.contains("there is no token"), "{words}");
}
