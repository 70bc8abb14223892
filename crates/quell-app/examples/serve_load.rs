//! What `bench/serve` asks of a server, and the installation that it serves. One program, so that the load costs little beside what it measures.
//!
//! ```text
//! serve_load fill INVENTORY DATA INCIDENTS EVENTS     makes the installation, and prints a token
//! serve_load read HOST:PORT PATH CONNECTIONS SECONDS  answers and how long they took; the token comes from stdin
//! serve_load watch HOST:PORT PATH WATCHERS            holds streams of news until stdin ends; the token is its first line
//! serve_load flow INVENTORY DATA INCIDENT MILLIS      writes a note every so often until stdin ends
//! serve_load send HOST:PORT HOOK KEY-FILE FROM TO     signed deliveries of these numbers, each again until it is taken
//! serve_load count INVENTORY DATA                     what deliveries led to, from the ledger
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use quell_app::clock::now;
use quell_app::person::token::{self, NewToken};
use quell_app::{App, KekSource, Options, Store, StoreError, person, projection};
use quell_core::IncidentId;
use quell_core::event::{Actor, Affected, Event};
use quell_core::exposure::{Audience, Channel, Exposure};
use quell_core::person::Role;
use quell_core::plan::Plan;
use quell_core::severity::{Assessment, Profile, Severity};
use quell_store::{Batch, NewEntry};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A plan for two database passwords, as the drill's is made: 30 steps, six of which want two approvals.
const PLAN: &str = include_str!("../../../bench/serve/plan.json");
/// Of so many incidents, one is open, and has a plan.
const OPEN: usize = 20;
/// Connections of a sender.
const SENDERS: u64 = 16;
/// A server that does not answer is asked again after this.
const AGAIN: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = all.iter().map(String::as_str).collect();
    let told = match words.as_slice() {
        ["fill", inventory, data, incidents, events] => {
            fill(&options(inventory, data), incidents.parse()?, events.parse()?).await?
        }
        ["read", place, path, connections, seconds] => {
            read(place, path, connections.parse()?, Duration::from_secs(seconds.parse()?)).await?
        }
        ["watch", place, path, watchers] => watch(place, path, watchers.parse()?).await?,
        ["flow", inventory, data, incident, millis] => {
            flow(&options(inventory, data), incident, Duration::from_millis(millis.parse()?)).await?
        }
        ["send", place, hook, key, from, to] => {
            send(place, hook, &std::fs::read(key)?, from.parse()?..to.parse()?).await?
        }
        ["count", inventory, data] => count(&options(inventory, data)).await?,
        _ => return Err("see the head of this file".into()),
    };
    say(&told)
}

fn options(inventory: &str, data: &str) -> Options {
    Options {
        data: PathBuf::from(data),
        database: None,
        inventory: PathBuf::from(inventory),
        environment: BTreeMap::new(),
        actor: "bench".to_owned(),
        call_limit: Duration::from_secs(5),
        passphrase_file: None,
        providers: Vec::new(),
    }
}

async fn app(options: &Options) -> Result<Arc<App>, Failed> {
    Ok(App::open(options, || Err(StoreError::Kek("nobody is asked".to_owned()))).await?)
}

/// Through the store's own append: with hashes, tree and checkpoints, as if it had been lived through.
async fn fill(options: &Options, incidents: usize, events: usize) -> Result<String, Failed> {
    let begun = now();
    if !options.data.join("quell.db").is_file() {
        let store = Store::init(&options.data, None, &KekSource::File(None), begun).await?;
        store.db().close().await;
    }
    let app = app(options).await?;
    let there = projection::count(&app, &projection::Wanted::default()).await?;
    let each = (events / incidents.max(1)).max(8);
    for number in usize::try_from(there)?..incidents {
        let id = IncidentId { year: 2026, number: u32::try_from(number + 1)? };
        let mut batch = Batch::new(id, 0);
        for event in incident(id, number, each, begun)? {
            batch.push(NewEntry::new(Actor::user(format!("person-{}", number % 40)), event));
        }
        app.store.append(batch, now()).await?;
    }
    projection::catch_up(&app).await?;
    person::add(&app, "bench", Role::Admin, now()).await?;
    let new = NewToken {
        name: "bench".to_owned(),
        role: Role::Responder,
        lasts: SignedDuration::from_hours(24),
        made_with: None,
    };
    let (_, value) = token::make(&app, Role::Admin, &new, now()).await?;
    let token = value.expose_text().unwrap_or_default().to_owned();
    let took = now().duration_since(begun).as_millis();
    let entries = app.store.size().await?;
    app.store.db().close().await;
    Ok(json!({ "entries": entries, "incidents": incidents, "took_ms": took, "token": token }).to_string())
}

