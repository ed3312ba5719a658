//! Who is at the other end of a call. Every service of the internal listener asks here, first thing:
//!
//! ```ignore
//! let host = rempart_identity::require_host(&request)?;       // only hosts may call; this one does
//! let id = rempart_identity::require_controller(&request)?;   // only replicas may call
//! match rempart_identity::identity(&request)? { .. }          // either may
//! ```

use tonic::{Request, Status};

use crate::Identity;

/// Who sent `request`.
///
/// # Errors
/// `unauthenticated`, in words for the log at the other end.
pub fn identity<T>(request: &Request<T>) -> Result<Identity, Status> {
    let identity = request.extensions().get::<Identity>().cloned();
    identity
        .ok_or_else(|| Status::unauthenticated("this call needs the credential of a machine of the cluster"))
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
