//! The private Postgres of a controller that was given no database: made, started, supervised and stopped by it.
//!
//! ```text
//!   <data_dir>/postgres/         0711 ours   nobody else may add or rename anything in here
//!     lock                       0600 ours   flock: one controller at a time
//!     initdb-<pid>/              0700 user   a data directory in the making; renamed to data/ when it is whole
//!     data/                      0700 user   Postgres' own
//!     socket/                    0700 user   .s.PGSQL.5432, the only way in
//! ```
//!
//! "user" is an unprivileged account when the controller is root (Postgres refuses to run as root), and ours otherwise.
//! One thread does everything to it, from `initdb` to the end (see [`supervisor`]).
//!
//! What never happens:
//!
//! - Postgres listens on no TCP port, ever. Who may enter `socket/` may use the database; nobody else.
//! - It does not outlive its controller, however that ends; and a controller never runs beside a Postgres that an earlier
//!   one left behind.
//! - `fsync`, `full_page_writes` and data checksums are not to be turned off, here or in any file.
//! - A half-made data directory is never used: an interrupted `initdb` starts over.
//! - A data directory of another major version is never touched.
//! - It is never killed with SIGKILL.

mod account;
mod binaries;
mod error;
mod home;
mod leftovers;
mod log;
mod server;
mod supervisor;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::{oneshot, watch};

pub use error::EmbeddedError;

use supervisor::{Control, Supervisor};

/// How to run the private Postgres.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The controller's data directory; Postgres gets `postgres/` inside it.
    pub data_dir: PathBuf,
    /// Where `postgres` and `initdb` are. `None`: the newest version of the system's packages that fits the data.
    pub bin_dir: Option<PathBuf>,
    /// The account Postgres runs as when the controller is root. Otherwise it runs as the controller does.
    pub os_user: String,
    /// How long a start may take, recovery after a crash included.
    pub start_patience: Duration,
    /// How long an orderly stop may take before it becomes an immediate one (safe, but the next start has to recover).
    pub stop_patience: Duration,
}

impl Settings {
    /// The defaults, for this data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Settings {
        Settings {
            data_dir: data_dir.into(),
            bin_dir: None,
            os_user: "postgres".to_owned(),
            start_patience: Duration::from_secs(120),
            stop_patience: Duration::from_secs(30),
        }
    }
}

/// How the private Postgres is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// On its way up, perhaps recovering from a crash.
    Starting,
    /// Accepting connections.
    Running {
        /// Process id of the postmaster.
        pid: u32,
        /// How often it was started so far; more than one means that it died under us.
        starts: u32,
    },
    /// It died, or did not start. It is started again after a pause that grows.
    Down {
        /// What happened, with the end of its log.
        why: String,
    },
    /// Ended, because it was asked to.
    Stopped,
}

/// A running private Postgres. Dropping it stops Postgres, and blocks the thread until it has stopped.
pub struct Embedded {
    control: Arc<Control>,
    status: watch::Receiver<Status>,
    thread: Mutex<Option<JoinHandle<()>>>,
    socket_dir: PathBuf,
    stop_patience: Duration,
}

/// Postgres' superuser in a private Postgres: it is ours alone.
const DATABASE_USER: &str = "rempart";
/// `initdb` makes this one; there is nobody to share it with.
const DATABASE: &str = "postgres";
/// No port, but part of the socket's name.
const PORT: u16 = 5432;

/// After an immediate stop was asked for, Postgres itself ends what is left of its processes within 5 s.
const IMMEDIATE_STOP_PATIENCE: Duration = Duration::from_secs(15);

impl Embedded {
    /// Starts it, making the data directory first if there is none; returns once it accepts connections.
    ///
    /// # Errors
    /// When Postgres is not installed, cannot be set up or does not start. It is not left running then.
    pub async fn start(settings: Settings) -> Result<Embedded, EmbeddedError> {
        let (started, first_start) = oneshot::channel();
        let (status_sender, status) = watch::channel(Status::Starting);
        let control = Arc::new(Control::default());
        let stop_patience = settings.stop_patience;
        let supervisor = Supervisor::new(settings, Arc::clone(&control), status_sender);
        let thread = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || supervisor.run(started))
            .map_err(|source| EmbeddedError::Thread { source })?;
        // From here on, cancelling this future or failing stops whatever has been started.
        let mut embedded = Embedded {
            control,
            status,
            thread: Mutex::new(Some(thread)),
            socket_dir: PathBuf::new(),
            stop_patience,
        };
        embedded.socket_dir = first_start.await.unwrap_or(Err(EmbeddedError::Panicked))?;
        Ok(embedded)
    }

    /// How it is doing, now and later.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// How to connect to it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(PORT)
            .username(DATABASE_USER)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Stops it: sessions end, what is in memory goes to disk, the processes go away. Stopping twice is fine.
    pub async fn stop(&self) {
        let (control, patience) = (Arc::clone(&self.control), self.stop_patience);
        let thread = self.take_thread();
        let stopping = tokio::task::spawn_blocking(move || stop(&control, thread, patience));
        if stopping.await.is_err() {
            tracing::error!("the task that stops Postgres panicked; Postgres ends with this process");
        }
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        stop(&self.control, self.take_thread(), self.stop_patience);
    }
}

fn stop(control: &Control, thread: Option<JoinHandle<()>>, patience: Duration) {
    let Some(thread) = thread else { return };
    control.stop();
    if !control.wait_ended(patience) {
        tracing::warn!(
            patience_s = patience.as_secs(),
            "Postgres takes too long to stop; stopping it at once"
        );
        control.stop_at_once();
        if !control.wait_ended(IMMEDIATE_STOP_PATIENCE) {
            tracing::error!("Postgres does not stop; it is told again when this process ends");
            return;
        }
    }
    if thread.join().is_err() {
        tracing::error!("the thread that supervises Postgres panicked");
    }
}
