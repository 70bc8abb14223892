//! Something between a browser and a server that can be cut, as a cable can.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Passes bytes on, until it is cut; and again, when it is mended.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    cut: AtomicBool,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on loopback and passes on to this port there.
    pub fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let line = Arc::new(Line {
            cut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let own = Arc::clone(&line);
        std::thread::spawn(move || accept(&listener, to, &own));
        Ok(Self { port, line })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection; new ones are cut at once.
    pub fn cut(&self) {
        self.line.cut.store(true, Ordering::SeqCst);
        self.line.hang_up();
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.line.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.ended.store(true, Ordering::SeqCst);
        self.line.hang_up();
    }
}

impl Line {
    fn hang_up(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn accept(listener: &TcpListener, to: u16, line: &Arc<Line>) {
    while !line.ended.load(Ordering::SeqCst) {
        let Ok((near, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if line.cut.load(Ordering::SeqCst) || near.set_nonblocking(false).is_err() {
            continue;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
        let pairs = [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())];
        line.open.lock().unwrap_or_else(PoisonError::into_inner).extend([near, far]);
        for pair in pairs {
            let (Ok(from), Ok(to)) = pair else { continue };
            std::thread::spawn(move || pass(from, to));
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0_u8; 16_384];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(chunk.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
