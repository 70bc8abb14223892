//! A model of what the RFCs leave to an OAuth server, where `oidc-provider` does it one way only: introspection (RFC 7662) may be missing or
//! say no `iat`; a refresh with a scope that was not granted (RFC 6749, section 6) may be refused before the token is looked at, or the scope
//! may be ignored; a wrong secret may be called `unauthorized_client` (Keycloak, keycloak/keycloak#16923, 2023-02); a record may be shown
//! without its secret (RFC 7592, section 2.1). Refresh tokens are good for one use, and a revocation ends what was made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// When a scope that was not granted is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// After the token was found good.
    AfterToken,
    /// Before the token is looked at.
    BeforeToken,
    /// Never: tokens are given all the same.
    Never,
}

type OnRecord = Box<dyn Fn(&str) + Send>;

/// What the server is and holds.
pub(crate) struct State {
    pub(crate) introspects: bool,
    /// Introspection breaks down when it is asked of a token that was minted.
    pub(crate) breaks: bool,
    pub(crate) says_iat: bool,
    pub(crate) scope: Scope,
    /// What is said to a wrong secret.
    pub(crate) wrong_secret: (u16, &'static str),
    /// The client's secret; any other is wrong, unless this is empty.
    pub(crate) secret: String,
    /// A record is read without its secret, and an update leaves it.
    pub(crate) keeps_secret: bool,
    /// How often the resource takes a token after it was revoked.
    pub(crate) notices_after: u32,
    /// In place of the client's name.
    pub(crate) client: Option<String>,
    /// A refresh token that is short is repeated as the code of its refusal.
    pub(crate) echoes: bool,
    pub(crate) live: BTreeSet<String>,
    pub(crate) minted: BTreeSet<String>,
    pub(crate) revoked: Vec<String>,
    /// How often a record was asked for: each answer has another registration access token.
    records: u32,
    /// What happens before a record is answered, by the request's method.
    pub(crate) on_record: Option<OnRecord>,
}

pub(crate) struct Model {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Model {
    pub(crate) fn start(change: impl FnOnce(&mut State)) -> Self {
        let mut state = State {
            introspects: true,
            breaks: false,
            says_iat: false,
            scope: Scope::AfterToken,
            wrong_secret: (401, "invalid_client"),
            secret: String::new(),
            keeps_secret: false,
            notices_after: 0,
            client: None,
            echoes: false,
            live: BTreeSet::new(),
            minted: BTreeSet::new(),
            revoked: Vec::new(),
            records: 0,
            on_record: None,
        };
        change(&mut state);
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&state);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), port, &shared);
            }
        });
        Self { port, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The client `orders` with the secret `env:ORDERS`, the client `quell` with `env:QUELL`; `part` says what leaks.
    pub(crate) fn config(&self, part: &str, leaks: &Value) -> Value {
        let mut config = json!({
            "issuer": self.at(""),
            "client": { "id": "orders", "secret": "env:ORDERS" },
            "control": { "client": { "id": "quell", "secret": "env:QUELL" } },
            "settle": "50ms",
        });
        config[part] = leaks.clone();
        config
    }

    /// A JWT that the server issued.
    pub(crate) fn jwt(&self, audience: &Value) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let body = json!({ "iss": self.at(""), "aud": audience, "exp": 4_000_000_000_u32 });
        let token = format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(body));
        self.state().live.insert(token.clone());
        token
    }
}

/// A request: method, path, `Authorization`, and the fields of its form.
type Asked = (String, String, String, BTreeMap<String, String>);
type Said = (u16, Value);

