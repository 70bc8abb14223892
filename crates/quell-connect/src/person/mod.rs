//! A person's own credential: a password, a second factor, the sessions of single sign-on. People end it where it is managed; the plan waits for
//! each of these steps and keeps what they saw. No machine of ours can try it, so none can prove it.

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, Task, TaskTime, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "person",
    summary: "A person's own credential: people end it, the plan waits and keeps what they saw",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let issuer = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["account", "at"],
        "properties": {
            "account": { "type": "string", "minLength": 1, "description": "Whose: the name by which the directory knows it" },
            "at": { "type": "string", "minLength": 1, "description": "Where it is managed, in words or as an address" },
            "tasks": {
                "type": "array",
                "minItems": 1,
                "items": { "enum": ["disable-account", "force-reset", "revoke-sessions", "revoke-tokens", "reset-mfa"] },
                "default": ["force-reset", "revoke-sessions", "revoke-tokens"],
                "description": "What people do, in this order",
            },
        },
    });
    vec![("issuer", issuer)]
}

/// What people do about a person's credential, in the words of the plan.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Act {
    DisableAccount,
    ForceReset,
    RevokeSessions,
    RevokeTokens,
    ResetMfa,
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::DisableAccount => "disable-account",
            Self::ForceReset => "force-reset",
            Self::RevokeSessions => "revoke-sessions",
            Self::RevokeTokens => "revoke-tokens",
            Self::ResetMfa => "reset-mfa",
        }
    }

    /// What to do, for an account at a place, and why, with what to keep as evidence.
    fn words(self, account: &str, at: &str) -> (String, &'static str) {
        match self {
            Self::DisableAccount => (
                format!("disable the account {account} at {at}"),
                "nobody signs in while the rest is done; keep the entry of the directory's audit log",
            ),
            Self::ForceReset => (
                format!(
                    "set a password that nobody knows for {account} at {at}, and make the person choose a new one"
                ),
                "\"must change at next sign-in\" alone lets the old password in once more; keep the entry of the audit log",
            ),
            Self::RevokeSessions => (
                format!(
                    "end every session of {account} at {at}, and at the applications that keep their own"
                ),
                "a session outlives the password that opened it; keep the number of sessions ended and the time",
            ),
            Self::RevokeTokens => (
                format!("revoke the refresh tokens, app passwords and personal tokens of {account} at {at}"),
                "they are credentials of their own, and work without the password; keep the list before and after",
            ),
            Self::ResetMfa => (
                format!(
                    "remove the second factors of {account} at {at} that the person does not hold now, and enrol anew"
                ),
                "whoever had the password may have enrolled a factor; keep the list before and after",
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    account: String,
    at: String,
    #[serde(default = "usual")]
    tasks: Vec<Act>,
}

fn usual() -> Vec<Act> {
    vec![Act::ForceReset, Act::RevokeSessions, Act::RevokeTokens]
}

#[derive(Debug)]
struct Person {
    account: String,
    at: String,
    acts: Vec<Act>,
}

fn build(config: &Value, _context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    for (key, text) in [("account", &config.account), ("at", &config.at)] {
        if text.trim().is_empty() {
            return Err(ConfigError::at(
                key,
                "it is empty",
                "say whose account it is, and where it is managed",
            ));
        }
    }
    if config.tasks.is_empty() {
        return Err(ConfigError::at("tasks", "nothing is to be done", "leave it out for the usual three"));
    }
    let twice =
        config.tasks.iter().enumerate().find(|(i, act)| config.tasks.iter().take(*i).any(|a| a == *act));
    if let Some((_, act)) = twice {
        return Err(ConfigError::at("tasks", format!("`{}` is there twice", act.name()), "name each once"));
    }
    Ok(Box::new(Person { account: config.account, at: config.at, acts: config.tasks }))
}

impl Person {
    fn no_machine(&self) -> Outcome {
        Outcome::refused(format!("{} is a person's; people end it", self.account))
    }
}

#[async_trait]
impl Issuer for Person {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: ValidAtOnce::One,
            sessions_survive: true,
            can_disable: false,
            self_revocable: false,
            can_mint: false,
            can_probe: false,
            settle_ms: 0,
            refusals: Vec::new(),
        }
    }

    fn target(&self) -> String {
        format!("{} at {}", self.account, self.at)
    }

    fn lane(&self) -> (String, Option<u16>) {
        (format!("person {}", self.at), None)
    }

    fn tasks(&self) -> Vec<Task> {
        let task = |act: &Act| {
            let (what, why) = act.words(&self.account, &self.at);
            Task { name: act.name().to_owned(), when: TaskTime::End, what, why: why.to_owned() }
        };
        self.acts.iter().map(task).collect()
    }

    async fn check(&self) -> Vec<Check> {
        let detail = "nothing is asked: people do it".to_owned();
        vec![Check { what: format!("who may manage {}", self.account), ok: true, detail }]
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        vec![format!(
            "{} is ended by people, and no machine can try it: it closes with an exception that says what was seen",
            self.account
        )]
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: self.account.clone(), value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        let detail = "the person chooses it, and nobody else may know it";
        Err(ConnectError::new(self.target(), "choosing a successor", ConnectErrorKind::Denied, detail))
    }

    async fn perform(&self, _op: IssuerOp<'_>) -> Performed {
        self.no_machine().into()
    }

    async fn observe(&self, _op: IssuerOp<'_>) -> Performed {
        Outcome::unknown(format!("nobody but people can see how {} stands", self.account)).into()
    }

    async fn probe(&self, _credential: &Credential) -> Probe {
        Probe::Inconclusive { reason: "a person's credential is not tried by a machine".to_owned() }
    }

    async fn control(&self) -> Probe {
        Probe::Inconclusive { reason: "a person's credential is not tried by a machine".to_owned() }
    }

    fn has_control(&self) -> bool {
        false
    }

    async fn sessions(&self, _old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let detail = "the directory knows them; people end them there";
        Err(ConnectError::new(self.target(), "counting sessions", ConnectErrorKind::Denied, detail))
    }
}
