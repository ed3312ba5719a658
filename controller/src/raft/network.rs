//! Calls to the other replicas.
//!
//! Each peer has two connections, shared by all of openraft's clients for it: one for entries, one for everything that
//! must not wait behind 4 MiB of them (heartbeats, votes). They are made when first needed. A connection that a
//! peer's restart broke is made anew by the next call; calls to a peer that is away are spaced by openraft (heartbeats
//! by their interval, entries by its backoff), so there is no storm of attempts.
//!
//! # Invariants
//!
//! - Every call ends within its time: a silent peer costs a timeout, never a stuck task.
//! - An answer that could not be understood is an error, never a grant.
//! - A peer that lost acknowledged entries is treated as one that cannot be reached.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use openraft::{
    BasicNode, RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    alias::SnapshotOf,
    errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use rempart_proto::raft::v1::{Payload, raft_client::RaftClient};
use tonic::{
    Request, Response, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{
    engine::{Types, Vote},
    settings::PeerCredential,
    state_machine::NoSnapshot,
    wire::{self, Description, MAX_MESSAGE_BYTES},
};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection on which nothing is heard for this long is asked, and dropped when it stays silent as long again.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// A silence of a peer this long is worth a line in the log: heartbeats of a busy machine may be late.
const NEWS: Duration = Duration::from_secs(1);
/// How much of a stream may be under way unacknowledged: a whole batch, so that it crosses the line in one go.
const WINDOW_BYTES: u32 = 8 << 20;

type Client = RaftClient<InterceptedService<Channel, Credential>>;
type RpcError = RPCError<Types>;

/// Puts the token on every call.
#[derive(Clone)]
struct Credential(Arc<dyn PeerCredential>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut token = MetadataValue::try_from(format!("Bearer {}", self.0.token()))
            .map_err(|_| Status::internal("the peer token has characters that a header cannot carry"))?;
        token.set_sensitive(true);
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

/// The connections to one peer, and what it said over them.
#[derive(Clone)]
struct Lines {
    entries: Client,
    control: Client,
    acked: Arc<Mutex<Acked>>,
    silence: Arc<Mutex<Silence>>,
}

/// Since when a peer has not answered, and whether that has been logged: once per silence, not once per heartbeat.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Instant>,
    told: bool,
}

impl Silence {
    fn note(&mut self, peer: u64, heard: Result<(), &RpcError>) {
        match heard {
            Ok(()) => {
                if let (Some(since), true) = (self.since, self.told) {
                    tracing::info!(peer, after_ms = since.elapsed().as_millis(), "a replica answers again");
                }
                *self = Self::default();
            }
            Err(error) => {
                let since = *self.since.get_or_insert_with(Instant::now);
                if !self.told && since.elapsed() >= NEWS {
                    self.told = true;
                    tracing::warn!(peer, %error, "a replica does not answer");
                }
            }
        }
    }
}

/// How much of the log the peer said it has, to the leader elected by `vote`.
///
/// What a follower has acknowledged it never loses while the same leader leads. openraft relies on it to the point of
/// panicking, so a peer that came back with an emptied disk must not take the leader down with it.
#[derive(Debug, Default)]
struct Acked {
    vote: Option<Vote>,
    end: u64,
}

impl Acked {
    /// Notes the answer to a request; `Err` if it cannot be true of a peer that kept its disk.
    fn note(&mut self, sent: &Sent, answer: &AppendEntriesResponse<Types>) -> Result<(), String> {
        if self.vote != Some(sent.vote) {
            *self = Self { vote: Some(sent.vote), end: 0 };
        }
        match answer {
            AppendEntriesResponse::Success => self.end = self.end.max(sent.end),
            AppendEntriesResponse::Conflict if (1..=self.end).contains(&sent.start) => {
                return Err(format!(
                    "it had acknowledged all entries below {} and now lacks the one before {}: it lost its disk, and \
                     has to come back as a new replica",
                    self.end, sent.start
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a request to append was about: entries from `start` up to and without `end`, none if they are equal.
struct Sent {
    vote: Vote,
    start: u64,
    end: u64,
}

/// All peers, by id and address.
#[derive(Clone)]
pub(super) struct Network {
    replica_id: u64,
    append_timeout: Duration,
    credential: Credential,
    lines: Arc<Mutex<HashMap<(u64, String), Lines>>>,
}

impl Network {
    pub(super) fn new(
        replica_id: u64,
        append_timeout: Duration,
        credential: Arc<dyn PeerCredential>,
    ) -> Self {
        Self { replica_id, append_timeout, credential: Credential(credential), lines: Arc::default() }
    }

    /// A client for one peer. Connects when first used.
    pub(super) fn peer(&self, target: u64, address: &str) -> Peer {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target, address.to_owned());
        let lines = match lines.get(&key) {
            Some(lines) => Ok(lines.clone()),
            None => self.connect(address).inspect(|made| {
                lines.insert(key, made.clone());
            }),
        };
        Peer {
            from: self.replica_id,
            target,
            append_timeout: self.append_timeout,
            lines: lines.map_err(Arc::new),
        }
    }

    fn connect(&self, address: &str) -> io::Result<Lines> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{address}: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let client = || {
            RaftClient::with_interceptor(endpoint.connect_lazy(), self.credential.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        };
        Ok(Lines { entries: client(), control: client(), acked: Arc::default(), silence: Arc::default() })
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        self.peer(target, &node.addr)
    }
}

/// One peer, as openraft calls it.
pub(super) struct Peer {
    from: u64,
    target: u64,
    append_timeout: Duration,
    /// The error is an address that is none.
    lines: Result<Lines, Arc<io::Error>>,
}

impl Peer {
    /// Asks the peer who it is, for [`bootstrap`](super::bootstrap).
    pub(super) async fn describe(&self, within: Duration) -> Result<Description, String> {
        let mut client = self.lines.as_ref().map_err(ToString::to_string)?.control.clone();
        let call = client.describe(Payload { bytes: Bytes::new() });
        let answer = tokio::time::timeout(within, call).await.map_err(|_| "no answer in time".to_owned())?;
        let payload = answer.map_err(|status| describe_status(&status))?.into_inner();
        wire::decode(&payload.bytes).map_err(|error| error.to_string())
    }

    /// Makes a call and bounds its time.
    async fn call<F>(
        &self,
        action: RPCTypes,
        timeout: Duration,
        body: io::Result<Bytes>,
        call: impl FnOnce(Lines, Payload) -> F,
    ) -> Result<Bytes, RpcError>
    where
        F: Future<Output = Result<Response<Payload>, Status>>,
    {
        let lines = self.lines.clone().map_err(|error| unreachable(&error))?;
        let body = body.map_err(|error| unreachable(&error))?;
        let silence = lines.silence.clone();
        let answer = match tokio::time::timeout(timeout, call(lines, Payload { bytes: body })).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().bytes),
            Ok(Err(status)) => Err(unreachable(&describe_status(&status))),
            Err(_) => Err(Timeout { action, id: self.from, target: self.target, timeout }.into()),
        };
        let heard = answer.as_ref().map(|_| ());
        silence.lock().unwrap_or_else(PoisonError::into_inner).note(self.target, heard);
        answer
    }
}

/// Every failure makes openraft wait a little before the next attempt.
fn unreachable(why: &impl fmt::Display) -> RpcError {
    Unreachable::from_string(why.to_string()).into()
}

fn describe_status(status: &Status) -> String {
    let code = status.code();
    match std::error::Error::source(status) {
        Some(source) => format!("{code:?}: {}: {source}", status.message()),
        None => format!("{code:?}: {}", status.message()),
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = NoSnapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        let body = wire::encode_append(self.target, &request);
        let start = request.prev_log_id.map_or(0, |prev| prev.index + 1);
        let sent = Sent { vote: request.vote, start, end: start + request.entries.len() as u64 };
        let is_heartbeat = request.entries.is_empty();
        // openraft allows one heartbeat interval, which is for heartbeats. A batch has to cross the line and be
        // fsynced; to give up on it too early would be to send it again, for ever.
        let timeout =
            if is_heartbeat { option.soft_ttl() } else { option.soft_ttl().max(self.append_timeout) };
        let answer = self
            .call(RPCTypes::AppendEntries, timeout, body, |lines, payload| async move {
                let mut client = if is_heartbeat { lines.control } else { lines.entries };
                client.append_entries(payload).await
            })
            .await?;
        let answer = wire::decode_appended(&answer).map_err(|error| unreachable(&error))?;
        if let Ok(lines) = &self.lines {
            let noted = lines.acked.lock().unwrap_or_else(PoisonError::into_inner).note(&sent, &answer);
            noted.map_err(|why| unreachable(&why))?;
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let body = wire::encode_vote(self.target, &request);
        let answer = self
            .call(RPCTypes::Vote, option.hard_ttl(), body, |mut lines, payload| async move {
                lines.control.vote(payload).await
            })
            .await?;
        wire::decode_voted(&answer).map_err(|error| unreachable(&error))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let body = wire::encode_vote(self.target, &request);
        let answer = self
            .call(RPCTypes::Vote, option.hard_ttl(), body, |mut lines, payload| async move {
                lines.control.pre_vote(payload).await
            })
            .await?;
        wire::decode_voted(&answer).map_err(|error| unreachable(&error))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        let body = wire::encode_transfer(self.target, &request);
        let answer = self
            .call(RPCTypes::TransferLeader, option.hard_ttl(), body, |mut lines, payload| async move {
                lines.control.transfer_leader(payload).await
            })
            .await?;
        wire::decode_transferred(&answer).map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        snapshot: SnapshotOf<Types, NoSnapshot>,
        _cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        match snapshot.snapshot {}
    }
}
