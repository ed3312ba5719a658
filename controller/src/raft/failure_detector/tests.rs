//! What is given up, and who holds; on replicas: `raft/tests/failures.rs`.

use super::{AGAIN, GivenUp, Holders, give_up};
use crate::raft::engine::{LeaderId, Vote};

fn led(term: u64) -> Vote {
    Vote { leader_id: LeaderId { term, node_id: 1 }, committed: true }
}

#[test]
fn only_the_newest_call_of_a_peer_says_that_it_lives() {
    let holders = Holders::default();
    assert!(!holders.is_held_by(1));
    let before = holders.hold(1);
    let after = holders.hold(1);
    let other = holders.hold(2);
    // A connection whose end was heard late.
    drop(before);
    assert!(holders.is_held_by(1) && holders.is_held_by(2));
    drop(after);
    assert!(!holders.is_held_by(1) && holders.is_held_by(2));
    let left_behind = holders.hold(1);
    let newest = holders.hold(1);
    drop(newest);
    assert!(!holders.is_held_by(1), "an older one is of a process that is no more");
    drop((left_behind, other));
}

#[tokio::test(start_paused = true)]
async fn leaderships_are_given_up_once_and_one_at_a_time() {
    let (given_up, within) = (GivenUp::default(), AGAIN * 3);
    let (since, is_news) = give_up(&given_up, led(1), within).unwrap();
    assert!(is_news);
    tokio::time::advance(AGAIN / 2).await;
    assert_eq!(give_up(&given_up, led(1), within), Some((since, false)), "again and again");
    assert_eq!(give_up(&given_up, led(2), within), None, "not the next one right away");
    tokio::time::advance(within).await;
    assert_eq!(give_up(&given_up, led(1), within), None, "the timeouts have it");
    assert!(give_up(&given_up, led(2), within).is_some_and(|(_, is_news)| is_news));
}
