//! From processes that are started to the first request that is served: a new cluster, and a replica with much to load.

use std::path::Path;
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, Layout};
use serde_json::json;

use super::number;
use super::plane::Plane;
use super::table::{Round, Table};
use super::wire::Wire;
use crate::cpu::Clock;
use crate::rest::fill;

/// Between two tries of somebody who waits for a server.
const TRY_EVERY: Duration = Duration::from_millis(5);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Three controllers of a new cluster, of which two join: databases are made, keys are handed over.
pub(crate) async fn empty(dir: &Path, rounds: usize, table: &mut Table) {
    let (mut firsts, mut agains) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let layout = Layout::new(&dir.join(format!("e{round}")), 3).expect("ports");
        std::fs::create_dir_all(&layout.dir).expect("a directory");
        layout.init().expect("keys");
        let mut cluster = Cluster { layout, controllers: Vec::new(), environment: Vec::new() };
        cluster.environment.push(("REMPART_LOG", "warn".to_owned()));
        firsts.push(served(&mut cluster, "first").await);
        for id in 1..=3 {
            cluster.ready(id).await.expect("an address");
        }
        for id in 1..=3 {
            let ended = cluster.take(id).terminate();
            assert!(ended.is_some_and(|status| status.success()), "controller {id}: {ended:?}");
        }
        agains.push(served(&mut cluster, "again").await);
    }
    table.add("start: three new controllers to their first write", "3 replicas, empty", &firsts);
    table.add("start: the same, stopped and started", "3 replicas, empty", &agains);
}

/// Starts all three; how long until one has accepted a write.
async fn served(cluster: &mut Cluster, name: &str) -> Round {
    let clock = Clock::start(&[]);
    let begin = Instant::now();
    for id in 1..=3 {
        cluster.start_controller(id).expect("it starts");
    }
    let operator = cluster.client(1, "operator").expect("a client");
    let urn = Urn::global(Kind::Tenant, name);
    let mut last = String::new();
    while let Err(error) = operator.put(&urn, &json!({ "spec": { "owners": ["alice"] } })).await {
        last =
            if begin.elapsed() < PATIENCE { error.to_string() } else { panic!("no write: {last}; {error}") };
        tokio::time::sleep(TRY_EVERY).await;
    }
    let figures = vec![("s", begin.elapsed().as_secs_f64())];
    drop(clock);
    // Nobody's CPU but theirs and this process's: they were not there when a clock could have begun.
    Round { figures, others_percent: 0.0 }
}

/// `BENCH_OBJECTS` (1000000) workspaces, one controller, stopped in good order and started: until it answers a read.
pub(crate) async fn full(table: &mut Table) {
    let objects = number("BENCH_OBJECTS", 1_000_000);
    let mut plane = Plane::open(1).await;
    fill(&plane.cluster, objects).await;
    plane.clock().settled().await;
    let begin = Instant::now();
    let ended = plane.cluster.take(1).terminate();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    let stopped = begin.elapsed();
    let begin = Instant::now();
    plane.cluster.start_controller(1).expect("it starts");
    let address = plane.requests.address(0).to_owned();
    let list = plane.requests.list_volumes();
    loop {
        let answered = async {
            let mut wire = Wire::try_open(&address).await?;
            let status = wire.try_ask(&list).await?.status;
            if status == 200 { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
        };
        match answered.await {
            Ok(()) => break,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "no answer: {error}"),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    let figures = vec![("s", begin.elapsed().as_secs_f64()), ("to stop before, s", stopped.as_secs_f64())];
    let round = Round { figures, others_percent: 0.0 };
    table.add("restart: to the first read", &format!("1 replica, {objects} objects"), &[round]);
    plane.close();
}
