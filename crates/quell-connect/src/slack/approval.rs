//! What people say by a button: that it is from Slack, who it was, and what exactly was approved.
//!
//! Source: docs.slack.dev, "Verifying requests from Slack" and "`block_actions` payload", read 2026-11. Nothing here asks anybody: a body comes
//! in, a decision or a refusal goes out. Whether the person may approve, and whether the plan is still that one, the machine says.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use quell_core::secret::SecretValue;
use quell_core::{IncidentId, StepId};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::source::SecretSource;

/// The header with the signature.
pub const SIGNATURE: &str = "X-Slack-Signature";
/// The header with the moment of sending, in Unix seconds.
pub const TIMESTAMP: &str = "X-Slack-Request-Timestamp";
/// Older or newer requests are refused, in seconds.
pub const WINDOW: i64 = 300;
/// A body that is longer is no press of a button.
pub const BODY_MAX: usize = 1 << 20;

pub(super) const APPROVE: &str = "quell.approve";
pub(super) const REFUSE: &str = "quell.refuse";

/// Why a request decides nothing. It holds nothing of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The timestamp is no number, or too far from now.
    #[error("the request is older than five minutes, or its clock is wrong: press the button again")]
    Late,
    /// The signature is not the app's.
    #[error(
        "the request is not signed with the app's signing secret: compare `signing_secret` with the app's page"
    )]
    NotSlack,
    /// It is not a press of one of our buttons.
    #[error("this is not an answer to a question of Quell")]
    NotOurs,
    /// Whoever pressed it stands in no table.
    #[error("this user of Slack may not approve: add the id to `users` of the channel")]
    UnknownUser,
}

/// What was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// Yes.
    Approve,
    /// No.
    Refuse,
}

/// One person's word on one step of one plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The incident.
    pub incident: IncidentId,
    /// The step.
    pub step: StepId,
    /// The plan that was shown: an approval is for no other.
    pub plan_hash: String,
    /// Yes or no.
    pub choice: Choice,
    /// Whose word, by the table.
    pub by: String,
}

/// Takes decisions for one channel of the inventory.
#[derive(Debug)]
pub struct Desk {
    signing_secret: SecretSource,
    users: BTreeMap<String, String>,
    context: Context,
}

impl Desk {
    /// The desk of a `slack` channel. `None` when it takes no approvals.
    pub fn open(config: &Value, context: &Context) -> Result<Option<Self>, ConfigError> {
        let config = super::read(config)?;
        let users = config.users;
        let desk = |signing_secret| Self { signing_secret, users, context: context.clone() };
        Ok(config.signing_secret.map(desk))
    }

    /// Verifies the raw body with its two headers, then reads it. An error of the connector means that the signing secret cannot be had.
    pub async fn decide(
        &self,
        timestamp: &str,
        signature: &str,
        raw_body: &[u8],
        now: Timestamp,
    ) -> Result<Result<Decision, Refused>, ConnectError> {
        let secret = self.signing_secret.resolve(&self.context).await?;
        Ok(verify(&secret, timestamp, signature, raw_body, now)
            .and_then(|()| decision(raw_body, &self.users)))
    }
}

/// Is it from Slack, and new? `v0=` and hex of HMAC-SHA-256 over `v0:TIMESTAMP:BODY`, compared in constant time.
pub fn verify(
    secret: &SecretValue,
    timestamp: &str,
    signature: &str,
    raw_body: &[u8],
    now: Timestamp,
) -> Result<(), Refused> {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
    let sent: i64 = timestamp.parse().ok().filter(|_| digits).ok_or(Refused::Late)?;
    if now.as_second().abs_diff(sent) > WINDOW.unsigned_abs() {
        return Err(Refused::Late);
    }
    let told =
        signature.strip_prefix("v0=").and_then(|hex| hex::decode(hex).ok()).ok_or(Refused::NotSlack)?;
    let key = Some(secret.expose()).filter(|key| !key.is_empty()).ok_or(Refused::NotSlack)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_e| Refused::NotSlack)?;
    for part in [b"v0:".as_slice(), timestamp.as_bytes(), b":", raw_body] {
        mac.update(part);
    }
    mac.verify_slice(&told).map_err(|_e| Refused::NotSlack)
}

