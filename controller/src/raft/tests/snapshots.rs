//! Logs that are cut, and replicas that lack what was cut off.

use super::cluster::{Cluster, eventually};
use crate::raft::{Limits, Settings};

/// A cluster whose logs hold next to nothing.
async fn small(size: u64) -> Cluster {
    let mut cluster = Cluster::new(size).await;
    cluster.limits = Limits { snapshot_after_bytes: 4 << 10, keep_bytes: 1 << 10, ..Limits::default() };
    for id in 1..=size {
        cluster.start(id).await;
    }
    cluster.whole().await;
    cluster
}

/// Writes until replica `id` has given up its log beyond `index`. Returns the last write.
async fn write_until_purged(cluster: &Cluster, id: u64, index: u64) -> String {
    let mut number = 0;
    loop {
        let text = format!("{index}-{number}");
        cluster.write(&text).await;
        if cluster.node(id).status().purged_index > Some(index) {
            return text;
        }
        number += 1;
        assert!(number < 20_000, "its log is never cut: {:?}", cluster.node(id).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_cut_and_a_restart_ends_with_everything() {
    let mut cluster = small(3).await;
    let mut last = String::new();
    for id in 1..=3 {
        last = write_until_purged(&cluster, id, 50).await;
    }
    let before = cluster.agree(&last).await;
    for id in 1..=3 {
        let status = cluster.node(id).status();
        assert!(status.purged_index <= status.snapshot_index, "{status:?}");
        assert!(status.snapshot_index <= status.applied_index, "{status:?}");
        cluster.kill(id).await;
    }
    let snapshot_of_two = std::fs::read_dir(cluster.log_dir(2).join("snapshots")).unwrap().count();
    assert_eq!(snapshot_of_two, 1, "the older ones are gone");
    // The machine of one lost what it had: its snapshot and the rest of the log make it whole.
    cluster.journal(2).forget_after(10);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    assert_eq!(cluster.agree(&last).await, before);
    assert_eq!(cluster.journal(2).installed(), 1);
    assert_eq!(cluster.journal(1).installed() + cluster.journal(3).installed(), 0);
    cluster.write("after").await;
    cluster.agree("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_for_too_long_is_sent_a_snapshot() {
    let mut cluster = small(3).await;
    cluster.write("before").await;
    cluster.agree("before").await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    let known = cluster.node(away).status().last_log_index.unwrap();
    cluster.kill(away).await;
    for id in (1..=3).filter(|id| *id != away) {
        write_until_purged(&cluster, id, known).await;
    }
    cluster.start(away).await;
    cluster.write("after").await;
    cluster.agree("after").await;
    assert!(cluster.journal(away).installed() >= 1);
    // What came by snapshot is there after a restart.
    cluster.kill(away).await;
    cluster.start(away).await;
    cluster.write("again").await;
    cluster.agree("again").await;
}

/// Writes go on while snapshots are made, and while one is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_has_caught_up_by_snapshot_counts_again() {
    let mut cluster = small(3).await;
    let leader = cluster.leader().await;
    let (away, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.kill(away).await;
    let last = write_until_purged(&cluster, leader, 100).await;
    cluster.start(away).await;
    eventually("it has caught up", || {
        cluster.journal(away).published().last().is_some_and(|(_, bytes)| *bytes == last).then_some(())
    })
    .await;
    // With it and without the third there is a quorum; it may even lead.
    cluster.kill(other).await;
    cluster.write("two of three").await;
    cluster.kill(leader).await;
    cluster.start(other).await;
    cluster.write("the other two").await;
    cluster.start(leader).await;
    cluster.write("all").await;
    cluster.agree("all").await;
}

/// Whatever is left of a replica whose log was lost must not be taken for a whole one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_does_not_stand_in_for_lost_votes() {
    let mut cluster = small(1).await;
    write_until_purged(&cluster, 1, 10).await;
    cluster.kill(1).await;
    for entry in std::fs::read_dir(cluster.log_dir(1)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let settings = Settings::new(1, cluster.log_dir(1));
    let machine = cluster.journal(1).clone();
    let refused = crate::raft::Node::start(settings, machine, super::cluster::stranger()).await;
    assert!(refused.err().unwrap().to_string().contains("under a new id"));
}
