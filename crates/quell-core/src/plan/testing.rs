//! Inputs for tests of the plan.

use super::{Approvals, ConsumerInput, PlanInput, SecretInput, StoreInput, Strategy};
use crate::inventory::Tier;
use crate::issuer::{Capabilities, Chooser, Overlap, ValidAtOnce};

pub(crate) fn capabilities(valid_at_once: ValidAtOnce) -> Capabilities {
    Capabilities {
        chooser: Chooser::Client,
        valid_at_once,
        sessions_survive: true,
        can_disable: true,
        self_revocable: false,
        can_mint: true,
        can_probe: true,
        settle_ms: 1000,
        refusals: vec!["28P01".to_owned(), "28000".to_owned()],
    }
}

pub(crate) fn secret_with(id: &str, valid_at_once: ValidAtOnce) -> SecretInput {
    let consumer = |name: &str| ConsumerInput {
        name: name.to_owned(),
        reload: Some("SIGHUP".to_owned()),
        observe: format!("GET /healthz of {id} {name}"),
    };
    SecretInput {
        id: id.parse().unwrap(),
        tier: Tier::Service,
        target: "postgres".to_owned(),
        capabilities: capabilities(valid_at_once),
        retires: false,
        overlap: Overlap::Allowed,
        has_control: true,
        stores: vec![StoreInput { target: "kv".to_owned(), lane: None }],
        consumers: vec![consumer("api"), consumer("worker")],
        after: Vec::new(),
        because: "it leaked".to_owned(),
        lane: None,
        tasks: Vec::new(),
    }
}

pub(crate) fn input(strategy: Strategy, secrets: Vec<SecretInput>) -> PlanInput {
    PlanInput {
        incident: "INC-2026-0001".parse().unwrap(),
        revision: 1,
        strategy: (strategy, Vec::new()),
        secrets,
        approvals: Approvals { destructive: 1, reversible: 0 },
        channels: vec!["ops".to_owned()],
        leaked_in: Vec::new(),
        warnings: Vec::new(),
        stop_after: 0,
        under_way: 0,
    }
}

pub(crate) fn secret(id: &str) -> SecretInput {
    secret_with(id, ValidAtOnce::AlternatePrincipals)
}
