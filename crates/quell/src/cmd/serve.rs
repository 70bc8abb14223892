//! `quell serve`.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::sync::Arc;

use quell_app::clock::now;
use quell_app::person;
use quell_app::{App, AppError, KekSource, Options, Store, StoreError};
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use quell_web::telemetry::{Format, Settings, Telemetry};
use quell_web::{Beside, Config, TlsFiles};
use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use super::app_without_inventory;
use crate::cli::{LogFormat, LogLevel, ServeArgs};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn serve(options: &Options, args: &ServeArgs, out: &Out) -> Result<u8, AppError> {
    let url = args.url.as_deref().map(public_url).transpose()?;
    let tls = tls(args);
    may_listen(args, url.as_ref(), tls.is_some())?;
    let telemetry = Telemetry::start(&settings(args)?)?;
    let app = app_or_first(options, args.log_format, out).await?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        let _receivers_may_be_gone = stop.send(true);
        // Hold the sender: a dropped one would look like a change.
        stop.closed().await;
    });
    if url.is_none() && args.listen.ip().is_unspecified() && app.inventory.server.oidc.is_some() {
        let words = "the identity provider sends people back to this server, and its address is not known: name it with --url https://…";
        return Err(AppError::Usage(words.to_owned()));
    }
    let door = first_door(&app, args.log_format).await?;
    let counts = Arc::clone(&telemetry.counts);
    let (reload, beside) = hang_ups();
    let config = Config { url, tls, counts, reload, beside, ..Config::new(args.listen, options.clone()) };
    let shown = config.url.clone();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let ended = quell_web::serve(app, config, stopped, |address| {
        // For programs every line is one of the log, and a code is in none.
        if args.log_format == LogFormat::Json {
            tracing::info!(scheme, %address, "listening");
            if let Some(Door::Shut(how)) = &door {
                tracing::warn!("nobody can sign in yet: {how}");
            }
            return;
        }
        let place = shown.map_or_else(|| format!("{scheme}://{address}/"), |url| url.to_string());
        out.status(format!("{} {place}", tone(Tone::Good, "listening on")));
        match &door {
            Some(Door::Open { name, code }) => {
                // A named sink: the terminal of whoever started the server.
                let code = code.expose_text().unwrap_or_default();
                let code = tone(Tone::Strong, code);
                out.status(format!("sign in as {name} with the code {code} (good once, for ten minutes)"));
            }
            Some(Door::Shut(how)) => out.hint(format!("nobody can sign in yet: {how}")),
            None => {}
        }
    })
    .await;
    telemetry.end().await;
    ended?;
    if args.log_format == LogFormat::Text {
        out.status("ended; nothing is running and nothing is lost");
    }
    Ok(exit::OK)
}

fn tls(args: &ServeArgs) -> Option<TlsFiles> {
    let (certificate, key) = (args.tls_cert.clone()?, args.tls_key.clone()?);
    Some(TlsFiles { certificate, key })
}

fn settings(args: &ServeArgs) -> Result<Settings, AppError> {
    let format = match args.log_format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let level = match args.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // An empty variable of the environment is one that is not set.
    let otlp = args.otlp_endpoint.as_deref().filter(|text| !text.is_empty());
    // What does not parse is not repeated: an address may hold a password.
    let otlp = otlp.map(|text| {
        text.parse().map_err(|_e| {
            AppError::Usage("--otlp-endpoint is no URL, for example http://localhost:4318".to_owned())
        })
    });
    Ok(Settings { format, level, otlp: otlp.transpose()? })
}

/// What people send must not be read by others on the way.
fn may_listen(args: &ServeArgs, url: Option<&url::Url>, tls: bool) -> Result<(), AppError> {
    if tls && let Some(url) = url.filter(|url| url.scheme() == "http") {
        return Err(AppError::Usage(format!(
            "--url {url}: with --tls-cert the server speaks TLS, so its address begins with https://"
        )));
    }
    if url.is_none() && !tls && !is_loopback(args.listen.ip()) {
        return Err(AppError::Usage(format!(
            "{} can be reached from elsewhere, and what goes over it can be read: give a certificate with --tls-cert and --tls-key, or put a proxy with TLS in front and name it with --url https://…",
            args.listen
        )));
    }
    Ok(())
}

