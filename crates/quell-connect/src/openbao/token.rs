//! The token issuer: revoke by accessor, with children and leases; mint with a tag.
//!
//! Sources: openbao.org/api-docs/auth/token, and 2.7.2 itself (2026-11): `revoke-accessor` of an unknown accessor is
//! 200 with a warning, `lookup-accessor` of one is 400 `invalid accessor`.
//!
//! `auth/token/create` shows the token once and cannot be repeated. So each token carries `meta.quell = TAG`, where
//! the tag is chosen and recorded before the call. When the answer is lost, `observe` finds the tag and says that a
//! token without a holder exists; the next `perform` revokes it before it mints. Never are two left.

use async_trait::async_trait;
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session};
use super::reach::{self, Bearer};
use crate::connector::{Check, Issuer, IssuerOp, Opens, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// `{ token: { accessor: …, policies: […], ttl: 1h, orphan: false } }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Revokes the token when its value is not at hand.
    accessor: Option<String>,
    /// Of the successor; without any, nothing can be minted.
    #[serde(default)]
    policies: Vec<String>,
    ttl: Option<String>,
    /// The successor outlives Quell's own token.
    #[serde(default)]
    orphan: bool,
}

#[derive(Debug)]
struct TokenIssuer {
    bao: Bao,
    config: Config,
}

/// What the server says about a token that is shown to it.
enum Look {
    Alive {
        accessor: String,
    },
    /// Known to the server, but not allowed to look itself up (it lacks the `default` policy).
    Limited,
    Dead,
}

/// Which token an operation is about.
enum Whose {
    Accessor(String),
    Gone,
}

const UNNAMED: &str = "token without an accessor in the inventory";
const REVOKING: &str = "revoking the token";
const LOOKING: &str = "looking up the token";

pub(super) fn build(config: Config, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let accessor = config.accessor.as_deref();
    if accessor.is_some_and(|text| text.is_empty() || text.contains('.')) {
        let hint = "an accessor has no dot; `s.…` is a token and does not belong into the inventory";
        return Err(ConfigError::at("accessor", "not an accessor", hint));
    }
    if config.policies.iter().any(|policy| policy == "root") {
        let hint = "name the policies that the successor needs";
        return Err(ConfigError::at("policies", "a root token is never minted", hint));
    }
    Ok(Box::new(TokenIssuer { bao: Bao::open(ctx)?, config }))
}

/// The policies of a token.
pub(super) async fn bearer(
    bao: &Bao,
    config: Config,
    session: &Session<'_>,
    value: &SecretValue,
) -> Result<Bearer, ConnectError> {
    let issuer = TokenIssuer { bao: bao.clone(), config };
    let old = issuer.identify(value)?;
    issuer.bearer(session, &old).await
}

impl TokenIssuer {
    async fn look(&self, token: &SecretValue) -> Result<Look, ConnectError> {
        let session = self.bao.login_as(token);
        let ask = Ask::get(LOOKING, "auth/token/lookup-self");
        let reply = session.send(&ask).await?;
        if reply.status == 200 {
            let accessor = reply.body.pointer("/data/accessor").and_then(Value::as_str);
            let words = "the answer names no accessor";
            let none = || self.bao.error(LOOKING, ConnectErrorKind::Unexpected, words);
            return Ok(Look::Alive { accessor: accessor.ok_or_else(none)?.to_owned() });
        }
        match reply.status {
            403 if reply.bad_token() => Ok(Look::Dead),
            403 => Ok(Look::Limited),
            _ => Err(session.failure(&ask, &reply)),
        }
    }

