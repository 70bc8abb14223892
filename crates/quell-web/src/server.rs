//! The server: what its handlers share, how it listens, how it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use quell_app::clock::now;
use quell_app::person::token::{self, Shown};
use quell_app::person::{self, Found};
use quell_app::{App, AppError, Options, intake};
use quell_core::person::{People, Role};
use quell_core::secret::SecretValue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use crate::caller::By;
use crate::clerk::Clerk;
use crate::duty::{Beside, Duty, Health, Pace};
use crate::engine::{self, Troubles};
use crate::feed::{self, Feed};
use crate::health::Metrics;
use crate::listen::{self, Patience};
use crate::presence::{self, Presence};
use crate::rates::{self, Rates};
use crate::reload::{self, Standing};
use crate::telemetry::Counts;
use crate::tls::{Tls, TlsFiles};

/// Connections of one peer at the same time, where it is known who is at the other end: a large office behind one address has
/// hundreds, and nobody fills the server alone.
const CONNECTIONS_EACH: usize = 500;
/// Connections at the same time; watchers of rooms hold one each.
const CONNECTIONS: usize = 10_000;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How people and other systems reach it, when that is another address (a proxy in front).
    pub url: Option<Url>,
    /// How the installation was opened: what webhooks lead to may open more of it.
    pub options: Options,
    /// TLS in this process.
    pub tls: Option<TlsFiles>,
    /// Changes when files are to be read again at once.
    pub reload: watch::Receiver<u64>,
    /// Connections of one peer at the same time, with TLS in this process.
    pub connections_each: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// How long peers may take.
    pub patience: Patience,
    /// What else goes on for as long as the server does.
    pub beside: Vec<Beside>,
    /// What logs and traces could not say, for `/metrics`.
    pub counts: Arc<Counts>,
}

impl Config {
    /// Without TLS, and with the usual limits.
    pub fn new(listen: SocketAddr, options: Options) -> Self {
        // Whoever keeps no sender never asks.
        let (_, reload) = watch::channel(0);
        Self {
            listen,
            url: None,
            options,
            tls: None,
            reload,
            connections_each: CONNECTIONS_EACH,
            connections: CONNECTIONS,
            patience: Patience::default(),
            beside: Vec::new(),
            counts: Arc::default(),
        }
    }
}

/// How often whom.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) api: Rates,
    pub(crate) denied: Rates,
    pub(crate) report: Rates,
    pub(crate) sign_in: Rates,
    pub(crate) token: Rates,
}

impl Limits {
    fn new() -> Self {
        Self {
            api: Rates::new(rates::API),
            denied: Rates::new(rates::DENIED),
            report: Rates::new(rates::REPORT),
            sign_in: Rates::new(rates::SIGN_IN),
            token: Rates::new(rates::TOKEN),
        }
    }
}

