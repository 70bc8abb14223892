use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quell_connect::conformance;
use quell_connect::error::ConnectErrorKind;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{context, not_applied, observe, reload, wait_for};

/// A consumer that counts hangups in a file, ended on drop.
struct Consumer {
    folder: TempDir,
    child: Child,
}

impl Consumer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut consumer = Self { child: spawn(folder.path()), folder };
        consumer.publish();
        consumer
    }

    fn publish(&mut self) {
        let ready = self.folder.path().join("ready");
        wait_for("the consumer", || ready.exists());
        fs::write(self.folder.path().join("pid"), format!("{}\n", self.child.id())).unwrap();
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }
}

fn spawn(folder: &Path) -> Child {
    let script = "trap 'echo hup >> seen' HUP; : > ready; while :; do sleep 0.02; done";
    Command::new("sh").args(["-c", script]).current_dir(folder).stdin(Stdio::null()).spawn().unwrap()
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.end();
    }
}

fn config(more: &Value) -> Value {
    let mut process = json!({ "pidfile": "pid" });
    process.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "process": process })
}

#[tokio::test]
async fn the_contract_holds_and_the_signal_arrives() {
    let consumer = Consumer::start();
    let context = context(consumer.folder.path());
    let exe = fs::read_link(format!("/proc/{}/exe", consumer.child.id())).unwrap();
    let exe = exe.to_str().unwrap();
    conformance::reload(&*reload("process", &config(&json!({ "signal": "HUP" })), &context), &[])
        .await
        .unwrap();
    conformance::reload(&*reload("process", &config(&json!({ "name": "sh", "exe": exe })), &context), &[])
        .await
        .unwrap();
    conformance::observe(&*observe("process", &config(&json!({ "name": "sh" })), &context), &[])
        .await
        .unwrap();
    let seen = consumer.folder.path().join("seen");
    wait_for("the signal", || seen.exists());
}

#[tokio::test]
async fn a_restart_is_a_new_generation_and_a_dead_process_is_unhealthy() {
    let mut consumer = Consumer::start();
    let context = context(consumer.folder.path());
    let observe = observe("process", &config(&json!({})), &context);
    let before = observe.see().await.unwrap();
    let terminate = reload("process", &config(&json!({ "signal": "TERM" })), &context);
    assert!(terminate.reload().await.is_applied());
    consumer.child.wait().unwrap();
    assert!(!observe.see().await.unwrap().healthy);
    assert!(not_applied(terminate.reload().await).1, "a supervisor may be starting it");

    consumer.child = spawn(consumer.folder.path());
    consumer.publish();
    let after = observe.see().await.unwrap();
    assert!(after.healthy && before.generation != after.generation);
}

#[tokio::test]
async fn a_zombie_is_dead() {
    let mut consumer = Consumer::start();
    consumer.child.kill().unwrap();
    let stat = format!("/proc/{}/stat", consumer.child.id());
    wait_for("the zombie", || fs::read_to_string(&stat).unwrap().contains(") Z "));
    let context = context(consumer.folder.path());
    assert!(!observe("process", &config(&json!({})), &context).see().await.unwrap().healthy);
}

#[tokio::test]
async fn a_process_that_took_over_the_pid_is_not_signalled() {
    let consumer = Consumer::start();
    let context = context(consumer.folder.path());
    let reload = reload("process", &config(&json!({})), &context);
    let file = File::options().write(true).open(consumer.folder.path().join("pid")).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_mins(1)).unwrap();
    let (reason, retryable) = not_applied(reload.reload().await);
    assert!(reason.contains("another process has taken the pid") && !retryable, "{reason}");
    assert!(!reload.check().await[0].ok);
    let error = observe("process", &config(&json!({})), &context).see().await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Unexpected);
    file.set_modified(written).unwrap();
    for (more, words) in [
        (json!({ "name": "orders" }), "is `sh`, not `orders`"),
        (json!({ "exe": "/usr/bin/no-such-program" }), "not /usr/bin/no-such-program"),
    ] {
        let (reason, _) = not_applied(super::reload("process", &config(&more), &context).reload().await);
        assert!(reason.contains(words), "{reason}");
    }
    assert!(!consumer.folder.path().join("seen").exists(), "no signal was sent");
}

#[tokio::test]
async fn hostile_pid_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let context = context(folder.path());
    let reload = reload("process", &config(&json!({})), &context);
    assert!(not_applied(reload.reload().await).0.contains("does not exist"));
    let own = std::process::id().to_string();
    for text in ["0", "1", "-1", "-42", own.as_str(), "", "abc", "99999999999999", "12x", "\u{0}", "0x10"] {
        fs::write(&path, text).unwrap();
        let (reason, retryable) = not_applied(reload.reload().await);
        assert!(!retryable, "{text:?}: {reason}");
    }
    fs::write(&path, "4194305").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(not_applied(reload.reload().await).0.contains("can be written by anybody"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(not_applied(reload.reload().await).0.contains("not a regular file"));

    let build = quell_connect::find("process").unwrap().reload.unwrap();
    for more in
        [json!({ "signal": "KILL" }), json!({ "signal": "9" }), json!({ "name": "" }), json!({ "pid": 4 })]
    {
        assert!(build(&config(&more), &context).is_err(), "{more}");
    }
}
