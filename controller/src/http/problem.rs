//! Every way a request can fail, and the problem that says so (RFC 7807, with the types of SECA).
//!
//! What is ours stays inside: a fault's own words go to the log, the caller gets the class, what to do, and the
//! request id to ask about.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rempart_api::{Problem, ProblemSource, ProblemType};
use rempart_model::RefusalClass;

use crate::auth::Denied;
use crate::blob::BlobError;
use crate::service::{Fault, ServiceError};

/// Which HTTP status tells a refused admission or a conflict of states: SECA's text and its released client differ. The
/// problem's `type` is the true class in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum StatusTable {
    /// What the released official client understands: 412 for all of them.
    #[default]
    Client,
    /// What the specification says: 422, 404, 409.
    Spec,
}

const NO_TOKEN: &str = "Bearer realm=\"rempart\"";
const INVALID_TOKEN: &str = "Bearer realm=\"rempart\", error=\"invalid_token\"";

/// Why a request was not served.
pub(super) enum Failure {
    Unauthenticated(Denied),
    NoRoute(String),
    Method(&'static str),
    BadRequest(String),
    /// As a bad request, with the fields at fault.
    Malformed(Vec<ProblemSource>, String),
    Parameter(String, String),
    NotAcceptable,
    MediaType(&'static str),
    TooLarge,
    Slow,
    /// How long to wait.
    TooOften(Duration),
    Invalid(Vec<ProblemSource>, String),
    Blob(BlobError),
    /// Decided elsewhere, in words for the caller.
    Said(StatusCode, ProblemType, String),
    Service(ServiceError),
}

impl Failure {
    pub(super) fn internal() -> Failure {
        Failure::Service(ServiceError::Fault(Fault::Internal("panic".to_owned())))
    }

    /// Ours are logged where they are answered, once; the caller's own are his to read.
    pub(super) fn log(&self) {
        if let Failure::Service(ServiceError::Fault(fault)) = self {
            tracing::warn!(%fault, "request failed");
        }
        if let Failure::Blob(
            error @ (BlobError::Full { .. } | BlobError::NoMajority { .. } | BlobError::Io { .. }),
        ) = self
        {
            tracing::warn!(%error, "upload failed");
        }
    }

    pub(super) fn into_response(self, path: &str, table: StatusTable) -> Response {
        use ProblemType as P;
        use StatusCode as S;
        let mut allow = None;
        let mut challenge = NO_TOKEN;
        let mut sources = Vec::new();
        let mut wait_seconds = 2;
        let (status, class, detail) = match self {
            Failure::TooOften(wait) => {
                wait_seconds = wait.as_secs() + 1;
                let detail = format!(
                    "you ask more often than one caller may; wait {wait_seconds} s, as retry-after says, and go on more slowly"
                );
                (S::TOO_MANY_REQUESTS, P::InvalidRequest, detail)
            }
            Failure::Unauthenticated(Denied { why, had_token }) => {
                // RFC 6750: who showed no token is told of no error.
                challenge = if had_token { INVALID_TOKEN } else { NO_TOKEN };
                (S::UNAUTHORIZED, P::Unauthorized, why)
            }
            Failure::NoRoute(why) => (S::NOT_FOUND, P::ResourceNotFound, why),
            Failure::Method(allowed) => {
                allow = Some(allowed);
                (S::METHOD_NOT_ALLOWED, P::InvalidRequest, format!("this path takes {allowed}"))
            }
            Failure::BadRequest(why) => (S::BAD_REQUEST, P::InvalidRequest, why),
            Failure::Malformed(at, why) => {
                sources = at;
                (S::BAD_REQUEST, P::InvalidRequest, why)
            }
            Failure::Parameter(parameter, why) => {
                let detail = format!("query parameter {parameter}: {why}");
                sources.push(ProblemSource { pointer: String::new(), parameter });
                (S::BAD_REQUEST, P::InvalidRequest, detail)
            }
            Failure::NotAcceptable => {
                (S::NOT_ACCEPTABLE, P::InvalidRequest, "only application/json is served".to_owned())
            }
            Failure::MediaType(taken) => (
                S::UNSUPPORTED_MEDIA_TYPE,
                P::InvalidRequest,
                format!("the body must have content-type {taken}"),
            ),
            Failure::TooLarge => (
                S::PAYLOAD_TOO_LARGE,
                P::InvalidRequest,
                format!("the body is larger than {} bytes", super::MAX_BODY_BYTES),
            ),
            Failure::Slow => {
                (S::REQUEST_TIMEOUT, P::InvalidRequest, "the body did not arrive in time".to_owned())
            }
            Failure::Invalid(at, why) => {
                sources = at;
                (refused(table, S::UNPROCESSABLE_ENTITY), P::ValidationError, why)
            }
            Failure::Blob(error) => {
                let (status, class, why, parameter) = super::upload::problem(&error);
                let source = |parameter: &str| ProblemSource {
                    pointer: String::new(),
                    parameter: parameter.to_owned(),
                };
                sources.extend(parameter.map(source));
                (status, class, why)
            }
            Failure::Said(status, class, why) => (status, class, why),
            Failure::Service(ServiceError::Revoked) => {
                challenge = INVALID_TOKEN;
                let why = "the token was called back, or its service account's key was; get a new one";
                (S::UNAUTHORIZED, P::Unauthorized, why.to_owned())
            }
            Failure::Service(ServiceError::Forbidden) => (
                S::FORBIDDEN,
                P::Forbidden,
                "your subject has no right to do this here; ask an owner of the tenant, or the operator of this cloud".to_owned(),
            ),
            Failure::Service(ServiceError::Parameter { parameter, why }) => {
                let detail = format!("query parameter {parameter}: {why}");
                sources.push(ProblemSource { pointer: String::new(), parameter });
                (S::BAD_REQUEST, P::InvalidRequest, detail)
            }
            Failure::Service(ServiceError::Refused(refusal)) => {
                sources = refusal.sources;
                let (status, class) = match refusal.class {
                    RefusalClass::NotFound => (S::NOT_FOUND, P::ResourceNotFound),
                    RefusalClass::ParentNotFound => (refused(table, S::NOT_FOUND), P::ResourceNotFound),
                    RefusalClass::Forbidden => (S::FORBIDDEN, P::Forbidden),
                    RefusalClass::Conflict => (refused(table, S::CONFLICT), P::ResourceConflict),
                    RefusalClass::PreconditionFailed => (S::PRECONDITION_FAILED, P::PreconditionFailed),
                    RefusalClass::Invalid => (refused(table, S::UNPROCESSABLE_ENTITY), P::ValidationError),
                };
                (status, class, refusal.detail)
            }
            Failure::Service(ServiceError::Fault(fault)) => fault_words(&fault),
        };
        let problem = Problem {
            class,
            title: class.title().to_owned(),
            status: status.as_u16(),
            detail: begin(&detail, 32_768),
            instance: reference(path).to_owned(),
            sources: sources.iter().map(bounded).collect(),
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(allowed) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        match status {
            S::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            S::SERVICE_UNAVAILABLE | S::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_seconds));
            }
            _ => {}
        }
        response
    }
}

