//! How far a replica is: what a restart finds beside the rows.

use rempart_model::Core;

use super::digest::Digest;
use crate::raft::Position;
use crate::store::{Mark, Marked};

/// A place in the log, with what State holds there that is no object.
pub(super) struct Reached {
    pub(super) position: Position,
    pub(super) core: Core,
    /// Of the objects.
    pub(super) digest: Digest,
}

impl Marked for Reached {
    fn applied_index(&self) -> u64 {
        self.position.index()
    }

    fn mark(&self) -> Mark {
        Mark {
            applied_index: self.position.index(),
            membership: to_value(self.position.members()),
            position: to_value(&self.position),
            core: to_value(&self.core),
            digest: Some(self.digest.with_core(&self.core).to_string()),
        }
    }
}

fn to_value<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_else(|error| unreachable!("stored types are plain data: {error}"))
}
