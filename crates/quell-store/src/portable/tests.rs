//! Backups between both databases, of every version of the schema, and of strangers.

use std::path::Path;
use std::sync::Arc;

use quell_core::event::{Actor, Event};
use quell_testkit::postgres::Server;

use super::*;
use crate::{Arrival, Batch, KekSource, Lapsing, NewEntry, Store};
use quell_core::secret::SecretValue;

fn now() -> jiff::Timestamp {
    "2026-11-23T03:00:00Z".parse().unwrap()
}

fn nobody() -> Result<SecretValue, StoreError> {
    Err(StoreError::Kek("no passphrase in this test".to_owned()))
}

fn horse() -> SecretValue {
    SecretValue::from_text("correct horse".to_owned())
}

/// An entry with evidence, a sealed value, text of many languages.
async fn live(store: &Store) {
    let mut batch = Batch::new("INC-2026-0001", store.next_pos("INC-2026-0001").await.unwrap());
    let event = Event::NoteAdded { text: "Zürich, 東京, \"quoted\", and a\nbreak".to_owned() };
    let evidence = vec![("a.bin".to_owned(), vec![0, 255, 10, 13])];
    batch.push(NewEntry { actor: Actor::user("Ines"), event, evidence });
    batch.sealed = vec![store.seal("v1", &SecretValue::from_text("hunter2-hunter2".to_owned())).unwrap()];
    store.append(batch, now()).await.unwrap();
    // What a server keeps beside the ledger.
    let expires_us = now().as_microsecond() + 1;
    let text = |text: &str| text.to_owned();
    let session = Lapsing { id: text("00ff"), owner: text("Ines"), body: text("{}"), expires_us };
    store.lapsing_add("session", &session, now()).await.unwrap();
    let body = SecretValue::from_text("{\"zen\":1}".to_owned());
    let arrival =
        Arrival { source: "org", kind: "github", delivery: "1", topic: "ping", digest: "aa", body: &body };
    store.inbox_put(&arrival, now(), None).await.unwrap();
    for stream in ["b", "B", "ä", "a-1", "a1", "_"] {
        let event = Event::NoteAdded { text: stream.to_owned() };
        store.append_to_end(stream, NewEntry::new(Actor::user("ines"), event), now()).await.unwrap();
    }
}

async fn made(folder: &Path, url: Option<&str>) -> Store {
    let store = Store::init(folder, url, &KekSource::File(None), now()).await.unwrap();
    live(&store).await;
    store
}

fn key_of(folder: &Path) -> std::path::PathBuf {
    std::fs::read_dir(folder.join("keys")).unwrap().next().unwrap().unwrap().path()
}

fn to_folder<'a>(from: &'a Path, folder: &'a Path, key: &'a Path) -> Restore<'a> {
    Restore { from, folder, url: None, key_file: Some(key), trusted: None, kept: &[] }
}

