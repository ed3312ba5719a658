//! Why a console was not opened: one list, from the leader's answer to the caller's status.

use rempart_model::RefusalClass;
use tonic::{Code, Status};

use crate::service::{Fault, ServiceError};

/// Why not. The words are for the caller: what, why, what next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token, or one that is not good (any more).
    #[error("{0}")]
    Token(String),
    /// The caller has no right to it; or the token is for something else.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such instance.
    #[error("{0}")]
    NotFound(String),
    /// The instance is off, or has too many consoles.
    #[error("{0}")]
    Conflict(String),
    /// The caller has too many consoles.
    #[error("{0}")]
    TooMany(String),
    /// The host, or the leader, cannot be reached just now.
    #[error("{0}")]
    Unavailable(String),
    /// A defect of ours; the words are for the log.
    #[error("{0}")]
    Internal(String),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let words = refused.to_string();
        match refused {
            Refused::Token(_) => Status::unauthenticated(words),
            Refused::Forbidden(_) => Status::permission_denied(words),
            Refused::NotFound(_) => Status::not_found(words),
            Refused::Conflict(_) => Status::failed_precondition(words),
            Refused::TooMany(_) => Status::resource_exhausted(words),
            Refused::Unavailable(_) => Status::unavailable(words),
            Refused::Internal(_) => Status::internal(words),
        }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Refused {
        let words = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Refused::Token(words),
            Code::PermissionDenied => Refused::Forbidden(words),
            Code::NotFound => Refused::NotFound(words),
            Code::FailedPrecondition => Refused::Conflict(words),
            Code::ResourceExhausted => Refused::TooMany(words),
            Code::Internal => Refused::Internal(words),
            _ => Refused::unavailable(),
        }
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Refused {
        match error {
            ServiceError::Revoked => {
                Refused::Token("the token was called back, or its service account's key was".to_owned())
            }
            ServiceError::Forbidden => Refused::Forbidden(
                "your subject has no right to do this here; ask an owner of the tenant, or the operator of this cloud".to_owned(),
            ),
            ServiceError::Refused(refusal) if refusal.class == RefusalClass::NotFound => {
                Refused::NotFound(refusal.detail)
            }
            ServiceError::Refused(refusal) => Refused::Conflict(refusal.detail),
            ServiceError::Fault(Fault::Internal(words)) => Refused::Internal(words),
            other => {
                tracing::debug!(error = %other, "a console has to wait");
                Refused::unavailable()
            }
        }
    }
}

impl Refused {
    pub(super) fn unavailable() -> Refused {
        Refused::Unavailable(
            "the control plane is changing its leading controller; ask for a new console in a few seconds"
                .to_owned(),
        )
    }

    pub(super) fn host_away() -> Refused {
        Refused::Unavailable(
            "the host of the instance does not answer just now, though the instance may well run; try again in a while"
                .to_owned(),
        )
    }

    pub(super) fn off(urn: &rempart_api::Urn) -> Refused {
        Refused::Conflict(format!("{urn} is off; start it first (its serial log can be read meanwhile)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_leader_is_the_same_at_any_replica() {
        let words = || "why".to_owned();
        for refused in [
            Refused::Token(words()),
            Refused::Forbidden(words()),
            Refused::NotFound(words()),
            Refused::Conflict(words()),
            Refused::TooMany(words()),
            Refused::Internal(words()),
            Refused::unavailable(),
        ] {
            assert_eq!(Refused::from(Status::from(refused.clone())), refused);
        }
    }
}
