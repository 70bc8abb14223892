//! The server: what its handlers share, how it listens, how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use quell_app::clock::now;
use quell_app::person::token::{self, Shown};
use quell_app::person::{self, Found};
use quell_app::{App, AppError, Options, intake};
use quell_core::event::Actor;
use quell_core::person::People;
use quell_core::secret::SecretValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use url::Url;

use crate::api::Rates;
use crate::duty::{Duty, Health, Pace};
use crate::engine::{self, Troubles};
use crate::feed::{self, Feed};
use crate::health::Metrics;
use crate::presence::Presence;
use crate::route;

/// Time for the head of a request: whoever sends one byte a second is let go.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Longest head, in bytes.
const HEAD_MAX: usize = 32 << 10;
/// Connections at the same time; watchers of rooms hold one each.
const CONNECTIONS: usize = 10_000;
/// Time that running requests get at the end.
const GRACE: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How people and other systems reach it, when that is another address (a proxy in front).
    pub url: Option<Url>,
    /// How the installation was opened: what webhooks lead to may open more of it.
    pub options: Options,
}

/// What every handler shares.
#[derive(Debug)]
pub struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) feed: Feed,
    pub(crate) metrics: Metrics,
    pub(crate) troubles: Troubles,
    pub(crate) rates: Rates,
    pub(crate) presence: Presence,
    /// What goes on beside the answers, and how.
    pub(crate) duties: Vec<Health>,
    url: Url,
    /// Turns true when the server is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Server {
    /// Where people reach it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// `__Host-` is only taken over TLS.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.is_https() { "__Host-quell" } else { "quell" }
    }

    /// Is this `Origin` the page that we served? Without a configured URL, the host that was asked counts: the names of a
    /// machine that listens on loopback are several.
    pub(crate) fn is_own_origin(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        if origin == self.url.origin().ascii_serialization() {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        !self.is_https() && host.is_some_and(|host| origin.strip_prefix("http://") == Some(host))
    }

    /// Who is known here, as of now.
    pub(crate) async fn people(&self) -> Result<People, AppError> {
        person::people(&self.app).await
    }

    pub(crate) async fn session(&self, cookie: &SecretValue) -> Result<Option<Found>, AppError> {
        let people = self.people().await?;
        person::find(&self.app, &people, cookie, now()).await
    }

    /// The token of an `Authorization` header, if it is good (RFC 6750, section 2.1).
    pub(crate) async fn token(&self, header: &HeaderValue) -> Result<Option<Shown>, AppError> {
        let (scheme, value) = header.as_bytes().split_at_checked(7).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Ok(None);
        }
        let value = SecretValue::new(value.trim_ascii().to_vec());
        let at = now();
        let Some(shown) = token::check(&self.people().await?, &value, at) else { return Ok(None) };
        token::used(&self.app, &shown.id, at).await?;
        Ok(Some(shown))
    }
}

/// Serves until `stop` turns true. `ready` hears the address once it listens.
pub async fn serve(
    app: Arc<App>,
    config: Config,
    stop: watch::Receiver<bool>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), AppError> {
    let io = |source| AppError::Io { path: config.listen.to_string(), source };
    let listener = TcpListener::bind(config.listen).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let own = || Url::parse(&format!("http://{address}/"));
    let url = config.url.clone().map_or_else(own, Ok).map_err(|e| AppError::Usage(e.to_string()))?;
    let feed = Feed::of(&app).await?;
    let (metrics, troubles) = (Metrics::default(), Troubles::default());
    let duties = duties(&app, &config.options, (&feed, &troubles), &stop);
    let healths = duties.iter().map(|duty| duty.health.clone()).collect();
    let server = Arc::new(Server {
        app,
        feed,
        metrics,
        troubles,
        rates: Rates::default(),
        presence: Presence::default(),
        duties: healths,
        url,
        stop: stop.clone(),
    });
    ready(address);
    accept(&listener, &server, stop).await;
    // Steps that run end and are recorded, and so does a delivery that is being worked off; nothing new starts. Another replica takes up the rest.
    for duty in duties {
        duty.end().await;
    }
    Ok(())
}

/// What goes on beside the answers.
fn duties(
    app: &Arc<App>,
    options: &Options,
    (feed, troubles): (&Feed, &Troubles),
    stop: &watch::Receiver<bool>,
) -> Vec<Duty> {
    let pace = Pace::default();
    let (own, news, end) = (Arc::clone(app), feed.clone(), stop.clone());
    let look = move || feed::look(Arc::clone(&own), news.clone(), end.clone());
    let mut all = vec![Duty::begin("the look for news", pace, stop.clone(), look)];
    let (own, news) = (app.acting_as(Actor::engine("server")), feed.clone());
    let (troubles, end) = (troubles.clone(), stop.clone());
    let drive = move || engine::drive(Arc::clone(&own), news.clone(), troubles.clone(), end.clone());
    all.push(Duty::begin("the engine", pace, stop.clone(), drive));
    for _lane in 0..intake::LANES {
        let (own, options) = (app.acting_as(Actor::engine("intake")), options.clone());
        let end = stop.clone();
        let work = move || intake::work(Arc::clone(&own), options.clone(), end.clone());
        all.push(Duty::begin("the intake", pace, stop.clone(), work));
    }
    all
}

async fn accept(listener: &TcpListener, server: &Arc<Server>, mut stop: watch::Receiver<bool>) {
    let router = route::router(server);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ended = stop.wait_for(|stop| *stop) => break,
        };
        // Out of file descriptors, or the peer is gone already: neither ends the server.
        let Ok((stream, _peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let connection = connection(stream, TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A peer that breaks off is no error of ours.
            drop(watched.await);
            drop(place);
        });
    }
    drop(tokio::time::timeout(GRACE, graceful.shutdown()).await);
}

fn connection(
    stream: TcpStream,
    service: TowerToHyperService<axum::Router>,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>> {
    // Small answers must not wait for each other.
    drop(stream.set_nodelay(true));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
}
