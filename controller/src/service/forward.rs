//! Passing a call to the leader, once. The payloads are JSON of the service's own types: both ends are replicas of one
//! cluster, at most one version apart.

use rempart_api::cluster::ReplicaReport;
use rempart_identity::{pool::was_refused, require_controller};
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::leader_server::{Leader, LeaderServer};
use rempart_proto::raft::v1::{Payload, ReadIndexRequest, ReadIndexResponse, ReportRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::Service;
use super::call::{Reply, Request};
use super::cluster::{ClusterReply, ClusterRequest};
use super::error::{Fault, ServiceError};
use crate::pki::Peers;
use crate::raft::Ballot;

/// A body of 1 MiB, escaped and wrapped, stays well below this.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Reaches whichever replica leads.
pub(super) struct Forwarder {
    peers: Peers,
}

impl Forwarder {
    pub(super) fn new(peers: Peers) -> Forwarder {
        Forwarder { peers }
    }

    fn client(&self, leader: u64, address: &str) -> Result<LeaderClient<Channel>, ServiceError> {
        let connection = self.peers.at(leader, address);
        let connection =
            connection.map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))?;
        Ok(LeaderClient::new(connection)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// Has the leader at `address` execute `request`.
    pub(super) async fn execute(
        &self,
        leader: u64,
        address: &str,
        request: &Request,
    ) -> Result<Reply, ServiceError> {
        let payload = Payload { bytes: encode(request)?.into() };
        let mut client = self.client(leader, address)?;
        let answer = client.execute(payload).await.map_err(|status| fault_of(&status))?;
        let answer: Result<Reply, ServiceError> = serde_json::from_slice(&answer.into_inner().bytes)
            .map_err(|error| ServiceError::Fault(Fault::Internal(format!("the leader's answer: {error}"))))?;
        answer
    }

    /// Has the leader at `address` do something with the cluster itself.
    pub(super) async fn cluster(
        &self,
        leader: u64,
        address: &str,
        request: &ClusterRequest,
    ) -> Result<ClusterReply, ServiceError> {
        let payload = Payload { bytes: encode(request)?.into() };
        let mut client = self.client(leader, address)?;
        let answer = client.cluster(payload).await.map_err(|status| fault_of(&status))?;
        let answer: Result<ClusterReply, ServiceError> = serde_json::from_slice(&answer.into_inner().bytes)
            .map_err(|error| {
            ServiceError::Fault(Fault::Internal(format!("the leader's answer: {error}")))
        })?;
        answer
    }

    /// Asks replica `id` at `address` how it is doing.
    pub(super) async fn report(&self, id: u64, address: &str) -> Option<ReplicaReport> {
        let answer = self.client(id, address).ok()?.report(ReportRequest {}).await.ok()?;
        serde_json::from_slice(&answer.into_inner().bytes).ok()
    }

    /// Asks the leader at `address` what a read has to wait for. `voted` is what this replica voted last, looked at after the
    /// read was asked.
    pub(super) async fn read_index(
        &self,
        leader: u64,
        address: &str,
        voted: Option<Ballot>,
    ) -> Result<u64, ServiceError> {
        let mut client = self.client(leader, address)?;
        let request = voted.map_or_else(ReadIndexRequest::default, |voted| ReadIndexRequest {
            term: voted.term,
            candidate: voted.candidate,
        });
        let answer = client.read_index(request).await.map_err(|status| fault_of(&status))?;
        Ok(answer.into_inner().index)
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value).map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))
}

fn fault_of(status: &Status) -> ServiceError {
    ServiceError::Fault(match status.code() {
        Code::FailedPrecondition => Fault::NoLeader,
        Code::Unauthenticated | Code::PermissionDenied => Fault::Excluded(status.message().to_owned()),
        // It has heard nothing.
        _ if was_refused(status) => Fault::NoLeader,
        _ => Fault::LeaderUnreachable,
    })
}

/// The leader's side.
pub struct LeaderService {
    service: Service,
}

pub(super) fn server(service: Service) -> LeaderServer<LeaderService> {
    LeaderServer::new(LeaderService { service })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

#[tonic::async_trait]
impl Leader for LeaderService {
    async fn execute(&self, request: tonic::Request<Payload>) -> Result<tonic::Response<Payload>, Status> {
        let request: Request = serde_json::from_slice(&request.into_inner().bytes)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let span = tracing::info_span!("forwarded", request_id = %request.id);
        let answer = self.service.execute_as_leader(&request).instrument(span.clone()).await;
        span.in_scope(|| tracing::debug!(accepted = answer.is_ok(), "answered to a follower"));
        let bytes = encode(&answer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(tonic::Response::new(Payload { bytes: bytes.into() }))
    }

    async fn cluster(&self, request: tonic::Request<Payload>) -> Result<tonic::Response<Payload>, Status> {
        let request: ClusterRequest = serde_json::from_slice(&request.into_inner().bytes)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let span = tracing::info_span!("forwarded", request_id = %request.id);
        let answer = self.service.cluster_as_leader(&request).instrument(span).await;
        let bytes = encode(&answer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(tonic::Response::new(Payload { bytes: bytes.into() }))
    }

    async fn report(
        &self,
        _request: tonic::Request<ReportRequest>,
    ) -> Result<tonic::Response<Payload>, Status> {
        let bytes = encode(&self.service.report()).map_err(|error| Status::internal(error.to_string()))?;
        Ok(tonic::Response::new(Payload { bytes: bytes.into() }))
    }

    async fn read_index(
        &self,
        request: tonic::Request<ReadIndexRequest>,
    ) -> Result<tonic::Response<ReadIndexResponse>, Status> {
        let asker = require_controller(&request)?;
        let ReadIndexRequest { term, candidate } = request.into_inner();
        match self.service.read_index_for(asker, Ballot { term, candidate }).await {
            Ok(index) => Ok(tonic::Response::new(ReadIndexResponse { index })),
            Err(error) => Err(Status::failed_precondition(error.to_string())),
        }
    }
}