/// Counts SIGHUP: files are to be read again. On a terminal it says that this was closed, and [`signal`] hears of it.
fn hang_ups() -> (watch::Receiver<u64>, Vec<Beside>) {
    let (tell, told) = watch::channel(0);
    // From here on the signal ends nobody, also before the server listens. Where it cannot be heard of, changes of the files still are.
    if std::io::stdin().is_terminal() || hang_up().is_err() {
        return (told, Vec::new());
    }
    let listen = Beside::new("the wait for SIGHUP", move || {
        let tell = tell.clone();
        async move {
            let Ok(mut asked) = hang_up() else { return };
            while asked.recv().await.is_some() {
                tell.send_modify(|count| *count += 1);
            }
        }
    });
    (told, vec![listen])
}

fn hang_up() -> std::io::Result<Signal> {
    tokio::signal::unix::signal(SignalKind::hangup())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn public_url(text: &str) -> Result<url::Url, AppError> {
    let bad =
        |why: &str| AppError::Usage(format!("--url {text}: {why}, for example https://quell.example.com"));
    let url: url::Url = text.parse().map_err(|_e| bad("this is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it begins with https:// (or http:// on loopback)"));
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(bad("only scheme, host and port"));
    }
    Ok(url)
}

/// Ctrl-C, what a service manager sends, or the end of the terminal.
async fn signal() {
    let closed = async {
        if std::io::stdin().is_terminal()
            && let Ok(mut closed) = tokio::signal::unix::signal(SignalKind::hangup())
        {
            closed.recv().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let Ok(mut terminated) = tokio::signal::unix::signal(SignalKind::terminate()) else {
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _asked = tokio::signal::ctrl_c() => {}
        _asked = terminated.recv() => {}
        () = closed => {}
    }
}

/// Opens the installation, or makes one: at three in the morning nobody reads how.
async fn app_or_first(options: &Options, format: LogFormat, out: &Out) -> Result<Arc<App>, AppError> {
    match app_without_inventory(options).await {
        Err(AppError::Store(StoreError::NotInitialised(_))) => {
            let source = KekSource::File(None);
            let store = Store::init(&options.data, options.database.as_deref(), &source, now()).await?;
            store.db().close().await;
            let folder = options.data.display();
            match format {
                LogFormat::Json => tracing::info!(%folder, "made data folder"),
                LogFormat::Text => out.status(format!("{} data folder {folder}", tone(Tone::Good, "made"))),
            }
            app_without_inventory(options).await
        }
        other => other,
    }
}

/// How the first person comes in.
enum Door {
    /// Whoever started the server, with a code.
    Open { name: String, code: SecretValue },
    /// Somebody has to open it: in words how.
    Shut(String),
}

/// Where nobody is known yet, whoever starts the server at a terminal is its first admin; they could make one there anyway. So is the one whom `quell init` made
/// admin, until a code was made for them. Only a terminal is told a code: everything else may be a log, which others read and which is kept. With an identity
/// provider, its groups say who is an admin.
async fn first_door(app: &App, format: LogFormat) -> Result<Option<Door>, AppError> {
    if app.inventory.server.oidc.is_some() {
        return Ok(None);
    }
    let people = person::people(app).await?;
    let mut known = people.local.iter();
    let admin = match (known.next(), known.next()) {
        (None, _) => None,
        (Some((name, Role::Admin)), None) if !people.had_code(name) => Some(name.clone()),
        (Some(_), _) => return Ok(None),
    };
    let is_seen = format == LogFormat::Text && std::io::stderr().is_terminal();
    let starter = app.named_actor().ok().filter(|_| is_seen);
    match (starter, admin) {
        (Some(name), None) => person::add(app, &name, Role::Admin, now()).await?,
        (Some(name), Some(admin)) if name == admin => {}
        (_, Some(admin)) => {
            return Ok(Some(Door::Shut(format!("`quell person code {admin}` prints a code"))));
        }
        (None, None) => {
            let how = "`quell person add NAME --role admin` makes an admin, `quell person code NAME` a code";
            return Ok(Some(Door::Shut(how.to_owned())));
        }
    }
    let name = app.named_actor()?;
    let people = person::people(app).await?;
    let code = person::code(app, &people, &name, person::At::Machine, now()).await?;
    Ok(Some(Door::Open { name, code }))
}
