//! The cache of base images: read-only, content-addressed files `<image-dir>/<sha256>.<raw|qcow2>` under the volumes.
//! [`super::fetch`] brings them from the controllers; `reconcile` drops those no volume needs.
//!
//! An image is verified once: regular file, declared size, sound header, digest. That is remembered durably together
//! with the file's identity (inode, size, modification time); a file that looks different is verified again, and so is
//! one whose last verification is [`VERIFIED_FOR`] old: a disk also rots without a trace in the file's times.
//!
//! A file that turned out to be something else is remembered as such, and its place is taken by the image fetched anew, in
//! one rename: volumes that stand on it are never without a file.
//!
//! What never happens: a volume starts from bytes whose digest was not verified; a symbolic link is followed; a
//! format is probed.

use super::DiskError;
use crate::desired::{Blob, Digest};
use crate::durable;
use rempart_image_format::{Unfit, judge};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
mod tests;

const CHUNK_BYTES: usize = 1 << 20;
/// How long a verification holds.
const VERIFIED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Where an image stands on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageState {
    /// There is no such file.
    Missing,
    /// The file is there and was not verified, or changed since, or it is long ago.
    Unverified,
    /// The file was read and is not the image, or is no regular file: it has to be fetched anew.
    Refused,
    /// The file is the one that was verified.
    Verified,
}

/// The image directory and what is known of it.
#[derive(Debug, Clone)]
pub struct ImageStore {
    directory: PathBuf,
    records: PathBuf,
}

/// What came of a verification, and how to tell that the file is still the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verification {
    /// It is not the image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refused: bool,
    blob: Blob,
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Verification {
    fn of(blob: &Blob, file: &Metadata) -> Self {
        Self {
            refused: false,
            blob: blob.clone(),
            device: file.dev(),
            inode: file.ino(),
            size_bytes: file.len(),
            modified_s: file.mtime(),
            modified_ns: file.mtime_nsec(),
        }
    }
}

impl ImageStore {
    /// Images of `directory`; verifications are remembered in `records`.
    pub fn new(directory: impl Into<PathBuf>, records: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), records: records.into() }
    }

    /// The image's file.
    pub fn file(&self, blob: &Blob) -> PathBuf {
        self.directory.join(format!("{}.{}", blob.sha256, blob.format.name()))
    }

    /// Looks without reading the image.
    pub fn state(&self, blob: &Blob) -> ImageState {
        let Ok(file) = std::fs::symlink_metadata(self.file(blob)) else { return ImageState::Missing };
        if !file.is_file() {
            return ImageState::Refused;
        }
        // An unreadable record costs a verification, nothing else.
        let Some((remembered, fresh)) = self.recall(blob) else { return ImageState::Unverified };
        let refused = remembered.refused;
        if (Verification { refused, ..Verification::of(blob, &file) }) != remembered {
            return ImageState::Unverified;
        }
        match (refused, fresh) {
            (true, _) => ImageState::Refused,
            (false, true) => ImageState::Verified,
            (false, false) => ImageState::Unverified,
        }
    }

    /// What is remembered of an image, and whether it is from not too long ago.
    fn recall(&self, blob: &Blob) -> Option<(Verification, bool)> {
        let record = self.record(blob);
        let written = std::fs::metadata(&record).and_then(|record| record.modified()).ok()?;
        let remembered = serde_json::from_slice(&std::fs::read(&record).ok()?).ok()?;
        // A clock that was set back has it written in the future: that counts as long ago.
        Some((remembered, written.elapsed().is_ok_and(|age| age < VERIFIED_FOR)))
    }

    /// Where the image is written before it has its name.
    pub fn unfinished(&self, blob: &Blob) -> PathBuf {
        durable::unfinished(&self.file(blob))
    }

    /// Makes the unfinished file of an image anew, if there is room for the whole of it.
    pub fn begin(&self, blob: &Blob) -> Result<File, DiskError> {
        let path = self.unfinished(blob);
        let at = DiskError::at(&path);
        durable::remove(&path).map_err(&at)?;
        let disk = rustix::fs::statvfs(&self.directory).map_err(|errno| at(errno.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < blob.size_bytes {
            return Err(at(io::ErrorKind::StorageFull.into()));
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(at)
    }

    /// Gives an unfinished file its name, once it is the image that `blob` declares. Its bytes must be synced.
    pub fn admit(&self, blob: &Blob) -> Result<(), DiskError> {
        let (unfinished, path) = (self.unfinished(blob), self.file(blob));
        let at = DiskError::at(&path);
        let verification = check(&unfinished, blob)?;
        // QEMU's user reads it, nobody writes it, and its name cannot be guessed: the directory is not listable.
        std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o444)).map_err(&at)?;
        std::fs::rename(&unfinished, &path).map_err(&at)?;
        durable::sync_directory(&self.directory).map_err(&at)?;
        self.remember(blob, &verification)
    }

    /// Files of all images that are here.
    pub fn list(&self) -> Result<BTreeSet<PathBuf>, DiskError> {
        let at = DiskError::at(&self.directory);
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(&self.directory).map_err(&at)? {
            let path = entry.map_err(&at)?.path();
            let digest = path.file_stem().and_then(|stem| stem.to_str()).and_then(Digest::parse);
            let format = path.extension().and_then(|extension| extension.to_str());
            if digest.is_some() && matches!(format, Some("raw" | "qcow2")) {
                files.insert(path);
            }
        }
        Ok(files)
    }

    /// Removes an image's file, as [`ImageStore::list`] named it, and what is remembered of it.
    pub fn remove(&self, file: &Path) -> Result<(), DiskError> {
        durable::remove(file).map_err(DiskError::at(file))?;
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
        let record = self.records.join(format!("{name}.json"));
        durable::remove(&record).map_err(DiskError::at(&record))
    }

    /// Reads the whole image and remembers whether it is what `blob` declares.
    pub fn verify(&self, blob: &Blob) -> Result<(), DiskError> {
        let path = self.file(blob);
        let before = std::fs::symlink_metadata(&path);
        let checked = check(&path, blob);
        if let (Err(DiskError::ImageRefused { .. }), Ok(before)) = (&checked, &before) {
            self.remember(blob, &Verification { refused: true, ..Verification::of(blob, before) })?;
        }
        self.remember(blob, &checked?)
    }

    fn remember(&self, blob: &Blob, verification: &Verification) -> Result<(), DiskError> {
        let record = self.record(blob);
        let bytes = serde_json::to_vec(verification).map_err(|error| DiskError::ImageRefused {
            digest: blob.sha256.clone(),
            cause: error.to_string(),
        })?;
        durable::replace(&record, &bytes).map_err(DiskError::at(&record))
    }

    fn record(&self, blob: &Blob) -> PathBuf {
        self.records.join(format!("{}.{}.json", blob.sha256, blob.format.name()))
    }
}

