//! Redis on loopback: real servers with an ACL file each, in temporary folders, stopped on drop.
//!
//! The user `default` is off; `boss` may do everything and has a random password.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::start;

/// Where a server keeps its users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeps {
    /// In an ACL file.
    File,
    /// In its configuration file.
    Configuration,
    /// In memory alone.
    Nothing,
}

/// One running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    tls: bool,
    keeps: Keeps,
    password: String,
    child: Child,
}

impl Server {
    /// Starts a fresh server.
    pub fn start(keeps: Keeps) -> anyhow::Result<Self> {
        Self::start_with(keeps, &[])
    }

    /// Starts one with more of its options, such as `replicaof 127.0.0.1 7000`.
    pub fn start_with(keeps: Keeps, options: &[&str]) -> anyhow::Result<Self> {
        start::again(|| Self::start_once(keeps, options))
    }

    fn start_once(keeps: Keeps, options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("qre").tempdir()?;
        let mut bytes = [0_u8; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let password = format!("{:032x}", u128::from_be_bytes(bytes));
        let users =
            ["user default off".to_owned(), format!("user boss on >{password} ~* &* +@all"), String::new()];
        let (port, tls) =
            (crate::free_port()?, options.iter().any(|option| option.starts_with("tls-cert-file")));
        let listen = if tls { format!("port 0\ntls-port {port}\n") } else { format!("port {port}\n") };
        let mut configuration = format!(
            "bind 127.0.0.1\n{listen}dir {0}\nsave \"\"\nlogfile {0}/log\nloglevel notice\n",
            folder.path().display()
        );
        for option in options {
            configuration.push_str(option);
            configuration.push('\n');
        }
        match keeps {
            Keeps::File => {
                fs::write(folder.path().join("users.acl"), users.join("\n"))?;
                configuration = format!("{configuration}aclfile {}/users.acl\n", folder.path().display());
            }
            Keeps::Configuration | Keeps::Nothing => configuration.push_str(&users.join("\n")),
        }
        fs::write(folder.path().join("redis.conf"), configuration)?;
        let child = Self::run(folder.path(), keeps)?;
        let mut server = Self { folder, port, tls, keeps, password, child };
        server.wait()?;
        Ok(server)
    }

    fn run(folder: &Path, keeps: Keeps) -> anyhow::Result<Child> {
        // Debian's `redis-tools` has the server under the name of a tool, and it goes by the name that it is called by; the package
        // `redis-server` would start a server of its own.
        let program = crate::program("redis-server", &["/usr/bin"]);
        let mut command =
            Command::new(program.or_else(|_| crate::program("redis-check-rdb", &["/usr/bin"]))?);
        command.arg0("redis-server");
        command.current_dir(folder).env("LC_ALL", "C").stdout(Stdio::null()).stderr(Stdio::null());
        if keeps == Keeps::Nothing {
            // From standard input: the server then knows no file to write to.
            let mut child =
                command.arg("-").stdin(Stdio::piped()).spawn().context("starting redis-server")?;
            let configuration = fs::read(folder.join("redis.conf"))?;
            child.stdin.take().context("no standard input")?.write_all(&configuration)?;
            return Ok(child);
        }
        command.arg(folder.join("redis.conf")).stdin(Stdio::null()).spawn().context("starting redis-server")
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let log = self.folder.path().join("log");
        start::wait(
            self,
            ("redis-server", &log),
            |it| &mut it.child,
            |it| TcpStream::connect(("127.0.0.1", it.port)).is_ok() && it.ask(&["PING"]).is_ok(),
        )
    }

    /// Stops it at once and starts it again with what it kept.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = Self::run(self.folder.path(), self.keeps)?;
        self.wait()
    }

    /// Stops it.
    pub fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks as `boss`, with `redis-cli`; what it printed.
    pub fn ask(&self, command: &[&str]) -> anyhow::Result<String> {
        self.ask_as("boss", &self.password, command)
    }

    /// Asks as somebody. An error of the server's is one here, too.
    pub fn ask_as(&self, user: &str, password: &str, command: &[&str]) -> anyhow::Result<String> {
        let mut cli = Command::new(crate::program("redis-cli", &["/usr/bin"])?);
        cli.args([
            "-e",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "--user",
            user,
            "--no-auth-warning",
        ]);
        if self.tls {
            cli.args(["--tls", "--insecure"]);
        }
        // Not in argv, where every process on the machine could read it.
        let output = cli.args(command).env("REDISCLI_AUTH", password).stdin(Stdio::null()).output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(output.status.success(), "redis-cli: {} {}", said(&output.stdout), said(&output.stderr));
        Ok(said(&output.stdout))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The password of `boss`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The administrator's URL.
    pub fn admin_url(&self) -> String {
        self.url("boss", &self.password)
    }

    /// Somebody's URL.
    pub fn url(&self, user: &str, password: &str) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Its folder, with what it keeps and its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
