//! Brings a base image from the controllers into this host's cache.
//!
//! Any controller will do, and another one goes on where the last one stopped. What arrives is verified as a whole before
//! it has an image's name. Blocks, like every step; it ends early when the agent stops.
//!
//! What never happens: bytes stand under an image's name that are not those; an image takes more space than was declared;
//! a silent controller holds a fetch up for longer than [`SILENCE`].

use super::DiskError;
use super::image::ImageStore;
use crate::desired::{Blob, ImageFormat};
use crate::identity::Controllers;
use crate::stop::Stop;
use rempart_proto::blob::v1 as wire;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

#[cfg(test)]
pub(crate) mod tests;

/// How long a controller may take to send the next bytes.
const SILENCE: Duration = Duration::from_secs(15);
/// Written bytes go to the disk this often: guests on the same disk must not wait behind all of them at once.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

/// Where images come from.
#[derive(Clone)]
pub struct ImageSource {
    pub(super) controllers: Controllers,
    pub(super) stop: Stop,
    pub(super) runtime: Handle,
    /// Which controller is asked first: not always the same.
    turn: Arc<AtomicUsize>,
}

impl ImageSource {
    /// From `controllers`, on the runtime this is called in.
    pub fn new(controllers: Controllers, stop: Stop) -> Self {
        Self { controllers, stop, runtime: Handle::current(), turn: Arc::default() }
    }

    /// Brings `blob` into `store`. Blocks; not to be called on a thread of the runtime.
    pub fn fetch(&self, store: &ImageStore, blob: &Blob) -> Result<(), DiskError> {
        let unfinished = store.unfinished(blob);
        let fetched = store.begin(blob).and_then(|file| {
            let copying = self.copy(blob, file, &unfinished);
            self.runtime.block_on(async {
                tokio::select! {
                    copied = copying => copied,
                    () = self.stop.wait() => Err(failed(blob, "the agent stops".into())),
                }
            })?;
            store.admit(blob)
        });
        // Nothing of what failed is used again: the next attempt is clean.
        fetched.inspect_err(|_| _ = std::fs::remove_file(&unfinished))
    }

    /// Copies all bytes into `file`, from one controller after the other until each has failed in a row.
    async fn copy(&self, blob: &Blob, mut file: File, path: &Path) -> Result<(), DiskError> {
        let addresses = self.controllers.addresses();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let (mut offset, mut failures, mut trouble) = (0, 0, "no controller is configured".to_owned());
        while failures < addresses.len() {
            let address = &addresses[(first + failures) % addresses.len()];
            let before = offset;
            match self.copy_from(address, blob, &mut file, &mut offset).await {
                Ok(()) => return file.sync_all().map_err(DiskError::at(path)),
                Err(Trouble::Disk(cause)) => return Err(DiskError::Io { path: path.to_path_buf(), cause }),
                Err(Trouble::Controller(why)) => trouble = format!("controller at {address}: {why}"),
            }
            tracing::info!(%address, digest = %blob.sha256, offset, trouble, "an image's bytes ended early");
            failures = if offset > before { 0 } else { failures + 1 };
        }
        Err(failed(blob, trouble))
    }

    async fn copy_from(
        &self,
        address: &str,
        blob: &Blob,
        file: &mut File,
        offset: &mut u64,
    ) -> Result<(), Trouble> {
        let silent = |_| Trouble::Controller(format!("silent for {} s", SILENCE.as_secs()));
        let opening = async {
            let connection =
                self.controllers.at(address).await.map_err(|error| Trouble::Controller(error.to_string()))?;
            let request = wire::ReadRequest { blob: Some(to_wire(blob)), offset: *offset };
            let opened = BlobsClient::new(connection).read(request).await;
            opened.map_err(|status| Trouble::Controller(status.message().to_owned()))
        };
        let mut pieces = timeout(SILENCE, opening).await.map_err(silent)??.into_inner();
        let mut unsynced = 0;
        while *offset < blob.size_bytes {
            let piece = timeout(SILENCE, pieces.message()).await.map_err(silent)?;
            let piece = piece.map_err(|status| Trouble::Controller(status.message().to_owned()))?;
            let Some(piece) = piece else { return Err(Trouble::Controller("it ended early".into())) };
            let count = piece.bytes.len() as u64;
            if count > blob.size_bytes - *offset {
                return Err(Trouble::Controller("it sent more than was declared".into()));
            }
            // Between awaits: this thread is for blocking, and nothing else runs on it.
            file.write_all(&piece.bytes).map_err(Trouble::Disk)?;
            *offset += count;
            unsynced += count;
            if unsynced >= SYNC_EVERY_BYTES {
                file.sync_data().map_err(Trouble::Disk)?;
                unsynced = 0;
            }
        }
        Ok(())
    }
}

enum Trouble {
    Controller(String),
    Disk(io::Error),
}

fn failed(blob: &Blob, cause: String) -> DiskError {
    DiskError::ImageFetchFailed { digest: blob.sha256.clone(), cause }
}

fn to_wire(blob: &Blob) -> wire::Blob {
    let format = match blob.format {
        ImageFormat::Raw => wire::Format::Raw,
        ImageFormat::Qcow2 => wire::Format::Qcow2,
    };
    wire::Blob {
        sha256: blob.sha256.to_string(),
        format: format.into(),
        size_bytes: blob.size_bytes,
        virtual_size_bytes: blob.virtual_size_bytes,
    }
}
