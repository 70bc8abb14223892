//! The calls about one `AppRole`: its secret ids, logins with them, and the tokens that those gave.
//!
//! Sources: openbao.org/api-docs/auth/approle, openbao.org/docs/concepts/user-lockout, and 2.7.2 itself (2026-11-23):
//! * `secret-id/lookup` of a value that it does not know is 204; `secret-id-accessor/lookup` of an unknown accessor is
//!   404 with the words in `data.error`, and `secret-id-accessor/destroy` of one is 500;
//! * a login that is refused for a wrong, expired, used up or destroyed secret id, and for a wrong role id, is 400
//!   `invalid role or secret ID`; one from a wrong address is 400 with other words;
//! * five refused logins in a row lock the *role*: for 15 minutes good secret ids are answered with 403, too. A good login
//!   or `sys/locked-users/…/unlock/…` sets the count to zero;
//! * the token of a login carries the metadata of its secret id beside `role_name`, and nothing else that names it.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::api::{Ask, Reply, Session};
use super::reach::Bearer;
use crate::error::{ConnectError, ConnectErrorKind};

/// What a login says to a secret id that is not good, or not any more.
pub(super) const REFUSAL: &str = "invalid role or secret ID";

/// Look-ups on their way at once: a busy server has a hundred thousand tokens.
const AT_ONCE: usize = 8;

const LOOKING: &str = "looking up the secret id";
const LISTING: &str = "listing the secret ids of the role";
const TOKENS: &str = "looking for tokens of the role";

/// `auth/approle/role/orders`.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) mount: String,
    pub(super) name: String,
}

/// A secret id that the server knows.
#[derive(Clone, Debug)]
pub(super) struct SecretId {
    pub(super) accessor: String,
    /// `quell` of its metadata: each that Quell makes has one of its own.
    pub(super) tag: Option<String>,
    /// How many more logins it is good for; none when there is no limit.
    pub(super) uses_left: Option<u64>,
    /// The addresses that it is bound to by itself.
    pub(super) cidrs: Vec<String>,
}

/// What the mount says about itself.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) accessor: String,
    token_type: String,
    pub(super) locks_out: bool,
}

/// How a login went.
pub(super) enum Login {
    /// It gave a token, which is revoked again. If it could not be, its accessor.
    Accepted { left: Option<String> },
    /// [`REFUSAL`].
    Refused,
    /// Neither.
    Unclear(String),
}

/// Tokens that logins of a role gave, by accessor.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Of a secret id that is good, as its tag tells.
    pub(super) spared: u64,
    /// All others.
    pub(super) doomed: Vec<String>,
}