    /// The value decides; the accessor of the inventory is used when no value is at hand, because after a
    /// rotation it is the one before.
    async fn whose(&self, session: &Session<'_>, old: &Credential) -> Result<Whose, ConnectError> {
        let refused = |words: &str| Err(self.bao.error(REVOKING, ConnectErrorKind::Denied, words));
        let accessor = if old.value.is_empty() {
            if old.principal == UNNAMED {
                return refused(
                    "neither a value nor an accessor is known; put the accessor into the inventory",
                );
            }
            old.principal.clone()
        } else {
            match self.look(&old.value).await? {
                Look::Dead => return Ok(Whose::Gone),
                Look::Alive { accessor } => accessor,
                Look::Limited => {
                    let Some(text) = old.value.expose_text() else {
                        return refused("the value is not a token");
                    };
                    let ask = Ask::post(LOOKING, "auth/token/lookup", json!({ "token": text }));
                    let answer = session.ok(&ask).await?;
                    let accessor = answer.pointer("/data/accessor").and_then(Value::as_str);
                    accessor.unwrap_or_default().to_owned()
                }
            }
        };
        if accessor.is_empty() {
            return refused("a batch token cannot be revoked; it ends with its parent or its TTL");
        }
        Ok(Whose::Accessor(accessor))
    }

    /// What the server knows of a token, by its value or its accessor.
    async fn facts(&self, session: &Session<'_>, old: &Credential) -> Result<Value, ConnectError> {
        let gone = || {
            let words = "the token is gone, so its policies cannot be asked for";
            self.bao.error(LOOKING, ConnectErrorKind::Missing, words)
        };
        if old.value.is_empty() {
            return match self.whose(session, old).await? {
                Whose::Accessor(accessor) => session.facts_of(LOOKING, &accessor).await?.ok_or_else(gone),
                Whose::Gone => Err(gone()),
            };
        }
        let own = self.bao.login_as(&old.value);
        let ask = Ask::get(LOOKING, "auth/token/lookup-self");
        let reply = own.send(&ask).await?;
        match reply.status {
            200 => Ok(reply.body),
            403 if reply.bad_token() => Err(gone()),
            403 => {
                let token = old.value.expose_text().unwrap_or_default();
                session.ok(&Ask::post(LOOKING, "auth/token/lookup", json!({ "token": token }))).await
            }
            _ => Err(own.failure(&ask, &reply)),
        }
    }

