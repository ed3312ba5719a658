//! `PUT .../block-storages/NAME/content`: the bytes of a volume, or for operators the digest of bytes that are here.
//!
//! What always holds: rights, volume and sizes are looked at before a byte is read, so that `expect: 100-continue` spares
//! the bytes of what is refused; memory does not depend on the upload's size; a volume is filled only with bytes that
//! its filler brought and that a majority of the controllers holds.
//!
//! Absent on purpose: ranges (starting again is clean), and giving bytes back.

mod pace;
mod turns;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_api::{ProblemType, Urn};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use self::pace::Pace;
use self::turns::{Busy, Turn, Turns};
use super::problem::Failure;
use super::{Settings, body};
use crate::blob::{BlobError, BlobName, Blobs, Expected};
use crate::service::{Call, Caller, Reply, Request};

/// How long bytes that nobody wants are read, so that their sender can read why.
const DRAIN: Duration = Duration::from_secs(10);
/// qcow2 metadata: at most this part of the disk, and so much besides.
const OVERHEAD_PART: u64 = 16;
const OVERHEAD_BYTES: u64 = 64 << 20;

/// What uploads need.
pub struct Uploads {
    blobs: Blobs,
    max_bytes: u64,
    idle: Duration,
    turns: Turns,
}

impl Uploads {
    /// Of at most `max_bytes` each, from senders that are never silent for longer than `idle`.
    pub fn new(blobs: Blobs, max_bytes: u64, idle: Duration) -> Uploads {
        Uploads { blobs, max_bytes, idle, turns: Turns::default() }
    }

    fn turn(&self, tenant: &str) -> Result<Turn<'_>, Failure> {
        self.turns.take(tenant).map_err(|busy| match busy {
            Busy::Tenant => Failure::Said(
                StatusCode::TOO_MANY_REQUESTS,
                ProblemType::InvalidRequest,
                format!("tenant {tenant} has as many uploads under way at this controller as it may; send it again when one has ended"),
            ),
            Busy::All => Failure::Said(
                StatusCode::SERVICE_UNAVAILABLE,
                ProblemType::InternalServerError,
                "this controller takes no more uploads at once; send it again in a few seconds".to_owned(),
            ),
        })
    }
}

