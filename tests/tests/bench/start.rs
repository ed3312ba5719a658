//! How long a cluster that has nothing yet takes until it serves: three processes with their identities, on empty directories.

use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::json;

use super::percentile;

/// How often.
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn empty_cluster() {
    let _alone = super::ALONE.lock().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_LOG", "warn")];
    let mut cluster = Cluster::start_with(&dir.path().join("c"), 3, &settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let operator = operator.patient(Duration::ZERO);
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    let (mut writes, mut readies) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for id in 1..=3 {
            cluster.kill(id);
            // Its Postgres goes by itself, and writes until then.
            let data = cluster.layout.data_dir(id);
            until_some("its directory to be gone", Duration::from_secs(30), || async {
                std::fs::remove_dir_all(&data).map_err(|error| error.to_string())
            })
            .await;
        }
        let began = Instant::now();
        for id in 1..=3 {
            cluster.start_controller(id).expect("it starts");
        }
        until_some("a write to be accepted", Duration::from_secs(60), || async {
            let put = operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await;
            put.map_err(|error| error.to_string())
        })
        .await;
        writes.push(began.elapsed());
        for id in 1..=3 {
            cluster.ready(id).await.expect("an address");
        }
        readies.push(began.elapsed());
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("\nstart of three controllers that have nothing, {ROUNDS} times, {profile} build");
    for (what, mut times) in [("first accepted write", writes), ("all of them ready", readies)] {
        times.sort_unstable();
        println!(
            "  {what}: p50 {:.0} ms, max {:.0} ms",
            percentile(&times, 50).round(),
            percentile(&times, 100).round()
        );
    }
}
