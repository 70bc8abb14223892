//! The issuer suite against an issuer in memory, honest and lying.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::*;
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::error::ConnectError;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Lie {
    None,
    ChoosesTheSame,
    DisablesTheWrongOne,
    KeepsASession,
    ObserveInstalls,
    OnlyClaimsToDisable,
    RefusesWithAnotherCode,
    SaysTheValue,
}

struct Memory {
    lie: Lie,
    capabilities: Capabilities,
    live: Mutex<Vec<SecretValue>>,
    sessions: Mutex<u64>,
    count: AtomicU32,
}

fn capabilities(chooser: Chooser, valid_at_once: ValidAtOnce) -> Capabilities {
    Capabilities {
        chooser,
        valid_at_once,
        sessions_survive: true,
        can_disable: true,
        self_revocable: false,
        can_mint: true,
        can_probe: true,
        settle_ms: 1,
        refusals: vec!["28P01".to_owned()],
    }
}

impl Memory {
    fn new(lie: Lie, capabilities: Capabilities) -> (Self, Credential) {
        let old = credential("CANARY-old-value");
        let live = Mutex::new(vec![old.value.duplicate()]);
        (Self { lie, capabilities, live, sessions: Mutex::new(3), count: AtomicU32::new(0) }, old)
    }

    fn is_live(&self, value: &SecretValue) -> bool {
        self.live.lock().unwrap().iter().any(|live| live.same_as(value))
    }

    fn fresh(&self) -> SecretValue {
        SecretValue::from_text(format!("CANARY-new-value-{}", self.count.fetch_add(1, Ordering::SeqCst)))
    }

    fn install(&self, new: &Credential) -> Performed {
        let client = self.capabilities.chooser == Chooser::Client;
        let value = if client { new.value.duplicate() } else { self.fresh() };
        let mut live = self.live.lock().unwrap();
        if self.capabilities.valid_at_once == ValidAtOnce::One {
            live.clear();
        }
        if !live.iter().any(|v| v.same_as(&value)) {
            live.push(value.duplicate());
        }
        let minted = (!client).then(|| Credential { principal: "orders".to_owned(), value });
        Performed { outcome: Outcome::applied([("cutoff", json!("2026-01-01T00:00:00Z"))]), minted }
    }

    fn disable(&self, old: &Credential) -> Outcome {
        let mut live = self.live.lock().unwrap();
        if self.lie == Lie::DisablesTheWrongOne {
            live.clear();
        } else if self.lie != Lie::OnlyClaimsToDisable {
            live.retain(|value| !value.same_as(&old.value));
        }
        let word = if self.lie == Lie::SaysTheValue { old.value.expose_text().unwrap() } else { "orders" };
        Outcome::applied([("who", json!(word))])
    }
}

fn credential(text: &str) -> Credential {
    Credential { principal: "orders".to_owned(), value: SecretValue::from_text(text.to_owned()) }
}

fn in_force(is: bool) -> Performed {
    if is { Outcome::applied([]).into() } else { Outcome::retry("not so").into() }
}

#[async_trait]
impl Issuer for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn target(&self) -> String {
        "memory".to_owned()
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.target(), None)
    }

    async fn check(&self) -> Vec<Check> {
        vec![Check { what: "log in".to_owned(), ok: true, detail: "yes".to_owned() }]
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        Vec::new()
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: "orders".to_owned(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        let value = match (self.lie, self.capabilities.chooser) {
            (Lie::ChoosesTheSame, _) => old.unwrap().value.duplicate(),
            (_, Chooser::Client) => self.fresh(),
            (_, Chooser::Issuer) => SecretValue::new(Vec::new()),
        };
        Ok(Credential { principal: "orders".to_owned(), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        match op {
            IssuerOp::Install { new } => self.install(new),
            IssuerOp::Disable { old } => self.disable(old).into(),
            IssuerOp::Sever { .. } => {
                *self.sessions.lock().unwrap() = u64::from(self.lie == Lie::KeepsASession);
                Outcome::applied([]).into()
            }
        }
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        match op {
            IssuerOp::Install { new } => {
                let seen = match self.capabilities.chooser {
                    Chooser::Client => self.is_live(&new.value),
                    Chooser::Issuer => self.count.load(Ordering::SeqCst) > 0,
                };
                if self.lie == Lie::ObserveInstalls {
                    self.install(new);
                }
                in_force(seen)
            }
            IssuerOp::Disable { old } => in_force(!self.is_live(&old.value)),
            IssuerOp::Sever { .. } => in_force(*self.sessions.lock().unwrap() == 0),
        }
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        if self.is_live(&credential.value) {
            return Probe::Accepted { facts: Facts::new() };
        }
        let code = if self.lie == Lie::RefusesWithAnotherCode { "XX000" } else { "28P01" };
        Probe::Refused { code: code.to_owned(), message: "password authentication failed".to_owned() }
    }

    async fn control(&self) -> Probe {
        Probe::Accepted { facts: Facts::new() }
    }

    async fn sessions(&self, _old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        Ok(*self.sessions.lock().unwrap())
    }
}

#[tokio::test]
async fn issuers_of_every_kind_that_keep_the_contract_pass() {
    for chooser in [Chooser::Client, Chooser::Issuer] {
        for valid in [ValidAtOnce::One, ValidAtOnce::Two, ValidAtOnce::Many, ValidAtOnce::AlternatePrincipals]
        {
            let (memory, old) = Memory::new(Lie::None, capabilities(chooser, valid));
            issuer(&memory, &old).await.unwrap();
        }
    }
    let revoked_only = Capabilities { can_mint: false, ..capabilities(Chooser::Issuer, ValidAtOnce::Many) };
    let (memory, old) = Memory::new(Lie::None, revoked_only);
    issuer(&memory, &old).await.unwrap();
}

#[tokio::test]
async fn issuers_that_break_it_are_caught() {
    for (lie, rule) in [
        (Lie::ChoosesTheSame, "`choose` gives a fresh value each time"),
        (Lie::DisablesTheWrongOne, "the new value outlives the old one"),
        (Lie::KeepsASession, "`observe` after severing is applied"),
        (Lie::ObserveInstalls, "`observe` before the installation is not applied"),
        (Lie::OnlyClaimsToDisable, "`observe` after disabling is applied"),
        (Lie::RefusesWithAnotherCode, "a refusal carries a declared code"),
        (Lie::SaysTheValue, "a value never appears in anything a connector says"),
    ] {
        let (memory, old) = Memory::new(lie, capabilities(Chooser::Client, ValidAtOnce::Many));
        assert_eq!(issuer(&memory, &old).await.unwrap_err().rule, rule);
    }
}