#[derive(Deserialize)]
struct Payload {
    r#type: String,
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

/// What a button carries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    incident: String,
    step: String,
    plan: String,
}

/// Reads a verified body: a form with one field, `payload`.
pub fn decision(raw_body: &[u8], users: &BTreeMap<String, String>) -> Result<Decision, Refused> {
    if raw_body.len() > BODY_MAX {
        return Err(Refused::NotOurs);
    }
    let mut fields = url::form_urlencoded::parse(raw_body).filter(|(name, _)| name == "payload");
    let (Some((_, payload)), None) = (fields.next(), fields.next()) else { return Err(Refused::NotOurs) };
    let payload: Payload = serde_json::from_str(&payload).map_err(|_e| Refused::NotOurs)?;
    let [action] = &payload.actions[..] else { return Err(Refused::NotOurs) };
    let choice = match action.action_id.as_str() {
        APPROVE => Choice::Approve,
        REFUSE => Choice::Refuse,
        _ => return Err(Refused::NotOurs),
    };
    if payload.r#type != "block_actions" {
        return Err(Refused::NotOurs);
    }
    let asked: Asked = serde_json::from_str(&action.value).map_err(|_e| Refused::NotOurs)?;
    let is_hash = asked.plan.len() == 64 && asked.plan.bytes().all(|b| b.is_ascii_hexdigit());
    let decision = Decision {
        incident: asked.incident.parse().map_err(|_e| Refused::NotOurs)?,
        step: asked.step.parse().map_err(|_e| Refused::NotOurs)?,
        plan_hash: Some(asked.plan).filter(|_| is_hash).ok_or(Refused::NotOurs)?,
        choice,
        by: users.get(&payload.user.id).cloned().ok_or(Refused::UnknownUser)?,
    };
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Slack's page on signatures.
    const EXAMPLE_KEY: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const EXAMPLE_AT: &str = "1531420618";
    const EXAMPLE_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const EXAMPLE_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn key(text: &str) -> SecretValue {
        SecretValue::from_text(text.to_owned())
    }

    #[test]
    fn the_published_example_verifies_within_five_minutes() {
        let check = |timestamp: &str, signature: &str, body: &str, now: i64| {
            verify(&key(EXAMPLE_KEY), timestamp, signature, body.as_bytes(), at(now))
        };
        let (sent, good) = (1_531_420_618, EXAMPLE_SIGNATURE);
        for now in [sent, sent - 300, sent + 300] {
            assert_eq!(check(EXAMPLE_AT, good, EXAMPLE_BODY, now), Ok(()), "{now}");
        }
        for now in [sent - 301, sent + 301, 0] {
            assert_eq!(check(EXAMPLE_AT, good, EXAMPLE_BODY, now), Err(Refused::Late), "{now}");
        }
        for timestamp in ["", "now", "+1531420618", " 1531420618", "99999999999999999999"] {
            assert_eq!(check(timestamp, good, EXAMPLE_BODY, sent), Err(Refused::Late), "{timestamp}");
        }
        let other = format!("{EXAMPLE_BODY} ");
        let short: String = good.chars().take(20).collect();
        let upper = good.replace("v0=", "v1=");
        for (signature, body) in [
            (good, other.as_str()),
            (&short, EXAMPLE_BODY),
            (&upper, EXAMPLE_BODY),
            ("", EXAMPLE_BODY),
            ("v0=", EXAMPLE_BODY),
            ("v0=zz", EXAMPLE_BODY),
        ] {
            assert_eq!(check(EXAMPLE_AT, signature, body, sent), Err(Refused::NotSlack), "{signature}");
        }
        // The moment is signed, too.
        assert_eq!(check("1531420619", good, EXAMPLE_BODY, sent), Err(Refused::NotSlack));
        for wrong in ["", "another"] {
            let refused = verify(&key(wrong), EXAMPLE_AT, good, EXAMPLE_BODY.as_bytes(), at(sent));
            assert_eq!(refused, Err(Refused::NotSlack));
        }
    }

    fn body(kind: &str, user: &str, actions: &Value) -> String {
        let payload = serde_json::json!({
            "type": kind, "user": { "id": user, "username": "otto", "team_id": "T1" }, "api_app_id": "A1",
            "container": { "type": "message", "message_ts": "1.2", "channel_id": "C1" }, "actions": actions,
            "response_url": "https://hooks.slack.com/actions/T1/1/x", "trigger_id": "1.2.x",
        });
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &payload.to_string());
        form.finish()
    }

    fn press(action: &str, incident: &str, step: &str, plan: &str) -> Value {
        let value = serde_json::json!({ "incident": incident, "step": step, "plan": plan }).to_string();
        serde_json::json!([{ "type": "button", "action_id": action, "block_id": "quell.ask.0", "value": value, "action_ts": "1.3" }])
    }

    #[test]
    fn a_button_gives_exactly_what_was_asked_and_who_said_it() {
        let users = BTreeMap::from([("U0INES".to_owned(), "ines".to_owned())]);
        let plan = "ab".repeat(32);
        for (action, choice) in [(APPROVE, Choice::Approve), (REFUSE, Choice::Refuse)] {
            let body =
                body("block_actions", "U0INES", &press(action, "INC-2026-0007", "orders-db.disable", &plan));
            let expected = Decision {
                incident: "INC-2026-0007".parse().unwrap(),
                step: "orders-db.disable".parse().unwrap(),
                plan_hash: plan.clone(),
                choice,
                by: "ines".to_owned(),
            };
            assert_eq!(decision(body.as_bytes(), &users), Ok(expected));
        }
        let good = press(APPROVE, "INC-2026-0007", "orders-db.disable", &plan);
        // Names are not believed: anybody can call himself `ines`.
        for stranger in ["U0OTTO", "ines", "", "u0ines"] {
            let body = body("block_actions", stranger, &good);
            assert_eq!(decision(body.as_bytes(), &users), Err(Refused::UnknownUser), "{stranger}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_of_strangers_decide_nothing(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            text in "payload=[%{}a-z0-9\":,]{0,120}",
        ) {
            let users = BTreeMap::from([("U0INES".to_owned(), "ines".to_owned())]);
            proptest::prop_assert_eq!(decision(&bytes, &users), Err(Refused::NotOurs));
            proptest::prop_assert_eq!(decision(text.as_bytes(), &users), Err(Refused::NotOurs));
            let refused = verify(&key("key"), EXAMPLE_AT, &text, &bytes, at(1_531_420_618));
            proptest::prop_assert_eq!(refused, Err(Refused::NotSlack));
        }
    }

    #[test]
    fn what_is_not_one_press_of_our_button_decides_nothing() {
        let users = BTreeMap::from([("U0INES".to_owned(), "ines".to_owned())]);
        let plan = "ab".repeat(32);
        let good = press(APPROVE, "INC-2026-0007", "db.disable", &plan);
        let two = serde_json::json!([good[0], good[0]]);
        let mut more: Value = good.clone();
        more[0]["value"] = serde_json::json!(
            "{\"incident\":\"INC-2026-0007\",\"step\":\"db.disable\",\"plan\":\"x\",\"by\":\"otto\"}"
        );
        let twice = format!("{}&payload=x", body("block_actions", "U0INES", &good));
        for (n, odd) in [
            body("view_submission", "U0INES", &good),
            body("block_actions", "U0INES", &two),
            body("block_actions", "U0INES", &serde_json::json!([])),
            body("block_actions", "U0INES", &more),
            body("block_actions", "U0INES", &press("quell.other", "INC-2026-0007", "db.disable", &plan)),
            body("block_actions", "U0INES", &press(APPROVE, "INC-7", "db.disable", &plan)),
            body("block_actions", "U0INES", &press(APPROVE, "INC-2026-0007", "", &plan)),
            body("block_actions", "U0INES", &press(APPROVE, "INC-2026-0007", "db.disable", "short")),
            "payload=%7B".to_owned(),
            String::new(),
            EXAMPLE_BODY.to_owned(),
            twice,
            format!("payload={}", "x".repeat(BODY_MAX)),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(decision(odd.as_bytes(), &users), Err(Refused::NotOurs), "{n}");
        }
    }
}
