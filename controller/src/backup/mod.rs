//! Backups of the control plane: taken while it runs, restored into a new cluster.
//!
//! ```text
//!   take     State (O(1) copy) + history (Postgres) + sealed keys -> content -> age -> HTTP, as fast as the line takes it
//!   restore  age -> content: all of it verified -> raised (`State::restored`) -> Postgres, snapshot, vote -> cluster directory
//! ```
//!
//! What always holds: no clear text leaves the process; what is in memory at a time does not grow with the history; writes go
//! on meanwhile; `root.key` is in no backup; a restore writes nothing before it has verified everything.
//!
//! Deliberately absent: the bytes of images, which are named by their digests and are copied as files; schedules and places
//! to keep backups at, which every site has already.

pub mod age;
mod content;
pub mod restore;
mod take;

pub use content::{End, Head};
pub use take::{BackupError, Backups, Pieces};

#[cfg(test)]
mod tests;
