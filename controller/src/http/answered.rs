//! What every request has in common: an id, a span, a measure, and that a failure becomes a problem and leaves a record.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request as HttpRequest};
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use super::audit::Refused;
use super::measure::Measure;
use super::problem::{Failure, StatusTable};
use super::route::Form;
use super::{Interface, Settings};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that is being answered. Cheap to clone.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) id: Uuid,
    /// Where.
    pub(super) interface: Interface,
    subject: Arc<OnceLock<Arc<str>>>,
}

impl Asked {
    /// It is known now who asks.
    pub(super) fn by(&self, subject: &Arc<str>) {
        tracing::Span::current().record("subject", &**subject);
        // A request has one caller: whoever was named first stays.
        let _ = self.subject.set(subject.clone());
    }
}

/// Answers within a span, with a request id, and every failure as a problem. `form` is what its path names, if it is of
/// the table.
pub(super) async fn answered<F>(
    settings: &Settings,
    statuses: StatusTable,
    form: Option<Form>,
    request: HttpRequest<Body>,
    answer: impl FnOnce(Asked, HttpRequest<Body>) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Failure>>,
{
    // The router says so of every request; without its word, the one that gives least.
    let interface = request.extensions().get().copied().unwrap_or(Interface::Tenants);
    let asked = Asked { id: Uuid::now_v7(), interface, subject: Arc::default() };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let measure = Measure::begin(&method, form);
    let span = tracing::info_span!(
        "request", request_id = %asked.id, %method, path = %path, subject = tracing::field::Empty
    );
    let mut response = match answer(asked.clone(), request).instrument(span.clone()).await {
        Ok(response) => response,
        Err(failure) => span.in_scope(|| {
            failure.log();
            let class = failure.refusal();
            let response = failure.into_response(&path, statuses);
            if let Some(class) = class {
                let subject = asked.subject.get().map_or("", |subject| subject);
                let status = response.status().as_u16();
                let request_id = asked.id;
                let refused =
                    Refused { class, status, request_id, subject, method: method.as_str(), path: &path };
                settings.refusals.note(&refused);
            }
            response
        }),
    };
    span.in_scope(|| measure.end(response.status()));
    let mut id = Uuid::encode_buffer();
    if let Ok(value) = HeaderValue::from_str(asked.id.hyphenated().encode_lower(&mut id)) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}
