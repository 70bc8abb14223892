//! One variable: its value alone is written; what it is for, and who may see it, stays as it is.

use hmac::{Hmac, KeyInit as _, Mac as _};
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Check, ConnectError, Owner, Variables};
use crate::error::ConnectErrorKind;
use crate::kept::keeps;
use crate::rest::Ask;

const WRITING: &str = "writing the variable";

/// What must be as it was after a write.
const ATTRIBUTES: [&str; 6] = ["variable_type", "protected", "masked", "hidden", "raw", "environment_scope"];

impl Owner {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Group(name) => format!("group {name}"),
            Self::Project(name) => format!("project {name}"),
        }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = match self {
            Self::Group(name) => vec!["groups", name.as_str(), "variables"],
            Self::Project(name) => vec!["projects", name.as_str(), "variables"],
        };
        path.extend(rest);
        path
    }

    fn needs(&self) -> &'static str {
        match self {
            Self::Group(_) => "the scope `api` and the role Owner of the group",
            Self::Project(_) => "the scope `api` and the role Maintainer of the project",
        }
    }
}

impl Variables {
    pub(super) async fn get(&self, what: &'static str) -> Result<Value, ConnectError> {
        let path = self.at.path(&[&self.key]);
        let ask = Ask::get(what, &path).query("filter[environment_scope]", self.scope.as_str());
        let variable = self.gitlab.ask(&ask, self.at.needs(), &[]).await.map_err(|mut error| {
            if error.kind == ConnectErrorKind::Missing {
                error.detail = format!(
                    "{} of {}: {}; make it first, with any value",
                    self.key,
                    self.at.words(),
                    error.detail
                );
            }
            error
        })?;
        // A server that knows no filter gives whichever it has.
        let told = variable.get("environment_scope").and_then(Value::as_str);
        if let Some(other) = told.filter(|told| *told != self.scope) {
            let words = format!(
                "the variable that it gives is for `{}`, and not for `{}`; correct `scope`",
                crate::words::one_line(other),
                self.scope
            );
            return Err(self.gitlab.error(what, ConnectErrorKind::Denied, words));
        }
        Ok(variable)
    }