/// Answers a PUT of a volume's content.
pub(super) async fn answer(
    settings: &Settings,
    id: Uuid,
    caller: Caller,
    urn: Urn,
    head: &Parts,
    body: Body,
) -> Result<Response, Failure> {
    let media = header_text(&head.headers, header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let uploaded = media.eq_ignore_ascii_case("application/octet-stream");
    let trace = head.headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content = if uploaded {
        let mut bytes = body.into_data_stream();
        let expects = header_text(&head.headers, header::EXPECT).eq_ignore_ascii_case("100-continue");
        let mut begun = false;
        match receive(settings, id, &caller, &urn, head, &mut bytes, &mut begun).await {
            Ok(content) => content,
            Err(failure) => {
                // A sender that waits for leave to send needs no reading.
                if begun || !expects {
                    drain(&mut bytes).await;
                }
                return Err(failure);
            }
        }
    } else {
        by_digest(settings, id, &caller, &urn, head, body).await?
    };
    let call = Call::Fill { urn: urn.clone(), content, uploaded };
    let fill = Request { id, trace: trace.clone(), caller: caller.clone(), call, alias: None };
    settings.service.call(fill).await.map_err(Failure::Service)?;
    // The volume as it is now: a request of its own, since the one before has been answered.
    let read = Request { id: Uuid::now_v7(), trace, caller, call: Call::Get { urn }, alias: None };
    match settings.service.call(read).await {
        Ok(Reply::Resource { view, .. }) => Ok(axum::Json(view).into_response()),
        // It was filled, whatever became of it since.
        _ => Ok(StatusCode::ACCEPTED.into_response()),
    }
}

/// Takes the bytes in and has a majority hold them.
async fn receive(
    settings: &Settings,
    id: Uuid,
    caller: &Caller,
    urn: &Urn,
    head: &Parts,
    bytes: &mut BodyDataStream,
    begun: &mut bool,
) -> Result<BlobSpec, Failure> {
    let uploads = &settings.uploads;
    let declared = match Declared::parse(head.uri.query().unwrap_or_default(), &head.headers) {
        Ok(declared) => declared,
        Err(failure) => {
            let call = Call::Fill { urn: urn.clone(), content: body::no_content(), uploaded: true };
            settings.service.check_right(id, caller.clone(), call).await.map_err(Failure::Service)?;
            return Err(failure);
        }
    };
    let (name, format) = (declared.name, declared.name.format());
    let target = settings.service.upload_target(id, caller, urn, &name.sha256(), format).await;
    let target = target.map_err(Failure::Service)?;
    if let Some(content) = target.content.filter(|content| uploads.blobs.holds(content)) {
        drain(bytes).await;
        return Ok(content);
    }
    let overhead = match format {
        BlobFormat::Raw => 0,
        BlobFormat::Qcow2 => target.size_bytes / OVERHEAD_PART + OVERHEAD_BYTES,
    };
    let expected = Expected {
        name,
        size_bytes: declared.size_bytes,
        limit_bytes: target.size_bytes.saturating_add(overhead).min(uploads.max_bytes),
        virtual_size_bytes: declared.virtual_size_bytes,
        virtual_limit_bytes: target.size_bytes,
    };
    let _turn = uploads.turn(&urn.tenant)?;
    let start = Instant::now();
    let mut incoming = uploads.blobs.begin(expected).await.map_err(Failure::Blob)?;
    *begun = true;
    let mut pace = Pace::new(uploads.idle);
    loop {
        let asked = Instant::now();
        match timeout(uploads.idle, bytes.next()).await {
            Ok(Some(Ok(piece))) => {
                if !pace.keeps(asked.elapsed(), piece.len()) {
                    return Err(too_slow(uploads.idle, pace.least_bytes()));
                }
                incoming.push(piece).await.map_err(Failure::Blob)?;
            }
            Ok(Some(Err(_))) => return Err(Failure::Blob(BlobError::CutShort)),
            Ok(None) => break,
            Err(_) => return Err(too_slow(uploads.idle, pace.least_bytes())),
        }
    }
    let content = incoming.finish().await.map_err(Failure::Blob)?;
    let received = start.elapsed();
    uploads.blobs.spread(&content).await.map_err(Failure::Blob)?;
    tracing::info!(
        volume = %urn,
        bytes = content.size_bytes,
        received_ms = received.as_millis(),
        spread_ms = (start.elapsed() - received).as_millis(),
        "upload taken"
    );
    Ok(content)
}

/// An operator names bytes that the controllers have.
async fn by_digest(
    settings: &Settings,
    id: Uuid,
    caller: &Caller,
    urn: &Urn,
    head: &Parts,
    body: Body,
) -> Result<BlobSpec, Failure> {
    let content = super::read(&head.headers, body).await.and_then(|bytes| body::parse_content(&bytes));
    let asked = content.as_ref().map_or_else(|_| body::no_content(), Clone::clone);
    let call = Call::Fill { urn: urn.clone(), content: asked, uploaded: false };
    settings.service.check_right(id, caller.clone(), call).await.map_err(Failure::Service)?;
    let content = match content {
        Err(Failure::MediaType(_)) => {
            return Err(Failure::MediaType("application/octet-stream, or for operators application/json"));
        }
        other => other?,
    };
    if settings.uploads.blobs.is_held_by_majority(&content).await {
        return Ok(content);
    }
    let why =
        "no majority of the controllers holds such bytes; send them as application/octet-stream".to_owned();
    Err(Failure::Blob(BlobError::Refused { parameter: "sha256", why }))
}

/// What a query and the headers say of the bytes.
struct Declared {
    name: BlobName,
    size_bytes: Option<u64>,
    virtual_size_bytes: Option<u64>,
}

impl Declared {
    fn parse(query: &str, headers: &HeaderMap) -> Result<Declared, Failure> {
        let bad = |parameter: &str, why: &str| Failure::Parameter(parameter.to_owned(), why.to_owned());
        let (mut sha256, mut format, mut virtual_size_bytes) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "sha256" => sha256 = Some(value),
                "format" => format = Some(value),
                "virtualSizeBytes" => {
                    let bytes = value.parse().ok().filter(|bytes: &u64| *bytes > 0);
                    virtual_size_bytes =
                        Some(bytes.ok_or_else(|| bad(name, "must be a number of bytes, 1 or more"))?);
                }
                other => {
                    return Err(bad(
                        &other.chars().take(64).collect::<String>(),
                        "is none of format, sha256 and virtualSizeBytes",
                    ));
                }
            }
        }
        // Refused like content, not like a misspelt query: it says what the bytes are.
        let refused = |why: String| Failure::Blob(BlobError::Refused { parameter: "format", why });
        let format = match format {
            Some("raw") => BlobFormat::Raw,
            Some("qcow2") => BlobFormat::Qcow2,
            Some(other) => {
                let other: String = other.chars().take(32).collect();
                return Err(refused(format!(
                    "format {other:?} is not taken; convert the image to raw or qcow2 (qemu-img convert -O qcow2)"
                )));
            }
            None => return Err(bad("format", "is required: raw or qcow2; it is never guessed")),
        };
        let name = sha256.and_then(|sha256| BlobName::new(sha256, format));
        let name = name.ok_or_else(|| {
            bad(
                "sha256",
                "is required: the bytes' SHA-256 as 64 lower-case hexadecimal digits (sha256sum FILE)",
            )
        })?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Ok(Declared { name, size_bytes: length.and_then(|length| length.parse().ok()), virtual_size_bytes })
    }
}

