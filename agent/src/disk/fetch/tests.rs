use super::*;
use crate::desired::Digest;
use crate::identity::tests::{controllers, credentials};
use crate::stop::Stopper;
use rempart_identity::{Identity, accept};
use rempart_proto::blob::v1::blobs_server::{Blobs, BlobsServer};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// A controller in this process that holds these bytes, and may hang up or fall silent after some of them.
#[derive(Clone)]
pub(crate) struct Giver {
    bytes: Arc<Vec<u8>>,
    gives: usize,
    then_silent: bool,
    pub(crate) asked: Arc<Mutex<Vec<u64>>>,
}

impl Giver {
    pub(crate) fn of(bytes: &[u8], gives: usize) -> Self {
        Self { bytes: Arc::new(bytes.to_vec()), gives, then_silent: false, asked: Arc::default() }
    }

    /// Starts it; ends with the test's runtime.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(BlobsServer::new(self.clone()));
        tokio::spawn(
            server.serve_with_incoming(accept(listener, &credentials(&Identity::Controller(1))).unwrap()),
        );
        address
    }
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
        _: Request<tonic::Streaming<wire::DepositPiece>>,
    ) -> Result<Response<wire::DepositResponse>, Status> {
        Err(Status::failed_precondition("nobody asked for it"))
    }

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let offset = request.into_inner().offset;
        self.asked.lock().unwrap().push(offset);
        if self.gives == 0 && !self.then_silent {
            return Err(Status::not_found("this controller does not hold the blob"));
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let giver = self.clone();
        tokio::spawn(async move {
            let from = usize::try_from(offset).unwrap();
            let to = giver.bytes.len().min(from + giver.gives);
            for piece in giver.bytes[from..to].chunks(64 << 10) {
                let piece = wire::Piece { bytes: piece.to_vec().into() };
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            if giver.then_silent {
                std::future::pending::<()>().await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct Fixture {
    _temp: tempfile::TempDir,
    directory: PathBuf,
    store: ImageStore,
    blob: Blob,
    bytes: Vec<u8>,
}

fn fixture() -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let (directory, records) = (temp.path().join("images"), temp.path().join("records"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::create_dir(&records).unwrap();
    let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let blob = Blob {
        sha256: Digest::parse(&format!("{:x}", Sha256::digest(&bytes))).unwrap(),
        format: ImageFormat::Raw,
        size_bytes: bytes.len() as u64,
        virtual_size_bytes: bytes.len() as u64,
    };
    Fixture { store: ImageStore::new(&directory, &records), directory, blob, bytes, _temp: temp }
}

impl Fixture {
    /// Fetches from these, on a thread for blocking as the agent does.
    async fn fetch(&self, addresses: Vec<String>, stop: Stop) -> Result<(), DiskError> {
        let source = ImageSource::new(controllers(addresses), stop);
        let (store, blob) = (self.store.clone(), self.blob.clone());
        tokio::task::spawn_blocking(move || source.fetch(&store, &blob)).await.unwrap()
    }

    fn nothing_is_left(&self) {
        assert_eq!(std::fs::read_dir(&self.directory).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_controller_goes_on_where_one_stopped() {
    let fixture = fixture();
    let lacks = Giver::of(&[], 0);
    let breaks = Giver::of(&fixture.bytes, 300_000);
    let (_stopper, stop) = Stopper::new();
    let addresses = vec![lacks.start().await, breaks.start().await];
    fixture.fetch(addresses, stop).await.unwrap();
    assert_eq!(std::fs::read(fixture.store.file(&fixture.blob)).unwrap(), fixture.bytes);
    assert_eq!(fixture.store.state(&fixture.blob), crate::disk::image::ImageState::Verified);
    let asked = breaks.asked.lock().unwrap().clone();
    assert_eq!(asked, [0, 300_000, 600_000, 900_000], "no byte was sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_the_image_never_have_its_name() {
    let fixture = fixture();
    let mut wrong = fixture.bytes.clone();
    wrong[700_000] ^= 1;
    let (_stopper, stop) = Stopper::new();
    let liar = Giver::of(&wrong, wrong.len());
    let error = fixture.fetch(vec![liar.start().await], stop.clone()).await.unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    fixture.nothing_is_left();
    let error = fixture.fetch(vec!["127.0.0.1:1".into()], stop.clone()).await.unwrap_err();
    assert!(matches!(error, DiskError::ImageFetchFailed { .. }), "{error}");
    fixture.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_ends_with_the_agent() {
    let fixture = fixture();
    let silent = Giver { then_silent: true, ..Giver::of(&fixture.bytes, 100_000) };
    let (stopper, stop) = Stopper::new();
    let address = silent.start().await;
    let fetching = fixture.fetch(vec![address], stop);
    let stopping = async {
        while silent.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    };
    let (fetched, ()) =
        tokio::time::timeout(SILENCE / 2, async { tokio::join!(fetching, stopping) }).await.unwrap();
    assert!(fetched.unwrap_err().to_string().contains("stops"));
    fixture.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_said_before_a_byte_is_asked_for() {
    let mut fixture = fixture();
    fixture.blob.size_bytes = 1 << 60;
    let giver = Giver::of(&fixture.bytes, 1000);
    let (_stopper, stop) = Stopper::new();
    let error = fixture.fetch(vec![giver.start().await], stop).await.unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    let failure = crate::report::failure::of_error(&error.into());
    assert_eq!(failure.reason, "PoolFull");
    assert!(giver.asked.lock().unwrap().is_empty());
    fixture.nothing_is_left();
}
