//! The durable, checksummed, append-only log under Raft.
//!
//! A [`Wal`] is a directory that holds consecutively numbered records (opaque bytes) and a few small named
//! values ("slots": Raft's vote, its committed index). It knows nothing about Raft and nothing about async:
//! every call blocks on the disk, and the caller gives it a thread of its own. [`WalReader`]s read beside it
//! and never wait for an fsync.
//!
//! ```text
//!   the directory                                      what is in it
//!   LOCK                                               flock: one process at a time; holds the owner's pid
//!   manifest                                           first live index, newest segment (a slot of our own)
//!   slot-vote, slot-committed                          the caller's values, see `slot`
//!   00000000000000000007.wal   [ 1 .. 900 ]            full: durable to its last record, never written again
//!   00000000000000000009.wal   [ 801 .. 1500 ]         starts at 801: what 7 holds from 801 on is void
//!   00000000000000000010.wal   [ 1501 .. 1507 |seal| zeros ]      the active segment
//! ```
//!
//! # Invariants
//!
//! - A segment file is written front to back, once. Nothing in it is replaced by other bytes, nothing
//!   recycled.
//! - Every segment but the newest is durable up to where the next one takes over, so damage there is never
//!   what a crash leaves.
//! - The newest segment that claims an index owns it. So a truncation is one atomic rename, which publishes a
//!   new segment that starts where the log now ends; no crash can mix removed records with newer ones.
//! - A seal is written only after the fdatasync of what is before it. So damage before a seal is damage to
//!   something that had been promised ([`Error::Corrupt`]), and damage with no seal behind it is a batch that
//!   a crash cut short, in whatever order its pages reached the disk.
//! - Every checksum covers the segment's random salt and the frame's offset: bytes of another life, or moved
//!   ones, are never live.
//! - After one failed write or fsync nothing more is accepted ([`Error::Poisoned`]). The kernel reports a
//!   failed writeback once and may drop the pages, so a second fsync that succeeds proves nothing.
//!
//! # Known limit
//!
//! A seal costs no fsync of its own: it becomes durable with the next batch, or when the kernel writes it
//! back. If a power cut takes the last seal, *and* the disk damages the batch before it, that batch looks
//! torn and is cut, with a warning. No log can tell the two apart without a second fsync per batch.
//!
//! # Deliberately absent
//!
//! - Caching of payloads: the kernel's page cache has them. In memory are eight bytes per record.
//! - Group commit: the caller batches ([`Wal::append`] many times, [`Wal::sync`] once).
//! - Recycling of purged segments: writing zeros ahead of the tail measures as fast at the median (0.11 ms
//!   for append + sync, see `examples/append_latency.rs`), and leaves no stale bytes to reason about.
//! - Repair: the log reports damage and refuses. The other replicas have the data; a guess would reach them
//!   too.

mod dir;
#[cfg(not(feature = "simulation"))]
mod disk;
#[cfg(feature = "simulation")]
pub mod disk;
mod error;
mod format;
mod index;
mod manifest;
mod options;
mod reader;
mod recover;
mod scan;
mod segment;
mod slot;
#[cfg(test)]
mod testing;
mod wal;

pub use error::Error;
pub use format::MAX_RECORD_BYTES;
pub use options::Options;
pub use reader::WalReader;
pub use slot::MAX_SLOT_BYTES;
pub use wal::Wal;
