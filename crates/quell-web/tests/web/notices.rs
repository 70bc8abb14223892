//! What people write to others: by a page without script and by the API, sent by channels of the inventory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use quell_app::App;
use quell_core::IncidentId;
use quell_core::incident::notice::NoticeState;
use quell_core::person::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::person::{Person, seen};
use super::world::{World, inventory};

/// Two channels that write to files: the folder of `late` is not there yet.
async fn room(folder: &Path, more: &str) -> (World, IncidentId) {
    let text = format!(
        "secrets:
  - id: ines-directory
    kind: directory-password
    env: prod
    tier: human
    issuer: {{ person: {{ account: ines@example.com, at: the directory }} }}
    grants: [{{ resource: the directory, access: read, data: [personal] }}]
channels:
  board: {{ log: {{ path: {0}/board.jsonl }} }}
  late: {{ log: {{ path: {0}/later/late.jsonl }} }}
policy: {{ notify: {{ post: board }}{more} }}
",
        folder.display()
    );
    let world = World::at("127.0.0.1:0", inventory(&text), BTreeMap::new()).await;
    let id = world.leaked("ines-directory").await;
    (world, id)
}

/// Waits until the server is through with a notice.
async fn over(app: &Arc<App>, id: IncidentId, notice: &str) -> NoticeState {
    for _ in 0..600 {
        let incident = app.incident(id).await.unwrap();
        let state = incident.notice(notice).unwrap().state();
        if state != NoticeState::Sending {
            return state;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{notice} is still on its way")
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_drafted_changed_by_one_of_two_and_sent_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (world, id) = room(folder.path(), "").await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let place = format!("/incidents/{id}/notices");
    let page = ines.page(&place).await;
    let (status, _) = ines.form(&place, &seen(&page), &[("kind", "update")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let page = ines.page(&place).await;
    for said in [
        "SEV-2: ines-directory leaked (chat)",
        "NOT contained",
        "revoked at the source, and proven: NO",
        "whether it can still be seen",
        "Next update by",
    ] {
        assert!(page.contains(said), "{said} is missing: {page}");
    }
    // Moments are written for people, not for programs.
    let drafted = world.app.incident(id).await.unwrap();
    let body = &drafted.notice("N1").unwrap().body;
    let declared = drafted.declared.strftime("%-d %B %Y, %H:%M UTC").to_string();
    assert!(body.contains(&format!("Declared: {declared}.")), "{body}");
    let stamp = |word: &str| word.contains('T') && word.trim_end_matches('.').ends_with('Z');
    assert!(!body.split_whitespace().any(stamp), "{body}");
    // Both look at the same page; the first one to save is the one who saved.
    let (same, edit) = (seen(&page), format!("{place}/N1/edit"));
    let title = "SEV-2: the directory's password";
    let (status, _) = ines
        .form(&edit, &same, &[("title", title), ("body", "It is being reset.\r\nNothing else is known.")])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, said) = omar.form(&edit, &same, &[("title", "mine"), ("body", "my own words")]).await;
    assert_eq!(status, StatusCode::CONFLICT, "{said}");
    assert!(said.contains("ines was faster") && said.contains("my own words"), "{said}");
    // A value gets in by no door, and does not come back.
    let value = format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T");
    let (status, said) = omar.form(&edit, "", &[("title", "mine"), ("body", &value)]).await;
    assert!(
        status.is_client_error() && said.contains("looks like a secret") && !said.contains(&value),
        "{said}"
    );

    // What goes out is what was read.
    let before = world.app.incident(id).await.unwrap();
    let read_of = before.notice("N1").unwrap().sha256();
    let other = [("sha256", "0".repeat(64)), ("to-board", "yes".to_owned())];
    let other: Vec<(&str, &str)> = other.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, said) = omar.form(&format!("{place}/N1/send"), "", &other).await;
    assert!(status == StatusCode::CONFLICT && said.contains("another one than you have read"), "{said}");
    let (status, said) = omar.form(&format!("{place}/N1/send"), "", &[("sha256", &read_of)]).await;
    assert!(status.is_client_error() && said.contains("no channel was ticked"), "{said}");
    let fields = [("sha256", read_of.as_str()), ("to-board", "yes")];
    let (status, said) = omar.form(&format!("{place}/N1/send"), "", &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{said}");
    assert_eq!(over(&world.app, id, "N1").await, NoticeState::Sent);

    let [line] = &lines(&folder.path().join("board.jsonl"))[..] else { panic!("once, and no more") };
    assert_eq!(line["title"], title, "exactly what was written");
    assert_eq!(line["body"], "It is being reset.\nNothing else is known.");
    assert!(line["checkpoint"].as_str().unwrap().contains(world.app.store.origin()), "{line}");
    let after = world.app.incident(id).await.unwrap();
    let sent = after.notice("N1").unwrap().sent.as_ref().unwrap();
    assert_eq!((sent.by.as_str(), sent.sha256.as_str()), ("omar", read_of.as_str()));
    let updates: Vec<_> = after.clocks.iter().filter(|clock| clock.name == "next-update").collect();
    assert!(updates.len() == 2 && updates[0].met.is_some() && updates[1].met.is_none(), "{updates:?}");
    assert!(updates[1].starts > updates[0].starts);
    assert!(ines.page(&place).await.contains("has it"));
    // It cannot be unsaid.
    let (status, said) = ines.form(&edit, "", &[("title", "a"), ("body", "b")]).await;
    assert!(status == StatusCode::CONFLICT && said.contains("stays as it is"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_gives_up_is_seen_in_the_room_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (world, id) = room(folder.path(), "").await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let place = format!("/incidents/{id}/notices");
    let (status, drafted) = ines.post(&place, &json!({ "kind": "affected" })).await;
    assert_eq!(status, StatusCode::CREATED, "{drafted}");
    let body = drafted["body"].as_str().unwrap();
    assert!(body.contains("the directory (read): personal") && body.contains("[["), "{body}");
    let send = json!({ "channels": ["board", "late"] });
    let (status, refused) = ines.post(&format!("{place}/N1/send"), &send).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        refused["detail"].as_str().unwrap().contains("somebody must still fill something in"),
        "{refused}"
    );
    let edited = json!({ "title": "A password of ours was exposed", "body": "Nothing is to be done." });
    assert_eq!(ines.post(&format!("{place}/N1/edit"), &edited).await.0, StatusCode::OK);
    let (status, nobody) = ines.post(&format!("{place}/N1/send"), &json!({ "channels": ["nowhere"] })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{nobody}");
    // Nothing leaks in a channel by which people are told.
    let there = json!({ "secrets": ["ines-directory"], "channel_name": "board" });
    let (status, said) = ines.post("/incidents", &there).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{said}");
    assert!(said["detail"].as_str().unwrap().contains("by which people are told"), "{said}");
    let (status, sent) = ines.post(&format!("{place}/N1/send"), &send).await;
    assert_eq!((status, sent["state"].as_str()), (StatusCode::OK, Some("sending")), "{sent}");
    assert_eq!(over(&world.app, id, "N1").await, NoticeState::InPart);
    assert!(ines.page(&format!("/incidents/{id}")).await.contains("Not every channel took N1."));
    assert!(ines.page(&place).await.contains("gave up: "));
    let unmet = world.app.incident(id).await.unwrap();
    assert!(unmet.clocks.iter().all(|clock| clock.met.is_none()), "this kind meets no clock");

    std::fs::create_dir(folder.path().join("later")).unwrap();
    let page = ines.page(&place).await;
    let (status, said) = ines.form(&format!("{place}/N1/retry"), &seen(&page), &[]).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{said}");
    assert_eq!(over(&world.app, id, "N1").await, NoticeState::Sent);
    assert_eq!(lines(&folder.path().join("board.jsonl")).len(), 1, "who has it is not told again");
    assert_eq!(lines(&folder.path().join("later/late.jsonl")).len(), 1);
    assert!(!ines.page(&format!("/incidents/{id}")).await.contains("Not every channel took"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_notice_from_being_sent_at_all_is_seen_in_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let (world, id) = room(folder.path(), "").await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let (place, page) = (format!("/incidents/{id}/notices"), format!("/incidents/{id}"));
    assert_eq!(ines.post(&place, &json!({ "kind": "update" })).await.0, StatusCode::CREATED);
    // No worker can say that it lives, so none may send.
    let workers = world.options.data.join("workers");
    let aside = world.options.data.join("aside");
    if workers.exists() {
        std::fs::rename(&workers, &aside).unwrap();
    }
    std::fs::write(&workers, "").unwrap();
    let sent = ines.post(&format!("{place}/N1/send"), &json!({ "channels": ["board"] })).await;
    assert_eq!(sent.0, StatusCode::OK, "{}", sent.1);
    let says = async |words: &str, wanted: bool| {
        for _ in 0..400 {
            if ines.page(&page).await.contains(words) == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{words}: never {wanted}: {}", ines.page(&page).await);
    };
    says("N1 is not sent on: ", true).await;
    std::fs::remove_file(&workers).unwrap();
    if aside.exists() {
        std::fs::rename(&aside, &workers).unwrap();
    }
    assert_eq!(over(&world.app, id, "N1").await, NoticeState::Sent);
    says("N1 is not sent on: ", false).await;
    assert_eq!(lines(&folder.path().join("board.jsonl")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_template_takes_the_place_of_ours_and_a_wrong_one_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("notices");
    std::fs::create_dir(&own).unwrap();
    let head = "{#\nname: To the board\nfor: the board\n#}\n";
    std::fs::write(
        own.join("board.md.j2"),
        format!("{head}{{{{ it.id }}}}\nopen: {{{{ it.unknowns | length }}}}\n"),
    )
    .unwrap();
    std::fs::write(own.join("update.md.j2"), format!("{head}ours\n{{{{ it.no_such_field }}}}\n")).unwrap();
    let (world, id) = room(folder.path(), &format!(", notices: {}", own.display())).await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let place = format!("/incidents/{id}/notices");
    let (status, drafted) = ines.post(&place, &json!({ "kind": "board" })).await;
    assert_eq!(
        (status, drafted["title"].as_str()),
        (StatusCode::CREATED, Some(&*id.to_string())),
        "{drafted}"
    );
    let (status, wrong) = ines.post(&place, &json!({ "kind": "update" })).await;
    let said = wrong["detail"].as_str().unwrap();
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && said.contains("update") && said.contains("line 6"),
        "{said}"
    );
    let (_, page) = (0, ines.page(&place).await);
    assert!(page.contains("To the board (the board)"), "{page}");
    let viewer = Person::of(&world, "vera", Role::Viewer).await;
    assert!(!viewer.page(&place).await.contains("Draft it"));
}
