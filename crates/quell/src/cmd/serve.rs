//! `quell serve`.

use std::net::IpAddr;
use std::sync::Arc;

use quell_app::clock::now;
use quell_app::person;
use quell_app::{App, AppError, KekSource, Options, Store, StoreError};
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use quell_web::Config;

use super::app_without_inventory;
use crate::cli::ServeArgs;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn serve(options: &Options, args: &ServeArgs, out: &Out) -> Result<u8, AppError> {
    let url = args.url.as_deref().map(public_url).transpose()?;
    if url.is_none() && !is_loopback(args.listen.ip()) {
        return Err(AppError::Usage(format!(
            "{} can be reached from elsewhere, and what goes over it can be read: put a proxy with TLS in front and name it with --url https://…",
            args.listen
        )));
    }
    let app = app_or_first(options, out).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        let _receivers_may_be_gone = stop.send(true);
        // Hold the sender: a dropped one would look like a change.
        stop.closed().await;
    });
    let code = first_code(&app).await?;
    let config = Config { listen: args.listen, url, options: options.clone() };
    let shown = config.url.clone();
    quell_web::serve(app, config, stopped, |address| {
        let place = shown.map_or_else(|| format!("http://{address}/"), |url| url.to_string());
        out.status(format!("{} {place}", tone(Tone::Good, "listening on")));
        if let Some((name, code)) = &code {
            // A named sink: the terminal of whoever started the server.
            let code = code.expose_text().unwrap_or_default();
            out.status(format!(
                "sign in as {name} with the code {} (good once, for ten minutes)",
                tone(Tone::Strong, code)
            ));
        }
    })
    .await?;
    out.status("ended; nothing is running and nothing is lost");
    Ok(exit::OK)
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

/// Ctrl-C, or what a service manager sends.
async fn signal() {
    let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut terminated) = terminated else {
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _asked = tokio::signal::ctrl_c() => {}
        _asked = terminated.recv() => {}
    }
}

/// Opens the installation, or makes one: at three in the morning nobody reads how.
async fn app_or_first(options: &Options, out: &Out) -> Result<Arc<App>, AppError> {
    match app_without_inventory(options).await {
        Err(AppError::Store(StoreError::NotInitialised(_))) => {
            let source = KekSource::File(None);
            let store = Store::init(&options.data, options.database.as_deref(), &source, now()).await?;
            store.db().close().await;
            out.status(format!("{} data folder {}", tone(Tone::Good, "made"), options.data.display()));
            app_without_inventory(options).await
        }
        other => other,
    }
}

/// Where nobody can sign in yet, whoever starts the server is its first admin. With an identity provider, its groups say who is.
async fn first_code(app: &App) -> Result<Option<(String, SecretValue)>, AppError> {
    let known = !person::people(app).await?.local.is_empty();
    if known || app.inventory.server.oidc.is_some() {
        return Ok(None);
    }
    let name = app.named_actor()?;
    person::add(app, &name, Role::Admin, now()).await?;
    let people = person::people(app).await?;
    let code = person::code(app, &people, &name, person::At::Machine, now()).await?;
    Ok(Some((name, code)))
}
