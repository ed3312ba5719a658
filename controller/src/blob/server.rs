//! The side of the blobs that other machines see: peers take and give any, a host reads those of its own volumes.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_identity::{Identity, identity, require_controller, require_host};
use rempart_model::Detail;
use rempart_proto::blob::v1 as wire;
use rempart_proto::blob::v1::blobs_server::Blobs as BlobsRpc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{BlobError, BlobName, Blobs};

/// Bytes per message.
const PIECE_BYTES: u64 = 256 << 10;
/// Messages read ahead of the connection.
const PIECES: usize = 4;
/// How long a caller waits for this replica's State to have what its own has.
const CATCH_UP: Duration = Duration::from_secs(2);

pub(super) fn to_wire(blob: &BlobSpec) -> wire::Blob {
    let format = match blob.format {
        BlobFormat::Raw => wire::Format::Raw,
        BlobFormat::Qcow2 => wire::Format::Qcow2,
    };
    wire::Blob {
        sha256: blob.sha256.clone(),
        format: format.into(),
        size_bytes: blob.size_bytes,
        virtual_size_bytes: blob.virtual_size_bytes,
    }
}

pub(super) fn from_wire(blob: Option<wire::Blob>) -> Result<(BlobName, BlobSpec), Status> {
    let blob = blob.ok_or_else(|| Status::invalid_argument("no blob is named"))?;
    let format = match blob.format() {
        wire::Format::Raw => BlobFormat::Raw,
        wire::Format::Qcow2 => BlobFormat::Qcow2,
        wire::Format::Unspecified => return Err(Status::invalid_argument("a blob has a format")),
    };
    let name = BlobName::new(&blob.sha256, format)
        .ok_or_else(|| Status::invalid_argument("a digest has 64 lower-case hexadecimal digits"))?;
    let spec = BlobSpec {
        sha256: blob.sha256,
        format,
        size_bytes: blob.size_bytes,
        virtual_size_bytes: blob.virtual_size_bytes,
    };
    Ok((name, spec))
}

impl Blobs {
    /// Whether a volume of this host, in the State of this replica, stands on the blob.
    fn is_of_host(&self, host: &str, blob: &BlobSpec) -> bool {
        self.inner.replica.state().on_host(host).any(
            |object| matches!(&object.detail, Detail::Volume(volume) if volume.content.as_ref() == Some(blob)),
        )
    }
}

#[tonic::async_trait]
impl BlobsRpc for Blobs {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<wire::Piece, Status>> + Send>>;

    async fn pull(
        &self,
        request: Request<wire::PullRequest>,
    ) -> Result<Response<wire::PullResponse>, Status> {
        // From the caller, by the address this replica knows of it: no message makes us connect to anywhere else.
        let from = require_controller(&request)?;
        let (_, blob) = from_wire(request.into_inner().blob)?;
        let blobs = self.clone();
        // A caller that has its majority does not wait; the bytes are taken all the same.
        let pulled = tokio::spawn(async move { blobs.pull(from, &blob).await }).await;
        match pulled.map_err(|error| Status::internal(error.to_string()))? {
            Ok(()) => Ok(Response::new(wire::PullResponse {})),
            Err(error @ BlobError::Full { .. }) => Err(Status::resource_exhausted(error.to_string())),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn has(&self, request: Request<wire::HasRequest>) -> Result<Response<wire::HasResponse>, Status> {
        require_controller(&request)?;
        let (name, blob) = from_wire(request.into_inner().blob)?;
        self.want(name);
        Ok(Response::new(wire::HasResponse { held: self.holds(&blob) }))
    }

    async fn compare(
        &self,
        request: Request<wire::CompareRequest>,
    ) -> Result<Response<wire::CompareResponse>, Status> {
        require_controller(&request)?;
        let deadline = Instant::now() + CATCH_UP;
        let reached = self.inner.node.wait_applied(request.into_inner().applied_index, deadline).await;
        reached.map_err(|_| Status::unavailable("its State is behind"))?;
        let compared = self.compare_own(self.inner.replica.state()).await;
        Ok(Response::new(compared.map_err(|error| Status::unavailable(error.to_string()))?))
    }

    async fn deposit(
        &self,
        request: Request<Streaming<wire::DepositPiece>>,
    ) -> Result<Response<wire::DepositResponse>, Status> {
        let host = require_host(&request)?;
        let taken = self.take_copy(host, request.into_inner()).await;
        taken.inspect_err(|status| {
            tracing::warn!(error = status.message(), "a volume's copy was not taken")
        })?;
        Ok(Response::new(wire::DepositResponse {}))
    }

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let caller = identity(&request)?;
        let request = request.into_inner();
        let (name, blob) = from_wire(request.blob)?;
        if let Identity::Host(host) = &caller
            && !self.is_of_host(host, &blob)
        {
            return Err(Status::permission_denied(format!(
                "no volume bound to host {host} stands on this blob"
            )));
        }
        if !self.holds(&blob) {
            return Err(Status::not_found("this controller does not hold the blob"));
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let store = self.inner.store.clone();
        tokio::task::spawn_blocking(move || {
            let sent = store.read(name).and_then(|file| {
                let mut offset = request.offset;
                while offset < blob.size_bytes {
                    let bytes = piece(&file, offset, blob.size_bytes)?;
                    offset += bytes.len() as u64;
                    if sender.blocking_send(Ok(wire::Piece { bytes })).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            if let Err(error) = sent {
                // The reader may have gone, too.
                let _ = sender.blocking_send(Err(Status::data_loss(error.to_string())));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn piece(file: &std::fs::File, offset: u64, size_bytes: u64) -> io::Result<Bytes> {
    let count = usize::try_from(PIECE_BYTES.min(size_bytes - offset)).map_err(io::Error::other)?;
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
