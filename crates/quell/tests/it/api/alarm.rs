//! Nobody watches: the servers call somebody when a plan goes no further, and only once.

use quell_testkit::model::pagerduty::PagerDuty;
use serde_json::{Value, json};

use super::room::Room;
use crate::world::{Roles, Servers, World, private, wait_for};

#[test]
fn of_two_servers_one_calls_when_a_step_goes_no_further() {
    let servers = Servers::start();
    let pager = PagerDuty::start().unwrap();
    let channel = json!({ "oncall": { "pagerduty": {
        "routing_key": "file:pager.key", "url": format!("http://127.0.0.1:{}", pager.port()),
    } } });
    let policy =
        format!("{{ approvals: {{ destructive: 1 }}, notify: {{ page: oncall }} }}\nchannels: {channel}");
    let world = World::bare(&servers, "stuck", Roles::Alternating, &policy);
    private(&world.path("pager.key"), "canary0routing0key0of320letters0");
    world.ok(&["init"]);
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let room = Room::start(&world);
    world.ok(&["person", "add", "omar", "--role", "viewer"]);
    let other = Room::start_as(&world, "omar");
    let hash = room.get(&format!("/incidents/{id}/plan")).is(200)["hash"].clone();
    room.post(&format!("/incidents/{id}/respond"), &json!({ "plan": hash }));
    let waits = || room.get(&format!("/incidents/{id}/respond")).json()["ended"] == "needs-approval";
    wait_for(waits, "the plan does not wait for approval");
    let step = "stuck-db.disable";
    room.post(&format!("/incidents/{id}/steps/{step}/refuse"), &json!({ "reason": "not before the backup" }))
        .is(200);
    let alarms = || {
        let listed = room.get(&format!("/incidents/{id}/notices")).is(200);
        let all = listed["notices"].as_array().unwrap().clone();
        all.into_iter().filter(|it| it["kind"] == "alarm").collect::<Vec<Value>>()
    };
    wait_for(|| alarms().iter().any(|it| it["state"] == "sent"), "nobody was called");
    let told = alarms();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["title"].as_str().unwrap().starts_with(&format!("stuck: {step} of plan ")), "{told:?}");
    assert!(told[0]["body"].as_str().unwrap().contains("not before the backup"), "{told:?}");
    let called = pager.alerts()[0].log.iter().filter(|event| event.to_string().contains("stuck: ")).count();
    assert_eq!(called, 1, "{:?}", pager.alerts());
    // The other server has seen the same, and what it shows is what the first one did.
    let seen = other.get(&format!("/incidents/{id}/notices")).is(200);
    assert_eq!(seen["notices"].as_array().unwrap().len(), told.len(), "{seen}");
}
