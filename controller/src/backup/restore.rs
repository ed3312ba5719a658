//! Restoring a backup on an empty machine, which is then the first controller of the cluster's next life.
//!
//! ```text
//!   verify: identity, root key, backup to its end, directories, id          nothing is written
//!   write:  Postgres (rows, then history) -> snapshot and vote -> cluster directory
//! ```
//!
//! The cluster directory comes last, and its `cluster.json` last of it: without that no controller starts here. So what was cut
//! off is seen as such, and is wiped and done again.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rempart_identity::file::read_secret;
use rempart_model::{Restored, State};
use tokio::runtime::Handle;

use super::age::{BadKey, Decryptor, identities};
use super::content::{self, Contents, End, Head};
use crate::pki::{Cluster, ClusterDir, PkiError, Recovered, recover};
use crate::raft;
use crate::replica::{now, whole};
use crate::store::{self, AuditRow, History, Source, Store, StoreError};

/// How long the certificate that is made here holds; a controller replaces it when it starts.
const FIRST_CERTIFICATE: Duration = Duration::from_secs(86_400);
/// Rows of the audit trail that are written at a time, at least.
const ROWS: usize = 500;
const BUFFER_BYTES: usize = 1 << 20;
/// What may be in a data directory already: bytes of images that were copied there before.
const BLOBS: &str = "blobs";

/// What is restored, and where to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The backup.
    pub backup: PathBuf,
    /// File with the private key that it was encrypted to.
    pub identity: PathBuf,
    /// File with the cluster's root key.
    pub root_key: PathBuf,
    /// Where this controller's identity goes.
    pub cluster_dir: PathBuf,
    /// Where its log and database go.
    pub data_dir: PathBuf,
    /// Its id, above every one that the cluster ever had.
    pub replica_id: u64,
    /// Where it will listen for its peers: `host:port`.
    pub address: String,
    /// The cluster's next incarnation; that of the backup and one when absent.
    pub incarnation: Option<u64>,
    /// A Postgres to use instead of a private one.
    pub database_url: Option<String>,
    /// Unprivileged user that runs the private Postgres when this is root.
    pub postgres_user: String,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Settings(String),
    /// Of the file with the private key.
    #[error("{path}: {why}", path = path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: BadKey,
    },
    /// A file of the operator's own.
    #[error("{0}")]
    File(io::Error),
    /// The backup.
    #[error("{path}: {why}; nothing was written", path = path.display())]
    Backup {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: io::Error,
    },
    /// Something is where the restore would go.
    #[error("{path} is not empty: {what}", path = path.display())]
    NotEmpty {
        /// Where.
        path: PathBuf,
        /// What to do.
        what: &'static str,
    },
    /// Keys.
    #[error(transparent)]
    Keys(#[from] PkiError),
    /// Writing failed.
    #[error("{why}; what was written so far is of no use: empty {at} and restore again", at = at.display())]
    Write {
        /// What happened.
        #[source]
        why: Box<dyn std::error::Error + Send + Sync>,
        /// Where.
        at: PathBuf,
    },
}

/// A backup that was read to its end and can be restored as it was asked.
pub struct Verified {
    settings: Settings,
    /// What it is.
    pub head: Head,
    /// How much is in it.
    pub end: End,
    /// The cluster's next incarnation.
    pub incarnation: u64,
    /// Names of the files with bytes of images that State refers to.
    pub blobs: Vec<String>,
    state: State,
    recovered: Recovered,
}

/// Verifies everything. Writes nothing. Blocks.
///
/// # Errors
/// What is wrong.
pub fn verify(settings: Settings) -> Result<Verified, RestoreError> {
    ClusterDir::new(&settings.cluster_dir).check_empty()?;
    check_data_dir(&settings.data_dir)?;
    check_address(&settings.address)?;
    let contents = read(&settings, |_| Ok(()))?;
    let bad = |why: &str| RestoreError::Backup {
        path: settings.backup.clone(),
        why: io::Error::new(io::ErrorKind::InvalidData, why),
    };
    let cluster = Cluster {
        cluster_id: contents.head.cluster_id,
        region: contents.head.region.clone(),
        zones: contents.head.zones.clone(),
    };
    let recovered = recover(cluster, &contents.keys, &settings.root_key)?;
    if !contents.is_marked_by(&recovered.sealer) {
        return Err(bad(
            "it was not written by a controller of the cluster whose keys are in it: somebody made it up, or put \
                        parts of several together",
        ));
    }
    let Contents { head, state, end, .. } = contents;
    let highest = head.controllers.iter().copied().chain(state.core().replicas.keys().copied()).max();
    if let Some(highest) = highest.filter(|highest| settings.replica_id <= *highest) {
        return Err(RestoreError::Settings(format!(
            "--replica-id {}: the cluster had controllers up to {highest} when the backup was taken; take an id above every one that \
             it ever had, for what those had promised is not known any more",
            settings.replica_id
        )));
    }
    let incarnation = settings.incarnation.unwrap_or(head.incarnation + 1);
    if incarnation <= head.incarnation {
        return Err(RestoreError::Settings(format!(
            "--incarnation {incarnation}: the backup is of incarnation {}; a restored cluster has a higher one",
            head.incarnation
        )));
    }
    let blobs = crate::blob::needed(&state);
    Ok(Verified { settings, head, end, incarnation, blobs, state, recovered })
}

