//! Join tokens: minted on a controller's machine, redeemed by [`Enrolment`](super::Enrolment).

use std::time::Duration;

use rempart_identity::{Identity, JoinToken};

use super::cluster_dir::{ClusterDir, PkiError};
use crate::auth::Audience;

/// A token that lets one machine join as `who`, once, within `lifetime`. `controllers` is where it finds them
/// (`host:port`); `zone` is where a host will stand, if that is decided now.
///
/// # Errors
/// When the directory has no keys to sign it with.
pub fn mint(
    dir: &ClusterDir,
    who: &Identity,
    zone: Option<&str>,
    controllers: Vec<String>,
    lifetime: Duration,
) -> Result<JoinToken, PkiError> {
    let secret = dir.issuer()?.issue_once(Audience::Join, &who.to_string(), zone, lifetime)?;
    Ok(JoinToken { controllers, ca_sha256: dir.ca_sha256()?, secret })
}
