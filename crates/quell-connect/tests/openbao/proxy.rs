//! A door in front of a real server that loses, delays or replaces answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What to do with a request whose first line contains the text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Forward it, wait for the answer, and close without a word.
    DropAnswer,
    /// Swallow it and never answer.
    Hang,
    /// Answer this instead of the server.
    Say(&'static str),
}

pub(crate) struct Proxy {
    pub(crate) addr: String,
    /// How often the fault happened.
    pub(crate) hits: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Applies `fault` to the first `times` requests whose head contains `needle`.
    pub(crate) async fn start(upstream: u16, needle: &'static str, fault: Fault, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = format!("http://{}", listener.local_addr().unwrap());
        let hits = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&hits);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, needle, fault, times, Arc::clone(&seen)));
            }
        });
        Self { addr, hits, task }
    }
}

/// One request per connection: `Connection: close` is put into both directions.
async fn serve(
    mut client: TcpStream,
    upstream: u16,
    needle: &str,
    fault: Fault,
    times: usize,
    hits: Arc<AtomicUsize>,
) {
    let mut request = Vec::new();
    let Some(end) = read_head(&mut client, &mut request).await else { return };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned())
        })
        .map_or(0, |n| n.parse::<usize>().unwrap());
    while request.len() < end + length {
        let mut buffer = [0; 4096];
        let n = client.read(&mut buffer).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..n]);
    }
    let first = head.lines().next().unwrap_or_default();
    let faulty = first.contains(needle) && hits.load(Ordering::SeqCst) < times;
    if faulty {
        hits.fetch_add(1, Ordering::SeqCst);
        match fault {
            Fault::Hang => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                return;
            }
            Fault::Say(answer) => {
                client.write_all(answer.as_bytes()).await.ok();
                return;
            }
            Fault::DropAnswer => {}
        }
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await.unwrap();
    server.write_all(&request[end..]).await.unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok();
    if !faulty {
        client.write_all(&answer).await.ok();
    }
}

async fn read_head(client: &mut TcpStream, request: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            return Some(at + 4);
        }
        let mut buffer = [0; 4096];
        let n = client.read(&mut buffer).await.ok()?;
        if n == 0 {
            return None;
        }
        request.extend_from_slice(&buffer[..n]);
    }
}
