//! A server with an installation of its own, and browsers that keep their cookies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_app::clock::now;
use quell_app::incident::{self, Report};
use quell_app::person::token::{self, NewToken};
use quell_app::person::{self, Source};
use quell_app::{App, KekSource, Options, Store};
use quell_core::IncidentId;
use quell_core::event::Actor;
use quell_core::exposure::Channel;
use quell_core::inventory::Inventory;
use quell_core::person::Role;
use quell_web::{Config, serve};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::sync::watch;

/// Whose certificates a client takes, beside those of the platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(pub(crate) Option<String>);

impl Trust {
    pub(crate) fn client(&self) -> reqwest::Client {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> reqwest::ClientBuilder {
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &self.0 {
            builder = builder.add_root_certificate(reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
        }
        builder
    }
}

/// A running server.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    pub(crate) options: Options,
    http: reqwest::Client,
    stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        let _nobody_may_listen = self.stop.send(true);
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at("127.0.0.1:0", Inventory::default(), BTreeMap::new()).await
    }

    /// With one secret, which is planned without any server: `ines-directory`, a credential that a person changes.
    pub(crate) async fn with_a_secret() -> Self {
        let text = "
secrets:
  - id: ines-directory
    kind: directory-password
    env: prod
    tier: human
    issuer: { person: { account: ines@example.com, at: the directory } }
";
        Self::at("127.0.0.1:0", inventory(text), BTreeMap::new()).await
    }

    pub(crate) async fn at(
        listen: &str,
        inventory: Inventory,
        environment: BTreeMap<String, String>,
    ) -> Self {
        let listen = listen.to_owned();
        let change = |config: &mut Config, _: &Path| config.listen = listen.parse().unwrap();
        Self::with(inventory, environment, &Trust::default(), change).await
    }

    /// A server of another configuration; `change` may put files into the folder that it is given.
    pub(crate) async fn with(
        inventory: Inventory,
        environment: BTreeMap<String, String>,
        trust: &Trust,
        change: impl FnOnce(&mut Config, &Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = Store::init(&data, None, &KekSource::File(None), now()).await.unwrap();
        store.db().close().await;
        let options = Options {
            data,
            database: None,
            inventory: folder.path().join("quell.yaml"),
            environment,
            actor: "admin-of-test".to_owned(),
            call_limit: Duration::from_secs(5),
            passphrase_file: None,
            providers: Vec::new(),
        };
        let app = App::with_inventory(&options, inventory, || panic!("there is a key file")).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), options.clone());
        change(&mut config, folder.path());
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let served = Arc::clone(&app);
        tokio::spawn(async move {
            serve(served, config, stopped, |address| tell.send(address).unwrap()).await.unwrap();
        });
        let url = format!("{scheme}://{}", told.await.unwrap());
        Self { app, url, options, http: trust.client(), stop, _folder: folder }
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        self.http.request(method, url)
    }

    /// An incident that ines opened: this secret was seen in a chat.
    pub(crate) async fn leaked(&self, secret: &str) -> IncidentId {
        let report = Report {
            secrets: vec![secret.parse().unwrap()],
            channel: Some(Channel::Chat),
            ..Report::default()
        };
        incident::open(&self.app.acting_as(Actor::user("ines")), report).await.unwrap().id
    }

    /// A session of somebody with this role: cookie and token of its forms.
    pub(crate) async fn session(&self, person: &str, role: Role) -> (String, String) {
        let at = now();
        let admin = self.app.acting_as(Actor::user("admin-of-test"));
        person::add(&admin, person, role, at).await.unwrap();
        let cookie = person::start(&self.app, person, role, Source::Local, at).await.unwrap();
        let people = person::people(&self.app).await.unwrap();
        let found = person::find(&self.app, &people, &cookie, at).await.unwrap().unwrap();
        (format!("quell={}", cookie.expose_text().unwrap()), found.session.csrf)
    }

    /// A token with this role, which somebody with that role makes for an hour.
    pub(crate) async fn token(&self, person: &str, role: Role) -> String {
        self.session(person, role).await;
        let new = NewToken {
            name: "pipeline".to_owned(),
            role,
            lasts: jiff::SignedDuration::from_hours(1),
            made_with: None,
        };
        let own = self.app.acting_as(Actor::user(person));
        let (_, value) = token::make(&own, role, &new, now()).await.unwrap();
        value.expose_text().unwrap().to_owned()
    }
}

/// An inventory from its text.
pub(crate) fn inventory(text: &str) -> Inventory {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    quell_app::inventory::load(file.path()).unwrap()
}

/// A form, as browsers send it.
pub(crate) trait Form {
    fn form(self, fields: &[(&str, &str)]) -> Self;
}

impl Form for RequestBuilder {
    fn form(self, fields: &[(&str, &str)]) -> Self {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

/// Status and text.
pub(crate) async fn read(response: Response) -> (StatusCode, String) {
    let status = response.status();
    (status, response.text().await.unwrap())
}