    /// The policies of a token; those of its entity, too.
    async fn bearer(&self, session: &Session<'_>, old: &Credential) -> Result<Bearer, ConnectError> {
        let facts = self.facts(session, old).await?;
        let mut bearer = Bearer::default();
        for pointer in ["/data/policies", "/data/identity_policies"] {
            let list = facts.pointer(pointer).and_then(Value::as_array);
            bearer.policies.extend(list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        let elsewhere = facts.pointer("/data/external_namespace_policies").and_then(Value::as_object);
        for namespace in elsewhere.into_iter().flat_map(|map| map.keys()) {
            bearer
                .unknown
                .push(format!("it has policies in the namespace `{namespace}`, which were not read"));
        }
        let accessor = facts.pointer("/data/accessor").and_then(Value::as_str);
        bearer.accessor = accessor.filter(|accessor| !accessor.is_empty()).map(str::to_owned);
        Ok(bearer)
    }

    async fn revoke(&self, session: &Session<'_>, accessor: &str) -> Result<(), ConnectError> {
        let body = json!({ "accessor": accessor });
        match session.ok(&Ask::post(REVOKING, "auth/token/revoke-accessor", body)).await {
            Err(error) if error.kind != ConnectErrorKind::Missing => Err(error),
            _ => Ok(()),
        }
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let session = self.bao.login().await?;
        let Whose::Accessor(accessor) = self.whose(&session, old).await? else {
            return Ok(gone(None));
        };
        self.revoke(&session, &accessor).await?;
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        Ok(match self.observe_disable(&session, old).await {
            Ok(Outcome::Applied { mut facts }) => {
                // A value was let in just before; an accessor alone says nothing about one.
                if !old.value.is_empty() {
                    facts.insert("already".to_owned(), json!(false));
                }
                Outcome::Applied { facts }
            }
            Ok(seen) => seen,
            Err(error) => error.unseen(),
        })
    }

    async fn observe_disable(
        &self,
        session: &Session<'_>,
        old: &Credential,
    ) -> Result<Outcome, ConnectError> {
        let Whose::Accessor(accessor) = self.whose(session, old).await? else {
            return Ok(gone(None));
        };
        Ok(match session.facts_of(LOOKING, &accessor).await? {
            None => gone(Some(&accessor)),
            Some(_) => Outcome::retry(format!("the token with accessor {accessor} is alive")),
        })
    }

    /// Tokens that carry the tag.
    async fn tagged(&self, session: &Session<'_>, tag: &str) -> Result<Vec<String>, ConnectError> {
        const WHAT: &str = "looking for the tag among the tokens";
        let answer = session.ok(&Ask::list(WHAT, "auth/token/accessors").needs("list, sudo")).await?;
        let keys = answer.pointer("/data/keys").and_then(Value::as_array);
        let mut found = Vec::new();
        for accessor in keys.into_iter().flatten().filter_map(Value::as_str) {
            // One that ended since the list was made is `None`.
            let facts = session.facts_of(LOOKING, accessor).await?.unwrap_or_default();
            if facts.pointer("/data/meta/quell").and_then(Value::as_str) == Some(tag) {
                found.push(accessor.to_owned());
            }
        }
        Ok(found)
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        const WHAT: &str = "creating the token";
        if self.config.policies.is_empty() {
            let words = "no policies are configured for a successor, so none can be minted";
            return Ok(Outcome::refused(words).into());
        }
        let session = self.bao.login().await?;
        if !new.value.is_empty() {
            return self.observe_install(&session, new).await.map(Performed::from);
        }
        let strangers = self.tagged(&session, &new.principal).await?;
        for accessor in &strangers {
            self.revoke(&session, accessor).await?;
        }
        let mut body = json!({
            "policies": self.config.policies,
            "meta": { "quell": new.principal },
            "display_name": "quell",
        });
        if let (Some(ttl), Some(body)) = (&self.config.ttl, body.as_object_mut()) {
            body.insert("ttl".to_owned(), json!(ttl));
        }
        let path = if self.config.orphan { "auth/token/create-orphan" } else { "auth/token/create" };
        let answer = session.ok(&Ask::post(WHAT, path, body)).await?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let (Some(token), Some(accessor)) = (text("/auth/client_token"), text("/auth/accessor")) else {
            return Err(self.bao.error(WHAT, ConnectErrorKind::Unexpected, "the answer carries no token"));
        };
        let outcome = Outcome::applied([
            ("accessor", json!(accessor)),
            ("ttl_seconds", answer.pointer("/auth/lease_duration").cloned().unwrap_or_default()),
            ("policies", answer.pointer("/auth/policies").cloned().unwrap_or_default()),
            ("strangers_revoked", json!(strangers)),
        ]);
        let value = SecretValue::from_text(token.to_owned());
        Ok(Performed { outcome, minted: Some(Credential { principal: accessor.to_owned(), value }) })
    }

    async fn observe_install(
        &self,
        session: &Session<'_>,
        new: &Credential,
    ) -> Result<Outcome, ConnectError> {
        if !new.value.is_empty() {
            return Ok(match self.look(&new.value).await? {
                Look::Alive { accessor } => Outcome::applied([("accessor", json!(accessor))]),
                Look::Limited => Outcome::applied([("accessor", json!(new.principal))]),
                Look::Dead => Outcome::refused("the token was revoked or has expired; choose again"),
            });
        }
        let strangers = self.tagged(session, &new.principal).await?;
        Ok(if strangers.is_empty() {
            Outcome::retry("no token carries the tag")
        } else {
            let list = strangers.join(", ");
            Outcome::retry(format!(
                "a token with the tag exists but its value was lost with the answer (accessor {list}); \
                 the next attempt revokes it first"
            ))
        })
    }
}

fn gone(accessor: Option<&str>) -> Outcome {
    // Children and leases end with the token (openbao.org/docs/concepts/tokens).
    Outcome::applied([("accessor", json!(accessor)), ("alive", json!(false))])
}

#[async_trait]
impl Issuer for TokenIssuer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: false,
            can_disable: true,
            self_revocable: true,
            can_mint: !self.config.policies.is_empty(),
            can_probe: true,
            // A standby that answers reads may lag behind the active node for a moment.
            settle_ms: 1000,
            refusals: vec!["403".to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} tokens", self.bao.name())
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.bao.server(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        let update = &["update"][..];
        let mut needs = vec![
            ("auth/token/lookup-accessor".to_owned(), update),
            ("auth/token/revoke-accessor".to_owned(), update),
        ];
        if !self.config.policies.is_empty() {
            let create = if self.config.orphan { "create-orphan" } else { "create" };
            needs.push((format!("auth/token/{create}"), update));
            // A list is checked against the path with a slash at its end.
            needs.push(("auth/token/accessors/".to_owned(), &["list", "sudo"]));
        }
        super::check_capabilities(&session, &needs, &mut checks).await;
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = vec![
            "orphan tokens that were created with the leaked token live on after it: look for \
             auth/token/create-orphan and no_parent in the audit log"
                .to_owned(),
        ];
        if !self.config.policies.is_empty() && !self.config.orphan {
            warnings.push("the successor is a child of Quell's own token and ends with it".to_owned());
        }
        let Some(value) = current else {
            return warnings;
        };
        if let Ok(session) = self.bao.login().await
            && session.is_token(value)
        {
            warnings.push("this is the token that Quell itself uses: revoking it locks Quell out".to_owned());
        }
        if matches!(self.look(value).await, Ok(Look::Limited)) {
            warnings
                .push("the token may not look itself up, so no probe can show that it is refused".to_owned());
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let principal = self.config.accessor.clone().unwrap_or_else(|| UNNAMED.to_owned());
        Ok(Credential { principal, value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::new(Vec::new()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            // Nothing of its own: a token is its session.
            IssuerOp::Sever { .. } => return self.observe(op).await,
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let session = match self.bao.login().await {
            Ok(session) => session,
            Err(error) => return error.unseen().into(),
        };
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(&session, new).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => {
                self.observe_disable(&session, old).await
            }
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        if credential.value.is_empty() {
            return Probe::Inconclusive { reason: "there is no value to try".to_owned() };
        }
        match self.look(&credential.value).await {
            Ok(Look::Alive { accessor }) => {
                Probe::Accepted { facts: [("accessor".to_owned(), json!(accessor))].into_iter().collect() }
            }
            Ok(Look::Dead) => {
                Probe::Refused { code: "403".to_owned(), message: "permission denied".to_owned() }
            }
            Ok(Look::Limited) => Probe::Inconclusive {
                reason: "the server knows the token, but its policies do not let it look itself up"
                    .to_owned(),
            },
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    async fn control(&self) -> Probe {
        match self.bao.login().await {
            Ok(session) => {
                let value = session.into_token();
                self.probe(&Credential { principal: "Quell's own token".to_owned(), value }).await
            }
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    /// A token is its own session: 1 while it lives, 0 after.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let session = self.bao.login().await?;
        match self.whose(&session, old).await? {
            Whose::Gone => Ok(0),
            Whose::Accessor(accessor) => Ok(u64::from(session.facts_of(LOOKING, &accessor).await?.is_some())),
        }
    }

    fn knows_what_it_opens(&self) -> bool {
        true
    }

    async fn opens(&self, old: &Credential, places: &[Place]) -> Result<Opens, ConnectError> {
        let session = self.bao.login().await?;
        let bearer = self.bearer(&session, old).await?;
        reach::opens(&session, &bearer, places).await
    }
}
