//! Mail, by a real server with TLS and a login.

use quell_connect::conformance::{self, Fault as Net, FlakyProxy, Subject};
use quell_connect::connector::{Notice, Notify, Stage};
use quell_testkit::smtp::{Fault, Server};
use serde_json::{Value, json};

use super::{LONG, SHORT, build, context, facts, not_applied, notice, unknown, value};

const PASSWORD: &str = "CANARY-mail-password";

fn config(server: &Server, port: u16, tls: &str) -> Value {
    json!({
        "host": "127.0.0.1", "port": port, "tls": tls, "user": quell_testkit::smtp::USER, "password": "env:KEY",
        "from": "Quell <quell@example.com>", "to": ["ines@example.com"], "ca": server.certificate(),
    })
}

fn mail(config: &Value) -> Box<dyn Notify> {
    build("smtp", config, &context(PASSWORD, LONG))
}

fn to(mut config: Value, to: &[&str]) -> Box<dyn Notify> {
    config["to"] = json!(to);
    mail(&config)
}

#[tokio::test]
async fn it_keeps_the_contract_by_both_kinds_of_tls() {
    let server = Server::start(PASSWORD).unwrap();
    for (port, tls) in [(server.implicit(), "implicit"), (server.starttls(), "starttls")] {
        let mail = mail(&config(&server, port, tls));
        conformance::notify(&*mail, &[&value(PASSWORD)]).await.unwrap();
    }
    let taken = server.taken().unwrap();
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().all(|it| it["tls"] == true && it["login"] == true), "{taken:?}");
    conformance::hung(LONG, |address| {
        let mut config = config(&server, address.port(), "implicit");
        config["host"] = json!("127.0.0.1");
        Subject::Notify(build("smtp", &config, &context(PASSWORD, SHORT)))
    })
    .await
    .unwrap();
    conformance::hung(LONG, |address| {
        let config = config(&server, address.port(), "starttls");
        Subject::Notify(build("smtp", &config, &context(PASSWORD, SHORT)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_notice_is_a_message_that_a_mail_program_reads() {
    let server = Server::start(PASSWORD).unwrap();
    let mail =
        to(config(&server, server.implicit(), "implicit"), &["Ines <ines@example.com>", "otto@example.com"]);
    let odd = Notice {
        title: "Größe\r\nBcc: all@example.com".to_owned(),
        body: ".\r\n.\r\nend".to_owned(),
        ..notice(Stage::Opened)
    };
    let sent = mail.send(&odd).await;
    let [message] = &server.taken().unwrap()[..] else { panic!("one message") };
    assert_eq!(
        (&message["from"], &message["to"]),
        (&json!("quell@example.com"), &json!(["ines@example.com", "otto@example.com"]))
    );
    let read = parsed(message["content"].as_str().unwrap());
    assert_eq!(read["subject"], "[SEV-2] Größe  Bcc: all@example.com");
    assert_eq!((&read["bcc"], &read["auto"]), (&Value::Null, &json!("auto-generated")));
    assert_eq!(read["id"], facts(&sent)["message_id"]);
    let body = read["body"].as_str().unwrap();
    assert!(
        body.contains("\n.\n.\nend") && body.contains("https://quell.example.com/incidents/INC-2026-0007"),
        "{body}"
    );
    assert!(body.contains("quell/7f3a/ledger/1\n7\nAAAA"), "{body}");
}

/// By the parser of Python's standard library.
fn parsed(message: &str) -> Value {
    let script = "import email, email.policy, json, sys\n\
        m = email.message_from_string(sys.stdin.read(), policy=email.policy.default)\n\
        print(json.dumps({'subject': m['subject'], 'bcc': m['bcc'], 'auto': m['auto-submitted'], 'id': m['message-id'],\n\
        'body': m.get_content().replace('\\r\\n', '\\n')}))";
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), message.as_bytes()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn a_lost_answer_is_unknown_only_after_the_message() {
    let server = Server::start(PASSWORD).unwrap();
    let mail = mail(&config(&server, server.implicit(), "implicit"));
    server.fault(Fault::AfterSender).unwrap();
    assert!(not_applied(&mail.send(&notice(Stage::Opened)).await).1, "nothing was sent");
    for (fault, taken) in [(Fault::BeforeTaken, 0), (Fault::AfterTaken, 1)] {
        server.fault(fault).unwrap();
        let reason = mail.send(&notice(Stage::Opened)).await;
        assert!(unknown(&reason).contains("the server may have it"), "{reason:?}");
        assert_eq!(server.taken().unwrap().len(), taken);
    }
    let sent = mail.send(&notice(Stage::Opened)).await;
    let taken = server.taken().unwrap();
    let ids: Vec<Value> =
        taken.iter().map(|it| parsed(it["content"].as_str().unwrap())["id"].clone()).collect();
    assert_eq!(ids, vec![facts(&sent)["message_id"].clone(); 2], "a repeat is a duplicate to mail systems");

    let proxy = FlakyProxy::start(([127, 0, 0, 1], server.implicit()).into()).unwrap();
    let mail = to(config(&server, proxy.address().port(), "implicit"), &["ines@example.com"]);
    facts(&mail.send(&notice(Stage::Proven)).await);
    proxy.set(Net::Refuse).await;
    assert!(not_applied(&mail.send(&notice(Stage::Proven)).await).1);
}

#[tokio::test]
async fn refusals_say_what_to_change() {
    let server = Server::start(PASSWORD).unwrap();
    let good = || config(&server, server.starttls(), "starttls");
    for (people, words, again) in [
        (
            ["refuse@example.com"].as_slice(),
            "0 of 1 got it: refuse@example.com: permanent error (550)",
            false,
        ),
        (&["busy@example.com"], "0 of 1 got it: busy@example.com: transient error (451)", true),
        (&["ines@example.com", "refuse@example.com"], "1 of 2 got it: refuse@example.com", false),
        (&["busy@example.com", "refuse@example.com", "ines@example.com"], "1 of 3 got it", false),
        (&["full@example.com"], "(552)", false),
    ] {
        let refused = to(good(), people).send(&notice(Stage::Opened)).await;
        let (reason, retryable, after) = not_applied(&refused);
        assert!(retryable == again && reason.contains(words), "{reason}");
        assert_eq!(after, again.then_some(30_000));
    }
    assert_eq!(server.taken().unwrap().len(), 2, "who was not refused got it");

    // The server repeats the password that it refuses; nobody else does.
    let wrong = build("smtp", &good(), &context("CANARY-wrong", LONG));
    let refused = wrong.send(&notice(Stage::Opened)).await;
    let (reason, again, _) = not_applied(&refused);
    assert!(!again && reason.contains("535") && !reason.contains("CANARY"), "{reason}");
    let checks = wrong.check().await;
    assert!(!checks[0].ok && !checks[0].detail.contains("CANARY"), "{checks:?}");

    let clear = mail(&config(&server, server.clear(), "starttls"));
    let refused = clear.send(&notice(Stage::Opened)).await;
    assert!(not_applied(&refused).0.contains("offers no STARTTLS"), "{refused:?}");
    // Speaking TLS to a port that does not: nothing is sent.
    not_applied(&mail(&config(&server, server.clear(), "implicit")).send(&notice(Stage::Opened)).await);
    let mut untrusted = config(&server, server.implicit(), "implicit");
    untrusted.as_object_mut().unwrap().remove("ca");
    let refused = mail(&untrusted).send(&notice(Stage::Opened)).await;
    assert!(not_applied(&refused).0.contains("certificate"), "{refused:?}");
    let mut other = config(&server, server.implicit(), "implicit");
    other["host"] = json!("127.0.0.2");
    not_applied(&mail(&other).send(&notice(Stage::Opened)).await);
    let mut nobody = config(&server, server.implicit(), "implicit");
    nobody.as_object_mut().unwrap().retain(|name, _| name != "user" && name != "password");
    let refused = mail(&nobody).send(&notice(Stage::Opened)).await;
    assert!(!not_applied(&refused).1, "{refused:?}");
    assert_eq!(server.taken().unwrap().len(), 2);
}

#[test]
fn mistakes_in_the_inventory_are_named() {
    let build = quell_connect::find("smtp").unwrap().notify.unwrap();
    for (odd, words) in [
        (json!({"to": []}), "nobody gets it"),
        (json!({"to": ["ines"]}), "not an address"),
        (json!({"to": ["ines@example.com\r\nRCPT TO:<x@y>"]}), "not an address"),
        (json!({"from": "Quell\n <quell@example.com>"}), "not an address"),
        (json!({"to": ["größe@example.com"]}), "not an address"),
        (json!({"host": "a b"}), "not the name of a server"),
        (json!({"user": "quell"}), "`user` and `password`"),
        (json!({"tls": "none"}), "unknown variant"),
    ] {
        let mut config = json!({"host": "h", "from": "quell@example.com", "to": ["ines@example.com"]});
        config.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
        let error = build(&config, &context("x", LONG)).err().unwrap();
        assert!(error.message.contains(words), "{error}");
    }
}
