//! The post-mortem: written by several people, by a page without script and by the API, before and after the end.

use quell_app::incident::{self, Change};
use quell_core::IncidentId;
use quell_core::event::{Actor, Verdict};
use quell_core::incident::{Section, Status};
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::person::Person;
use super::world::{World, read};

async fn room() -> (World, IncidentId) {
    let world = World::with_a_secret().await;
    let id = world.leaked("ines-directory").await;
    (world, id)
}

/// What stands in a text area, as a browser takes it.
fn area(page: &str, section: Section) -> String {
    let (_, from) = page.split_once(&format!("<textarea id=\"text-{section}\"")).unwrap();
    let (_, from) = from.split_once(">\n").unwrap();
    from.split_once("</textarea>").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_write_it_and_neither_loses_what_the_other_wrote() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let omar = Person::of(&world, "omar", Role::Responder).await;
    let place = format!("/incidents/{id}/post-mortem");
    let page = ines.page(&place).await;
    let same = super::person::seen(&page);
    assert!(
        page.contains("Ask why five times") && page.contains("Discovered"),
        "what is asked, beside the facts"
    );
    let cause =
        [("section", "root-cause"), ("text", "no gate before the push\r\nwhy: none is asked for <b>")];
    assert_eq!(ines.form(&place, &same, &cause).await.0, StatusCode::SEE_OTHER);
    // Another section of the same page is nobody's conflict.
    let lucky = [("section", "lucky"), ("text", "nobody read the channel")];
    assert_eq!(omar.form(&place, &same, &lucky).await.0, StatusCode::SEE_OTHER);
    let (status, said) =
        omar.form(&place, &same, &[("section", "root-cause"), ("text", "my own idea of it")]).await;
    assert_eq!(status, StatusCode::CONFLICT, "{said}");
    assert!(said.contains("ines was faster") && said.contains("my own idea of it"), "{said}");
    assert_eq!(
        area(&said, Section::RootCause),
        "no gate before the push\nwhy: none is asked for &#60;b&#62;"
    );
    // Having read it, he may.
    let now = super::person::seen(&said);
    let both = [("section", "root-cause"), ("text", "no gate before the push; my own idea of it")];
    assert_eq!(omar.form(&place, &now, &both).await.0, StatusCode::SEE_OTHER);
    let incident = world.app.incident(id).await.unwrap();
    let written = &incident.post_mortem[&Section::RootCause];
    assert_eq!(
        (written.by.as_str(), written.text.as_str()),
        ("omar", "no gate before the push; my own idea of it")
    );
    let page = ines.page(&place).await;
    assert!(page.contains(&format!("/ledger/{}\"", written.seq)), "it says which entry it is");
    // Whoever only looks reads it, and has nothing to press.
    let viewer = Person::of(&world, "vera", Role::Viewer).await.page(&place).await;
    assert!(viewer.contains("nobody read the channel") && !viewer.contains("<textarea"), "{viewer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_gets_in_by_no_door_and_what_is_too_long_is_given_back() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let place = format!("/incidents/{id}/post-mortem");
    let value = format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T");
    let (status, said) = ines.form(&place, "", &[("section", "impact"), ("text", &value)]).await;
    assert!(
        status.is_client_error() && said.contains("looks like a secret") && !said.contains(&value),
        "{said}"
    );
    let (status, told) = ines.post(&place, &json!({ "section": "impact", "text": value })).await;
    assert!(status.is_client_error() && !told.to_string().contains(&value), "{told}");
    let long = "it took long. ".repeat(1_500);
    let (status, said) = ines.form(&place, "", &[("section", "impact"), ("text", &long)]).await;
    assert!(
        status == StatusCode::CONFLICT && said.contains("it has 20999 bytes") && said.contains(long.trim()),
        "{status}"
    );
    let (status, said) = ines.form(&place, "", &[("section", "blame"), ("text", "somebody")]).await;
    assert!(status.is_client_error() && said.contains("a section: summary"), "{said}");
    assert!(world.app.incident(id).await.unwrap().post_mortem.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_write_it_on_what_they_read_also_when_all_is_over() {
    let (world, id) = room().await;
    let ines = Person::of(&world, "ines", Role::Responder).await;
    let app = world.app.acting_as(Actor::user("tom"));
    for change in [
        Change::Verdict(Verdict::CannotTell, "there are no logs".to_owned()),
        Change::Exception("ines-directory".parse().unwrap(), "the account is gone".to_owned()),
        Change::ActionItem(
            "no passwords in the chat".to_owned(),
            "ines".to_owned(),
            "2031-12-01".to_owned(),
            None,
        ),
        Change::Close("the account was removed".to_owned()),
    ] {
        incident::change(&app, id, &change).await.unwrap();
    }
    let place = format!("/incidents/{id}/post-mortem");
    let (tag, empty) = told(&ines, &place).await;
    let sections: Vec<&str> =
        empty["sections"].as_array().unwrap().iter().map(|one| one["section"].as_str().unwrap()).collect();
    assert_eq!(sections, Section::ALL.map(Section::word));
    assert!(empty["sections"].as_array().unwrap().iter().all(|one| one["text"] == "" && one["by"].is_null()));
    let lessons = json!({ "section": "lessons", "text": "a chat is a channel" });
    let (status, written) = ines.post_on(&place, &tag, &lessons).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    let found =
        written["sections"].as_array().unwrap().iter().find(|one| one["section"] == "lessons").unwrap();
    assert_eq!((found["text"].as_str(), found["by"].as_str()), (Some("a chat is a channel"), Some("ines")));
    assert_eq!(told(&ines, &place).await.1, written);
    let (status, moved) = ines.post_on(&place, &tag, &json!({ "section": "lessons", "text": "mine" })).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{moved}");
    // Items are added and finished on the same page.
    let item = [("text", "review it"), ("owner", "omar"), ("due", "2031-12-02")];
    assert_eq!(ines.form(&format!("{place}/item"), "", &item).await.0, StatusCode::SEE_OTHER);
    let done = [("item", "A2"), ("text", "minutes of the review")];
    assert_eq!(ines.form(&format!("{place}/done"), "", &done).await.0, StatusCode::SEE_OTHER);
    let page = ines.page(&place).await;
    assert!(
        page.contains("A1 is done") && !page.contains("A2 is done") && page.contains("minutes of the review"),
        "{page}"
    );
    let after = world.app.incident(id).await.unwrap();
    assert_eq!((after.status, after.items.len()), (Status::Closed, 2));
}

async fn told(person: &Person<'_>, place: &str) -> (String, Value) {
    let request = person.world.ask(Method::GET, &format!("/api/v1{place}")).header("cookie", &person.cookie);
    let response = request.send().await.unwrap();
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let (status, text) = read(response).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    (tag, serde_json::from_str(&text).unwrap())
}