/// What every handler shares.
#[derive(Debug)]
pub struct Server {
    /// With the inventory of now.
    pub(crate) apps: watch::Sender<Arc<App>>,
    /// Carries out what is to be carried out once.
    pub(crate) clerk: Clerk,
    pub(crate) feed: Feed,
    pub(crate) metrics: Metrics,
    pub(crate) troubles: Troubles,
    pub(crate) limits: Limits,
    pub(crate) presence: Presence,
    /// What goes on beside the answers, and how.
    pub(crate) duties: Vec<Health>,
    pub(crate) standing: Standing,
    /// How it was started: where its inventory is.
    pub(crate) options: Options,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_each: usize,
    pub(crate) connections: usize,
    pub(crate) patience: Patience,
    pub(crate) counts: Arc<Counts>,
    url: Url,
    /// Is the address one that somebody configured?
    named: bool,
    /// Changes when somebody signs out here.
    pub(crate) left: watch::Sender<u64>,
    /// Turns true when the server is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Server {
    /// The installation, with the inventory of now.
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.apps.borrow())
    }

    /// Where people reach it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// An address of its own and no TLS here: something in front speaks it.
    pub(crate) fn is_behind_a_proxy(&self) -> bool {
        self.named && self.tls.is_none()
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
        let named = self.named && self.is_https();
        let scheme = if self.tls.is_some() { "https://" } else { "http://" };
        !named && host.is_some_and(|host| origin.strip_prefix(scheme) == Some(host))
    }

    /// Who is known here, as of now.
    pub(crate) async fn people(&self) -> Result<People, AppError> {
        person::people(&self.app()).await
    }

    pub(crate) async fn session(&self, cookie: &SecretValue) -> Result<Option<Found>, AppError> {
        let people = self.people().await?;
        person::find(&self.app(), &people, cookie, now()).await
    }

    /// What somebody may do now who was let in before; none when it is over.
    pub(crate) async fn still(&self, by: &By) -> Result<Option<Role>, AppError> {
        let people = self.people().await?;
        match by {
            By::Token { id, .. } => Ok(token::role(&people, id, now())),
            By::Session { id, .. } => {
                let found = person::find_named(&self.app(), &people, id.clone(), now()).await?;
                Ok(found.map(|found| found.role))
            }
        }
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
        token::used(&self.app(), &shown.id, at).await?;
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
    // What cannot be served is said before anything is begun.
    let tls = config.tls.clone().map(|files| Tls::open(files, now())).transpose()?;
    let listener = TcpListener::bind(config.listen).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let own = || Url::parse(&format!("{scheme}://{address}/"));
    let url = config.url.clone().map_or_else(own, Ok).map_err(|e| AppError::Usage(e.to_string()))?;
    let named = config.url.is_some();
    if let Some(tls) = tls.as_ref().filter(|tls| named && !tls.is_for(&url)) {
        let file = tls.files.certificate.display();
        tracing::warn!(%file, "the certificate is not for the host of --url: browsers that come here directly refuse it");
    }
    let feed = Feed::of(&app).await?;
    let (apps, current) = watch::channel(Arc::clone(&app));
    let (metrics, troubles) = (Metrics::default(), Troubles::default());
    let presence = Presence::default();
    let mut duties = duties(&current, &config.options, (&feed, &troubles, &presence), &stop);
    duties.extend(config.beside.into_iter().map(|beside| beside.begin(Pace::default(), stop.clone())));
    let healths = duties.iter().map(|duty| duty.health.clone()).collect();
    let server = Arc::new(Server {
        apps,
        clerk: Clerk::default(),
        feed,
        metrics,
        troubles,
        limits: Limits::new(),
        left: watch::channel(0).0,
        presence,
        duties: healths,
        standing: Standing::default(),
        options: config.options.clone(),
        tls,
        connections_each: config.connections_each,
        connections: config.connections,
        patience: config.patience,
        counts: config.counts,
        url,
        named,
        stop: stop.clone(),
    });
    let reloads =
        tokio::spawn(reload::watch(Arc::clone(&server), config.options, config.reload, stop.clone()));
    ready(address);
    listen::accept(listener, &server, stop).await;
    // Steps that run end and are recorded, and so does a delivery that is being worked off; nothing new starts. Another replica takes up the rest.
    for duty in duties {
        duty.end().await;
    }
    drop(reloads.await);
    tracing::info!("ended");
    Ok(())
}

/// What goes on beside the answers.
fn duties(
    apps: &watch::Receiver<Arc<App>>,
    options: &Options,
    (feed, troubles, presence): (&Feed, &Troubles, &Presence),
    stop: &watch::Receiver<bool>,
) -> Vec<Duty> {
    let pace = Pace::default();
    // Entries are the same whatever the inventory.
    let (own, news, end) = (Arc::clone(&apps.borrow()), feed.clone(), stop.clone());
    let look = move || feed::look(Arc::clone(&own), news.clone(), end.clone());
    let mut all = vec![Duty::begin("the look for news", pace, stop.clone(), look)];
    let (own, rooms, end) = (Arc::clone(&apps.borrow()), presence.clone(), stop.clone());
    let share = move || presence::share(Arc::clone(&own), rooms.clone(), end.clone());
    all.push(Duty::begin("the look for who is there", pace, stop.clone(), share));
    let (own, news, troubles, end) = (apps.clone(), feed.clone(), troubles.clone(), stop.clone());
    let drive = move || engine::drive(own.clone(), news.clone(), troubles.clone(), end.clone());
    all.push(Duty::begin("the engine", pace, stop.clone(), drive));
    for _lane in 0..intake::LANES {
        let (own, options, end) = (apps.clone(), options.clone(), stop.clone());
        let work = move || intake::work(own.clone(), options.clone(), end.clone());
        all.push(Duty::begin("the intake", pace, stop.clone(), work));
    }
    all
}
