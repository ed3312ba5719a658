//! Twenty simulated hosts and one controller, from the first PUT to the last thing gone: the fleet of the benches works.

use std::sync::Arc;
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, PATIENCE, Seen, SimulatedFleet, fleet_directory, instance, until_some, volume};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const HOSTS: usize = 20;
const INSTANCES: usize = 200;
const CLIENTS: usize = 8;

/// Does the same to every instance, several at a time.
async fn each<F, Fut>(alice: &Client, act: F)
where
    F: Fn(Client, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let act = Arc::new(act);
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let (alice, act) = (alice.clone(), act.clone());
        clients.spawn(async move {
            for number in (first..INSTANCES).step_by(CLIENTS) {
                act(alice.clone(), format!("i{number}")).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("it ends well");
    }
}

/// Waits until what is there of a kind is as it should be.
async fn all(alice: &Client, what: &str, kind: Kind, count: usize, good: impl Fn(&Value) -> bool) {
    let list = Urn::workspace(kind, "acme", "w", "");
    until_some(&format!("all {what}"), PATIENCE, || async {
        let views = alice.list_all(&list, None).await.map_err(|error| error.to_string())?;
        let others = views.iter().find(|view| !good(view.status.as_ref().unwrap_or(&Value::Null)));
        match others {
            None if views.len() == count => Ok(()),
            other => Err(format!("{} of {count}; {other:?}", views.len())),
        }
    })
    .await;
}

async fn on_hosts(fleet: &mut SimulatedFleet, good: impl Fn(&Seen) -> bool) {
    let begin = std::time::Instant::now();
    loop {
        let seen = fleet.look().await.expect("it runs");
        if good(&seen) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_on_simulated_hosts_come_start_and_go_and_leave_nothing() {
    let (dir, memory) = (tempfile::tempdir().expect("a temporary directory"), fleet_directory());
    let cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let addresses = cluster.layout.internal_addresses();
    let fleet = SimulatedFleet::start(memory.path(), &cluster.layout, 0..HOSTS, &addresses, &[]);
    let mut fleet = fleet.await.expect("a fleet");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");

    each(&alice, |alice, name| async move {
        let disk = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
        alice.put(&volume(&name), &disk).await.expect("a volume");
        let boot = json!({ "deviceRef": format!("block-storages/{name}") });
        let spec = json!({ "skuRef": "skus/d2xs", "zone": "a", "bootVolume": boot });
        alice.put(&instance(&name), &json!({ "spec": spec })).await.expect("an instance");
    })
    .await;
    all(&alice, "active", Kind::Instance, INSTANCES, |status| status["state"] == "active").await;
    let seen = fleet.look().await.expect("it runs");
    let sessions: usize = fleet.sessions().await.expect("it runs").values().sum();
    assert_eq!((seen.hosts, seen.domains, seen.running, sessions), (HOSTS, INSTANCES, 0, HOSTS), "{seen:?}");

    each(&alice, |alice, name| async move {
        alice.act(&instance(&name), "start").await.expect("accepted");
    })
    .await;
    let on = |status: &Value| status["state"] == "active" && status["powerState"] == "on";
    all(&alice, "on", Kind::Instance, INSTANCES, on).await;
    on_hosts(&mut fleet, |seen| seen.running == INSTANCES).await;

    each(&alice, |alice, name| async move {
        alice.delete(&instance(&name)).await.expect("accepted");
        alice.delete(&volume(&name)).await.expect("accepted");
    })
    .await;
    all(&alice, "gone", Kind::Instance, 0, |_| false).await;
    all(&alice, "gone", Kind::BlockStorage, 0, |_| false).await;
    on_hosts(&mut fleet, |seen| *seen == Seen { hosts: HOSTS, domains: 0, running: 0, records: 0, files: 0 })
        .await;
    fleet.stop().expect("it ends well");
}
