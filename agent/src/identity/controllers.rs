//! Connections to the controllers, for every task of the agent:
//!
//! ```ignore
//! let connection = controllers.any().await?;       // whichever answers
//! let connection = controllers.leader().await?;    // the one whose session this host is in
//! BlobsClient::new(connection).fetch(..).await?;
//! ```
//!
//! Connections are shared and made anew when they broke, or the certificate was renewed. Ask for one per call rather than
//! keep it; when a call fails as unavailable, ask again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rempart_identity::pool::Behaviour;
use rempart_identity::{Credentials, Expect, Lane, Pool};
use tokio::sync::watch;
use tonic::transport::Channel;

/// What a generated client is made on.
pub type Connection = Channel;

/// The controllers of this host's cluster. Cheap to clone.
#[derive(Clone)]
pub struct Controllers(Arc<Inner>);

struct Inner {
    addresses: Vec<String>,
    leader: watch::Sender<Option<String>>,
    pool: Pool,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard for this long is asked. Longer than the pause between two heartbeats, each of
/// which a controller answers: a session that is well is never asked.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(6);
/// One that does not answer within this time is dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

impl Controllers {
    /// Those at `addresses` (`host:port` of their internal listeners), to whom this host shows `credentials`.
    pub fn new(addresses: Vec<String>, credentials: Credentials) -> Controllers {
        let (leader, _) = watch::channel(None);
        let behaviour = Behaviour {
            connect_timeout: CONNECT_TIMEOUT,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            // A session is a call. Connections to controllers that do not lead are seldom used, and the kernel watches them.
            keepalive_while_idle: false,
            window_bytes: None,
        };
        Controllers(Arc::new(Inner { addresses, leader, pool: Pool::new(credentials, behaviour) }))
    }

    /// Their addresses, as configured.
    pub fn addresses(&self) -> &[String] {
        &self.0.addresses
    }

    /// Returns once this host's certificate is in force: before that no call but a renewal is answered.
    pub async fn in_force(&self) {
        self.0.pool.credentials().in_force().await;
    }

    /// Whose session this host is in, if it is in one; the session says so.
    pub fn set_leader(&self, address: Option<String>) {
        self.0.leader.send_replace(address);
    }

    /// Whose session this host is in, as it changes.
    pub fn follow_leader(&self) -> watch::Receiver<Option<String>> {
        self.0.leader.subscribe()
    }

    /// A connection to the leader. Waits until there is one: bound the time with a timeout.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn leader(&self) -> io::Result<Connection> {
        let mut leader = self.0.leader.subscribe();
        let known = leader.wait_for(Option::is_some).await;
        let address = known.map_err(|_| io::Error::other("the agent stops"))?.clone().unwrap_or_default();
        self.at(&address).await
    }

    /// A connection to a controller that answers, the leader first.
    ///
    /// # Errors
    /// What the last one said when none answers.
    pub async fn any(&self) -> io::Result<Connection> {
        let leader = self.0.leader.borrow().clone();
        let mut last = io::Error::other("no controller is configured");
        for address in leader.iter().chain(&self.0.addresses) {
            match self.at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A connection to the controller at `address`, which must answer and prove to be one.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn at(&self, address: &str) -> io::Result<Connection> {
        let made = self.0.pool.standing(Expect::AnyController, address, Lane::Calls).await;
        made.map_err(|error| io::Error::new(error.kind(), format!("controller at {address}: {error}")))
    }
}
