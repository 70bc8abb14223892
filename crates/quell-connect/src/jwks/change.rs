//! The effects on the set, and what every verifier says of a key.

use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use super::Jwks;
use super::door::{self, Answers, Canaries};
use super::key::{Algorithm, Key};
use super::set::Set;
use crate::connector::{IssuerOp, Stored};
use crate::effect::{facts, not_yet};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::webhook::sign::wall_clock;

/// The set, with what it was read as; nothing where there is none.
pub(super) struct Published {
    stored: Option<Stored>,
    pub(super) set: Set,
}

impl Published {
    pub(super) fn is_missing(&self) -> bool {
        self.stored.is_none()
    }
}

/// What all verifiers say of a key.
struct Tried {
    published: Published,
    answers: Answers,
    /// Names of the key, without which a canary would be refused for its name alone.
    names: Vec<String>,
}

impl Tried {
    fn evidence(&self) -> Facts {
        let mut seen = self.answers.evidence();
        seen.insert("kid".to_owned(), json!(self.names));
        seen
    }
}

impl Jwks {
    /// Reads the set.
    pub(super) async fn published(&self) -> Result<Published, ConnectError> {
        let Some(stored) = self.publish.read().await? else {
            return Ok(Published { stored: None, set: Set::empty() });
        };
        let failed = |why| self.failed("reading the key set", ConnectErrorKind::Unexpected, why);
        let text = stored.value.expose_text().ok_or_else(|| failed("it is not text"))?;
        let set = Set::read(text).map_err(failed)?;
        Ok(Published { stored: Some(stored), set })
    }

