//! PostgreSQL on loopback: a real server in a temporary folder, stopped on drop.
//!
//! Every host connection needs SCRAM-SHA-256, the superuser `postgres` has a random password, and the server's
//! log goes to [`Server::log_path`] so that tests can search it for values.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

const HOST: &str = "127.0.0.1";
const PAUSE: Duration = Duration::from_millis(20);
/// 30 seconds of [`PAUSE`]s: a loaded machine with two cores is slow to start a server.
const START_TRIES: u32 = 1500;
/// 5 seconds of [`PAUSE`]s, then the server is killed.
const STOP_TRIES: u32 = 250;

/// One running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    as_root: bool,
    bin: PathBuf,
    port: u16,
    password: String,
    config: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    /// Starts a fresh server. `extra_config` are settings as in `postgresql.conf`; they win over ours.
    pub fn start(extra_config: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("qpg").tempdir()?;
        let mut server = Self {
            as_root: fs::metadata(folder.path())?.uid() == 0,
            folder,
            bin: newest_bin()?,
            port: 0,
            password: random_hex()?,
            config: extra_config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            child: None,
        };
        server.init()?;
        let mut tries = 3;
        loop {
            server.port = crate::free_port()?;
            match server.run() {
                Ok(()) => return Ok(server),
                // Somebody took the port between our look and the server's.
                Err(_) if tries > 1 && server.log().contains("Address already in use") => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL, with its password.
    pub fn admin_url(&self) -> String {
        self.url("postgres", &self.password, "postgres")
    }

    /// A URL for this server. The arguments must need no percent-encoding.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@{HOST}:{}/{database}", self.port)
    }

    /// The file that holds everything the server ever logged, across restarts.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The log's text so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Runs SQL as the superuser through psql and returns its unaligned output without the last newline.
    /// The first error ends it.
    pub fn psql(&self, sql: &str) -> anyhow::Result<String> {
        let mut child = Command::new(self.program("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-U", "postgres"])
            .args(["-d", "postgres", "-p", &self.port.to_string(), "-f", "-"])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .env_remove("PGOPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting psql")?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(sql.as_bytes()) {
                // psql ended before it read everything; its own message below tells why.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
                _ => {}
            }
        }
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?.trim_end_matches('\n').to_owned())
    }

    /// Stops the server (fast shutdown: sessions are ended), if it runs.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // A shell's own `kill`: this crate has no way to send a signal, and `/bin/kill` may be missing.
        Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status()?;
        for _ in 0..STOP_TRIES {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops the server and starts it again with the same data on the same port.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.run()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Makes the data folder.
    fn init(&self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let password_file = folder.join("password");
        fs::write(&password_file, &self.password)?;
        let mut command = self.unprivileged("initdb")?;
        command
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password_file);
        let output = command.output().context("starting initdb")?;
        fs::remove_file(password_file)?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Starts the server and waits until it answers.
    fn run(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.unprivileged("postgres")?;
        command.arg("-D").arg(self.data());
        let port = self.port.to_string();
        let sockets = self.folder.path().to_string_lossy().into_owned();
        let ours = [
            ("port", port.as_str()),
            ("listen_addresses", HOST),
            ("unix_socket_directories", &sockets),
            ("password_encryption", "scram-sha-256"),
            ("fsync", "off"),
            ("logging_collector", "off"),
            ("lc_messages", "C"),
        ];
        let extra = self.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in ours.into_iter().chain(extra) {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("starting postgres")?);
        for _ in 0..START_TRIES {
            if let Some(child) = &mut self.child {
                if let Some(status) = child.try_wait()? {
                    self.child = None;
                    bail!("postgres ended at once ({status}): {}", self.log());
                }
            }
            if self.psql("SELECT 1").is_ok() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("postgres did not answer in time: {}", self.log())
    }

    /// A server program. PostgreSQL refuses to run as root, so root hands it over to the user `postgres`.
    fn unprivileged(&self, name: &str) -> anyhow::Result<Command> {
        let folder = self.folder.path();
        if !self.as_root {
            return Ok(self.in_folder(Command::new(self.program(name))));
        }
        let user = fs::read_to_string("/etc/passwd")?;
        let entry = user
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find_map(|fields| match fields.as_slice() {
                ["postgres", _, uid, gid, ..] => Some(((*uid).to_owned(), (*gid).to_owned())),
                _ => None,
            })
            .context("there is no user `postgres` to run the server as; run dev/setup")?;
        let (uid, gid) = entry;
        own(folder, &uid, &gid)?;
        let mut command = Command::new(crate::program("setpriv", &["/usr/bin"])?);
        command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "--"]).arg(self.program(name));
        Ok(self.in_folder(command))
    }

    fn in_folder(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).env("LC_ALL", "C").env("TZ", "UTC");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; the folder goes away in any case.
        drop(self.stop());
    }
}

/// Gives the folder and the files directly in it to the server's user. What is deeper was made by that user.
fn own(folder: &Path, uid: &str, gid: &str) -> anyhow::Result<()> {
    let (uid, gid) = (Some(uid.parse()?), Some(gid.parse()?));
    std::os::unix::fs::chown(folder, uid, gid)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::os::unix::fs::chown(entry.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// The folder of the highest installed version.
fn newest_bin() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        path.join("bin/initdb").is_file().then(|| (version, path.join("bin")))
    });
    if let Some((_, bin)) = versions.max() {
        return Ok(bin);
    }
    let initdb = crate::program("initdb", &[])?;
    Ok(initdb.parent().context("initdb has no folder")?.to_owned())
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_restarts_and_stops() {
        let mut server = Server::start(&[("log_statement", "all")]).unwrap();
        assert_eq!(server.psql("SELECT 1 + 1;\nSELECT current_user").unwrap(), "2\npostgres");
        assert!(server.psql("SELECT nonsense").unwrap_err().to_string().contains("nonsense"));
        assert!(server.log().contains("SELECT 1 + 1"));
        server.psql("CREATE ROLE kept").unwrap();
        server.restart().unwrap();
        assert_eq!(server.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'kept'").unwrap(), "1");
        server.stop().unwrap();
        assert!(server.psql("SELECT 1").is_err());
        assert!(std::net::TcpStream::connect((HOST, server.port())).is_err());
    }
}
