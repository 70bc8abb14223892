//! What must be so before a rotation, and what an operator must know.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;

use super::Jwks;
use super::change::NO_SET;
use super::door::{self, Door};
use super::key::{Algorithm, Key};
use super::public::Public;
use super::set::{Set, Trouble};
use crate::connector::{Check, Issuer as _};
use crate::webhook::sign::wall_clock;

impl Jwks {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let mut checks = self.publish.check().await;
        let published = self.published().await;
        let (ok, detail) = match &published {
            Ok(published) if published.is_missing() => (false, NO_SET.to_owned()),
            Ok(published) => {
                let troubles = published.set.troubles();
                let grave = troubles.iter().any(Trouble::is_grave);
                let words: Vec<String> = troubles.iter().map(Trouble::words).collect();
                (!grave, if words.is_empty() { "it is in order".to_owned() } else { words.join("; ") })
            }
            Err(error) => (false, error.detail.clone()),
        };
        checks.push(Check { what: "read the published key set".to_owned(), ok, detail });
        let set = published.map_or_else(|_error| Set::empty(), |published| published.set);
        // Of the kind that verifiers expect: one of another kind would be refused for that.
        let way = |(public, said): (Public, Option<&str>)| {
            said.and_then(Algorithm::named).unwrap_or_else(|| Algorithm::of(&public))
        };
        let algorithm = set.first().map(way).or(self.algorithm);
        let stranger = Key::fresh(None, algorithm, false).and_then(|value| Key::read(&value));
        let stranger = stranger.map(|key| (algorithm.unwrap_or(key.algorithm), key));
        for door in &self.doors {
            checks.extend(self.door_checks(door, &set, stranger.as_ref()).await);
        }
        if self.control.is_some() {
            let (ok, detail) = match self.control().await {
                Probe::Accepted { .. } => (true, "every verifier takes it".to_owned()),
                Probe::Refused { code, message } => (false, format!("{code}: {message}")),
                Probe::Inconclusive { reason } => (false, reason),
            };
            checks.push(Check { what: "sign with the control".to_owned(), ok, detail });
        }
        checks
    }

    /// A door that lets in what nobody signed proves nothing, and needs no key.
    async fn door_checks(
        &self,
        door: &Door,
        set: &Set,
        stranger: Result<&(Algorithm, Key), &&'static str>,
    ) -> Vec<Check> {
        let mut checks = door.refresh_checks().await;
        let now = wall_clock();
        let kid = set.publics().next().map(|public| set.names(&public.thumbprint()));
        let kid = kid.and_then(|names| names.into_iter().next());
        let canary = stranger
            .map_err(|why| *why)
            .and_then(|(way, key)| door.form.signed((key, *way), kid.as_deref(), now));
        checks.push(door.must_refuse(&self.context, "a token of a key that nobody published", canary).await);
        let unsigned = door.form.unsigned(kid.as_deref(), now);
        checks
            .push(door.must_refuse(&self.context, "a token without a signature (alg: none)", unsigned).await);
        // The public key as the text that most programs keep, taken for a shared one.
        if let Some(pem) = set.publics().next().and_then(|public| public.pem()) {
            let canary = door.form.shared(pem.as_bytes(), kid.as_deref(), now);
            checks.push(
                door.must_refuse(&self.context, "a token signed with the public key (alg: HS256)", canary)
                    .await,
            );
        }
        checks
    }

    pub(super) async fn all_warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = vec![
            "whatever was signed with the old key dies with it: people log in again, and services ask for new tokens".to_owned(),
        ];
        warnings.extend(door::silent(&self.doors));
        warnings.extend(door::one_of_many(&self.doors, self.settled));
        let key = current.and_then(|value| Key::read(value).ok());
        if let Ok(published) = self.published().await {
            warnings.extend(published.set.troubles().iter().map(Trouble::words));
            if let Some(key) = &key {
                let reused = key.kid().filter(|kid| published.set.is_taken(kid, &key.thumbprint()));
                warnings.extend(reused.map(|kid| format!("`{kid}` is what the key calls itself, and what another key of the set is called: that one stays")));
            }
        }
        if let Some(key) = &key {
            warnings.extend(self.untaken(key).await);
        }
        if key.as_ref().is_some_and(|key| key.kid().is_none()) {
            warnings.push(
                "the successor's `kid` is the thumbprint of its public key (RFC 7638): a signer that reads PEM must work it out, or be given the key as JSON"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Verifiers that do not take the key while it is good: what they say after the kill proves nothing.
    async fn untaken(&self, key: &Key) -> Vec<String> {
        match self.say_current(key).await {
            Ok(Some(answers)) => answers.untaken(),
            Ok(None) => Vec::new(),
            Err(error) => vec![error.to_string()],
        }
    }
}
