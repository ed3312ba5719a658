//! Which ends of a leading process are noticed at once: real processes, real kernels.

use std::time::{Duration, Instant};

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use rustix::process::Signal;
use serde_json::json;

/// How long a leader may be silent, at least and at most, in milliseconds. Long, so that what is quicker was not the timeout.
const SILENCE_MS: (u64, u64) = (15_000, 20_000);

/// Writes at `clients`, one after the other, until one of them has accepted it.
async fn write(clients: &[&Client], name: &str) {
    let urn = Urn::workspace(Kind::SecurityGroup, "acme", "w", name);
    let mut turn = 0;
    until_some("a write to be accepted", Duration::from_millis(SILENCE_MS.1 * 3), || {
        let client = clients[turn % clients.len()];
        turn += 1;
        let urn = urn.clone();
        async move { client.put(&urn, &json!({ "spec": {} })).await.map_err(|error| error.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_noticed_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let silence = SILENCE_MS.1.to_string();
    let settings = [("REMPART_ELECTION_MS", silence.as_str())];
    let mut cluster = Cluster::start_with(&dir.path().join("c"), 3, &settings).await.expect("a cluster");
    let clients = |subject| -> Vec<Client> {
        let client = |id| cluster.client(id, subject).expect("a client").patient(Duration::from_secs(60));
        (1..=3).map(client).collect()
    };
    let (operators, alices) = (clients("operator"), clients("alice"));
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operators[0].put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alices[0].put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");

    // Killed: a write is accepted before the shortest silence is over. Twice, so that one of them was elected so.
    for round in 0..2 {
        let leader = cluster.leader(&operators).await;
        let others: Vec<&Client> = (1..=3).filter(|id| *id != leader).map(|id| &alices[id - 1]).collect();
        let began = Instant::now();
        cluster.kill(leader);
        write(&others, &format!("after-{round}")).await;
        let took = began.elapsed();
        eprintln!("leader {leader} killed: the next write was accepted after {took:?}");
        assert!(took < Duration::from_millis(SILENCE_MS.0), "it took a timeout: {took:?}");
        cluster.start_controller(leader).expect("it starts");
        cluster.ready(leader).await.expect("an address");
    }

    // Asleep: its sockets are open, and its kernel takes connections. Nothing is known before the silence is too long.
    let leader = cluster.leader(&operators).await;
    let others: Vec<&Client> = (1..=3).filter(|id| *id != leader).map(|id| &alices[id - 1]).collect();
    let began = Instant::now();
    cluster.running(leader).signal(Signal::STOP);
    write(&others, "asleep").await;
    let took = began.elapsed();
    cluster.running(leader).signal(Signal::CONT);
    eprintln!("leader {leader} asleep: the next write was accepted after {took:?}");
    // It was last heard one heartbeat before, at the earliest.
    let least = Duration::from_millis(SILENCE_MS.0 - SILENCE_MS.1 * 15 / 100);
    assert!(took >= least, "a leader that slept was replaced after {took:?}");
    write(&alices.iter().collect::<Vec<_>>(), "awake").await;
}