fn databases(server: &Server, count: usize) -> Vec<String> {
    let name = |n: usize| format!("d{n}");
    for n in 0..count {
        // Another order of letters than SQLite's, where the server has one.
        server.psql(&format!("CREATE DATABASE {} TEMPLATE template0", name(n))).unwrap();
    }
    let url = server.admin_url();
    let (host, _) = url.rsplit_once('/').unwrap();
    (0..count).map(|n| format!("{host}/{}", name(n))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_either_database_is_restored_into_either() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = Server::start(&[]).unwrap();
    let urls = databases(&server, 3);
    let mut sums = Vec::new();
    for (n, from) in [None, Some(urls[0].as_str())].into_iter().enumerate() {
        let data = at(&format!("from-{n}"));
        let store = made(&data, from).await;
        let file = at(&format!("{n}.backup"));
        let backup = backup(store.db(), &file, now()).await.unwrap();
        assert_eq!((backup.entries, backup.path.as_path()), (8, file.as_path()));
        let key = key_of(&data);
        assert!(backup.key_file.is_some_and(|path| data.join(path) == key));
        for (m, to) in [None, Some(urls[1 + n].as_str())].into_iter().enumerate() {
            let target = at(&format!("to-{n}-{m}"));
            let what = Restore { url: to, ..to_folder(&file, &target, &key) };
            let restored = restore(&what, nobody).await.unwrap();
            assert!(restored.ledger.ok && restored.entries == 8, "{restored:?}");
            assert_eq!(restored.manifest, backup.manifest);
            let again = Store::open(&target, to, nobody).await.unwrap();
            assert_eq!(again.unseal("v1").await.unwrap().expose_text(), Some("hunter2-hunter2"));
            assert_eq!(again.read_all(0, 99).await.unwrap(), store.read_all(0, 99).await.unwrap());
            // It is an installation: it goes on, and what it holds can be backed up.
            let second = super::backup(again.db(), &at(&format!("again-{n}-{m}")), now()).await.unwrap();
            assert_eq!(second.manifest.tables, backup.manifest.tables, "the same from either database");
            live_on(&again).await;
            assert!(matches!(restore(&what, nobody).await, Err(StoreError::NotEmpty(_))));
        }
        sums.push(backup.manifest.tables);
    }
    let tables: Vec<&String> = sums[0].keys().collect();
    assert!(tables.iter().any(|name| *name == "event") && sums[0].keys().eq(sums[1].keys()), "{tables:?}");
}

async fn live_on(store: &Store) {
    let event = Event::NoteAdded { text: "after it".to_owned() };
    store.append_to_end("INC-2026-0001", NewEntry::new(Actor::user("ines"), event), now()).await.unwrap();
    assert!(store.verify(None, &[]).await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]).unwrap();
    let urls = databases(&server, 1);
    for (n, url) in [None, Some(urls[0].as_str())].into_iter().enumerate() {
        let data = folder.path().join(format!("from-{n}"));
        let store = Arc::new(made(&data, url).await);
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let writer = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                while !*stopped.borrow_and_update() {
                    live_note(&store).await;
                }
            }
        });
        let key = key_of(&data);
        for round in 0..3 {
            let file = backup(store.db(), folder.path(), now()).await.unwrap().path;
            let target = folder.path().join(format!("to-{n}-{round}"));
            let restored = restore(&to_folder(&file, &target, &key), nobody).await.unwrap();
            assert!(restored.ledger.ok && restored.entries >= 8);
            live_note(&store).await;
        }
        stop.send(true).unwrap();
        writer.await.unwrap();
    }
}

