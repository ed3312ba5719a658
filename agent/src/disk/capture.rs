//! Copies of volumes on their way to be images: made of a volume that no guest has open, and given to the leader.
//!
//! A copy is one qcow2 file that needs no other: what the volume has of its base image is in it, too. It stands under its
//! name once it is complete and on the disk, so a crash costs the work and nothing else. Each step may be repeated.
//!
//! What never happens: a copy of a disk that somebody writes to (`plan` sees to it; QEMU's image lock is the last line of
//! defence); a copy outlives the wish for it.

use super::DiskError;
use super::fetch::ImageSource;
use super::volume::{self, Bounds};
use crate::durable;
use rempart_proto::blob::v1 as wire;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::blob::v1::deposit_piece::Piece;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// Copying takes as long as the volume is large.
const COPYING: Bounds = Bounds { time: Duration::from_secs(6 * 3600), cpu_s: 3600 };
const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 4;
/// How long the leader may be unknown, or not answer, before the next attempt.
const LEADER_WITHIN: Duration = Duration::from_secs(15);
/// How long a deposit may take: this, and one second more per so many bytes.
const DEPOSIT_LEAST: Duration = Duration::from_secs(120);
const DEPOSIT_BYTES_PER_SECOND: u64 = 4 << 20;

/// Copies the volume at `volume` to `copy`.
pub fn make(volume: &Path, copy: &Path) -> Result<(), DiskError> {
    let at = DiskError::at(copy);
    let unfinished = durable::unfinished(copy);
    durable::remove(&unfinished).map_err(&at)?;
    // qemu-img would make it readable for all; a file that is there it empties and keeps the mode of.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(&at)?;
    let mut command = volume::tool("convert");
    command.args(["-f", "qcow2", "-O", "qcow2"]).arg(volume).arg(&unfinished);
    let copied = volume::run("convert", &mut command, COPYING);
    // A copy that failed for want of room must not keep it.
    copied.inspect_err(|_| _ = fs::remove_file(&unfinished))?;
    volume::sync(&unfinished).map_err(&at)?;
    fs::rename(&unfinished, copy).map_err(&at)?;
    copy.parent().map_or(Ok(()), durable::sync_directory).map_err(at)
}

/// The complete copies in `dir`: of which volumes, for which images.
pub fn list(dir: &Path) -> io::Result<BTreeMap<Uuid, BTreeSet<Uuid>>> {
    let mut list: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let uids = name.to_str().and_then(|name| name.strip_suffix(".qcow2")?.split_once('.'));
        let uids = uids
            .and_then(|(volume, image)| Some((Uuid::try_parse(volume).ok()?, Uuid::try_parse(image).ok()?)));
        if let Some((volume, image)) = uids {
            list.entry(volume).or_default().insert(image);
        }
    }
    Ok(list)
}

impl ImageSource {
    /// Gives a copy to the leader, who makes it the image's content. Blocks; not to be called on a thread of the runtime.
    pub fn deposit(&self, copy: &Path, volume: Uuid, epoch: u64, image: Uuid) -> Result<(), DiskError> {
        let blob = describe(copy).map_err(DiskError::at(copy))?;
        let patience = DEPOSIT_LEAST + Duration::from_secs(blob.size_bytes / DEPOSIT_BYTES_PER_SECOND);
        let head = wire::Copy {
            volume_uid: volume.to_string(),
            epoch,
            image_uid: image.to_string(),
            blob: Some(blob),
        };
        let file = File::open(copy).map_err(DiskError::at(copy))?;
        let (sender, receiver) = mpsc::channel(PIECES);
        // It ends with the call: its receiver is then gone.
        self.runtime.spawn_blocking(move || read(file, head, &sender));
        let failed = |why: String| DiskError::DepositFailed(why);
        let sending = async {
            let leader = timeout(LEADER_WITHIN, self.controllers.leader()).await;
            let leader = leader.map_err(|_| failed("no controller leads".into()))?;
            let leader = leader.map_err(|error| failed(error.to_string()))?;
            let given =
                timeout(patience, BlobsClient::new(leader).deposit(ReceiverStream::new(receiver))).await;
            given
                .map_err(|_| failed(format!("no answer within {} s", patience.as_secs())))?
                .map_err(|status| failed(status.message().to_owned()))
        };
        self.runtime.block_on(async {
            tokio::select! {
                sent = sending => sent.map(drop),
                () = self.stop.wait() => Err(failed("the agent stops".into())),
            }
        })
    }
}

fn read(mut file: File, head: wire::Copy, sender: &mpsc::Sender<wire::DepositPiece>) {
    let mut next = Piece::Copy(head);
    while sender.blocking_send(wire::DepositPiece { piece: Some(next) }).is_ok() {
        let mut bytes = vec![0; PIECE_BYTES];
        match file.read(&mut bytes) {
            Ok(count) if count > 0 => bytes.truncate(count),
            // What could not be read is missing over there, and refused.
            _ => return,
        }
        next = Piece::Bytes(bytes.into());
    }
}

fn describe(copy: &Path) -> io::Result<wire::Blob> {
    let header = volume::read(copy).map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
    let mut file = File::open(copy)?;
    let (mut hasher, mut size_bytes, mut bytes) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            count => {
                hasher.update(&bytes[..count]);
                size_bytes += count as u64;
            }
        }
    }
    Ok(wire::Blob {
        sha256: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        format: wire::Format::Qcow2.into(),
        size_bytes,
        virtual_size_bytes: header.virtual_size_bytes,
    })
}
