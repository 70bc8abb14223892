use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use quell_connect::conformance;
use serde_json::json;
use tempfile::TempDir;

use super::{context, fresh, not_applied, secret, store};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn the_contract_holds_from_nothing_and_in_a_full_file() {
    let folder = folder();
    let config = json!({ "path": ".env", "key": "DATABASE_URL" });
    conformance::store(&*store("env_file", &config, &context(folder.path())), fresh).await.unwrap();
    assert_eq!(fs::metadata(folder.path().join(".env")).unwrap().mode() & 0o7777, 0o600);

    let before =
        "# orders\nexport DATABASE_URL=\"postgres://a:b@h/c\" # why\n\nOTHER='x y'\nDATABASE_URL=two";
    fs::write(folder.path().join("full.env"), before).unwrap();
    fs::set_permissions(folder.path().join("full.env"), fs::Permissions::from_mode(0o640)).unwrap();
    let config = json!({ "path": "full.env", "key": "DATABASE_URL" });
    let store = store("env_file", &config, &context(folder.path()));
    conformance::store(&*store, fresh).await.unwrap();
    assert!(store.write(&secret("plain")).await.is_applied());
    assert_eq!(
        fs::read_to_string(folder.path().join("full.env")).unwrap(),
        "# orders\nexport DATABASE_URL=plain # why\n\nOTHER='x y'\nDATABASE_URL=plain"
    );
    assert_eq!(fs::metadata(folder.path().join("full.env")).unwrap().mode() & 0o7777, 0o640);
}

#[tokio::test]
async fn a_crash_leaves_the_old_file_and_the_next_write_cleans_up() {
    let folder = folder();
    let path = folder.path().join(".env");
    fs::write(&path, "K=old\n").unwrap();
    // What a kill between creation and rename leaves.
    let rest = folder.path().join("..env.quell-new");
    fs::write(&rest, "K=ha").unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let stored = store.read().await.unwrap().unwrap();
    assert!(stored.value.same_as(&secret("old")));
    assert!(store.write(&secret("new-value")).await.is_applied());
    assert_eq!(fs::read_to_string(&path).unwrap(), "K=new-value\n");
    assert!(!rest.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_interrupted_purge_finds_the_unfinished_write_too() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "K=new-value\n").unwrap();
    fs::write(folder.path().join("..env.quell-new"), "K=compromised").unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let bad = secret("compromised");
    assert!(!store.observe_purge(&[&bad]).await.is_applied());
    assert!(store.purge(&[&bad]).await.is_applied());
    assert!(store.observe_purge(&[&bad]).await.is_applied());
}

#[tokio::test]
async fn a_link_is_followed_and_stays_a_link() {
    let folder = folder();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/orders.env"), "K=old\n").unwrap();
    symlink("real/orders.env", folder.path().join(".env")).unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    assert!(store.write(&secret("new-value")).await.is_applied());
    assert!(folder.path().join(".env").is_symlink());
    assert_eq!(fs::read_to_string(folder.path().join("real/orders.env")).unwrap(), "K=new-value\n");

    fs::remove_file(folder.path().join("real/orders.env")).unwrap();
    let (reason, retryable) = not_applied(store.write(&secret("x")).await);
    assert!(reason.contains("link to a place that does not exist") && !retryable, "{reason}");
}

#[tokio::test]
async fn copies_with_the_value_are_destroyed_and_others_stay() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at(".env"), "K=new-value\n").unwrap();
    fs::write(at(".env.bak"), "K='compromised-1'\n").unwrap();
    fs::write(at(".env~"), "A=1\n# K=compromised-1\n").unwrap();
    fs::write(at(".env.swp"), [b"b0VIM 9.1\0\0", &b"K=compromised-1"[..], b"\0\xff"].concat()).unwrap();
    fs::write(at(".env.old"), "K=harmless\n").unwrap();
    fs::write(at("notes.txt"), "compromised-1").unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let bad = secret("compromised-1");
    let (seen, _) = not_applied(store.observe_purge(&[&bad]).await);
    assert!(seen.contains(".env~, .env.bak, .env.swp"), "{seen}");
    let outcome = store.purge(&[&bad]).await;
    let text = serde_json::to_value(&outcome).unwrap();
    assert_eq!(text["facts"], json!({ "history": false, "destroyed": [".env~", ".env.bak", ".env.swp"] }));
    assert!(at(".env.old").exists() && at("notes.txt").exists());
    assert!(store.observe_purge(&[&bad]).await.is_applied());

    // A second name of the same content is not ours to overwrite.
    fs::write(at("elsewhere"), "K=compromised-1").unwrap();
    fs::hard_link(at("elsewhere"), at(".env.bak")).unwrap();
    let (reason, retryable) = not_applied(store.purge(&[&bad]).await);
    assert!(reason.contains(".env.bak") && !retryable, "{reason}");
    assert_eq!(fs::read_to_string(at("elsewhere")).unwrap(), "K=compromised-1");
}

