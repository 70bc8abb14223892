//! Alerts of secret scanning: REST API 2022-11-28, "Secret scanning", read 2026-11-23. One alert has the value, unless `hide_secret` is asked for;
//! its places are another call. A repository without the feature answers 404.

use serde_json::{Value, json};

use super::{GitHub, State, locked, said};
use crate::model::{Reply, Request};

/// One alert.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    repository: String,
    number: u64,
    value: String,
    validity: String,
    /// Path and line.
    places: Vec<(String, u64)>,
}

impl GitHub {
    /// GitHub sees a value in a repository.
    pub fn alert(&self, repository: &str, number: u64, value: &str, validity: &str, places: &[(&str, u64)]) {
        let places = places.iter().map(|(path, line)| ((*path).to_owned(), *line)).collect();
        let (repository, value, validity) = (repository.to_owned(), value.to_owned(), validity.to_owned());
        locked(&self.state).alerts.push(Alert { repository, number, value, validity, places });
    }
}

impl State {
    pub(super) fn alerts(&self, repository: &str, rest: &[&str], request: &Request) -> Reply {
        let number = rest.first().and_then(|number| number.parse::<u64>().ok());
        let found = self.alerts.iter().find(|one| one.repository == repository && Some(one.number) == number);
        let Some(alert) = found.filter(|_| request.method == "GET") else { return said(404, "Not Found") };
        match rest {
            [_] => {
                let hidden = request.query.get("hide_secret").is_some_and(|it| it == "true");
                Reply::json(200, &alert.object(hidden))
            }
            [_, "locations"] => {
                let page = request.number("page").unwrap_or(1).saturating_sub(1);
                let size = request.number("per_page").unwrap_or(30).min(100);
                let some: Vec<Value> =
                    alert.places.iter().skip(page * size).take(size).map(location).collect();
                Reply::json(200, &Value::from(some))
            }
            _ => said(404, "Not Found"),
        }
    }
}

impl Alert {
    fn object(&self, hidden: bool) -> Value {
        let number = self.number;
        let mut body = json!({
            "number": number,
            "created_at": "2026-11-06T18:48:51Z",
            "html_url": format!("https://github.com/{}/security/secret-scanning/{number}", self.repository),
            "state": "open",
            "resolution": null,
            "secret_type": "adafruit_io_key",
            "secret_type_display_name": "Adafruit IO Key",
            "validity": self.validity,
            "publicly_leaked": false,
            "multi_repo": false,
            "push_protection_bypassed": false,
        });
        if !hidden {
            body["secret"] = json!(self.value);
        }
        body
    }
}

fn location((path, line): &(String, u64)) -> Value {
    json!({"type": "commit", "details": {
        "path": path, "start_line": line, "end_line": line, "start_column": 1, "end_column": 8,
        "blob_sha": "af5626b4a114abcb82d63db7c8082c3c4756e51b", "commit_sha": "f14d7debf9775f957cf4f1e8176da0786431f72b",
    }})
}