/// Reads the backup to its end.
fn read(
    settings: &Settings,
    audit: impl FnMut(AuditRow) -> io::Result<()>,
) -> Result<Contents, RestoreError> {
    let text = read_secret(&settings.identity).map_err(RestoreError::File)?;
    let identity = |why| RestoreError::Identity { path: settings.identity.clone(), why };
    let keys = identities(&String::from_utf8_lossy(&text)).map_err(identity)?;
    let bad = |why| RestoreError::Backup { path: settings.backup.clone(), why };
    let file = File::open(&settings.backup).map_err(bad)?;
    let clear = Decryptor::begin(&keys, BufReader::with_capacity(BUFFER_BYTES, file)).map_err(bad)?;
    content::read(&mut BufReader::with_capacity(BUFFER_BYTES, clear), audit).map_err(bad)
}

fn check_data_dir(path: &Path) -> Result<(), RestoreError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(RestoreError::File)?,
    };
    for entry in entries {
        if entry.map_err(RestoreError::File)?.file_name() != BLOBS {
            let what = "a restore begins with nothing but a directory `blobs`, if image files were copied before; name another \
                        --data-dir, or move away what is there";
            return Err(RestoreError::NotEmpty { path: path.to_owned(), what });
        }
    }
    Ok(())
}

fn check_address(address: &str) -> Result<(), RestoreError> {
    let good =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good {
        return Ok(());
    }
    Err(RestoreError::Settings(format!(
        "--address {address:?} is not HOST:PORT, where this controller will listen for its peers"
    )))
}

impl Verified {
    /// Makes this machine the first controller of the cluster's next life.
    ///
    /// # Errors
    /// [`RestoreError::Write`]; what was written is then of no use.
    pub async fn write(self) -> Result<(), RestoreError> {
        let at = self.settings.data_dir.clone();
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| RestoreError::Write { why, at };
        self.write_all().await.map_err(failed)
    }

    async fn write_all(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Verified { settings, head, incarnation, state, recovered, .. } = self;
        let from = Restored {
            backup_id: head.backup_id,
            taken_at: head.taken_at,
            taken_index: head.applied_index,
            restored_at: now(),
            first_replica_id: settings.replica_id,
            opened_at: None,
            hosts: std::collections::BTreeMap::new(),
        };
        let state = state.restored(from, incarnation);
        let position = raft::position_of_one(settings.replica_id, &settings.address, state.applied_index());
        fs::create_dir_all(&settings.data_dir)?;
        let store = open(&settings, &head).await?;
        if store.load().await?.mark.is_some() {
            store.close().await;
            return Err("the database holds the State of a controller already; give an empty one".into());
        }
        store.commit(&whole::as_first_batch(&state, &position)).await?;
        let filled = fill(store.clone(), settings.clone(), head.applied_index).await;
        store.close().await;
        filled?;
        let log_dir = settings.data_dir.join("log");
        raft::begin_with(&log_dir, &position, Arc::new(whole::Kept(state))).await?;
        recovered.write(&ClusterDir::new(&settings.cluster_dir), settings.replica_id, FIRST_CERTIFICATE)?;
        Ok(())
    }
}

async fn open(settings: &Settings, head: &Head) -> Result<Arc<Store>, StoreError> {
    let Settings { database_url, data_dir, postgres_user, .. } = settings;
    let source = Source::chosen(database_url.as_deref(), data_dir, postgres_user);
    let identity = store::Identity { cluster_id: head.cluster_id, replica_id: settings.replica_id };
    Ok(Arc::new(store::open(&source, identity).await?))
}

/// Writes the audit trail: reads the backup once more, so that what is in memory does not grow with it.
async fn fill(
    store: Arc<Store>,
    settings: Settings,
    last: u64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let runtime = Handle::current();
    let work = move || {
        let (mut first, mut rows) = (0, Vec::<AuditRow>::new());
        let mut put = |rows: Vec<AuditRow>, complete_to: u64| -> io::Result<()> {
            let history = History { rows, complete_to };
            runtime.block_on(store.fill_audit_gap(first, &history)).map_err(io::Error::other)?;
            first = complete_to + 1;
            Ok(())
        };
        read(&settings, |row| {
            // All rows of an entry go together.
            if let Some(before) = rows.last().map(|before| before.log_index)
                && rows.len() >= ROWS
                && before != row.log_index
            {
                put(std::mem::take(&mut rows), before.unsigned_abs())?;
            }
            rows.push(row);
            Ok(())
        })?;
        put(rows, last)?;
        Ok(())
    };
    tokio::task::spawn_blocking(work).await?
}
