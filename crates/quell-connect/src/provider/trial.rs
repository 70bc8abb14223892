//! Lets the real issuer act on the model of a file: what a provider must do, and what it must never believe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Serialize;

use super::file::{File, KeyId, Pages, Who};
use super::issuer::Provider;
use super::model::{Model, ModelKey, Mood};
use super::{Config, assembled};
use crate::conformance::{self, Canaries, Fault, FlakyProxy, Subject};
use crate::connector::{Issuer as _, IssuerOp};
use crate::context::Context;
use crate::http::Client;
use crate::source::SecretSource;

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// What must hold.
    pub what: &'static str,
    /// Whether it does.
    pub ok: bool,
    /// What was seen instead.
    pub detail: String,
}

type Result<T = (), E = String> = std::result::Result<T, E>;

/// How long a call may take here, and how long a hung one is waited for.
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(5);

/// Answers of machines in between: none of them knows the key. The bodies with words are what gateways and frameworks give by default:
/// AWS API Gateway ("Gateway response types" in its developer guide), Kong's key-auth, RFC 6750 (section 3.1), RFC 9457 (section 3),
/// Google's `Status`.
const WALLS: [(u16, &str, &str); 26] = [
    (401, "text/html", "<html><body><h1>401 Authorization Required</h1></body></html>"),
    (403, "text/html", "<!doctype html><title>Access denied</title>"),
    (404, "text/html", "<html><body><h1>404 Not Found</h1></body></html>"),
    (200, "text/html", "<html><body>Please log in to the hotel's network</body></html>"),
    (401, "text/plain", ""),
    (407, "text/plain", "proxy authentication required"),
    (200, "application/json", "{}"),
    (401, "application/json", "{}"),
    (401, "application/json", r#"{"message":"Unauthorized"}"#),
    (401, "application/json", r#"{"message":"401 Unauthorized"}"#),
    (401, "application/json", r#"{"code":401,"message":"Access Denied"}"#),
    (401, "application/json", r#"{"message":"Invalid authentication credentials"}"#),
    (401, "application/json", r#"{"error":"unauthorized"}"#),
    (401, "application/json", r#"{"errors":[{"message":"Unauthorized"}]}"#),
    (
        401,
        "application/json",
        r#"{"error":"invalid_token","error_description":"The access token is invalid"}"#,
    ),
    (
        401,
        "application/json",
        r#"{"error":{"code":401,"message":"Unauthorized","status":"UNAUTHENTICATED"}}"#,
    ),
    (401, "application/problem+json", r#"{"type":"about:blank","title":"Unauthorized","status":401}"#),
    (403, "application/json", r#"{"Message":"blocked by the proxy's policy"}"#),
    (403, "application/json", r#"{"message":"Forbidden"}"#),
    (403, "application/json", r#"{"message":"Missing Authentication Token"}"#),
    (403, "application/json", r#"{"error":"forbidden"}"#),
    (403, "application/json", r#"{"errors":["Forbidden"]}"#),
    (403, "application/json", r#"{"errors":[{"message":"access forbidden"}]}"#),
    (403, "application/json", r#"{"statusCode":403,"error":"Forbidden","message":"Access denied"}"#),
    (404, "application/json", r#"{"Message":"no route"}"#),
    (404, "application/json", r#"{"message":"Not Found"}"#),
];

/// What anybody says who refuses. At the very place where a file looks, such a word alone proves nothing.
const WORDS: [&str; 13] = [
    "401 Unauthorized",
    "403 Forbidden",
    "Access Denied",
    "Access denied",
    "Authentication required",
    "Forbidden",
    "Not authorized",
    "UNAUTHENTICATED",
    "Unauthenticated",
    "Unauthorized",
    "forbidden",
    "invalid_token",
    "unauthorized",
];

struct Stage {
    model: Model,
    client: Client,
    file: Arc<File>,
    url: String,
}

/// Tries everything. Needs nothing but loopback.
pub async fn trial(file: &Arc<File>, client: &Client) -> Vec<Tested> {
    let mut all = Vec::new();
    let mut add = |what: &'static str, result: Result| {
        all.push(Tested { what, ok: result.is_ok(), detail: result.err().unwrap_or_default() });
    };
    add("a live key is accepted, and dead after it is revoked", whole(file, client).await);
    add("a value that was never issued is refused with a declared code", stranger(file, client).await);
    add("a rate limit is waited for, as long as it asks", rate_limit(file, client).await);
    add("a broken server proves nothing", broken(file, client).await);
    add("pages and answers of machines in between prove nothing", walls(file, client).await);
    add("a server that hangs is unknown", hung(file, client).await);
    add("a revocation that is said and not done is not believed", liar(file, client).await);
    add("a revocation that binds later is found", slow(file, client).await);
    add("a lost answer is unknown, and nothing is revoked twice", lost(file, client).await);
    add("wrong permissions are named", denied(file, client).await);
    add("words of anybody, where the issuer's stand, prove nothing", words(file, client).await);
    if file.mint.is_some() {
        add(
            "a successor whose answer was lost is taken back before another is made",
            minted(file, client).await,
        );
        add("a successor may do what was asked for, and no more", rights(file, client).await);
        add("no second successor is made beside one that cannot be taken back", stuck(file, client).await);
        add("a list that may be cut off is not believed", cut_off(file, client).await);
    }
    add("no address holds the key", urls(file, client).await);
    all
}

impl Stage {
    async fn new(file: &Arc<File>, client: &Client, seed: u64) -> Result<Self> {
        let model = Model::start(Arc::clone(file), seed).await.map_err(|error| error.to_string())?;
        let url = model.url();
        Ok(Self { model, client: client.clone(), file: Arc::clone(file), url })
    }

    /// The issuer, with an administrator where one is needed and a control.
    fn issuer(&self, control: &ModelKey, admin: &str, limit: Duration) -> Result<Provider> {
        let mut context = Context::new(PathBuf::from("."), self.client.clone());
        context.call_limit = limit;
        context.environment = Arc::new(BTreeMap::from([
            ("CONTROL".to_owned(), control.value.clone()),
            ("ADMIN".to_owned(), admin.to_owned()),
        ]));
        let env = |name: &str| name.parse::<SecretSource>().map_err(|error| error.to_string());
        let config = Config {
            id: self.file.id.clone(),
            url: Some(self.url.clone()),
            admin: Some(env("env:ADMIN")?),
            control: Some(env("env:CONTROL")?),
            key_id: None,
            vars: self.file.example.vars.clone(),
            mint: None,
            settle: Some(jiff::SignedDuration::from_millis(40)),
        };
        assembled(Arc::clone(&self.file), config, &context).map_err(|error| error.to_string())
    }

    fn usual(&self) -> Result<(Provider, ModelKey)> {
        let (control, old) = (self.model.key("control"), self.model.key("leaked"));
        Ok((self.issuer(&control, &self.model.admin(), LONG)?, old))
    }

    /// The key is refused: as a fact, or, where no refusal proves anything, as what it is.
    fn ended(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Applied { .. } => self.file.proves(),
            Outcome::Unknown { reason } => !self.file.proves() && reason.contains("proves nothing"),
            Outcome::NotApplied { .. } => false,
        }
    }

    /// Does a call of the file revoke it? Else a person does.
    fn by_call(&self) -> bool {
        !self.file.revoke.is_empty()
    }
}

/// As the engine would have it; a key's id that only a person can tell is told.
fn credential(issuer: &mut Provider, key: &ModelKey) -> Result<Credential> {
    if let Some(KeyId::Inventory(_)) = &issuer.door.file.key_id {
        issuer.key_id = Some(key.id.clone());
    }
    issuer.identify(&SecretValue::from_text(key.value.clone())).map_err(|error| error.to_string())
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise()) }
}

async fn whole(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 11).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    if stage.by_call() && !file.proves() {
        let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        must(stage.ended(&done), || format!("a revocation whose refusal proves nothing: {done:?}"))?;
        return must(!stage.model.alive(&key.id), || "it was not revoked".to_owned());
    }
    if stage.by_call() {
        return conformance::issuer(&issuer, &old).await.map_err(|violation| violation.to_string());
    }
    let op = IssuerOp::Disable { old: &old };
    let before = issuer.perform(op).await.outcome;
    let names = file.by_hand.as_deref().is_some_and(|steps| format!("{before:?}").contains(steps));
    must(matches!(before, Outcome::NotApplied { retryable: false, .. }) && names, || {
        format!("a person must be told what to do: {before:?}")
    })?;
    stage.model.revoke(&key.id);
    let after = issuer.perform(op).await.outcome;
    if !file.proves() {
        let told = matches!(&after, Outcome::Unknown { reason } if reason.contains("proves nothing"));
        return must(told, || format!("a refusal that proves nothing is taken for one that does: {after:?}"));
    }
    must(after.is_applied(), || format!("a revocation by hand is not seen: {after:?}"))?;
    let control = issuer.control().await;
    must(matches!(control, Probe::Accepted { .. }), || format!("the control is not accepted: {control:?}"))
}

async fn stranger(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 23).await?;
    let (issuer, _) = stage.usual()?;
    let value = SecretValue::from_text(stage.model.stranger());
    let old = issuer.identify(&value).map_err(|error| error.to_string())?;
    let declared = issuer.capabilities().refusals;
    let probe = issuer.probe(&old).await;
    let weak = match file.probe.value.examples.get("unknown") {
        None => !file.proves(),
        Some(answer) => {
            let fits = |one: &super::file::When| super::when::fits(one, answer.status, answer.json.as_ref());
            !file.probe.value.refused.iter().any(|one| one.weak.is_none() && fits(one))
        }
    };
    if weak {
        let seen = matches!(probe, Probe::Inconclusive { .. });
        return must(seen, || format!("in words that prove nothing, and {probe:?}"));
    }
    let refused = matches!(&probe, Probe::Refused { code, .. } if declared.contains(code));
    must(refused, || format!("{probe:?}, declared: {}", declared.join(", ")))
}

async fn rate_limit(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 31).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    stage.model.set(Mood::Same {
        status: 429,
        body: ("application/json", r#"{"message":"slow down"}"#.into()),
        headers: vec![("retry-after", "7".to_owned())],
    });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let waits = matches!(outcome, Outcome::NotApplied { retryable: true, retry_after_ms: Some(7_000), .. });
    must(waits, || format!("perform: {outcome:?}"))?;
    // The same as a moment, by the server's own clock.
    stage.model.set(Mood::Same {
        status: 429,
        body: ("application/json", r#"{"message":"slow down"}"#.into()),
        headers: vec![
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ("retry-after", "Sun, 06 Nov 1994 08:49:46 GMT".to_owned()),
        ],
    });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let waits = matches!(outcome, Outcome::NotApplied { retryable: true, retry_after_ms: Some(9_000), .. });
    must(waits, || format!("perform, with a moment: {outcome:?}"))?;
    let probe = issuer.probe(&old).await;
    must(matches!(probe, Probe::Inconclusive { .. }), || format!("probe: {probe:?}"))
}

async fn broken(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 43).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    let json = r#"{"message":"internal","error":"internal","ok":false}"#;
    for (status, body) in
        [(500, ("application/json", json.into())), (503, ("text/html", "<h1>503</h1>".into()))]
    {
        stage.model.set(Mood::Same { status, body, headers: Vec::new() });
        let probe = issuer.probe(&old).await;
        must(matches!(probe, Probe::Inconclusive { .. }), || format!("{status}: probe: {probe:?}"))?;
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        must(!outcome.is_applied(), || format!("{status}: perform: {outcome:?}"))?;
        if stage.by_call() {
            must(matches!(outcome, Outcome::Unknown { .. }), || format!("{status}: sent, and {outcome:?}"))?;
        }
    }
    Ok(())
}

async fn walls(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 53).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    for (status, kind, body) in WALLS {
        stage.model.set(Mood::Same { status, body: (kind, body.into()), headers: Vec::new() });
        let probe = issuer.probe(&old).await;
        must(matches!(probe, Probe::Inconclusive { .. }), || {
            format!("{status} {kind} {body}: probe: {probe:?}")
        })?;
        let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
        must(matches!(seen, Outcome::Unknown { .. }), || format!("{status} {kind}: observe: {seen:?}"))?;
        let done = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        must(!done.is_applied(), || format!("{status} {kind}: perform: {done:?}"))?;
    }
    // A redirect with the credential would hand it over.
    let elsewhere = Stage::new(file, client, 59).await?;
    let to = vec![("location", format!("{}/taken", elsewhere.model.url()))];
    stage.model.set(Mood::Same { status: 307, body: ("text/plain", "".into()), headers: to });
    let probe = issuer.probe(&old).await;
    must(matches!(probe, Probe::Inconclusive { .. }), || format!("307: probe: {probe:?}"))?;
    must(elsewhere.model.lines().is_empty(), || "a redirect was followed with the key".to_owned())
}

async fn hung(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 61).await?;
    if !stage.by_call() {
        return Ok(());
    }
    let (control, key) = (stage.model.key("control"), stage.model.key("leaked"));
    let mut issuer = stage.issuer(&control, &stage.model.admin(), SHORT)?;
    let old = credential(&mut issuer, &key)?;
    let tried = conformance::hung(LONG, |address| {
        issuer.door.url = Some(format!("http://{address}"));
        Subject::Issuer(Box::new(issuer), old)
    });
    tried.await.map_err(|violation| violation.to_string())
}

async fn liar(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 71).await?;
    if !stage.by_call() {
        return Ok(());
    }
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    stage.model.set(Mood::Liar);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    must(stage.model.revocations() == 1, || "nothing was revoked".to_owned())?;
    // By an id that somebody wrote down, another key may have died: it is not done again by itself.
    let again = issuer.key_id.is_none();
    let told = matches!(outcome, Outcome::NotApplied { retryable, .. } if retryable == again);
    must(told, || format!("perform: {outcome:?}"))?;
    stage.model.set(Mood::Honest);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    must(stage.ended(&outcome), || format!("the second try: {outcome:?}"))
}

async fn slow(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 83).await?;
    if !stage.by_call() {
        return Ok(());
    }
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    stage.model.set(Mood::Slow(2));
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    must(stage.ended(&outcome), || format!("perform: {outcome:?}"))?;
    must(stage.model.revocations() == 1, || format!("revoked {} times", stage.model.revocations()))
}

async fn lost(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 97).await?;
    let Some(call) = file.revoke.first().map(|call| &call.value) else { return Ok(()) };
    let proxy = FlakyProxy::start(stage.model.address()).map_err(|error| error.to_string())?;
    let (control, key) = (stage.model.key("control"), stage.model.key("leaked"));
    let admin = stage.model.admin();
    let stage = Stage { url: format!("http://{}", proxy.address()), ..stage };
    let mut issuer = stage.issuer(&control, &admin, LONG)?;
    let old = credential(&mut issuer, &key)?;
    let op = IssuerOp::Disable { old: &old };
    let fixed = call.path.split('{').next().unwrap_or_default();
    proxy.once(Fault::DropAnswerTo(format!("{} {fixed}", call.method).into_bytes())).await;
    let outcome = issuer.perform(op).await.outcome;
    must(proxy.struck() == 1, || "the revocation was not sent".to_owned())?;
    must(matches!(outcome, Outcome::Unknown { .. }), || format!("perform: {outcome:?}"))?;
    let seen = issuer.observe(op).await.outcome;
    must(stage.ended(&seen), || format!("observe: {seen:?}"))?;
    if !file.proves() {
        // Whether it is dead cannot be seen: whoever is told to do it again does it again.
        return Ok(());
    }
    let again = issuer.perform(op).await.outcome;
    must(again.is_applied(), || format!("perform again: {again:?}"))?;
    must(stage.model.revocations() == 1, || format!("revoked {} times", stage.model.revocations()))
}

async fn words(file: &Arc<File>, client: &Client) -> Result {
    let stage = Stage::new(file, client, 127).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    let probe = &file.probe.value;
    for refusal in probe.refused.iter().chain(&probe.accepted).filter(|one| matches!(one.status, 401 | 403)) {
        for at in refusal.at.iter().chain(refusal.and.iter().map(|mark| &mark.at)) {
            for word in WORDS {
                let mut body = serde_json::json!({});
                super::model::place(&mut body, at, word.into());
                let text = body.to_string();
                stage.model.set(Mood::Same {
                    status: refusal.status,
                    body: ("application/json", text.clone().into()),
                    headers: Vec::new(),
                });
                let probe = issuer.probe(&old).await;
                must(matches!(probe, Probe::Inconclusive { .. }), || {
                    format!(
                        "{} {text}: {probe:?}; anybody may say so: add `and`, or say under `weak` that it proves nothing",
                        refusal.status
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// What marks the successors of the trials: as the engine makes it.
const TAG: &str = "0123456789abcdef/INC-2026-0001/acme-mail.mint";

/// An issuer that mints, behind a proxy, with other keys around.
async fn minting(file: &Arc<File>, client: &Client, seed: u64) -> Result<(Stage, FlakyProxy, Provider)> {
    let stage = Stage::new(file, client, seed).await?;
    // More than fit on a page of the model.
    for n in 0..7 {
        stage.model.key(&format!("other-{n}"));
    }
    let proxy = FlakyProxy::start(stage.model.address()).map_err(|error| error.to_string())?;
    let (control, admin) = (stage.model.key("control"), stage.model.admin());
    let stage = Stage { url: format!("http://{}", proxy.address()), ..stage };
    let mut issuer = stage.issuer(&control, &admin, LONG)?;
    issuer.mint = Some(file.example.mint.clone().unwrap_or_else(|| serde_json::json!({})));
    issuer.listed = Duration::from_millis(80);
    must(issuer.capabilities().can_mint, || "it does not say that it can mint".to_owned())?;
    Ok((stage, proxy, issuer))
}

/// Makes a key whose answer is lost; it is on the list after a while only.
async fn orphan(
    file: &File,
    stage: &Stage,
    proxy: &FlakyProxy,
    issuer: &Provider,
    new: &Credential,
) -> Result {
    let Some(call) = file.mint.as_ref().map(|call| &call.value) else { return Ok(()) };
    let fixed = call.path.split('{').next().unwrap_or_default();
    stage.model.set(Mood::Late(2));
    proxy.once(Fault::DropAnswerTo(format!("{} {fixed}", call.method).into_bytes())).await;
    let outcome = issuer.perform(IssuerOp::Install { new }).await.outcome;
    must(matches!(outcome, Outcome::Unknown { .. }), || format!("perform: {outcome:?}"))?;
    let mark = new.principal.as_str();
    must(stage.model.named(mark) == 1, || format!("{} keys carry the mark", stage.model.named(mark)))
}

pub(super) async fn minted(file: &Arc<File>, client: &Client) -> Result {
    let (stage, proxy, issuer) = minting(file, client, 107).await?;
    let new = issuer.choose(None, TAG).await.map_err(|error| error.to_string())?;
    let mark = new.principal.as_str();
    let op = IssuerOp::Install { new: &new };
    let seen = issuer.observe(op).await.outcome;
    must(matches!(seen, Outcome::NotApplied { retryable: true, .. }), || format!("before: {seen:?}"))?;
    orphan(file, &stage, &proxy, &issuer, &new).await?;
    let again = issuer.perform(op).await;
    must(again.outcome.is_applied(), || format!("perform again: {:?}", again.outcome))?;
    must(stage.model.named(mark) == 1, || format!("{} keys carry the mark", stage.model.named(mark)))?;
    let Some(new) = again.minted else { return Err("no value was given".to_owned()) };
    let probe = issuer.probe(&new).await;
    must(matches!(probe, Probe::Accepted { .. }), || format!("the successor: {probe:?}"))?;
    let seen = issuer.observe(IssuerOp::Install { new: &new }).await.outcome;
    must(seen.is_applied(), || format!("after: {seen:?}"))
}

async fn rights(file: &Arc<File>, client: &Client) -> Result {
    let Some(rights) = file.mint.as_ref().and_then(|call| call.value.rights.as_ref()) else { return Ok(()) };
    let (stage, _proxy, mut issuer) = minting(file, client, 109).await?;
    let new = issuer.choose(None, TAG).await.map_err(|error| error.to_string())?;
    let mark = new.principal.clone();
    let op = IssuerOp::Install { new: &new };
    let asked = issuer.mint.as_ref().and_then(|settings| settings.get(&rights.setting)).cloned();
    let made = issuer.perform(op).await.outcome;
    must(made.is_applied(), || format!("perform: {made:?}"))?;
    let given = stage.model.rights(&mark);
    must(given.iter().eq(asked.iter()), || format!("asked for {asked:?}, and the new key has {given:?}"))?;
    let (stage, _proxy, generous) = minting(file, client, 113).await?;
    stage.model.set(Mood::Generous);
    let made = generous.perform(op).await.outcome;
    let told = format!("{made:?}").contains("more than was asked for");
    must(!made.is_applied() && told, || format!("a key that may do more is taken: {made:?}"))?;
    must(stage.model.named(&mark) == 0, || "a key that may do more is left alive".to_owned())?;
    // An inventory that says nothing of the rights gets no key.
    issuer.mint = None;
    let config = Config {
        id: file.id.clone(),
        url: Some(stage.url.clone()),
        admin: issuer.door.admin.clone(),
        control: None,
        key_id: None,
        vars: file.example.vars.clone(),
        mint: Some(serde_json::json!({})),
        settle: None,
    };
    let built = assembled(Arc::clone(file), config, &issuer.door.context);
    must(built.is_err(), || format!("a key is made without `{}`", rights.setting))
}

async fn stuck(file: &Arc<File>, client: &Client) -> Result {
    let (stage, proxy, issuer) = minting(file, client, 131).await?;
    let new = issuer.choose(None, TAG).await.map_err(|error| error.to_string())?;
    orphan(file, &stage, &proxy, &issuer, &new).await?;
    stage.model.set(Mood::Liar);
    let again = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    let told = matches!(&again, Outcome::NotApplied { retryable: false, reason, .. } if reason.contains("still listed"));
    must(told, || format!("perform again: {again:?}"))?;
    let left = stage.model.named(&new.principal);
    must(left == 1, || format!("{left} keys carry the mark"))
}

async fn cut_off(file: &Arc<File>, client: &Client) -> Result {
    let pages = file.list.as_ref().and_then(|call| call.value.pages.as_ref());
    let Some(Pages::Whole(whole)) = pages else { return Ok(()) };
    let (stage, _proxy, issuer) = minting(file, client, 137).await?;
    for n in 0..whole.below {
        stage.model.key(&format!("more-{n}"));
    }
    let new = issuer.choose(None, TAG).await.map_err(|error| error.to_string())?;
    let made = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    must(matches!(made, Outcome::Unknown { .. }) && stage.model.named(&new.principal) == 0, || {
        format!("a key is made although the list may be cut off: {made:?}")
    })
}

async fn denied(file: &Arc<File>, client: &Client) -> Result {
    if file.revoke.is_empty() || file.self_revocable() {
        return Ok(());
    }
    let stage = Stage::new(file, client, 101).await?;
    let (control, key) = (stage.model.key("control"), stage.model.key("leaked"));
    let pattern = file.example.admin.as_ref().unwrap_or(&file.example.value);
    let mut issuer = stage.issuer(&control, &super::expand(pattern, 4_711), LONG)?;
    let old = credential(&mut issuer, &key)?;
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let needs = file.revoke.iter().find_map(|call| call.value.needs.clone()).unwrap_or_default();
    let named = format!("{outcome:?}").contains(&needs);
    must(matches!(outcome, Outcome::NotApplied { retryable: false, .. }) && named, || {
        format!("{outcome:?}")
    })?;
    must(stage.model.alive(&key.id), || "it was revoked all the same".to_owned())
}

async fn urls(file: &Arc<File>, client: &Client) -> Result {
    if file.secret_in_url.is_some() {
        return Ok(());
    }
    let stage = Stage::new(file, client, 103).await?;
    let (mut issuer, key) = stage.usual()?;
    let old = credential(&mut issuer, &key)?;
    let admin = SecretValue::from_text(stage.model.admin());
    let mut watched = Canaries::of(&[&old.value, &admin]);
    // What is public of a value may stand in an address; the rest may not.
    if let Ok(parts) = super::door::key_for(file, Who::Key, &old.value) {
        for part in parts.names().filter(|part| !file.public.iter().any(|public| public == part)) {
            watched.add(&SecretValue::from_text(parts.part(part).unwrap_or_default().to_owned()));
        }
    }
    drop(issuer.perform(IssuerOp::Disable { old: &old }).await);
    drop(issuer.warnings(Some(&old.value)).await);
    let lines = stage.model.lines();
    must(!lines.is_empty(), || "nothing was sent".to_owned())?;
    watched.absent("an address", &lines.join("\n")).map_err(|violation| violation.to_string())
}