impl Role {
    pub(super) fn path(&self) -> String {
        format!("auth/{}/role/{}", self.mount, self.name)
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path())
    }

    /// An answer that is not a success, with the role's own words for a role that is not there.
    fn failure(&self, session: &Session<'_>, ask: &Ask<'_>, reply: &Reply) -> ConnectError {
        let absent = reply.says(|text| text.contains("role ") && text.contains("does not exist"));
        if absent {
            let words = format!("there is no role `{}` at `auth/{}`", self.name, self.mount);
            return session.bao().error(ask.what, ConnectErrorKind::Denied, words);
        }
        session.failure(ask, reply)
    }

    async fn ok(&self, session: &Session<'_>, ask: &Ask<'_>) -> Result<Reply, ConnectError> {
        let reply = session.send(ask).await?;
        if (200..300).contains(&reply.status) { Ok(reply) } else { Err(self.failure(session, ask, &reply)) }
    }

    /// The role's own settings.
    pub(super) async fn read(&self, session: &Session<'_>) -> Result<Value, ConnectError> {
        let ask = Ask::get("reading the role", self.path());
        Ok(self.ok(session, &ask).await?.body)
    }

    /// What a login needs beside the secret id. Asked each time: a wrong one would be refused in the same words as a dead
    /// secret id.
    pub(super) async fn role_id(&self, session: &Session<'_>) -> Result<String, ConnectError> {
        const WHAT: &str = "reading the role id";
        let answer = self.ok(session, &Ask::get(WHAT, self.at("role-id"))).await?.body;
        let id = answer.pointer("/data/role_id").and_then(Value::as_str);
        let none =
            || session.bao().error(WHAT, ConnectErrorKind::Unexpected, "the answer carries no role id");
        id.map(str::to_owned).ok_or_else(none)
    }

    pub(super) async fn mount(&self, session: &Session<'_>) -> Result<Mount, ConnectError> {
        const WHAT: &str = "looking at the auth method";
        let path = format!("sys/internal/ui/mounts/auth/{}", self.mount);
        let body = session.ok(&Ask::get(WHAT, path)).await?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/data/type") != "approle" {
            let words = format!("`auth/{}` is no AppRole auth method", self.mount);
            return Err(session.bao().error(WHAT, ConnectErrorKind::Denied, words));
        }
        let disabled = body.pointer("/data/config/user_lockout_config/user_lockout_disable");
        Ok(Mount {
            accessor: text("/data/accessor").to_owned(),
            token_type: text("/data/config/token_type").to_owned(),
            locks_out: disabled.and_then(Value::as_bool) != Some(true),
        })
    }

    /// Logins of this role give tokens that nobody can list or revoke.
    pub(super) async fn gives_batch_tokens(&self, session: &Session<'_>) -> Result<bool, ConnectError> {
        let role = self.read(session).await?;
        let own = role.pointer("/data/token_type").and_then(Value::as_str).unwrap_or_default();
        let mount = self.mount(session).await?;
        // The mount's `batch` and `service` overrule the role; its `default-…` are for roles that say nothing.
        Ok(match (mount.token_type.as_str(), own) {
            ("service", _) => false,
            ("batch", _) | (_, "batch") | ("default-batch", "default" | "") => true,
            (_, _) => false,
        })
    }

    /// What a login of this role may do.
    pub(super) async fn bearer(&self, session: &Session<'_>) -> Result<Bearer, ConnectError> {
        let role = self.read(session).await?;
        let mut bearer = Bearer::default();
        bearer.policies.extend(strings(&role, "/data/token_policies"));
        if role.pointer("/data/token_no_default_policy") != Some(&Value::Bool(true)) {
            bearer.policies.insert("default".to_owned());
        }
        match self.identity(session).await {
            Ok(policies) => bearer.policies.extend(policies),
            Err(error) => bearer.unknown.push(format!(
                "policies that the role's entity or its groups add could not be asked for: {}",
                error.detail
            )),
        }
        Ok(bearer)
    }

    /// Policies of the entity that logins of this role get, and of its groups.
    async fn identity(&self, session: &Session<'_>) -> Result<Vec<String>, ConnectError> {
        const WHAT: &str = "looking up the role's entity";
        let alias = json!({
            "alias_name": self.role_id(session).await?,
            "alias_mount_accessor": self.mount(session).await?.accessor,
        });
        // 204 while nobody has logged in.
        let entity = session.ok(&Ask::post(WHAT, "identity/lookup/entity", alias)).await?;
        let mut policies = strings(&entity, "/data/policies");
        for group in strings(&entity, "/data/group_ids") {
            let ask =
                Ask::get("looking up a group of the role's entity", format!("identity/group/id/{group}"));
            policies.extend(strings(&session.ok(&ask).await?, "/data/policies"));
        }
        Ok(policies)
    }

    /// The secret id of this value, or `None` when the server does not know it.
    pub(super) async fn by_value(
        &self,
        session: &Session<'_>,
        value: &SecretValue,
    ) -> Result<Option<SecretId>, ConnectError> {
        let Some(text) = value.expose_text() else {
            let words = "the value is not text, so it is no secret id";
            return Err(session.bao().error(LOOKING, ConnectErrorKind::Denied, words));
        };
        let ask = Ask::post(LOOKING, self.at("secret-id/lookup"), json!({ "secret_id": text }));
        let reply = self.ok(session, &ask).await?;
        if reply.status == 204 {
            return Ok(None);
        }
        read_secret_id(session, &reply.body).map(Some)
    }

    /// The secret id of this accessor, or `None` when the server does not know it.
    pub(super) async fn by_accessor(
        &self,
        session: &Session<'_>,
        accessor: &str,
    ) -> Result<Option<SecretId>, ConnectError> {
        let body = json!({ "secret_id_accessor": accessor });
        let ask = Ask::post(LOOKING, self.at("secret-id-accessor/lookup"), body);
        let reply = session.send(&ask).await?;
        let told = reply.body.pointer("/data/error").and_then(Value::as_str).unwrap_or_default();
        // A mount that is not there is 404, too.
        if reply.status == 404 && told.contains("failed to find accessor entry") {
            return Ok(None);
        }
        if !(200..300).contains(&reply.status) {
            return Err(self.failure(session, &ask, &reply));
        }
        read_secret_id(session, &reply.body).map(Some)
    }

    pub(super) async fn destroy(&self, session: &Session<'_>, accessor: &str) -> Result<(), ConnectError> {
        let body = json!({ "secret_id_accessor": accessor });
        let ask = Ask::post("destroying the secret id", self.at("secret-id-accessor/destroy"), body);
        self.ok(session, &ask).await.map(|_done| ())
    }

    /// Makes this value a secret id.
    pub(super) async fn register(
        &self,
        session: &Session<'_>,
        what: &'static str,
        body: Value,
    ) -> Result<SecretIdMade, ConnectError> {
        let answer = self.ok(session, &Ask::post(what, self.at("custom-secret-id"), body)).await?.body;
        let accessor = answer.pointer("/data/secret_id_accessor").and_then(Value::as_str);
        let none = || session.bao().error(what, ConnectErrorKind::Unexpected, "the answer names no accessor");
        Ok(SecretIdMade {
            accessor: accessor.ok_or_else(none)?.to_owned(),
            ttl_seconds: answer.pointer("/data/secret_id_ttl").cloned().unwrap_or_default(),
        })
    }

    /// The tags of all secret ids that are good, but not of the one with this accessor.
    pub(super) async fn tags_but(
        &self,
        session: &Session<'_>,
        accessor: Option<&str>,
    ) -> Result<BTreeSet<String>, ConnectError> {
        let ask = Ask::list(LISTING, self.at("secret-id"));
        let reply = session.send(&ask).await?;
        // 404 without a word is an empty list; a role or a mount that is not there has words.
        let empty = reply.status == 404 && !reply.says(|_| true);
        let keys = match reply.status {
            _ if empty => Vec::new(),
            200..300 => strings(&reply.body, "/data/keys"),
            _ => return Err(self.failure(session, &ask, &reply)),
        };
        let mut tags = BTreeSet::new();
        for key in keys.iter().filter(|key| Some(key.as_str()) != accessor) {
            // One that ended since the list was made is `None`.
            tags.extend(self.by_accessor(session, key).await?.and_then(|known| known.tag));
        }
        Ok(tags)
    }

    /// Tokens that logins of this role gave. Those of a secret id with one of these tags are spared.
    pub(super) async fn tokens(
        &self,
        session: &Session<'_>,
        tags: &BTreeSet<String>,
    ) -> Result<Tokens, ConnectError> {
        let ask = Ask::list(TOKENS, "auth/token/accessors").needs("list, sudo");
        let accessors = strings(&session.ok(&ask).await?, "/data/keys");
        let login = format!("auth/{}/login", self.mount);
        let looks = accessors.into_iter().map(|accessor| token_facts(session, accessor));
        let mut looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut tokens = Tokens::default();
        while let Some(look) = looks.next().await {
            let Some((accessor, facts)) = look? else { continue };
            let text = |pointer: &str| facts.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            // The server keeps names of roles in small letters.
            let ours =
                text("/data/path") == login && text("/data/meta/role_name").eq_ignore_ascii_case(&self.name);
            if ours && tags.contains(text("/data/meta/quell")) {
                tokens.spared += 1;
            } else if ours {
                tokens.doomed.push(accessor);
            }
        }
        tokens.doomed.sort();
        Ok(tokens)
    }

    /// Logs in, as the bearer would: without a token of our own.
    pub(super) async fn login(
        &self,
        session: &Session<'_>,
        role_id: &str,
        value: &SecretValue,
    ) -> Result<Login, ConnectError> {
        let Some(text) = value.expose_text() else {
            return Ok(Login::Unclear("the value is not text, so it is no secret id".to_owned()));
        };
        let nobody = session.bao().login_as(&SecretValue::new(Vec::new()));
        let body = json!({ "role_id": role_id, "secret_id": text });
        let ask = Ask::post("logging in with the secret id", format!("auth/{}/login", self.mount), body);
        let reply = nobody.send(&ask).await?;
        if reply.status == 400 && reply.says(|text| text == REFUSAL) {
            return Ok(Login::Refused);
        }
        if reply.status == 403 {
            return Ok(Login::Unclear(format!(
                "the login was answered with 403: after five refused logins the role is locked for 15 minutes, for good \
                 secret ids too (consumers that go on with a dead one do that; `sys/locked-users` lists it, \
                 `sys/locked-users/ACCESSOR/unlock/ROLE_ID` ends it), or there is no `auth/{}`",
                self.mount
            )));
        }
        if !(200..300).contains(&reply.status) {
            return Ok(Login::Unclear(nobody.failure(&ask, &reply).to_string()));
        }
        let field = |name: &str| reply.body.pointer(&format!("/auth/{name}")).and_then(Value::as_str);
        let Some(token) = field("client_token").filter(|token| !token.is_empty()) else {
            return Ok(Login::Unclear(
                "the login gave no token; does it ask for a second factor?".to_owned(),
            ));
        };
        let token = SecretValue::from_text(token.to_owned());
        let accessor = field("accessor").unwrap_or_default().to_owned();
        Ok(Login::Accepted { left: self.drop_token(session, &token, accessor).await })
    }

    /// Ends the token of a probe; if that cannot be, its accessor. By itself first, which the `default` policy allows.
    async fn drop_token(
        &self,
        session: &Session<'_>,
        token: &SecretValue,
        accessor: String,
    ) -> Option<String> {
        const WHAT: &str = "revoking the token of the probe";
        let own = session.bao().login_as(token);
        if own.ok(&Ask::post(WHAT, "auth/token/revoke-self", json!({}))).await.is_ok() {
            return None;
        }
        if accessor.is_empty() {
            return Some("a batch token, which ends with its TTL".to_owned());
        }
        match end_token(session, &accessor).await {
            Ok(()) => None,
            Err(_) => Some(accessor),
        }
    }

    /// Takes a refusal that we caused out of the count that would lock the role.
    pub(super) async fn forget_refusal(
        &self,
        session: &Session<'_>,
        role_id: &str,
    ) -> Result<(), ConnectError> {
        let mount = self.mount(session).await?;
        if mount.locks_out {
            let path = unlock_path(&mount, role_id);
            session.ok(&Ask::post("taking back the count of refused logins", path, json!({}))).await?;
        }
        Ok(())
    }
}

