//! Opening, and being refused.

mod measure;

use std::collections::BTreeSet;
use std::path::Path;

use uuid::Uuid;

use super::session::MIGRATIONS;
use super::testing::{IDENTITY, batch, fresh_database, fresh_store};
use super::{Identity, Source, StoreError, open};

#[tokio::test]
async fn another_replicas_database_is_refused() {
    let source = fresh_database().await;
    let store = open(&source, IDENTITY).await.unwrap();
    store.close().await;
    let others = [
        Identity { replica_id: 8, ..IDENTITY },
        Identity { cluster_id: Uuid::from_u128(1), ..IDENTITY },
        Identity { replica_id: u64::MAX, ..IDENTITY },
    ];
    for other in others {
        let Err(refused) = open(&source, other).await else { panic!("{other:?} was let in") };
        assert!(matches!(refused, StoreError::Stamped { .. }), "{refused}");
        assert!(!refused.is_transient());
        assert!(refused.to_string().contains("belongs to replica 7 of cluster"), "{refused}");
    }
    open(&source, IDENTITY).await.unwrap();
}

#[tokio::test]
async fn a_database_is_not_touched_before_it_is_known_to_be_ours() {
    let source = fresh_database().await;
    let store = open(&source, IDENTITY).await.unwrap();
    // As a newer controller would leave it.
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'newer', now(), true, '', 0)")
        .execute(store.readers())
        .await
        .unwrap();
    store.close().await;
    let other = open(&source, Identity { replica_id: 8, ..IDENTITY }).await;
    assert!(matches!(other, Err(StoreError::Stamped { .. })));
    let Err(refused) = open(&source, IDENTITY).await else { panic!("an older controller was let in") };
    assert!(refused.to_string().contains("if a newer controller migrated it"), "{refused}");
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let source = fresh_database().await;
    let store = open(&source, IDENTITY).await.unwrap();
    let Err(refused) = open(&source, IDENTITY).await else { panic!("two writers") };
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("of rempart-controller from this machine"), "{refused}");
    // Not closed in good order, but gone: the server notices by itself.
    drop(store);
    open(&source, IDENTITY).await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_replaced_and_holds_the_lock_again() {
    let store = fresh_store().await;
    store.commit(&batch(0, vec![])).await.unwrap();
    let holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let first: i32 = sqlx::query_scalar(holders).fetch_one(store.readers()).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend($1)").bind(first).execute(store.readers()).await.unwrap();
    let broken = store.commit(&batch(1, vec![])).await.unwrap_err();
    assert!(broken.is_transient(), "{broken}");
    store.commit(&batch(1, vec![])).await.unwrap();
    let second: i32 = sqlx::query_scalar(holders).fetch_one(store.readers()).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn nobody_there_is_transient_and_a_bad_url_is_not() {
    let database_url = "postgres://someone:secret@localhost/x?host=/nonexistent".to_owned();
    let Err(absent) = open(&Source::External { database_url }, IDENTITY).await else { panic!() };
    assert!(absent.is_transient(), "{absent}");
    assert!(
        absent.to_string().starts_with("cannot connect to Postgres at /nonexistent (database x): "),
        "{absent}"
    );
    let database_url = "postgres//secret".to_owned();
    let Err(bad) = open(&Source::External { database_url }, IDENTITY).await else { panic!() };
    assert!(!bad.is_transient());
    assert!(!format!("{absent} {bad}").contains("secret"), "{absent} {bad}");
    // TLS that was asked for is not left away.
    for mode in ["require", "verify-ca", "verify-full"] {
        let database_url = format!("postgres://someone:secret@localhost/x?sslmode={mode}");
        let Err(no_tls) = open(&Source::External { database_url }, IDENTITY).await else { panic!() };
        let said = no_tls.to_string();
        assert!(!no_tls.is_transient() && said.contains(mode) && said.contains("tunnel"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// The compiler is not told of new files in `migrations`; this is.
#[test]
fn every_migration_is_compiled_in() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    let known: BTreeSet<String> = MIGRATIONS
        .iter()
        .map(|migration| format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_")))
        .collect();
    assert_eq!(files, known, "touch controller/src/store/session.rs after adding a migration");
}

/// What a column means is said where operators look: in the database.
#[tokio::test]
async fn every_column_is_documented() {
    let store = fresh_store().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s.%s', c.relname, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped \
           AND c.relname <> '_sqlx_migrations' AND col_description(c.oid, a.attnum) IS NULL",
    )
    .fetch_all(store.readers())
    .await
    .unwrap();
    assert_eq!(silent, [""; 0]);
}
