//! How long nobody writes when the leader dies: SIGKILL to the next accepted write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::json;

use super::percentile;

/// How many write, each over and over.
const WRITERS: usize = 16;

/// How many writes have to be accepted before the next kill: load is there, and the leader's term is no new one.
const BETWEEN_KILLS: usize = 200;

/// Begin and end of each accepted write.
type Written = Arc<Mutex<Vec<(Instant, Instant)>>>;

/// Writes at any replica; after a failure at the next one, as a client with a list of them does.
async fn write(
    number: usize,
    clients: Vec<Client>,
    written: Written,
    failed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) {
    let mut replica = number;
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let urn = Urn::workspace(Kind::SecurityGroup, "acme", "w", &format!("f{number}-{}", turn % 4));
        let began = Instant::now();
        match clients[replica % clients.len()].put(&urn, &json!({ "spec": {} })).await {
            Ok(_) => written.lock().expect("nobody panicked").push((began, Instant::now())),
            Err(_) => {
                failed.fetch_add(1, Ordering::Relaxed);
                replica += 1;
            }
        }
        turn += 1;
    }
}

/// Waits until so many writes that began after `since` were accepted; the end of the first of them.
async fn accepted(written: &Written, since: Instant, count: usize) -> Instant {
    until_some("writes to be accepted", Duration::from_secs(60), || async {
        let written = written.lock().expect("nobody panicked");
        let ends: Vec<Instant> =
            written.iter().rev().filter(|(began, _)| *began >= since).map(|(_, end)| *end).collect();
        match ends.iter().min() {
            Some(first) if ends.len() >= count => Ok(*first),
            _ => Err(format!("{} of {count}", ends.len())),
        }
    })
    .await
}

/// `BENCH_KILLS` (100) is how often the leader is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn failover() {
    let _alone = super::ALONE.lock().await;
    let kills: usize =
        std::env::var("BENCH_KILLS").map_or(100, |text| text.parse().expect("BENCH_KILLS is a number"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_LOG", "warn")];
    let mut cluster = Cluster::start_with(&dir.path().join("c"), 3, &settings).await.expect("a cluster");
    let clients = |subject| -> Vec<Client> {
        (1..=3).map(|id| cluster.client(id, subject).expect("a client")).collect()
    };
    let (operators, alices) = (clients("operator"), clients("alice"));
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operators[0].put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alices[0].put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");

    let (written, failed, stop) = (Written::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let failed = Arc::clone(&failed);
            tokio::spawn(write(number, alices.clone(), written.clone(), failed, stop.clone()))
        })
        .collect();
    let begin = Instant::now();
    let (mut gaps, mut returns) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        accepted(&written, Instant::now(), BETWEEN_KILLS).await;
        let leader = cluster.leader(&operators).await;
        let killed = Instant::now();
        cluster.kill(leader);
        gaps.push(accepted(&written, killed, 1).await - killed);
        let started = Instant::now();
        cluster.start_controller(leader).expect("it starts");
        cluster.ready(leader).await.expect("an address");
        returns.push(started.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("it ends");
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let accepted = written.lock().expect("nobody panicked").len();
    println!(
        "\nSIGKILL of the leader of three, {WRITERS} clients writing, {kills} kills, {profile} build: {accepted} writes in \
         {:.0} s, {} failed",
        begin.elapsed().as_secs_f64(),
        failed.load(Ordering::Relaxed)
    );
    for (what, mut times) in
        [("next accepted write", gaps), ("the killed one, started again, is ready", returns)]
    {
        times.sort_unstable();
        println!(
            "  {what}: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            percentile(&times, 50),
            percentile(&times, 99),
            percentile(&times, 100)
        );
    }
}
