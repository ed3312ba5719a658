//! Consoles over HTTP: asking for one, the WebSocket itself, and the serial log.
//!
//! ```text
//!   POST .../instances/N/serial          201 {url, token, expiresAt}; the caller's own token, as everywhere
//!   GET  .../instances/N/serial          WebSocket; the console's token in Sec-WebSocket-Protocol (or ?token=)
//!   GET  .../instances/N/serial/log      text/plain
//! ```
//!
//! A refusal comes before the WebSocket is one, as a problem with its status; the end of one that was open is a close
//! frame with a code (`rempart_api::console::CloseCode`) and words. The query of a request is never logged: it may hold
//! a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Path, State as Shared};
use axum::http::{HeaderMap, Request as HttpRequest, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::{SinkExt as _, StreamExt as _};
use rempart_api::console::{
    CloseCode, ConsoleKind, MAX_LOG_BYTES, SUBPROTOCOL, SUBPROTOCOL_BINARY, TOKEN_PREFIX,
};
use rempart_api::{Kind, ProblemType, Urn};
use rempart_model::canonical_tenant;
use rempart_proto::console::close;
use rempart_proto::console::v1::{Close, Reason};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::Instrument as _;

use super::answered::answered;
use super::problem::{Failure, StatusTable};
use super::{Settings, caller};
use crate::auth::Denied;
use crate::console::{Line, Refused};

/// Of the console of one kind.
pub(super) const CONSOLE: &str =
    "/providers/rempart.console/v1/tenants/{tenant}/workspaces/{workspace}/instances/{instance}/{kind}";
/// Of the serial log.
pub(super) const LOG: &str =
    "/providers/rempart.console/v1/tenants/{tenant}/workspaces/{workspace}/instances/{instance}/serial/log";

/// How often a client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A client that says nothing at all for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A console on which nothing is typed and nothing shown for this long is closed.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A client that does not take a message within this time is gone.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// The largest message a client may send, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Of a close frame's words, in bytes: a control frame has 125 with the code.
const MAX_REASON_BYTES: usize = 120;

type Names = (String, String, String, String);

/// The console's own path.
pub(super) fn console() -> MethodRouter<Arc<Settings>> {
    post(ask).get(open).fallback(|request| no_method(request, "POST, GET"))
}

/// The log's path.
pub(super) fn log() -> MethodRouter<Arc<Settings>> {
    get(read_log).fallback(|request| no_method(request, "GET"))
}

async fn no_method(request: HttpRequest<Body>, allowed: &'static str) -> Response {
    Failure::Method(allowed).into_response(request.uri().path(), StatusTable::default())
}

async fn ask(
    Shared(settings): Shared<Arc<Settings>>,
    names: Result<Path<Names>, axum::extract::rejection::PathRejection>,
    request: HttpRequest<Body>,
) -> Response {
    let settings = &*settings;
    // Rempart's own provider: statuses are what they say.
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let (urn, kind) = target(names)?;
        let caller = caller(settings, &asked, request.headers()).await?;
        let subject = caller.subject.clone();
        let access = settings.consoles.grant(caller, &urn, kind).await?;
        tracing::info!(request_id = %asked.id, instance = %urn, %kind, subject, "console asked for");
        let fresh = [(header::CACHE_CONTROL, "no-store")];
        Ok((StatusCode::CREATED, fresh, axum::Json(access)).into_response())
    })
    .await
}

async fn open(
    Shared(settings): Shared<Arc<Settings>>,
    names: Result<Path<Names>, axum::extract::rejection::PathRejection>,
    request: HttpRequest<Body>,
) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let (urn, kind) = target(names)?;
        let (mut head, _) = request.into_parts();
        let token = shown(&head.headers, head.uri.query().unwrap_or_default()).ok_or_else(|| {
            let words = format!(
                "no console token; get one with POST to this path, and offer the subprotocols \"{SUBPROTOCOL}\" and \
                 \"{TOKEN_PREFIX}TOKEN\""
            );
            Failure::Unauthenticated(Denied::missing(&words))
        })?;
        let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await;
        let upgrade = upgrade.map_err(|error| {
            Failure::BadRequest(format!("this path is opened as a WebSocket: {}", error.body_text()))
        })?;
        let line = settings.consoles.open(&urn, kind, &token).await?;
        let stopping = settings.consoles.stopping();
        let span = tracing::info_span!("console", request_id = %asked.id, instance = %urn, %kind);
        let upgrade = upgrade
            .protocols([SUBPROTOCOL, SUBPROTOCOL_BINARY])
            .max_message_size(MAX_MESSAGE_BYTES)
            .max_frame_size(MAX_MESSAGE_BYTES);
        Ok(upgrade.on_upgrade(|socket| carry(socket, line, stopping).instrument(span)))
    })
    .await
}

