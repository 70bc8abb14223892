//! The suite must catch connectors that break the contract, and pass one that keeps it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quell_core::secret::SecretValue;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::connector::{Check, Store, Stored};
use crate::error::ConnectError;

/// How a memory store lies.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Lie {
    None,
    NewVersionEachTime,
    PurgesCurrent,
    ClaimsPurge,
    SaysValue,
}

struct Memory {
    lie: Lie,
    versions: Mutex<Vec<(u64, SecretValue)>>,
    last: Mutex<u64>,
}

impl Memory {
    fn new(lie: Lie) -> Self {
        Self { lie, versions: Mutex::default(), last: Mutex::new(0) }
    }
}

#[async_trait]
impl Store for Memory {
    fn target(&self) -> String {
        "memory".to_owned()
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        let versions = self.versions.lock().unwrap();
        Ok(versions.last().map(|(n, v)| Stored { value: v.duplicate(), version: n.to_string() }))
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        let mut versions = self.versions.lock().unwrap();
        let current = versions.last().is_some_and(|(_, v)| v.same_as(new));
        let mut last = self.last.lock().unwrap();
        if !current || self.lie == Lie::NewVersionEachTime {
            *last += 1;
            versions.push((*last, new.duplicate()));
        }
        let word = if self.lie == Lie::SaysValue { new.expose_text().unwrap_or_default() } else { "" };
        Outcome::applied([("version", json!(last.to_string())), ("note", json!(word))])
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        let versions = self.versions.lock().unwrap();
        if versions.last().is_some_and(|(_, v)| v.same_as(new)) {
            Outcome::applied([])
        } else {
            Outcome::retry("another value")
        }
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        let mut versions = self.versions.lock().unwrap();
        let last = versions.last().map(|(n, _)| *n);
        let keep_current = self.lie != Lie::PurgesCurrent;
        versions
            .retain(|(n, v)| (keep_current && Some(*n) == last) || !compromised.iter().any(|c| c.same_as(v)));
        drop(versions);
        self.seen(compromised)
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.seen(compromised)
    }
}

impl Memory {
    fn seen(&self, compromised: &[&SecretValue]) -> Outcome {
        let versions = self.versions.lock().unwrap();
        let left = versions.iter().any(|(_, v)| compromised.iter().any(|c| c.same_as(v)));
        if left && self.lie != Lie::ClaimsPurge { Outcome::refused("left") } else { Outcome::applied([]) }
    }
}

async fn run(lie: Lie) -> Result<(), Violation> {
    let count = AtomicU32::new(0);
    let fresh = || {
        let n = count.fetch_add(1, Ordering::SeqCst);
        SecretValue::from_text(format!("postgres://orders_{n}:CANARY-{n}-passw0rd@127.0.0.1/orders"))
    };
    store(&Memory::new(lie), fresh).await
}

#[tokio::test]
async fn a_store_that_keeps_the_contract_passes_and_liars_are_caught() {
    run(Lie::None).await.unwrap();
    for (lie, rule) in [
        (Lie::NewVersionEachTime, "`write` repeated makes no new version"),
        (Lie::PurgesCurrent, "a purge is not applied while the compromised value is current"),
        (Lie::ClaimsPurge, "a purge is not applied while the compromised value is current"),
        (Lie::SaysValue, "a value never appears in anything a connector says"),
    ] {
        assert_eq!(run(lie).await.unwrap_err().rule, rule);
    }
}

#[test]
fn canaries_are_found_in_every_spelling() {
    let value = SecretValue::from_text("postgres://u:p%40ss-word@h/db".to_owned());
    let canaries = Canaries::of(&[&value]);
    for leak in [
        "x postgres://u:p%40ss-word@h/db",
        "p%40ss-word",
        "got p@ss-word",
        "cG9zdGdyZXM6Ly91OnAlNDBzcy13b3JkQGgvZGI",
    ] {
        let violation = canaries.absent("a place", leak).unwrap_err();
        assert!(!violation.to_string().contains("ss-word"), "{violation}");
    }
    canaries.absent("a place", "postgres h/db as u").unwrap();
}

/// Answers each chunk with `ok` and counts the bytes it got.
async fn upstream() -> (std::net::SocketAddr, tokio::sync::watch::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, watch) = tokio::sync::watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut bytes = [0_u8; 64];
                while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                    seen.send_modify(|all| all.extend_from_slice(&bytes[..n]));
                    if stream.write_all(b"ok").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, watch)
}

/// What the client reads after saying `words`; `None` when the connection was closed.
async fn say(stream: &mut TcpStream, words: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(words).await.ok()?;
    let mut answer = [0_u8; 16];
    match stream.read(&mut answer).await {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(answer[..n].to_vec()),
    }
}

#[tokio::test]
async fn the_proxy_loses_what_it_is_told_to() {
    let (address, mut seen) = upstream().await;
    let proxy = FlakyProxy::start(address).unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut client, b"one").await.as_deref(), Some(&b"ok"[..]));

    proxy.once(Fault::DropAnswer).await;
    assert_eq!(say(&mut client, b"two").await, None);
    assert_eq!(proxy.struck(), 1);
    assert_eq!(*seen.wait_for(|all| all.len() >= 6).await.unwrap(), b"onetwo");

    proxy.set(Fault::Refuse).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    proxy.set(Fault::CutAfter(2)).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut client, b"three").await, None);
    assert_eq!(*seen.wait_for(|all| all.len() >= 8).await.unwrap(), b"onetwoth");

    proxy.set(Fault::CutBefore(b"four".to_vec())).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut client, b"A").await.as_deref(), Some(&b"ok"[..]));
    assert_eq!(say(&mut client, b"four").await, None);

    proxy.set(Fault::DropAnswerTo(b"five".to_vec())).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut client, b"B fi").await.as_deref(), Some(&b"ok"[..]));
    assert_eq!(say(&mut client, b"ve").await, None);
    assert_eq!(*seen.wait_for(|all| all.ends_with(b"ve")).await.unwrap(), b"onetwothAB five");
}

#[tokio::test]
async fn a_store_that_does_not_wait_is_not_hung() {
    let value = || SecretValue::from_text("CANARY-value".to_owned());
    let violation =
        hung(Duration::from_secs(2), |_address| Subject::Store(Box::new(Memory::new(Lie::None)), value()))
            .await
            .unwrap_err();
    assert_eq!(violation.rule, "no answer is unknown");
}
