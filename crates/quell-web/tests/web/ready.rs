//! `/readyz`, of a server one of whose duties does not go on. Databases and endings are among the tests of the command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quell_core::inventory::Inventory;
use quell_web::Beside;
use reqwest::{Method, StatusCode};

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
