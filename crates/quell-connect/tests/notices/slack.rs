//! Slack, as a model of its Web API.

use jiff::Timestamp;
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Ask, Notice, Notify, Stage};
use quell_connect::slack::approval::{Choice, Desk, Refused};
use quell_core::outcome::Outcome;
use quell_testkit::model::slack::Slack;
use serde_json::{Value, json};

use super::{LONG, SHORT, build, context, facts, not_applied, notice, unknown, value, with};

const TOKEN: &str = "CANARY-bot-token";
const CHANNEL: &str = "C0SECURITY";
const SIGNING: &str = "CANARY-signing-secret";

fn config(url: &str) -> Value {
    json!({"token": "env:KEY", "channel": CHANNEL, "url": url})
}

fn slack(url: &str) -> Box<dyn Notify> {
    build("slack", &config(url), &context(TOKEN, LONG))
}

/// The ids in the metadata, oldest first, of what the bot wrote.
fn ids(model: &Slack) -> Vec<String> {
    let messages = model.messages(CHANNEL);
    let ours = messages.iter().filter(|it| it["user"] == "U0QUELL");
    ours.map(|it| it["metadata"]["event_payload"]["id"].as_str().unwrap().to_owned()).collect()
}

/// As the driver gives it back with later notices.
fn after(first: &Outcome, notice: Notice) -> Notice {
    Notice { first: facts(first).clone(), ..notice }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    conformance::notify(&*slack(&model.addr()), &[&value(TOKEN)]).await.unwrap();
    assert_eq!(ids(&model), ["conformance-1"]);
    assert!(model.lines().iter().all(|line| !line.contains("CANARY")), "{:?}", model.lines());
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}/api"));
        Subject::Notify(build("slack", &config, &context(TOKEN, SHORT)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_incident_is_one_message_that_shows_how_it_stands_and_a_thread() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let slack = slack(&model.addr());
    let opened = slack.send(&notice(Stage::Opened)).await;
    let head = facts(&opened)["ts"].clone();
    // People talk meanwhile: what the ledger knows is found without reading all of it.
    for _ in 0..20 {
        model.say(CHANNEL, "U0INES", &Value::Null);
    }
    for stage in [Stage::FirstResponse, Stage::Proven] {
        let notice = after(&opened, notice(stage));
        let sent = slack.send(&notice).await;
        assert_eq!(facts(&sent)["head"], head);
        assert_eq!(slack.send(&notice).await, sent, "found, not posted again");
        assert_eq!(slack.seen(&notice).await, sent);
    }
    let messages = model.messages(CHANNEL);
    let ours: Vec<&Value> = messages.iter().filter(|it| it["user"] == "U0QUELL").collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert_eq!((&ours[0]["ts"], &ours[1]["thread_ts"], &ours[2]["thread_ts"]), (&head, &head, &head));
    assert_eq!(ours[0]["text"], "[SEV-2] INC-2026-0007: contained: a database password");
    let blocks = ours[0]["blocks"].to_string();
    assert!(blocks.contains("proven inert") && !blocks.contains("nothing has been done"), "{blocks}");
    assert!(blocks.contains("<https://quell.example.com/incidents/INC-2026-0007|INC-2026-0007>"), "{blocks}");
    assert!(blocks.contains("quell/7f3a/ledger/1 7 AAAA"), "{blocks}");
}

#[tokio::test]
async fn without_what_the_first_step_said_the_message_is_found_among_others() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let slack = slack(&model.addr());
    let opened = slack.send(&notice(Stage::Opened)).await;
    for _ in 0..8 {
        model.say(CHANNEL, "U0INES", &Value::Null);
    }
    let sent = slack.send(&notice(Stage::Proven)).await;
    assert_eq!(facts(&sent)["head"], facts(&opened)["ts"]);
    // Another installation's incident of that number is another message.
    let other = Notice { installation: "9c11".to_owned(), ..notice(Stage::Opened) };
    assert_ne!(facts(&slack.send(&other).await)["head"], facts(&opened)["ts"]);
    // Somebody deleted it: the next notice stands by itself.
    model.delete(CHANNEL, facts(&opened)["ts"].as_str().unwrap());
    let next = Notice { id: "INC-2026-0007/2/notice.opened.ops".to_owned(), ..notice(Stage::Opened) };
    let next = slack.send(&after(&opened, next)).await;
    assert_eq!(facts(&next)["head"], facts(&next)["ts"]);
}

