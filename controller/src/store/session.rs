//! The one connection that writes, and the lock that makes it the one.
//!
//! Never does anything reach the tables over a connection that does not hold the store's advisory lock: the lock belongs
//! to the connection (a "session lock"), so it is gone exactly when the connection is. And as the server ends a session
//! before it frees its lock, whoever gets the lock knows that no COMMIT of an earlier connection is still under way:
//! what it then reads as the applied index is final.
//!
//! That needs a real connection. A pooler in transaction mode in between would break it; do not put one there.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{Identity, StoreError};

/// Key of the advisory lock: "rempart" in ASCII. Advisory locks are per database.
const LOCK_KEY: i64 = 0x7265_6d70_6172_7400;

/// How long the lock may stay with an earlier session that the server has not noticed the end of yet.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// A server that takes longer to accept and inspect one connection is as good as away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Where Postgres is and how to log in, with a description for messages that never shows a password.
#[derive(Clone)]
pub(super) struct Place {
    options: PgConnectOptions,
    description: String,
}

impl Place {
    pub(super) fn new(options: PgConnectOptions) -> Place {
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let description = match options.get_socket() {
            Some(socket) => format!("{} (database {database})", socket.display()),
            None => format!("{}:{} (database {database})", options.get_host(), options.get_port()),
        };
        let options = options
            .application_name("rempart-controller")
            // A client that vanished (power cut on the other side) must free the lock in seconds, not hours. Postgres
            // ignores these on Unix sockets, where it always notices.
            .options([
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "2"),
                ("tcp_keepalives_count", "3"),
            ])
            .log_statements(tracing::log::LevelFilter::Trace);
        Place { options, description }
    }

    pub(super) fn from_url(url: &str) -> Result<Place, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|source| StoreError::Url { source })?;
        let mode = match options.get_ssl_mode() {
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => return Ok(Place::new(options)),
        };
        // Never less than what was asked for.
        Err(StoreError::NoTls { mode })
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Turns a driver's error into one that says where and during what.
    pub(super) fn failed(&self, doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        let place = self.description.clone();
        move |source| StoreError::Query { place, doing, source }
    }

    pub(super) fn too_slow(&self, doing: &'static str, waited: Duration) -> StoreError {
        StoreError::TooSlow { place: self.description.clone(), doing, waited_s: waited.as_secs() }
    }

    pub(super) fn description(&self) -> String {
        self.description.clone()
    }
}

/// Keeps the writing connection, and makes another when it broke.
pub(super) struct Session {
    place: Place,
    identity: Identity,
    idle: Mutex<Option<PgConnection>>,
}

/// Exclusive use of the writing connection. Dropped without [`Lease::give_back`] (an error, a cancelled future), it
/// closes the connection, and with it whatever transaction was open: nobody ever gets one in an unknown state.
pub(super) struct Lease<'s> {
    connection: PgConnection,
    slot: MutexGuard<'s, Option<PgConnection>>,
}

impl Lease<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) fn give_back(mut self) {
        *self.slot = Some(self.connection);
    }
}

