//! What operators measure: the text Prometheus reads, on a listener of its own.
//!
//! Anything may count (`metrics::counter!` and its like): without this listener nobody keeps it. What can be read off
//! at any moment is not counted but looked at when somebody asks: the `look` of [`serve`]. Labels are of few, known
//! values: never what a tenant named.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http::{self, Limits};

/// Bounds of latencies in seconds: requests, steps, calls.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// How often samples are put into their buckets, so that they do not pile up while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where metrics are read, as a setting: an address, or empty for nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsListen(pub Option<SocketAddr>);

impl FromStr for MetricsListen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "" => Ok(MetricsListen(None)),
            address => match address.parse() {
                Ok(address) => Ok(MetricsListen(Some(address))),
                Err(_) => Err("it is ADDRESS:PORT, or empty for no metrics"),
            },
        }
    }
}

/// Begins to keep what is counted in this process. Once.
///
/// # Errors
/// When somebody else keeps it already.
pub fn keep(program: &'static str, version: &'static str) -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    metrics::gauge!("rempart_build_info", "program" => program, "version" => version).set(1.0);
    Ok(handle)
}

/// Answers `GET /metrics` until `stop`. `look` sets what can be read off at any moment; it must not block.
pub async fn serve(
    listener: TcpListener,
    handle: PrometheusHandle,
    look: impl Fn() + Send + Sync + 'static,
    stop: watch::Receiver<bool>,
) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics are at /metrics");
    }
    let look: Arc<dyn Fn() + Send + Sync> = Arc::new(look);
    let upkeep = handle.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (handle, look) = (handle.clone(), look.clone());
        async move { Ok::<_, Infallible>(answer(&request, &handle, &*look)) }
    });
    let limits = Limits { connections: 32, ..Limits::new("metrics") };
    let keeping = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    };
    tokio::select! {
        _ = http::serve(listener, limits, service, stop) => {}
        () = keeping => {}
    }
}

fn answer(
    request: &Request<Incoming>,
    handle: &PrometheusHandle,
    look: &(dyn Fn() + Send + Sync),
) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            look();
            (StatusCode::OK, handle.render())
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}
