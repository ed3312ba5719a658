//! Who is at the other end of a call. Every service of the internal listener asks here, first thing:
//!
//! ```ignore
//! let host = rempart_identity::require_host(&request)?;       // only hosts may call; this one does
//! let id = rempart_identity::require_controller(&request)?;   // only replicas may call
//! match rempart_identity::identity(&request)? { .. }          // either may
//! ```

use std::sync::Arc;

use tonic::{Request, Status};

use crate::{Caller, Certificate, Identity};

/// What the listener's owner made of a caller.
#[derive(Debug, Clone)]
struct Admission(Result<Identity, String>);

/// Notes on `request` who sent it, for the services behind: the holder of the connection's certificate, if that is in
/// force and `judge` has nothing against it (the error is told to the caller). For the listener's interceptor.
pub fn admit<T>(
    mut request: Request<T>,
    judge: impl FnOnce(&Certificate) -> Result<(), String>,
) -> Request<T> {
    let admitted = match certificate(&request) {
        None => Err("this call needs a certificate of the cluster; join it first".to_owned()),
        Some(shown) if shown.is_expired() => {
            Err(format!("the certificate of {} has expired; renew it", shown.identity))
        }
        Some(shown) => judge(&shown).map(|()| shown.identity.clone()),
    };
    request.extensions_mut().insert(Admission(admitted));
    request
}

/// The certificate of the connection that `request` came over: verified, but maybe expired, and of a host that may be
/// revoked.
pub fn certificate<T>(request: &Request<T>) -> Option<Arc<Certificate>> {
    request.extensions().get::<Caller>().and_then(|caller| caller.0.clone())
}

/// Who sent `request`.
///
/// # Errors
/// `unauthenticated`, in words for the log at the other end.
pub fn identity<T>(request: &Request<T>) -> Result<Identity, Status> {
    match request.extensions().get::<Admission>() {
        Some(Admission(Ok(identity))) => Ok(identity.clone()),
        Some(Admission(Err(why))) => Err(Status::unauthenticated(why.clone())),
        None => Err(Status::unauthenticated("nobody is admitted on this listener")),
    }
}

/// The name of the host that sent `request`.
///
/// # Errors
/// As [`identity`]; `permission_denied` when it is no host.
pub fn require_host<T>(request: &Request<T>) -> Result<String, Status> {
    match identity(request)? {
        Identity::Host(name) => Ok(name),
        other => Err(Status::permission_denied(format!("only hosts may call this, and {other} is none"))),
    }
}

/// The id of the controller that sent `request`.
///
/// # Errors
/// As [`identity`]; `permission_denied` when it is no controller.
pub fn require_controller<T>(request: &Request<T>) -> Result<u64, Status> {
    match identity(request)? {
        Identity::Controller(id) => Ok(id),
        other => {
            Err(Status::permission_denied(format!("only controllers may call this, and {other} is none")))
        }
    }
}
