//! The issuer of `AppRole` secret ids: destroy by accessor, end the tokens that logins gave, register a successor.
//!
//! The value is a secret id; the role id is no secret and is asked for. Quell chooses the successor itself and registers
//! it (`custom-secret-id`), so that it is sealed before the call and a lost answer is found by the value. It carries
//! `metadata.quell = TAG`: a login copies that into its token, and so the tokens of a good secret id can be told from
//! those of the leaked one after that one is gone. Sources: see `role.rs`.

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{Bao, Session, checked_path};
use super::reach::{self, Bearer};
use super::role::{Login, REFUSAL, Role, SecretId, Tokens, end_token, unlock_path};
use crate::connector::{Check, Issuer, IssuerOp, Opens, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

/// `{ approle: { mount: approle, role: orders, … } }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default = "approle")]
    mount: String,
    role: String,
    /// Destroys the secret id when its value is not at hand.
    accessor: Option<String>,
    /// Of the successor; the role's own without it.
    ttl: Option<String>,
    /// Addresses that the successor is bound to, beside those of the role.
    #[serde(default)]
    cidrs: Vec<String>,
    /// A secret id known to be good, for proofs before a successor exists.
    control: Option<Control>,
    /// How long a change takes to bind on all nodes.
    settle: Option<SignedDuration>,
}

/// Another role of the same mount.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Control {
    role: String,
    secret_id: SecretSource,
}

#[derive(Debug)]
struct ApproleIssuer {
    ctx: Context,
    bao: Bao,
    role: Role,
    config: Config,
    settle_ms: u64,
}

const UNNAMED: &str = "secret id without an accessor in the inventory";
const FINDING: &str = "finding the secret id";

fn approle() -> String {
    "approle".to_owned()
}

/// The policies that a login of the role gets.
pub(super) async fn bearer(session: &Session<'_>, config: Config) -> Result<Bearer, ConnectError> {
    Role { mount: config.mount, name: config.role }.bearer(session).await
}

pub(super) fn build(config: Config, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let mount = config.mount.strip_prefix("auth/").unwrap_or(&config.mount);
    let role = Role { mount: checked_path("mount", mount)?, name: checked_name("role", &config.role)? };
    if let Some(control) = &config.control {
        let name = checked_name("control.role", &control.role)?;
        if name.eq_ignore_ascii_case(&role.name) {
            let hint = "make a role without policies for it, and a secret id of that role";
            return Err(ConfigError::at("control", "the control is a secret id of the role itself", hint));
        }
    }
    // A standby that answers reads may lag behind the active node for a moment.
    let settle_ms = ConfigError::settle_ms(config.settle, 1000)?;
    Ok(Box::new(ApproleIssuer { ctx: ctx.clone(), bao: Bao::open(ctx)?, role, config, settle_ms }))
}

fn checked_name(key: &str, name: &str) -> Result<String, ConfigError> {
    let name = checked_path(key, name)?;
    if name.contains('/') {
        return Err(ConfigError::at(key, "not the name of a role", "use the name alone, such as orders"));
    }
    Ok(name)
}

impl ApproleIssuer {
    /// The secret id that is meant, or `None` when it is gone. The value decides; the accessor is for when no value is at
    /// hand, because after a rotation it is the one before.
    async fn find(&self, session: &Session<'_>, old: &Credential) -> Result<Option<SecretId>, ConnectError> {
        if !old.value.is_empty() {
            return self.role.by_value(session, &old.value).await;
        }
        if old.principal == UNNAMED {
            let words = "neither a value nor an accessor is known; put the accessor into the inventory";
            return Err(self.bao.error(FINDING, ConnectErrorKind::Denied, words));
        }
        self.role.by_accessor(session, &old.principal).await
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let session = self.bao.login().await?;
        let Some(found) = self.find(&session, old).await? else {
            return Ok(gone(None));
        };
        self.role.destroy(&session, &found.accessor).await?;
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        Ok(match self.observe_disable(&session, old).await {
            Ok(seen) if seen.is_applied() => gone(Some(&found.accessor)),
            Ok(seen) => seen,
            Err(error) => error.unseen(),
        })
    }

