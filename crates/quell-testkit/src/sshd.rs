//! OpenSSH on loopback: a real `sshd` with keys of its own in a temporary folder, stopped on drop.
//!
//! The administrator is who runs the test. Who logs in with the keys under test is `nobody` where that is root, as `sshd` then may become
//! somebody else, and otherwise the same account: accounts of their own would be left on the machine. Both get only a session of
//! `sftp`, which needs no shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::start;

/// One running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    user: String,
    admin: String,
    child: Child,
}

/// A connection that the OpenSSH client holds open.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    _key: TempDir,
}

impl Server {
    /// Starts a server that lets the administrator in and nobody else.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with more lines of `sshd_config`.
    pub fn start_with(lines: &[&str]) -> anyhow::Result<Self> {
        start::again(|| Self::start_once(lines))
    }

    fn start_once(lines: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("qss").tempdir()?;
        // Keys are read as the account that they are of.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let admin = text(Command::new("id").arg("-un"))?.trim().to_owned();
        let root = admin == "root";
        let user = if root { "nobody".to_owned() } else { admin.clone() };
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["host", "admin"] {
            keygen(&folder.path().join(name), "ed25519")?;
        }
        fs::create_dir(folder.path().join("keys"))?;
        fs::copy(folder.path().join("admin.pub"), folder.path().join("keys").join(&admin))?;
        if root {
            // Where Debian's start script would make it.
            fs::create_dir_all("/run/sshd")?;
        }
        let port = crate::free_port()?;
        // The first of several lines counts (sshd_config(5)).
        let configuration = format!(
            "{}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}/%u\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n\
             MaxStartups 100\nSubsystem sftp internal-sftp\n",
            lines.join("\n"),
            at("host"),
            at("keys")
        );
        fs::write(folder.path().join("sshd_config"), configuration)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let program = crate::program("sshd", &["/usr/sbin"])?;
        let child = Command::new(program)
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting sshd")?;
        let host = fs::read_to_string(folder.path().join("host.pub"))?;
        fs::write(folder.path().join("known_hosts"), format!("[127.0.0.1]:{port} {host}"))?;
        let mut server = Self { folder, port, user, admin, child };
        let log = server.folder.path().join("log");
        start::wait(
            &mut server,
            ("sshd", &log),
            |it| &mut it.child,
            |it| std::net::TcpStream::connect(("127.0.0.1", it.port)).is_ok(),
        )?;
        Ok(server)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The account under test.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The administrator's account.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The administrator's private key.
    pub fn admin_key(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("admin"))?)
    }

    /// The file in which the server is known, under its own port.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// The same for a proxy before it.
    pub fn known_at(&self, port: u16) -> anyhow::Result<String> {
        let host = fs::read_to_string(self.folder.path().join("host.pub"))?;
        Ok(format!("[127.0.0.1]:{port} {host}"))
    }

    /// As in `AuthorizedKeysFile`.
    pub fn keys(&self) -> String {
        format!("{}/keys/%u", self.folder.path().display())
    }

    /// The keys of the account under test.
    pub fn keys_of(&self, user: &str) -> PathBuf {
        self.folder.path().join("keys").join(user)
    }

    /// Its folder, for more files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Makes a key that logs in to the account under test, with options; gives the private key.
    pub fn let_in(&self, kind: &str, options: &str) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        keygen(&path, kind)?;
        let public = fs::read_to_string(path.with_extension("pub"))?;
        let file = self.keys_of(&self.user);
        let mut keys = fs::read_to_string(&file).unwrap_or_default();
        keys.push_str(options);
        keys.push_str(if options.is_empty() { "" } else { " " });
        keys.push_str(&public);
        fs::write(&file, keys)?;
        Ok(fs::read_to_string(&path)?)
    }

    /// Logs in to the account under test with the OpenSSH client; `None` if the key is refused.
    pub fn open(&self, private: &str) -> anyhow::Result<Option<Session>> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("key");
        fs::write(&key, format!("{}\n", private.trim_end()))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let known = self.known_hosts().display().to_string();
        let mut child = Command::new(crate::program("ssh", &[])?)
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
            ])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={known}")])
            .args(["-o", "GlobalKnownHostsFile=none", "-i", &key.display().to_string()])
            .args(["-p", &self.port.to_string(), "-l", &self.user, "-s", "127.0.0.1", "sftp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ssh")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.context("no input")?, output.context("no output")?);
        let mut session = Session { child, input, output, _key: folder };
        if session.is_alive() {
            return Ok(Some(session));
        }
        let status = session.child.wait()?;
        let mut said = String::new();
        if let Some(mut stderr) = session.child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut said)?;
        }
        ensure!(said.contains("Permission denied (publickey)"), "ssh ended with {status}: {said}");
        Ok(None)
    }
}

impl Session {
    /// Whether the other side still answers.
    pub fn is_alive(&mut self) -> bool {
        // SSH_FXP_INIT, which may be sent again, and the head of SSH_FXP_VERSION (draft-ietf-secsh-filexfer-02, 4).
        let mut asked = || -> std::io::Result<()> {
            std::io::Write::write_all(&mut self.input, &[0, 0, 0, 5, 1, 0, 0, 0, 3])?;
            std::io::Write::flush(&mut self.input)?;
            let mut length = [0_u8; 4];
            std::io::Read::read_exact(&mut self.output, &mut length)?;
            let mut answer = vec![0_u8; usize::try_from(u32::from_be_bytes(length)).unwrap_or(0)];
            std::io::Read::read_exact(&mut self.output, &mut answer)
        };
        asked().is_ok()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes a pair of files, without a passphrase.
fn keygen(path: &Path, kind: &str) -> anyhow::Result<()> {
    let mut command = Command::new(crate::program("ssh-keygen", &[])?);
    text(command.args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"]).arg(path)).map(drop)
}

fn text(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
