//! Replicas that stop, are killed, are cut off, or lose what they had.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    cluster::{Cluster, eventually, proposal, stranger},
    machine::POISON,
};
use crate::raft::{Node, ProposeError, Role, Settings, WaitError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over() {
    let mut cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    let term = cluster.node(first).status().term;
    let begun = Instant::now();
    cluster.stop(first).await;
    let second = cluster.leader_but(first).await;
    let took = begun.elapsed();
    assert_eq!(cluster.node(second).status().term, term + 1, "one election, without an interregnum");
    cluster.write("after").await;
    println!("handed over and stopped in {took:?}");

    // The one that missed something is brought up to it.
    cluster.start(first).await;
    let journal = cluster.agree("after").await;
    assert_eq!(journal.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced() {
    let mut cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    cluster.kill(first).await;
    let begun = Instant::now();
    cluster.leader_but(first).await;
    println!("replaced in {:?}", begun.elapsed());
    cluster.write("after").await;
    cluster.start(first).await;
    cluster.agree("after").await;
}

/// Whether the machine kept what it applied or not, a restart ends with all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_stops_is_there_again() {
    let mut cluster = Cluster::founded(3).await;
    for number in 0..20 {
        cluster.write(&number.to_string()).await;
    }
    let before = cluster.agree("19").await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    // One has kept everything, one a part, one nothing.
    let handed_over = cluster.journal(1).handed_over();
    cluster.journal(2).forget_after(10);
    cluster.journal(3).forget_after(0);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    assert_eq!(cluster.agree("19").await, before);
    cluster.write("20").await;
    let after = cluster.agree("20").await;
    assert_eq!(after[..20], before[..]);
    assert!(cluster.journal(1).handed_over() - handed_over < 20, "what was kept is not applied again");
}

/// An entry that a leader wrote and could not commit is gone, everywhere, when the others went on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deposed_leader_could_not_commit_is_truncated() {
    let mut cluster = Cluster::new(3).await;
    cluster.timing.propose_timeout = Duration::from_millis(300);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.whole().await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    cluster.agree("before").await;
    let log_before = cluster.node(first).status().last_log_index;

    cluster.cut_off(first, true);
    assert_eq!(cluster.node(first).propose(proposal("lost")).await.unwrap_err(), ProposeError::Unknown);
    assert!(
        cluster.node(first).status().last_log_index > log_before,
        "it is in the log of the one that is cut off"
    );
    assert_eq!(cluster.node(first).read_index().await.unwrap_err(), ProposeError::Unknown);

    let second = cluster.leader_but(first).await;
    cluster.write("after").await;
    let term = cluster.node(second).status().term;
    cluster.cut_off(first, false);
    let journal = cluster.agree("after").await;
    assert_eq!(
        journal.iter().map(|(_, bytes)| bytes.as_ref()).collect::<Vec<_>>(),
        [b"before" as &[u8], b"after"]
    );
    assert_eq!(cluster.node(first).status().role, Role::Follower);
    assert_eq!(cluster.node(second).status().term, term, "who comes back does not disturb the leader");
}

/// A follower that was away campaigns in vain: with pre-vote, its return raises no term.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_cut_off_does_not_disturb() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    let term = cluster.node(leader).status().term;
    cluster.cut_off(away, true);
    let lonely = Instant::now() + cluster.timing.silence_max * 2;
    while Instant::now() < lonely {
        cluster.write("without it").await;
    }
    cluster.cut_off(away, false);
    cluster.write("with it").await;
    cluster.agree("with it").await;
    assert_eq!(cluster.node(away).status().term, term);
    assert_eq!(cluster.leader().await, leader);
}

/// A machine that is ahead of its log has someone else's log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_its_log_does_not_start() {
    let mut cluster = Cluster::founded(1).await;
    cluster.write("before").await;
    cluster.kill(1).await;
    cluster.wipe_log(1);
    let settings = Settings::new(1, cluster.log_dir(1));
    let refused = Node::start(settings, cluster.journal(1).clone(), stranger()).await.err().unwrap();
    assert!(refused.to_string().contains("under a new id"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_fails_stops_its_replica() {
    let cluster = Cluster::founded(1).await;
    let node = cluster.node(1);
    // Published, not only applied: in one batch with the poison it never would be.
    cluster.write("before").await;
    let applied = eventually("something is published", || node.applied_index()).await;
    cluster.agree("before").await;
    assert_eq!(node.propose(proposal(POISON)).await.unwrap_err(), ProposeError::Unknown);
    assert!(node.failed().await.contains("poisoned"));
    assert_eq!(node.propose(proposal("after")).await.unwrap_err(), ProposeError::Stopped);
    assert!(!node.is_leader());
    let applied = node.applied_index().max(Some(applied)).unwrap();
    assert_eq!(
        node.wait_applied(applied + 1, Instant::now() + Duration::from_secs(9)).await,
        Err(WaitError::Stopped)
    );
    node.stop().await;
}

/// A voter that comes back with nothing neither votes nor takes the leader down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lost_its_disk_does_no_harm() {
    let mut cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    cluster.agree("before").await;
    let leader = cluster.leader().await;
    let victim = leader % 3 + 1;
    cluster.kill(victim).await;
    cluster.wipe(victim);
    cluster.write("meanwhile").await;
    cluster.start(victim).await;
    let heard = eventually("the victim hears the leader", || cluster.node(victim).status().leader).await;
    assert_eq!(heard, leader);
    cluster.write("after").await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.node(leader).status().failure, None);
    assert!(cluster.journal(victim).published().is_empty());
}