fn too_slow(window: Duration, least_bytes: u64) -> Failure {
    let why = format!(
        "the body did not arrive in time: an upload brings at least {least_bytes} bytes in {} s; nothing was kept, send it \
         again over a faster connection",
        window.as_secs_f32()
    );
    Failure::Said(StatusCode::REQUEST_TIMEOUT, ProblemType::InvalidRequest, why)
}

/// Reads on for a while: who is still sending would not hear the answer.
async fn drain(bytes: &mut BodyDataStream) {
    let rest = async { while let Some(Ok(_)) = bytes.next().await {} };
    let _ = timeout(DRAIN, rest).await;
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Status, class, words and parameter at fault. What is the installation's stays in the log.
pub(super) fn problem(error: &BlobError) -> (StatusCode, ProblemType, String, Option<&'static str>) {
    let invalid = ProblemType::InvalidRequest;
    let ours = ProblemType::InternalServerError;
    match error {
        // Whatever the table of statuses: no client of SECA sends bytes, and every other reads 422.
        BlobError::Refused { parameter, why } => {
            (StatusCode::UNPROCESSABLE_ENTITY, ProblemType::ValidationError, why.clone(), Some(parameter))
        }
        BlobError::TooLarge { limit_bytes } => {
            let why = format!(
                "this volume takes at most {limit_bytes} bytes; make the volume larger, or send a smaller image"
            );
            (StatusCode::PAYLOAD_TOO_LARGE, invalid, why, None)
        }
        BlobError::CutShort => {
            let why = "the body ended before all of it had come; nothing was kept, send it again".to_owned();
            (StatusCode::BAD_REQUEST, invalid, why, None)
        }
        BlobError::Full { .. } => {
            let why = "the controllers have no room for these bytes; an operator has to make room (the log of the \
                       controller says where), or volumes and images that nobody needs have to be deleted";
            (StatusCode::INSUFFICIENT_STORAGE, ours, why.to_owned(), None)
        }
        BlobError::NoMajority { .. } => {
            let why = "the bytes are right and kept here, but too few controllers could take them; send them again in \
                       a while";
            (StatusCode::SERVICE_UNAVAILABLE, ours, why.to_owned(), None)
        }
        BlobError::Io { .. } => {
            let why = "something went wrong on our side; tell the operator the x-request-id of this response";
            (StatusCode::INTERNAL_SERVER_ERROR, ours, why.to_owned(), None)
        }
    }
}
