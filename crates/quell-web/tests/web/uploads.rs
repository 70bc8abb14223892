//! Files that people give as evidence.

use std::collections::BTreeMap;

use quell_app::plan;
use quell_core::event::Actor;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};

use super::world::{World, inventory, read};

const INVENTORY: &str = "secrets:
  - id: ines-directory
    kind: directory-password
    env: prod
    tier: human
    issuer: { person: { account: ines@example.com, at: the directory } }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_file_is_no_way_to_another_place() {
    let world = World::at("127.0.0.1:0", inventory(INVENTORY), BTreeMap::new()).await;
    let app = world.app.acting_as(Actor::user("ines"));
    let id = world.leaked("ines-directory").await;
    plan::make(&app, id, false).await.unwrap();
    let (cookie, csrf) = world.session("ines", Role::Responder).await;
    // Of a path, the last part is what a browser would have sent; nothing of the folders stays.
    let names = [("a/..", false), ("..", false), (".", false), ("../../keys/signing", true)];
    for (name, taken) in names {
        let field = |name: &str, value: &str| {
            format!("--b0\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = [
            field("csrf", &csrf),
            field("step", "ines-directory.force-reset"),
            field("text", "the directory's log shows the reset"),
            format!("--b0\r\ncontent-disposition: form-data; name=\"evidence\"; filename=\"{name}\"\r\n\r\nseen\r\n--b0--\r\n"),
        ]
        .concat();
        let request = world.ask(Method::POST, &format!("/incidents/{id}/resolve")).header("cookie", &cookie);
        let request = request.header("content-type", "multipart/form-data; boundary=b0").body(body);
        let (status, said) = read(request.send().await.unwrap()).await;
        let (_, entries) = world.app.incident_with_entries(id).await.unwrap();
        let kept: Vec<&str> = entries.iter().flat_map(|it| &it.evidence).map(|it| it.name.as_str()).collect();
        if taken {
            assert_eq!((status, kept), (StatusCode::SEE_OTHER, vec!["signing"]), "{name}");
        } else {
            assert_eq!((status, kept), (StatusCode::UNPROCESSABLE_ENTITY, Vec::new()), "{name}");
            assert!(said.contains("the name of a file is empty, a path"), "{name}: {said}");
        }
    }
    for sha256 in ["..%2f..%2fkeys", "%2e%2e", "none", &"0".repeat(64), "..%5c.."] {
        let place = format!("/incidents/{id}/evidence/{sha256}");
        let (status, _) =
            read(world.ask(Method::GET, &place).header("cookie", &cookie).send().await.unwrap()).await;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST), "{place}: {status}");
    }
}
