//! Who takes too long is let go, and who fills the server keeps nobody else out.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use quell_core::person::Role;
use quell_web::{Config, Patience};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::tls::served;
use super::world::{Trust, World, inventory};

/// Long enough that somebody who is not slow is never let go in these tests.
const LONG: Duration = Duration::from_mins(2);
const SHORT: Duration = Duration::from_millis(200);
const PATIENT: Patience = Patience { handshake: LONG, head: LONG, body: LONG };

async fn world(change: impl FnOnce(&mut Config)) -> World {
    let intake = json!({ "org": { "github": { "secret": "env:HOOK_KEY" } } });
    let inventory = inventory(&json!({ "secrets": [], "intake": intake }).to_string());
    let environment = BTreeMap::from([("HOOK_KEY".to_owned(), "a-key-of-the-hook".to_owned())]);
    World::with(inventory, environment, &Trust::default(), |config, _| change(config)).await
}

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.url.split("://").nth(1).unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// What the server says until it ends the connection. Bytes of `drip` come one by one, and never all of them.
fn until_let_go(mut stream: TcpStream, first: &[u8], drip: bool) -> String {
    stream.write_all(first).unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (mut own, seen) = (stream.try_clone().unwrap(), Arc::clone(&over));
    let dripping = std::thread::spawn(move || {
        while drip && !seen.load(std::sync::atomic::Ordering::SeqCst) && own.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut said = Vec::new();
    let ended = stream.read_to_end(&mut said);
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    dripping.join().unwrap();
    let cut = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.as_ref().map_or_else(cut, |_| true), "it was not let go: {ended:?}");
    String::from_utf8_lossy(&said).into_owned()
}

async fn all_let_go(world: &World, beginnings: &[(&[u8], bool)]) -> Vec<String> {
    let streams: Vec<_> =
        beginnings.iter().map(|(first, drip)| (connect(world), first.to_vec(), *drip)).collect();
    let ended = tokio::task::spawn_blocking(|| {
        let each = |(stream, first, drip): (TcpStream, Vec<u8>, bool)| {
            std::thread::spawn(move || until_let_go(stream, &first, drip))
        };
        let threads: Vec<_> = streams.into_iter().map(each).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    ended.await.unwrap()
}

async fn count(world: &World, name: &str) -> usize {
    let metrics = world.ask(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned();
    line.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_begins_tls_is_let_go() {
    let patience = Patience { handshake: SHORT, ..PATIENT };
    let served = served(|config| config.patience = patience).await;
    // Nothing; a record that never comes; one that comes byte by byte.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    let beginnings: [(&[u8], bool); 4] =
        [(b"", false), (&hello[..1], false), (&hello, false), (&hello, true)];
    for said in all_let_go(&served.world, &beginnings).await {
        assert!(!said.starts_with("HTTP/"), "{said}");
    }
    assert_eq!(count(&served.world, "quell_handshakes_failed_total").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_ends_the_head_of_a_request_is_let_go() {
    let world = world(|config| config.patience = Patience { head: SHORT, ..PATIENT }).await;
    let half = b"GET /healthz HTTP/1.1\r\nhost: quell\r\nx-";
    let whole = b"GET /healthz HTTP/1.1\r\nhost: quell\r\n\r\n";
    let beginnings: [(&[u8], bool); 4] = [(b"", false), (half, false), (half, true), (whole, false)];
    let said = all_let_go(&world, &beginnings).await;
    assert!(said[..3].iter().all(|said| !said.contains("200 OK")), "{said:?}");
    assert!(said[3].starts_with("HTTP/1.1 200 OK"), "then nothing more came: {said:?}");
    let after = world.ask(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(after.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_body_byte_by_byte_is_told_so_and_let_go() {
    let world = world(|config| config.patience = Patience { body: SHORT, ..PATIENT }).await;
    let head = |place: &str, more: &str| {
        format!("POST {place} HTTP/1.1\r\nhost: quell\r\n{more}content-length: 100000\r\n\r\n")
    };
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    let mine = format!("cookie: {cookie}\r\nx-quell-csrf: {csrf}\r\ncontent-type: application/json\r\n");
    let heads = [
        head("/sign-in", form),
        head("/hooks/org", ""),
        head("/api/v1/incidents", &mine),
        head("/api/v1/report", ""),
    ];
    let beginnings: Vec<(&[u8], bool)> =
        heads.iter().flat_map(|head| [(head.as_bytes(), false), (head.as_bytes(), true)]).collect();
    for (i, said) in all_let_go(&world, &beginnings).await.into_iter().enumerate() {
        // Nothing is read for somebody who is not signed in.
        let status = if i < 6 { "HTTP/1.1 408 " } else { "HTTP/1.1 401 " };
        assert!(said.starts_with(status), "{i}: {said}");
    }
    let after = world.ask(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(after.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_goes_on_with_who_is_there_and_soon_has_room_again() {
    const MOST: usize = 8;
    let patience = Patience { head: Duration::from_secs(1), ..PATIENT };
    let world = world(|config| {
        config.connections = MOST;
        config.patience = patience;
    })
    .await;
    // Somebody is in the middle of a request: they are there, however full it gets.
    let mut known = connect(&world);
    known.write_all(b"POST /sign-in HTTP/1.1\r\nhost: quell\r\nexpect: 100-continue\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 6\r\n\r\n").unwrap();
    let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    known.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    let silent: Vec<TcpStream> = (0..MOST * 2).map(|_| connect(&world)).collect();
    known.write_all(b"code=x").unwrap();
    let mut said = [0; 9];
    known.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 ", "a final answer");
    // Nobody of those who hold the places says a word; they lose them.
    let mut answered = false;
    for _ in 0..400 {
        if world.ask(Method::GET, "/healthz").send().await.is_ok_and(|it| it.status() == StatusCode::OK) {
            answered = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answered, "the silent ones still hold every place");
    assert!(count(&world, "quell_connections_turned_away_total").await >= MOST, "some were turned away");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_at_its_limit_keeps_no_other_out() {
    const EACH: usize = 5;
    let served = served(|config| {
        config.connections_each = EACH;
        config.patience = PATIENT;
    })
    .await;
    let silent: Vec<TcpStream> = (0..EACH * 3).map(|_| connect(&served.world)).collect();
    let other = served.trust.builder().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
    let asked = other.get(format!("{}/healthz", served.world.url)).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::OK);
    let same = served.trust.client().get(format!("{}/healthz", served.world.url)).send().await;
    assert!(same.is_err(), "the first one has all of its places taken");
    drop(silent);
}
