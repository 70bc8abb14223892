//! The issuer of TLS certificates: revoke by the key itself, see it on the revocation list as a client would, issue anew.
//!
//! The value is a PEM bundle: certificate, chain, private key. Sources: openbao.org/api-docs/secret/pki, and 2.7.2 itself
//! (2026-11-23): `revoke-with-key` takes the certificate and its key, so whoever may only do that can revoke what he has
//! and nothing else; a repeat is 200 with `state: revoked`; there is no parameter for a reason, and the list carries none; the list is
//! made anew at once unless `auto_rebuild` is on, and by `crl/rotate`.

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session, checked_path};
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;
use crate::x509::{Bundle, Trust};

/// `{ pki: { mount: pki, role: web, common_name: a.example.com, … } }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    mount: String,
    role: String,
    common_name: String,
    #[serde(default)]
    alt_names: Vec<String>,
    #[serde(default)]
    ip_sans: Vec<String>,
    ttl: Option<String>,
    /// A certificate of the same authority that is known to be good, for proofs before a successor exists.
    control: Option<SecretSource>,
    /// How long until every client has the new list.
    settle: Option<SignedDuration>,
}

#[derive(Debug)]
struct PkiIssuer {
    ctx: Context,
    bao: Bao,
    config: Config,
    settle_ms: u64,
}

const REVOKING: &str = "revoking the certificate";
const ISSUING: &str = "issuing a certificate";
const ASKING: &str = "asking for the revocation list";
const REVOKED: &str = "revoked";
const EXPIRED: &str = "expired";

pub(super) fn build(config: Config, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let mount = checked_path("mount", &config.mount)?;
    let role = checked_path("role", &config.role)?;
    if config.common_name.is_empty() {
        return Err(ConfigError::at("common_name", "it is empty", "name the host, such as a.example.com"));
    }
    let settle_ms = ConfigError::settle_ms(config.settle, 1000)?;
    let config = Config { mount, role, ..config };
    Ok(Box::new(PkiIssuer { ctx: ctx.clone(), bao: Bao::open(ctx)?, config, settle_ms }))
}

impl PkiIssuer {
    fn at(&self, what: &str) -> String {
        format!("{}/{what}", self.config.mount)
    }

    fn bundle(&self, value: &SecretValue) -> Result<Bundle, ConnectError> {
        let failed = |why| self.bao.error("reading the certificate", ConnectErrorKind::Denied, why);
        Bundle::read(value).map_err(failed)
    }

    /// Looks at the certificate as a client does that asks nobody but the authority. No token is needed for that.
    async fn look(&self, session: &Session<'_>, bundle: &Bundle) -> Result<Trust, ConnectError> {
        let authority = self.pem(session, "cert/ca").await?;
        let list = self.pem(session, "cert/crl").await?;
        Ok(bundle.trust(&authority, &list))
    }

    async fn pem(&self, session: &Session<'_>, what: &str) -> Result<String, ConnectError> {
        let answer = session.ok(&Ask::get(ASKING, self.at(what))).await?;
        let pem = answer.pointer("/data/certificate").and_then(Value::as_str).filter(|pem| !pem.is_empty());
        let none = || self.bao.error(ASKING, ConnectErrorKind::Unexpected, "the answer carries no PEM");
        pem.map(str::to_owned).ok_or_else(none)
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let bundle = self.bundle(&old.value)?;
        let session = self.bao.login().await?;
        let Some(key) = &bundle.key else {
            let words = "the value holds no private key; give the whole bundle, or revoke it with a token that may use \
                         `revoke`";
            return Ok(Outcome::refused(words));
        };
        let body = json!({ "certificate": bundle.leaf, "private_key": key.as_str() });
        session.ok(&Ask::post(REVOKING, self.at("revoke-with-key"), body)).await?;
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        let seen = match self.look(&session, &bundle).await {
            Ok(Trust::Good) => {
                // The list is made at intervals only.
                let ask = Ask::get("having the revocation list made", self.at("crl/rotate"));
                match session.ok(&ask).await {
                    Ok(_) => self.look(&session, &bundle).await,
                    Err(error) => Err(error),
                }
            }
            seen => seen,
        };
        Ok(seen.map_or_else(|error| error.unseen(), |seen| revoked(&bundle, seen)))
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        let session = self.bao.login().await?;
        if !new.value.is_empty() {
            return self.observe_install(&session, new).await.map(Performed::from);
        }
        let config = &self.config;
        let mut body = json!({
            "common_name": config.common_name,
            "alt_names": config.alt_names.join(","),
            "ip_sans": config.ip_sans.join(","),
            "format": "pem",
        });
        if let (Some(ttl), Some(body)) = (&config.ttl, body.as_object_mut()) {
            body.insert("ttl".to_owned(), json!(ttl));
        }
        let path = self.at(&format!("issue/{}", config.role));
        let answer = session.ok(&Ask::post(ISSUING, path, body)).await?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let (Some(leaf), Some(key)) = (text("/data/certificate"), text("/data/private_key")) else {
            let words = "the answer carries no certificate with a key";
            return Err(self.bao.error(ISSUING, ConnectErrorKind::Unexpected, words));
        };
        let chain = answer.pointer("/data/ca_chain").and_then(Value::as_array);
        let chain = chain.into_iter().flatten().filter_map(Value::as_str);
        let parts: Vec<&str> = std::iter::once(leaf).chain(chain).chain([key]).map(str::trim).collect();
        let value = SecretValue::from_text(parts.join("\n"));
        let bundle = self.bundle(&value)?;
        let outcome = Outcome::applied([
            ("serial", json!(bundle.serial)),
            ("expiration", answer.pointer("/data/expiration").cloned().unwrap_or_default()),
        ]);
        Ok(Performed { outcome, minted: Some(Credential { principal: bundle.serial, value }) })
    }

