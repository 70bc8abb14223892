//! Models of services that cannot run here: stateful, with the refusals, pages, limits and traps of the real API, each with its source and date.
//!
//! They listen on loopback in threads of the test, start at once, and keep the first line of every request, so that a test can show that no
//! value is in an address.

#![expect(clippy::indexing_slicing, reason = "a member of a JSON value that is not there reads as null")]

pub mod azure;
pub mod gcp;
pub mod github;
pub mod gitlab;
pub mod kubernetes;
pub mod pagerduty;
pub mod slack;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// One request.
#[derive(Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Its segments, decoded: `["api", "v1"]`.
    pub path: Vec<String>,
    /// What follows the `?`, decoded.
    pub query: BTreeMap<String, String>,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As sent.
    pub body: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A listener on loopback. It stops on drop.
#[derive(Debug)]
pub struct Listener {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Request {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The path, for a `match`.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A number in the query.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
            .header("content-type", "application/json")
    }

    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A page that some proxy answers with.
    pub fn page(status: u16, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: text.as_bytes().to_vec() }
            .header("content-type", "text/html")
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Listener {
    /// Answers every request by `answer`, one connection each.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> anyhow::Result<Self> {
        Self::start_as(answer, Ok)
    }

    /// The same behind what `wrap` makes of a connection, such as TLS.
    pub fn start_as<S: Read + Write>(
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> anyhow::Result<S> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let started =
            Self { port: listener.local_addr()?.port(), lines: Arc::default(), stop: Arc::default() };
        let (lines, stop) = (Arc::clone(&started.lines), Arc::clone(&started.stop));
        let (answer, wrap) = (Arc::new(answer), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, wrap, lines) = (Arc::clone(&answer), Arc::clone(&wrap), Arc::clone(&lines));
                // A client that goes away in the middle is what some tests are about.
                std::thread::spawn(move || drop(serve(stream, &*wrap, &*answer, &lines)));
            }
        });
        Ok(started)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// A test that failed while it held the lock says more than the lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve<S: Read + Write>(
    stream: TcpStream,
    wrap: &(impl Fn(TcpStream) -> anyhow::Result<S> + ?Sized),
    answer: &(impl Fn(&Request) -> Reply + ?Sized),
    lines: &Mutex<Vec<String>>,
) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = wrap(stream)?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read(&mut byte)? == 1 && head.len() < 64 << 10, "no request");
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let mut rows = head.split("\r\n");
    let first = rows.next().context("a request without lines")?;
    let headers: BTreeMap<String, String> = rows
        .filter_map(|row| row.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    locked(lines).push(first.to_owned());
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let (path, query) = {
        let target = words.next().unwrap_or_default();
        target.split_once('?').unwrap_or((target, ""))
    };
    let request = Request {
        method,
        path: path.split('/').filter(|part| !part.is_empty()).map(decoded).collect(),
        query: form(query),
        headers,
        body,
    };
    let reply = answer(&request);
    write!(stream, "HTTP/1.1 {} Model\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "content-length: {}\r\nconnection: close\r\n\r\n", reply.body.len())?;
    stream.write_all(&reply.body)?;
    stream.flush()?;
    Ok(())
}

/// Pairs of a query, or of a form in a body.
pub fn form(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (plus(k), plus(v))).collect()
}

fn plus(text: &str) -> String {
    decoded(&text.replace('+', " "))
}

/// `%2F` → `/`.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits = if byte == b'%' { [bytes.next(), bytes.next()] } else { [None, None] };
        match digits {
            [Some(high), Some(low)] => out.extend(hex::decode([high, low]).unwrap_or_default()),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, for a kit that shall not bring packages.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * n) & 63) as usize).copied().unwrap_or(b'=');
            out.push(char::from(if n <= chunk.len() { letter } else { b'=' }));
        }
    }
    out
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let letter = |n: usize| chunk.get(n).and_then(|b| LETTERS.iter().position(|l| l == b)).unwrap_or(0);
        let bits = letter(0) << 18 | letter(1) << 12 | letter(2) << 6 | letter(3);
        let bytes = [bits >> 16, bits >> 8, bits].map(|it| u8::try_from(it & 255).unwrap_or(0));
        out.extend(bytes.iter().take(chunk.len().saturating_sub(1)));
    }
    out
}
