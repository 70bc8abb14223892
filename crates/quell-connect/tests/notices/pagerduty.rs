//! `PagerDuty`, as a model of its Events API.

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Notice, Stage};
use quell_testkit::model::pagerduty::PagerDuty;
use serde_json::json;

use super::{LONG, SHORT, build, context, facts, not_applied, notice, unknown, value};

const KEY: &str = "CANARY0routing0key0of320letters0";

#[tokio::test]
async fn it_keeps_the_contract() {
    let model = PagerDuty::start().unwrap();
    let pager =
        build("pagerduty", &json!({"routing_key": "env:KEY", "url": model.addr()}), &context(KEY, LONG));
    conformance::notify(&*pager, &[&value(KEY)]).await.unwrap();
    assert_eq!(model.alerts().len(), 1, "a repeat pages nobody");
    assert!(model.lines().iter().all(|line| line == "POST /v2/enqueue HTTP/1.1"), "{:?}", model.lines());
    conformance::hung(LONG, |address| {
        let config = json!({"routing_key": "env:KEY", "url": format!("http://{address}")});
        Subject::Notify(build("pagerduty", &config, &context(KEY, SHORT)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_incident_is_one_alert_from_its_opening_to_its_proof() {
    let model = PagerDuty::start().unwrap();
    let config = json!({
        "routing_key": "env:KEY", "url": model.addr(), "component": "orders", "group": "shop",
    });
    let pager = build("pagerduty", &config, &context(KEY, LONG));
    for (stage, status) in [
        (Stage::Opened, "triggered"),
        (Stage::FirstResponse, "acknowledged"),
        (Stage::WithPeople, "acknowledged"),
        (Stage::Proven, "resolved"),
    ] {
        let sent = pager.send(&notice(stage)).await;
        assert_eq!(facts(&sent)["dedup_key"], "quell/7f3a/INC-2026-0007");
        let [alert] = &model.alerts()[..] else { panic!("{:?}", model.alerts()) };
        assert_eq!(alert.status, status, "{stage:?}");
    }
    let log = &model.alerts()[0].log;
    let actions: Vec<_> = log.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "trigger", "resolve"]);
    let payload = &log[0]["payload"];
    let expected = json!({
        "summary": "[SEV-2] INC-2026-0007: opened: a database password", "source": "quell 7f3a", "severity": "error",
        "class": "secret-leak", "component": "orders", "group": "shop",
        "custom_details": {
            "tags": ["secret-leak"], "incident": "INC-2026-0007", "severity": "SEV-2", "stage": "opened",
            "notice": "INC-2026-0007/1/notice.opened.ops", "text": "It is opened.\nÜnïcode, too.",
            "checkpoint": "quell/7f3a/ledger/1\n7\nAAAA\n",
        },
    });
    assert_eq!(*payload, expected);
    assert_eq!(log[0]["client_url"], "https://quell.example.com/incidents/INC-2026-0007");
    assert_eq!(log[3]["links"][0]["href"], "https://quell.example.com/incidents/INC-2026-0007");
    assert!(log[3].get("payload").is_none());

    // What the next plan finds is open again.
    facts(&pager.send(&notice(Stage::Opened)).await);
    assert_eq!(model.alerts().len(), 2);
    // Another installation's incident of the same number is another alert.
    let other = Notice { installation: "9c11".to_owned(), ..notice(Stage::Proven) };
    facts(&pager.send(&other).await);
    assert_eq!((model.alerts().len(), model.dropped()), (2, 1));
}

#[tokio::test]
async fn what_strangers_wrote_stays_one_line_that_is_short_enough() {
    let model = PagerDuty::start().unwrap();
    let pager =
        build("pagerduty", &json!({"routing_key": "env:KEY", "url": model.addr()}), &context(KEY, LONG));
    let odd =
        Notice { title: format!("two\nlines \u{1b}[31m{}", "ä".repeat(5000)), ..notice(Stage::Opened) };
    facts(&pager.send(&odd).await);
    let summary = model.alerts()[0].log[0]["payload"]["summary"].as_str().unwrap().to_owned();
    assert_eq!(summary.chars().count(), 1024);
    assert!(summary.starts_with("[SEV-2] two lines  [31mä"), "{summary}");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let model = PagerDuty::start().unwrap();
    let config = json!({"routing_key": "env:KEY", "url": model.addr()});
    let pager = build("pagerduty", &config, &context(KEY, LONG));
    model.limit(1, Some(17));
    let limited = pager.send(&notice(Stage::Opened)).await;
    assert_eq!((not_applied(&limited).1, not_applied(&limited).2), (true, Some(17_000)));
    model.limit(1, None);
    let limited = pager.send(&notice(Stage::Opened)).await;
    assert_eq!((not_applied(&limited).1, not_applied(&limited).2), (true, Some(30_000)));

    for status in [302, 401, 403, 404] {
        model.wall(Some(status));
        let walled = pager.send(&notice(Stage::Opened)).await;
        let (reason, again, _) = not_applied(&walled);
        assert!(!again && reason.contains("something else answered"), "{reason}");
    }
    // A wall that says yes has paged nobody.
    model.wall(Some(200));
    unknown(&pager.send(&notice(Stage::Opened)).await);
    model.wall(Some(202));
    unknown(&pager.send(&notice(Stage::Opened)).await);
    model.wall(None);

    // The service repeats what it was sent: the key stays out of the reason.
    model.reject(&format!("'routing_key' {KEY} is not known"));
    let refused = pager.send(&notice(Stage::Opened)).await;
    let (reason, again, _) = not_applied(&refused);
    assert!(!again && reason.ends_with("the event is invalid: 'routing_key' … is not known"), "{reason}");

    let nobody = Notice { severity: String::new(), title: String::new(), ..notice(Stage::Opened) };
    facts(&pager.send(&nobody).await);
    for wrong in ["short", "CANARY0routing0key0of320letters!", "CANARY0routing0key0of320letters0X"] {
        let pager = build("pagerduty", &config, &context(wrong, LONG));
        let refused = pager.send(&notice(Stage::Opened)).await;
        let (reason, _, _) = not_applied(&refused);
        assert!(reason.contains("32 letters and digits") && !reason.contains(wrong), "{reason}");
        assert!(!pager.check().await[0].ok);
    }
    assert_eq!(model.alerts().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_without_a_second_page() {
    let model = PagerDuty::start().unwrap();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], model.port()).into()).unwrap();
    let config = json!({"routing_key": "env:KEY", "url": format!("http://{}", proxy.address())});
    let pager = build("pagerduty", &config, &context(KEY, LONG));
    proxy.once(Fault::DropAnswer).await;
    unknown(&pager.send(&notice(Stage::Opened)).await);
    assert_eq!(model.alerts().len(), 1, "it arrived");
    facts(&pager.send(&notice(Stage::Opened)).await);
    for (status, taken) in [(500, true), (502, false), (503, true)] {
        model.break_down(1, status, taken);
        unknown(&pager.send(&notice(Stage::FirstResponse)).await);
    }
    facts(&pager.send(&notice(Stage::FirstResponse)).await);
    let [alert] = &model.alerts()[..] else { panic!("{:?}", model.alerts()) };
    assert_eq!(alert.status, "acknowledged");
    proxy.set(Fault::Refuse).await;
    let refused = pager.send(&notice(Stage::Proven)).await;
    assert!(not_applied(&refused).1);
}