/// A client's own words stand in a problem (keys, names of a path), and those may be long.
fn bounded(source: &ProblemSource) -> ProblemSource {
    ProblemSource { pointer: begin(&source.pointer, 256), parameter: begin(&source.parameter, 64) }
}

/// A path as a URI reference within its bound: not cut off in the middle of what is percent-encoded.
fn reference(path: &str) -> &str {
    let Some(mut end) = path.char_indices().nth(256).map(|(end, _)| end) else { return path };
    if let Some(percent) = path[..end].rfind('%').filter(|percent| percent + 3 > end) {
        end = percent;
    }
    &path[..end]
}

#[test]
fn a_long_path_is_cut_where_it_stays_a_reference() {
    assert_eq!(reference("/a%C3"), "/a%C3");
    for (letters, length) in [(252, 255), (253, 256), (254, 254), (255, 255), (256, 256)] {
        let path = format!("{}%C3%A9", "a".repeat(letters));
        assert_eq!(reference(&path).len(), length, "{letters}");
    }
}

fn begin(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn refused(table: StatusTable, by_spec: StatusCode) -> StatusCode {
    match table {
        StatusTable::Spec => by_spec,
        StatusTable::Client => StatusCode::PRECONDITION_FAILED,
    }
}

fn fault_words(fault: &Fault) -> (StatusCode, ProblemType, String) {
    let busy = |words: &str| {
        let detail = format!("{words}; try again in a few seconds");
        (StatusCode::SERVICE_UNAVAILABLE, ProblemType::InternalServerError, detail)
    };
    match fault {
        Fault::NoLeader | Fault::LeadershipLost | Fault::LeaderUnreachable | Fault::Behind | Fault::Stopping => {
            busy("the control plane is changing its leading controller")
        }
        Fault::Excluded(_) => busy("this controller takes no part in the control plane; ask another one"),
        Fault::NotFounded => busy("the control plane is not complete yet"),
        Fault::Overloaded | Fault::StoreBehind => busy("the control plane has too many writes under way"),
        Fault::ManySearches => {
            busy("too many lists search large collections; search by name, or for labels that are more frequent")
        }
        Fault::OutcomeUnknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            ProblemType::InternalServerError,
            "the request was not answered in time and may or may not take effect; read the resource to see, or repeat \
             the request"
                .to_owned(),
        ),
        Fault::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            ProblemType::InvalidRequest,
            "the resource is larger than can be stored; make it smaller".to_owned(),
        ),
        Fault::Internal(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            ProblemType::InternalServerError,
            "something went wrong on our side; tell the operator the x-request-id of this response".to_owned(),
        ),
    }
}
