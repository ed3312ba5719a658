//! The projection in front of a real database, in good days and bad.

mod queue;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use tokio::time::timeout;

use super::super::embedded::{Settings, Status};
use super::super::testing::{IDENTITY, audit, batch, directory, fresh_store, row};
use super::super::{Source, Store, StoreError, Write, not_open, open};
use super::{Health, Limits, Projection, PushError, StopError};

const LONG: Duration = Duration::from_secs(30);

/// Each entry writes one row, and one of history that must never be there twice.
fn entry(index: u64) -> super::Batch {
    let name = format!("vm-{}", index % 10);
    batch(
        index,
        vec![Write::PutResource(row(&name, &index.to_string())), Write::Audit(audit(index.cast_signed(), 0))],
    )
}

async fn wait_flushed(projection: &Projection, index: u64) {
    let mut flushed = projection.flushed();
    let waiting = flushed.wait_for(|flushed| *flushed >= Some(index));
    timeout(LONG, waiting).await.expect("flushed in time").unwrap();
}

/// A replica that is new does not wait for its Postgres: what it applies does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_waits_for_a_database_that_is_being_made() {
    let directory = directory();
    let source = Source::Embedded(Settings::new(directory.path()));
    let store = Arc::new(not_open(&source, IDENTITY));
    assert!(store.is_to_be_made());
    assert!(matches!(store.load().await, Err(StoreError::NotOpen)));
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    assert!(matches!(*projection.health().borrow(), Health::Degraded { .. }));
    for index in 0..3 {
        projection.push(entry(index)).unwrap();
    }
    wait_flushed(&projection, 2).await;
    assert!(matches!(*projection.health().borrow(), Health::Working));
    check_complete(&store, 2).await;
    projection.stop(LONG).await.unwrap();
    store.close().await;
    assert!(!not_open(&source, IDENTITY).is_to_be_made());
}

/// Told to stop before there is anything: it ends, and what was begun is gone with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_database_that_is_being_made() {
    let directory = directory();
    let source = Source::Embedded(Settings::new(directory.path()));
    let store = Arc::new(not_open(&source, IDENTITY));
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    projection.push(entry(0)).unwrap();
    projection.stop(LONG).await.unwrap();
    store.close().await;
    // Whole or not at all.
    let store = open(&source, IDENTITY).await.unwrap();
    assert_eq!(store.load().await.unwrap().mark, None);
    store.close().await;
}

/// Entries 0..=last are there, each once.
async fn check_complete(store: &Store, last: u64) {
    let (count, distinct): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT log_index) FROM audit")
            .fetch_one(store.readers())
            .await
            .unwrap();
    assert_eq!((count, distinct), (last.cast_signed() + 1, last.cast_signed() + 1));
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.mark.unwrap().applied_index, last);
    let newest = loaded.resources.iter().map(|row| row.body.parse::<u64>().unwrap()).max();
    assert_eq!(newest, Some(last));
}

#[tokio::test]
async fn what_is_pushed_is_flushed_in_order() {
    let store = Arc::new(fresh_store().await);
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    for index in 0..1000 {
        projection.push(entry(index)).unwrap();
    }
    wait_flushed(&projection, 999).await;
    check_complete(&store, 999).await;
    assert_eq!(projection.queued_bytes(), 0);
    assert!(matches!(*projection.health().borrow(), Health::Working));
}

#[tokio::test]
async fn stop_flushes_and_ends() {
    let store = Arc::new(fresh_store().await);
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    for index in 0..500 {
        projection.push(entry(index)).unwrap();
    }
    projection.stop(LONG).await.unwrap();
    check_complete(&store, 499).await;
    assert_eq!(projection.push(entry(500)), Err(PushError::Ended));
    assert!(matches!(*projection.health().borrow(), Health::Stopped));
    projection.stop(LONG).await.unwrap();

    // And another goes on where this one ended.
    let projection = Projection::start(Arc::clone(&store), Some(499), Limits::default());
    projection.push(entry(500)).unwrap();
    projection.stop(LONG).await.unwrap();
    check_complete(&store, 500).await;
}

