//! A service that holds a session with the value of a store, tells its health, and reads the file again when told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{Door, Kept, Session};

pub(super) struct Consumer {
    port: u16,
    shared: Arc<Shared>,
    /// The one that started it ends it.
    first: bool,
}

struct Shared {
    file: PathBuf,
    kept: Kept,
    door: Door,
    stop: AtomicBool,
    held: Mutex<Held>,
}

struct Held {
    value: String,
    generation: u64,
    session: Option<Box<dyn Session>>,
}

impl Consumer {
    pub(super) fn start(file: PathBuf, kept: Kept, door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let value = read(&file, kept);
        let session = door(&value);
        let held = Mutex::new(Held { value, generation: 1, session });
        let shared = Arc::new(Shared { file, kept, door, stop: AtomicBool::new(false), held });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                // A client that went away is no matter of the service's.
                stream.ok().and_then(|stream| serving.answer(stream).ok());
            }
        });
        Self { port, shared, first: true }
    }

    /// The same one, for somebody else to look at.
    pub(super) fn again(&self) -> Self {
        Self { port: self.port, shared: Arc::clone(&self.shared), first: false }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Somebody starts it anew, with what the store holds.
    pub(super) fn restart(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"POST /reload HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    }

    /// The value that it uses, and whether its session answers.
    pub(super) fn state(&self) -> (String, bool) {
        let mut held = self.shared.held.lock().unwrap();
        let healthy = self.shared.is_healthy(&mut held);
        (held.value.clone(), healthy)
    }
}

impl Shared {
    /// A client connects again when its session was ended, as pools do.
    fn is_healthy(&self, held: &mut Held) -> bool {
        if !held.session.as_mut().is_some_and(|session| session.is_alive()) {
            held.session = (self.door)(&held.value);
        }
        held.session.as_mut().is_some_and(|session| session.is_alive())
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let mut held = self.held.lock().unwrap();
        if request.contains("/reload") {
            held.value = read(&self.file, self.kept);
            held.session = (self.door)(&held.value);
            held.generation += 1;
        }
        let status = if self.is_healthy(&mut held) { "ok" } else { "failing" };
        let body = format!("{{\"status\":\"{status}\",\"gen\":{}}}", held.generation);
        let code = if status == "ok" { "200 OK" } else { "503 Service Unavailable" };
        write!(
            reader.into_inner(),
            "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.first {
            return;
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn read(file: &Path, kept: Kept) -> String {
    kept.value(&std::fs::read_to_string(file).unwrap()).to_owned()
}
