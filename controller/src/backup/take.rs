//! Taking a backup, on whichever replica is asked.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rempart_api::cluster::BackupSummary;
use rempart_model::State;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::age::{Encryptor, Recipient};
use super::content::{FORMAT, Head, Writer};
use crate::pki::{ClusterDir, PkiError, SealedKeys, Sealer};
use crate::raft::Node;
use crate::replica::{Replica, now};
use crate::service::{Caller, Service, ServiceError};
use crate::store::{Store, StoreError};

/// Most recipients of one backup.
const MAX_RECIPIENTS: usize = 16;
/// Bytes that go to the client at a time, and how many such pieces may wait for it.
const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 4;
/// A client that takes nothing for this long is given up.
const STALL: Duration = Duration::from_secs(60);
/// How long Postgres may take to have what State has.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);
/// How long a backup may wait for the one before it.
const TURN_PATIENCE: Duration = Duration::from_secs(5);
/// Rows of the audit trail that are read at a time.
const ROWS: u32 = 500;

/// The bytes of a backup. An error is its last item; without one it is whole.
pub type Pieces = ReceiverStream<io::Result<Bytes>>;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Of the keys that it should be encrypted to.
    #[error("{0}")]
    Recipients(String),
    /// Not here, or not now; in words for an operator.
    #[error("{0}")]
    NotNow(String),
    /// As any call.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// This controller's own keys.
    #[error(transparent)]
    Keys(#[from] PkiError),
    /// Postgres.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What backups are taken from. Cheap to clone.
#[derive(Clone)]
pub struct Backups {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    node: Node,
    replica: Replica,
    store: Arc<Store>,
    flushed: watch::Receiver<Option<u64>>,
    cluster_dir: ClusterDir,
    sealer: Arc<Sealer>,
    /// One at a time.
    turn: Arc<Semaphore>,
}

impl Backups {
    /// Of this replica. `flushed` says how far Postgres is.
    pub fn new(
        service: Service,
        node: Node,
        replica: Replica,
        store: Arc<Store>,
        flushed: watch::Receiver<Option<u64>>,
        (cluster_dir, sealer): (ClusterDir, Arc<Sealer>),
    ) -> Backups {
        let turn = Arc::new(Semaphore::new(1));
        Backups {
            inner: Arc::new(Inner { service, node, replica, store, flushed, cluster_dir, sealer, turn }),
        }
    }

    /// Begins one: everything that was acknowledged before is in it.
    ///
    /// # Errors
    /// [`BackupError`]. What goes wrong later ends the bytes with an error.
    pub async fn take(
        &self,
        caller: &Caller,
        recipients: &[String],
    ) -> Result<(BackupSummary, Pieces), BackupError> {
        let inner = &self.inner;
        let recipients = parse(recipients)?;
        inner.service.see_as_operator(caller).await?;
        // The last one may have been cut a moment ago, and its end not be noticed yet.
        let Ok(Ok(turn)) = timeout(TURN_PATIENCE, inner.turn.clone().acquire_owned()).await else {
            let why = "another backup is being taken at this controller; ask another controller, or wait for its end";
            return Err(BackupError::NotNow(why.to_owned()));
        };
        let state = inner.replica.state();
        let Some(cluster_id) = state.core().cluster_id else {
            return Err(BackupError::NotNow("the cluster is not founded yet".to_owned()));
        };
        self.wait_for_history(state.applied_index()).await?;
        let core = state.core();
        let head = Head {
            rempart_backup: FORMAT,
            backup_id: Uuid::now_v7(),
            cluster_id,
            region: core.region.clone(),
            zones: core.zones.clone(),
            taken_at: now(),
            applied_index: state.applied_index(),
            incarnation: core.incarnation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            controllers: inner.node.members().borrow().addresses.keys().copied().collect(),
        };
        let summary = BackupSummary {
            backup_id: head.backup_id,
            cluster_id,
            region: head.region.clone(),
            taken_at: head.taken_at,
            applied_index: head.applied_index,
            incarnation: head.incarnation,
            version: head.version.clone(),
            resources: state.object_count() as u64,
            blobs: crate::blob::needed(&state).len() as u64,
        };
        let keys = inner.cluster_dir.sealed()?;
        let (sender, pieces) = mpsc::channel(PIECES);
        tracing::info!(backup = %head.backup_id, subject = caller.subject, "taking a backup");
        let work = Work { head, keys, state, turn, store: inner.store.clone(), sealer: inner.sealer.clone() };
        tokio::task::spawn_blocking(move || work.run(&recipients, sender));
        Ok((summary, ReceiverStream::new(pieces)))
    }

    /// All of the audit trail up to `index` is in this replica's Postgres.
    async fn wait_for_history(&self, index: u64) -> Result<(), BackupError> {
        let mut flushed = self.inner.flushed.clone();
        let reached = async { flushed.wait_for(|flushed| *flushed >= Some(index)).await.is_ok() };
        if timeout(FLUSH_PATIENCE, reached).await != Ok(true) {
            let why = "this controller's Postgres is behind; ask another controller, or look at its log";
            return Err(BackupError::NotNow(why.to_owned()));
        }
        if self.inner.store.audit_gaps().await?.iter().any(|gap| *gap.start() <= index) {
            let why = "this controller is still fetching a part of the audit trail from the others; ask another one, or wait \
                       (rempart cluster status)";
            return Err(BackupError::NotNow(why.to_owned()));
        }
        Ok(())
    }
}

fn parse(recipients: &[String]) -> Result<Vec<Recipient>, BackupError> {
    if recipients.is_empty() {
        let why =
            "name at least one public key that it is encrypted to (age1...): nothing else could read it";
        return Err(BackupError::Recipients(why.to_owned()));
    }
    if recipients.len() > MAX_RECIPIENTS {
        return Err(BackupError::Recipients(format!("at most {MAX_RECIPIENTS} recipients are taken")));
    }
    let parsed = recipients.iter().map(|text| text.trim().parse::<Recipient>());
    parsed.collect::<Result<_, _>>().map_err(|bad| BackupError::Recipients(bad.to_string()))
}

/// A backup under way, on a thread of its own.
struct Work {
    head: Head,
    keys: SealedKeys,
    state: Arc<State>,
    turn: OwnedSemaphorePermit,
    store: Arc<Store>,
    sealer: Arc<Sealer>,
}

impl Work {
    fn run(self, recipients: &[Recipient], sender: mpsc::Sender<io::Result<Bytes>>) {
        let (id, runtime) = (self.head.backup_id, Handle::current());
        let to =
            BufWriter::with_capacity(PIECE_BYTES, Line { sender: sender.clone(), runtime: runtime.clone() });
        match self.write(recipients, to, &runtime) {
            Ok(audit) => tracing::info!(backup = %id, audit, "a backup was taken"),
            Err(error) => {
                tracing::warn!(backup = %id, %error, "a backup was cut off");
                // The client sees that it is not whole; perhaps it has gone.
                let last = async { timeout(STALL, sender.send(Err(error))).await };
                let _ = runtime.block_on(last);
            }
        }
    }

    /// Says how many rows of the audit trail are in it.
    fn write(self, recipients: &[Recipient], to: impl Write, runtime: &Handle) -> io::Result<u64> {
        let Work { head, keys, state, turn, store, sealer } = self;
        let last = head.applied_index;
        let mut writer = Writer::begin(Encryptor::begin(recipients, to)?, &head, &keys, &state)?;
        drop(state);
        let (mut next, mut rows) = (0, 0);
        while next <= last {
            let some = runtime.block_on(store.history(next..=last, ROWS)).map_err(io::Error::other)?;
            let some =
                some.ok_or_else(|| io::Error::other("a part of the audit trail is not here any more"))?;
            for row in some.rows {
                rows += 1;
                writer.audit(row)?;
            }
            next = some.complete_to + 1;
        }
        writer.finish(&sealer)?.finish()?.flush()?;
        drop(turn);
        Ok(rows)
    }
}

/// To the client, which is waited for.
struct Line {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sending = async { timeout(STALL, self.sender.send(Ok(piece))).await };
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
