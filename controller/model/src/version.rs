//! The replicated cluster version: which meanings may be written into the log.
//!
//! ```text
//!   program N-1:   reads and writes N-1, ...
//!   program N:     reads N-1 and N; writes what N brings once State says N
//!   State:         says N once every controller has said that it reads N (`Command::Upgrade`)
//! ```
//!
//! It goes up by one at a time and never down: what was written at a version is in logs, rows and snapshots for good, and a
//! program that does not know it halts there. Until it is raised, controllers of both releases take part side by side.
//!
//! | version | brings |
//! |---|---|
//! | 1 | everything before there was a version |
//! | 2 | `Command::Digest`: replicas compare what they have; `Command::Compare`, `Command::Resume`: a restored cluster is compared with its hosts; `Command::Put` of the region: its zones change |

use rempart_api::Kind;
use serde::{Deserialize, Serialize};

use crate::command::Command;

/// A cluster version. Where none is written, it is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterVersion(pub u32);

impl ClusterVersion {
    /// That of clusters from before there was one.
    pub const FIRST: ClusterVersion = ClusterVersion(1);
    /// The oldest that this program can run a cluster at. One less than the newest, or the first.
    pub const OLDEST: ClusterVersion = ClusterVersion(1);
    /// The newest that this program knows.
    pub const NEWEST: ClusterVersion = ClusterVersion(2);

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> ClusterVersion {
        ClusterVersion(self.0 + 1)
    }

    pub(crate) fn is_first(&self) -> bool {
        *self == Self::FIRST
    }

    /// Whether this program can take part in a cluster of this version.
    ///
    /// # Errors
    /// Why not, and which program can.
    pub fn check_known(self) -> Result<(), String> {
        if self > Self::NEWEST {
            return Err(format!(
                "the cluster is at version {self}, and this program knows versions {} to {}: install the release that the \
                 other controllers run",
                Self::OLDEST,
                Self::NEWEST
            ));
        }
        if self < Self::OLDEST {
            return Err(format!(
                "the cluster is at version {self}, and this program starts from version {}: upgrade one minor release after \
                 the other",
                Self::OLDEST
            ));
        }
        Ok(())
    }
}

impl Default for ClusterVersion {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for ClusterVersion {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(to)
    }
}

impl Command {
    /// The first cluster version at which it may be written. A command of before there were versions may be always.
    #[must_use]
    pub fn since(&self) -> ClusterVersion {
        match self {
            Self::Put(put) if put.urn.kind == Kind::Region => ClusterVersion(2),
            Self::Digest(_) | Self::Compare(_) | Self::Resume(_) => ClusterVersion(2),
            _ => ClusterVersion::FIRST,
        }
    }
}
