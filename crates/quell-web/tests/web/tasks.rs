//! What people do beside the plan: by the room without script and by the API.

use quell_app::clock::now;
use quell_app::incident::{self, Change};
use quell_app::person;
use quell_core::IncidentId;
use quell_core::event::{Actor, Verdict};
use quell_core::incident::TaskEnd;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::form::forms;
use super::person::{Person, seen};
use super::world::{World, read};

async fn room() -> (World, IncidentId) {
    let world = World::with_a_secret().await;
    let id = world.leaked("ines-directory").await;
    (world, id)
}

/// What waits for whoever the page is for, as text.
fn needs(page: &str) -> &str {
    let (_, from) = page.split_once("<section id=\"needs\"").unwrap();
    from.split_once("</section>").unwrap().0
}

/// `T1 omar open`, one after the other.
async fn stands(world: &World, id: IncidentId) -> Vec<String> {
    let incident = world.app.incident(id).await.unwrap();
    let word = |it: &quell_core::incident::task::Task| {
        let end = it.ended.as_ref().map_or("open", |ended| ended.how.word());
        format!("{} {} {end}", it.task, it.owner.as_deref().unwrap_or("-"))
    };
    incident.tasks.iter().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_whoever_has_it_until_it_is_over() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let room = format!("/incidents/{id}");
    let fields = [("text", "ask the vendor for <b>logs</b>"), ("person", ""), ("due", "2031-11-22T03:00")];
    assert_eq!(ines.form(&format!("{room}/task"), "", &fields).await.0, StatusCode::SEE_OTHER);
    let late = [("text", "watch the graph"), ("person", "omar"), ("due", "2020-01-01T00:00")];
    assert_eq!(ines.form(&format!("{room}/task"), "", &late).await.0, StatusCode::SEE_OTHER);
    let page = ines.page(&room).await;
    assert!(page.contains("nobody yet") && page.contains("22 Nov 2031, 03:00:00 UTC"), "{page}");
    assert!(page.contains("&#60;b&#62;logs") && !page.contains("<b>logs"), "words of people are no markup");
    assert!(!needs(&page).contains("is yours"), "it waits for nobody yet, and the other for omar");
    let theirs = omar.page(&room).await;
    let waits = needs(&theirs);
    assert!(waits.contains("T2 is yours:") && waits.contains("overdue") && !waits.contains("T1"), "{waits}");
    // As the page has it: one button takes it.
    let take = forms(&theirs).into_iter().find(|form| {
        form.action.ends_with("/task-given") && form.fields.iter().any(|field| field.value == "T1")
    });
    let (status, said) = read(take.unwrap().send(&world, &omar.cookie, "", "").await).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{said}");
    assert_eq!(stands(&world, id).await, ["T1 omar open", "T2 omar open"]);
    let given = [("about", "T1"), ("person", " ines ")];
    assert_eq!(omar.form(&format!("{room}/task-given"), "", &given).await.0, StatusCode::SEE_OTHER);
    let page = ines.page(&room).await;
    assert!(needs(&page).contains("T1 is yours:") && page.contains("Take T2 over from omar"), "{page}");
    let done = [("about", "T1"), ("text", "")];
    assert_eq!(ines.form(&format!("{room}/task-done"), "", &done).await.0, StatusCode::SEE_OTHER);
    let why = [("about", "T2"), ("reason", " ")];
    let (status, said) = omar.form(&format!("{room}/task-dropped"), "", &why).await;
    assert!(status == StatusCode::CONFLICT && said.contains("say why nobody needs it any more"), "{said}");
    let why = [("about", "T2"), ("reason", "the graph is gone")];
    assert_eq!(omar.form(&format!("{room}/task-dropped"), "", &why).await.0, StatusCode::SEE_OTHER);
    assert_eq!(stands(&world, id).await, ["T1 ines done", "T2 omar dropped"]);
    let page = omar.page(&room).await;
    assert!(!needs(&page).contains("is yours") && page.contains("the graph is gone"), "{page}");
    // What is over stays over, and says so.
    let again = [("about", "T1"), ("person", "omar")];
    let (status, said) = omar.form(&format!("{room}/task-given"), "", &again).await;
    assert!(
        status == StatusCode::CONFLICT && said.contains("it is done already") && said.contains("add one"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_press_on_the_same_page_the_second_hears_of_the_first() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let room = format!("/incidents/{id}");
    for title in ["ask the vendor", "watch the graph"] {
        assert_eq!(ines.form(&format!("{room}/task"), "", &[("text", title)]).await.0, StatusCode::SEE_OTHER);
    }
    let same = seen(&omar.page(&room).await);
    let taken = [("about", "T1"), ("person", "ines")];
    assert_eq!(ines.form(&format!("{room}/task-given"), &same, &taken).await.0, StatusCode::SEE_OTHER);
    let over = [("about", "T1"), ("reason", "they never answer")];
    let (status, said) = omar.form(&format!("{room}/task-dropped"), &same, &over).await;
    assert!(
        status == StatusCode::CONFLICT
            && said.contains("ines was faster")
            && said.contains("they never answer"),
        "what was typed is given back: {said}"
    );
    // The other task, and a further one, are nobody's conflict.
    let other = [("about", "T2"), ("text", "it is calm")];
    assert_eq!(omar.form(&format!("{room}/task-done"), &same, &other).await.0, StatusCode::SEE_OTHER);
    let more = [("text", "call the bank"), ("person", "omar")];
    assert_eq!(omar.form(&format!("{room}/task"), &same, &more).await.0, StatusCode::SEE_OTHER);
    assert_eq!(stands(&world, id).await, ["T1 ines open", "T2 - done", "T3 omar open"]);
    // Having read it, he may.
    let now = seen(&said);
    assert_eq!(omar.form(&format!("{room}/task-dropped"), &now, &over).await.0, StatusCode::SEE_OTHER);
    // Programs collide by the tag of what they read.
    let place = format!("/api/v1{room}/tasks");
    let read_by = world.ask(Method::GET, &place).header("cookie", &omar.cookie).send().await.unwrap();
    let tag = read_by.headers()["etag"].to_str().unwrap().to_owned();
    let body = json!({ "owner": "tom" });
    let (status, told) = ines.post_on(&format!("{room}/tasks/T3/give"), &tag, &body).await;
    assert_eq!((status, told["tasks"][2]["owner"].as_str()), (StatusCode::OK, Some("tom")), "{told}");
    let (status, told) = omar.post_on(&format!("{room}/tasks/T3/done"), &tag, &json!({})).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_both_names_of_a_person_are_theirs() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let room = format!("/incidents/{id}");
    let body = json!({ "title": "ask the vendor", "owner": "ines@example.com" });
    assert_eq!(ines.post(&format!("{room}/tasks"), &body).await.0, StatusCode::OK);
    assert!(!needs(&ines.page(&room).await).contains("is yours"), "nobody has linked the names yet");
    let ada = world.app.acting_as(Actor::user("ada"));
    person::same(&ada, "ines", "ines@example.com", "one badge", now()).await.unwrap();
    assert!(needs(&ines.page(&room).await).contains("T1 is yours:"));
    assert!(!needs(&omar.page(&room).await).contains("is yours"));
    for (who, mine) in [(&ines, 1), (&omar, 0)] {
        let place = format!("/api/v1{room}/tasks?mine=true");
        let (_, said) =
            read(world.ask(Method::GET, &place).header("cookie", &who.cookie).send().await.unwrap()).await;
        let told: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(told["tasks"].as_array().unwrap().len(), mine, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_gets_into_no_task_by_any_door() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let room = format!("/incidents/{id}");
    let (status, told) = ines.post(&format!("{room}/tasks"), &json!({ "title": "call" })).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let value = format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T");
    let value = value.as_str();
    let forms: [(&str, &[(&str, &str)]); 5] = [
        ("task", &[("text", value)]),
        ("task", &[("text", "call"), ("person", value)]),
        ("task-given", &[("about", "T1"), ("person", value)]),
        ("task-done", &[("about", "T1"), ("text", value)]),
        ("task-dropped", &[("about", "T1"), ("reason", value)]),
    ];
    for (place, fields) in forms {
        let (status, said) = ines.form(&format!("{room}/{place}"), "", fields).await;
        assert!(status.is_client_error() && said.contains("looks like a secret"), "{place}: {said}");
        assert!(!said.contains("h7Gq2Wx9Lr4T"), "{place} gives it back");
    }
    for (place, body) in [
        ("tasks", json!({ "title": value })),
        ("tasks", json!({ "title": "call", "owner": value })),
        ("tasks/T1/give", json!({ "owner": value })),
        ("tasks/T1/done", json!({ "reason": value })),
        ("tasks/T1/drop", json!({ "reason": value })),
    ] {
        let (status, told) = ines.post(&format!("{room}/{place}"), &body).await;
        assert!(
            status.is_client_error() && told["detail"].as_str().unwrap().contains("looks like a secret"),
            "{place}: {told}"
        );
        assert!(!told.to_string().contains("h7Gq2Wx9Lr4T"), "{place} gives it back");
    }
    assert_eq!(stands(&world, id).await, ["T1 - open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_looks_reads_tasks_and_has_nothing_to_press() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let room = format!("/incidents/{id}");
    let body = json!({ "title": "ask the vendor", "owner": "vera", "due": "2031-11-22T03:00:00Z" });
    let (status, told) = ines.post(&format!("{room}/tasks"), &body).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(
        (told["tasks"][0]["by"].as_str(), told["tasks"][0]["due"].as_str()),
        (Some("ines"), Some("2031-11-22T03:00:00Z"))
    );
    let viewer = Person::of(&world, "vera", Role::Viewer).await;
    let page = viewer.page(&room).await;
    assert!(needs(&page).contains("T1 is yours:"), "{page}");
    assert!(forms(&page).iter().all(|form| !form.action.contains("/task")), "a viewer has a form");
    let (status, told) = viewer.post(&format!("{room}/tasks/T1/done"), &json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{told}");
    for (place, body) in
        [("T9/done", json!({})), ("T9/drop", json!({ "reason": "?" })), ("T9/give", json!({}))]
    {
        let (status, told) = ines.post(&format!("{room}/tasks/{place}"), &body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{place}: {told}");
    }
    // After the end nothing is added, and what is known is written down.
    let app = world.app.acting_as(Actor::user("tom"));
    for change in [
        Change::Verdict(Verdict::CannotTell, "there are no logs".to_owned()),
        Change::Exception("ines-directory".parse().unwrap(), "the account is gone".to_owned()),
        Change::ActionItem("no passwords".to_owned(), "ines".to_owned(), "2031-12-01".to_owned(), None),
        Change::Close("the account was removed".to_owned()),
    ] {
        incident::change(&app, id, &change).await.unwrap();
    }
    let page = ines.page(&room).await;
    assert!(!page.contains("Add a task") && page.contains("T1 is done"), "{page}");
    let (status, told) = ines.post(&format!("{room}/tasks"), &json!({ "title": "call" })).await;
    assert!(status.is_client_error() && told["hints"].to_string().contains("action item"), "{told}");
    let ended = Change::TaskEnded("T1".to_owned(), TaskEnd::Done, "they kept none".to_owned());
    incident::change(&app, id, &ended).await.unwrap();
    assert_eq!(stands(&world, id).await, ["T1 vera done"]);
}
