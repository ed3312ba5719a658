//! Postgres: what a replica keeps of the State, and how it gets there.
//!
//! ```text
//!  apply ── Batch ──> Projection ── commit ──> Session ── one connection, one lock ──> Postgres
//!                      (queue)                                                        (Embedded, or somebody's)
//!  start <── Loaded ── Store::load
//! ```
//!
//! The Raft log is the truth and memory answers; Postgres is where both go on from after a restart, and the only keeper
//! of history. What holds here, always:
//!
//! - Rows, answers, history and the applied index they belong to change in one transaction, or not at all.
//! - No batch is applied twice, skipped, or applied to a database that is not exactly where the batch follows on.
//! - Only the session that holds the database's lock writes, and only a replica whose stamp the database bears.
//! - Nothing counts as flushed that a power cut could take back: `fsync` and `full_page_writes` are on, or we refuse.
//! - No SQL is made from data.
//! - Nothing here looks inside a body or knows a type of the model: what rows mean is the model's business.

mod coalesce;
mod commit;
pub mod embedded;
mod error;
mod history;
mod load;
pub mod projection;
mod rows;
mod session;
#[cfg(test)]
pub(crate) mod simulated;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use uuid::Uuid;

pub use error::StoreError;
pub use history::History;
pub use rows::{AuditRow, Batch, Loaded, Mark, Marked, ResourceKey, ResourceRow, Rows, Whole, Write};

use embedded::Embedded;
use session::{Place, Session};

/// Which Postgres to use.
#[derive(Clone, Debug)]
pub enum Source {
    /// A private one, started, supervised and stopped by this process.
    Embedded(embedded::Settings),
    /// One that somebody else runs.
    External {
        /// `postgres://user:password@host:port/database`. Directly to the server: a pooler in transaction mode would
        /// break the lock.
        database_url: String,
    },
}

impl Source {
    /// The one at `database_url`, or else a private one in `data_dir`, run by `os_user` where this process is root.
    #[must_use]
    pub fn chosen(database_url: Option<&str>, data_dir: &Path, os_user: &str) -> Source {
        match database_url {
            Some(database_url) => Source::External { database_url: database_url.to_owned() },
            None => {
                let mut own = embedded::Settings::new(data_dir);
                own.os_user = os_user.to_owned();
                Source::Embedded(own)
            }
        }
    }
}

/// Who this replica is. A database is stamped with it for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The replica's Raft id.
    pub replica_id: u64,
}

/// A database that is this replica's and nobody else's, for as long as this lives.
pub struct Store {
    source: Source,
    identity: Identity,
    opened: OnceCell<Opened>,
}

/// A database that is there.
struct Opened {
    session: Session,
    readers: PgPool,
    // Last, so that on drop the connections go before the server does.
    embedded: Option<Embedded>,
}

/// A commit may take this long, and ...
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// ... as much longer as this slow a disk would need.
const COMMIT_BYTES_PER_S: u64 = 1024 * 1024;
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database of `identity`: starts Postgres if it is ours to start, connects, takes the lock, migrates, and
/// stamps it if it is new.
///
/// # Errors
/// When Postgres cannot be started or reached, is not safe to use, belongs to another replica, or is in use.
pub async fn open(source: &Source, identity: Identity) -> Result<Store, StoreError> {
    let store = not_open(source, identity);
    store.ready().await?;
    Ok(store)
}

/// The same database, not opened yet: [`StoreError::NotOpen`] is all it says until [`Store::ready`] has done so.
#[must_use]
pub fn not_open(source: &Source, identity: Identity) -> Store {
    Store { source: source.clone(), identity, opened: OnceCell::new() }
}

impl Opened {
    async fn new(source: &Source, identity: Identity) -> Result<Opened, StoreError> {
        let (embedded, place) = match source {
            Source::Embedded(settings) => {
                let embedded = Embedded::start(settings.clone()).await?;
                let place = Place::new(embedded.connect_options());
                (Some(embedded), place)
            }
            Source::External { database_url } => (None, Place::from_url(database_url)?),
        };
        // Idle readers are let go: every connection is a process and megabytes of the control plane's memory.
        let readers = PgPoolOptions::new()
            .max_connections(3)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(30))
            .acquire_timeout(Duration::from_secs(10))
            .connect_lazy_with(place.options());
        let session = Session::open(place, identity).await?;
        Ok(Opened { session, readers, embedded })
    }
}