#[tokio::test]
async fn what_others_wrote_is_not_believed() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let first = notice(Stage::Opened);
    let payload = json!({ "id": first.id, "shows": first.id, "incident": first.incident, "installation": first.installation });
    model.say(CHANNEL, "U0EVIL", &json!({ "event_type": "quell_notice", "event_payload": payload }));
    let slack = slack(&model.addr());
    assert!(not_applied(&slack.seen(&first).await).1, "a look-alike hides nothing");
    facts(&slack.send(&first).await);
    assert_eq!(ids(&model), [first.id]);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_message_wherever_it_was_lost() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], model.port()).into()).unwrap();
    let slack = slack(&format!("http://{}/api", proxy.address()));
    let mut first = None;
    for stage in [Stage::Opened, Stage::FirstResponse, Stage::Proven] {
        let notice = first.iter().fold(notice(stage), |it, first| after(first, it));
        for method in ["chat.postMessage", "chat.update"] {
            if stage == Stage::Opened && method == "chat.update" {
                continue;
            }
            proxy.once(Fault::DropAnswerTo(method.as_bytes().to_vec())).await;
            unknown(&slack.send(&notice).await);
            // What the plan does: it looks, and performs what is not there.
            match slack.seen(&notice).await {
                Outcome::Applied { .. } => {}
                Outcome::NotApplied { retryable, .. } => assert!(retryable && method == "chat.postMessage"),
                Outcome::Unknown { reason } => panic!("{reason}"),
            }
        }
        let sent = slack.send(&notice).await;
        assert_eq!(slack.seen(&notice).await, sent);
        first.get_or_insert(sent);
    }
    let expected = [Stage::Opened, Stage::FirstResponse, Stage::Proven].map(|stage| notice(stage).id);
    assert_eq!(ids(&model), expected);
    assert_eq!(proxy.struck(), 5);
    // The server says that it does not know, and had done it.
    let again = Notice { id: "INC-2026-0007/2/notice.opened.ops".to_owned(), ..notice(Stage::Opened) };
    model.fail("chat.postMessage", "fatal_error", true);
    unknown(&slack.send(&again).await);
    facts(&slack.send(&again).await);
    assert_eq!(ids(&model).len(), 4);
    proxy.set(Fault::Refuse).await;
    assert!(not_applied(&slack.send(&again).await).1);
    unknown(&slack.seen(&again).await);
}

#[tokio::test]
async fn refusals_say_what_to_change() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let slack = slack(&model.addr());
    for method in ["chat.postMessage", "conversations.history", "auth.test"] {
        model.limit(method, 1, 3);
        let limited = slack.send(&notice(Stage::Opened)).await;
        assert_eq!((not_applied(&limited).1, not_applied(&limited).2), (true, Some(3000)), "{method}");
    }
    model.fail("chat.postMessage", "ratelimited", false);
    assert!(not_applied(&slack.send(&notice(Stage::Opened)).await).1);
    for (error, fix) in [
        ("not_in_channel", "/invite"),
        ("channel_not_found", "correct `channel`"),
        ("is_archived", "name another one"),
        ("invalid_auth", "install the app again"),
        ("token_revoked", "install the app again"),
        ("msg_blocks_too_long", "does not take this message"),
        ("restricted_action", "says why"),
    ] {
        model.fail("chat.postMessage", error, false);
        let refused = slack.send(&notice(Stage::Opened)).await;
        let (reason, again, _) = not_applied(&refused);
        assert!(!again && reason.contains(error) && reason.contains(fix), "{reason}");
    }
    for (status, lost) in [(302, false), (403, false), (502, true), (200, true)] {
        model.wall(Some(status));
        let walled = slack.send(&notice(Stage::Opened)).await;
        if lost {
            unknown(&walled);
        } else {
            assert!(not_applied(&walled).0.contains("something else answered"), "{walled:?}");
        }
        unknown(&slack.seen(&notice(Stage::Opened)).await);
    }
    model.wall(None);
    assert_eq!(ids(&model), [""; 0]);

    // As the model itself refuses, and as a check says it beforehand.
    model.bot("little", "U0LITTLE", &["chat:write"]);
    model.invite("U0LITTLE", CHANNEL);
    model.bot("stranger", "U0STRANGER", &["chat:write", "channels:history"]);
    for (token, words) in [
        ("little", "the scope `channels:history`"),
        ("stranger", "/invite"),
        ("nobody", "invalid_auth"),
        ("two words", "characters that no token has"),
    ] {
        let slack = build("slack", &config(&model.addr()), &context(token, LONG));
        let refused = slack.send(&notice(Stage::Opened)).await;
        let (reason, again, _) = not_applied(&refused);
        assert!(!again && reason.contains(words), "{reason}");
        let checks = slack.check().await;
        assert!(checks.iter().any(|check| !check.ok && check.detail.contains(words)), "{checks:?}");
    }
    // Threads may be closed to a token that reads the channel.
    model.say(CHANNEL, "U0INES", &Value::Null);
    assert!(slack.check().await.iter().all(|check| check.ok));
    model.fail("conversations.replies", "not_allowed_token_type", false);
    let checks = slack.check().await;
    assert!(checks.iter().any(|check| !check.ok && check.detail.contains("granular scopes")), "{checks:?}");
    model.archive(CHANNEL);
    assert!(not_applied(&slack.send(&notice(Stage::Opened)).await).0.contains("is_archived"));
}

