use std::fs;
use std::path::Path;
use std::time::Duration;

use quell_connect::conformance;
use quell_connect::error::ConnectErrorKind;
use serde_json::json;

use super::{context, not_applied, observe, reload, secret, unknown, wait_for, with_environment, with_limit};

#[tokio::test]
async fn the_contract_holds() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path());
    let values = [&secret("CANARY-value")];
    conformance::reload(&*reload("exec", &json!({ "exec": ["true"] }), &context), &values).await.unwrap();
    let plain = json!({ "exec": ["echo", "7"] });
    conformance::observe(&*observe("exec", &plain, &context), &values).await.unwrap();
    fs::write(folder.path().join("status.json"), r#"{"gen":7,"db":{"user":"orders_a"},"ok":true}"#).unwrap();
    let json = json!({
        "exec": ["cat", "status.json"], "generation": ".gen", "principal": ".db.user", "healthy": ".ok",
    });
    let observe = observe("exec", &json, &context);
    conformance::observe(&*observe, &values).await.unwrap();
    let seen = observe.see().await.unwrap();
    assert_eq!((seen.generation.as_deref(), seen.principal.as_deref()), (Some("7"), Some("orders_a")));
}

#[tokio::test]
async fn what_a_failing_program_says_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo CANARY-out; echo CANARY-err >&2; exit 3";
    let config = json!({ "exec": ["sh", "-c", script] });
    let reload = reload("exec", &config, &context(folder.path()));
    let (reason, retryable) = not_applied(reload.reload().await);
    assert_eq!((reason.as_str(), retryable), ("run sh: exit code 3; see its own log", true));
    let error = observe("exec", &config, &context(folder.path())).see().await.unwrap_err();
    assert!(!format!("{error} {error:?} {}", reload.target()).contains("CANARY"));

    let missing = json!({ "exec": ["no-such-program-anywhere"] });
    let missing = super::reload("exec", &missing, &context(folder.path()));
    assert!(!missing.check().await[0].ok);
    assert!(!not_applied(missing.reload().await).1);
}

#[tokio::test]
async fn a_program_that_never_ends_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_limit(context(folder.path()), Duration::from_secs(2));
    let script = "sleep 100 & echo $! > child; echo $$ > parent; wait";
    let config = json!({ "exec": ["sh", "-c", script] });
    let reason = unknown(reload("exec", &config, &context).reload().await);
    assert!(reason.contains("no end in time"), "{reason}");
    for name in ["child", "parent"] {
        let pid = fs::read_to_string(folder.path().join(name)).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // A zombie waits for whoever is init here; it runs no more.
        wait_for(name, || fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z ")));
    }
    let error = observe("exec", &config, &context).see().await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Lost);
}

#[tokio::test]
async fn the_environment_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_environment(
        context(folder.path()),
        &[("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere"), ("PGPASSWORD", "CANARY-value")],
    );
    let config = json!({ "exec": ["sh", "-c", "tr '\\0' '\\n' < /proc/$$/environ > seen"] });
    assert!(reload("exec", &config, &context).reload().await.is_applied());
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    let mut lines: Vec<_> = seen.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["HOME=/nowhere", "PATH=/usr/bin:/bin"]);
}

#[tokio::test]
async fn answers_that_are_no_generation_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path());
    for script in [
        "true",
        "printf 'a\\nb'",
        "head -c 300 /dev/zero | tr '\\0' x",
        "head -c 100000 /dev/zero",
        "printf '\\377'",
    ] {
        let error =
            observe("exec", &json!({ "exec": ["sh", "-c", script] }), &context).see().await.unwrap_err();
        assert_eq!(error.kind, ConnectErrorKind::Unexpected, "{script}");
    }
    let config = json!({ "exec": ["echo", "text"], "generation": ".gen" });
    let error = observe("exec", &config, &context).see().await.unwrap_err();
    assert_eq!(error.detail, "its output is not JSON");
}

#[tokio::test]
async fn systemd_units_are_named_and_run_by_systemctl() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("systemctl");
    fs::write(&fake, "#!/bin/sh\necho \"$@\" > seen\n").unwrap();
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let context = with_environment(context(folder.path()), &[("PATH", &path)]);
    let reload = reload("systemd", &json!({ "systemd": "orders-api@1.service" }), &context);
    conformance::reload(&*reload, &[]).await.unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("seen")).unwrap(),
        "--no-ask-password reload-or-restart -- orders-api@1.service\n"
    );
    let build = quell_connect::find("systemd").unwrap().reload.unwrap();
    for bad in ["", "--all", "a b", "a;b", "*.service", "a/b", &"x".repeat(256)] {
        assert!(build(&json!({ "systemd": bad }), &context).is_err(), "{bad}");
    }
}

#[test]
fn configurations_that_mean_nothing_are_refused() {
    let build = quell_connect::find("exec").unwrap().reload.unwrap();
    let context = context(Path::new("/"));
    for config in [
        json!({ "exec": [] }),
        json!({ "exec": [""] }),
        json!({ "exec": "systemctl reload x" }),
        json!({ "exec": ["a", "b\u{0}"] }),
        json!({ "exec": ["a"], "shell": true }),
    ] {
        assert!(build(&config, &context).is_err(), "{config}");
    }
    let build = quell_connect::find("exec").unwrap().observe.unwrap();
    assert!(build(&json!({ "exec": ["a"], "generation": "gen" }), &context).is_err());
}
