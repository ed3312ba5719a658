//! A backup of the control plane over HTTP (`rempart_api::cluster`). For operators alone.
//!
//! The answer begins when everything is known that could refuse it; what goes wrong later breaks the body off, which every
//! client sees.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderName, HeaderValue, Request as HttpRequest, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use rempart_api::cluster::{BACKUP_HEADER, BackupRequest};
use rempart_api::{ProblemSource, ProblemType};

use super::answered::{Asked, answered};
use super::cluster::no_method;
use super::problem::{Failure, StatusTable};
use super::{Settings, caller, read};
use crate::backup::BackupError;
use crate::service::{Fault, ServiceError};

/// Where it is asked for.
pub(super) const BACKUP: &str = "/providers/rempart.cluster/v1/backup";

pub(super) fn backup() -> MethodRouter<Arc<Settings>> {
    post(take).fallback(|request| no_method(request, "POST"))
}

async fn take(Shared(settings): Shared<Arc<Settings>>, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| begin(settings, asked, request))
        .await
}

async fn begin(settings: &Settings, asked: Asked, request: HttpRequest<Body>) -> Result<Response, Failure> {
    let caller = caller(settings, &asked, request.headers()).await?;
    if !caller.operates {
        return Err(Failure::Service(ServiceError::Forbidden));
    }
    let (head, body) = request.into_parts();
    let bytes = read(&head.headers, body).await?;
    let at = || vec![ProblemSource { pointer: "/recipients".to_owned(), parameter: String::new() }];
    let wanted: BackupRequest = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::Malformed(at(), format!("the body is {{\"recipients\": [\"age1...\"]}}: {error}"))
    })?;
    let (summary, pieces) =
        settings.backups.take(&caller, &wanted.recipients).await.map_err(|error| match error {
            BackupError::Recipients(why) => Failure::Invalid(at(), why),
            BackupError::NotNow(why) => {
                Failure::Said(axum::http::StatusCode::CONFLICT, ProblemType::ResourceConflict, why)
            }
            BackupError::Service(error) => Failure::Service(error),
            BackupError::Keys(_) | BackupError::Store(_) => {
                Failure::Service(ServiceError::Fault(Fault::Internal(error.to_string())))
            }
        })?;
    let mut response = Body::from_stream(pieces).into_response();
    let summary = serde_json::to_string(&summary).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::from_str(&summary) {
        headers.insert(HeaderName::from_static(BACKUP_HEADER), value);
    }
    Ok(response)
}
