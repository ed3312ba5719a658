//! How a cluster comes to be: once.

use std::collections::BTreeSet;

use super::cluster::{Cluster, eventually, proposal};
use crate::raft::{Ballot, Role};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_is_a_cluster() {
    let cluster = Cluster::founded(1).await;
    cluster.write("alone").await;
    cluster.agree("alone").await;
}

/// Reads of a replica that leads alone ask nobody: it has to know that it does, and stop to as soon as it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_alone_knows_and_nobody_does_among_others() {
    let mut cluster = Cluster::founded(1).await;
    cluster.write("alone").await;
    let first = eventually("it leads alone", || cluster.node(1).leads_alone()).await;
    assert_eq!(first, cluster.node(1).status().term);
    cluster.kill(1).await;
    cluster.start(1).await;
    let second = eventually("it leads alone again", || cluster.node(1).leads_alone()).await;
    assert!(second > first, "another term, of which nothing is known by the first");

    let cluster = Cluster::founded(3).await;
    cluster.write("together").await;
    for id in 1..=3 {
        assert_eq!(cluster.node(id).leads_alone(), None, "replica {id}");
    }
}

/// A read at one of three asks the leader alone, who asks nobody: so it has to know what cannot have happened meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_and_one_that_voted_for_it_are_a_majority_of_three() {
    let cluster = Cluster::founded(3).await;
    cluster.write("together").await;
    let leader = cluster.leader().await;
    let (one, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let voted = cluster.node(one).voted().unwrap();
    let term = eventually("it knows", || cluster.node(leader).leads_with(one, voted)).await;
    assert_eq!(voted, Ballot { term, candidate: leader });
    assert_eq!(cluster.node(leader).leads_with(4, voted), None, "no voter");
    assert_eq!(cluster.node(one).leads_with(other, voted), None, "it does not lead");
    for candidate in [one, other] {
        assert_eq!(cluster.node(leader).leads_with(one, Ballot { term, candidate }), None);
        assert_eq!(cluster.node(leader).leads_with(one, Ballot { term: term + 1, candidate }), None);
    }

    // It hears of nothing, and leads as far as it knows.
    cluster.cut_off(leader, true);
    let next = cluster.leader_but(leader).await;
    for id in [one, other] {
        let now = eventually("it has voted again", || {
            cluster.node(id).voted().filter(|voted| voted.candidate == next)
        })
        .await;
        assert_eq!(cluster.node(leader).leads_with(id, now), None, "replica {id} may know of more");
        let partner = if next == id { other } else { one };
        assert_eq!(cluster.node(next).leads_with(partner, voted), None, "what it voted before");
    }

    let five = Cluster::founded(5).await;
    let leader = five.leader().await;
    let one = leader % 5 + 1;
    assert_eq!(five.node(leader).leads_with(one, five.node(one).voted().unwrap()), None);
}

/// A follower may be quicker to apply what its leader has committed. Who read it there must not see less at the third, which asks
/// the leader alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_counts_what_its_followers_may_have_shown() {
    let cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader).clone();
    let held = cluster.journal(leader).hold();
    let proposing = tokio::spawn({
        let node = node.clone();
        async move { node.propose(proposal("slow")).await }
    });
    let follower = cluster.node(leader % 3 + 1);
    let shown = eventually("a follower is ahead", || {
        follower.applied_index().filter(|index| Some(*index) > node.applied_index())
    })
    .await;
    assert!(node.told_committed() >= shown);
    drop(held);
    proposing.await.unwrap().unwrap();
}

/// The founder waits for all of them, so that none of them can already be part of something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_founded_before_all_are_there() {
    let mut cluster = Cluster::new(3).await;
    for id in [1, 2] {
        cluster.start(id).await;
    }
    let patience = tokio::time::Instant::now() + cluster.timing.silence_max * 2;
    eventually("two replicas had their chance", || (tokio::time::Instant::now() > patience).then_some(()))
        .await;
    for id in [1, 2] {
        assert_eq!(cluster.node(id).status().last_log_index, None);
    }
    cluster.start(3).await;
    cluster.whole().await;
}

/// Killed at any moment on its way, the founder takes the next step when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_dies_on_its_way_arrives() {
    for steps in [1, 3, 4, 5] {
        let mut cluster = Cluster::new(3).await;
        for id in 1..=3 {
            cluster.start(id).await;
        }
        eventually("so many steps are made", || {
            (cluster.node(1).status().last_log_index.map_or(0, |last| last + 1) >= steps).then_some(())
        })
        .await;
        cluster.kill(1).await;
        cluster.start(1).await;
        cluster.whole().await;
        cluster.write("whole").await;
        cluster.agree("whole").await;
        let founded: BTreeSet<_> =
            (1..=3).map(|id| cluster.node(id).status().members).map(|members| members.entry).collect();
        assert_eq!(founded.len(), 1, "one cluster");
    }
}

/// The founder that lost its disk finds the others at work and founds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_without_a_log_does_not_found_again() {
    let mut cluster = Cluster::founded(3).await;
    cluster.write("before").await;
    if cluster.leader().await == 1 {
        cluster.stop(1).await;
    } else {
        cluster.kill(1).await;
    }
    cluster.wipe(1);
    let leader = cluster.leader().await;
    let members = cluster.node(leader).status().members;
    cluster.start(1).await;
    cluster.write("after").await;
    let known = eventually("the founder hears of a leader", || cluster.node(1).status().leader).await;
    assert_eq!(known, leader);
    assert_ne!(cluster.node(1).status().role, Role::Leader);
    assert_eq!(cluster.node(leader).status().members, members);
}
