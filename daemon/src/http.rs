//! A listener for HTTP/1.1 that one client cannot take away from the others.
//!
//! What always holds: at most [`Limits::connections`] at a time; for one more, the one that has asked nothing for the longest
//! time makes room, and if all are being answered it is closed at once; both are counted. A request's
//! head is bounded in bytes, fields and time; a connection on which nothing is asked for that same time is closed.
//! Bodies are up to whoever reads them.
//!
//! ```text
//!   accept ── full? ── close the longest idle ── none is? close this one
//!      └── task: head within head_patience ── service ── answer ── again
//!   stop ── requests under way are answered, idle connections closed, within grace
//! ```

mod idle;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use idle::{Idle, Seat};

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
/// Makes a service of tower one for [`serve`].
pub use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What clients may take of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name of the listener in metrics.
    pub listener: &'static str,
    /// Connections at a time.
    pub connections: usize,
    /// From one answer, or the start, to the end of the next request's head.
    pub head_patience: Duration,
    /// Fields of a request's head.
    pub fields: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// How long requests under way may take to end when the listener stops.
    pub grace: Duration,
}

impl Limits {
    /// For a listener of this name.
    #[must_use]
    pub fn new(listener: &'static str) -> Limits {
        Limits {
            listener,
            connections: 4096,
            head_patience: Duration::from_secs(30),
            fields: 64,
            head_bytes: 64 << 10,
            grace: Duration::from_secs(2),
        }
    }
}

/// After accepting failed (no more file descriptors), or where there is no room: time for others to end.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` becomes true, and then what is under way, for the grace at most.
///
/// # Errors
/// None while it serves: an accept that fails is tried again.
pub async fn serve<S, B>(
    listener: TcpListener,
    limits: Limits,
    service: S,
    stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve_over(listener, limits, service, stop, |stream| async { Ok(stream) }).await
}

/// As [`serve`], over what `handshake` makes of each connection (TLS), which has to be done within
/// [`Limits::head_patience`] and counts as a connection meanwhile.
///
/// # Errors
/// None while it serves: a handshake that fails ends its connection alone.
pub async fn serve_over<S, B, H, F, T>(
    listener: TcpListener,
    limits: Limits,
    service: S,
    mut stop: watch::Receiver<bool>,
    handshake: H,
) -> io::Result<()>
where
    H: Fn(TcpStream) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<T>> + Send,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(limits.connections));
    let open = metrics::gauge!("rempart_http_connections", "listener" => limits.listener);
    let refused = metrics::counter!("rempart_http_connections_refused_total", "listener" => limits.listener);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_patience)
        .max_headers(limits.fields)
        .max_buf_size(limits.head_bytes);
    let closed = metrics::counter!("rempart_http_connections_ended_total", "listener" => limits.listener, "why" => "idle");
    let idle = Arc::new(Idle::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(listener = limits.listener, %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let place = match room.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                // It goes at once, unless it was just asked something.
                let given_up = match idle.close_longest() {
                    true => timeout(PAUSE, room.clone().acquire_owned()).await.ok().and_then(Result::ok),
                    false => None,
                };
                let Some(place) = given_up else {
                    refused.increment(1);
                    continue;
                };
                closed.increment(1);
                place
            }
        };
        // Answers are small, and somebody waits for them.
        let _ = stream.set_nodelay(true);
        let (http, service, handshake) = (http.clone(), service.clone(), handshake.clone());
        let (mut stop, open, name) = (stop.clone(), Open::new(open.clone()), limits.listener);
        let seat = Arc::new(Seat::take(&idle));
        connections.spawn(async move {
            let (_place, _open) = (place, open);
            let stream = tokio::select! {
                shaken = timeout(limits.head_patience, handshake(stream)) => match shaken {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return note(name, "handshake", &error),
                    Err(error) => return note(name, "timeout", &error),
                },
                () = seat.given_up() => return,
            };
            let service = idle::noting(service, seat.clone());
            let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
                // What has just been asked is answered still.
                () = seat.given_up() => match seat.is_idle() {
                    true => return,
                    false => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                },
            };
            if let Err(error) = ended {
                note(name, why(&error), &error);
            }
        });
    }
    drop(listener);
    let end = async { while connections.join_next().await.is_some() {} };
    // Whoever is still there afterwards is cut off with the set.
    let _ = tokio::time::timeout(limits.grace, end).await;
    Ok(())
}

/// Counts a connection for as long as it is there, also if its task is cut off.
struct Open(metrics::Gauge);

impl Open {
    fn new(count: metrics::Gauge) -> Open {
        count.increment(1.0);
        Open(count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn why(error: &hyper::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_parse_too_large() {
        "head_too_large"
    } else if error.is_parse() {
        "malformed"
    } else {
        "broken"
    }
}

fn note(listener: &'static str, why: &'static str, error: &dyn std::error::Error) {
    metrics::counter!("rempart_http_connections_ended_total", "listener" => listener, "why" => why)
        .increment(1);
    tracing::debug!(listener, why, %error, "connection ended");
}
