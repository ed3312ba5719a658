//! What can go wrong, and what each failure says about the log.

use std::io;

use super::MAX_PROPOSAL_BYTES;

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timing contradicts itself.
    #[error("timing of consensus: {0}")]
    Timing(String),
    /// The log cannot be opened.
    #[error("the log in {dir}: {source}")]
    Log {
        /// Its directory.
        dir: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The snapshots cannot be opened.
    #[error("the snapshots in {dir}: {source}")]
    Snapshots {
        /// The directory of the log, in which theirs is.
        dir: String,
        /// What is wrong.
        source: io::Error,
    },
    /// More was applied than the log still has.
    #[error(
        "Postgres holds the state as of entry {applied}, but the log ends at {last:?}: it lost entries, or its votes, that this \
         replica had promised to keep. It must not take part any more: remove it from the cluster (rempart cluster \
         remove), wipe its directories, and let it join under a new id"
    )]
    LogLost {
        /// The last entry that was applied.
        applied: u64,
        /// The last entry in the log.
        last: Option<u64>,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// What is on disk does not go together, or could not be applied.
    #[error("cannot take up the log: {0}")]
    Recovery(String),
}

/// Why a proposal was not applied, or why its caller cannot know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead. The proposal is not in the log and never will be.
    #[error("this replica does not lead")]
    NotLeader {
        /// Who does, and where it listens for its peers. `None` while that is open: during an election, and for the
        /// moment after it in which a new leader has not heard from a quorum.
        leader: Option<(u64, String)>,
    },
    /// The proposal may or may not be committed, now or later: time ran out or leadership was lost. For a read: whether
    /// this replica still leads could not be confirmed.
    #[error("the outcome is unknown")]
    Unknown,
    /// Too much is under way. The proposal is not in the log and never will be.
    #[error("too many proposals are under way")]
    Overloaded,
    /// It is larger than [`MAX_PROPOSAL_BYTES`]. It is not in the log and never will be.
    #[error("a proposal of {bytes} bytes is over the limit of {MAX_PROPOSAL_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Consensus has stopped on this replica. The proposal is not in the log and never will be.
    #[error("consensus has stopped on this replica")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This replica does not lead.
    #[error("this replica does not lead")]
    NotLeader,
    /// No other voter has all of the log.
    #[error("no other voter has caught up")]
    NoHeir,
    /// Asked, and not done in time. It may still happen; if not, the next election decides.
    #[error("leadership was not taken over in time")]
    Late,
}

/// Why an index is not known to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("not applied in time")]
    Late,
    /// Consensus has stopped on this replica.
    #[error("consensus has stopped on this replica")]
    Stopped,
}

/// Why a replica does not know whether it has seen everything.
#[derive(Debug, thiserror::Error)]
pub enum SeeError {
    /// A quorum has not said that it leads.
    #[error(transparent)]
    Leads(ProposeError),
    /// It did not apply in time what was committed, or stopped.
    #[error("this replica has not applied in time what was committed before")]
    Late,
}

/// Why the members were not changed, or why nobody can know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not done.
    #[error("{0}")]
    Refused(String),
    /// Not done in time; it may still happen.
    #[error("the outcome is not known in time")]
    Unknown,
}
