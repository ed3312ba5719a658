//! The client's side: shared connections to controllers, for tonic clients.
//!
//! A connection is made when first used, and anew after it broke. After the certificate was renewed new calls go over
//! new connections; calls under way on old ones end in peace. So: ask for one per call rather than keep it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::tcp::tend;
use crate::{Credentials, credentials};

/// Who has to be at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// This replica.
    Controller(u64),
    /// Some replica.
    AnyController,
}

/// What goes over a connection: calls on one lane do not wait behind those on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lane {
    /// All that is not said to be otherwise.
    #[default]
    Calls,
    /// Consensus: what must not be late.
    Control,
    /// Consensus: entries.
    Entries,
    /// Consensus: snapshots.
    Snapshots,
}

/// How connections behave.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// How long TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// A connection on which nothing is heard for this long is asked.
    pub keepalive_interval: Duration,
    /// One that does not answer within this time is dropped.
    pub keepalive_timeout: Duration,
    /// Ask connections, too, over which no call is under way: who calls next finds one that works.
    pub keepalive_while_idle: bool,
    /// How much of a stream may be under way unacknowledged; HTTP/2's own measure if none.
    pub window_bytes: Option<u32>,
}

/// Shared connections. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    credentials: Credentials,
    behaviour: Behaviour,
    lines: Mutex<HashMap<(Expect, String, Lane), Line>>,
}

#[derive(Clone)]
struct Line {
    generation: u64,
    channel: Channel,
    /// How many of its connections stand: one or none.
    standing: Arc<AtomicUsize>,
}

impl Pool {
    /// For a machine with these credentials.
    pub fn new(credentials: Credentials, behaviour: Behaviour) -> Pool {
        Pool(Arc::new(Inner { credentials, behaviour, lines: Mutex::default() }))
    }

    /// The credentials that connections are made with.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// A connection, which may not stand yet: a call makes it.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn lazy(&self, expect: Expect, address: &str, lane: Lane) -> io::Result<Channel> {
        let key = (expect, address.to_owned(), lane);
        let generation = self.0.credentials.generation();
        let mut lines = self.lines();
        if let Some(line) = lines.get(&key).filter(|line| line.generation == generation) {
            return Ok(line.channel.clone());
        }
        let (endpoint, connector) = self.endpoint(expect, address)?;
        let standing = connector.standing.clone();
        let channel = endpoint.connect_with_connector_lazy(connector);
        lines.insert(key, Line { generation, channel: channel.clone(), standing });
        Ok(channel)
    }

    /// A connection that stands.
    ///
    /// # Errors
    /// Why it could not be made: nobody there, or not whom it should be.
    pub async fn standing(&self, expect: Expect, address: &str, lane: Lane) -> io::Result<Channel> {
        let key = (expect, address.to_owned(), lane);
        let generation = self.0.credentials.generation();
        let known = self.lines().get(&key).cloned();
        if let Some(line) = known
            && line.generation == generation
            && line.standing.load(Ordering::Acquire) > 0
        {
            return Ok(line.channel);
        }
        let (endpoint, connector) = self.endpoint(expect, address)?;
        let standing = connector.standing.clone();
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| io::Error::other(with_causes(&error)))?;
        self.lines().insert(key, Line { generation, channel: channel.clone(), standing });
        Ok(channel)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<(Expect, String, Lane), Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(&self, expect: Expect, address: &str) -> io::Result<(Endpoint, Connector)> {
        let config = self.0.credentials.client(expect).map_err(io::Error::other)?;
        endpoint(address, config, &self.0.behaviour)
    }
}

/// A connection of a machine that has no certificate yet, to a controller of the CA with this digest.
///
/// # Errors
/// `PermissionDenied` when somebody of another cluster answered; else why it could not be made.
pub async fn connect_to_join(address: &str, ca_sha256: &str, within: Duration) -> io::Result<Channel> {
    let behaviour = Behaviour {
        connect_timeout: within,
        keepalive_interval: within,
        keepalive_timeout: within,
        keepalive_while_idle: true,
        window_bytes: None,
    };
    let met_stranger = Arc::new(AtomicBool::new(false));
    let config = credentials::joiner(ca_sha256, met_stranger.clone()).map_err(io::Error::other)?;
    let (endpoint, connector) = endpoint(address, config, &behaviour)?;
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| {
        let stranger = met_stranger.load(Ordering::Acquire);
        let kind = if stranger { io::ErrorKind::PermissionDenied } else { io::ErrorKind::Other };
        io::Error::new(kind, with_causes(&error))
    })
}

fn endpoint(address: &str, config: ClientConfig, behaviour: &Behaviour) -> io::Result<(Endpoint, Connector)> {
    // The scheme is tonic's business: what it connects through is secured already.
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let bad = |error| io::Error::new(io::ErrorKind::InvalidInput, format!("address {address:?}: {error}"));
    let mut endpoint = endpoint
        .map_err(bad)?
        .connect_timeout(behaviour.connect_timeout)
        .http2_keep_alive_interval(behaviour.keepalive_interval)
        .keep_alive_timeout(behaviour.keepalive_timeout)
        .keep_alive_while_idle(behaviour.keepalive_while_idle);
    if let Some(bytes) = behaviour.window_bytes {
        endpoint = endpoint.initial_stream_window_size(bytes).initial_connection_window_size(bytes);
    }
    let connector = Connector {
        address: address.to_owned(),
        tls: TlsConnector::from(Arc::new(config)),
        standing: Arc::default(),
    };
    Ok((endpoint, connector))
}

/// Makes one secured connection after the other, to one address.
struct Connector {
    address: String,
    tls: TlsConnector,
    standing: Arc<AtomicUsize>,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Counted>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Counted>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, tls, standing) = (self.address.clone(), self.tls.clone(), self.standing.clone());
        Box::pin(async move {
            let tcp = reach(&address).await?;
            tend(&tcp)?;
            // Who is there is in the certificate, not in a DNS name.
            let name = ServerName::try_from("controller.rempart").map_err(io::Error::other)?;
            let stream = tls.connect(name, tcp).await?;
            standing.fetch_add(1, Ordering::AcqRel);
            Ok(TokioIo::new(Counted { stream, standing }))
        })
    }
}

/// A TCP connection to the first of the places of `address` that takes one. `ConnectionRefused` only if each of them refused:
/// of a place that cannot be reached nothing is known.
async fn reach(address: &str) -> io::Result<TcpStream> {
    let mut failed: Option<io::Error> = None;
    for place in tokio::net::lookup_host(address).await? {
        match TcpStream::connect(place).await {
            Ok(stream) => return Ok(stream),
            Err(error) if failed.as_ref().is_none_or(is_refusal) => failed = Some(error),
            Err(_) => {}
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{address} is nowhere"))))
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Whether a call failed because nobody listens at the other end: whoever was there has not heard it, and its process is gone.
pub fn was_refused(failed: &dyn std::error::Error) -> bool {
    let causes = std::iter::successors(failed.source(), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).next().is_some_and(is_refusal)
}

/// A connection that says when it is gone.
struct Counted {
    stream: TlsStream<TcpStream>,
    standing: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.standing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An error with what caused it: the transport's own words say only "transport error".
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