/// Reads the whole file at `path`: it must be what `blob` declares.
fn check(path: &Path, blob: &Blob) -> Result<Verification, DiskError> {
    let refused = |cause: String| DiskError::ImageRefused { digest: blob.sha256.clone(), cause };
    let no_follow = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(no_follow.bits().cast_signed()).open(path).map_err(
            |cause| match Errno::from_io_error(&cause) {
                Some(Errno::NOENT) => DiskError::ImageMissing(blob.sha256.clone()),
                Some(Errno::LOOP) => refused("it is a symbolic link".into()),
                _ => DiskError::Io { path: path.to_path_buf(), cause },
            },
        )?;
    let before = file.metadata().map_err(DiskError::at(path))?;
    if !before.is_file() {
        return Err(refused("it is no regular file".into()));
    }
    if before.len() != blob.size_bytes {
        return Err(refused(format!("{} bytes, {} were declared", before.len(), blob.size_bytes)));
    }
    let mut read_at = |offset, buffer: &mut [u8]| super::read_at(&file, offset, buffer);
    let virtual_size_bytes = match judge(blob.format.judged(), before.len(), &mut read_at) {
        Ok(virtual_size_bytes) => virtual_size_bytes,
        Err(Unfit::Refused(why)) => return Err(refused(why)),
        Err(Unfit::Io(cause)) => return Err(DiskError::Io { path: path.to_path_buf(), cause }),
    };
    if virtual_size_bytes != blob.virtual_size_bytes {
        let declared = blob.virtual_size_bytes;
        return Err(refused(format!(
            "the disk in it has {virtual_size_bytes} bytes, {declared} were declared"
        )));
    }
    let digest = digest(&file).map_err(DiskError::at(path))?;
    if digest != blob.sha256.as_str() {
        return Err(refused(format!("its digest is {digest}")));
    }
    let after = file.metadata().map_err(DiskError::at(path))?;
    let verification = Verification::of(blob, &after);
    if verification != Verification::of(blob, &before) {
        return Err(refused("it changed while it was read".into()));
    }
    Ok(verification)
}

fn digest(mut file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(format!("{:x}", hasher.finalize())),
            count => hasher.update(&chunk[..count]),
        }
    }
}
