//! OpenBao on loopback: the real server in dev mode (in memory, unsealed), with a file audit device.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::start;

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    token: String,
    folder: tempfile::TempDir,
}

/// A database for [`Server::enable_database`].
#[derive(Clone, Copy, Debug)]
pub struct Database<'a> {
    /// Where the engine is mounted: `database`.
    pub mount: &'a str,
    /// `postgresql://{{username}}:{{password}}@127.0.0.1:5432/postgres?sslmode=disable`.
    pub url: &'a str,
    /// The account OpenBao creates others with.
    pub username: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The role of the engine: `orders`.
    pub role: &'a str,
    /// What creates an account; `{{name}}`, `{{password}}`, `{{expiration}}` are replaced.
    pub creation: &'a [&'a str],
    /// What removes it; none means the plugin's own.
    pub revocation: &'a [&'a str],
    /// How long a lease is: `1h`.
    pub ttl: &'a str,
}

impl Server {
    /// Starts a server with KV v2 at `kv/` and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        let program = crate::program("bao", &[])?;
        start::again(|| Self::start_once(&program))
    }

    fn start_once(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = crate::free_port()?;
        let token = format!("quell-test-root-{port}-{}", std::process::id());
        // Audit devices cannot be enabled through the API any more (openbao.org/docs/configuration/audit).
        let config = format!(
            "audit \"file\" \"main\" {{ options = {{ file_path = \"{}\", log_raw = \"false\" }} }}\n",
            folder.path().join("audit.log").display()
        );
        std::fs::write(folder.path().join("audit.hcl"), config)?;
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let child = Command::new(program)
            .args(["server", "-dev", "-dev-no-store-token", "-config=audit.hcl"])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            // Not in argv, where every process on the machine could read it.
            .env("BAO_DEV_ROOT_TOKEN_ID", &token)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting bao")?;
        let mut server = Self { child, port, token, folder };
        server.wait()?;
        server.request("POST", "sys/mounts/kv", &json!({ "type": "kv", "options": { "version": "2" } }))?;
        server.settle_kv("kv")?;
        Ok(server)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let log = self.folder.path().join("server.log");
        start::wait(
            self,
            ("bao", &log),
            |it| &mut it.child,
            |it| {
                matches!(it.request_as("", "GET", "sys/health", &Value::Null), Ok((200, _)))
                    && it.request("GET", "auth/token/lookup-self", &Value::Null).is_ok()
            },
        )
    }

    /// A new KV v2 mount first answers 400 "Upgrading from non-versioned to versioned".
    fn settle_kv(&self, mount: &str) -> anyhow::Result<()> {
        for _ in 0..100 {
            let path = format!("{mount}/data/quell-settle");
            if self.request_as(&self.token, "GET", &path, &Value::Null)?.0 == 404 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the mount {mount} does not become ready")
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.token
    }

    /// The audit log: one JSON object a line, values as HMAC.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// Asks as root; `path` without `/v1/`; `Null` sends no body. A status other than 2xx is an error.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.request_as(&self.token, method, path, body)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// Asks with another token and gives any status.
    pub fn request_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(u16, Value)> {
        ask(self.port, token, method, path, body)
    }

    /// A token with exactly this policy (HCL) and `default`.
    pub fn token_with(&self, name: &str, policy: &str) -> anyhow::Result<String> {
        self.request("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": policy }))?;
        let body = json!({ "policies": [name], "ttl": "1h" });
        let answer = self.request("POST", "auth/token/create", &body)?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        Ok(token.context("no token in the answer")?.to_owned())
    }

    /// Mounts the database engine, connects it to a real PostgreSQL and makes one role.
    pub fn enable_database(&self, database: &Database<'_>) -> anyhow::Result<()> {
        let mount = database.mount;
        self.request("POST", &format!("sys/mounts/{mount}"), &json!({ "type": "database" }))?;
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": database.role,
            "connection_url": database.url,
            "username": database.username,
            "password": database.password,
        });
        self.request("POST", &format!("{mount}/config/main"), &connection)?;
        let role = json!({
            "db_name": "main",
            "creation_statements": database.creation,
            "revocation_statements": database.revocation,
            "default_ttl": database.ttl,
            "max_ttl": "24h",
        });
        self.request("POST", &format!("{mount}/roles/{}", database.role), &role)?;
        Ok(())
    }

    /// Kills it now.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// One request to a server on loopback: `path` without `/v1/`; `Null` sends no body; any status.
pub fn ask(port: u16, token: &str, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    write!(
        stream,
        "{method} /v1/{path} HTTP/1.0\r\nHost: 127.0.0.1\r\nX-Vault-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
