//! A controller as a host sees it when it fetches images and gives copies: over real connections, in this process.

use rempart_identity::{Ca, Credentials, Identity, Key, accept};
use rempart_proto::blob::v1 as wire;
use rempart_proto::blob::v1::blobs_server::{Blobs, BlobsServer};
use rempart_proto::blob::v1::deposit_piece::Piece;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Gives one image to whoever asks, and takes copies.
#[derive(Clone)]
pub(super) struct Giver {
    bytes: Arc<Vec<u8>>,
    /// Images whose copies came whole, with their sizes.
    taken: Arc<Mutex<Vec<(String, u64)>>>,
}

/// It runs for as long as this is kept.
pub(super) struct Running {
    pub(super) address: String,
    taken: Arc<Mutex<Vec<(String, u64)>>>,
    _runtime: Runtime,
}

impl Running {
    /// How often the copy for this image came whole.
    pub(super) fn taken(&self, image: &str) -> usize {
        self.taken.lock().unwrap().iter().filter(|(of, size)| of == image && *size > 0).count()
    }
}

/// Starts one that holds `bytes`. Hosts find the authority it belongs to in `directory`.
pub(super) fn start(bytes: Vec<u8>, directory: &Path) -> Running {
    let ca = Ca::create("test").unwrap();
    fs::write(directory.join("ca.crt"), ca.certificate()).unwrap();
    fs::write(directory.join("ca.key"), ca.key().to_pkcs8()).unwrap();
    let giver = Giver { bytes: Arc::new(bytes), taken: Arc::default() };
    let taken = giver.taken.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = accept(listener, &credentials(directory, &Identity::Controller(1))).unwrap();
        let server = tonic::transport::Server::builder().add_service(BlobsServer::new(giver));
        tokio::spawn(server.serve_with_incoming(connections));
        address
    });
    Running { address, taken, _runtime: runtime }
}

/// What `identity` shows, signed by the authority in `directory`.
pub(super) fn credentials(directory: &Path, identity: &Identity) -> Credentials {
    let certificate = fs::read(directory.join("ca.crt")).unwrap();
    let key = Key::from_pkcs8(&fs::read(directory.join("ca.key")).unwrap()).unwrap();
    let ca = Ca::open(certificate.into(), key).unwrap();
    let own = Key::generate().unwrap();
    let certificate = ca.sign_own(identity, &own, Duration::from_secs(3600)).unwrap();
    Credentials::new(ca.certificate().clone(), certificate, &own).unwrap()
}

#[tonic::async_trait]
impl Blobs for Giver {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<wire::Piece, Status>> + Send>>;

    async fn pull(&self, _: Request<wire::PullRequest>) -> Result<Response<wire::PullResponse>, Status> {
        Err(Status::permission_denied("hosts do not ask this"))
    }

    async fn has(&self, _: Request<wire::HasRequest>) -> Result<Response<wire::HasResponse>, Status> {
        Err(Status::permission_denied("hosts do not ask this"))
    }

    async fn compare(
        &self,
        _: Request<wire::CompareRequest>,
    ) -> Result<Response<wire::CompareResponse>, Status> {
        Err(Status::permission_denied("hosts do not ask this"))
    }

    async fn deposit(
        &self,
        request: Request<Streaming<wire::DepositPiece>>,
    ) -> Result<Response<wire::DepositResponse>, Status> {
        let mut pieces = request.into_inner();
        let (mut image, mut declared, mut size) = (String::new(), 0, 0);
        while let Some(piece) = pieces.message().await? {
            match piece.piece {
                Some(Piece::Copy(copy)) => {
                    image = copy.image_uid;
                    declared = copy.blob.unwrap_or_default().size_bytes;
                }
                Some(Piece::Bytes(bytes)) => size += bytes.len() as u64,
                None => {}
            }
        }
        if size != declared {
            return Err(Status::failed_precondition("it was cut short"));
        }
        self.taken.lock().unwrap().push((image, size));
        Ok(Response::new(wire::DepositResponse {}))
    }

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let from = usize::try_from(request.into_inner().offset).unwrap();
        let pieces: Vec<_> = self.bytes[from..]
            .chunks(16 << 10)
            .map(|piece| Ok(wire::Piece { bytes: piece.to_vec().into() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }
}
