//! `GET /providers/rempart.fleet/v1/orphans`: what State says of hosts, and what controllers say of their disks.
//!
//! Rights come first: the service has answered an operator before any controller is asked.

use axum::response::{IntoResponse as _, Response};
use rempart_api::fleet::Orphans;

use super::Settings;

/// What State knows, with what the controllers have. Of a read that may be old no other controller is asked.
pub(super) async fn with_blobs(settings: &Settings, of_hosts: Orphans, may_be_stale: bool) -> Response {
    let blobs = settings.blobs.orphans(!may_be_stale).await;
    axum::Json(Orphans { blobs, ..of_hosts }).into_response()
}