async fn read_log(
    Shared(settings): Shared<Arc<Settings>>,
    names: Result<Path<(String, String, String)>, axum::extract::rejection::PathRejection>,
    request: HttpRequest<Body>,
) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let names = names.map(|Path((tenant, workspace, instance))| {
            Path((tenant, workspace, instance, ConsoleKind::Serial.to_string()))
        });
        let (urn, _) = target(names)?;
        let caller = caller(settings, &asked, request.headers()).await?;
        let tail_bytes = tail_bytes(request.uri().query().unwrap_or_default())?;
        let log = settings.consoles.log(caller, &urn, tail_bytes).await?;
        // A guest says whatever it likes: what is no UTF-8 is shown as such, and nobody is to guess a type from it.
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        Ok((headers, String::from_utf8_lossy(&log).into_owned()).into_response())
    })
    .await
}

fn target(
    names: Result<Path<Names>, axum::extract::rejection::PathRejection>,
) -> Result<(Urn, ConsoleKind), Failure> {
    let no_route = |why: String| Failure::NoRoute(why);
    let Path((tenant, workspace, instance, kind)) = names.map_err(|_| no_route("no such path".to_owned()))?;
    for name in [&tenant, &workspace, &instance] {
        rempart_api::check_name(name).map_err(|error| no_route(format!("{name:?}: {error}")))?;
    }
    let kind = kind.parse().map_err(no_route)?;
    Ok((Urn::workspace(Kind::Instance, canonical_tenant(&tenant), &workspace, &instance), kind))
}

/// The console token of a request: beside the subprotocols, or in the query.
fn shown(headers: &HeaderMap, query: &str) -> Option<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let beside = offered.find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PREFIX));
    let asked = || query.split('&').find_map(|pair| pair.strip_prefix("token="));
    beside.or_else(asked).filter(|token| !token.is_empty()).map(str::to_owned)
}

fn tail_bytes(query: &str) -> Result<u32, Failure> {
    let Some(value) = query.split('&').find_map(|pair| pair.strip_prefix("tailBytes=")) else {
        return Ok(64 * 1024);
    };
    value.parse().ok().filter(|bytes| (1..=MAX_LOG_BYTES).contains(bytes)).ok_or_else(|| {
        let why = format!("must be an integer from 1 to {MAX_LOG_BYTES}");
        Failure::Parameter("tailBytes".to_owned(), why)
    })
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        use ProblemType as P;
        use StatusCode as S;
        let (status, class) = match &refused {
            Refused::Token(why) => return Failure::Unauthenticated(Denied::invalid(why.clone())),
            Refused::Forbidden(_) => (S::FORBIDDEN, P::Forbidden),
            Refused::NotFound(_) => (S::NOT_FOUND, P::ResourceNotFound),
            Refused::Conflict(_) => (S::CONFLICT, P::ResourceConflict),
            Refused::TooMany(_) => (S::TOO_MANY_REQUESTS, P::ResourceConflict),
            Refused::Unavailable(_) => (S::SERVICE_UNAVAILABLE, P::InternalServerError),
            Refused::Internal(_) => {
                tracing::error!(error = %refused, "a console could not be opened");
                return Failure::internal();
            }
        };
        Failure::Said(status, class, refused.to_string())
    }
}

/// When something was last heard or moved, in milliseconds since the start.
struct Clock {
    start: Instant,
    heard_ms: AtomicU64,
    moved_ms: AtomicU64,
    /// The client is not read just now, because the guest does not listen: its silence says nothing.
    held_up: AtomicBool,
}

impl Clock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&self) {
        self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn moved(&self) {
        self.moved_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn since(&self, then: &AtomicU64) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(then.load(Ordering::Relaxed)))
    }
}