/// One incident of this many entries; all but few of them are closed.
fn incident(id: IncidentId, number: usize, entries: usize, at: Timestamp) -> Result<Vec<Event>, Failed> {
    let closed = !number.is_multiple_of(OPEN);
    let plan = plan(id)?;
    let secrets =
        if closed { vec![format!("secret-{}", number % 300).parse()?] } else { plan.secrets.clone() };
    let because = "it leaked".to_owned();
    let due = at.checked_add(SignedDuration::from_mins(15))?;
    let severity = if number.is_multiple_of(3) { Severity::Sev1 } else { Severity::Sev3 };
    let clock = |name: &str| Event::ClockStarted {
        clock: name.to_owned(),
        starts: at,
        due,
        rule: "the strictest of the sources".to_owned(),
    };
    let mut all = vec![
        Event::Opened {
            title: format!("secret-{} leaked (public-repo), number {number}", number % 300),
            secrets: secrets
                .into_iter()
                .map(|secret| Affected { secret, because: because.clone() })
                .collect(),
            exposures: vec![exposure(number, 0, at)],
            declared: at,
            production: true,
            opens_others: 0,
            profile: Profile::default(),
            drill: number % 10 == 9,
        },
        Event::SeverityAssessed {
            assessment: Assessment { severity, label: severity.word().to_owned(), reasons: Vec::new() },
        },
        clock("first-response"),
        clock("next-update"),
        Event::ClockMet { clock: "first-response".to_owned() },
    ];
    if !closed {
        all.push(Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) });
    }
    while all.len() < entries - usize::from(closed) {
        let step = all.len();
        all.push(if step % 25 == 0 {
            Event::ExposureAdded { exposure: exposure(number, step, at) }
        } else {
            Event::NoteAdded {
                text: format!(
                    "remark {step}: the logs of host-{} were looked at, and nothing was found",
                    step % 7
                ),
            }
        });
    }
    if closed {
        all.push(Event::Closed { summary: "proven, and closed".to_owned() });
    }
    Ok(all)
}

fn plan(incident: IncidentId) -> Result<Plan, Failed> {
    Ok(Plan { incident, ..serde_json::from_str(PLAN)? })
}

fn exposure(number: usize, step: usize, at: Timestamp) -> Exposure {
    Exposure {
        channel: Channel::PublicRepo,
        audience: Audience::Public,
        first_exposed: None,
        discovered: at,
        still_visible: Some(true),
        place: format!("src/config-{step}.py:12"),
        fingerprint: None,
        sealed: None,
        finding: Some(format!("F-{number}-{step}")),
        channel_name: None,
    }
}

/// The next line of stdin; nothing at its end.
async fn line() -> Result<String, Failed> {
    let read = || std::io::stdin().lines().next().transpose();
    Ok(tokio::task::spawn_blocking(read).await??.unwrap_or_default())
}

fn say(words: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}

/// One connection that is kept.
struct Peer {
    stream: BufReader<TcpStream>,
}

impl Peer {
    async fn to(place: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(place).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Status and length of the body, if it says one.
    async fn head(&mut self) -> Result<(u16, Option<usize>), Failed> {
        let mut first = String::new();
        self.stream.read_line(&mut first).await?;
        let status = first.split(' ').nth(1).ok_or("no answer")?.parse()?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err("cut off".into());
            }
            let line = line.trim_ascii();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
    }

    async fn ask(&mut self, request: &[u8]) -> Result<u16, Failed> {
        self.stream.get_mut().write_all(request).await?;
        let (status, length) = self.head().await?;
        let mut body = vec![0; length.ok_or("no length")?];
        self.stream.read_exact(&mut body).await?;
        Ok(status)
    }
}

fn get(place: &str, path: &str, token: &str, accept: &str) -> Vec<u8> {
    let who = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: {place}\r\n{who}Accept: {accept}\r\n\r\n").into_bytes()
}

/// Asks on so many connections, one request after the other on each.
async fn read(place: &str, path: &str, connections: usize, long: Duration) -> Result<String, Failed> {
    let token = line().await?;
    let request = Arc::new(get(place, path, &token, "text/html"));
    let until = now().checked_add(SignedDuration::try_from(long)?)?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (request, place) = (Arc::clone(&request), place.to_owned());
        tasks.spawn(async move {
            let mut peer = Peer::to(&place).await?;
            let (mut times, mut failed) = (Vec::new(), 0_u64);
            while now() < until {
                let begun = now();
                let status = peer.ask(&request).await?;
                times.push(i64::try_from(now().duration_since(begun).as_micros())?);
                failed += u64::from(status != 200);
            }
            Ok::<_, Failed>((times, failed))
        });
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (own, bad) = done??;
        times.extend(own);
        failed += bad;
    }
    times.sort_unstable();
    let rank = |permille: usize| {
        times.get((times.len() * permille / 1000).min(times.len().saturating_sub(1))).copied()
    };
    let told = json!({
        "answers": times.len(), "failed": failed, "each_second": times.len() as u64 / long.as_secs().max(1),
        "p50_us": rank(500), "p99_us": rank(990),
    });
    Ok(told.to_string())
}

