//! The life and death of a real Postgres.

mod death;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

use super::super::testing::directory;
use super::{Embedded, EmbeddedError, Settings, Status};

async fn start(data_dir: &Path) -> Result<Embedded, EmbeddedError> {
    Embedded::start(Settings::new(data_dir)).await
}

async fn refused(settings: Settings) -> EmbeddedError {
    match Embedded::start(settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

async fn query(server: &Embedded, sql: &'static str) -> String {
    let mut connection = server.connect_options().connect().await.unwrap();
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

async fn execute(server: &Embedded, sql: &'static str) {
    let mut connection = server.connect_options().connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn data_outlives_a_stop_and_nothing_else_does() {
    let directory = directory();
    let data = directory.path().join("postgres/data");
    let server = start(directory.path()).await.unwrap();
    assert!(matches!(*server.status().borrow(), Status::Running { starts: 1, .. }));
    execute(&server, "CREATE TABLE t AS SELECT 'kept'::text AS word").await;
    server.stop().await;
    assert_eq!(*server.status().borrow(), Status::Stopped);
    assert_eq!(super::leftovers::count(&data), 0);
    server.stop().await;

    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT word FROM t").await, "kept");
    drop(server);
    assert_eq!(super::leftovers::count(&data), 0);
}

#[tokio::test]
async fn it_is_safe_and_private() {
    let directory = directory();
    let server = start(directory.path()).await.unwrap();
    for (setting, value) in [
        ("SHOW fsync", "on"),
        ("SHOW full_page_writes", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW data_checksums", "on"),
        ("SHOW listen_addresses", ""),
        ("SHOW server_encoding", "UTF8"),
        ("SHOW lc_collate", "C"),
    ] {
        assert_eq!(query(&server, setting).await, value, "{setting}");
    }
    let root = directory.path().join("postgres");
    for (name, mode) in [("data", 0o700), ("socket", 0o700), ("lock", 0o600)] {
        assert_eq!(fs::metadata(root.join(name)).unwrap().mode() & 0o777, mode, "{name}");
    }
    // What the account of Postgres could rename, it could use against a controller that is root.
    assert_eq!(fs::metadata(&root).unwrap().uid(), rustix::process::geteuid().as_raw());
    assert_ne!(fs::metadata(root.join("data")).unwrap().uid(), 0);
}

#[tokio::test]
async fn a_file_cannot_turn_safety_off() {
    let directory = directory();
    let server = start(directory.path()).await.unwrap();
    execute(&server, "ALTER SYSTEM SET fsync = off").await;
    execute(&server, "ALTER SYSTEM SET listen_addresses = '*'").await;
    server.stop().await;
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SHOW fsync").await, "on");
    assert_eq!(query(&server, "SHOW listen_addresses").await, "");
}

#[tokio::test]
async fn two_controllers_cannot_share_a_directory() {
    let directory = directory();
    let server = start(directory.path()).await.unwrap();
    let error = refused(Settings::new(directory.path())).await;
    assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
    // And the first one did not suffer.
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
}

#[tokio::test]
async fn an_interrupted_initdb_starts_over() {
    let directory = directory();
    let unfinished = directory.path().join("postgres/initdb-1");
    fs::create_dir_all(unfinished.join("base")).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_stop_during_the_start_leaves_nothing() {
    let directory = directory();
    // Cancelled anywhere: during initdb, while it comes up, after.
    for patience_ms in [1, 200, 800, 1600] {
        let _ = tokio::time::timeout(Duration::from_millis(patience_ms), start(directory.path())).await;
        assert_eq!(super::leftovers::count(&directory.path().join("postgres/data")), 0);
    }
    start(directory.path()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_work_is_said_plainly() {
    let directory = directory();
    let deep = directory.path().join("x".repeat(100));
    let error = refused(Settings::new(&deep)).await.to_string();
    assert!(error.contains("a Unix socket's may have at most 107: choose a data directory"), "{error}");

    let mut settings = Settings::new(directory.path());
    settings.bin_dir = Some("/nonexistent".into());
    let error = refused(settings).await.to_string();
    assert!(
        error.contains("14 or later was found in /nonexistent: install the package `postgresql`"),
        "{error}"
    );

    let data = directory.path().join("postgres/data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let error = refused(Settings::new(directory.path())).await.to_string();
    assert!(error.contains("was made by Postgres 9, and installed is only"), "{error}");
    // An unknown data directory is left as it was.
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[tokio::test]
async fn what_only_root_meets_is_said_plainly() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = directory();
    let mut settings = Settings::new(directory.path());
    settings.os_user = "nobody-of-that-name".to_owned();
    let error = refused(settings).await.to_string();
    assert!(error.contains("the account nobody-of-that-name for it does not exist"), "{error}");

    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = refused(Settings::new(directory.path())).await.to_string();
    let expected = format!("may not pass through {}: `chmod o+x` it", directory.path().display());
    assert!(error.contains(&expected), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_shows_the_log() {
    let directory = directory();
    start(directory.path()).await.unwrap().stop().await;
    fs::remove_file(directory.path().join("postgres/data/global/pg_control")).unwrap();
    let error = refused(Settings::new(directory.path())).await;
    assert!(matches!(error, EmbeddedError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("could not find the database system"), "{error}");
}