impl Session {
    /// Connects, takes the lock, brings the schema up to date and stamps an empty database.
    pub(super) async fn open(place: Place, identity: Identity) -> Result<Session, StoreError> {
        let session = Session { place, identity, idle: Mutex::new(None) };
        let mut connection = session.connect().await?;
        MIGRATIONS
            // As `run`, whose future cannot go to another thread.
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|source| StoreError::Migrate { place: session.place.description(), source })?;
        session.stamp(&mut connection).await?;
        *session.idle.lock().await = Some(connection);
        Ok(session)
    }

    /// The writing connection, made anew if there is none.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let mut slot = self.idle.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lease { connection, slot })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Says goodbye to the server, so that the lock is free at once.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.idle.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "Postgres did not hear the goodbye; the lock goes with the connection");
        }
    }

    /// A connection that has proven to be to a safe server, holds the lock, and is to this replica's database (or to
    /// one that belongs to nobody yet).
    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let connecting = async {
            let mut connection = self
                .place
                .options
                .connect()
                .await
                .map_err(|source| StoreError::Connect { place: self.place.description(), source })?;
            self.inspect(&mut connection).await?;
            self.lock(&mut connection).await?;
            self.verify_stamp(&mut connection).await?;
            Ok(connection)
        };
        timeout(CONNECT_PATIENCE, connecting)
            .await
            .unwrap_or_else(|_| Err(self.place.too_slow("accept a connection", CONNECT_PATIENCE)))
    }

    /// Refuses servers whose "committed" does not mean "on disk", or that would not give back what was written.
    async fn inspect(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        const DURABLE: &str = "after a power cut it would have lost or mangled what it said was safe, and the log that \
                               could restore it is already purged";
        let (fsync, full_pages, encoding, version): (String, String, String, String) = sqlx::query_as(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
             current_setting('server_encoding'), current_setting('server_version_num')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(self.place.failed("show its settings"))?;
        let refuse = |setting, found: &str, needed, why| {
            Err(StoreError::Unsuitable {
                place: self.place.description(),
                setting,
                found: found.to_owned(),
                needed,
                why,
            })
        };
        if fsync != "on" {
            return refuse("fsync", &fsync, "on", DURABLE);
        }
        if full_pages != "on" {
            return refuse("full_page_writes", &full_pages, "on", DURABLE);
        }
        if encoding != "UTF8" {
            return refuse("server_encoding", &encoding, "UTF8", "tenants' text would not survive");
        }
        if version.parse::<u32>().is_ok_and(|version| version < 140_000) {
            return refuse("server_version_num", &version, "140000 or later", "older ones are not tested");
        }
        // Not refused but corrected, as a session may: a database or role whose default is to acknowledge before the
        // disk does would make `flushed` a lie. Stronger settings (remote_apply) stay as they are.
        sqlx::query(
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        )
        .execute(&mut *connection)
        .await
        .map_err(self.place.failed("turn synchronous_commit on"))?;
        Ok(())
    }

    async fn lock(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let give_up = Instant::now() + LOCK_PATIENCE;
        loop {
            let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(LOCK_KEY)
                .fetch_one(&mut *connection)
                .await
                .map_err(self.place.failed("take the replica's lock"))?;
            if got {
                return Ok(());
            }
            if Instant::now() >= give_up {
                let holder = self.lock_holder(connection).await?;
                return Err(StoreError::Locked { place: self.place.description(), holder });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What an operator needs to find the other controller.
    async fn lock_holder(&self, connection: &mut PgConnection) -> Result<String, StoreError> {
        // A bigint key is shown as its two halves.
        let holder: Option<String> = sqlx::query_scalar(
            "SELECT format('session %s of %s from %s, since %s', a.pid, coalesce(nullif(a.application_name, ''), '?'), \
                           coalesce(host(a.client_addr), 'this machine'), a.backend_start) \
             FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND l.classid::bigint = $1 >> 32 AND l.objid::bigint = $1 & 4294967295",
        )
        .bind(LOCK_KEY)
        .fetch_optional(&mut *connection)
        .await
        .map_err(self.place.failed("name the holder of the lock"))?;
        Ok(holder.unwrap_or_else(|| "it let go this very moment".to_owned()))
    }

    /// Refuses another replica's database. Runs before any migration does: whatever version it is of is not ours to
    /// touch.
    async fn verify_stamp(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let has_table: bool = sqlx::query_scalar("SELECT to_regclass('replica') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await
            .map_err(self.place.failed("look for the replica's stamp"))?;
        if !has_table {
            return Ok(());
        }
        let stamp: Option<(Uuid, i64)> = sqlx::query_as("SELECT cluster_id, replica_id FROM replica")
            .fetch_optional(&mut *connection)
            .await
            .map_err(self.place.failed("read the replica's stamp"))?;
        match stamp {
            Some((cluster_id, replica_id))
                if cluster_id != self.identity.cluster_id
                    || replica_id != self.identity.replica_id.cast_signed() =>
            {
                Err(StoreError::Stamped {
                    place: self.place.description(),
                    found_cluster: cluster_id,
                    found_replica: replica_id.cast_unsigned(),
                    cluster: self.identity.cluster_id,
                    replica: self.identity.replica_id,
                })
            }
            _ => Ok(()),
        }
    }

    /// Stamps the database if it has no stamp. One that has was verified by `connect`, under the same lock.
    async fn stamp(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let replica_id = i64::try_from(self.identity.replica_id).map_err(|_| StoreError::Unstorable {
            why: format!("replica id {} does not fit 63 bits", self.identity.replica_id),
        })?;
        sqlx::query("INSERT INTO replica (cluster_id, replica_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(self.identity.cluster_id)
            .bind(replica_id)
            .execute(&mut *connection)
            .await
            .map_err(self.place.failed("stamp the database"))?;
        Ok(())
    }
}