async fn live_note(store: &Store) {
    let event = Event::NoteAdded { text: "meanwhile".to_owned() };
    store.append_to_end("INC-2026-0002", NewEntry::new(Actor::user("ines"), event), now()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = made(&at("from"), None).await;
    let key = key_of(&at("from"));
    let path = backup(store.db(), &at("good"), now()).await.unwrap().path;
    let good = std::fs::read(&path).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    for cut in (0..good.len()).step_by(good.len() / 40) {
        bad.push((format!("cut at {cut}"), good[..cut].to_vec()));
    }
    for place in (0..good.len()).step_by(good.len() / 40) {
        let mut changed = good.clone();
        changed[place] = if changed[place] == b'7' { b'8' } else { b'7' };
        bad.push((format!("changed at {place}"), changed));
    }
    bad.push(("a line more".to_owned(), [good.as_slice(), b"{}\n"].concat()));
    bad.push(("a byte more".to_owned(), [good.as_slice(), b" "].concat()));
    bad.push(("twice".to_owned(), [good.as_slice(), &good].concat()));
    bad.push(("a newer format".to_owned(), text.replacen("\"format\":1", "\"format\":2", 1).into_bytes()));
    let lines: Vec<&str> = text.lines().collect();
    let without: Vec<&str> =
        lines.iter().enumerate().filter(|(n, _)| *n != 4).map(|(_, line)| *line).collect();
    bad.push(("a row less".to_owned(), (without.join("\n") + "\n").into_bytes()));
    for (what, bytes) in bad {
        std::fs::write(at("bad"), bytes).unwrap();
        let refused = restore(&to_folder(&at("bad"), &at("to"), &key), nobody).await;
        assert!(matches!(refused, Err(StoreError::Backup(_))), "{what}: {refused:?}");
        assert!(!at("to").exists(), "{what}: something was made of it");
    }
    let refused = restore(&to_folder(&at("."), &at("to"), &key), nobody).await;
    assert!(matches!(refused, Err(StoreError::Backup(_))), "a folder: {refused:?}");
    // Another key, no key, a target that is in use.
    std::fs::write(at("other"), "0f".repeat(32)).unwrap();
    let other = at("other");
    for key_file in [Some(other.as_path()), None] {
        let what = Restore { key_file, ..to_folder(&path, Path::new("to"), &key) };
        let target = at("to");
        let refused = restore(&Restore { folder: &target, ..what }, nobody).await;
        assert!(matches!(refused, Err(StoreError::Kek(_))), "{refused:?}");
        assert!(!target.exists());
    }
    let (full, here) = (at("from"), at("good"));
    assert!(matches!(restore(&to_folder(&path, &full, &key), nobody).await, Err(StoreError::NotEmpty(_))));
    let twice = backup(store.db(), &here, now()).await;
    assert!(matches!(&twice, Err(StoreError::Io { .. })), "a backup overwrites nothing: {twice:?}");
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

/// One table says something else; table and whole are summed up anew.
fn forge(text: &str, table: &str, from: &str, to: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let forged = text.replace(from, to);
    assert_ne!(forged, text);
    let (body, manifest) = forged.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{body}\n");
    let Line::Manifest(mut manifest) = serde_json::from_str(manifest).unwrap() else { panic!("no manifest") };
    let title = "{\"table\":{\"name\":\"";
    let part = body.split(title).find(|part| part.starts_with(&format!("{table}\""))).unwrap();
    let sum = hex::encode(sha2::Sha256::digest(format!("{title}{part}")));
    manifest.tables.get_mut(table).unwrap().sha256 = sum;
    manifest.sha256 = hex::encode(sha2::Sha256::digest(body.as_bytes()));
    [body.into_bytes(), Line::Manifest(manifest).bytes().unwrap()].concat()
}

#[tokio::test]
async fn a_backup_does_not_choose_where_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = made(&at("from"), None).await;
    let key = key_of(&at("from"));
    let path = backup(store.db(), &at("good"), now()).await.unwrap().path;
    let text = std::fs::read_to_string(path).unwrap();
    let outside = at("outside/stolen.kek").display().to_string();
    for place in ["../outside/stolen.kek", "keys/../../outside/stolen.kek", &outside] {
        std::fs::write(at("forged"), forge(&text, "meta", "keys/", &format!("{place}#"))).unwrap();
        let refused = restore(&to_folder(&at("forged"), &at("to"), &key), nobody).await;
        assert!(matches!(refused, Err(StoreError::Kek(_))), "{place}: {refused:?}");
        assert!(!at("outside").exists() && !at("to").exists(), "{place}");
    }
}

/// Rows that fit their hashes and are a lie all the same: the signature says so.
#[tokio::test]
async fn a_forged_backup_that_fits_its_manifest_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = made(&at("from"), None).await;
    let key = key_of(&at("from"));
    let path = backup(store.db(), &at("good"), now()).await.unwrap().path;
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(at("forged"), forge(&text, "evidence", "AP8KDQ==", "AP8KDQA=")).unwrap();
    let refused = restore(&to_folder(&at("forged"), &at("to"), &key), nobody).await;
    let Err(StoreError::Backup(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("evidence") && why.contains("was changed"), "{why}");
    let opened = Store::open(&at("to"), None, nobody).await;
    assert!(matches!(opened, Err(StoreError::Unfinished(_))), "what did not verify is not used: {opened:?}");
}

#[tokio::test]
async fn a_backup_older_than_a_checkpoint_that_was_kept_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = made(&at("from"), None).await;
    let key = key_of(&at("from"));
    let path = backup(store.db(), &at("b"), now()).await.unwrap().path;
    let (_, same) = store.checkpoint().await.unwrap().unwrap();
    live_note(&store).await;
    let (_, newer) = store.checkpoint().await.unwrap().unwrap();
    let (kept, target) = ([newer], at("to"));
    let refused = restore(&Restore { kept: &kept, ..to_folder(&path, &target, &key) }, nobody).await;
    let Err(StoreError::Backup(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("over 8 entries") && why.contains("over 9") && why.contains("fork"), "{why}");
    let kept = [same];
    assert!(restore(&Restore { kept: &kept, ..to_folder(&path, &target, &key) }, nobody).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_tables_that_a_backup_can_carry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]).unwrap();
    let embedded = Db::open(folder.path(), None).await.unwrap();
    let shared = Db::open(folder.path(), Some(&server.admin_url())).await.unwrap();
    let embedded = Tx::snapshot(&embedded).await.unwrap().tables().await.unwrap();
    let shared = Tx::snapshot(&shared).await.unwrap().tables().await.unwrap();
    assert_eq!(embedded, shared, "names, columns, kinds and keys");
    assert!(embedded.len() >= 6);
}

