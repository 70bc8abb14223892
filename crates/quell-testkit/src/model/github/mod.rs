//! GitHub's REST API for secrets and runs of Actions, as a model: REST API 2022-11-28, "Actions secrets", "Workflow runs", "Workflow jobs", "Rate
//! limits", "Secrets reference", read 2026-11-23.
//!
//! What it keeps to: a key of its own for each place, which only opens boxes that were sealed for it and is replaced when the test says so (422;
//! the words of that refusal are not GitHub's, which does not document them); secrets that are never given back; moments in whole seconds; secrets
//! that a run reads when it is queued; re-runs of failed jobs that keep the others; 401, 403, 404 that hides, the secondary limit
//! (403 with `Retry-After`); pages.

mod alerts;
mod runs;
mod sealed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked};
use runs::Run;

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct GitHub {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

/// What a job does with the value that it was given: whether it works.
type Works = Arc<dyn Fn(&str) -> bool + Send + Sync>;

struct State {
    /// Seconds of 2026-11-23.
    clock: u64,
    /// How many of them a request takes.
    pace: u64,
    /// What each token may do: `secrets`, `actions`, `*`.
    tokens: BTreeMap<String, Vec<String>>,
    places: BTreeMap<String, Place>,
    runs: Vec<Run>,
    next_run: u64,
    dispatchable: bool,
    limited: u32,
    /// The key of this place is replaced before the next write.
    replace: Option<String>,
    works: Works,
    alerts: Vec<alerts::Alert>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("clock", &self.clock).field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// A repository, an environment or an organization.
#[derive(Debug, Default)]
struct Place {
    key: u8,
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug)]
struct Secret {
    value: String,
    sealed: String,
    at: u64,
    /// Of an organization's: the ids of selected repositories.
    selected: Vec<u64>,
}

/// The one repository whose workflow the model runs.
const REPO: &str = "acme/orders";

impl GitHub {
    /// Starts one whose administrator's token is `boss`, and whose jobs work with what `works` says.
    pub fn start(works: impl Fn(&str) -> bool + Send + Sync + 'static) -> anyhow::Result<Self> {
        let state = State {
            clock: 8 * 3600,
            pace: 2,
            tokens: BTreeMap::from([("boss".to_owned(), vec!["*".to_owned()])]),
            places: BTreeMap::new(),
            runs: Vec::new(),
            next_run: 30_433_642,
            dispatchable: true,
            limited: 0,
            replace: None,
            works: Arc::new(works),
            alerts: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        Ok(Self { listener, state })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// Makes a token that may do this.
    pub fn allow(&self, token: &str, may: &[&str]) {
        locked(&self.state).tokens.insert(token.to_owned(), may.iter().map(|&it| it.to_owned()).collect());
    }

    /// The next so many requests are too many.
    pub fn limit(&self, requests: u32) {
        locked(&self.state).limited = requests;
    }

    /// From now on nothing takes time.
    pub fn stop_the_clock(&self) {
        locked(&self.state).pace = 0;
    }

    /// Makes a secret: of `acme/orders`, `acme/orders/production` or `acme`, there for these repositories.
    pub fn secret(&self, place: &str, name: &str, value: &str, selected: &[u64]) {
        let mut state = locked(&self.state);
        let (at, sealed, value) = (state.clock, String::new(), value.to_owned());
        let secret = Secret { value, sealed, at, selected: selected.to_vec() };
        state.places.entry(place.to_owned()).or_default().secrets.insert(name.to_owned(), secret);
    }

    /// What nobody can read: a secret's value.
    pub fn value(&self, place: &str, name: &str) -> Option<String> {
        let state = locked(&self.state);
        Some(state.places.get(place)?.secrets.get(name)?.value.clone())
    }

    /// For which repositories an organization's secret is there.
    pub fn selected(&self, place: &str, name: &str) -> Vec<u64> {
        let state = locked(&self.state);
        state
            .places
            .get(place)
            .and_then(|it| it.secrets.get(name))
            .map(|it| it.selected.clone())
            .unwrap_or_default()
    }

    /// The box that was written last, in base64, and the private key for it in hex.
    pub fn sealed(&self, place: &str, name: &str) -> Option<(String, String)> {
        let state = locked(&self.state);
        let place = state.places.get(place)?;
        Some((place.secrets.get(name)?.sealed.clone(), hex::encode(sealed::private(place.key))))
    }

    /// The key of a place is replaced before the next write.
    pub fn replace_key_before_next_write(&self, place: &str) {
        locked(&self.state).replace = Some(place.to_owned());
    }

    /// The workflow has no trigger for it.
    pub fn refuse_dispatches(&self) {
        locked(&self.state).dispatchable = false;
    }

    /// Somebody pushes.
    pub fn push(&self) {
        locked(&self.state).queue();
    }

    /// Somebody proposes a change from a fork.
    pub fn propose(&self) {
        locked(&self.state).propose();
    }

    /// All runs go on until they end.
    pub fn finish(&self) {
        locked(&self.state).go_on(true);
    }

    /// Failed jobs of the last run are run again, the others are kept.
    pub fn rerun_failed(&self) {
        let mut state = locked(&self.state);
        state.clock += 2;
        let id = state.runs.last().map(|run| run.id);
        state.rerun(id, true);
    }

    /// What the jobs of the last run were given.
    pub fn held(&self) -> Vec<String> {
        locked(&self.state).runs.last().map(Run::held).unwrap_or_default()
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        locked(&self.state).runs.len()
    }
}

impl State {
    /// What a run of the repository is given.
    fn given(&self) -> BTreeMap<String, String> {
        let secrets = self.places.get(REPO).map(|place| &place.secrets);
        secrets.into_iter().flatten().map(|(name, secret)| (name.clone(), secret.value.clone())).collect()
    }

    fn answer(&mut self, request: &Request) -> Reply {
        self.clock += self.pace;
        let date = format!("Mon, 23 Nov 2026 {} GMT", time(self.clock));
        self.answered(request).header("date", &date)
    }

    fn answered(&mut self, request: &Request) -> Reply {
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(may) = self.tokens.get(token).cloned() else { return said(401, "Bad credentials") };
        if self.limited > 0 {
            self.limited -= 1;
            let words =
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            return said(403, words).header("retry-after", "60");
        }
        let path = request.segments();
        let needs = match path.as_slice() {
            it if it.contains(&"secret-scanning") => "alerts",
            it if it.contains(&"secrets") => "secrets",
            _ => "actions",
        };
        if !may.iter().any(|it| it == "*" || it == needs) {
            return said(403, "Resource not accessible by personal access token");
        }
        match *path.as_slice() {
            ["orgs", org, "actions", "secrets", ref rest @ ..] => self.secrets(org, rest, request),
            ["repos", owner, repo, "actions", "secrets", ref rest @ ..] => {
                self.secrets(&format!("{owner}/{repo}"), rest, request)
            }
            ["repos", owner, repo, "environments", environment, "secrets", ref rest @ ..] => {
                self.secrets(&format!("{owner}/{repo}/{environment}"), rest, request)
            }
            ["repos", owner, repo, "secret-scanning", "alerts", ref rest @ ..] => {
                self.alerts(&format!("{owner}/{repo}"), rest, request)
            }
            ["repos", "acme", "orders", "actions", ref rest @ ..] => self.actions(rest, request),
            _ => said(404, "Not Found"),
        }
    }

    fn secrets(&mut self, at: &str, rest: &[&str], request: &Request) -> Reply {
        if request.method == "PUT" && self.replace.as_deref() == Some(at) {
            self.replace = None;
            if let Some(place) = self.places.get_mut(at) {
                place.key += 1;
            }
        }
        let clock = self.clock;
        let Some(place) = self.places.get_mut(at) else { return said(404, "Not Found") };
        match (request.method.as_str(), rest) {
            ("GET", ["public-key"]) => {
                let key = super::base64(&sealed::public(place.key));
                Reply::json(200, &json!({ "key_id": place.key_id(), "key": key }))
            }
            ("GET", [name, "repositories"]) => {
                let ids = place.secrets.get(*name).map(|it| it.selected.clone()).unwrap_or_default();
                let page = request.number("page").unwrap_or(1).saturating_sub(1);
                let some: Vec<Value> =
                    ids.iter().skip(page * 2).take(2).map(|id| json!({ "id": id })).collect();
                Reply::json(200, &json!({ "total_count": ids.len(), "repositories": some }))
            }
            ("GET", [name]) => match place.secrets.get(*name) {
                None => said(404, "Not Found"),
                Some(secret) => {
                    let mut body = json!({ "name": name, "updated_at": moment(secret.at) });
                    if !at.contains('/') {
                        body["visibility"] = json!("selected");
                    }
                    Reply::json(200, &body)
                }
            },
            ("PUT", [name]) => place.put(name, clock, !at.contains('/'), &request.json()),
            _ => said(404, "Not Found"),
        }
    }
}

impl Place {
    fn key_id(&self) -> String {
        format!("56838091257804318{}", self.key)
    }

    fn put(&mut self, name: &str, clock: u64, of_organization: bool, body: &Value) -> Reply {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        if text("key_id") != self.key_id() {
            return said(422, "the key_id is not that of the public key");
        }
        if of_organization && text("visibility").is_empty() {
            return said(422, "Invalid request.\n\n\"visibility\" wasn't supplied.");
        }
        let opened = super::unbase64(text("encrypted_value"));
        let Some(value) = sealed::open(self.key, &opened) else {
            return said(422, "the value cannot be decrypted");
        };
        let ids = body["selected_repository_ids"].as_array();
        let selected = ids.into_iter().flatten().filter_map(Value::as_u64).collect();
        let secret = Secret { value, sealed: text("encrypted_value").to_owned(), at: clock, selected };
        let old = self.secrets.insert(name.to_owned(), secret);
        if old.is_some() { Reply::empty(204) } else { Reply::json(201, &json!({})) }
    }
}

fn said(status: u16, message: &str) -> Reply {
    let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string() });
    Reply::json(status, &body)
}

fn time(clock: u64) -> String {
    format!("{:02}:{:02}:{:02}", clock / 3600 % 24, clock / 60 % 60, clock % 60)
}

fn moment(clock: u64) -> String {
    format!("2026-11-23T{}Z", time(clock))
}
