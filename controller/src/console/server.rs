//! The two gRPC services of consoles, on the leader: agents dial `Console`, the other replicas `Relay`.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use rempart_proto::console::FRAMES_WAITING;
use rempart_proto::console::v1::console_server::{Console, ConsoleServer};
use rempart_proto::console::v1::frame::Frame as Says;
use rempart_proto::console::v1::relay_server::{Relay, RelayServer};
use rempart_proto::console::v1::{Attach, Frame, Serve};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::broker::{Broker, Served};

/// How long a caller may take to say what it is about.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(5);

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// Both services.
#[derive(Clone)]
pub struct Server(pub(super) Broker);

impl Server {
    /// What agents dial.
    pub fn for_agents(&self) -> ConsoleServer<Server> {
        ConsoleServer::new(self.clone())
    }

    /// What the other replicas dial.
    pub fn for_replicas(&self) -> RelayServer<Server> {
        RelayServer::new(self.clone())
    }
}

async fn first(frames: &mut Streaming<Frame>) -> Result<Option<Says>, Status> {
    let first = timeout(FIRST_FRAME_WITHIN, frames.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no first frame"))??;
    Ok(first.and_then(|frame| frame.frame))
}

#[tonic::async_trait]
impl Console for Server {
    type ServeStream = Frames;

    async fn serve(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        let host = rempart_identity::require_host(&request)?;
        let mut from_agent = request.into_inner();
        let Some(Says::Serve(Serve { id, refused })) = first(&mut from_agent).await? else {
            return Err(Status::invalid_argument("the first frame must say which console this is"));
        };
        let (to_agent, frames) = mpsc::channel(FRAMES_WAITING);
        self.0.serve(&host, &id, Served { refused, from_agent, to_agent })?;
        Ok(Response::new(Box::pin(ReceiverStream::new(frames).map(Ok))))
    }
}

#[tonic::async_trait]
impl Relay for Server {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        rempart_identity::require_controller(&request)?;
        let mut from_viewer = request.into_inner();
        let Some(Says::Attach(Attach { what: Some(what) })) = first(&mut from_viewer).await? else {
            return Err(Status::invalid_argument("the first frame must say what to attach to"));
        };
        let line = self.0.open(what).await?;
        tokio::spawn(async move {
            // An error is the viewer's replica going away; what comes back to it ends then, too.
            while let Ok(Some(frame)) = from_viewer.message().await {
                if line.to.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(line.from))
    }
}