#[tokio::test]
async fn the_value_elsewhere_in_the_file_is_reported_by_line() {
    let folder = folder();
    fs::write(
        folder.path().join(".env"),
        "K=new-compromised-1-more\n# K=compromised-1\nB=2\nPGURL=compromised-1\n",
    )
    .unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let (reason, _) = not_applied(store.purge(&[&secret("compromised-1")]).await);
    assert!(reason.contains("lines 2, 4") && !reason.contains("compromised-1"), "{reason}");
    assert!(store.purge(&[&secret("compromised-2")]).await.is_applied());
}

#[tokio::test]
async fn what_cannot_be_edited_is_refused_untouched() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("open.env"), "K='never closed CANARY\n").unwrap();
    fs::write(at("binary.env"), b"K=\xff\xfe\n").unwrap();
    fs::create_dir(at("dir.env")).unwrap();
    fs::File::create(at("big.env")).unwrap().set_len(2 << 20).unwrap();
    for (name, words) in [
        ("open.env", "line 1: a quote is never closed"),
        ("binary.env", "not UTF-8"),
        ("dir.env", "not a regular file"),
        ("big.env", "file too large"),
        ("none/x.env", "its folder"),
    ] {
        let store = store("env_file", &json!({ "path": name, "key": "K" }), &context(folder.path()));
        let before = fs::read(at(name)).ok();
        let (reason, retryable) = not_applied(store.write(&fresh()).await);
        assert!(reason.contains(words) && !retryable && !reason.contains("CANARY"), "{name}: {reason}");
        assert_eq!(fs::read(at(name)).ok(), before);
        assert!(store.check().await.iter().any(|check| !check.ok), "{name}");
    }
    let store = store("env_file", &json!({ "path": "new.env", "key": "K" }), &context(folder.path()));
    assert!(!store.write(&secret("nul\0byte")).await.is_applied());
    assert!(!store.write(&secret("")).await.is_applied());
    assert!(!at("new.env").exists());
}

#[tokio::test]
async fn two_writers_exclude_each_other() {
    let folder = folder();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let held = fs::File::open(folder.path()).unwrap();
    held.lock().unwrap();
    let (reason, retryable) = not_applied(store.write(&secret("x")).await);
    assert!(retryable && reason.contains("another writer"), "{reason}");
    drop(held);
    assert!(store.write(&secret("x")).await.is_applied());
}

#[tokio::test]
async fn open_doors_are_reported() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "K=v\n").unwrap();
    fs::set_permissions(folder.path().join(".env"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let store = store("env_file", &json!({ "path": ".env", "key": "K" }), &context(folder.path()));
    let failing: Vec<_> = store.check().await.into_iter().filter(|check| !check.ok).map(|c| c.what).collect();
    assert_eq!(failing, ["keep others from writing in the folder", "keep others from the file"]);
}

#[test]
fn configurations_that_mean_nothing_are_refused() {
    let build = quell_connect::find("env_file").unwrap().store.unwrap();
    let context = context(std::path::Path::new("/"));
    for (config, key) in [
        (json!({ "path": "", "key": "K" }), Some("path")),
        (json!({ "path": "a", "key": "1K" }), Some("key")),
        (json!({ "path": "a", "key": "A B" }), Some("key")),
        (json!({ "path": "a", "key": "K", "mode": "0999" }), Some("mode")),
        (json!({ "path": "a", "key": "K", "mode": "17777" }), Some("mode")),
        (json!({ "path": "a", "key": "K", "value": "v" }), None),
        (json!({ "path": "a" }), None),
        (json!("text"), None),
    ] {
        let error = build(&config, &context).err().unwrap();
        assert_eq!(error.key.as_deref(), key, "{config}");
    }
}

#[tokio::test]
async fn a_file_that_is_the_value_keeps_the_contract() {
    let folder = folder();
    let (context, config) = (context(folder.path()), json!({ "path": "id", "mode": "0640" }));
    conformance::store(&*store("file", &config, &context), fresh).await.unwrap();
    let path = folder.path().join("id");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    fs::write(&path, "-----BEGIN A-----\nold-old-old\n-----END A-----\n").unwrap();
    fs::copy(&path, folder.path().join("id.bak")).unwrap();
    let store = store("file", &config, &context);
    let old = store.read().await.unwrap().unwrap().value;
    assert_eq!(old.expose_text(), Some("-----BEGIN A-----\nold-old-old\n-----END A-----"));
    assert!(!store.purge(&[&old]).await.is_applied(), "it is the current one");
    assert!(store.write(&secret("-----BEGIN A-----\nnew\n-----END A-----")).await.is_applied());
    assert_eq!(fs::read_to_string(&path).unwrap(), "-----BEGIN A-----\nnew\n-----END A-----\n");
    assert!(store.purge(&[&old]).await.is_applied());
    assert!(!folder.path().join("id.bak").exists());
    assert!(!store.write(&secret("ends with a line break\n")).await.is_applied());
    assert_eq!(store.target(), format!("file {}", path.display()));
}
