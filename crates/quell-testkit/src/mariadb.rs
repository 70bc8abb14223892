//! MariaDB on loopback: a real server with its audit plugin, in a temporary folder, stopped on drop.
//!
//! The account `root` has a random password; everything is written into the audit log of [`Server::audit_log`].

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::start;

const INSTALL_TRIES: u32 = 3;

/// One running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    password: String,
    child: Child,
}

impl Server {
    /// Starts a fresh server that logs in UTC.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with more of its options, such as `--log-bin`.
    pub fn start_with(options: &[&str]) -> anyhow::Result<Self> {
        start::again(|| Self::start_once(options))
    }

    fn start_once(options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("qmy").tempdir()?;
        let password = random_hex()?;
        install(folder.path())?;
        // Run by the server itself before it listens, so that no account is ever without a password.
        let first = folder.path().join("first.sql");
        let ours = format!(
            "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> '127.0.0.1' OR User = '';\n\
             FLUSH PRIVILEGES;\n\
             ALTER USER root@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        );
        fs::write(&first, ours)?;
        let port = crate::free_port()?;
        let child = Self::run(folder.path(), port, options)?;
        let mut server = Self { folder, port, password, child };
        server.wait()?;
        fs::remove_file(first)?;
        Ok(server)
    }

    fn run(folder: &Path, port: u16, options: &[&str]) -> anyhow::Result<Child> {
        let log = File::create(folder.join("server.log"))?;
        let mut command = in_folder(&crate::program("mariadbd", &["/usr/sbin"])?, folder);
        let at = |name: &str| folder.join(name).display().to_string();
        command
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--plugin-load-add=server_audit", "--server-audit-logging=ON"])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", at("data")))
            .arg(format!("--socket={}", at("s")))
            .arg(format!("--pid-file={}", at("pid")))
            .arg(format!("--init-file={}", at("first.sql")))
            .arg(format!("--server-audit-file-path={}", at("audit.log")))
            .arg(format!("--plugin-dir={}", plugins()?.display()))
            .args(options)
            .args(user(folder)?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.spawn().context("starting mariadbd")
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let log = self.folder.path().join("server.log");
        start::wait(self, ("mariadbd", &log), |it| &mut it.child, |it| it.sql("SELECT 1").is_ok())
    }

    /// Runs SQL as root and returns what it printed.
    pub fn sql(&self, sql: &str) -> anyhow::Result<String> {
        let output = self.sql_as("root", &self.password, sql)?;
        ensure!(output.status.success(), "mariadb: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs SQL as somebody, over TCP; the first error ends it. Any end is `Ok`.
    pub fn sql_as(&self, user: &str, password: &str, sql: &str) -> anyhow::Result<Output> {
        let mut child = in_folder(&crate::program("mariadb", &["/usr/bin"])?, self.folder.path())
            .args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--protocol=tcp"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={user}"))
            // Not in argv, where every process on the machine could read it.
            .env("MYSQL_PWD", password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting mariadb")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A refused client ends before it reads anything; its own message tells why.
            drop(stdin.write_all(sql.as_bytes()));
        }
        Ok(child.wait_with_output()?)
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of `root`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// A URL for a user and a password that need no encoding.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// The URL of `root`.
    pub fn admin_url(&self) -> String {
        self.url("root", &self.password)
    }

    /// The file that the audit plugin writes.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; the folder goes away in any case.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes the system tables. On a loaded machine the program was seen to end once without saying why, so it is tried again.
fn install(folder: &Path) -> anyhow::Result<()> {
    let init = crate::program("mariadb-install-db", &["/usr/bin"])?;
    let data = folder.join("data");
    let mut last = String::new();
    for _ in 0..INSTALL_TRIES {
        let mut command = in_folder(&init, folder);
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        command.arg(format!("--datadir={}", data.display()));
        let output = command.args(user(folder)?).output().context("starting mariadb-install-db")?;
        if output.status.success() {
            return Ok(());
        }
        last = said(&output);
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
    }
    bail!("mariadb-install-db: {last}")
}

/// `dev/setup` puts the plugin into its own folder, since Debian's package of it would start a server of its own.
fn plugins() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let dev = std::env::var_os("QUELL_DEV_DIR").map_or_else(|| home.join(".cache/quell-dev"), PathBuf::from);
    [dev.join("mariadb"), PathBuf::from("/usr/lib/mysql/plugin")]
        .into_iter()
        .find(|folder| folder.join("server_audit.so").is_file())
        .context("MariaDB's `server_audit.so` is not on this machine; run dev/setup")
}

/// Root must say that it means it; the server is reachable from this machine only, and for the length of a test.
fn user(folder: &Path) -> anyhow::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt as _;
    Ok((fs::metadata(folder)?.uid() == 0).then_some("--user=root"))
}

fn in_folder(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").env("TZ", "UTC").env("HOME", folder);
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{} {}", text(&output.stdout), text(&output.stderr))
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
