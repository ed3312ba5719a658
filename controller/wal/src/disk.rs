//! The calls whose order decides what a crash leaves, in one place: so that a simulation can keep what would be left, and
//! let the disk be full.
//!
//! Without the feature `simulation` they are the calls of the standard library and nothing else.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

#[cfg(feature = "simulation")]
pub(crate) use simulated::planted;
#[cfg(feature = "simulation")]
pub use simulated::{Event, plant, watch};
#[cfg(feature = "simulation")]
use simulated::{about_to_write, synced};

/// Writes all of `bytes`; not durable before [`sync_data`].
pub(crate) fn write_all_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
    about_to_write(path)?;
    file.write_all_at(bytes, offset)
}

/// Makes what was written durable.
pub(crate) fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    if planted("fsync-skipped") {
        return Ok(());
    }
    file.sync_data()?;
    synced(path)
}

/// A file is about to be made under a temporary name.
pub(crate) fn creating(path: &Path) -> io::Result<()> {
    about_to_write(path)
}

/// A file has appeared under its name, complete and for good.
pub(crate) fn published(path: &Path) -> io::Result<()> {
    synced(path)
}

#[cfg(not(feature = "simulation"))]
#[inline]
fn about_to_write(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(feature = "simulation"))]
#[inline]
fn synced(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Bugs are planted in simulations alone.
#[cfg(not(feature = "simulation"))]
#[inline]
pub(crate) const fn planted(_: &str) -> bool {
    false
}

#[cfg(feature = "simulation")]
mod simulated {
    use std::{
        cell::{Cell, RefCell},
        io,
        path::Path,
    };

    /// What happens to a file.
    #[derive(Debug, Clone, Copy)]
    pub enum Event<'a> {
        /// It is about to be written to: an error is the disk's.
        Write(&'a Path),
        /// What it holds now survives a power cut.
        Synced(&'a Path),
    }

    type Watcher = Box<dyn FnMut(Event<'_>) -> io::Result<()>>;

    thread_local! {
        static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// From now on `watcher` is told of everything that logs of this thread do on disk.
    pub fn watch(watcher: Option<Watcher>) {
        WATCHER.set(watcher);
    }

    /// From now on logs of this thread have the bug of this name.
    pub fn plant(bug: Option<&'static str>) {
        PLANTED.set(bug);
    }

    fn told(event: Event<'_>) -> io::Result<()> {
        WATCHER.with_borrow_mut(|watcher| watcher.as_mut().map_or(Ok(()), |watcher| watcher(event)))
    }

    pub(super) fn about_to_write(path: &Path) -> io::Result<()> {
        told(Event::Write(path))
    }

    pub(super) fn synced(path: &Path) -> io::Result<()> {
        told(Event::Synced(path))
    }

    pub(crate) fn planted(bug: &str) -> bool {
        PLANTED.get() == Some(bug)
    }
}