    async fn observe_install(
        &self,
        session: &Session<'_>,
        new: &Credential,
    ) -> Result<Outcome, ConnectError> {
        if new.value.is_empty() {
            return Ok(Outcome::retry(
                "no certificate is at hand; the key of one whose answer was lost is lost with it, so nobody can use it",
            ));
        }
        let bundle = self.bundle(&new.value)?;
        Ok(match self.look(session, &bundle).await? {
            Trust::Good => Outcome::applied([("serial", json!(bundle.serial))]),
            Trust::Revoked => Outcome::refused("the certificate is revoked; choose again"),
            Trust::Expired => Outcome::refused("the certificate has expired; choose again"),
            Trust::Unclear(why) => Outcome::unknown(why),
        })
    }

    async fn try_value(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let bundle = self.bundle(value)?;
        let session = self.bao.login().await?;
        let refused = |code: &str, message: &str| Probe::Refused {
            code: code.to_owned(),
            message: format!("{message} ({})", bundle.serial),
        };
        Ok(match self.look(&session, &bundle).await? {
            Trust::Good => Probe::Accepted { facts: effect::facts([("serial", json!(bundle.serial))]) },
            Trust::Revoked => refused(REVOKED, "the certificate is on the revocation list"),
            Trust::Expired => refused(EXPIRED, "the certificate has expired"),
            Trust::Unclear(why) => Probe::Inconclusive { reason: why },
        })
    }
}

fn revoked(bundle: &Bundle, seen: Trust) -> Outcome {
    match seen {
        Trust::Revoked | Trust::Expired => Outcome::applied([
            ("serial", json!(bundle.serial)),
            ("reason", json!("none: OpenBao records none")),
        ]),
        Trust::Good => {
            Outcome::retry(format!("the revocation list does not have certificate {}", bundle.serial))
        }
        Trust::Unclear(why) => Outcome::unknown(why),
    }
}

#[async_trait]
impl Issuer for PkiIssuer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: false,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REVOKED.to_owned(), EXPIRED.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} {}", self.bao.name(), self.at(&format!("issue/{}", self.config.role)))
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.bao.server(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        for (what, path) in [("the authority's certificate", "cert/ca"), ("its revocation list", "cert/crl")]
        {
            let got = self.pem(&session, path).await;
            checks.push(Check {
                what: format!("fetch {what} of `{}`", self.config.mount),
                ok: got.is_ok(),
                detail: got.map_or_else(|error| error.detail, |_pem| "it is there".to_owned()),
            });
        }
        let update = &["update"][..];
        let needs = [
            (self.at(&format!("issue/{}", self.config.role)), update),
            (self.at("revoke-with-key"), update),
            (self.at("crl/rotate"), &["read"]),
        ];
        super::check_capabilities(&session, &needs, &mut checks).await;
        checks
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = vec![
            "a client that does not look at the revocation list goes on trusting the certificate until it expires; other \
             certificates for the same key are not found"
                .to_owned(),
            "connections that are open stay open: restart what accepted the certificate of a client".to_owned(),
        ];
        if self.config.control.is_none() {
            warnings.push(
                "without a `control` nothing can be proven before a successor exists, so kill-first stops after the kill"
                    .to_owned(),
            );
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: self.bundle(value)?.serial, value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::new(Vec::new()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            // Nothing of its own: who accepted it does not tell.
            IssuerOp::Sever { .. } => return self.observe(op).await,
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = async {
            let session = self.bao.login().await?;
            match op {
                IssuerOp::Install { new } => self.observe_install(&session, new).await,
                IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => {
                    let bundle = self.bundle(&old.value)?;
                    Ok(revoked(&bundle, self.look(&session, &bundle).await?))
                }
            }
        };
        seen.await.unwrap_or_else(|error: ConnectError| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.try_value(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        let Some(control) = &self.config.control else {
            let reason = "no `control` is configured: a good certificate of the same authority".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = async { self.try_value(&control.resolve(&self.ctx).await?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.config.control.is_some()
    }

    /// The authority sees no connections: a certificate counts as one while a client takes it.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let bundle = self.bundle(&old.value)?;
        let session = self.bao.login().await?;
        match self.look(&session, &bundle).await? {
            Trust::Good => Ok(1),
            Trust::Revoked | Trust::Expired => Ok(0),
            Trust::Unclear(why) => Err(self.bao.error(ASKING, ConnectErrorKind::Unexpected, why)),
        }
    }
}

/// Schema of [`Config`].
pub(super) fn schema(path: impl Fn(&str) -> Value) -> Value {
    let names = |description: &str| {
        let item = json!({ "type": "string", "minLength": 1 });
        json!({ "type": "array", "items": item, "description": description })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["mount", "role", "common_name"],
        "properties": {
            "mount": path("The mount of the PKI engine: pki"),
            "role": path("The role that issues the successor: web"),
            "common_name": path("The name of the successor: a.example.com"),
            "alt_names": names("More names of the successor"),
            "ip_sans": names("Addresses of the successor"),
            "ttl": path("Life of the successor: 720h; without it the role's own"),
            "control": path("A reference to a good certificate of the same authority: file:control.pem"),
            "settle": path("How long a change takes to bind: 1s (the default)"),
        },
    })
}
