//! How fast it is; prints and asserts nothing. `cargo test --release -p rempart-controller raft::tests::bench -- --ignored --nocapture`

use std::time::Duration;

use bytes::Bytes;
use tokio::{task::JoinSet, time::Instant};

use super::cluster::Cluster;
use crate::raft::Proposal;

const FOR: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    for size in [1, 3] {
        for clients in [1, 16, 64, 256] {
            let cluster = Cluster::founded(size).await;
            let leader = cluster.node(cluster.leader().await).clone();
            let syncs = leader.status().log_syncs;
            let end = Instant::now() + FOR;
            let running: JoinSet<Vec<Duration>> = (0..clients)
                .map(|_| {
                    let leader = leader.clone();
                    async move {
                        let mut took = Vec::new();
                        while Instant::now() < end {
                            let begun = Instant::now();
                            leader.propose(Proposal(Bytes::from_static(&[b'x'; 256]))).await.unwrap();
                            took.push(begun.elapsed());
                        }
                        took
                    }
                })
                .collect();
            let mut took = running.join_all().await.concat();
            took.sort_unstable();
            let at = |percent: usize| took[took.len() * percent / 100];
            let syncs = leader.status().log_syncs - syncs;
            let per_second = took.len() as u64 / FOR.as_secs();
            let (p50, p99) = (at(50), at(99));
            println!(
                "{size} replicas, {clients:3} clients: {per_second:6}/s, p50 {p50:?}, p99 {p99:?}, {syncs} fsyncs"
            );
            let mut reads = Vec::new();
            for _ in 0..200 {
                let begun = Instant::now();
                leader.read_index().await.unwrap();
                reads.push(begun.elapsed());
            }
            reads.sort_unstable();
            println!("    read_index p50 {:?}", reads[100]);
        }
    }
}
