//! Identity of the cluster's machines, on the controllers' side.
//!
//! ```text
//!   ClusterDir ── open ──> Keys { CA, issuer, Sealer, own certificate } ── renewal (own, offline)
//!                               │
//!   joiner ── token ──> Enrolment ── Enrol, Redeem (log) ──> certificate, and for a controller the Keys (transfer)
//!   listener ── judge(State, certificate) ──> who is admitted;   Peers ── connections to the other replicas
//! ```
//!
//! What always holds: private keys are on disk in clear in `root.key` and `controller.key` alone; a token lets in one
//! machine, once; a host is who State says, and a revoked one is nobody. What a service asks about its caller is in
//! `rempart_identity` (`require_host` and kin).

pub mod cluster_dir;
pub mod enrolment;
mod founding_tokens;
mod join;
mod peers;
mod recover;
mod renewal;
pub mod seal;
pub mod token;
mod transfer;

pub use cluster_dir::{Cluster, ClusterDir, Keys, PkiError};
pub use enrolment::Enrolment;
pub use join::join;
pub use peers::{Connection, Peers};
pub use recover::{Recovered, SealedKeys, recover};
pub use renewal::run as keep_certificate;
pub use seal::Sealer;

use std::time::Duration;

use rempart_identity::{Accepted, Certificate, Identity};
use rempart_model::{ReplicaIntent, State};

use crate::replica::Replica;

/// How long a host that is dismissed has for hearing why, where a call of its can say so.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Whether State has anything against the holder of this certificate. A controller is believed for its certificate, unless
/// it was removed.
///
/// # Errors
/// What it has.
pub fn judge(state: &State, shown: &Certificate) -> Result<(), String> {
    let host = match &shown.identity {
        Identity::Host(host) => host,
        Identity::Controller(id) if state.core().replicas.get(id) == Some(&ReplicaIntent::Leave) => {
            return Err(format!("controller {id} was removed; wipe it, and let it join under a new id"));
        }
        Identity::Controller(id)
            if state.core().restored.as_ref().is_some_and(|restored| *id < restored.first_replica_id) =>
        {
            return Err(format!(
                "controller {id} is of the cluster before it was restored from a backup; wipe it, and let it join under a new id"
            ));
        }
        Identity::Controller(_) => return Ok(()),
    };
    match state.host_identity(host) {
        Some(known) if known.revoked_at.is_some() => {
            Err(format!("host {host} was revoked; to take it in again, enrol it with a new token"))
        }
        Some(known) if known.key_sha256 == shown.key_sha256 => Ok(()),
        Some(_) => Err(format!("host {host} is another machine since: one has enrolled under its name")),
        None => Err(format!("host {host} is not enrolled, or was deleted")),
    }
}

/// The same connection, for as long as State has nothing against its holder: all that runs over it ends then, whichever
/// service it belongs to. Who is refused from the beginning keeps his connection, and hears why at each call.
pub fn while_admitted(accepted: Accepted, replica: &Replica) -> Accepted {
    let Some(shown) = accepted.certificate() else { return accepted };
    let Identity::Host(host) = shown.identity.clone() else { return accepted };
    // Listen before reading State, so that no change falls between.
    let (watch, replica) = (replica.watch_host(&host), replica.clone());
    if judge(&replica.state(), &shown).is_err() {
        return accepted;
    }
    accepted.until(async move {
        let refused = loop {
            watch.changed().await;
            if let Err(why) = judge(&replica.state(), &shown) {
                break why;
            }
        };
        tokio::time::sleep(LAST_WORDS).await;
        tracing::info!(host, why = refused, "connection closed");
    })
}
