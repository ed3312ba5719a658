//! Judges the bytes of a disk image against the format it was declared to have. Controllers do it when an image is
//! uploaded, agents when they have fetched it: both with this crate, so that both mean the same.
//!
//! What always holds: the format is declared, never found out; no length in a file is believed; memory does not grow
//! with the file, and no more is read than there is. Absent on purpose: opening files, digests, and every format but raw
//! and qcow2, of which only the signatures are known, so that they can be refused by name.

use std::io;

pub mod qcow2;
mod signature;
mod tables;
#[cfg(test)]
mod tests;

pub use qcow2::{HEADER_WINDOW_BYTES, Header, HeaderError, MAX_VIRTUAL_SIZE_BYTES};

/// How bytes encode a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The disk, byte by byte.
    Raw,
    /// QEMU copy-on-write, version 2 or 3.
    Qcow2,
}

/// Raw disks come in whole sectors.
const SECTOR_BYTES: u64 = 512;

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The bytes are not what was declared, or not what we accept. The words are for whoever sent them.
    #[error("{0}")]
    Refused(String),
    /// The bytes could not be read.
    #[error("reading the image: {0}")]
    Io(#[from] io::Error),
}

fn refused<T>(why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Refused(why.into()))
}

/// Reads bytes of a file at an offset; less than asked for only at its end.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<usize> + 'a;

/// Judges the first bytes of an image, so that what is bad is refused before the rest is sent. `window` is the first
/// [`HEADER_WINDOW_BYTES`] of the file, or all of it if it is smaller.
///
/// # Errors
/// What is wrong with them.
pub fn judge_beginning(format: Format, window: &[u8]) -> Result<(), Unfit> {
    match format {
        Format::Raw => match signature::of(window) {
            None => Ok(()),
            Some(found) => refused(format!("declared as raw, but the bytes begin as {found}")),
        },
        Format::Qcow2 => qcow2_header(window).map(|_| ()),
    }
}

/// Judges a whole image of `file_bytes` bytes and returns the size in bytes of the disk in it.
///
/// # Errors
/// What is wrong with it, or why it could not be read.
pub fn judge(format: Format, file_bytes: u64, read_at: &mut ReadAt<'_>) -> Result<u64, Unfit> {
    let mut window = vec![0; HEADER_WINDOW_BYTES];
    let filled = read_at(0, &mut window)?;
    window.truncate(filled);
    judge_beginning(format, &window)?;
    match format {
        Format::Raw if file_bytes == 0 => refused("it is empty"),
        Format::Raw if !file_bytes.is_multiple_of(SECTOR_BYTES) => refused(format!(
            "a raw disk has whole sectors of {SECTOR_BYTES} bytes; this is {file_bytes} bytes"
        )),
        Format::Raw if file_bytes > MAX_VIRTUAL_SIZE_BYTES => {
            refused(format!("a disk of {file_bytes} bytes"))
        }
        Format::Raw => Ok(file_bytes),
        Format::Qcow2 => {
            let header = qcow2_header(&window)?;
            header.check_tables(file_bytes).map_err(|error| Unfit::Refused(error.to_string()))?;
            tables::check(&header, file_bytes, read_at)?;
            Ok(header.virtual_size_bytes)
        }
    }
}

fn qcow2_header(window: &[u8]) -> Result<Header, Unfit> {
    let header = Header::parse(window).and_then(|header| {
        header.check_stands_alone()?;
        Ok(header)
    });
    header.map_err(|error| match (error, signature::of(window)) {
        (HeaderError::NotQcow2, Some(found)) => {
            Unfit::Refused(format!("declared as qcow2, but the bytes begin as {found}"))
        }
        (error, _) => Unfit::Refused(error.to_string()),
    })
}