#[tokio::test]
async fn a_database_that_moved_is_the_end() {
    let store = Arc::new(fresh_store().await);
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    for index in 0..10 {
        projection.push(entry(index)).unwrap();
    }
    wait_flushed(&projection, 9).await;
    // As a backup restored over it would.
    store.readers().execute("UPDATE replica SET applied_index = 4").await.unwrap();
    projection.push(entry(10)).unwrap();
    let mut health = projection.health();
    let failed =
        timeout(LONG, health.wait_for(|health| matches!(health, Health::Failed { .. }))).await.unwrap();
    let Health::Failed { why } = failed.unwrap().clone() else { unreachable!() };
    assert!(why.contains("holds the log up to entry 4, and the next write follows entry 9"), "{why}");
    assert_eq!(projection.push(entry(11)), Err(PushError::Ended));
    assert!(matches!(projection.stop(LONG).await, Err(StopError::Failed(_))));
}

#[tokio::test]
async fn a_database_that_moved_is_noticed_without_writes() {
    let store = Arc::new(fresh_store().await);
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    projection.push(entry(0)).unwrap();
    wait_flushed(&projection, 0).await;
    store.readers().execute("UPDATE replica SET applied_index = 9").await.unwrap();
    let mut health = projection.health();
    timeout(LONG, health.wait_for(|health| matches!(health, Health::Failed { .. }))).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_postgres_refuses_is_the_end() {
    let store = Arc::new(fresh_store().await);
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    projection.push(batch(0, vec![Write::PutResource(row("one", "not json"))])).unwrap();
    let mut health = projection.health();
    timeout(LONG, health.wait_for(|health| matches!(health, Health::Failed { .. }))).await.unwrap().unwrap();
    assert_eq!(store.load().await.unwrap().mark, None);
}

#[tokio::test]
async fn a_broken_connection_loses_and_doubles_nothing() {
    let store = Arc::new(fresh_store().await);
    let projection = Arc::new(Projection::start(Arc::clone(&store), None, Limits::default()));
    let (pushing, last) = (Arc::clone(&projection), 5_000);
    let pusher = std::thread::spawn(move || {
        for index in 0..=last {
            pushing.push(entry(index)).unwrap();
            if index % 50 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        store.readers().execute(cut).await.unwrap();
    }
    pusher.join().unwrap();
    wait_flushed(&projection, last).await;
    check_complete(&store, last).await;
}

#[tokio::test]
async fn a_killed_postgres_loses_and_doubles_nothing() {
    let directory = directory();
    let store = Arc::new(open(&Source::Embedded(Settings::new(directory.path())), IDENTITY).await.unwrap());
    let projection = Arc::new(Projection::start(Arc::clone(&store), None, Limits::default()));
    let (pushing, last) = (Arc::clone(&projection), 5_000);
    let pusher = std::thread::spawn(move || {
        for index in 0..=last {
            pushing.push(entry(index)).unwrap();
            if index % 10 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let mut health = projection.health();
    let mut status = store.server().unwrap();
    for round in 1..=3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let running =
            status.wait_for(|status| matches!(status, Status::Running { starts, .. } if *starts == round));
        let Status::Running { pid, .. } = *timeout(LONG, running).await.unwrap().unwrap() else {
            unreachable!()
        };
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let degraded = health.wait_for(|health| matches!(health, Health::Degraded { .. }));
        timeout(LONG, degraded).await.unwrap().unwrap();
    }
    pusher.join().unwrap();
    wait_flushed(&projection, last).await;
    assert!(matches!(*projection.health().borrow(), Health::Working));
    check_complete(&store, last).await;
    projection.stop(LONG).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_ever() {
    let directory = directory();
    let store = Arc::new(open(&Source::Embedded(Settings::new(directory.path())), IDENTITY).await.unwrap());
    let projection = Projection::start(Arc::clone(&store), None, Limits::default());
    store.close().await;
    projection.push(entry(0)).unwrap();
    let late = projection.stop(Duration::from_millis(300)).await;
    assert!(matches!(late, Err(StopError::TooSlow { queued_bytes }) if queued_bytes > 0), "{late:?}");
    assert_eq!(projection.push(entry(1)), Err(PushError::Ended));
}
