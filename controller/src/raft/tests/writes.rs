//! What a caller of `propose` and `read_index` may count on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use tokio::{task::JoinSet, time::Instant};

use super::cluster::{Cluster, proposal, stranger};
use crate::raft::{MAX_PROPOSAL_BYTES, Node, Proposal, ProposeError, Settings, WaitError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_applied_everywhere_and_only_the_leader_takes_it() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    node.propose(proposal("one")).await.unwrap();
    let published = cluster.journal(leader).published();
    assert_eq!(published.last().unwrap().1, "one", "published before it is answered");
    assert_eq!(node.applied_index(), Some(published.last().unwrap().0));

    let follower = cluster.node(leader % 3 + 1);
    let address = cluster.addresses[&leader].clone();
    let refused = follower.propose(proposal("two")).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: Some((leader, address.clone())) });
    assert_eq!(follower.read_index().await.unwrap_err(), refused);
    assert_eq!(follower.leader(), Some((leader, address)));

    let index = node.read_index().await.unwrap();
    assert!(index >= published.last().unwrap().0);
    follower.wait_applied(index, Instant::now() + Duration::from_secs(10)).await.unwrap();
    assert_eq!(follower.wait_applied(index + 1, Instant::now()).await, Err(WaitError::Late));
    cluster.agree("one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_proposal_goes_through_and_a_larger_one_is_refused() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.node(cluster.leader().await);
    let largest = Proposal(Bytes::from(vec![b'x'; MAX_PROPOSAL_BYTES]));
    let writes: JoinSet<_> = (0..4)
        .map(|_| {
            let (leader, largest) = (leader.clone(), largest.clone());
            async move { leader.propose(largest).await }
        })
        .collect();
    assert!(writes.join_all().await.into_iter().all(|outcome| outcome.is_ok()));
    let bytes = MAX_PROPOSAL_BYTES + 1;
    let too_large = Proposal(Bytes::from(vec![b'x'; bytes]));
    assert_eq!(leader.propose(too_large).await.unwrap_err(), ProposeError::TooLarge { bytes });
    leader.propose(proposal("last")).await.unwrap();
    let journal = cluster.agree("last").await;
    assert_eq!(journal.iter().filter(|(_, bytes)| bytes == &largest.0).count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_share_fsyncs() {
    const TASKS: u64 = 64;
    const EACH: u64 = 20;
    let cluster = Cluster::founded(3).await;
    let leader = cluster.node(cluster.leader().await);
    let before = leader.status().log_syncs;
    let writes: JoinSet<()> = (0..TASKS)
        .map(|task| {
            let leader = leader.clone();
            async move {
                for number in 0..EACH {
                    leader.propose(proposal(format!("{task}.{number}"))).await.unwrap();
                }
            }
        })
        .collect();
    writes.join_all().await;
    let syncs = leader.status().log_syncs - before;
    // How many share one depends on who gets the processor when; without sharing there is one for each, at least.
    assert!(syncs < TASKS * EACH / 2, "{syncs} fsyncs for {} proposals", TASKS * EACH);
    leader.propose(proposal("last")).await.unwrap();
    let journal = cluster.agree("last").await;
    assert_eq!(journal.len() as u64, TASKS * EACH + 1);
}

/// Room is bounded in bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(1, dir.path());
    settings.limits.in_flight_bytes = 1 << 20;
    let small = Node::start(settings, super::machine::Journal::default(), stranger()).await.unwrap();
    let over = Proposal(Bytes::from(vec![0; (1 << 20) + 1]));
    assert_eq!(small.propose(over).await.unwrap_err(), ProposeError::Overloaded);
    assert!(matches!(
        small.propose(proposal("x")).await.unwrap_err(),
        ProposeError::NotLeader { leader: None }
    ));
    small.stop().await;
    assert_eq!(small.propose(proposal("x")).await.unwrap_err(), ProposeError::Stopped);
}

/// What its proposer does next must not be undone by what waited longer. On one thread: nothing goes on in between.
#[tokio::test]
async fn who_gives_up_before_it_went_on_has_not_proposed() {
    let cluster = Cluster::founded(1).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader).clone();
    assert!(node.propose(proposal("given up")).now_or_never().is_none());
    let outcome = node.propose(proposal("after")).await.unwrap();
    assert_eq!(Arc::strong_count(&outcome), 1);
    let published = cluster.journal(leader).published();
    assert!(published.iter().all(|(_, bytes)| bytes != "given up"), "{published:?}");
}
