//! What is asked of Microsoft Graph: passwords of the application, and of its service principal.
//!
//! A password is named by an id that the value does not hold; Graph tells the first three characters of each (`hint`). So the one that is to be removed is found
//! by these, and when two begin alike nothing is removed by guessing. What is made carries its purpose as `displayName`, so that one whose text was
//! lost with an answer is found and removed.

use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Application, Check, ConnectError, ConnectErrorKind, Issuer as _, Performed, TOKENS};
use crate::rest::Ask;
use crate::webhook::sign::wall_clock;

/// Stands for a client secret until there is one.
pub(super) const TO_BE: &str = "quell:client-secret";

const NEEDS: &str = "`Application.ReadWrite.OwnedBy` and make Quell's application an owner of this one (or `Application.ReadWrite.All`)";

/// Where a password can be.
const PLACES: [&str; 2] = ["applications", "servicePrincipals"];

/// A password as Graph lists it.
#[derive(Clone, Debug)]
struct Held {
    place: &'static str,
    id: String,
    hint: String,
    name: String,
}

impl Application {
    /// `applications(appId='…')`; its client id has letters, digits and `-` only.
    fn object(&self, place: &str) -> String {
        format!("{place}(appId='{}')", self.client)
    }

    /// Of the application and of its service principal. One of them may be in another directory.
    async fn list(&self, what: &'static str) -> Result<Vec<Held>, ConnectError> {
        let mut all = Vec::new();
        let mut found = false;
        for place in PLACES {
            let object = self.object(place);
            let ask = Ask::get(what, &["v1.0", &object]).query("$select", "id,passwordCredentials");
            let answer = match self.api.ask(&ask, NEEDS, &[]).await {
                Err(error) if error.kind == ConnectErrorKind::Missing => continue,
                answer => answer?,
            };
            found = true;
            for one in answer.get("passwordCredentials").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                all.push(Held { place, id: text("keyId"), hint: text("hint"), name: text("displayName") });
            }
        }
        if found {
            return Ok(all);
        }
        let words = format!(
            "there is no application {} in {}; correct `client` or `login`",
            self.client, self.tenant
        );
        Err(self.failed(what, ConnectErrorKind::Denied, words))
    }

    async fn remove(&self, what: &'static str, held: &Held) -> Result<(), ConnectError> {
        let object = self.object(held.place);
        let path = ["v1.0", &object, "removePassword"];
        let ask = Ask::new(what, Method::POST, &path).json(&json!({ "keyId": held.id }));
        self.api.ask(&ask, NEEDS, &[]).await.map(drop)
    }

    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        const WHAT: &str = "making the client secret";
        if new.value.expose_text() != Some(TO_BE) {
            return self.observe_install(new).await.map(Performed::from);
        }
        self.not_our_own(WHAT)?;
        let name = purpose(&new.principal);
        let strangers: Vec<Held> =
            self.list(WHAT).await?.into_iter().filter(|one| one.name == name).collect();
        for stranger in &strangers {
            self.remove("removing a client secret whose text was lost", stranger).await?;
        }
        let object = self.object("applications");
        let path = ["v1.0", &object, "addPassword"];
        let body = json!({ "passwordCredential": { "displayName": name } });
        let answer = self.api.ask(&Ask::new(WHAT, Method::POST, &path).json(&body), NEEDS, &[]).await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(id), Some(secret)) = (text("keyId"), text("secretText")) else {
            let words = "a client secret was made, and the answer does not hold it";
            return Err(self.failed(WHAT, ConnectErrorKind::Unexpected, words));
        };
        let mut facts = Facts::new();
        facts.insert("key".to_owned(), json!(id));
        facts.insert("ends".to_owned(), json!(text("endDateTime")));
        let strangers: Vec<&str> = strangers.iter().map(|one| one.id.as_str()).collect();
        facts.insert("strangers_removed".to_owned(), json!(strangers));
        let value = SecretValue::from_text(secret.to_owned());
        let minted = Some(Credential { principal: self.client.clone(), value });
        Ok(Performed { outcome: Outcome::Applied { facts }, minted })
    }

    pub(super) async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for a client secret that was made";
        let held = self.list(WHAT).await?;
        if new.value.expose_text() != Some(TO_BE) {
            let hint = hint(&new.value);
            return Ok(match held.iter().find(|one| one.hint == hint) {
                Some(one) => Outcome::applied([("key", json!(one.id))]),
                None => Outcome::retry("Graph shows no client secret that begins like it"),
            });
        }
        let name = purpose(&new.principal);
        Ok(match held.iter().find(|one| one.name == name) {
            Some(one) => Outcome::retry(format!(
                "a client secret was made but its text was lost with the answer ({}); the next attempt removes it first",
                one.id
            )),
            None => Outcome::retry("no client secret was made"),
        })
    }

    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "removing the client secret";
        self.identify(&old.value)?;
        self.not_our_own(WHAT)?;
        let found = match self.found(WHAT, old).await? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(removed(None)),
            Err(refused) => return Ok(refused),
        };
        self.remove(WHAT, &found).await?;
        // Something was changed: what cannot be seen now is unknown, whatever the reason.
        Ok(match self.list(WHAT).await {
            Ok(all) if all.iter().any(|one| one.id == found.id) => {
                Outcome::retry(format!("Graph shows the client secret {} still", found.id))
            }
            Ok(_) => removed(Some(&found)),
            Err(error) => error.unseen(),
        })
    }

    pub(super) async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        Ok(match self.found("looking at client secrets", old).await? {
            Ok(None) => removed(None),
            Ok(Some(found)) => Outcome::retry(format!("the client secret {} is there", found.id)),
            Err(refused) => refused,
        })
    }

    /// Without its own secret Quell could do nothing any more.
    fn not_our_own(&self, what: &'static str) -> Result<(), ConnectError> {
        if self.api.client() != Some(self.client.as_str()) {
            return Ok(());
        }
        let words = "`login` is the application whose secret is to be ended: what stops an intruder would stop Quell; use another one";
        Err(self.failed(what, ConnectErrorKind::Denied, words))
    }

    /// The password that a value is, or why that cannot be said. How it begins is not enough: the value itself is tried, as anybody
    /// could have written something that begins alike.
    async fn found(
        &self,
        what: &'static str,
        old: &Credential,
    ) -> Result<Result<Option<Held>, Outcome>, ConnectError> {
        let begins = hint(&old.value);
        let all = self.list(what).await?;
        // Those made by other tools may have no hint.
        let alike: Vec<&Held> = all.iter().filter(|one| one.hint == begins || one.hint.is_empty()).collect();
        if alike.is_empty() {
            return Ok(Ok(None));
        }
        match self.probe(old).await {
            // One that is refused is none of them any more, or never was.
            Probe::Refused { .. } => return Ok(Ok(None)),
            Probe::Inconclusive { reason } => {
                let words = format!("whether the value is a client secret that is there: {reason}");
                return Ok(Err(Outcome::unknown(words)));
            }
            Probe::Accepted { .. } => {}
        }
        if let [one] = alike.as_slice()
            && !one.hint.is_empty()
        {
            return Ok(Ok(Some((*one).clone())));
        }
        let ids: Vec<String> = alike.iter().map(|one| format!("{} (`{}`)", one.id, one.name)).collect();
        let why = if alike.iter().any(|one| one.hint.is_empty()) {
            "the value is accepted, and Graph does not tell how every client secret begins: it may be any of these"
        } else {
            "several client secrets begin with the same three characters, and Graph tells no more of them"
        };
        let words = format!("{why}: {} of {}; remove the leaked one by hand", ids.join(", "), self.client);
        Ok(Err(Outcome::refused(words)))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let mut checks = Vec::new();
        match self.list("looking at the application").await {
            Ok(held) => {
                let of = |place: &str| held.iter().filter(|one| one.place == place).count();
                let (own, principals) = (of("applications"), of("servicePrincipals"));
                let detail = format!("{own} of the application, {principals} of its service principal");
                checks.push(line("list its client secrets", true, detail));
            }
            Err(error) => checks.push(line("list its client secrets", false, error.detail)),
        }
        let own = self.api.client() == Some(self.client.as_str());
        if own {
            let detail = "`login` is the application whose secret is to be ended; use another one".to_owned();
            checks.push(line("Quell is another application", false, detail));
        }
        let (ok, detail) = match self.control().await {
            Probe::Accepted { .. } => (true, "accepted".to_owned()),
            Probe::Refused { message, .. } => (false, message),
            Probe::Inconclusive { reason } => (false, reason),
        };
        checks.push(line("have a control", ok, detail));
        checks
    }
}

/// `passwordCredential.hint`: the first three characters.
fn hint(value: &SecretValue) -> String {
    value.expose_text().unwrap_or_default().chars().take(3).collect()
}

/// What a client secret is called while it is made.
fn purpose(tag: &str) -> String {
    let hash: String = hex::encode(Sha256::digest(tag)).chars().take(24).collect();
    format!("quell {hash}")
}

fn removed(found: Option<&Held>) -> Outcome {
    Outcome::applied([
        ("already", json!(found.is_none())),
        // No token is given out after this.
        ("cutoff", json!(wall_clock().to_string())),
        ("key", json!(found.map(|one| one.id.as_str()))),
        ("of", json!(found.map(|one| one.place))),
        ("access_tokens", json!(TOKENS)),
    ])
}