/// A secret id that was just made.
pub(super) struct SecretIdMade {
    pub(super) accessor: String,
    pub(super) ttl_seconds: Value,
}

pub(super) fn unlock_path(mount: &Mount, role_id: &str) -> String {
    format!("sys/locked-users/{}/unlock/{role_id}", mount.accessor)
}

/// What the server knows of a token. `None` when it ended since the list was made.
async fn token_facts(
    session: &Session<'_>,
    accessor: String,
) -> Result<Option<(String, Value)>, ConnectError> {
    let facts = session.facts_of(TOKENS, &accessor).await?;
    Ok(facts.map(|facts| (accessor, facts)))
}

/// Revokes a token by its accessor. One that is gone is success.
pub(super) async fn end_token(session: &Session<'_>, accessor: &str) -> Result<(), ConnectError> {
    let body = json!({ "accessor": accessor });
    match session.ok(&Ask::post("revoking a token of the role", "auth/token/revoke-accessor", body)).await {
        Err(error) if error.kind != ConnectErrorKind::Missing => Err(error),
        _ => Ok(()),
    }
}

fn read_secret_id(session: &Session<'_>, body: &Value) -> Result<SecretId, ConnectError> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let words = "the answer names no accessor";
    let none = || session.bao().error(LOOKING, ConnectErrorKind::Unexpected, words);
    let uses = body.pointer("/data/secret_id_num_uses").and_then(Value::as_u64);
    Ok(SecretId {
        accessor: text("/data/secret_id_accessor").ok_or_else(none)?,
        tag: text("/data/metadata/quell"),
        uses_left: uses.filter(|uses| *uses > 0),
        cidrs: strings(body, "/data/cidr_list"),
    })
}

fn strings(body: &Value, pointer: &str) -> Vec<String> {
    let list = body.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
