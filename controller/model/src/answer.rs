//! What an entry answers its caller, and the compact form the request window keeps.

use std::sync::Arc;

use rempart_api::Urn;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::object::Object;
use crate::refusal::Refusal;

/// The replicated answer to a command.
pub type Outcome = Result<Answer, Refusal>;

/// What was accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A PUT was accepted.
    Put {
        /// The resource did not exist before.
        created: bool,
        /// The resource as this very PUT left it.
        object: Arc<Object>,
    },
    /// A delete or an action was accepted.
    Accepted,
    /// A command of the control plane itself was applied.
    Done,
}

/// An answer as the request window keeps it, so that a retry across a change of leader gets it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recorded {
    /// See [`Answer::Put`]. The object itself is read from the State when asked again.
    Put {
        /// See [`Answer::Put`].
        created: bool,
        /// Which resource.
        urn: Arc<Urn>,
        /// Which incarnation of it.
        uid: Uuid,
    },
    /// See [`Answer::Accepted`].
    Accepted,
    /// It was refused.
    Refused(Refusal),
}

impl Recorded {
    pub(crate) fn of(outcome: &Outcome) -> Option<Recorded> {
        match outcome {
            Ok(Answer::Put { created, object }) => {
                Some(Recorded::Put { created: *created, urn: object.urn.clone(), uid: object.uid })
            }
            Ok(Answer::Accepted) => Some(Recorded::Accepted),
            Ok(Answer::Done) => None,
            Err(refusal) => Some(Recorded::Refused(refusal.clone())),
        }
    }
}