/// Holds streams; says `ready` when all of them were begun, and what each heard at the end.
async fn watch(place: &str, path: &str, watchers: usize) -> Result<String, Failed> {
    let request = Arc::new(get(place, path, &line().await?, "text/event-stream"));
    let heard: Vec<Arc<AtomicU64>> = (0..watchers).map(|_| Arc::default()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for own in &heard {
        let mut peer = Peer::to(place).await?;
        peer.stream.get_mut().write_all(&request).await?;
        let (status, _) = peer.head().await?;
        if status != 200 {
            return Err(format!("a watcher was answered {status}").into());
        }
        let own = Arc::clone(own);
        tasks.spawn(async move {
            let mut line = String::new();
            while peer.stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                own.fetch_add(u64::from(line.starts_with("id:")), Ordering::Relaxed);
                line.clear();
            }
        });
    }
    say("ready")?;
    while !line().await?.is_empty() {}
    let all: Vec<u64> = heard.iter().map(|own| own.load(Ordering::Relaxed)).collect();
    let told = json!({ "watchers": all.len(), "least": all.iter().min(), "most": all.iter().max() });
    Ok(told.to_string())
}

async fn flow(options: &Options, incident: &str, every: Duration) -> Result<String, Failed> {
    let app = app(options).await?;
    let mut ended = tokio::spawn(line());
    let mut written = 0_u64;
    loop {
        tokio::select! {
            _end = &mut ended => return Ok(json!({ "written": written }).to_string()),
            () = tokio::time::sleep(every) => {}
        }
        let event = Event::NoteAdded { text: format!("something new: {written}") };
        app.store.append_to_end(incident, NewEntry::new(Actor::user("bench"), event), now()).await?;
        written += 1;
    }
}

/// Numbers are sent each once, and again for as long as no 2xx comes back: as every sender does who means it.
async fn send(place: &str, hook: &str, key: &[u8], numbers: std::ops::Range<u64>) -> Result<String, Failed> {
    let begun = now();
    let (next, repeated) = (Arc::new(AtomicU64::new(numbers.start)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (next, repeated, end) = (Arc::clone(&next), Arc::clone(&repeated), numbers.end);
        let (place, hook, key) = (place.to_owned(), hook.to_owned(), key.to_vec());
        tasks.spawn(async move {
            let mut peer = None;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                while !deliver(&mut peer, &place, &hook, &key, number).await {
                    repeated.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let took = now().duration_since(begun).as_millis();
    let told = json!({
        "sent": numbers.end - numbers.start, "repeated": repeated.load(Ordering::Relaxed), "took_ms": i64::try_from(took)?,
    });
    Ok(told.to_string())
}

async fn deliver(peer: &mut Option<Peer>, place: &str, hook: &str, key: &[u8], number: u64) -> bool {
    let leak = json!({"rule": "wiki-password", "value": format!("bench-value-{number:08}"), "place": format!("wiki/{number}")});
    let body = json!({ "leaks": [leak] }).to_string();
    let at = now().as_second();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.trim_ascii()) else { return false };
    mac.update(format!("{at}.{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = format!(
        "POST /hooks/{hook} HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         X-Quell-Timestamp: {at}\r\nX-Quell-Signature: v1={signature}\r\n\r\n{body}",
        body.len()
    );
    if peer.is_none() {
        *peer = Peer::to(place).await.ok();
    }
    let Some(open) = peer else { return false };
    match open.ask(request.as_bytes()).await {
        Ok(status) if (200..300).contains(&status) => true,
        Ok(_) => false,
        Err(_cut) => {
            *peer = None;
            false
        }
    }
}

/// Each delivery leads to one entry that names it, and to one finding.
async fn count(options: &Options) -> Result<String, Failed> {
    let app = app(options).await?;
    let mut places = BTreeSet::new();
    let (mut findings, mut runs) = (0_u64, 0_u64);
    for entry in app.store.read_kind("finding.recorded", 0, i64::MAX).await? {
        let Event::FindingRecorded { finding, .. } = entry.event else { continue };
        findings += 1;
        places.extend(finding.pointer("/place/file").and_then(|file| file.as_str()).map(str::to_owned));
    }
    for entry in app.store.read_kind("scan.run", 0, i64::MAX).await? {
        let Event::ScanRun { target, .. } = entry.event else { continue };
        runs += u64::from(target.starts_with("ingested bench"));
    }
    let (waiting, given_up) = app.store.inbox_open().await?;
    let told = json!({
        "findings": findings, "places": places.len(), "runs": runs, "waiting": waiting, "given_up": given_up,
    });
    Ok(told.to_string())
}
