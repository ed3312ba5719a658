//! Passing a call to the leader, once. The payloads are JSON of the service's own types: both ends are replicas of one
//! cluster, at most one version apart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::leader_server::{Leader, LeaderServer};
use rempart_proto::raft::v1::{Payload, ReadIndexRequest, ReadIndexResponse};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::Service;
use super::call::{Reply, Request};
use super::error::{Fault, ServiceError};
use crate::raft::PeerCredential;

/// A body of 1 MiB, escaped and wrapped, stays well below this.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Reaches whichever replica leads.
pub(super) struct Forwarder {
    credential: Arc<dyn PeerCredential>,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl Forwarder {
    pub(super) fn new(credential: Arc<dyn PeerCredential>) -> Forwarder {
        Forwarder { credential, channels: Mutex::default() }
    }

    fn client(&self, address: &str) -> Result<LeaderClient<Channel>, ServiceError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))
                    .map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))?;
                let channel = endpoint
                    .connect_timeout(Duration::from_secs(1))
                    .http2_keep_alive_interval(Duration::from_secs(1))
                    .keep_alive_timeout(Duration::from_secs(2))
                    .keep_alive_while_idle(true)
                    .tcp_nodelay(true)
                    .connect_lazy();
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        Ok(LeaderClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    fn signed<T>(&self, message: T) -> Result<tonic::Request<T>, ServiceError> {
        let mut request = tonic::Request::new(message);
        let value = MetadataValue::try_from(format!("Bearer {}", self.credential.token()))
            .map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }

    /// Has the leader at `address` execute `request`.
    pub(super) async fn execute(&self, address: &str, request: &Request) -> Result<Reply, ServiceError> {
        let bytes = encode(request)?;
        let signed = self.signed(Payload { bytes: bytes.into() })?;
        let answer = self.client(address)?.execute(signed).await.map_err(|status| fault_of(&status))?;
        let answer: Result<Reply, ServiceError> = serde_json::from_slice(&answer.into_inner().bytes)
            .map_err(|error| ServiceError::Fault(Fault::Internal(format!("the leader's answer: {error}"))))?;
        answer
    }

    /// Asks the leader at `address` what a read has to wait for.
    pub(super) async fn read_index(&self, address: &str) -> Result<u64, ServiceError> {
        let signed = self.signed(ReadIndexRequest {})?;
        let answer = self.client(address)?.read_index(signed).await.map_err(|status| fault_of(&status))?;
        Ok(answer.into_inner().index)
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value).map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))
}

fn fault_of(status: &Status) -> ServiceError {
    ServiceError::Fault(match status.code() {
        Code::FailedPrecondition => Fault::NoLeader,
        Code::Unauthenticated => {
            Fault::Internal(format!("the leader refused our credential: {}", status.message()))
        }
        _ if was_refused(status) => Fault::NoLeader,
        _ => Fault::LeaderUnreachable,
    })
}

/// Nobody listens at the leader's address, so it has heard nothing.
fn was_refused(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
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
        let answer = self.service.execute_as_leader(&request).await;
        let bytes = encode(&answer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(tonic::Response::new(Payload { bytes: bytes.into() }))
    }

    async fn read_index(
        &self,
        _request: tonic::Request<ReadIndexRequest>,
    ) -> Result<tonic::Response<ReadIndexResponse>, Status> {
        match self.service.read_index_as_leader().await {
            Ok(index) => Ok(tonic::Response::new(ReadIndexResponse { index })),
            Err(error) => Err(Status::failed_precondition(error.to_string())),
        }
    }
}
