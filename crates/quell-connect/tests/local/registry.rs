use quell_connect::ALL;

#[test]
fn the_registry_is_sorted_and_complete() {
    let ids: Vec<_> = ALL.iter().map(|definition| definition.id).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(ids, sorted, "alphabetical order");
    for definition in ALL {
        let id = definition.id;
        assert!(definition.readme.starts_with("# "), "{id}: its page starts with a heading");
        assert!(!definition.summary.is_empty() && !definition.summary.ends_with('.'), "{id}");
        let mut roles = Vec::new();
        for (role, schema) in (definition.schemas)() {
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{id} {role}");
            roles.push(role);
        }
        let mut played = Vec::new();
        played.extend(definition.issuer.map(|_| "issuer"));
        played.extend(definition.store.map(|_| "store"));
        played.extend(definition.reload.map(|_| "reload"));
        played.extend(definition.observe.map(|_| "observe"));
        played.extend(definition.notify.map(|_| "notify"));
        played.extend(definition.channel.map(|_| "channel"));
        assert_eq!(roles, played, "{id}: a schema for each role it plays");
    }
}
