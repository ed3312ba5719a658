//! Which ends of a leader are noticed at once, and which ones are not.

use tokio::time::Instant;

use super::cluster::{Cluster, eventually, proposal};
use crate::raft::Role;

/// Everything here happens before a timeout could.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_gone_is_replaced_before_any_timeout() {
    let mut cluster = Cluster::founded_without_timeouts(3, false).await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    cluster.kill(first).await;
    let begun = Instant::now();
    let second = cluster.leader_but(first).await;
    println!("replaced in {:?}", begun.elapsed());
    cluster.write("after").await;
    cluster.start(first).await;
    cluster.agree("after").await;
    // It is one of those that notice, again.
    let told = eventually("the one that came back hears the leader", || cluster.node(first).status().leader);
    assert_eq!(told.await, second);
}

/// A leader that was killed comes back at once, and does not cost an election more than the one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_comes_back_at_once_disturbs_nobody() {
    let mut cluster = Cluster::founded_without_timeouts(3, false).await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    let term = cluster.node(first).status().term;
    cluster.kill(first).await;
    let second = cluster.leader_but(first).await;
    cluster.start(first).await;
    for number in 0..20 {
        cluster.write(&number.to_string()).await;
    }
    cluster.agree("19").await;
    assert_eq!(cluster.leader().await, second);
    // One more if both stood in the same moment.
    assert!(cluster.node(second).status().term <= term + 2);
    assert_eq!(cluster.node(first).status().role, Role::Follower);
}

/// Four notice in the same moment, and one of them leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_agree_on_one() {
    let mut cluster = Cluster::founded_without_timeouts(5, false).await;
    cluster.write("before").await;
    let first = cluster.leader().await;
    cluster.kill(first).await;
    let second = cluster.leader_but(first).await;
    cluster.write("between").await;
    cluster.agree("between").await;
    assert_ne!(first, second);
}

/// Its machine refuses connections, and it lives: it has lines of its own to the others, and goes on to lead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lives_behind_a_closed_door_is_not_deposed() {
    let mut cluster = Cluster::founded_without_timeouts(3, true).await;
    cluster.write("before").await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for other in &others {
        let node = cluster.node(*other);
        eventually("the leader holds a call", || node.holders().is_held_by(leader).then_some(())).await;
    }
    cluster.close_door(leader).await;
    for other in &others {
        let network = cluster.node(*other).network();
        let refused = || network.peer(leader, &cluster.addresses[&leader]);
        // The first calls may still find the connection that is just ending.
        let mut tries = 0;
        while !refused().hold().await {
            tries += 1;
            assert!(tries < 1000, "somebody listens there");
        }
    }
    for number in 0..50 {
        cluster.node(leader).propose(proposal(number)).await.unwrap();
    }
    cluster.agree("49").await;
    assert_eq!(cluster.node(leader).status().term, term);
    // And that was all that kept them from it.
    cluster.kill(leader).await;
    cluster.leader_but(leader).await;
}

/// It answers, and with nothing but errors: that is for the timeouts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_answers_with_errors_is_left_to_the_timeouts() {
    let cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    cluster.agree("before").await;
    let leader = cluster.leader().await;
    let begun = Instant::now();
    cluster.cut_off(leader, true);
    cluster.leader_but(leader).await;
    let least = cluster.timing.silence_min - cluster.timing.heartbeat;
    assert!(begun.elapsed() >= least, "after {:?}", begun.elapsed());
}
