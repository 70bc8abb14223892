//! The replicas: processes that come back when they are gone, and how they are asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::company::Company;
use super::random::Random;

/// Whoever asks a replica that stands still goes to another one after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at a process, and before whoever was not answered asks again.
const LOOK: Duration = Duration::from_millis(20);

/// One replica.
struct Replica {
    at: SocketAddr,
    child: Mutex<Option<Child>>,
    log: PathBuf,
}

/// All replicas.
pub(super) struct Field {
    replicas: Vec<Replica>,
    over: AtomicBool,
    /// Answers other than 2xx, and none: how much went wrong.
    pub(super) unanswered: AtomicU64,
}

/// One answer.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The same request is being carried out; ask again.
    pub(super) is_under_way: bool,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Field {
    pub(super) fn new(company: &Company, replicas: usize) -> Self {
        let one = |n: usize| Replica {
            at: SocketAddr::from(([127, 0, 0, 1], quell_testkit::free_port().unwrap())),
            child: Mutex::new(None),
            log: company.folder.path().join(format!("replica-{n}.log")),
        };
        Self {
            replicas: (0..replicas).map(one).collect(),
            over: AtomicBool::new(false),
            unanswered: AtomicU64::new(0),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Everybody goes home.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn send(&self, replica: usize, what: Signal) {
        if let Some(child) = &*self.replicas[replica].child.lock().unwrap() {
            // It may have ended by itself; then there is nobody to tell, and it is not reaped yet.
            let _may_have_ended =
                rustix::process::kill_process(rustix::process::Pid::from_child(child), what);
        }
    }

    /// Begins a replica, and begins it again whenever it is gone. In the end it is asked to end, and must.
    pub(super) fn keep(&self, replica: usize, company: &Company) {
        let own = &self.replicas[replica];
        while !self.is_over() {
            let to = std::fs::OpenOptions::new().create(true).append(true).open(&own.log).unwrap();
            let listen = own.at.to_string();
            let mut command = company.quell(&["serve", "--listen", &listen]);
            let child = command.stdout(to.try_clone().unwrap()).stderr(to).spawn().unwrap();
            *own.child.lock().unwrap() = Some(child);
            while own.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_none() {
                if self.is_over() {
                    self.send(replica, Signal::CONT);
                    self.send(replica, Signal::TERM);
                }
                std::thread::sleep(LOOK);
            }
            *own.child.lock().unwrap() = None;
        }
    }

    /// What the replicas said last.
    pub(super) fn logs(&self) -> String {
        self.replicas.iter().map(|own| tail(&own.log)).collect::<Vec<_>>().join("\n---\n")
    }

    fn any(&self, random: &mut Random) -> SocketAddr {
        let below = u64::try_from(self.replicas.len()).unwrap();
        self.replicas[usize::try_from(random.below(below)).unwrap()].at
    }

    /// Asks any replica once. None when none answered in time.
    pub(super) fn ask(
        &self,
        random: &mut Random,
        (verb, path): (&str, &str),
        headers: &[String],
        body: &[u8],
    ) -> Option<Reply> {
        let reply = ask(self.any(random), (verb, path), headers, body);
        if reply.as_ref().is_none_or(|reply| reply.status >= 400) {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        reply
    }

    /// Asks any replica, again and again, until one answers well. None when it is over before.
    pub(super) fn insist(
        &self,
        random: &mut Random,
        what: (&str, &str),
        headers: &[String],
        body: &[u8],
    ) -> Option<Value> {
        while !self.is_over() {
            match self.ask(random, what, headers, body) {
                Some(reply) if reply.status < 300 => return Some(reply.json()),
                Some(_) | None => std::thread::sleep(LOOK),
            }
        }
        None
    }

    /// Follows the news of an incident through whatever happens, and writes down each number that it is told.
    pub(super) fn watch(&self, random: &mut Random, token: &str, incident: &str, told: &Mutex<Vec<u64>>) {
        while !self.is_over() {
            // As a browser does, and not as fast as it can.
            std::thread::sleep(Duration::from_millis(100));
            let last = told.lock().unwrap().last().copied().unwrap_or(0);
            let head = format!(
                "GET /api/v1/incidents/{incident}/events HTTP/1.1\r\nHost: quell\r\nAuthorization: Bearer {token}\r\n\
                 Last-Event-ID: {last}\r\nConnection: close\r\n\r\n"
            );
            let Some(stream) = open(self.any(random)) else { continue };
            if (&stream).write_all(head.as_bytes()).is_err() {
                continue;
            }
            // Until it is cut, or nothing came for a while: then another replica is asked, as a browser does.
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("id: ").or_else(|| line.strip_prefix("id:")) {
                    told.lock().unwrap().push(number.trim().parse().unwrap());
                }
            }
        }
    }
}

fn open(at: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Some(stream)
}

fn ask(at: SocketAddr, (verb, path): (&str, &str), headers: &[String], body: &[u8]) -> Option<Reply> {
    let mut stream = open(at)?;
    let more = if headers.is_empty() { String::new() } else { format!("{}\r\n", headers.join("\r\n")) };
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: quell\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    let end = all.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let is_under_way = status == 409 && head.to_lowercase().contains("retry-after:");
    let body = all[end + 4..].to_vec();
    // An answer that was cut off is none.
    (length.is_none_or(|length: usize| length == body.len())).then_some(Reply { status, is_under_way, body })
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
