//! Consensus between controller replicas: openraft behind a thin adapter, and the only code that names it.
//!
//! ```text
//!   propose(bytes) --> gather --> openraft -- LogStore ----> "raft-log" thread --> rempart-wal (one fsync a group)
//!                                 |  ^ \
//!                                 |  |  +---- Network ------> peers' RaftService (gRPC, one Payload each way)
//!                                 |  +------ RaftService <--- peers
//!                                 +---- StateMachine ----> "raft-apply" thread --> Machine (the State)
//!                                                                   snapshot <-- Frozen --'
//! ```
//!
//! # Invariants
//!
//! - An entry is encoded once, by its proposer. The log, the wire and `apply` carry those bytes; nothing here looks inside.
//! - Nothing of openraft's own encodings is on disk or on the wire (its `serde` feature is off): `record` and
//!   `wire` are ours, and golden bytes hold them still.
//! - A proposal is answered after the entry is on a quorum's disks, is applied here, and the state that contains it is
//!   published. Whoever reads after the answer sees it.
//! - [`Machine::apply`] never sees an entry that is not on this replica's own disk as well. So what a projection keeps
//!   can never be ahead of the log beside it.
//! - [`ProposeError::Unknown`] is the only error after which the proposal may be in the log. Every other one means that
//!   it is not and never will be.
//! - The log is purged only up to a snapshot of this replica's own disk, whose content the machine has made durable, too.
//! - A cluster is founded by one replica, the lowest id, and only after every other named replica has said that it is
//!   empty (`bootstrap`). A replica with an entry or a vote is not empty.
//!
//! # Deliberately absent
//!
//! - Retrying and forwarding of proposals: a caller that knows whether its command is idempotent decides.
//! - Fairness between tenants: this queue is bounded in bytes and first come, first served.

mod bootstrap;
mod engine;
mod error;
mod failure_detector;
mod gather;
mod leadership;
mod log_store;
mod log_tail;
mod log_writer;
mod machine;
mod membership;
mod network;
mod node;
mod reading;
mod record;
mod restore;
mod server;
mod settings;
#[cfg(test)]
pub(crate) mod simulated;
mod snapshot;
mod state_machine;
mod wire;
mod workers;

#[cfg(test)]
mod tests;

pub use error::{ChangeError, ProposeError, SeeError, StartError, TransferError, WaitError};
pub use leadership::{Ballot, Leadership, Partners, Role, Status};
pub use machine::{Committed, Frozen, Machine, Members, Payload, Position, Proposal, Response};
pub use node::Node;
pub use restore::{begin_with, position_of_one};
pub use server::{RaftService, services};
pub use settings::{Limits, Settings, Timing};

/// The largest proposal in bytes; a larger one is refused before it reaches the log.
pub const MAX_PROPOSAL_BYTES: usize = 2 << 20;