#[tokio::test]
async fn a_button_approves_what_it_showed_and_nothing_else() {
    let model = Slack::start(TOKEN, CHANNEL).unwrap();
    let context = with(context(TOKEN, LONG), "SIGNING", SIGNING);
    let mut config = config(&model.addr());
    config["signing_secret"] = json!("env:SIGNING");
    config["users"] = json!({"U0INES": "ines"});
    let slack = build("slack", &config, &context);
    let plan_hash = "ab".repeat(32);
    let ask = Ask {
        step: "orders-db.disable".to_owned(),
        plan_hash: plan_hash.clone(),
        what: "make <postgres> refuse the old value".to_owned(),
        needed: 2,
    };
    let asking = Notice { asks: vec![ask], ..notice(Stage::Opened) };
    facts(&slack.send(&asking).await);
    let message = model.messages(CHANNEL).pop().unwrap();
    let blocks = message["blocks"].as_array().unwrap();
    let buttons =
        blocks.iter().find(|block| block["type"] == "actions").unwrap()["elements"].as_array().unwrap();
    let desk = Desk::open(&config, &context).unwrap().unwrap();
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    for (button, choice) in [(&buttons[0], Choice::Approve), (&buttons[1], Choice::Refuse)] {
        let press = |user: &str| {
            let payload = json!({ "type": "block_actions", "user": { "id": user }, "actions": [button] });
            let mut form = url_form();
            form.append_pair("payload", &payload.to_string());
            form.finish()
        };
        let (body, at) = (press("U0INES"), now.as_second().to_string());
        let signature = signed(SIGNING, &at, &body);
        let decided = desk.decide(&at, &signature, body.as_bytes(), now).await.unwrap().unwrap();
        assert_eq!((decided.choice, decided.by.as_str()), (choice, "ines"));
        assert_eq!(
            (decided.incident.to_string(), decided.step.to_string()),
            ("INC-2026-0007".to_owned(), "orders-db.disable".to_owned())
        );
        assert_eq!(decided.plan_hash, plan_hash);
        // Without the signature nobody is asked who it was.
        let forged = signed("another secret", &at, &body);
        assert_eq!(desk.decide(&at, &forged, body.as_bytes(), now).await.unwrap(), Err(Refused::NotSlack));
        let stranger = press("U0OTTO");
        let signature = signed(SIGNING, &at, &stranger);
        assert_eq!(
            desk.decide(&at, &signature, stranger.as_bytes(), now).await.unwrap(),
            Err(Refused::UnknownUser)
        );
    }
    // What waits no more has no button.
    let opened = slack.seen(&asking).await;
    facts(&slack.send(&after(&opened, notice(Stage::FirstResponse))).await);
    let head = model.messages(CHANNEL).swap_remove(0);
    assert!(!head["blocks"].to_string().contains("orders-db.disable"), "{head}");
    // A channel without a table takes no approvals.
    let plain = json!({"token": "env:KEY", "channel": CHANNEL});
    assert!(Desk::open(&plain, &context).unwrap().is_none());
}

fn url_form() -> url::form_urlencoded::Serializer<'static, String> {
    url::form_urlencoded::Serializer::new(String::new())
}

fn signed(secret: &str, at: &str, body: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{body}").as_bytes());
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn mistakes_in_the_inventory_are_named() {
    let build = quell_connect::find("slack").unwrap().notify.unwrap();
    for (odd, words) in [
        (json!({"channel": "#security"}), "not the id of a channel"),
        (json!({"channel": "security"}), "not the id of a channel"),
        (json!({"users": {"U0INES": "ines"}}), "`users` and `signing_secret`"),
        (json!({"signing_secret": "env:KEY"}), "`users` and `signing_secret`"),
        (json!({"users": {"ines": "ines"}, "signing_secret": "env:KEY"}), "not the id of a user"),
        (json!({"users": {"U0INES": " "}, "signing_secret": "env:KEY"}), "not the id of a user"),
        (json!({"url": "http://slack.example.com"}), "in clear"),
    ] {
        let mut config = json!({"token": "env:KEY", "channel": CHANNEL});
        config.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
        let error = build(&config, &context(TOKEN, LONG)).err().unwrap();
        assert!(error.message.contains(words), "{error}");
    }
}
