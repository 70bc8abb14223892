//! Buckets on loopback: `moto` (<https://docs.getmoto.org/en/latest/docs/server_mode.html>), which keeps them in memory and answers as S3
//! does, and as the XML API of Google Cloud Storage, which is made to be alike. A [`Server`] checks no signatures, [`Aws`] does.

mod aws;

pub use aws::{Aws, Caller, Keys};

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::start;

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// A running server, as who changes its buckets sees it.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    port: u16,
}

/// What stands before the server, and can answer in its place.
#[derive(Debug)]
pub struct Front {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// The server gets it.
    Pass,
    /// It is answered with 503 `SlowDown`, as S3 does to who asks too much.
    SlowDown,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&crate::program("moto_server", &[])?, &[])
    }

    fn start_with(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        start::again(|| Self::start_once(program, arguments))
    }

    fn start_once(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = crate::free_port()?;
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let child = Command::new(program)
            .args(arguments)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting moto_server")?;
        let mut server = Self { child, port, folder };
        let log = server.folder.path().join("server.log");
        start::wait(
            &mut server,
            ("moto_server", &log),
            |it| &mut it.child,
            |it| matches!(ask(it.port, "GET", "/moto-api/", &[]), Ok((200, _))),
        )?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// By which its buckets are filled and changed, also from a [`Front`].
    pub fn remote(&self) -> Remote {
        Remote { port: self.port }
    }

    /// Listens on another port: each request is shown to `turn`, by its first line (`GET /bucket?list-type=2 HTTP/1.1`), and kept.
    pub fn front(&self, turn: impl Fn(&str) -> Turn + Send + Sync + 'static) -> anyhow::Result<Front> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let front = Front { port: listener.local_addr()?.port(), lines: Arc::default() };
        let (lines, to) = (Arc::clone(&front.lines), self.port);
        let turn = Arc::new(turn);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (turn, lines) = (Arc::clone(&turn), Arc::clone(&lines));
                // A client that goes away in the middle is what some tests are about.
                std::thread::spawn(move || drop(serve(stream, to, &*turn, &lines)));
            }
        });
        Ok(front)
    }
}

impl Remote {
    /// Makes a bucket (`/bucket`) or puts an object (`/bucket/key`); the path needs no escapes.
    pub fn put(self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        self.request("PUT", path, body)
    }

    /// Removes an object.
    pub fn delete(self, path: &str) -> anyhow::Result<()> {
        self.request("DELETE", path, &[])
    }

    fn request(self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let (status, answer) = ask(self.port, method, path, body)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Front {
    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request and its answer. What reads a bucket sends no bodies.
fn serve(
    mut client: TcpStream,
    to: u16,
    turn: &dyn Fn(&str) -> Turn,
    lines: &Mutex<Vec<String>>,
) -> anyhow::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(client.read(&mut byte)? == 1 && head.len() < 64 << 10, "no request");
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let (first, rest) = head.split_once("\r\n").context("a request without lines")?;
    lines.lock().unwrap_or_else(PoisonError::into_inner).push(first.to_owned());
    match turn(first) {
        Turn::Pass => {
            let mut server = TcpStream::connect(("127.0.0.1", to))?;
            write!(server, "{first}\r\nconnection: close\r\n{rest}")?;
            std::io::copy(&mut server, &mut client)?;
        }
        Turn::SlowDown => {
            let body =
                "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            write!(
                client,
                "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )?;
        }
    }
    Ok(())
}

/// Only who signs may change what is there. Whose signature it is, and whether it fits, is not looked at.
const WHO: &str = "authorization: AWS4-HMAC-SHA256 Credential=test/20260302/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";

/// What is put may be read by all: Google's client sends no signature of Amazon's.
fn ask(port: u16, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{WHO}x-amz-acl: public-read\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("no status in the answer")?, answer))
}
