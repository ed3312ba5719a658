//! For tests: a Postgres that all tests of a process share, a database of its own for each, and sample rows.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::embedded::{Embedded, Settings};
use super::rows::{AuditRow, Batch, Mark, ResourceKey, ResourceRow, Rows, Whole, Write};
use super::{Identity, Source, Store};

pub(crate) const IDENTITY: Identity =
    Identity { cluster_id: Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001), replica_id: 7 };

static SHARED: OnceCell<Embedded> = OnceCell::const_new();
const SHARED_PREFIX: &str = "rempart-test-postgres-";

/// A directory that is removed at the end, and that the account of Postgres may pass through.
pub(crate) fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("rempart-test-").tempdir().unwrap();
    passable(directory.path());
    directory
}

fn passable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
}

/// The shared server. It ends with the process (that is one of its features); the next run removes its files.
async fn shared() -> &'static Embedded {
    SHARED
        .get_or_init(|| async {
            sweep();
            let data_dir = std::env::temp_dir().join(format!("{SHARED_PREFIX}{}", std::process::id()));
            DirBuilder::new().mode(0o711).create(&data_dir).unwrap();
            Embedded::start(Settings::new(data_dir)).await.unwrap()
        })
        .await
}

/// Removes the files of test processes that are no more.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix(SHARED_PREFIX)
            && !PathBuf::from("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// An empty database in the shared server.
pub(crate) async fn fresh_database() -> Source {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let options = shared().await.connect_options();
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let socket = options.get_socket().unwrap().display();
    Source::External { database_url: format!("postgres://rempart@localhost/{name}?host={socket}") }
}

/// A store in an empty database of the shared server.
pub(crate) async fn fresh_store() -> Store {
    super::open(&fresh_database().await, IDENTITY).await.unwrap()
}

pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey {
        kind: "instance".into(),
        tenant: "acme".to_owned(),
        workspace: "web".to_owned(),
        network: String::new(),
        name: name.to_owned(),
    }
}

pub(crate) fn row(name: &str, body: &str) -> ResourceRow {
    ResourceRow {
        key: key(name),
        uid: Uuid::from_u128(42),
        resource_version: 3,
        changed_index: 5,
        created_at_ms: 1_700_000_000_000,
        modified_at_ms: 1_700_000_000_001,
        deleted_at_ms: None,
        body: body.to_owned(),
    }
}

pub(crate) fn audit(log_index: i64, ordinal: i32) -> AuditRow {
    AuditRow {
        log_index,
        ordinal,
        at_ms: 1_700_000_000_000 + log_index,
        request_id: Uuid::from_u128(log_index.unsigned_abs().into()),
        actor: "jane".to_owned(),
        action: "instance.put".to_owned(),
        subject: "acme/web/one".to_owned(),
        outcome: r#"{"status":201}"#.to_owned(),
    }
}

pub(crate) fn mark(applied_index: u64) -> Mark {
    Mark {
        applied_index,
        position: json!({"term": 1, "node": 7, "index": applied_index}),
        membership: json!({"voters": [[7]]}),
        core: json!({"clock_ms": u64::MAX, "version": 1}),
        digest: Some(format!("{applied_index:032x}")),
    }
}

/// The batch of one entry, which follows the entry before.
pub(crate) fn batch(applied_index: u64, writes: Vec<Write>) -> Batch {
    Batch::new(applied_index.checked_sub(1), mark(applied_index), writes)
}

/// A State of these rows.
pub(crate) fn whole(rows: Vec<ResourceRow>) -> Whole {
    Whole(Arc::new(Listed(rows)))
}

struct Listed(Vec<ResourceRow>);

impl Rows for Listed {
    fn resources(&self) -> Box<dyn Iterator<Item = ResourceRow> + Send + '_> {
        Box::new(self.0.iter().cloned())
    }

    fn answers(&self) -> Box<dyn Iterator<Item = (Uuid, u64, String)> + Send + '_> {
        Box::new(std::iter::empty())
    }

    fn bytes(&self) -> usize {
        self.0.len() * 1024
    }
}
