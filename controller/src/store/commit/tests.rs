//! What a commit leaves in a real database.

use uuid::Uuid;

use super::super::rows::{Batch, Write};
use super::super::testing::{audit, batch, fresh_store, key, mark, row, whole};
use super::super::{Store, StoreError};

async fn count_audit(store: &Store) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(store.readers()).await.unwrap()
}

fn answer(id: u128, log_index: u64, answer: &str) -> Write {
    Write::PutAnswer { request_id: Uuid::from_u128(id), log_index, answer: answer.to_owned() }
}

#[tokio::test]
async fn load_gives_back_what_was_written() {
    let store = fresh_store().await;
    assert_eq!(store.load().await.unwrap().mark, None);
    // What jsonb would change or refuse: order, spaces, duplicates, large numbers, and an escaped NUL.
    let mut odd = row("odd", r#"{"b": 1,"a":[1.0, 18446744073709551615],"b":"\u0000 ü 🦀"}"#);
    odd.deleted_at_ms = Some(-1);
    odd.key.network = "net-1".to_owned();
    odd.uid = Uuid::max();
    odd.resource_version = i64::MAX;
    let rows = [row("one", "{}"), odd];
    let mut writes: Vec<Write> = rows.iter().cloned().map(Write::PutResource).collect();
    writes.push(answer(1, 0, r#"{"z":1,"a":2}"#));
    store.commit(&batch(0, writes)).await.unwrap();

    let mut loaded = store.load().await.unwrap();
    loaded.resources.sort_by(|a, b| b.key.name.cmp(&a.key.name));
    assert_eq!(loaded.mark, Some(mark(0)));
    assert_eq!(loaded.resources, [rows[0].clone(), rows[1].clone()]);
    assert_eq!(loaded.answers, [(Uuid::from_u128(1), 0, r#"{"z":1,"a":2}"#.to_owned())]);
}

#[tokio::test]
async fn later_batches_replace_delete_and_drop() {
    let store = fresh_store().await;
    let first = vec![
        Write::PutResource(row("kept", "1")),
        Write::PutResource(row("changed", "1")),
        Write::PutResource(row("gone", "1")),
        answer(1, 0, "1"),
    ];
    store.commit(&batch(0, first)).await.unwrap();
    let mut changed = row("changed", "2");
    changed.uid = Uuid::from_u128(43);
    let second = vec![
        Write::PutResource(changed.clone()),
        Write::DeleteResource(key("gone")),
        Write::DeleteResource(key("never was")),
        answer(2, 1, "2"),
        Write::DropAnswersUpTo { log_index: 0 },
    ];
    store.commit(&batch(1, second)).await.unwrap();

    let mut loaded = store.load().await.unwrap();
    loaded.resources.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(loaded.resources, [changed, row("kept", "1")]);
    assert_eq!(loaded.answers, [(Uuid::from_u128(2), 1, "2".to_owned())]);

    let rows = (0..5000).map(|number| row(&format!("row-{number}"), "3")).collect();
    let third = vec![
        Write::Replace(whole(rows)),
        Write::DeleteResource(key("row-7")),
        Write::PutResource(row("only", "3")),
        Write::Audit(audit(2, 0)),
    ];
    store.commit(&Batch::new(Some(1), mark(900), third)).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.mark, Some(mark(900)));
    assert_eq!(loaded.resources.len(), 5000, "one went, one came");
    assert!(loaded.resources.contains(&row("only", "3")) && loaded.resources.contains(&row("row-4999", "3")));
    assert_eq!(loaded.answers, []);
}

#[tokio::test]
async fn a_batch_that_comes_twice_takes_effect_once() {
    let store = fresh_store().await;
    // Entry 0 is a real one: an empty database must not be taken for one that holds it.
    for index in 0..3 {
        let batch = batch(index, vec![Write::Audit(audit(index.cast_signed(), 0))]);
        store.commit(&batch).await.unwrap();
        store.commit(&batch).await.unwrap();
    }
    assert_eq!(count_audit(&store).await, 3);
    assert_eq!(store.applied_index().await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_batch_out_of_step_changes_nothing() {
    let store = fresh_store().await;
    let put = || vec![Write::PutResource(row("one", "{}"))];
    store.commit(&batch(0, vec![])).await.unwrap();
    for (after, to) in [(None, 5), (Some(3), 4)] {
        let refused = store.commit(&Batch::new(after, mark(to), put())).await;
        assert!(
            matches!(refused, Err(StoreError::OutOfStep { expected, found: Some(0), .. }) if expected == after),
            "{refused:?}"
        );
    }
    let backwards = store.commit(&Batch::new(Some(4), mark(4), put())).await;
    assert!(matches!(backwards, Err(StoreError::Unstorable { .. })), "{backwards:?}");
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.mark, loaded.resources), (Some(mark(0)), vec![]));
}

#[tokio::test]
async fn a_commit_that_fails_half_way_leaves_nothing() {
    let store = fresh_store().await;
    store.commit(&batch(0, vec![Write::Audit(audit(0, 0))])).await.unwrap();
    // The audit trail comes last, and this key is taken.
    let writes = vec![
        Write::PutResource(row("one", "{}")),
        answer(1, 1, "1"),
        Write::Audit(audit(1, 0)),
        Write::Audit(audit(0, 0)),
    ];
    let failed = store.commit(&batch(1, writes)).await.unwrap_err();
    assert!(!failed.is_transient(), "{failed}");
    assert!(failed.to_string().contains("append to the audit trail"), "{failed}");
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.mark, loaded.resources, loaded.answers), (Some(mark(0)), vec![], vec![]));
    assert_eq!(count_audit(&store).await, 1);
    // And the store goes on.
    store.commit(&batch(1, vec![])).await.unwrap();
}

#[tokio::test]
async fn what_is_not_json_is_refused_for_good() {
    let store = fresh_store().await;
    let refused = store.commit(&batch(0, vec![Write::PutResource(row("one", "{"))])).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    let refused = store.commit(&batch(0, vec![Write::PutResource(row("a\0b", "{}"))])).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unstorable { .. }), "{refused}");
}

#[tokio::test]
async fn a_nul_in_the_audit_trail_is_shown() {
    let store = fresh_store().await;
    let mut row = audit(0, 0);
    row.subject = "a\0b".to_owned();
    store.commit(&batch(0, vec![Write::Audit(row)])).await.unwrap();
    let subject: String =
        sqlx::query_scalar("SELECT subject FROM audit").fetch_one(store.readers()).await.unwrap();
    assert_eq!(subject, "a␀b");
}

#[tokio::test]
async fn a_thousand_entries_are_one_transaction() {
    let store = fresh_store().await;
    let mut merged = batch(0, vec![]);
    for index in 1..=1000 {
        let writes = vec![
            Write::PutResource(row(&format!("vm-{}", index % 300), &index.to_string())),
            answer(index.into(), index, "1"),
            Write::DropAnswersUpTo { log_index: index.saturating_sub(100) },
            Write::Audit(audit(index.cast_signed(), 0)),
        ];
        merged.append(batch(index, writes));
    }
    store.commit(&merged).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.mark, Some(mark(1000)));
    assert_eq!(loaded.resources.len(), 300);
    assert_eq!(
        loaded.answers.iter().map(|(_, index, _)| *index).collect::<Vec<_>>(),
        (901..=1000).collect::<Vec<_>>()
    );
    assert_eq!(count_audit(&store).await, 1000);
}

#[tokio::test]
async fn a_cancelled_commit_can_be_tried_again() {
    let store = fresh_store().await;
    let writes: Vec<Write> = (0..2000).map(|n| Write::PutResource(row(&format!("vm-{n}"), "{}"))).collect();
    let batch = batch(0, writes);
    for patience_ms in [0, 1, 2, 5, 10, 20] {
        let patience = std::time::Duration::from_millis(patience_ms);
        // Cut off anywhere: before, during, or after the commit.
        let _ = tokio::time::timeout(patience, store.commit(&batch)).await;
    }
    store.commit(&batch).await.unwrap();
    assert_eq!(store.load().await.unwrap().resources.len(), 2000);
}
