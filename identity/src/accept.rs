//! The server's side: connections from a listener, their handshakes done, for a tonic server.
//!
//! What always holds: a connection ends when the certificate it began with does, so that a peer has to show its next
//! one, or when the listener's owner does not admit the peer any more ([`Accepted::until`]); a stranger's and an expired
//! one's connection lasts for [`STRANGERS_STAY`] only; a handshake takes no longer than [`HANDSHAKE_WITHIN`], and
//! [`HANDSHAKES`] at most are under way.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::tcp::tend;
use crate::{Certificate, Credentials, IdentityError};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const HANDSHAKES: usize = 256;
/// Long enough to enrol, or to get a new certificate.
const STRANGERS_STAY: Duration = Duration::from_secs(30);

/// Who is at the other end of a connection, as far as the handshake tells. An extension of every request.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<Arc<Certificate>>);

/// A connection whose handshake is done.
pub struct Accepted {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    end: Pin<Box<Sleep>>,
    dismissed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connected for Accepted {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

/// Accepts connections and does their handshakes, many at a time. Ends when the stream is dropped.
///
/// # Errors
/// When the credentials are of no use.
pub fn accept(
    listener: TcpListener,
    credentials: &Credentials,
) -> Result<ReceiverStream<io::Result<Accepted>>, IdentityError> {
    let acceptor = TlsAcceptor::from(Arc::new(credentials.server()?));
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    let (ready, connections) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let (tcp, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: those that end make room.
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let (acceptor, ready) = (acceptor.clone(), ready.clone());
            tokio::spawn(async move {
                if let Err(error) = tend(&tcp) {
                    tracing::debug!(%from, %error, "a connection was gone at once");
                    return;
                }
                let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(tcp)).await;
                drop(permit);
                match handshake {
                    // Nobody takes it any more: the server stops.
                    Ok(Ok(stream)) => drop(ready.send(Ok(Accepted::new(stream))).await),
                    Ok(Err(error)) => tracing::debug!(%from, %error, "a handshake failed"),
                    Err(_) => tracing::debug!(%from, "a handshake took too long"),
                }
            });
        }
    });
    Ok(ReceiverStream::new(connections))
}

impl Accepted {
    fn new(stream: TlsStream<TcpStream>) -> Accepted {
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.and_then(|shown| Certificate::read(shown).ok()).map(Arc::new);
        let stay = certificate.as_deref().map(Certificate::remaining).filter(|left| !left.is_zero());
        let end = Box::pin(tokio::time::sleep(stay.unwrap_or(STRANGERS_STAY)));
        Accepted { stream, caller: Caller(certificate), end, dismissed: Box::pin(std::future::pending()) }
    }

    /// The certificate at the other end: verified, but maybe expired, and of a host that may be revoked.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.caller.0.clone()
    }

    /// Ends the connection, and all that runs over it, when `dismissed` is ready.
    #[must_use]
    pub fn until(self, dismissed: impl Future<Output = ()> + Send + 'static) -> Accepted {
        Accepted { dismissed: Box::pin(dismissed), ..self }
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = |why| Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        if self.end.as_mut().poll(context).is_ready() {
            return over("the peer's certificate has expired");
        }
        if self.dismissed.as_mut().poll(context).is_ready() {
            // Polled no more.
            self.dismissed = Box::pin(std::future::ready(()));
            return over("the peer is not admitted any more");
        }
        Ok(())
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_end(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
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