    async fn write(&self, published: &Published, set: &Set) -> Outcome {
        let text = SecretValue::from_text(set.text());
        match &published.stored {
            Some(stored) => self.publish.swap(&stored.version, &text).await,
            None => self.publish.write(&text).await,
        }
    }

    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.install(op, &self.key(new)?).await,
            IssuerOp::Disable { old } => self.disable(op, &self.key(old)?).await,
            // There is nothing else to end: a token is good for as long as its key is.
            IssuerOp::Sever { .. } => self.look(op).await,
        }
    }

    async fn install(&self, op: IssuerOp<'_>, key: &Key) -> Result<Outcome, ConnectError> {
        let published = self.published().await?;
        if !published.set.holds(&key.thumbprint()) {
            let mut set = published.set.clone();
            let algorithm = self.published_for(&set, key);
            if let Err(why) = set.add(key, key.kid().unwrap_or(&key.thumbprint()), algorithm) {
                return Ok(Outcome::refused(format!("{}: {why}", self.target_text())));
            }
            let written = self.write(&published, &set).await;
            if !written.is_applied() {
                return Ok(written);
            }
        }
        Ok(door::told(self, &self.doors, op, Facts::new()).await)
    }

    async fn disable(&self, op: IssuerOp<'_>, key: &Key) -> Result<Outcome, ConnectError> {
        let published = self.published().await?;
        if published.is_missing() {
            return Err(self.failed("reading the key set", ConnectErrorKind::Missing, NO_SET));
        }
        self.ways(&published.set, key)?;
        let mut set = published.set.clone();
        let dropped = set.drop_key(&key.thumbprint(), wall_clock());
        if !dropped.is_empty() {
            let failed =
                |why| self.failed("dropping the key", ConnectErrorKind::Transient { retry_after: None }, why);
            set.fill(|| Key::read(&Key::fresh(Some(key), None, false)?)).map_err(failed)?;
            let written = self.write(&published, &set).await;
            if !written.is_applied() {
                return Ok(written);
            }
        }
        let seen = facts([("already", dropped.is_empty().into()), ("dropped", json!(dropped))]);
        Ok(door::told(self, &self.doors, op, seen).await)
    }

    /// How tokens of a key are signed. One that Quell cannot sign would be refused for that, and would look dead.
    fn ways(&self, set: &Set, key: &Key) -> Result<Vec<Algorithm>, ConnectError> {
        key.ways(&set.algorithms(&key.thumbprint())).map_err(|alg| {
            let why = format!("the key is published for `{alg}`, which Quell does not sign with, so no canary can show that it is dead: take it out of the set by hand, and ask every verifier by a token of your own");
            self.failed("signing a canary", ConnectErrorKind::Denied, why)
        })
    }

    /// What a key is to be published for: what it says itself, what the inventory says, or what the one before it was published for.
    fn published_for(&self, set: &Set, key: &Key) -> Option<Algorithm> {
        let fits = |it: &Algorithm| key.takes(*it);
        let said = key.said().and_then(Algorithm::named).or(self.algorithm).filter(fits);
        let public = key.public();
        let kty = public.members().get("kty").and_then(Value::as_str).unwrap_or_default();
        said.or_else(|| match set.predecessor(kty) {
            None => Some(key.algorithm),
            Some(before) => {
                let before = before.algorithm?;
                Some(Algorithm::named(before).filter(fits).unwrap_or(key.algorithm))
            }
        })
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.look_installed(&self.key(new)?).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => {
                self.look_disabled(&self.key(old)?).await
            }
        }
    }

    async fn look_installed(&self, key: &Key) -> Result<Outcome, ConnectError> {
        if !self.published().await?.set.holds(&key.thumbprint()) {
            return Ok(Outcome::retry("the set does not have the key"));
        }
        let tried = self.tried(key).await?;
        Ok(tried.answers.installed(tried.evidence()))
    }

    async fn look_disabled(&self, key: &Key) -> Result<Outcome, ConnectError> {
        let tried = self.tried(key).await?;
        let Tried { published, answers, names } = &tried;
        if published.set.holds(&key.thumbprint()) {
            return Ok(not_yet(
                format!("the set still has the key ({})", names.join(", ")),
                tried.evidence(),
            ));
        }
        let why = if published.set.was_dropped(&key.thumbprint()) {
            "the set does not have it any more, but the copy that is kept there has; give it a `refresh`, or a `settle` as long as it keeps one"
        } else {
            "the set does not have it, so it is there from elsewhere, a pinned key or another set; take it out there"
        };
        Ok(answers.disabled(why, tried.evidence()))
    }

    /// Shows canaries of a key to every verifier, under every name that it has or had.
    async fn tried(&self, key: &Key) -> Result<Tried, ConnectError> {
        let published = self.published().await?;
        let thumbprint = key.thumbprint();
        let ways = self.ways(&published.set, key)?;
        let mut names = published.set.names(&thumbprint);
        names.extend(key.kid().map(str::to_owned));
        // A verifier may take the key by no name: then what is said to a token without one counts as any answer.
        let nameless = names.is_empty() || published.set.is_nameless(&thumbprint);
        if names.is_empty() {
            names.insert(thumbprint);
        }
        let names: Vec<String> = names.into_iter().collect();
        let now = wall_clock();
        let answers = Answers::of(&self.context, &self.doors, |form| {
            let (mut named, mut bare) = (Vec::new(), Vec::new());
            for way in &ways {
                for name in &names {
                    named.push(form.signed((key, *way), Some(name), now)?);
                }
                bare.push(form.signed((key, *way), None, now)?);
            }
            if nameless {
                named.append(&mut bare);
            }
            Ok(Canaries { named, nameless: bare })
        });
        let answers = answers.await;
        Ok(Tried { published, answers, names })
    }

    /// One that is in the set must be taken by all; one that is not must be refused by all.
    pub(super) async fn try_key(&self, key: &Key) -> Result<Probe, ConnectError> {
        let tried = self.tried(key).await?;
        let current = tried.published.set.holds(&key.thumbprint());
        Ok(tried.answers.probe(current, &self.doors, tried.evidence()))
    }

    /// What verifiers say of a key that is published; nothing for one that is not.
    pub(super) async fn say_current(&self, key: &Key) -> Result<Option<Answers>, ConnectError> {
        let tried = self.tried(key).await?;
        Ok(tried.published.set.holds(&key.thumbprint()).then_some(tried.answers))
    }

    /// How many verifiers take the key.
    pub(super) async fn takers(&self, key: &Key) -> Result<u64, ConnectError> {
        const WHAT: &str = "asking who takes the key";
        let Tried { published, answers, .. } = self.tried(key).await?;
        if !knows_a_name(&published.set, key) {
            let why = "under which name (kid) verifiers know the key is not known, so their refusal may be for its name alone";
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, why));
        }
        match answers.unclear() {
            Some(why) => Err(self.failed(WHAT, ConnectErrorKind::Lost, why)),
            None => Ok(answers.accepted().len() as u64),
        }
    }

    /// A key that the set never had signs for somebody else.
    pub(super) async fn is_elsewhere(&self, credential: &Credential) -> Option<String> {
        let key = self.key(credential).ok()?;
        let set = match self.published().await {
            Ok(published) => published.set,
            Err(error) => return Some(format!("whether the set had its public key is not known: {error}")),
        };
        let thumbprint = key.thumbprint();
        (!set.holds(&thumbprint) && !set.was_dropped(&thumbprint))
            .then(|| format!("its public key ({thumbprint}) is not in the set, and Quell did not take it out: it signs for somebody else"))
    }
}

/// Why a place without a set is a mistake: a kill there would change nothing, and all verifiers might read another.
pub(super) const NO_SET: &str = "there is none: correct `publish`, which must be the set that verifiers read";

/// A name that the value says, or that the set has or had for it. Those that Quell made are called as they are published.
fn knows_a_name(set: &Set, key: &Key) -> bool {
    key.kid().is_some() || set.holds(&key.thumbprint()) || set.was_dropped(&key.thumbprint())
}
