//! An OAuth server on loopback: `oidc-provider` (<https://github.com/panva/node-oidc-provider>), with resources beside it that take its
//! tokens. What people do in a browser is done by [`Server::consent`] and the like.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::start;

/// The resource server's own client: it may introspect, and nothing else.
const RESOURCE_SECRET: &str = "resource-server-client-secret";

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    resource: u16,
    door: u16,
    folder: tempfile::TempDir,
}

/// How it behaves where the RFCs leave it to the server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the resource that caches keeps an answer, in milliseconds.
    pub cache_ms: u32,
    /// How long a token by client credentials is good, in seconds.
    pub life: u32,
    /// Each update of a client's record gives another registration access token.
    pub rotates_registration: bool,
}

/// What an update of a client's record does to its secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnUpdate {
    /// It stays.
    Keeps,
    /// It is another one afterwards.
    Rotates,
}

/// A client that was registered.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// For its record.
    pub registration_token: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; `Null` when it is not JSON.
    pub body: Value,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_ms: 300, life: 600, rotates_registration: true }
    }
}

impl OnUpdate {
    fn policy(self) -> &'static str {
        match self {
            Self::Keeps => "keeps",
            Self::Rotates => "rotates",
        }
    }
}

impl Server {
    /// Starts a fresh server and waits until it answers.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ready = folder.path().join("ready");
        let script = folder.path().join("server.mjs");
        std::fs::write(&script, include_str!("server.mjs"))?;
        let log = folder.path().join("log");
        let said = File::create(&log)?;
        let options = json!({
            "cacheMs": options.cache_ms,
            "life": options.life,
            "resourceSecret": RESOURCE_SECRET,
            "rotatesRegistration": options.rotates_registration,
        });
        let child = Command::new(crate::program("node", &["/usr/bin"])?)
            .arg(&script)
            .arg(packages()?)
            .args([ready.as_os_str(), options.to_string().as_ref()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("starting node")?;
        let mut server = Self { child, port: 0, resource: 0, door: 0, folder };
        // It chooses its ports itself, and writes them down when it listens.
        start::wait(&mut server, ("oidc-provider", &log), |it| &mut it.child, |_| ready.is_file())?;
        let ports: Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        let port = |name: &str| -> anyhow::Result<u16> {
            let number = ports.get(name).and_then(Value::as_u64).context("no port")?;
            Ok(u16::try_from(number)?)
        };
        server.port = port("port")?;
        server.resource = port("resourcePort")?;
        server.door = port("doorPort")?;
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its name: `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of a resource: `asks` introspects each time, `refunds` does too and wants another scope, `caches` keeps the answer, `local` checks signatures, `open` lets everybody in.
    pub fn resource(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.resource)
    }

    /// Registers a client that may use all grants there are.
    pub fn register(&self, name: &str, on_update: OnUpdate) -> anyhow::Result<Client> {
        self.register_as(name, on_update, "client_secret_basic")
    }

    /// Registers a client that people sign in to, and that is at this address. At the provider's page, a browser's header
    /// `x-sign-in-as: NAME+GROUP,GROUP` says who sits at it.
    pub fn register_web(&self, callback: &str) -> anyhow::Result<Client> {
        let initial = self.act("initial", &json!({ "policy": OnUpdate::Keeps.policy() }))?;
        let record = json!({
            "client_name": "room",
            "redirect_uris": [callback],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "scope": "openid profile",
        });
        let body = record.to_string();
        self.registered(&text(&initial, "token")?, &body, false)
    }

    fn registered(&self, token: &str, body: &str, public: bool) -> anyhow::Result<Client> {
        let answer = ask(self.port, "POST", "/reg", &bearer(token, "application/json"), body)?;
        ensure!(answer.status == 201, "registering: {answer:?}");
        Ok(Client {
            id: text(&answer.body, "client_id")?,
            secret: if public { String::new() } else { text(&answer.body, "client_secret")? },
            registration_token: text(&answer.body, "registration_access_token")?,
        })
    }

    /// As [`Server::register`], for a client that logs in as `client_secret_post` says, or that has no secret (`none`) and so no grant of its own.
    pub fn register_as(&self, name: &str, on_update: OnUpdate, method: &str) -> anyhow::Result<Client> {
        let public = method == "none";
        let mut grants = vec!["authorization_code", "refresh_token"];
        if !public {
            grants.push("client_credentials");
        }
        let initial = self.act("initial", &json!({ "policy": on_update.policy() }))?;
        let record = json!({
            "client_name": name,
            "redirect_uris": ["https://orders.example.com/callback"],
            "grant_types": grants,
            "token_endpoint_auth_method": method,
            "response_types": ["code"],
            "scope": "openid offline_access orders",
        });
        self.registered(&text(&initial, "token")?, &record.to_string(), public)
    }

    /// A new registration access token, as an administrator makes it.
    pub fn registration_token(&self, client: &str, on_update: OnUpdate) -> anyhow::Result<String> {
        let made = self.act("registration", &json!({ "client": client, "policy": on_update.policy() }))?;
        text(&made, "token")
    }

    /// Somebody consents: a refresh token and an access token.
    pub fn consent(&self, client: &Client, account: &str) -> anyhow::Result<(String, String)> {
        let made = self.act("consent", &json!({ "client": client.id, "account": account }))?;
        Ok((text(&made, "refresh_token")?, text(&made, "access_token")?))
    }

    /// Asks an endpoint as a client: `token`, `token/introspection`, `token/revocation`. Values of the form need no encoding.
    pub fn ask_as(&self, client: &Client, endpoint: &str, form: &str) -> anyhow::Result<Answer> {
        client.ask(self.port, endpoint, form)
    }

    /// An access token by client credentials.
    pub fn mint(&self, client: &Client, more: &str) -> anyhow::Result<String> {
        let form = format!("grant_type=client_credentials&scope=orders{more}");
        let answer = self.ask_as(client, "token", &form)?;
        ensure!(answer.status == 200, "minting: {answer:?}");
        text(&answer.body, "access_token")
    }

    /// Refreshes: the next refresh token and an access token.
    pub fn refresh(&self, client: &Client, token: &str) -> anyhow::Result<(String, String)> {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        let answer = self.ask_as(client, "token", &form)?;
        ensure!(answer.status == 200, "refreshing: {answer:?}");
        Ok((text(&answer.body, "refresh_token")?, text(&answer.body, "access_token")?))
    }

    /// Whether the server calls a token good.
    pub fn is_active(&self, token: &str) -> anyhow::Result<bool> {
        let resource = Client {
            id: "resource".to_owned(),
            secret: RESOURCE_SECRET.to_owned(),
            registration_token: String::new(),
        };
        resource.introspects(self.port, token)
    }

    /// What a resource answers the bearer of a token.
    pub fn enter(&self, resource: &str, token: &str) -> anyhow::Result<u16> {
        enter(self.resource, resource, token)
    }

    /// A folder for what tests keep beside it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The resources' port.
    pub fn resource_port(&self) -> u16 {
        self.resource
    }

    fn act(&self, name: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = ask(self.door, "POST", &format!("/{name}"), &[], &body.to_string())?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
        Ok(answer.body)
    }
}

impl Client {
    /// Whether the server on a port lets it in, by a token that it asks for.
    pub fn logs_in(&self, port: u16) -> anyhow::Result<bool> {
        Ok(self.ask(port, "token", "grant_type=client_credentials")?.status == 200)
    }

    /// Whether the server on a port tells it that a token is good.
    pub fn introspects(&self, port: u16, token: &str) -> anyhow::Result<bool> {
        let answer = self.ask(port, "token/introspection", &format!("token={token}"))?;
        ensure!(answer.status == 200, "introspecting: {answer:?}");
        Ok(answer.body.get("active") == Some(&Value::Bool(true)))
    }

    fn ask(&self, port: u16, endpoint: &str, form: &str) -> anyhow::Result<Answer> {
        let basic = base64(format!("{}:{}", self.id, self.secret).as_bytes());
        let headers = [("authorization", format!("Basic {basic}")), ("content-type", FORM.to_owned())];
        ask(port, "POST", &format!("/{endpoint}"), &headers, form)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a resource on a port answers the bearer of a token.
pub fn enter(port: u16, resource: &str, token: &str) -> anyhow::Result<u16> {
    Ok(ask(port, "GET", &format!("/{resource}"), &bearer(token, "text/plain"), "")?.status)
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Where `dev/setup` installed the packages.
fn packages() -> anyhow::Result<PathBuf> {
    let dev = crate::dev().join("oidc");
    ensure!(dev.join("node_modules/oidc-provider").is_dir(), "`{}` is empty; run dev/setup", dev.display());
    Ok(dev)
}

fn bearer(token: &str, kind: &str) -> [(&'static str, String); 2] {
    [("authorization", format!("Bearer {token}")), ("content-type", kind.to_owned())]
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    Ok(value.get(name).and_then(Value::as_str).with_context(|| format!("no {name}"))?.to_owned())
}

/// One request on a connection of its own.
fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "content-length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let sign = usize::try_from(bits >> shift & 63).ok().and_then(|n| SIGNS.get(n));
            out.push(if i <= three.len() { sign.map_or('=', |sign| char::from(*sign)) } else { '=' });
        }
    }
    out
}