fn serve(mut stream: TcpStream, port: u16, state: &Mutex<State>) {
    let Some((method, path, login, form)) = read(&mut stream) else { return };
    let mut state = state.lock().unwrap();
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let (status, body) = match path.as_str() {
        path if path.starts_with("/.well-known") => metadata(&state, port),
        "/me" => me(&mut state, &login),
        "/reg" => record(&mut state, &method),
        _ if !lets_in(&state, &login) => {
            let (status, code) = state.wrong_secret;
            (
                status,
                json!({ "error": code, "error_description": "Invalid client or Invalid client credentials" }),
            )
        }
        "/introspect" => introspect(&state, &field("token")),
        "/revoke" => {
            let token = field("token");
            state.live.remove(&token);
            state.revoked.push(token);
            (200, Value::Null)
        }
        "/token" if field("grant_type") == "client_credentials" => {
            let token = format!("made-{}", state.minted.len());
            state.minted.insert(token.clone());
            state.live.insert(token.clone());
            (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 60 }))
        }
        "/token" => refresh(&mut state, &field("refresh_token"), !field("scope").is_empty()),
        _ => (404, Value::Null),
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let challenge = if status == 401 && path == "/me" {
        let error = if login.is_empty() { "" } else { ", error=\"invalid_token\"" };
        format!("www-authenticate: Bearer realm=\"orders\"{error}\r\n")
    } else {
        String::new()
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\ndate: Mon, 23 Nov 2026 09:00:00 GMT\r\nconnection: close\r\n{challenge}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).ok();
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let (head, length) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = header(&head, "content-length").parse::<usize>().unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                break (head, end + 4);
            }
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    };
    let mut first = head.lines().next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let form = url::form_urlencoded::parse(&bytes[length..]).into_owned().collect();
    Some((method, path, header(&head, "authorization"), form))
}

fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn metadata(state: &State, port: u16) -> Said {
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let mut metadata =
        json!({ "issuer": at(""), "token_endpoint": at("/token"), "revocation_endpoint": at("/revoke") });
    if state.introspects {
        metadata["introspection_endpoint"] = json!(at("/introspect"));
    }
    (200, metadata)
}

fn lets_in(state: &State, login: &str) -> bool {
    let pair = login.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    state.secret.is_empty() || pair == format!("orders:{}", state.secret).into_bytes()
}

fn introspect(state: &State, token: &str) -> Said {
    if state.breaks && state.minted.contains(token) {
        return (500, Value::Null);
    }
    if !state.live.contains(token) {
        return (200, json!({ "active": false }));
    }
    let client = state.client.clone().unwrap_or_else(|| "orders".to_owned());
    let mut seen = json!({ "active": true, "client_id": client });
    if state.says_iat {
        seen["iat"] = json!(1_795_420_000);
    }
    (200, seen)
}

fn me(state: &mut State, login: &str) -> Said {
    let token = login.strip_prefix("Bearer ").unwrap_or_default();
    if state.live.contains(token) {
        return (200, json!({ "orders": 3 }));
    }
    if state.notices_after > 0 && state.revoked.iter().any(|revoked| revoked == token) {
        state.notices_after -= 1;
        return (200, json!({ "orders": 3 }));
    }
    (401, Value::Null)
}

fn refresh(state: &mut State, token: &str, asks_scope: bool) -> Said {
    let refused = |code: &str| (400, json!({ "error": code }));
    if state.echoes && token.len() < 40 {
        return refused(token);
    }
    if asks_scope && state.scope == Scope::BeforeToken {
        return refused("invalid_scope");
    }
    if !state.live.contains(token) {
        return refused("invalid_grant");
    }
    if asks_scope && state.scope == Scope::AfterToken {
        return refused("invalid_scope");
    }
    state.live.remove(token);
    let next = format!("{token}-next");
    state.live.insert(next.clone());
    (200, json!({ "access_token": format!("{token}-access"), "refresh_token": next }))
}

fn record(state: &mut State, method: &str) -> Said {
    if let Some(on_record) = &state.on_record {
        on_record(method);
    }
    state.records += 1;
    let mut record =
        json!({ "client_id": "orders", "registration_access_token": format!("next-{}", state.records) });
    if method == "PUT" && !state.keeps_secret {
        state.secret = format!("{}-next", state.secret);
    }
    if method == "PUT" || !state.keeps_secret {
        record["client_secret"] = json!(state.secret);
    }
    (200, record)
}
