//! Starts real systems on loopback, on random ports, in temporary folders, and stops them on drop.
//!
//! A missing program is an error that names `dev/setup`; nothing is skipped. Only tests and benchmarks use this
//! crate. It blocks and depends on no crate of ours, so any test can use it.

pub mod browser;
pub mod hsm;
pub mod jwks;
pub mod mariadb;
pub mod minisign;
pub mod model;
pub mod moto;
pub mod oidc;
pub mod openbao;
pub mod openssl;
pub mod postgres;
pub mod redis;
pub mod smtp;
pub mod sshd;
mod start;

use std::net::TcpListener;
use std::path::PathBuf;

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The Python that `dev/setup` installs packages for.
pub fn python() -> anyhow::Result<PathBuf> {
    let bao = program("bao", &[])?;
    let python = bao.with_file_name("python");
    anyhow::ensure!(python.is_file(), "there is no Python beside `{}`; run dev/setup", bao.display());
    Ok(python)
}

/// Finds a program on `PATH`, in the folder that `dev/setup` fills, or in `also`.
pub fn program(name: &str, also: &[&str]) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([dev().join("venv/bin"), dev().join("schemathesis/bin")])
        .chain(also.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| anyhow::anyhow!("`{name}` is not on this machine; run dev/setup"))
}

/// The folder that `dev/setup` fills.
fn dev() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    std::env::var_os("QUELL_DEV_DIR").map_or_else(|| home.join(".cache/quell-dev"), PathBuf::from)
}