    async fn observe_disable(
        &self,
        session: &Session<'_>,
        old: &Credential,
    ) -> Result<Outcome, ConnectError> {
        Ok(match self.find(session, old).await? {
            None => gone(None),
            Some(found) => Outcome::retry(format!("the secret id with accessor {} is good", found.accessor)),
        })
    }

    async fn install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "registering the secret id";
        let session = self.bao.login().await?;
        let seen = self.observe_install(&session, new).await?;
        if seen.is_applied() {
            return Ok(seen);
        }
        let Some(text) = new.value.expose_text().filter(|text| !text.is_empty()) else {
            return Ok(Outcome::refused("there is no value to register; choose again"));
        };
        // The metadata travels as JSON inside of JSON.
        let metadata = json!({ "quell": new.principal }).to_string();
        let mut body = json!({ "secret_id": text, "metadata": metadata });
        if let Some(body) = body.as_object_mut() {
            if let Some(ttl) = &self.config.ttl {
                body.insert("ttl".to_owned(), json!(ttl));
            }
            if !self.config.cidrs.is_empty() {
                body.insert("cidr_list".to_owned(), json!(self.config.cidrs));
            }
        }
        let made = self.role.register(&session, WHAT, body).await?;
        Ok(Outcome::applied([("accessor", json!(made.accessor)), ("ttl_seconds", made.ttl_seconds)]))
    }

    async fn observe_install(
        &self,
        session: &Session<'_>,
        new: &Credential,
    ) -> Result<Outcome, ConnectError> {
        if new.value.is_empty() {
            return Ok(Outcome::refused("no value was chosen"));
        }
        Ok(match self.role.by_value(session, &new.value).await? {
            Some(found) => Outcome::applied([("accessor", json!(found.accessor))]),
            None => Outcome::retry("the role does not know the secret id"),
        })
    }

    /// Tokens of this role that no good secret id accounts for.
    async fn strangers(&self, session: &Session<'_>, old: &Credential) -> Result<Tokens, ConnectError> {
        if self.role.gives_batch_tokens(session).await? {
            let words = "logins of this role give batch tokens, which nobody can list or revoke: they live until their TTL \
                         ends; set token_type of the role to `service`, and wait for the last of them";
            return Err(self.bao.error("counting tokens", ConnectErrorKind::Denied, words));
        }
        let known = self.find(session, old).await?;
        let tags = self.role.tags_but(session, known.as_ref().map(|known| known.accessor.as_str())).await?;
        self.role.tokens(session, &tags).await
    }

    async fn sever(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let session = self.bao.login().await?;
        let tokens = self.strangers(&session, old).await?;
        for accessor in &tokens.doomed {
            end_token(&session, accessor).await?;
        }
        let left = match self.strangers(&session, old).await {
            Ok(left) => left,
            Err(error) if tokens.doomed.is_empty() => return Err(error),
            Err(error) => return Ok(error.unseen()),
        };
        let facts = effect::facts([
            ("ended", json!(tokens.doomed.len())),
            ("accessors", json!(tokens.doomed)),
            ("spared", json!(left.spared)),
        ]);
        Ok(effect::severed(count(&left), facts))
    }

    async fn observe_sever(&self, session: &Session<'_>, old: &Credential) -> Result<Outcome, ConnectError> {
        let left = self.strangers(session, old).await?;
        let facts = effect::facts([("spared", json!(left.spared))]);
        Ok(effect::severed(count(&left), facts))
    }

    async fn try_login(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let session = self.bao.login().await?;
        let known = self.role.by_value(&session, value).await?;
        if let Some(uses) = known.as_ref().and_then(|known| known.uses_left) {
            return Ok(Probe::Inconclusive {
                reason: format!("it is good for {uses} more logins, and a try would use up one of them"),
            });
        }
        let role_id = self.role.role_id(&session).await?;
        self.answer(&session, &self.role, &role_id, value, known.is_some()).await
    }

    async fn answer(
        &self,
        session: &Session<'_>,
        role: &Role,
        role_id: &str,
        value: &SecretValue,
        known: bool,
    ) -> Result<Probe, ConnectError> {
        Ok(match role.login(session, role_id, value).await? {
            Login::Accepted { left: None } => {
                Probe::Accepted { facts: effect::facts([("role", json!(role.name))]) }
            }
            Login::Accepted { left: Some(token) } => Probe::Accepted {
                facts: effect::facts([("role", json!(role.name)), ("token_left", json!(token))]),
            },
            Login::Unclear(reason) => Probe::Inconclusive { reason },
            Login::Refused => {
                let forgotten = role.forget_refusal(session, role_id).await;
                if known {
                    let reason = "the login refuses a secret id that the role says is good".to_owned();
                    return Ok(Probe::Inconclusive { reason });
                }
                let message = match forgotten {
                    Ok(()) => REFUSAL.to_owned(),
                    Err(error) => {
                        format!("{REFUSAL}; it counts towards a lockout of the role: {}", error.detail)
                    }
                };
                Probe::Refused { code: REFUSAL.to_owned(), message }
            }
        })
    }

    async fn try_control(&self, control: &Control) -> Result<Probe, ConnectError> {
        let session = self.bao.login().await?;
        let role = Role { mount: self.role.mount.clone(), name: control.role.clone() };
        let value = control.secret_id.resolve(&self.ctx).await?;
        let role_id = role.role_id(&session).await?;
        self.answer(&session, &role, &role_id, &value, false).await
    }

    /// What the mount and the role themselves must be like.
    async fn check_role(&self, session: &Session<'_>, checks: &mut Vec<Check>) {
        let mut push = |what: String, ok, detail: String| checks.push(Check { what, ok, detail });
        let what = format!("logins of `{}` need a secret id", self.role.name);
        match self.role.read(session).await {
            Ok(role) if role.pointer("/data/bind_secret_id") == Some(&json!(false)) => {
                push(what, false, "the role id alone logs in: set bind_secret_id".to_owned());
            }
            Ok(_) => push(what, true, "bind_secret_id".to_owned()),
            Err(error) => push(what, false, error.detail),
        }
        let what = "tokens of logins can be listed and revoked".to_owned();
        match self.role.gives_batch_tokens(session).await {
            Ok(false) => push(what, true, "service tokens".to_owned()),
            Ok(true) => {
                push(what, false, "batch tokens: set token_type of the role to `service`".to_owned());
            }
            Err(error) => push(what, false, error.detail),
        }
    }

    /// Which capability is needed on which path.
    async fn needs(&self, session: &Session<'_>) -> Vec<(String, &'static [&'static str])> {
        let at = |rest: &str| format!("{}/{rest}", self.role.path());
        let update = &["update"][..];
        let mut needs = vec![
            (self.role.path(), &["read"][..]),
            (at("role-id"), &["read"]),
            // A list is checked against the path with a slash at its end.
            (at("secret-id/"), &["list"]),
            (at("secret-id/lookup"), update),
            (at("secret-id-accessor/lookup"), update),
            (at("secret-id-accessor/destroy"), update),
            (at("custom-secret-id"), update),
            ("auth/token/accessors/".to_owned(), &["list", "sudo"]),
            ("auth/token/lookup-accessor".to_owned(), update),
            ("auth/token/revoke-accessor".to_owned(), update),
        ];
        if let Some(control) = &self.config.control {
            needs.push((format!("auth/{}/role/{}/role-id", self.role.mount, control.role), &["read"]));
        }
        if let (Ok(mount), Ok(role_id)) = (self.role.mount(session).await, self.role.role_id(session).await)
            && mount.locks_out
        {
            needs.push((unlock_path(&mount, &role_id), update));
        }
        needs
    }
}

