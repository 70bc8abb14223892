//! People on the page of settings: those of an identity provider, too, are signed out and called one with another name.

use quell_app::clock::now;
use quell_app::person::{self, Source};
use quell_core::event::Event;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};

use super::person::Person;
use super::world::World;

/// Somebody whom an identity provider has let in: their cookie.
async fn provided(world: &World, name: &str, role: Role) -> String {
    let said = Event::PersonProvided { person: name.to_owned(), role };
    person::decide(&world.app, now(), |_| Ok((vec![said.clone()], ()))).await.unwrap();
    let cookie = person::start(&world.app, name, role, Source::Oidc, now()).await.unwrap();
    format!("quell={}", cookie.expose_text().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_signs_anybody_out_on_the_page_whoever_vouches_for_them() {
    let world = World::new().await;
    let admin = Person::of(&world, "ada", Role::Admin).await;
    let omar = Person::of(&world, "omar", Role::Viewer).await;
    let lena = provided(&world, "lena@example.com", Role::Responder).await;
    let page = admin.page("/settings").await;
    assert!(page.contains("lena@example.com</strong>, responder, by the identity provider"), "{page}");
    assert!(page.contains("omar</strong>, viewer, by codes"), "{page}");
    assert!(!page.contains("Remove lena@example.com"), "the provider keeps them out, not we");
    for (name, cookie) in [("omar", &omar.cookie), ("lena@example.com", &lena)] {
        let look = async || {
            let asked = world.ask(Method::GET, "/incidents").header("cookie", cookie).send().await;
            asked.unwrap().status()
        };
        assert_eq!(look().await, StatusCode::OK, "{name} is signed in");
        let (status, said) = admin.form("/settings/people/sign-out", "", &[("name", name)]).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{said}");
        assert_eq!(look().await, StatusCode::SEE_OTHER, "{name} is shown the way to sign in");
    }
    assert!(!omar_sees_people(&world).await, "those who are no admins see nobody");
}

async fn omar_sees_people(world: &World) -> bool {
    let viewer = Person::of(world, "omar", Role::Viewer).await;
    let page = viewer.page("/settings").await;
    page.contains("/settings/people") || page.contains("lena@example.com")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_are_called_one_person_on_the_page() {
    let world = World::new().await;
    let admin = Person::of(&world, "ada", Role::Admin).await;
    Person::of(&world, "omar", Role::Approver).await;
    let names = [("name", "omar"), ("other", "omar@example.com")];
    let form = async |reason: &str| {
        let fields: Vec<(&str, &str)> = names.iter().copied().chain([("reason", reason)]).collect();
        admin.form("/settings/people/same", "", &fields).await
    };
    let is_one = async || {
        let people = person::people(&world.app).await.unwrap();
        people.one_person("omar", "omar@example.com", now()).is_some()
    };
    let (status, said) = form(" ").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{said}");
    assert!(!is_one().await);
    let (status, said) = form("one badge").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{said}");
    assert!(is_one().await);
}
