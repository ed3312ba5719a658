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
//! rather than keep it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// What a generated client is made on.
pub type Connection = InterceptedService<Channel, Credential>;

/// Proves to a peer who is calling.
#[derive(Clone)]
pub struct Credential(Arc<dyn Fn() -> String + Send + Sync>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut token = MetadataValue::try_from(format!("Bearer {}", (self.0)()))
            .map_err(|_| Status::internal("the peer token has characters that a header cannot carry"))?;
        token.set_sensitive(true);
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

/// The other replicas. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    me: u64,
    members: BTreeMap<u64, String>,
    credential: Credential,
    channels: Mutex<HashMap<(u64, String), Channel>>,
}

impl Peers {
    /// Replica `me` among `members` (id to address, this one included).
    pub fn new(
        me: u64,
        members: BTreeMap<u64, String>,
        credential: impl Fn() -> String + Send + Sync + 'static,
    ) -> Peers {
        let credential = Credential(Arc::new(credential));
        Peers(Arc::new(Inner { me, members, credential, channels: Mutex::default() }))
    }

    /// Ids of the other replicas.
    pub fn others(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.members.keys().copied().filter(|id| *id != self.0.me)
    }

    /// A connection to replica `id`; none when there is no such replica.
    pub fn to(&self, id: u64) -> Option<Connection> {
        self.at(id, self.0.members.get(&id)?).ok()
    }

    /// A connection to replica `id` at `address`, for those who know it better than the settings do.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn at(&self, id: u64, address: &str) -> Result<Connection, String> {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id, address.to_owned());
        let channel = match channels.get(&key) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))
                    .map_err(|error| format!("{address}: {error}"))?;
                let channel = endpoint
                    .connect_timeout(Duration::from_secs(1))
                    .http2_keep_alive_interval(Duration::from_secs(1))
                    .keep_alive_timeout(Duration::from_secs(2))
                    .keep_alive_while_idle(true)
                    .tcp_nodelay(true)
                    .connect_lazy();
                channels.insert(key, channel.clone());
                channel
            }
        };
        Ok(InterceptedService::new(channel, self.0.credential.clone()))
    }
}
