//! What is missing of the audit trail, and how it is filled.

use super::super::rows::{Batch, Write};
use super::super::testing::{audit, batch, fresh_store, mark, whole};
use super::*;

/// A store with the history of `entries`, at the end of which its mark is.
async fn with_history(entries: std::ops::Range<u64>) -> Store {
    let store = fresh_store().await;
    for index in entries {
        // Every other entry has two rows.
        let mut writes = vec![Write::Audit(audit(index.cast_signed(), 0))];
        if index % 2 == 0 {
            writes.push(Write::Audit(audit(index.cast_signed(), 1)));
        }
        store.commit(&batch(index, writes)).await.unwrap();
    }
    store
}

async fn indexes(store: &Store) -> Vec<(i64, i32)> {
    sqlx::query_as("SELECT log_index, ordinal FROM audit ORDER BY log_index, ordinal")
        .fetch_all(store.readers())
        .await
        .unwrap()
}

/// Fetches all that is missing, a few rows at a time, as long as the other one has it.
async fn fill(from: &Store, to: &Store, rows: u32) {
    while let Some(gap) = to.audit_gaps().await.unwrap().first() {
        let Some(history) = from.history(gap.clone(), rows).await.unwrap() else { return };
        to.fill_audit_gap(*gap.start(), &history).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_that_was_given_a_snapshot_gets_the_history_too() {
    let source = with_history(0..20).await;
    let target = with_history(0..5).await;
    let writes = vec![Write::Replace(whole(Vec::new())), Write::AuditGap { first: 5, last: 19 }];
    target.commit(&Batch::new(Some(4), mark(19), writes)).await.unwrap();
    assert_eq!(target.audit_gaps().await.unwrap(), [5..=19]);
    // Who has gaps itself says so, rather than give less than there is.
    assert_eq!(target.history(0..=19, 100).await.unwrap().unwrap().complete_to, 4);
    assert_eq!(target.history(5..=19, 100).await.unwrap(), None);
    assert_eq!(target.history(12..=19, 100).await.unwrap(), None);
    fill(&source, &target, 4).await;
    assert_eq!(target.audit_gaps().await.unwrap(), []);
    assert_eq!(indexes(&target).await, indexes(&source).await);
    assert_eq!(target.history(0..=19, 100).await.unwrap(), source.history(0..=19, 100).await.unwrap());
}

#[tokio::test]
async fn what_is_fetched_twice_is_there_once_and_what_nobody_has_stays_missing() {
    let source = with_history(0..8).await;
    let target = fresh_store().await;
    let writes = vec![Write::Replace(whole(Vec::new())), Write::AuditGap { first: 0, last: 19 }];
    target.commit(&Batch::new(None, mark(19), writes)).await.unwrap();
    let history = source.history(0..=19, 5).await.unwrap().unwrap();
    target.fill_audit_gap(0, &history).await.unwrap();
    target.fill_audit_gap(0, &history).await.unwrap();
    fill(&source, &target, 5).await;
    assert_eq!(indexes(&target).await, indexes(&source).await);
    assert_eq!(target.audit_gaps().await.unwrap(), [8..=19], "beyond what the other one has applied");
}
