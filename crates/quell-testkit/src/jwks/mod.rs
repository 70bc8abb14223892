//! Services that verify tokens by a published key set, each with a copy of its own, on loopback: `service.py` beside this file, with `PyJWT`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::start;

/// A running service. It is killed on drop.
#[derive(Debug)]
pub struct Service {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Service {
    /// Starts one whose set has no key.
    pub fn start() -> anyhow::Result<Self> {
        start::again(Self::start_once)
    }

    fn start_once() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = crate::free_port()?;
        std::fs::write(folder.path().join("jwks.json"), "{\"keys\": []}\n")?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(crate::python()?)
            .args(["-c", include_str!("service.py"), &port.to_string()])
            .arg(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the services that verify tokens")?;
        let mut service = Self { child, port, folder };
        let log = service.folder.path().join("log");
        start::wait(
            &mut service,
            ("the services that verify tokens", &log),
            |it| &mut it.child,
            |it| matches!(ask(it.port, "GET", "/fetched", None, ""), Ok((200, _))),
        )?;
        Ok(service)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The published set.
    pub fn set_file(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    /// The list of shared keys.
    pub fn list_file(&self) -> PathBuf {
        self.folder.path().join("session.keys")
    }

    /// The published set.
    pub fn set(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&std::fs::read_to_string(self.set_file())?)?)
    }

    /// From now on the set is what a key of a secret holds in a vault, at `http://…/v1/MOUNT/data/PATH`.
    pub fn publish_from(&self, url: &str, token: &str, key: &str) -> anyhow::Result<()> {
        let vault = json!({ "url": url, "token": token, "key": key });
        Ok(std::fs::write(self.folder.path().join("vault.json"), vault.to_string())?)
    }

    /// Publishes the public part of a private key (PEM or JSON), under a name if there is one.
    pub fn publish(&self, private: &str, kid: Option<&str>) -> anyhow::Result<()> {
        let mut entry = self.public(private)?;
        if let (Some(kid), Some(entry)) = (kid, entry.as_object_mut()) {
            entry.insert("kid".to_owned(), kid.into());
        }
        let mut set = self.set()?;
        set.pointer_mut("/keys").and_then(Value::as_array_mut).context("a set without keys")?.push(entry);
        Ok(std::fs::write(self.set_file(), format!("{set:#}\n"))?)
    }

    /// The public part of a private key, as an entry of a set that has no name.
    pub fn public(&self, private: &str) -> anyhow::Result<Value> {
        let (status, answer) = ask(self.port, "POST", "/public", None, private)?;
        ensure!(status == 200, "no public part: {status} {answer}");
        Ok(serde_json::from_str(&answer)?)
    }

    /// How often the set was fetched.
    pub fn fetched(&self) -> anyhow::Result<u32> {
        Ok(ask(self.port, "GET", "/fetched", None, "")?.1.parse()?)
    }

    /// A private key as PEM, made by openssl: `ed25519`, `P-256`, `P-384`, `rsa`.
    pub fn key(kind: &str) -> anyhow::Result<String> {
        crate::openssl::key(kind)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A verifier of a kind that keeps a set for some milliseconds, as the inventory of a `jwks` issuer has it. `port` is the service's, or a proxy's.
pub fn verifier(port: u16, kind: &str, name: &str, lifespan: u32) -> Value {
    let at = |what: &str| format!("http://127.0.0.1:{port}/{kind}/{lifespan}/{name}/{what}");
    json!({ "name": name, "url": at("me"), "refresh": { "http": at("refresh") } })
}

/// A token as a signer gives it for a private key, good for ten minutes.
pub fn sign(port: u16, private: &str) -> anyhow::Result<String> {
    let (status, answer) = ask(port, "POST", "/sign", None, private)?;
    ensure!(status == 200, "the signer signs nothing: {status} {answer}");
    Ok(answer)
}

/// What a service signs with a shared key: a token (`jwt`), or a cookie (`flask`).
pub fn session(port: u16, form: &str, key: &str) -> anyhow::Result<String> {
    let (status, answer) = ask(port, "POST", &format!("/session?form={form}"), None, key)?;
    ensure!(status == 200, "nothing is signed: {status} {answer}");
    Ok(answer)
}

/// The status that a verifier answers a token with.
pub fn show(port: u16, kind: &str, name: &str, lifespan: u32, token: &str) -> anyhow::Result<u16> {
    Ok(ask(port, "GET", &format!("/{kind}/{lifespan}/{name}/me"), Some(token), "")?.0)
}

fn ask(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let bearer = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{bearer}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok((status.context("no status in the answer")?, body.to_owned()))
}
