//! What can go wrong between a replica and its Postgres, and whether waiting helps.

use uuid::Uuid;

use super::embedded::EmbeddedError;

/// Why the store could not do what was asked. Messages say what, where, why and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The private Postgres could not be set up, started or stopped.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),

    /// It was not opened yet.
    #[error("Postgres is still being made or started; wait until this controller is ready")]
    NotOpen,

    /// `database_url` cannot be understood. The URL itself is left out: it may hold a password.
    #[error(
        "database_url is not a Postgres URL: {source}; write it as postgres://user:password@host:port/database, \
         or leave it out to use a private Postgres"
    )]
    Url {
        /// What the parser said.
        source: sqlx::Error,
    },

    /// The URL asks for TLS, and this build has none for Postgres.
    #[error(
        "database_url asks for sslmode={mode}, and this version does not speak TLS to Postgres; use a Unix socket or a \
         network that you trust (sslmode=disable), or put a TLS tunnel such as stunnel in between"
    )]
    NoTls {
        /// What was asked for.
        mode: &'static str,
    },

    /// Nothing answers, or not as Postgres.
    #[error(
        "cannot connect to Postgres at {place}: {source}; check that it runs and that this replica may log in"
    )]
    Connect {
        /// Where: host or socket, and database.
        place: String,
        /// What the driver said.
        source: sqlx::Error,
    },

    /// Postgres refused or failed a statement, or the connection broke under it.
    #[error("Postgres at {place} failed to {doing}: {source}")]
    Query {
        /// Where.
        place: String,
        /// What the statement was for.
        doing: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },

    /// Postgres took longer than any healthy one would.
    #[error(
        "Postgres at {place} did not {doing} within {waited_s} s; look at its disk and at what else it is doing"
    )]
    TooSlow {
        /// Where.
        place: String,
        /// What it was asked to do.
        doing: &'static str,
        /// How long it was given, in seconds.
        waited_s: u64,
    },

    /// The schema could not be brought up to date.
    #[error(
        "cannot migrate the database at {place}: {source}; if a newer controller migrated it before, run that version \
         again: schemas only go forward"
    )]
    Migrate {
        /// Where.
        place: String,
        /// What the migrator said.
        source: sqlx::migrate::MigrateError,
    },

    /// A server setting would let Postgres lose or damage what it said was safe, or change what is read back.
    #[error(
        "Postgres at {place} runs with {setting} = {found}, and Rempart needs {needed}: {why}; change it and start again"
    )]
    Unsuitable {
        /// Where.
        place: String,
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The value it must have.
        needed: &'static str,
        /// What would go wrong.
        why: &'static str,
    },

    /// The database belongs to another replica.
    #[error(
        "the database at {place} belongs to replica {found_replica} of cluster {found_cluster}, and this is replica \
         {replica} of cluster {cluster}: every replica needs a database of its own; point database_url (or data_dir) \
         at this replica's, or at an empty one"
    )]
    Stamped {
        /// Where.
        place: String,
        /// Cluster that the database belongs to.
        found_cluster: Uuid,
        /// Replica that the database belongs to.
        found_replica: u64,
        /// Cluster of this process.
        cluster: Uuid,
        /// Replica that this process is.
        replica: u64,
    },

    /// Another session holds the database.
    #[error(
        "the database at {place} is in use by another controller ({holder}): only one may write to it; stop that one, \
         or give this replica a database of its own"
    )]
    Locked {
        /// Where.
        place: String,
        /// What Postgres knows of the other session.
        holder: String,
    },

    /// The database is not where the log says it is. It must not be written to: it was restored, replaced or shared.
    #[error(
        "the database at {place} holds the log up to {}, and the next write follows {}: it was restored from a backup, \
         replaced, or written by someone else; restart this replica, which then goes on from what the database holds",
        index(*found), index(*expected)
    )]
    OutOfStep {
        /// Where.
        place: String,
        /// The applied index the write follows.
        expected: Option<u64>,
        /// The applied index in the database.
        found: Option<u64>,
    },

    /// A batch that no database could take: a bug in what made it.
    #[error("a batch of writes cannot be stored: {why}; this is a bug in the controller, please report it")]
    Unstorable {
        /// What is wrong with it.
        why: String,
    },
}

fn index(applied: Option<u64>) -> String {
    applied.map_or_else(|| "nothing (it is empty)".to_owned(), |index| format!("entry {index}"))
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing the database: the server is away, starting,
    /// out of disk or memory, or another session still holds the lock. Anything else must not be tried again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Connect { source, .. } => is_passing(source) || is_login(source),
            StoreError::Query { source, .. } => is_passing(source),
            StoreError::NotOpen | StoreError::TooSlow { .. } | StoreError::Locked { .. } => true,
            StoreError::Embedded(_)
            | StoreError::Url { .. }
            | StoreError::NoTls { .. }
            | StoreError::Migrate { .. }
            | StoreError::Unsuitable { .. }
            | StoreError::Stamped { .. }
            | StoreError::OutOfStep { .. }
            | StoreError::Unstorable { .. } => false,
        }
    }
}

/// Broken connections, and the SQLSTATE classes that say "not now" rather than "never".
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            const PASSING_CLASSES: [&str; 6] = [
                "08", // connection exception
                "40", // transaction rollback: serialization failure, deadlock
                "53", // insufficient resources: disk full, out of memory, too many connections
                "55", // object not in prerequisite state: lock not available
                "57", // operator intervention: shutting down, starting up, cancelled
                "58", // system error outside Postgres: I/O
            ];
            // A database that failed over may be read-only for a moment.
            PASSING_CLASSES.contains(&code.get(..2).unwrap_or_default()) || code == "25006"
        }),
        _ => false,
    }
}

/// A password being rotated is a matter of time; on connections that once worked it must not end the process.
fn is_login(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code.starts_with("28"))
}
