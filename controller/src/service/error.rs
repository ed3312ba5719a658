//! Why a call was not answered as asked.

use rempart_model::Refusal;
use serde::{Deserialize, Serialize};

/// The service's errors, also across replicas.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub enum ServiceError {
    /// The core refused it, deterministically.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// The caller has no right to it. One and the same answer whether the thing exists or not.
    #[error("forbidden")]
    Forbidden,
    /// What the caller proved itself with was called back, or its key was taken away.
    #[error("revoked")]
    Revoked,
    /// A query parameter.
    #[error("{parameter}: {why}")]
    Parameter {
        /// Its name.
        parameter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Our side.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> ServiceError {
        ServiceError::Refused(refusal)
    }
}

/// What went wrong on our side. Nothing of the request is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// No leader is known: an election is under way, or a majority of replicas is down.
    #[error(
        "no controller leads at the moment; an election is under way or a majority of controllers is down"
    )]
    NoLeader,
    /// Not all replicas have taken part yet.
    #[error("the cluster is not founded yet: all its controllers have to run")]
    NotFounded,
    /// The leader changed while the call was under way.
    #[error("the leading controller changed while the call was under way")]
    LeadershipLost,
    /// The leader could not be reached, or did not answer.
    #[error("the leading controller did not answer")]
    LeaderUnreachable,
    /// Time ran out; the call may or may not take effect.
    #[error("the outcome is not known in time; read the resource to see whether it took effect")]
    OutcomeUnknown,
    /// This replica has not caught up.
    #[error("this controller has not caught up with the others")]
    Behind,
    /// Too much is under way.
    #[error("too many writes are under way")]
    Overloaded,
    /// Too many look for little in large collections.
    #[error("too many lists search large collections at the same time")]
    ManySearches,
    /// Postgres cannot keep up.
    #[error("the database of the leading controller cannot keep up")]
    StoreBehind,
    /// The entry would be too large.
    #[error("the request makes a log entry of {bytes} bytes, more than the limit")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The others do not take this replica's certificate: it was removed, or its certificate is not in force.
    #[error("the leading controller does not take this one for one of the cluster: {0}")]
    Excluded(String),
    /// This replica is going down.
    #[error("this controller is stopping")]
    Stopping,
    /// A defect of ours.
    #[error("internal: {0}")]
    Internal(String),
}

impl Fault {
    /// Trying again soon, with the same request id, may well succeed.
    pub fn helps_to_retry(&self) -> bool {
        matches!(
            self,
            Fault::NoLeader
                | Fault::NotFounded
                | Fault::LeadershipLost
                | Fault::LeaderUnreachable
                // The leader hands over while it stops.
                | Fault::Stopping
        )
    }

    /// A write that ended so may be in the log, now or later.
    pub fn leaves_doubt(&self) -> bool {
        matches!(self, Fault::LeadershipLost | Fault::LeaderUnreachable | Fault::OutcomeUnknown)
    }
}
