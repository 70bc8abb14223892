//! A mail server on loopback with TLS and a login: `server.py` beside this file, with `aiosmtpd`.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::start;

/// Who may log in.
pub const USER: &str = "quell";

/// What happens to the next message, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The connection ends after the sender was named.
    AfterSender,
    /// The message comes whole, is not taken, and the connection ends.
    BeforeTaken,
    /// The message is taken, and the answer is lost.
    AfterTaken,
}

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
    ports: [u16; 3],
}

impl Server {
    /// Starts one where [`USER`] logs in with this password.
    pub fn start(password: &str) -> anyhow::Result<Self> {
        start::again(|| Self::start_once(password))
    }

    fn start_once(password: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("password"), password)?;
        let ports = [crate::free_port()?, crate::free_port()?, crate::free_port()?];
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(crate::python()?)
            .args(["-c", include_str!("server.py")])
            .arg(folder.path())
            .args(ports.map(|port| port.to_string()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the mail server")?;
        let mut server = Self { child, folder, ports };
        let (log, ready) = (server.folder.path().join("log"), server.folder.path().join("ready"));
        start::wait(&mut server, ("the mail server", &log), |it| &mut it.child, |_| ready.exists())?;
        Ok(server)
    }

    /// TLS from the first byte.
    pub fn implicit(&self) -> u16 {
        self.ports[0]
    }

    /// `STARTTLS`, and nothing without it.
    pub fn starttls(&self) -> u16 {
        self.ports[1]
    }

    /// Neither.
    pub fn clear(&self) -> u16 {
        self.ports[2]
    }

    /// The server's certificate, which signs itself, for `localhost` and `127.0.0.1`.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The next message meets this.
    pub fn fault(&self, fault: Fault) -> anyhow::Result<()> {
        let name = match fault {
            Fault::AfterSender => "drop-after-mail",
            Fault::BeforeTaken => "cut",
            Fault::AfterTaken => "lose",
        };
        Ok(std::fs::write(self.folder.path().join(name), "")?)
    }

    /// Every message that was taken: `from`, `to`, `tls`, `login`, `content`.
    pub fn taken(&self) -> anyhow::Result<Vec<Value>> {
        let text = match std::fs::read_to_string(self.folder.path().join("taken")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
