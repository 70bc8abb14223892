//! The driver where no outside system is needed; with real ones it is tested through the binary.

use quell_store::{KekSource, Store};

use super::*;
use crate::Options;
use crate::clock::now;
use crate::incident::{Report, open};

/// Nobody listens at the issuer's address: plans are made all the same.
fn inventory(secrets: &[&str]) -> String {
    let one = |id: &&str| {
        format!(
            "  - id: {id}\n    kind: postgres-password\n    env: test\n    tier: service\n    \
             issuer: {{ postgres: {{ admin: \"env:ADMIN\", roles: [{id}_x, {id}_y], group: {id}_owner }} }}\n    \
             stores: [{{ env_file: {{ path: {id}.env, key: URL }} }}]\n"
        )
    };
    format!("secrets:\n{}", secrets.iter().map(one).collect::<String>())
}

async fn opened(folder: &std::path::Path) -> Arc<App> {
    let options = Options {
        data: folder.join("data"),
        database: None,
        inventory: folder.join("quell.yaml"),
        environment: [("ADMIN".to_owned(), "postgres://admin:x@127.0.0.1:1/db".to_owned())].into(),
        actor: "test".to_owned(),
        call_limit: Duration::from_secs(2),
        passphrase_file: None,
        providers: Vec::new(),
    };
    if !options.data.exists() {
        let store = Store::init(&options.data, None, &KekSource::File(None), now()).await.unwrap();
        store.db().close().await;
    }
    App::open(&options, || Err(StoreError::Kek("nobody can be asked".to_owned()))).await.unwrap()
}

#[tokio::test]
async fn a_plan_runs_in_whatever_order_its_secrets_were_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quell.yaml");
    std::fs::write(&path, inventory(&["a", "b", "c"])).unwrap();
    let app = opened(folder.path()).await;
    let secrets = ["b", "c", "a"].map(|id| id.parse().unwrap()).to_vec();
    let id = open(&app, Report { secrets, ..Report::default() }).await.unwrap().id;
    let incident = crate::plan::make(&app, id, false).await.unwrap();
    let machine = crate::plan::machine(&incident).unwrap();
    assert_eq!(build_systems(&app, &Of::Plan, machine).unwrap().len(), 3);

    let changed = inventory(&["a", "b", "c"]).replace("b_owner", "another");
    std::fs::write(&path, changed).unwrap();
    let app = opened(folder.path()).await;
    let refused = build_systems(&app, &Of::Plan, machine).unwrap_err().to_string();
    assert!(refused.starts_with("the inventory has changed since plan"), "{refused}");
}
