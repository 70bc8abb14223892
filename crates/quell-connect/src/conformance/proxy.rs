//! A TCP proxy that loses things on command.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Forwards everything.
    Pass,
    /// Closes what is open and refuses new connections, as a stopped server does (`ECONNREFUSED`).
    Refuse,
    /// Accepts, reads, forwards nothing and never answers.
    Hang,
    /// Closes a connection as soon as this many more bytes from its client reached the upstream.
    CutAfter(usize),
    /// Closes a connection instead of forwarding the bytes that complete this text: the request did not arrive.
    CutBefore(Vec<u8>),
    /// Forwards the request, then closes when the answer arrives, without passing it on.
    DropAnswer,
    /// The same for the request that has this text in it; what comes before passes. With `ALTER ROLE` and a
    /// PostgreSQL simple query, the login before it works.
    DropAnswerTo(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Order {
    fault: Fault,
    once: bool,
    number: u64,
}

/// A proxy on loopback in front of one upstream address. Stops on drop.
#[derive(Debug)]
pub struct FlakyProxy {
    address: SocketAddr,
    shared: Shared,
    obeyed: watch::Receiver<u64>,
    // Bound, never listening: it keeps the port ours while the real listener is closed.
    _holder: TcpSocket,
    task: JoinHandle<()>,
}

impl FlakyProxy {
    /// Starts one that passes everything.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let holder = socket()?;
        holder.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = holder.local_addr()?;
        let first = Order { fault: Fault::Pass, once: false, number: 0 };
        let shared = Shared { upstream, order: Arc::new(watch::Sender::new(first)), struck: Arc::default() };
        let (obey, obeyed) = watch::channel(0);
        let door = Door { address, listener: Some(listen(address)?), obey };
        let task = tokio::spawn(door.serve(shared.clone(), shared.order.subscribe()));
        Ok(Self { address, shared, obeyed, _holder: holder, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for open connections too. Counts start anew.
    pub async fn set(&self, fault: Fault) {
        self.command(fault, false).await;
    }

    /// The same until it strikes once; then everything passes again. ([`Fault::Refuse`] and [`Fault::Hang`]
    /// never count as a strike.)
    pub async fn once(&self, fault: Fault) {
        self.command(fault, true).await;
    }

    /// How many connections a fault closed since the start.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    async fn command(&self, fault: Fault, once: bool) {
        let mut number = 0;
        self.shared.order.send_modify(|order| {
            number = order.number + 1;
            *order = Order { fault, once, number };
        });
        // The error means that the task is gone, and with it every connection.
        drop(self.obeyed.clone().wait_for(|seen| *seen >= number).await);
    }
}

impl Drop for FlakyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket()?;
    socket.bind(address)?;
    socket.listen(128)
}

#[derive(Clone, Debug)]
struct Shared {
    upstream: SocketAddr,
    order: Arc<watch::Sender<Order>>,
    struck: Arc<AtomicUsize>,
}

impl Shared {
    fn strike(&self, number: u64) {
        self.struck.fetch_add(1, Ordering::SeqCst);
        self.order.send_if_modified(|order| {
            let ends = order.once && order.number == number;
            if ends {
                order.fault = Fault::Pass;
            }
            ends
        });
    }
}

struct Door {
    address: SocketAddr,
    listener: Option<TcpListener>,
    obey: watch::Sender<u64>,
}

impl Door {
    async fn serve(mut self, shared: Shared, mut orders: watch::Receiver<Order>) {
        let mut relays = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let order = orders.borrow_and_update().clone();
                    if order.fault == Fault::Refuse {
                        self.listener = None;
                        relays.shutdown().await;
                    } else if self.listener.is_none() {
                        self.listener = listen(self.address).ok();
                    }
                    self.obey.send_replace(order.number);
                }
                client = next(self.listener.as_ref()) => {
                    let order = shared.order.subscribe();
                    relays.spawn(relay(client, shared.clone(), order));
                }
                Some(_) = relays.join_next() => {}
            }
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> TcpStream {
    if let Some(listener) = listener {
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
    }
    std::future::pending().await
}

/// What one connection did since the last order.
#[derive(Default)]
struct Memory {
    forwarded: usize,
    tail: Vec<u8>,
    asked: bool,
}

enum Verdict {
    Forward,
    /// Forwards this many bytes of the chunk, then closes.
    Cut(usize),
    Swallow,
}

impl Memory {
    fn request(&mut self, fault: &Fault, chunk: &[u8]) -> Verdict {
        match fault {
            Fault::Pass => Verdict::Forward,
            Fault::Hang => Verdict::Swallow,
            Fault::Refuse => Verdict::Cut(0),
            Fault::CutAfter(limit) => {
                let room = limit.saturating_sub(self.forwarded);
                self.forwarded += chunk.len();
                if chunk.len() >= room { Verdict::Cut(room) } else { Verdict::Forward }
            }
            Fault::CutBefore(text) => {
                if self.completes(text, chunk) {
                    Verdict::Cut(0)
                } else {
                    Verdict::Forward
                }
            }
            Fault::DropAnswer => {
                self.asked = true;
                Verdict::Forward
            }
            Fault::DropAnswerTo(text) => {
                self.asked |= self.completes(text, chunk);
                Verdict::Forward
            }
        }
    }

    fn answer(&self, fault: &Fault) -> Verdict {
        if *fault == Fault::Hang {
            Verdict::Swallow
        } else if self.asked {
            Verdict::Cut(0)
        } else {
            Verdict::Forward
        }
    }

    /// Finds `text` in the stream, also across chunks.
    fn completes(&mut self, text: &[u8], chunk: &[u8]) -> bool {
        self.tail.extend_from_slice(chunk);
        let found = text.is_empty() || self.tail.windows(text.len()).any(|window| window == text);
        let keep = text.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        found
    }
}

async fn relay(client: TcpStream, shared: Shared, mut orders: watch::Receiver<Order>) {
    let Ok(upstream) = TcpStream::connect(shared.upstream).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    let (mut requests, mut answers) = (vec![0_u8; 16 << 10], vec![0_u8; 16 << 10]);
    let (mut client_open, mut upstream_open) = (true, true);
    let mut order = orders.borrow_and_update().clone();
    let mut memory = Memory::default();
    while client_open || upstream_open {
        // Orders first: bytes that a client sends after `set` returned fall under the new order.
        let (count, verdict, answer) = tokio::select! {
            biased;
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                order = orders.borrow_and_update().clone();
                memory = Memory::default();
                continue;
            }
            read = from_client.read(&mut requests), if client_open => {
                let Ok(count) = read else { return };
                (count, memory.request(&order.fault, requests.get(..count).unwrap_or_default()), false)
            }
            read = from_upstream.read(&mut answers), if upstream_open => {
                let Ok(count) = read else { return };
                (count, memory.answer(&order.fault), true)
            }
        };
        let (bytes, sink, open) = if answer {
            (&answers, &mut to_client, &mut upstream_open)
        } else {
            (&requests, &mut to_upstream, &mut client_open)
        };
        if count == 0 {
            *open = false;
            if sink.shutdown().await.is_err() {
                return;
            }
            continue;
        }
        let (keep, cut) = match verdict {
            Verdict::Forward => (count, false),
            Verdict::Cut(keep) => (keep, true),
            Verdict::Swallow => continue,
        };
        if sink.write_all(bytes.get(..keep).unwrap_or_default()).await.is_err() {
            return;
        }
        if cut {
            return shared.strike(order.number);
        }
    }
}
