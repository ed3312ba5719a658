//! HTTP: from a request to a call of the service, and back. Generic over the resource kinds: the table in
//! `rempart_api::Kind` decides which paths and methods exist.
//!
//! Order of checks: authenticate, authorise, decode, validate.

mod answered;
mod audit;
mod backup;
mod body;
mod cluster;
mod console;
mod docs;
mod fixed;
mod headers;
mod measure;
mod openapi;
mod orphans;
mod problem;
mod query;
mod rate;
mod route;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Request as HttpRequest, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rempart_api::Urn;
use uuid::Uuid;

pub use audit::Refusals;
pub use problem::StatusTable;
pub use rate::Rates;
pub use upload::Uploads;

use crate::auth::Authenticator;
use crate::backup::Backups;
use crate::blob::Blobs;
use crate::console::Consoles;
use crate::service::{
    Body as Sent, Call, Caller, Json, Page, Reply, Request, Service, ServiceError, traceparent,
};
use answered::{Asked, answered};
use problem::Failure;
use route::{Route, Target, no_route};

/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Up to which entry of the log a stale answer is.
const APPLIED_INDEX: &str = "rempart-applied-index";

/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// What the HTTP side needs.
pub struct Settings {
    /// Verifies tokens.
    pub authenticator: Arc<Authenticator>,
    /// The logic behind.
    pub service: Service,
    /// Takes backups of the control plane.
    pub backups: Backups,
    /// Bytes of images on the controllers' disks.
    pub blobs: Blobs,
    /// Takes the bytes of volumes.
    pub uploads: Uploads,
    /// Consoles of instances.
    pub consoles: Consoles,
    /// Where refused calls are noted.
    pub refusals: Refusals,
    /// How often each caller may ask.
    pub rates: Rates,
    /// Statuses for refusals.
    pub statuses: StatusTable,
    /// Outside base URL, without a trailing slash.
    pub public_url: String,
    /// Whether this replica can serve; for load balancers.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Whose interface a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// Everybody's.
    All,
    /// Tenants': nobody is an operator here.
    Tenants,
    /// Operators': nobody else is served here.
    Operators,
}

/// The whole HTTP interface, for one listener.
pub fn router(settings: Arc<Settings>, interface: Interface) -> Router {
    routes(interface).with_state(settings)
}

/// What is in [`fixed::TABLE`]; every other path is a resource's, or nobody's.
fn routes(interface: Interface) -> Router<Arc<Settings>> {
    let fixed =
        fixed::TABLE.iter().fold(Router::new(), |router, row| router.route(row.path, (row.handler)()));
    fixed
        .fallback(resource)
        .layer(axum::Extension(interface))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Failure::internal().into_response("/", StatusTable::default())
}

async fn resource(Shared(settings): Shared<Arc<Settings>>, request: HttpRequest<Body>) -> Response {
    let route = Route::parse(request.uri().path());
    let form = route.as_ref().map(|route| route.place.form());
    answered(&settings, settings.statuses, form, request, |asked, request| {
        answer(&settings, asked, route, request)
    })
    .await
}

async fn answer(
    settings: &Settings,
    asked: Asked,
    route: Option<Route>,
    request: HttpRequest<Body>,
) -> Result<Response, Failure> {
    let id = asked.id;
    let (head, body) = request.into_parts();
    let caller = caller(settings, &asked, &head.headers).await?;
    let route = route.ok_or_else(no_route)?;
    let is_operators = route.is_operators();
    let Route { place, alias } = route;
    let target = place.target(&head.method)?;
    if is_operators && !caller.operates {
        return Err(Failure::Service(ServiceError::Forbidden));
    }
    let service = &settings.service;
    let asked = headers::check_accept(&head.headers).and_then(|()| {
        if !target.is_read() {
            headers::check_no_entity_tags(&head.headers)?;
        }
        // Of what is only read, SECA asks no version: a date that HTTP means by this header is passed over.
        let version = if target.is_read() { None } else { headers::version(&head.headers)? };
        Ok((version, headers::may_be_stale(&head.headers)?))
    });
    let (version, may_be_stale) = rights_first(service, id, &caller, || target.right(), asked).await?;
    let call = match target {
        Target::List(from) => {
            let page = query::page(head.uri.query().unwrap_or_default(), &head.headers);
            let right = || Call::List { from: from.clone(), page: Page::default() };
            let page = rights_first(service, id, &caller, right, page).await?;
            Call::List { from, page }
        }
        Target::Get(urn) => Call::Get { urn },
        Target::Explain(urn) => Call::Explain { urn },
        Target::Orphans(hosts) => Call::Orphans { hosts },
        Target::Repair(host, uid, repair) => Call::Repair { host, uid, repair },
        Target::Delete(urn) => Call::Delete { urn, if_unmodified_since: version },
        Target::Power(urn, action) => Call::Power { urn, if_unmodified_since: version, action },
        Target::Host(urn, action) => Call::Host { urn, if_unmodified_since: version, action },
        Target::Put(urn) => {
            let region = service.region();
            let body =
                read(&head.headers, body).await.and_then(|bytes| body::parse_put(&urn, &region, &bytes));
            let body = rights_first(service, id, &caller, || put_nothing(urn.clone()), body).await?;
            Call::Put { urn, if_unmodified_since: version, body: Box::new(body) }
        }
        Target::Fill(urn) => return upload::answer(settings, id, caller, urn, &head, body).await,
    };
    let offered = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
    tracing::debug!(trace = traceparent(offered, id), "trace");
    // What is only read leaves no trace.
    let trace = call.is_write().then(|| traceparent(offered, id));
    let request = Request { id, trace, caller, call, alias };
    let put = head.method == Method::PUT;
    if may_be_stale && !request.call.is_write() {
        let (index, reply) = settings.service.read_stale(&request).await.map_err(Failure::Service)?;
        let answer = match reply {
            Reply::Resource { view: text, .. } | Reply::List(text) | Reply::Document(text) => {
                json(text).into_response()
            }
            Reply::Orphans(of_hosts) => orphans::with_blobs(settings, *of_hosts, true).await,
            Reply::Accepted => return Err(Failure::internal()),
        };
        return Ok(([(APPLIED_INDEX, index.to_string())], answer).into_response());
    }
    let reply = settings.service.call(request).await.map_err(Failure::Service)?;
    Ok(match reply {
        Reply::Resource { created, view } if put && created => {
            let location = format!("{}{}", settings.public_url, head.uri.path().trim_end_matches('/'));
            (StatusCode::CREATED, [(header::LOCATION, location)], json(view)).into_response()
        }
        Reply::Resource { view: text, .. } | Reply::List(text) | Reply::Document(text) => {
            json(text).into_response()
        }
        Reply::Orphans(of_hosts) => orphans::with_blobs(settings, *of_hosts, false).await,
        Reply::Accepted => StatusCode::ACCEPTED.into_response(),
    })
}

