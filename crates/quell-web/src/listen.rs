//! Connections: how many, how long their beginning may take, TLS, and how they end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::route;
use crate::server::Server;

/// Longest head, in bytes.
const HEAD_MAX: usize = 32 << 10;
/// Time that running requests get at the end.
const GRACE: Duration = Duration::from_secs(10);
/// First byte of TLS: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;
/// What is read of a request that came without TLS, before it is let go: so that it reads our answer.
const PLAIN_MAX: u64 = 64 << 10;

/// How long a peer may take for what every connection begins with. Whoever sends one byte a second is let go.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the beginning of TLS.
    pub handshake: Duration,
    /// For the head of a request. A connection without a request is closed after it, too.
    pub head: Duration,
    /// For the body of a request.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            body: Duration::from_mins(1),
        }
    }
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Takes connections until the server ends; then those that are in a request may finish it.
pub(crate) async fn accept(listener: TcpListener, server: &Arc<Server>, mut stop: watch::Receiver<bool>) {
    let router = route::router(server);
    let graceful = GracefulShutdown::new();
    let (room, places) = (Arc::new(Semaphore::new(server.connections)), Places::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ended = stop.wait_for(|stop| *stop) => break,
        };
        // Out of file descriptors, or the peer is gone already: neither ends the server.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let peer = peer.ip().to_canonical();
        let Some(place) = place(&room, &places, server, peer) else {
            server.metrics.turned_away();
            continue;
        };
        let (server, router) = (Arc::clone(server), router.clone());
        let (watcher, stop) = (graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            converse(stream, peer, &server, router, watcher, stop).await;
            drop(place);
        });
    }
    // Whoever comes now is to find another replica, and not to wait here for the last steps to end.
    drop(listener);
    drop(tokio::time::timeout(GRACE, graceful.shutdown()).await);
}

fn place(
    room: &Arc<Semaphore>,
    places: &Places,
    server: &Server,
    peer: IpAddr,
) -> Option<(OwnedSemaphorePermit, Option<Place>)> {
    let room = Arc::clone(room).try_acquire_owned().ok()?;
    // Without TLS all come from this machine or from a proxy, whose connections are those of many.
    let own = match &server.tls {
        Some(_) => Some(places.take(peer, server.connections_each)?),
        None => None,
    };
    Some((room, own))
}

/// Handshake if there is TLS, then requests. A peer that breaks off is no error of ours.
async fn converse(
    stream: TcpStream,
    peer: IpAddr,
    server: &Server,
    router: Router,
    watcher: Watcher,
    mut stop: watch::Receiver<bool>,
) {
    // Small answers must not wait for each other.
    drop(stream.set_nodelay(true));
    let Some(tls) = &server.tls else { return serve(stream, peer, server, router, watcher).await };
    let begun = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first == [HANDSHAKE] => TlsAcceptor::from(tls.config()).accept(stream).await.ok(),
            Ok(1) => {
                plain(stream).await;
                None
            }
            _ => None,
        }
    };
    let begun = tokio::select! {
        begun = tokio::time::timeout(server.patience.handshake, begun) => begun.ok().flatten(),
        _ended = stop.wait_for(|stop| *stop) => return,
    };
    if let Some(stream) = begun {
        serve(stream, peer, server, router, watcher).await;
    } else {
        server.metrics.no_handshake();
    }
}

async fn serve<S>(stream: S, peer: IpAddr, server: &Server, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.patience.head)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    drop(watcher.watch(connection).await);
}

/// Whoever speaks HTTP to the port of TLS is told so. Nothing of what they send is looked at.
async fn plain(mut stream: TcpStream) {
    const WORDS: &str = "this port speaks TLS: the address begins with https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{WORDS}",
        WORDS.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    // What was not read would make the system cut the connection, and our answer with it.
    drop(tokio::io::copy(&mut stream.take(PLAIN_MAX), &mut tokio::io::sink()).await);
}

/// Connections of each peer.
#[derive(Clone, Debug, Default)]
struct Places(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One connection of a peer, until this is dropped.
#[derive(Debug)]
struct Place {
    places: Places,
    peer: IpAddr,
}

impl Places {
    fn take(&self, peer: IpAddr, most: usize) -> Option<Place> {
        let peer = network(peer);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(all.remove(&self.peer)),
        }
    }
}

/// One customer has a whole /64 of IPv6: its addresses count as one.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_so_many_places_and_those_it_leaves_again() {
        let places = Places::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let held: Vec<_> = (0..3).map(|_| places.take(one, 3).unwrap()).collect();
        assert!(places.take(one, 3).is_none());
        assert!(places.take(other, 3).is_some());
        drop(held);
        assert_eq!(places.0.lock().unwrap().len(), 0, "nobody is remembered who is gone");
        let near: [IpAddr; 2] = ["2001:db8:1:2::1".parse().unwrap(), "2001:db8:1:2:ffff::9".parse().unwrap()];
        let _held = places.take(near[0], 1).unwrap();
        assert!(places.take(near[1], 1).is_none(), "one /64 is one peer");
        assert!(places.take("2001:db8:1:3::1".parse().unwrap(), 1).is_some());
    }
}
