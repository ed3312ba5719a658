//! Controllers of two releases side by side, and the step to the newer one, under load.
//!
//! `REMPART_OLD_CONTROLLER` names the program of the release before. While there is none, the old ones are today's program,
//! told not to go beyond the cluster version of that release.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_model::ClusterVersion;
use rempart_tests::{Cluster, Layout, until_some};
use serde_json::json;

fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

fn client(cluster: &Cluster, id: usize, subject: &str) -> Client {
    cluster.client(id, subject).expect("a client").patient(Duration::from_secs(30))
}

async fn version(operator: &Client) -> u32 {
    operator.replicas().await.expect("a list").cluster_version
}

/// Writes through one controller after the other until told to stop; gives the names of what was accepted.
async fn write(clients: Vec<Client>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut accepted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("w{}", accepted.len());
        // Whichever controller is just being restarted, another one answers.
        for client in clients.iter().cycle().skip(accepted.len() % clients.len()).take(20) {
            if client.put(&workspace(&name), &json!({})).await.is_ok() {
                accepted.push(name);
                break;
            }
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_live_side_by_side_until_all_are_the_newer_one() {
    let old_program = std::env::var_os("REMPART_OLD_CONTROLLER").map(PathBuf::from);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let old = ClusterVersion(ClusterVersion::NEWEST.0 - 1);
    let limit = old.to_string();
    let mut settings = vec![("REMPART_SNAPSHOT_AFTER_MIB", "1")];
    if old_program.is_none() {
        settings.push(("REMPART_CLUSTER_VERSION_LIMIT", &limit));
    }
    let layout = Layout { program: old_program, ..Layout::new(&dir.path().join("c"), 3).expect("ports") };
    let mut cluster = Cluster::start_layout(layout, &settings).await.expect("a cluster");
    let operator = client(&cluster, 1, "operator");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    until_some("the cluster to be at the old version", Duration::from_secs(30), || async {
        let now = version(&operator).await;
        if now == old.0 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;

    let stop = Arc::new(AtomicBool::new(false));
    let clients = (1..=3).map(|id| cluster.client(id, "alice").expect("a client")).collect();
    let writing = tokio::spawn(write(clients, stop.clone()));

    cluster.layout.program = None;
    cluster.environment.retain(|(name, _)| *name != "REMPART_CLUSTER_VERSION_LIMIT");
    for id in 1..=3 {
        assert_eq!(version(&operator).await, old.0, "{} of 3 are new", id - 1);
        cluster.take(id).terminate();
        cluster.start_controller(id).expect("it starts");
        cluster.ready(id).await.expect("it serves");
    }
    until_some("the cluster to be at the new version", Duration::from_secs(30), || async {
        let now = version(&operator).await;
        if now == ClusterVersion::NEWEST.0 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    // What the version brings is in use.
    until_some("all controllers to have compared", Duration::from_secs(30), || async {
        let list = operator.replicas().await.map_err(|error| error.to_string())?;
        let compared: Vec<_> = list
            .items
            .iter()
            .map(|one| one.status.own.as_ref().and_then(|own| own.state_digest.clone()))
            .collect();
        if compared[0].is_some() && compared.iter().all(|one| *one == compared[0]) {
            return Ok(());
        }
        Err(format!("{compared:?}"))
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let accepted = writing.await.expect("it ends");
    assert!(accepted.len() > 20, "{} writes are no load", accepted.len());
    for id in 1..=3 {
        let seen = client(&cluster, id, "alice").list_all(&workspace(""), None).await.expect("a list");
        assert_eq!(seen.len(), accepted.len(), "at controller {id}");
    }
}
