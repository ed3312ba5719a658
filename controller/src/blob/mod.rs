//! Bytes of images: taken in on any replica, spread to a majority, kept for as long as State refers to them.
//!
//! ```text
//!   upload ──> Incoming (counted, hashed, judged) ──> blobs/<sha256>.<format> ── spread ──> a majority ──> Fill (log)
//!                                   ^                            │
//!   tend: State refers to one that is not here ── pull ──────────┘ <── Read ── peers, agents
//! ```
//!
//! What always holds: a file under a blob's name has its digest, size and format, and is on the disk; who receives bytes
//! verifies them himself. A blob State refers to is never removed, and nothing is filled before a majority holds it.
//!
//! Absent on purpose: bytes in the log or in Postgres; finding out a format; giving bytes to whoever names a digest.

mod copy;
mod incoming;
mod name;
mod orphans;
mod server;
mod spread;
mod store;
mod tend;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rempart_api::storage::BlobSpec;
use rempart_model::State;
use rempart_proto::blob::v1::blobs_server::BlobsServer;
use tokio::time::Instant;

pub use incoming::{Expected, Incoming};
pub use name::BlobName;

use crate::pki::Peers;
use crate::raft::Node;
use crate::replica::Replica;
use crate::service::Service;
use store::Store;

/// Names of the files with the bytes that State refers to.
pub fn needed(state: &State) -> Vec<String> {
    tend::referred(state).into_keys().map(|name| name.to_string()).collect()
}

/// What the installation decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the files lie.
    pub dir: PathBuf,
    /// Space that is never taken, in bytes; 5 % of the file system or 2 GiB, whichever is less, when absent.
    pub floor_bytes: Option<u64>,
    /// How long a blob nothing refers to is kept.
    pub grace: Duration,
}

/// Why bytes could not be taken, kept or spread.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// They are not what was declared, or not what we accept; the words are for whoever sent them.
    #[error("{why}")]
    Refused {
        /// Which declaration: `sha256`, `format`, `virtualSizeBytes`.
        parameter: &'static str,
        /// What is wrong.
        why: String,
    },
    /// More bytes than may come.
    #[error("more than {limit_bytes} bytes")]
    TooLarge {
        /// How many may.
        limit_bytes: u64,
    },
    /// They ended early.
    #[error("the bytes ended before all had come")]
    CutShort,
    /// No room.
    #[error("no room for blobs in {dir}: {free_bytes} bytes are free and {floor_bytes} are kept free; \
             make room there, or delete volumes and images that nobody needs", dir = dir.display())]
    Full {
        /// Where.
        dir: PathBuf,
        /// Free, less what other uploads were promised.
        free_bytes: u64,
        /// Kept free.
        floor_bytes: u64,
    },
    /// Not enough replicas took them.
    #[error("{held} of the {needed} controllers that must hold the bytes do: {why}")]
    NoMajority {
        /// Replicas that hold them.
        held: usize,
        /// A majority.
        needed: usize,
        /// What the others said.
        why: String,
    },
    /// The file system, or a connection.
    #[error("{what}: {error}")]
    Io {
        /// Doing what.
        what: String,
        /// What it said.
        error: std::io::Error,
    },
}

impl BlobError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> BlobError {
        let what = what.into();
        move |error| BlobError::Io { what, error }
    }
}

/// The blobs of this replica. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    peers: Peers,
    replica: Replica,
    node: Node,
    service: Service,
    grace: Duration,
    /// What is known of those that are in the wrong place.
    tended: Mutex<tend::Memory>,
    /// When somebody last asked for a blob to be here; what was asked for lately is not removed.
    wanted: Mutex<BTreeMap<BlobName, Instant>>,
    /// One at a time per blob: a peer may ask for what a repair is already fetching.
    pulling: Mutex<BTreeMap<BlobName, Arc<tokio::sync::Mutex<()>>>>,
}

impl Blobs {
    /// Opens the directory, and removes what an earlier process left unfinished there.
    ///
    /// # Errors
    /// When it cannot be made, or not be written.
    pub fn open(
        settings: Settings,
        peers: Peers,
        replica: Replica,
        node: Node,
        service: Service,
    ) -> Result<Blobs, BlobError> {
        let Settings { dir, floor_bytes, grace } = settings;
        let store = Arc::new(Store::open(dir, floor_bytes)?);
        Ok(Blobs {
            inner: Arc::new(Inner {
                store,
                peers,
                replica,
                node,
                service,
                grace,
                tended: Mutex::default(),
                wanted: Mutex::default(),
                pulling: Mutex::default(),
            }),
        })
    }

    /// The gRPC service for peers and agents.
    pub fn server(&self) -> BlobsServer<Blobs> {
        BlobsServer::new(self.clone())
    }

    /// Whether this replica holds the bytes.
    pub fn holds(&self, blob: &BlobSpec) -> bool {
        BlobName::of(blob).is_some_and(|name| self.inner.store.size(name) == Some(blob.size_bytes))
    }

    /// Begins to take in bytes.
    ///
    /// # Errors
    /// [`BlobError::Full`], or [`BlobError::Io`].
    pub async fn begin(&self, expected: Expected) -> Result<Incoming, BlobError> {
        self.want(expected.name);
        Incoming::begin(self.inner.store.clone(), expected).await
    }

    /// Keeps a blob for another grace.
    fn want(&self, name: BlobName) {
        self.inner.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
    }
}
