//! Calls from the other replicas.
//!
//! Whether the caller is a replica at all is for the interceptor in front of this service to say; see [`services`].

use std::{fmt, io};

use futures::{FutureExt as _, StreamExt as _, stream::BoxStream};
use rempart_proto::raft::v1::{Payload, raft_server};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Node,
    wire::{self, Description, Envelope, Holding, Install, MAX_MESSAGE_BYTES, Offer},
};

/// The peers' side of `node`, for a tonic router.
///
/// It believes every caller. Wrap it in an interceptor that lets in controllers alone:
/// `InterceptedService::new(raft::services(node), check)` with `rempart_identity::require_controller`.
#[must_use]
pub fn services(node: Node) -> raft_server::RaftServer<RaftService> {
    raft_server::RaftServer::new(RaftService { node })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// Passes what peers ask to consensus.
pub struct RaftService {
    node: Node,
}

impl RaftService {
    /// Refuses what was meant for another replica: the address was once its own.
    fn check(&self, envelope: Envelope) -> Result<(), Status> {
        let me = self.node.replica_id();
        if self.node.has_left() {
            return Err(stopped("this replica is stopping"));
        }
        if envelope.to == me {
            return Ok(());
        }
        Err(Status::failed_precondition(format!("this is replica {me}, not {}", envelope.to)))
    }

    /// Refuses to vote without a log. A replica becomes a voter when it has one, so this one had: it may have promised
    /// to keep entries that the candidate does not have.
    fn check_voter(&self) -> Result<(), Status> {
        if self.node.status().last_log_index.is_some() {
            return Ok(());
        }
        Err(Status::failed_precondition("a replica without a log does not vote"))
    }
}

fn malformed(error: io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Consensus stopped, or is about to.
fn stopped(error: impl fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn answer(bytes: io::Result<bytes::Bytes>) -> Result<Response<Payload>, Status> {
    let bytes = bytes.map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(Payload { bytes }))
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn append_entries(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let (envelope, call) = wire::decode_append(request.into_inner().bytes).map_err(malformed)?;
        self.check(envelope)?;
        answer(wire::encode_appended(self.node.raft().append_entries(call).await.map_err(stopped)?))
    }

    async fn vote(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let (envelope, call) = wire::decode_vote(&request.into_inner().bytes).map_err(malformed)?;
        self.check(envelope)?;
        self.check_voter()?;
        answer(wire::encode_voted(&self.node.raft().vote(call).await.map_err(stopped)?))
    }

    async fn pre_vote(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let (envelope, call) = wire::decode_vote(&request.into_inner().bytes).map_err(malformed)?;
        self.check(envelope)?;
        self.check_voter()?;
        answer(wire::encode_voted(&self.node.raft().pre_vote(call).await.map_err(stopped)?))
    }

    async fn transfer_leader(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let (envelope, call) = wire::decode_transfer(&request.into_inner().bytes).map_err(malformed)?;
        self.check(envelope)?;
        answer(wire::encode_transferred(
            &self.node.raft().handle_transfer_leader(call).await.map_err(stopped)?,
        ))
    }

    async fn offer_snapshot(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let offer: Offer = wire::decode(&request.into_inner().bytes).map_err(malformed)?;
        self.check(offer.envelope)?;
        answer(wire::encode(&self.node.incoming().offered(&offer).await?))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<Payload>>,
    ) -> Result<Response<Payload>, Status> {
        let mut pieces = request.into_inner();
        let header = pieces.message().await?.ok_or_else(|| Status::invalid_argument("nothing was sent"))?;
        let install: Install = wire::decode(&header.bytes).map_err(malformed)?;
        self.check(install.envelope)?;
        answer(wire::encode(&self.node.incoming().take(&install, pieces, self.node.raft()).await?))
    }

    async fn describe(&self, _request: Request<Payload>) -> Result<Response<Payload>, Status> {
        let empty = !self.node.raft().is_initialized().await.map_err(stopped)?;
        let (replica_id, founder) = (self.node.replica_id(), self.node.founder());
        answer(wire::encode(&Description { replica_id, empty, founder }))
    }

    type HoldStream = BoxStream<'static, Result<Payload, Status>>;

    async fn hold(&self, request: Request<Payload>) -> Result<Response<Self::HoldStream>, Status> {
        let holding: Holding = wire::decode(&request.into_inner().bytes).map_err(malformed)?;
        self.check(holding.envelope)?;
        let mut stopping = self.node.stopping();
        if *stopping.borrow() {
            return Err(stopped("this replica is stopping"));
        }
        let held = self.node.holders().hold(holding.from);
        let end = async move {
            let _held = held;
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        Ok(Response::new(end.into_stream().filter_map(|()| std::future::ready(None)).boxed()))
    }
}