fn count(tokens: &Tokens) -> u64 {
    u64::try_from(tokens.doomed.len()).unwrap_or(u64::MAX)
}

fn gone(accessor: Option<&str>) -> Outcome {
    Outcome::applied([("accessor", json!(accessor)), ("good", json!(false))])
}

#[async_trait]
impl Issuer for ApproleIssuer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REFUSAL.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} {}", self.bao.name(), self.role.path())
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.bao.server(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        let mount = self.role.mount(&session).await;
        checks.push(Check {
            what: format!("`auth/{}` is an AppRole auth method", self.role.mount),
            ok: mount.is_ok(),
            detail: mount.map_or_else(|error| error.detail, |_mount| "AppRole".to_owned()),
        });
        self.check_role(&session, &mut checks).await;
        let needs = self.needs(&session).await;
        super::check_capabilities(&session, &needs, &mut checks).await;
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let name = &self.role.name;
        let mut warnings = vec![
            format!(
                "every token of `{name}` ends that does not come from a secret id which Quell made and which is good: \
                 whoever logged in with another secret id of the role must log in again"
            ),
            "orphan tokens that were created with a token of the role, and secret ids that it made, live on: look for \
             auth/token/create-orphan and secret-id in the audit log"
                .to_owned(),
        ];
        if self.config.control.is_none() {
            warnings.push(
                "without a `control` nothing can be proven before a successor exists, so kill-first stops after the kill"
                    .to_owned(),
            );
        }
        let Ok(session) = self.bao.login().await else { return warnings };
        if self.role.mount(&session).await.is_ok_and(|mount| mount.locks_out) {
            warnings.push(format!(
                "consumers that go on with a dead secret id lock `{name}` for all of its consumers: after five refused \
                 logins the server refuses good ones for 15 minutes, too"
            ));
        }
        let Some(value) = current else { return warnings };
        if let Ok(Some(known)) = self.role.by_value(&session, value).await {
            if let Some(uses) = known.uses_left {
                warnings.push(format!(
                    "the secret id is good for {uses} more logins; it is not tried while it lives, because that uses it up"
                ));
            }
            let lost: Vec<_> =
                known.cidrs.iter().filter(|cidr| !self.config.cidrs.contains(*cidr)).cloned().collect();
            if !lost.is_empty() {
                warnings.push(format!(
                    "the secret id in use is bound to {}, its successor would not be: name them in `cidrs`",
                    lost.join(", ")
                ));
            }
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let principal = self.config.accessor.clone().unwrap_or_else(|| UNNAMED.to_owned());
        Ok(Credential { principal, value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let denied = |words: &str| self.bao.error("choosing a secret id", ConnectErrorKind::Denied, words);
        let value = crate::password::random().map_err(denied)?;
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::new(value.as_bytes().to_vec()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await,
            IssuerOp::Sever { old, .. } => self.sever(old).await,
        };
        done.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let session = match self.bao.login().await {
            Ok(session) => session,
            Err(error) => return error.unseen().into(),
        };
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(&session, new).await,
            IssuerOp::Disable { old } => self.observe_disable(&session, old).await,
            IssuerOp::Sever { old, .. } => self.observe_sever(&session, old).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        if credential.value.is_empty() {
            return Probe::Inconclusive { reason: "there is no value to try".to_owned() };
        }
        let tried = self.try_login(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        let Some(control) = &self.config.control else {
            let reason = "no `control` is configured: a secret id of another role of the mount".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = self.try_control(control).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.config.control.is_some()
    }

    /// Tokens that logins gave, but for those of secret ids that are good and that Quell made.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let session = self.bao.login().await?;
        Ok(count(&self.strangers(&session, old).await?))
    }

    fn knows_what_it_opens(&self) -> bool {
        true
    }

    /// Every secret id of a role opens the same.
    async fn opens(&self, _old: &Credential, places: &[Place]) -> Result<Opens, ConnectError> {
        let session = self.bao.login().await?;
        let bearer = self.role.bearer(&session).await?;
        reach::opens(&session, &bearer, places).await
    }
}

/// Schema of [`Config`].
pub(super) fn schema(path: impl Fn(&str) -> serde_json::Value) -> serde_json::Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["role"],
        "properties": {
            "mount": path("The mount of the auth method, without `auth/`: approle (the default)"),
            "role": path("The role whose secret id it is: orders"),
            "accessor": path("The secret id's accessor: destroys it when its value is not at hand"),
            "ttl": path("Life of a successor: 720h; without it the role's own"),
            "cidrs": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "description": "Addresses that a successor is bound to, beside those of the role",
            },
            "control": {
                "type": "object",
                "additionalProperties": false,
                "required": ["role", "secret_id"],
                "properties": {
                    "role": path("Another role of the mount, without policies: quell-control"),
                    "secret_id": path("A reference to a secret id of it: file:/run/quell/control-secret-id"),
                },
                "description": "Known to be good: proves a refusal before a successor exists",
            },
            "settle": path("How long a change takes to bind on all nodes: 1s (the default)"),
        },
    })
}