impl Store {
    /// Opens it, if that was not done.
    ///
    /// # Errors
    /// As [`open`].
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Boxed: it is large, and waited for in many places.
        let opening = || Box::pin(Opened::new(&self.source, self.identity));
        self.opened.get_or_try_init(opening).await.map(drop)
    }

    #[cfg(test)]
    fn readers(&self) -> &PgPool {
        &self.opened().unwrap().readers
    }

    /// Whether nothing can be in it: it is a private one that is still to be made.
    #[must_use]
    pub fn is_to_be_made(&self) -> bool {
        match &self.source {
            Source::Embedded(settings) => !settings.data_dir.join("postgres").exists(),
            Source::External { .. } => false,
        }
    }

    fn opened(&self) -> Result<&Opened, StoreError> {
        self.opened.get().ok_or(StoreError::NotOpen)
    }

    /// All that the database holds of the State, as of one moment.
    ///
    /// # Errors
    /// When Postgres cannot be read.
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        let Loaded { mark, resources, answers } = self.load_and_read(|rows| rows).await?;
        Ok(Loaded { mark, resources: resources.into_iter().flatten().collect(), answers })
    }

    /// As [`Store::load`], with what `read` makes of the resources: of some at a time, on all cores, while more are on their way.
    ///
    /// # Errors
    /// When Postgres cannot be read.
    pub async fn load_and_read<T: Send + 'static>(
        &self,
        read: fn(Vec<ResourceRow>) -> T,
    ) -> Result<Loaded<Vec<T>>, StoreError> {
        let Opened { session, readers, .. } = self.opened()?;
        let place = session.place();
        let mut reader = readers.acquire().await.map_err(place.failed("give a connection to read with"))?;
        load::load(&mut reader, place, read).await
    }

    /// Makes the effects of `batch` durable, in one transaction. `Ok` as well if the database is already where the batch
    /// leads: it was committed before.
    ///
    /// Safe to call again after any [transient](StoreError::is_transient) error, and to drop half-way.
    ///
    /// # Errors
    /// [`StoreError::OutOfStep`] if the database is anywhere else than where the batch follows on.
    pub async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let session = &self.opened()?.session;
        let place = session.place();
        let patience = COMMIT_PATIENCE + Duration::from_secs(batch.bytes() as u64 / COMMIT_BYTES_PER_S);
        let committing = async {
            let mut lease = session.lease().await?;
            commit::commit(lease.connection(), place, batch).await?;
            lease.give_back();
            Ok(())
        };
        timeout(patience, committing).await.unwrap_or_else(|_| Err(place.too_slow("commit", patience)))
    }

    /// The applied index in the database, read over the writing connection (which is made anew if it broke).
    ///
    /// # Errors
    /// When Postgres does not answer, or answers as another database than it was.
    pub async fn applied_index(&self) -> Result<Option<u64>, StoreError> {
        let session = &self.opened()?.session;
        let place = session.place();
        let asking = async {
            let mut lease = session.lease().await?;
            let found = commit::applied_index(lease.connection(), place).await?;
            lease.give_back();
            Ok(found)
        };
        timeout(PING_PATIENCE, asking).await.unwrap_or_else(|_| Err(place.too_slow("answer", PING_PATIENCE)))
    }

    /// How the private Postgres is doing; `None` when somebody else runs it.
    #[must_use]
    pub fn server(&self) -> Option<watch::Receiver<embedded::Status>> {
        self.opened.get()?.embedded.as_ref().map(Embedded::status)
    }

    /// Lets go of the lock, and stops Postgres if it is ours. Dropping a store does the same, but blocks the thread
    /// while Postgres stops.
    pub async fn close(&self) {
        let Some(Opened { session, readers, embedded }) = self.opened.get() else { return };
        session.close().await;
        readers.close().await;
        if let Some(embedded) = embedded {
            embedded.stop().await;
        }
    }

    fn out_of_step(&self, expected: Option<u64>, found: Option<u64>) -> StoreError {
        let place = self.opened.get().map(|opened| opened.session.place().description());
        StoreError::OutOfStep { place: place.unwrap_or_default(), expected, found }
    }
}