    /// `None` when it is empty.
    pub(super) fn value_of(
        &self,
        what: &'static str,
        variable: &Value,
    ) -> Result<Option<SecretValue>, ConnectError> {
        match variable.get("value") {
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(SecretValue::from_text(text.clone()))),
            // "Hide a CI/CD variable": it is for jobs only, and can never be shown again.
            Some(Value::Null) if flag(variable, "hidden") => {
                let words = "the variable is hidden: nobody can read it back; set `hidden: true` here";
                Err(self.gitlab.error(what, ConnectErrorKind::Denied, words))
            }
            _ => Err(self.gitlab.error(what, ConnectErrorKind::Unexpected, "the variable has no value")),
        }
    }

    /// Tells values apart for as long as this store is used; it says nothing to anybody else.
    pub(super) fn version(&self, value: &SecretValue) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(&self.mark).map(|mut mac| {
            mac.update(value.expose());
            hex::encode(mac.finalize().into_bytes())
        });
        mac.map(|hex| hex.chars().take(12).collect()).unwrap_or_default()
    }

    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        let Some(text) = new.expose_text() else {
            return Ok(Outcome::refused("the value is not text; a variable holds text"));
        };
        let before = self.get(WRITING).await?;
        if !self.hidden && self.value_of(WRITING, &before)?.is_some_and(|held| held.same_as(new)) {
            return Ok(self.written(new, &before));
        }
        // "Prevent CI/CD variable expansion": jobs would get something else than what stands here.
        if text.contains('$') && !flag(&before, "raw") {
            let words = "the value has a `$`, and GitLab would expand it for jobs: clear `Expand variable reference` of the variable first";
            return Ok(Outcome::refused(words));
        }
        let path = self.at.path(&[&self.key]);
        let ask = Ask::new(WRITING, Method::PUT, &path)
            .query("filter[environment_scope]", self.scope.as_str())
            .json(&json!({ "value": text }));
        let after = self.gitlab.ask(&ask, self.at.needs(), &[text]).await.map_err(|mut error| {
            if error.detail.starts_with("refused with 400") && flag(&before, "masked") {
                error.detail = format!(
                    "{}; the variable is masked: a value must be one line of 8 characters or more without spaces, and of few special \
                     characters unless `Expand variable reference` is cleared",
                    error.detail
                );
            }
            error
        })?;
        if !self.hidden && !self.value_of(WRITING, &after)?.is_some_and(|held| held.same_as(new)) {
            let words = "it was taken, and the answer holds another value";
            return Err(self.gitlab.error(WRITING, ConnectErrorKind::Unexpected, words));
        }
        if let Some(changed) = ATTRIBUTES.into_iter().find(|name| before.get(*name) != after.get(*name)) {
            let words = format!("it was taken, and `{changed}` of the variable is not as it was");
            return Err(self.gitlab.error(WRITING, ConnectErrorKind::Unexpected, words));
        }
        Ok(self.written(new, &after))
    }

    fn written(&self, new: &SecretValue, variable: &Value) -> Outcome {
        let kept = |name: &str| variable.get(name).cloned().unwrap_or_default();
        Outcome::applied([
            ("version", json!(self.version(new))),
            ("masked", kept("masked")),
            ("protected", kept("protected")),
            ("environment_scope", kept("environment_scope")),
        ])
    }

    /// There is no history. The value may stand in another variable of the same place, though: for another environment, or by another key.
    pub(super) async fn try_look(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for copies in variables";
        let all = self.gitlab.all(WHAT, &self.at.path(&[]), self.at.needs()).await?;
        let text =
            |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let holds = |one: &&Value| {
            let held = text(one, "value");
            compromised.iter().any(|value| keeps(held.as_bytes(), value))
        };
        let bad: Vec<String> = all
            .iter()
            .filter(holds)
            .map(|one| format!("`{}` for {}", text(one, "key"), text(one, "environment_scope")))
            .collect();
        if !bad.is_empty() {
            let words = format!(
                "a compromised value stands in {} of {}; name each as a store, or write it there",
                bad.join(", "),
                self.at.words()
            );
            return Ok(Outcome::refused(words));
        }
        let hidden = all.iter().filter(|one| flag(one, "hidden")).count();
        Ok(Outcome::applied([
            ("history", json!(false)),
            ("destroyed", json!([])),
            ("looked_at", json!(all.len() - hidden)),
            ("hidden", json!(hidden)),
            ("remarks", json!(["jobs that began before the write hold the old value until they end"])),
        ]))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "looking at the variable";
        let line =
            |what: &str, ok, detail: &str| Check { what: what.to_owned(), ok, detail: detail.to_owned() };
        let variable = match self.get(WHAT).await {
            Ok(variable) => variable,
            Err(error) => return vec![line("read the variable", false, &error.detail)],
        };
        let mut checks = Vec::new();
        match self.value_of(WHAT, &variable) {
            _ if self.hidden && !flag(&variable, "hidden") => {
                checks.push(line("read the variable", false, "it is not hidden; leave out `hidden: true`"));
            }
            Ok(_) => checks.push(line("read the variable", true, "yes")),
            Err(_) if self.hidden => checks.push(line("see the variable", true, "it is hidden, as said")),
            Err(error) => checks.push(line("read the variable", false, &error.detail)),
        }
        let masked = if flag(&variable, "masked") {
            "yes"
        } else {
            "no: a job that prints it shows it to everybody who may read its log"
        };
        checks.push(line("the variable is masked in logs", true, masked));
        if text_is(&variable, "variable_type", "file") {
            checks.push(line("it is given to jobs as", true, "a file, whose path is in the variable"));
        }
        checks
    }
}

fn flag(variable: &Value, name: &str) -> bool {
    variable.get(name) == Some(&Value::Bool(true))
}

fn text_is(variable: &Value, name: &str, text: &str) -> bool {
    variable.get(name).and_then(Value::as_str) == Some(text)
}
