//! The log of a guest's serial port: reading its end, and keeping it small.
//!
//! Whatever a guest says goes into `serial.log` by the hypervisor's own hand, also while no agent runs and nobody
//! watches. Where libvirt uses virtlogd (its default), virtlogd writes and rotates it. Where QEMU writes it (as under
//! `scripts/hypervisor`) it would grow for ever: then [`keep_small`] moves its end to `serial.log.0`, as virtlogd would,
//! and empties it. QEMU appends, so it writes on at the new end. What it writes between the last look and the emptying
//! is lost: some bytes, of a guest that writes megabytes.

use crate::durable;
use crate::layout::DataDir;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The part of a log that is kept when it is cut: one of so many.
const KEEP_ONE_OF: u64 = 4;
/// The most that is read at once, in bytes.
pub(super) const MAX_TAIL_BYTES: usize = 1 << 20;

fn current(run_dir: &Path) -> PathBuf {
    run_dir.join("serial.log")
}

/// What came before the current one; virtlogd numbers them the same way.
fn previous(run_dir: &Path) -> PathBuf {
    run_dir.join("serial.log.0")
}

/// The last `bytes` of the log, at most [`MAX_TAIL_BYTES`]. Blocks. Empty when the guest never ran.
pub(super) fn tail(run_dir: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    let wanted = bytes.min(MAX_TAIL_BYTES);
    let mut newest = end_of(&current(run_dir), wanted)?;
    if newest.len() < wanted {
        let mut all = end_of(&previous(run_dir), wanted - newest.len())?;
        all.append(&mut newest);
        return Ok(all);
    }
    Ok(newest)
}

fn end_of(path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = match open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes as u64)))?;
    let mut end = Vec::new();
    // It may be growing.
    file.take(bytes as u64).read_to_end(&mut end)?;
    Ok(end)
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Cuts every guest's log that has grown beyond `at_bytes`. Blocks.
pub(super) fn keep_small(data: &DataDir, at_bytes: u64) {
    let Ok(guests) = std::fs::read_dir(data.guests_dir()) else { return };
    for guest in guests.flatten() {
        let Some(uid) = guest.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok()) else {
            continue;
        };
        if let Err(error) = cut(&data.run_dir(uid), at_bytes, at_bytes / KEEP_ONE_OF) {
            tracing::warn!(instance = %uid, %error, "the serial log cannot be cut; it grows");
        }
    }
}

fn cut(run_dir: &Path, at_bytes: u64, keep_bytes: u64) -> io::Result<()> {
    let path = current(run_dir);
    match path.symlink_metadata() {
        Ok(found) if found.len() > at_bytes => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut file = open(&path, true)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(keep_bytes)))?;
    let mut end = Vec::new();
    // Whatever comes meanwhile, up to as much again.
    (&file).take(2 * keep_bytes).read_to_end(&mut end)?;
    durable::replace(&previous(run_dir), &end)?;
    file.set_len(0)
}