/// Carries bytes between a WebSocket and a line until one of them ends; then both do.
async fn carry(socket: WebSocket, line: Line, mut stopping: watch::Receiver<bool>) {
    let (mut to_client, mut from_client) = socket.split();
    let (sender, mut receiver, hearing) = line.take_up();
    let mut hearing = tokio::spawn(hearing);
    let clock = Clock {
        start: Instant::now(),
        heard_ms: AtomicU64::new(0),
        moved_ms: AtomicU64::new(0),
        held_up: AtomicBool::new(false),
    };
    let showing = async {
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                bytes = receiver.next() => match bytes {
                    Some(bytes) => {
                        clock.moved();
                        Message::Binary(bytes)
                    }
                    None => return why_ended((&mut hearing).await),
                },
                _ = pings.tick() => {
                    if clock.since(&clock.moved_ms) > IDLE {
                        let words = format!("nothing was typed or shown for {} minutes", IDLE.as_secs() / 60);
                        return (CloseCode::Idle, words);
                    }
                    if clock.since(&clock.heard_ms) > SILENCE && !clock.held_up.load(Ordering::Relaxed) {
                        return (CloseCode::ClientLost, "the client does not answer".to_owned());
                    }
                    Message::Ping(bytes::Bytes::new())
                }
                () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
                    return (CloseCode::Restart, "this controller stops; ask for a new console".to_owned());
                }
            };
            match timeout(READ_WITHIN, to_client.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return (CloseCode::ClientLost, "the client has gone".to_owned()),
                Err(_) => return (CloseCode::ClientLost, "the client does not read".to_owned()),
            }
        }
    };
    let typing = async {
        while let Some(Ok(message)) = from_client.next().await {
            clock.heard();
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => break,
            };
            clock.moved();
            clock.held_up.store(true, Ordering::Relaxed);
            let taken = sender.send(bytes).await;
            clock.held_up.store(false, Ordering::Relaxed);
            clock.heard();
            if !taken {
                // Why, the other direction hears.
                std::future::pending::<()>().await;
            }
        }
        (CloseCode::Normal, "the client has left".to_owned())
    };
    let ((code, words), left) = tokio::select! {
        ended = showing => (ended, false),
        ended = typing => (ended, true),
    };
    if left {
        // The agent hears it after what was typed last, and agrees.
        sender.close(close(Reason::Done, words.clone())).await;
        let _ = timeout(CLOSE_WITHIN, &mut hearing).await;
    }
    hearing.abort();
    tracing::debug!(code = code.number(), words, "console closed");
    let reason: String = words
        .chars()
        .scan(0, |bytes, one| {
            *bytes += one.len_utf8();
            (*bytes <= MAX_REASON_BYTES).then_some(one)
        })
        .collect();
    let last = Message::Close(Some(CloseFrame { code: code.number(), reason: reason.into() }));
    let _ = timeout(CLOSE_WITHIN, async {
        // Where the client closed first, this is refused, and its close frame is answered by itself.
        let _ = to_client.send(last).await;
        let _ = to_client.flush().await;
        // What it still sends must not break the connection before it has read why.
        while let Some(Ok(_)) = from_client.next().await {}
    })
    .await;
}

fn why_ended(heard: Result<Close, tokio::task::JoinError>) -> (CloseCode, String) {
    let Ok(why) = heard else { return (CloseCode::Internal, "something went wrong on our side".to_owned()) };
    let code = match why.reason() {
        Reason::Done => CloseCode::Normal,
        Reason::GuestOff => CloseCode::GuestOff,
        Reason::LeaderChanged => CloseCode::LeaderChanged,
        Reason::Revoked => CloseCode::Revoked,
        Reason::HostLost => CloseCode::HostLost,
        Reason::Failed | Reason::Busy | Reason::Unspecified => CloseCode::Internal,
    };
    (code, why.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_clients_can_put_it() {
        let check = |protocols: &[&'static str], query: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in protocols {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(value));
            }
            assert_eq!(shown(&headers, query).as_deref(), expected, "{protocols:?} {query}");
        };
        check(&["rempart.console.v1, token.a.b-c_d"], "", Some("a.b-c_d"));
        check(&["binary", "token.x"], "token=y", Some("x"));
        check(&["binary"], "a=b&token=y", Some("y"));
        check(&["binary"], "token=", None);
        check(&["token."], "tokens=1", None);
        check(&[], "", None);
    }

    #[test]
    fn a_tail_has_bounds() {
        assert_eq!(tail_bytes("").ok(), Some(65_536));
        assert_eq!(tail_bytes("tailBytes=1048576").ok(), Some(MAX_LOG_BYTES));
        for bad in ["tailBytes=0", "tailBytes=1048577", "tailBytes=-1", "tailBytes=x"] {
            assert!(tail_bytes(bad).is_err(), "{bad}");
        }
    }
}
