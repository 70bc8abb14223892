//! `/readyz`, of a server one of whose duties does not go on. Databases and endings are among the tests of the command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quell_core::inventory::Inventory;
use quell_core::person::Role;
use quell_web::Beside;
use reqwest::{Method, StatusCode};

use quell_app::clock::now;
use quell_app::plan;
use quell_core::event::Actor;

use super::world::{Trust, World, read};

async fn until(world: &World, status: StatusCode) -> String {
    for _ in 0..600 {
        let (now, said) = read(world.ask(Method::GET, "/readyz").send().await.unwrap()).await;
        if now == status {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is never {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_duty_that_keeps_dying_is_not_ready_until_it_goes_well() {
    let dies = Arc::new(AtomicBool::new(true));
    let own = Arc::clone(&dies);
    let beside = Beside::new("the look at the tide", move || {
        let own = Arc::clone(&own);
        async move {
            assert!(!own.load(Ordering::SeqCst), "no water");
            std::future::pending::<()>().await;
        }
    });
    let change = |config: &mut quell_web::Config, _: &std::path::Path| config.beside.push(beside);
    let world = World::with(Inventory::default(), BTreeMap::new(), &Trust::default(), change).await;
    let said = until(&world, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(said.contains("the look at the tide ended (no water) and is begun again"), "{said}");
    // The process itself is well: nobody is to end it for this.
    let alive = world.ask(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    let (_, metrics) = read(world.ask(Method::GET, "/metrics").send().await.unwrap()).await;
    let again = metrics.lines().find_map(|line| line.strip_prefix("quell_duties_begun_again_total "));
    assert!(again.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
    dies.store(false, Ordering::SeqCst);
    assert_eq!(until(&world, StatusCode::OK).await, "ready\n");
}

/// A number of `/metrics`, as monitoring with a viewer's token hears it.
async fn number(world: &World, token: &str, name: &str) -> i64 {
    let asked = world.ask(Method::GET, "/metrics").bearer_auth(token);
    let (_, said) = read(asked.send().await.unwrap()).await;
    let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing: {said}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_hears_what_waits_for_people_and_no_names() {
    let world = World::with_a_secret().await;
    let token = world.token("vera", Role::Viewer).await;
    assert_eq!(number(&world, &token, "quell_incidents_open").await, 0);
    let id = world.leaked("ines-directory").await;
    for (name, expected) in [
        ("quell_incidents_open", 1),
        ("quell_incidents_not_contained", 1),
        ("quell_clocks_missed", 0),
        ("quell_steps_failed", 0),
    ] {
        assert_eq!(number(&world, &token, name).await, expected, "{name}");
    }
    let running = number(&world, &token, "quell_clocks_running").await;
    assert!(running >= 2, "{running}");
    let late = now().checked_add(jiff::SignedDuration::from_hours(24 * 30)).unwrap();
    let standing = quell_app::measure::standing(&world.app, late).await.unwrap();
    assert_eq!((standing.missed, standing.running), (u64::try_from(running).unwrap(), 0));
    // Somebody refuses a step: it waits for somebody.
    let omar = world.app.acting_as(Actor::user("omar"));
    let machine = plan::make(&omar, id, false).await.unwrap().machine.unwrap();
    let step = machine.states().next().unwrap().0.id.clone();
    plan::step(&omar, id, &step, &plan::StepCommand::Refuse("not tonight".to_owned())).await.unwrap();
    assert_eq!(number(&world, &token, "quell_steps_failed").await, 1);
    let ask = async |token: &str| {
        read(world.ask(Method::GET, "/metrics").bearer_auth(token).send().await.unwrap()).await
    };
    let (_, said) = ask(&token).await;
    assert!(!said.contains("ines-directory") && !said.contains("omar") && !said.contains("INC-"), "{said}");
    // That something burns is nothing for strangers, nor for whoever may only report.
    let (status, own) = read(world.ask(Method::GET, "/metrics").send().await.unwrap()).await;
    assert!(status.is_success() && own.contains("quell_http_requests_total"), "{own}");
    let (_, of_reporter) = ask(&world.token("rita", Role::Reporter).await).await;
    for said in [own, of_reporter] {
        for word in ["quell_incidents", "quell_clocks", "quell_steps"] {
            assert!(!said.contains(word), "{said}");
        }
    }
    assert_eq!(
        ask("qll_of_nobody").await.0,
        StatusCode::UNAUTHORIZED,
        "monitoring hears that its token is wrong"
    );
}