/// `QUELL_WRITE_SEEDS=1` makes the file of the newest version, once; it is never made again.
#[tokio::test(flavor = "multi_thread")]
async fn data_of_every_version_of_the_schema_comes_up_to_date() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let folder = tempfile::tempdir().unwrap();
    let newest = crate::db::newest();
    let file = seeds.join(format!("{newest:04}.backup"));
    if std::env::var_os("QUELL_WRITE_SEEDS").is_some() && !file.exists() {
        let source = KekSource::Passphrase(horse());
        let store = Store::init(&folder.path().join("seed"), None, &source, now()).await.unwrap();
        live(&store).await;
        backup(store.db(), &file, now()).await.unwrap();
    }
    let server = Server::start(&[]).unwrap();
    let urls = databases(&server, usize::try_from(newest).unwrap());
    for version in 1..=newest {
        let seed = seeds.join(format!("{version:04}.backup"));
        assert!(
            seed.is_file(),
            "version {version} has no seed: run this test with QUELL_WRITE_SEEDS=1 and commit it"
        );
        for url in [None, urls.get(usize::try_from(version).unwrap() - 1).map(String::as_str)] {
            let target = folder.path().join(format!("{version}-{}", url.is_some()));
            let key = Path::new("none");
            let what = Restore { url, key_file: None, ..to_folder(&seed, &target, key) };
            let restored = restore(&what, || Ok(horse())).await.unwrap();
            assert!(restored.ledger.ok && restored.entries == 8, "{restored:?}");
            let store = Store::open(&target, url, || Ok(horse())).await.unwrap();
            assert_eq!(store.db().schema().await.unwrap(), newest);
            assert_eq!(store.unseal("v1").await.unwrap().expose_text(), Some("hunter2-hunter2"));
            live_on(&store).await;
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let store = made(folder.path(), None).await;
    let Db::Sqlite(pool, _) = store.db() else { panic!("an embedded store") };
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9999, 'from the future', 1, x'00', 1)";
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
    let refused = Store::open(folder.path(), None, nobody).await;
    assert!(matches!(refused, Err(StoreError::Newer { there: 9999, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_breaks_off_anywhere_is_finished_by_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]).unwrap();
    let urls = databases(&server, 4);
    for (n, pause) in
        [None, Some(Pause::Copied), Some(Pause::Arrived), Some(Pause::Marked)].into_iter().enumerate()
    {
        let data = folder.path().join(n.to_string());
        let before = made(&data, None).await;
        let entries = before.read_all(0, 99).await.unwrap();
        before.db().close().await;
        let url = urls[n].as_str();
        if let Some(pause) = pause {
            let (data, url) = (data.clone(), url.to_owned());
            let broken = tokio::spawn(async move {
                move_to(&data, &url, nobody, now(), |at| assert!(at != pause, "a power cut")).await.map(drop)
            });
            assert!(broken.await.unwrap_err().is_panic());
        }
        let old = Store::open(&data, None, nobody).await;
        let new = Store::open(&data, Some(url), nobody).await;
        match pause {
            None | Some(Pause::Copied | Pause::Arrived) => {
                assert!(old.unwrap().verify(None, &[]).await.unwrap().ok);
                assert!(
                    matches!(new, Err(StoreError::NotInitialised(_) | StoreError::Unfinished(_))),
                    "{new:?}"
                );
            }
            Some(Pause::Marked) => {
                assert!(matches!(old, Err(StoreError::Moved(_))), "{old:?}");
                assert!(matches!(new, Err(StoreError::Unfinished(_))), "{new:?}");
            }
        }
        let moved = move_to(&data, url, nobody, now(), |_| ()).await.unwrap();
        assert!(moved.ledger.ok && moved.entries == 8 && !moved.to.contains("postgres:"), "{moved:?}");
        let new = Store::open(&data, Some(url), nobody).await.unwrap();
        assert_eq!(new.read_all(0, 99).await.unwrap(), entries);
        live_on(&new).await;
        let old = Store::open(&data, None, nobody).await;
        assert!(matches!(&old, Err(StoreError::Moved(to)) if to.contains(&format!("/d{n}"))), "{old:?}");
        assert!(std::fs::read_dir(&data).unwrap().all(|f| f.unwrap().file_name() != ".moving.part"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_refused_while_somebody_works_or_the_target_holds_something() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]).unwrap();
    let urls = databases(&server, 2);
    let (data, other) = (folder.path().join("a"), folder.path().join("b"));
    let store = made(&data, None).await;
    let worker = store.become_worker().await.unwrap();
    let refused = move_to(&data, &urls[0], nobody, now(), |_| ()).await;
    assert!(matches!(&refused, Err(StoreError::InUse(by)) if *by == [worker.id.clone()]), "{refused:?}");
    drop(worker);
    // Refused, it lets workers in again.
    drop(store.become_worker().await.unwrap());
    drop(made(&other, Some(&urls[1])).await);
    let refused = move_to(&data, &urls[1], nobody, now(), |_| ()).await;
    assert!(matches!(refused, Err(StoreError::NotEmpty(_))), "{refused:?}");
    // Nobody begins while it moves.
    let begun = |_: Pause| {
        let begin = || tokio::runtime::Handle::current().block_on(store.become_worker());
        let refused = tokio::task::block_in_place(begin).unwrap_err();
        assert_eq!(refused.to_string(), "the installation is in use by `quell move`");
    };
    // One that was open meanwhile does not write to what was moved.
    move_to(&data, &urls[0], nobody, now(), begun).await.unwrap();
    let event = Event::NoteAdded { text: "too late".to_owned() };
    let late = store.append_to_end("INC-2026-0001", NewEntry::new(Actor::user("ines"), event), now()).await;
    assert!(matches!(late, Err(StoreError::Moved(_))), "{late:?}");
    // Nor does anybody who writes to a table that is not the ledger's.
    let Db::Sqlite(pool, _) = store.db() else { panic!("an embedded store") };
    let mut tx = Tx::snapshot(store.db()).await.unwrap();
    for table in tx.tables().await.unwrap() {
        let Some(row) = tx.page(&table, None).await.unwrap().pop() else { continue };
        let mut write = Tx::Sqlite(pool.begin().await.unwrap());
        let refused = write.insert(&table, &row).await.unwrap_err().to_string();
        assert!(refused.contains("was moved"), "{}: {refused}", table.name);
    }
}
