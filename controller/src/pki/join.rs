//! `rempart-controller join`: an empty directory becomes a controller's.

use std::time::Duration;

use rempart_identity::certificate::to_pem;
use rempart_identity::join::JoinError;
use rempart_identity::{Identity, JoinToken, Key};
use rempart_proto::enrol::v1::EnrolRequest;

use super::cluster_dir::{ClusterDir, PkiError, Shared};
use super::transfer::{self, Exchange};

/// Why a controller did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinFailed {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] PkiError),
    /// The other controllers.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// What they answered.
    #[error("{0}")]
    Answer(&'static str),
}

/// Joins with `token`, and writes the directory. Tries for `patience` while no controller can take it in.
///
/// # Errors
/// [`JoinFailed`]; the directory is then as it was, and the token may be used up.
pub async fn join(dir: &ClusterDir, token: &JoinToken, patience: Duration) -> Result<u64, JoinFailed> {
    dir.check_empty()?;
    let key = Key::generate().map_err(JoinError::from)?;
    let exchange = Exchange::new().ok_or(JoinFailed::Answer("the system has no randomness to give"))?;
    let public = exchange.public().to_vec();
    let (request, joined) = rempart_identity::join::join(token, &key, public, patience).await?;
    let Identity::Controller(replica_id) = joined.certificate.identity else {
        let why = "the token is for a host; give it to rempart-agent, or mint one with --controller";
        return Err(JoinFailed::Answer(why));
    };
    let opened = opened(exchange, &request, &joined);
    let shared = opened.ok_or(JoinFailed::Answer("the cluster's keys in the answer do not open"))?;
    if shared.ca_certificate != to_pem(&joined.ca) {
        return Err(JoinFailed::Answer("the answer carries keys of another CA than the token's"));
    }
    dir.write(&shared, &key, &joined.certificate)?;
    Ok(replica_id)
}

fn opened(
    exchange: Exchange,
    request: &EnrolRequest,
    joined: &rempart_identity::join::Joined,
) -> Option<Shared> {
    let content = transfer::open(exchange, request, &joined.ca, joined.keys.as_ref()?)?;
    serde_json::from_slice(&content).ok()
}
