//! Replicas in one process, over real sockets and real disks.

mod bench;
mod cluster;
mod deaths;
mod failures;
mod growth;
pub(super) mod machine;
mod snapshots;
mod writes;
