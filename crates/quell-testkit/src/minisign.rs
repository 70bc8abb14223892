//! The program `minisign`, with keys that have no password.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};

/// A key pair in files.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The public key.
    pub public: PathBuf,
    /// The secret key, as a text.
    pub secret: String,
}

/// Makes a key pair.
pub fn generate(folder: &Path, name: &str) -> anyhow::Result<Keys> {
    let (public, secret) = (folder.join(format!("{name}.pub")), folder.join(format!("{name}.key")));
    let made = run(&["-G", "-W", "-f", "-p", text(&public)?, "-s", text(&secret)?])?;
    ensure!(made.status.success(), "minisign -G: {}", String::from_utf8_lossy(&made.stderr));
    Ok(Keys { public, secret: std::fs::read_to_string(secret)?.trim_end().to_owned() })
}

/// Signs a file with a secret key, into `FILE.minisig`.
pub fn sign(secret: &str, file: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{}\n", secret.trim_end()))?;
    let signed = run(&["-S", "-s", text(&key)?, "-m", text(file)?])?;
    ensure!(signed.status.success(), "minisign -S: {}", String::from_utf8_lossy(&signed.stderr));
    Ok(())
}

/// Verifies `FILE.minisig` with the first key of a file. What it printed comes along.
pub fn verify(public: &Path, file: &Path) -> anyhow::Result<(bool, String)> {
    let output = run(&["-V", "-p", text(public)?, "-m", text(file)?])?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not text")
}

fn run(arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(crate::program("minisign", &[])?);
    command.args(arguments).stdin(Stdio::null()).output().context("running minisign")
}
