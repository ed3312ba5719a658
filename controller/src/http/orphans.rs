//! `GET /providers/rempart.fleet/v1/orphans`: what State says of hosts, and what controllers say of their disks.
//!
//! Rights come first: the service has answered an operator before any controller is asked.

use rempart_api::fleet::Orphans;

use super::Settings;
use super::problem::Failure;
use crate::service::{Json, Reply};

/// The service's answer, with what the controllers have. Of a read that may be old no other controller is asked.
pub(super) async fn with_blobs(
    settings: &Settings,
    reply: Reply,
    may_be_stale: bool,
) -> Result<Reply, Failure> {
    let Reply::Document(text) = reply else { return Err(Failure::internal()) };
    let hosts: Orphans = serde_json::from_slice(&text.bytes()).map_err(|_| Failure::internal())?;
    let all = Orphans { blobs: settings.blobs.orphans(!may_be_stale).await, ..hosts };
    Ok(Reply::Document(Json::of(&all).map_err(Failure::Service)?))
}