fn json(text: Json) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.bytes())
}

/// Who asks, by the one authorization header there is.
async fn caller(settings: &Settings, asked: &Asked, headers: &HeaderMap) -> Result<Caller, Failure> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let header = match (shown.next(), shown.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    };
    let proven = settings.authenticator.proven(header).await.map_err(Failure::Unauthenticated)?;
    asked.by(&proven.subject);
    settings.rates.ask(&proven.subject, Instant::now()).map_err(Failure::TooOften)?;
    let operator = settings.service.is_operator(&proven.subject);
    if asked.interface == Interface::Operators && !operator {
        return Err(Failure::Service(ServiceError::Forbidden));
    }
    let operates = operator && asked.interface != Interface::Tenants;
    Ok(Caller { subject: proven.subject.to_string(), proof: proven.proof, operates })
}

/// What was parsed; but rights come before the content of a request: who may not do this here is told that, and nothing else.
async fn rights_first<T>(
    service: &Service,
    id: Uuid,
    caller: &Caller,
    right: impl FnOnce() -> Call,
    parsed: Result<T, Failure>,
) -> Result<T, Failure> {
    if parsed.is_err() {
        service.check_right(id, caller.clone(), right()).await.map_err(Failure::Service)?;
    }
    parsed
}

/// For the right to write it does not matter what is written.
fn put_nothing(urn: Urn) -> Call {
    Call::Put { urn, if_unmodified_since: None, body: Box::new(Sent::nothing()) }
}

impl Target {
    fn is_read(&self) -> bool {
        matches!(self, Target::List(_) | Target::Get(_) | Target::Explain(_) | Target::Orphans(_))
    }

    /// The call whose right it takes.
    fn right(&self) -> Call {
        let if_unmodified_since = None;
        match self.clone() {
            Target::List(from) => Call::List { from, page: Page::default() },
            Target::Get(urn) => Call::Get { urn },
            Target::Explain(urn) => Call::Explain { urn },
            Target::Orphans(hosts) => Call::Orphans { hosts },
            Target::Repair(host, uid, repair) => Call::Repair { host, uid, repair },
            Target::Put(urn) => put_nothing(urn),
            Target::Delete(urn) => Call::Delete { urn, if_unmodified_since },
            Target::Power(urn, action) => Call::Power { urn, if_unmodified_since, action },
            Target::Host(urn, action) => Call::Host { urn, if_unmodified_since, action },
            Target::Fill(urn) => Call::Fill { urn, content: body::no_content(), uploaded: true },
        }
    }
}

/// The body, within its bounds and of the one type there is.
async fn read(headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Failure> {
    headers::check_json(headers)?;
    let reading = axum::body::to_bytes(body, MAX_BODY_BYTES);
    match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            use std::error::Error as _;
            let mut source = error.source();
            while let Some(inner) = source {
                if inner.is::<http_body_util::LengthLimitError>() {
                    return Err(Failure::TooLarge);
                }
                source = inner.source();
            }
            Err(Failure::BadRequest(format!("the body could not be read: {error}")))
        }
        Err(_) => Err(Failure::Slow),
    }
}
