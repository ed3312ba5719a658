//! Snapshots: the whole state at one index, as a file that stands in for the log up to there.
//!
//! ```text
//!   freeze (O(1), between two entries) --> write, off the thread that applies --> NNN.snapshot     (of one's own)
//!   leader's NNN.snapshot --> pieces over gRPC --> ID.part, resumed where it ended --> verified --> installed
//! ```
//!
//! # Invariants
//!
//! - A file with a final name is complete, fsynced, and was whole when it got its name.
//! - There is at most one current snapshot. A newer one takes its place by a rename; who still reads the old one reads on.
//! - A snapshot is current only after the machine made what it holds durable elsewhere, too ([`Frozen::wait_durable`]), or
//!   when consensus told this replica to install it. So the log may be purged up to the current snapshot.
//! - Nothing received is installed before its last checksum was verified.
//!
//! [`Frozen::wait_durable`]: super::machine::Frozen::wait_durable

mod compaction;
mod dir;
mod file;
mod transfer;

pub(super) use compaction::run as keep_short;
pub(crate) use dir::{SnapshotDir, SnapshotFile};
pub(super) use transfer::{Incoming, Sending};

#[cfg(test)]
mod tests;
