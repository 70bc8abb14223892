//! The program `openssl`: keys as PEM, and signatures of files as base64 beside them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// A private key: `ed25519`, `P-256`, `P-384`, `rsa`.
pub fn key(kind: &str) -> anyhow::Result<String> {
    let curve = format!("ec_paramgen_curve:{kind}");
    let options: &[&str] = match kind {
        "ed25519" => &["ed25519"],
        "rsa" => &["rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
        _ => &["EC", "-pkeyopt", &curve],
    };
    run(&[&["genpkey", "-quiet", "-algorithm"], options].concat(), "")
}

/// The public part of a private key.
pub fn public(private: &str) -> anyhow::Result<String> {
    run(&["pkey", "-pubout"], private)
}

/// The public part of a private key on a curve, in other spellings: `-ec_conv_form compressed`, `-ec_param_enc explicit`.
pub fn public_as(private: &str, form: &[&str]) -> anyhow::Result<String> {
    run(&[&["pkey", "-pubout"], form].concat(), private)
}

/// Signs a file with a private key, into `FILE.sig`.
pub fn sign(private: &str, file: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (key, raw) = (folder.path().join("key"), folder.path().join("raw"));
    std::fs::write(&key, format!("{}\n", private.trim_end()))?;
    run(&["dgst", "-sha256", "-sign", text(&key)?, "-out", text(&raw)?, text(file)?], "")?;
    let encoded = run(&["base64", "-A", "-in", text(&raw)?], "")?;
    Ok(std::fs::write(format!("{}.sig", text(file)?), encoded)?)
}

/// Whether `FILE.sig` verifies with the first key of a file.
pub fn verify(public: &Path, file: &Path) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw");
    let signature = format!("{}.sig", text(file)?);
    run(&["base64", "-d", "-A", "-in", &signature, "-out", text(&raw)?], "")?;
    let verified = Command::new(crate::program("openssl", &[])?)
        .args(["dgst", "-sha256", "-verify", text(public)?, "-signature", text(&raw)?, text(file)?])
        .output()?;
    Ok(verified.status.success())
}

/// Who certificates of a test are from.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
    /// Its own certificate, for clients that trust it.
    pub certificate: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("authority.key");
        std::fs::write(&place, key("P-256")?)?;
        let made =
            ["-subj", "/CN=Authority of a test", "-addext", "keyUsage=critical,keyCertSign", "-days", "3650"];
        let certificate = run(&[&["req", "-x509", "-new", "-key", text(&place)?][..], &made].concat(), "")?;
        std::fs::write(folder.path().join("authority.pem"), &certificate)?;
        Ok(Self { folder, certificate })
    }

    /// A certificate for a server of this machine's loopback and of these names, good from and until (`YYYYMMDDhhmmssZ`), and its key.
    pub fn issue(&self, names: &[&str], from: &str, until: &str) -> anyhow::Result<(String, String)> {
        let path = |name: &str| self.folder.path().join(name);
        let named: Vec<String> = names.iter().map(|name| format!(",DNS:{name}")).collect();
        std::fs::write(
            path("ca.cnf"),
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=of_server\n[any]\ncommonName=supplied\n[of_server]\nextendedKeyUsage=serverAuth\nsubjectAltName=${ENV::NAMES}\n",
        )?;
        std::fs::write(path("index.txt"), "")?;
        let key = key("P-256")?;
        std::fs::write(path("server.key"), &key)?;
        let request =
            run(&["req", "-new", "-key", text(&path("server.key"))?, "-subj", "/CN=server of a test"], "")?;
        std::fs::write(path("server.csr"), request)?;
        let output = Command::new(crate::program("openssl", &[])?)
            .current_dir(self.folder.path())
            .env("NAMES", format!("IP:127.0.0.1{}", named.concat()))
            .args(["ca", "-batch", "-notext", "-config", "ca.cnf", "-rand_serial", "-cert", "authority.pem"])
            .args(["-keyfile", "authority.key", "-in", "server.csr", "-startdate", from, "-enddate", until])
            .output()?;
        ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        Ok((String::from_utf8(output.stdout)?, key))
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not text")
}

fn run(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut child = Command::new(crate::program("openssl", &[])?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running openssl")?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
