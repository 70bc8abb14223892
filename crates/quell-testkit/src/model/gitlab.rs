//! GitLab's REST API for CI/CD variables and pipelines, as a model: REST API v4 (18.x), "Project-level CI/CD variables API", "Pipelines API", "CI/CD
//! variables", read 2026-11-23; words of refusals from GitLab's own source.
//!
//! What it keeps to: variables of one key for several environments, which cannot be told apart without a filter (409); attributes that stay when
//! they are not sent; masked values that must have a form (400 that repeats nothing), hidden ones that are never shown; jobs that are given
//! the variable when they start, expanded unless it is raw; 401, 403, 404, 429 in plain text; pages.

use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked};

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct GitLab {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

type Works = Arc<dyn Fn(&str) -> bool + Send + Sync>;

struct State {
    /// Token, its user, and whether it has the scope `api`.
    tokens: Vec<(String, String, bool)>,
    variables: Vec<Value>,
    pipelines: Vec<Pipeline>,
    limited: u32,
    unfiltered: bool,
    works: Works,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("pipelines", &self.pipelines).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Pipeline {
    id: u64,
    user: String,
    source: &'static str,
    /// `created`, `running`, then `success` or `failed`.
    status: &'static str,
    /// Its deployment is started by hand, and passes without.
    manual: bool,
    /// Its job takes long.
    slow: bool,
    given: Vec<String>,
}

impl GitLab {
    /// Starts one whose administrator's token is `boss`, and whose jobs work with what `works` says.
    pub fn start(works: impl Fn(&str) -> bool + Send + Sync + 'static) -> anyhow::Result<Self> {
        let state = State {
            tokens: vec![("boss".to_owned(), "quell-bot".to_owned(), true)],
            variables: Vec::new(),
            pipelines: Vec::new(),
            limited: 0,
            unfiltered: false,
            works: Arc::new(works),
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

    /// `http://127.0.0.1:PORT/api/v4`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}/api/v4", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// A token that may read the user alone.
    pub fn allow_little(&self, token: &str) {
        locked(&self.state).tokens.push((token.to_owned(), "reader".to_owned(), false));
    }

    /// The next so many requests are too many.
    pub fn limit(&self, requests: u32) {
        locked(&self.state).limited = requests;
    }

    /// Makes a variable; `more` are its attributes.
    pub fn variable(&self, key: &str, value: &str, more: &Value) {
        let mut variable = json!({
            "variable_type": "env_var", "key": key, "value": value, "protected": false, "masked": false,
            "hidden": false, "raw": false, "environment_scope": "*", "description": null,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            variable[name] = value.clone();
        }
        locked(&self.state).variables.push(variable);
    }

    /// A variable as it is, with its value even when that is hidden.
    pub fn variable_now(&self, key: &str, scope: &str) -> Value {
        let state = locked(&self.state);
        let found = state.variables.iter().find(|one| one["key"] == key && one["environment_scope"] == scope);
        found.cloned().unwrap_or_default()
    }

    /// Somebody pushes.
    pub fn push(&self) {
        locked(&self.state).begin("ines", "push");
    }

    /// From now on the deployment of the last pipeline waits for somebody.
    pub fn wait_for_somebody(&self) {
        if let Some(last) = locked(&self.state).pipelines.last_mut() {
            last.manual = true;
        }
    }

    /// A pipeline takes long, or does not any more.
    pub fn take_long(&self, id: u64, slow: bool) {
        if let Some(found) = locked(&self.state).pipelines.iter_mut().find(|it| it.id == id) {
            found.slow = slow;
        }
    }

    /// The server knows no filter of variables.
    pub fn forget_filters(&self) {
        locked(&self.state).unfiltered = true;
    }

    /// All pipelines end.
    pub fn finish(&self) {
        let mut state = locked(&self.state);
        state.go_on();
        state.go_on();
    }

    /// What the last pipeline's deployment was given.
    pub fn held(&self) -> Vec<String> {
        locked(&self.state).pipelines.last().map(|it| it.given.clone()).unwrap_or_default()
    }
}

impl State {
    fn begin(&mut self, user: &str, source: &'static str) -> u64 {
        let id = 46 + self.pipelines.len() as u64;
        let (user, status, manual, slow, given) = (user.to_owned(), "created", false, false, Vec::new());
        self.pipelines.push(Pipeline { id, user, source, status, manual, slow, given });
        id
    }

    /// One phase. A job is given what stands there when it starts.
    fn go_on(&mut self) {
        let given: Vec<String> = self.variables.iter().map(expanded).collect();
        for pipeline in &mut self.pipelines {
            match pipeline.status {
                "created" => (pipeline.status, pipeline.given) = ("running", given.clone()),
                "running" if pipeline.slow => {}
                "running" => {
                    let worked = pipeline.manual || pipeline.given.iter().all(|value| (self.works)(value));
                    pipeline.status = if worked { "success" } else { "failed" };
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let token = request.header("private-token");
        let Some((_, user, api)) = self.tokens.iter().find(|(known, _, _)| known == token).cloned() else {
            return said(401, &json!("401 Unauthorized"));
        };
        if self.limited > 0 {
            self.limited -= 1;
            return Reply::page(429, "Retry later\n").header("retry-after", "60");
        }
        let path = request.segments();
        let ["api", "v4", ref rest @ ..] = *path.as_slice() else {
            return said(404, &json!("404 Not Found"));
        };
        if !api && rest != ["user"] {
            let body = json!({
                "error": "insufficient_scope", "scope": "api",
                "error_description": "The request requires higher privileges than provided by the access token.",
            });
            return Reply::json(403, &body);
        }
        match (request.method.as_str(), rest) {
            ("GET", ["user"]) => Reply::json(200, &json!({ "username": user })),
            ("GET", ["projects" | "groups", _, "variables"]) => {
                let some: Vec<Value> = page(&self.variables, request).iter().map(shown).collect();
                Reply::json(200, &json!(some))
            }
            (method, ["projects" | "groups", _, "variables", key]) => self.variable(method, key, request),
            ("POST", ["projects", _, "pipeline"]) => {
                if request.json()["ref"] != "main" {
                    return said(400, &json!({ "base": ["Reference not found"] }));
                }
                let id = self.begin(&user, "api");
                Reply::json(201, &json!({ "id": id, "status": "created" }))
            }
            ("GET", ["projects", _, "pipelines"]) => {
                self.go_on();
                let fits =
                    |name: &str, text: &str| request.query.get(name).is_none_or(|wanted| wanted == text);
                let all = self.pipelines.iter().rev();
                let some = all.filter(|it| {
                    fits("username", &it.user) && fits("source", it.source) && fits("scope", it.status)
                });
                let some: Vec<Value> = some.map(|it| json!({ "id": it.id, "status": it.status })).collect();
                Reply::json(200, &json!(some))
            }
            ("GET", ["projects", _, "pipelines", id, "jobs"]) => {
                let found = self.pipelines.iter().find(|it| it.id.to_string() == *id);
                let Some(found) = found else { return said(404, &json!("404 Not Found")) };
                let deploy = if found.manual { "manual" } else { found.status };
                let jobs = [
                    json!({ "name": "build", "status": "success" }),
                    json!({ "name": "deploy", "status": deploy }),
                ];
                Reply::json(200, &json!(page(&jobs, request)))
            }
            _ => said(404, &json!("404 Not Found")),
        }
    }

    fn variable(&mut self, method: &str, key: &str, request: &Request) -> Reply {
        let scope = request.query.get("filter[environment_scope]").filter(|_| !self.unfiltered);
        let fits =
            |one: &Value| one["key"] == key && scope.is_none_or(|scope| one["environment_scope"] == **scope);
        let found: Vec<usize> = (0..self.variables.len()).filter(|&n| fits(&self.variables[n])).collect();
        let [at] = found[..] else {
            return if found.is_empty() {
                said(404, &json!("404 Variable Not Found"))
            } else {
                let words = "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'";
                said(409, &json!(words))
            };
        };
        if method == "PUT" {
            let change = request.json();
            let value = change["value"].as_str().unwrap_or_default();
            // "Mask a CI/CD variable".
            let maskable = value.len() >= 8 && !value.contains(char::is_whitespace);
            if self.variables[at]["masked"] == true && !maskable {
                return said(400, &json!({ "value": ["is invalid"] }));
            }
            for (name, value) in change.as_object().into_iter().flatten() {
                self.variables[at][name] = value.clone();
            }
        }
        Reply::json(200, &shown(&self.variables[at]))
    }
}

/// As everybody sees it.
fn shown(variable: &Value) -> Value {
    let mut variable = variable.clone();
    if variable["hidden"] == true {
        variable["value"] = Value::Null;
    }
    variable
}

/// What a job is given: `$` begins the name of another variable, of which there is none here.
fn expanded(variable: &Value) -> String {
    let value = variable["value"].as_str().unwrap_or_default();
    if variable["raw"] == true {
        return value.to_owned();
    }
    value.split_once('$').map_or(value, |(before, _)| before).to_owned()
}

/// Two at a time.
fn page<'a>(all: &'a [Value], request: &Request) -> &'a [Value] {
    let from = request.number("page").unwrap_or(1).saturating_sub(1) * 2;
    let rest = all.get(from..).unwrap_or_default();
    rest.get(..2).unwrap_or(rest)
}

fn said(status: u16, message: &Value) -> Reply {
    Reply::json(status, &json!({ "message": message }))
}
