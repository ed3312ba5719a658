//! Copies of volumes, from the hosts that were asked for them: taken in on the leader as an upload is, spread to a
//! majority, and made the content of their image.
//!
//! What never happens: a host gives bytes to an image it was not asked to copy for, or names bytes it did not send.

use std::time::Duration;

use rempart_api::storage::BlobFormat;
use rempart_model::{CaptureCommand, Command, Detail, Spec};
use rempart_proto::blob::v1 as wire;
use rempart_proto::blob::v1::deposit_piece::Piece;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Blobs, Expected, server};
use crate::replica::propose_as_system;

/// A host that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(20);

impl Blobs {
    pub(super) async fn take_copy(
        &self,
        host: String,
        mut pieces: Streaming<wire::DepositPiece>,
    ) -> Result<(), Status> {
        if !self.inner.node.is_leader() {
            return Err(Status::failed_precondition("this controller does not lead"));
        }
        let Some(Piece::Copy(copy)) = next(&mut pieces).await? else {
            return Err(Status::invalid_argument("a copy begins with what it is"));
        };
        let uid = |text: &str| Uuid::parse_str(text).map_err(|_| Status::invalid_argument("it names no uid"));
        let (volume, image) = (uid(&copy.volume_uid)?, uid(&copy.image_uid)?);
        let (name, blob) = server::from_wire(copy.blob)?;
        if blob.format != BlobFormat::Qcow2 {
            return Err(Status::invalid_argument("a copy is a qcow2 file"));
        }
        let size_bytes = self.asked(&host, volume, copy.epoch, image)?;
        let expected = Expected {
            // Its tables are on top of what the disk holds: far less than a hundredth of it.
            limit_bytes: size_bytes + size_bytes / 100 + (64 << 20),
            virtual_limit_bytes: size_bytes,
            ..Expected::exactly(name, &blob)
        };
        // Also where they are here already: who only names a digest gets nothing for it.
        let failed = |error: super::BlobError| Status::failed_precondition(error.to_string());
        let mut incoming = self.begin(expected).await.map_err(failed)?;
        while let Some(piece) = next(&mut pieces).await? {
            let Piece::Bytes(bytes) = piece else {
                return Err(Status::invalid_argument("bytes follow what it is"));
            };
            incoming.push(bytes).await.map_err(failed)?;
        }
        incoming.finish().await.map_err(failed)?;
        self.spread(&blob).await.map_err(|error| Status::unavailable(error.to_string()))?;
        let capture = CaptureCommand { host, volume, epoch: copy.epoch, image, content: blob };
        let outcome = propose_as_system(&self.inner.node, Command::Capture(capture)).await;
        match &*outcome.map_err(|error| Status::unavailable(error.to_string()))? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(Status::failed_precondition(refusal.detail.clone())),
        }
    }

    /// Size of the volume that `host` was asked to copy for this image.
    fn asked(&self, host: &str, volume: Uuid, epoch: u64, image: Uuid) -> Result<u64, Status> {
        let state = self.inner.replica.state();
        let found = state.by_uid(volume).and_then(|volume| {
            let placement = volume.placement()?;
            let (Spec::BlockStorage(spec), Detail::Volume(detail)) = (&volume.spec, &volume.detail) else {
                return None;
            };
            let asked = detail.capture.as_ref()?.image == image;
            let here = placement.host == host && placement.epoch == epoch;
            (asked && here).then_some(u64::from(spec.size_gb) << 30)
        });
        found.ok_or_else(|| Status::permission_denied("this copy is not, or no longer, asked for"))
    }
}

async fn next(pieces: &mut Streaming<wire::DepositPiece>) -> Result<Option<Piece>, Status> {
    let message = timeout(SILENCE, pieces.message()).await;
    let message = message.map_err(|_| Status::deadline_exceeded("the host fell silent"))??;
    match message {
        None => Ok(None),
        Some(message) => message.piece.map(Some).ok_or_else(|| Status::invalid_argument("an empty message")),
    }
}
