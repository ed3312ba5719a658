//! Connections to the controllers, for every task of the agent:
//!
//! ```ignore
//! let connection = controllers.any().await?;       // whichever answers
//! let connection = controllers.leader().await?;    // the one whose session this host is in
//! BlobsClient::new(connection).fetch(..).await?;
//! ```
//!
//! Connections are shared and made anew when they broke. Ask for one per call rather than keep it; when a call fails as
//! unavailable, ask again.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// What a generated client is made on.
pub type Connection = InterceptedService<Channel, Credential>;

/// Proves to a controller who is calling.
#[derive(Clone)]
pub struct Credential(Option<AsciiMetadataValue>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The controllers of this host's cluster. Cheap to clone.
#[derive(Clone)]
pub struct Controllers(Arc<Inner>);

struct Inner {
    addresses: Vec<String>,
    credential_file: Option<PathBuf>,
    leader: watch::Sender<Option<String>>,
    channels: Mutex<HashMap<String, Channel>>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard for this long is asked.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// One that does not answer within this time is dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

impl Controllers {
    /// Those at `addresses` (`host:port` of their internal listeners). The credential's file is read at each connection.
    pub fn new(addresses: Vec<String>, credential_file: Option<PathBuf>) -> Controllers {
        let (leader, _) = watch::channel(None);
        Controllers(Arc::new(Inner { addresses, credential_file, leader, channels: Mutex::default() }))
    }

    /// Their addresses, as configured.
    pub fn addresses(&self) -> &[String] {
        &self.0.addresses
    }

    /// Whose session this host is in, if it is in one; the session says so.
    pub fn set_leader(&self, address: Option<String>) {
        self.0.leader.send_replace(address);
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

    /// A connection to the controller at `address`, which must answer.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn at(&self, address: &str) -> io::Result<Connection> {
        let failed = |why: String| io::Error::other(format!("controller at {address}: {why}"));
        let credential = self.credential().await?;
        let known = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        let channel = match known {
            Some(channel) => channel,
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"));
                let endpoint = endpoint.map_err(|error| failed(error.to_string()))?;
                let channel = endpoint
                    .connect_timeout(CONNECT_TIMEOUT)
                    .tcp_nodelay(true)
                    .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                    .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                    .keep_alive_while_idle(true)
                    .connect()
                    .await
                    .map_err(|error| failed(with_causes(&error)))?;
                let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
                channels.entry(address.to_owned()).or_insert(channel).clone()
            }
        };
        Ok(InterceptedService::new(channel, credential))
    }

    async fn credential(&self) -> io::Result<Credential> {
        let Some(path) = &self.0.credential_file else { return Ok(Credential(None)) };
        let token = tokio::fs::read_to_string(path).await?;
        // The parser's words are left out: they could show the token.
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| io::Error::other(format!("{} is not a token", path.display())))?;
        value.set_sensitive(true);
        Ok(Credential(Some(value)))
    }
}

/// An error with what caused it: the transport's own words say only "transport error".
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
