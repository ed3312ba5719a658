//! Connections to the other replicas: one place that makes, shares and secures them.
//!
//! ```ignore
//! for id in peers.others() {
//!     if let Some(connection) = peers.to(id) {
//!         BlobsClient::new(connection).fetch(..).await?;
//!     }
//! }
//! ```
//!
//! Connections are made when first used and again after they broke; taking one out costs nothing. Ask for one per call
//! rather than keep it: the next may show a renewed certificate.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rempart_identity::pool::Behaviour;
use rempart_identity::{Credentials, Expect, Lane, Pool};
use tonic::transport::Channel;

/// What a generated client is made on.
pub type Connection = Channel;

/// The other replicas. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    me: u64,
    /// Those of the settings, until consensus says who they are.
    members: RwLock<BTreeMap<u64, String>>,
    pool: Pool,
}

impl Peers {
    /// Replica `me` among `members` (id to address, this one included).
    pub fn new(me: u64, members: BTreeMap<u64, String>, credentials: Credentials) -> Peers {
        let behaviour = Behaviour {
            connect_timeout: Duration::from_secs(1),
            keepalive_interval: Duration::from_secs(1),
            keepalive_timeout: Duration::from_secs(2),
            keepalive_while_idle: true,
            window_bytes: None,
        };
        let members = RwLock::new(members);
        Peers(Arc::new(Inner { me, members, pool: Pool::new(credentials, behaviour) }))
    }

    /// From now on, and until they change again, the replicas are these.
    pub fn are(&self, members: BTreeMap<u64, String>) {
        *self.0.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Ids of the other replicas.
    pub fn others(&self) -> Vec<u64> {
        self.members().keys().copied().filter(|id| *id != self.0.me).collect()
    }

    /// Where replica `id` listens.
    pub fn address(&self, id: u64) -> Option<String> {
        self.members().get(&id).cloned()
    }

    fn members(&self) -> RwLockReadGuard<'_, BTreeMap<u64, String>> {
        self.0.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to replica `id`; none when there is no such replica.
    pub fn to(&self, id: u64) -> Option<Connection> {
        self.at(id, &self.address(id)?).ok()
    }

    /// A connection to replica `id` at `address`, for those who know it better than the settings do.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn at(&self, id: u64, address: &str) -> io::Result<Connection> {
        self.0.pool.lazy(Expect::Controller(id), address, Lane::Calls)
    }
}
