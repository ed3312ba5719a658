//! The log keeps openraft's contract, and what is in it.

mod suite;

use openraft::{RaftLogReader, entry::RaftEntry, storage::RaftLogStorage, type_config::TypeConfigExt};

use super::*;
use crate::raft::{
    engine::{LeaderId, Membership, log_id},
    machine::Proposal,
};

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry::new_normal(log_id(term, 1, index), Proposal(vec![7; bytes].into()))
}

/// Appends and waits until it is durable.
async fn append(log: &mut LogStore, entries: Vec<Entry>) {
    let (sender, flushed) = Types::oneshot();
    log.append(entries, Flushed::signal(sender)).await.unwrap();
    flushed.await.unwrap().unwrap();
}

async fn indices(log: &mut LogStore, range: Range<u64>) -> Vec<u64> {
    let entries = log.get_log_reader().await.try_get_log_entries(range).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// Limits with this much of the log in memory.
fn with_tail(tail_bytes: usize) -> Limits {
    Limits { tail_bytes, ..Limits::default() }
}

/// What a replica knows of its own leadership holds until the log is told of another vote or other members: both before
/// anybody else hears of them.
#[tokio::test]
async fn another_vote_or_other_members_end_what_was_known_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _thread) = LogStore::open(dir.path(), &with_tail(1 << 20)).unwrap();
    let tail = log.tail();
    let vote = |term, node_id| Vote { leader_id: LeaderId { term, node_id }, committed: true };
    let members = |index| Entry::new_membership(log_id(3, 1, index), Membership::default());
    assert!(!tail.still(1, 3, 0), "nobody has voted yet");
    log.save_vote(&vote(3, 1)).await.unwrap();
    append(&mut log, vec![members(0), entry(3, 1, 10)]).await;
    assert!(tail.still(1, 3, 0));
    assert!(!tail.still(2, 3, 0) && !tail.still(1, 2, 0), "another's leadership, another term");
    // Before it is on disk, too: then it may already be on its way to the others.
    let (sender, _flushed) = Types::oneshot();
    log.append([members(2)], Flushed::signal(sender)).await.unwrap();
    assert!(!tail.still(1, 3, 0));
    assert!(tail.still(1, 3, 2), "known by now");
    log.save_vote(&vote(4, 2)).await.unwrap();
    assert!(!tail.still(1, 3, 2));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, thread) = LogStore::open(dir.path(), &with_tail(0)).unwrap();
    let vote = Vote { leader_id: LeaderId { term: 3, node_id: 2 }, committed: true };
    append(&mut log, (0..9).map(|index| entry(1, index, 10)).collect()).await;
    log.truncate_after(Some(log_id(1, 1, 4))).await.unwrap();
    append(&mut log, vec![entry(3, 5, 10)]).await;
    log.save_vote(&vote).await.unwrap();
    log.save_committed(Some(log_id(3, 1, 5))).await.unwrap();
    drop(log);
    assert!(thread.join().await);

    let (mut log, thread) = LogStore::open(dir.path(), &with_tail(0)).unwrap();
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (None, Some(log_id(3, 1, 5))));
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(3, 1, 5)));
    assert_eq!(indices(&mut log, 0..u64::MAX).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(log.durable().borrow().end, 6);
    log.truncate_after(None).await.unwrap();
    assert_eq!(indices(&mut log, 0..u64::MAX).await, [0; 0]);
    assert_eq!(log.durable().borrow().end, 0);
    append(&mut log, vec![entry(4, 0, 1)]).await;
    drop(log);
    assert!(thread.join().await);

    // Noted as committed by a log that is no more: not believed.
    let (mut log, _) = LogStore::open(dir.path(), &with_tail(0)).unwrap();
    assert_eq!(log.read_committed().await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_never_empty() {
    for tail_bytes in [0, 64 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LogStore::open(dir.path(), &with_tail(tail_bytes)).unwrap();
        append(&mut log, (0..5).map(|index| entry(1, index, 1 << 20)).collect()).await;
        let mut reader = log.get_log_reader().await;
        let first = reader.limited_get_log_entries(0, 5).await.unwrap();
        assert_eq!(
            first.len(),
            3,
            "three entries of a MiB and their headers; the fourth would be over 4 MiB"
        );
        assert_eq!(reader.limited_get_log_entries(4, 5).await.unwrap().len(), 1);
        assert_eq!(log.tail.entries(1..5, 0).await.unwrap().len(), 1, "one that is too large comes alone");
        assert_eq!(indices(&mut log, 1..5).await, [1, 2, 3, 4]);
        let streamed: Vec<_> = futures::StreamExt::collect(reader.entries_stream(1..5).await).await;
        assert_eq!(streamed.len(), 4);
    }
}

/// Requests that queue up while the disk is busy share an fsync, and are told in order.
#[tokio::test]
async fn appends_share_an_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = LogStore::open(dir.path(), &with_tail(1 << 20)).unwrap();
    let mut waiting = Vec::new();
    for index in 0..500 {
        let (sender, flushed) = Types::oneshot();
        log.append(vec![entry(1, index, 10)], Flushed::signal(sender)).await.unwrap();
        assert_eq!(indices(&mut log, index..index + 1).await, [index], "readable as soon as it is appended");
        waiting.push(flushed);
    }
    for (index, flushed) in waiting.into_iter().enumerate() {
        flushed.await.unwrap().unwrap();
        assert!(log.durable().borrow().end > index as u64);
    }
    let syncs = log.durable().borrow().syncs;
    assert!(syncs < 250, "{syncs} fsyncs for 500 appends");
}
