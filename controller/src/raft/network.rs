//! Calls to the other replicas.
//!
//! Each peer has three connections, shared by all of openraft's clients for it: one for entries, one for snapshots, one for
//! everything that must not wait behind megabytes of them (heartbeats, votes). They are made when first needed, and the peer has to show the
//! certificate of the replica that was meant. A connection that a
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
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
use rempart_identity::{
    Credentials, Expect, Lane, Pool,
    pool::{Behaviour, was_refused},
};
use rempart_proto::raft::v1::{Payload, raft_client::RaftClient};
use tonic::{Response, Status};

use super::{
    engine::{Types, Vote},
    snapshot::{Sending, SnapshotDir, SnapshotFile},
    wire::{self, Description, Envelope, Holding, MAX_MESSAGE_BYTES, Offered},
    workers::off_thread,
};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection on which nothing is heard for this long is asked, and dropped when it stays silent as long again.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// A silence of a peer this long is worth a line in the log: heartbeats of a busy machine may be late.
const NEWS: Duration = Duration::from_secs(1);
/// How long a replica may take to look how much of a snapshot it has.
const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a stream may be under way unacknowledged: a whole batch, so that it crosses the line in one go.
const WINDOW_BYTES: u32 = 8 << 20;

/// What carries calls to a peer.
#[cfg(not(test))]
type Carrier = tonic::transport::Channel;
#[cfg(test)]
use super::simulated::Carrier;

type Client = RaftClient<Carrier>;
type RpcError = RPCError<Types>;

/// What is known of one peer.
#[derive(Clone, Default)]
struct Lines {
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
    pool: Pool,
    lines: Arc<Mutex<HashMap<(u64, String), Lines>>>,
    snapshots: Arc<SnapshotDir>,
    told_committed: Arc<AtomicU64>,
}

impl Network {
    pub(super) fn new(
        replica_id: u64,
        append_timeout: Duration,
        credentials: Credentials,
        snapshots: Arc<SnapshotDir>,
    ) -> Self {
        let behaviour = Behaviour {
            connect_timeout: CONNECT_TIMEOUT,
            keepalive_interval: KEEPALIVE,
            keepalive_timeout: KEEPALIVE,
            keepalive_while_idle: true,
            window_bytes: Some(WINDOW_BYTES),
        };
        let pool = Pool::new(credentials, behaviour);
        let (lines, told_committed) = (Arc::default(), Arc::default());
        Self { replica_id, append_timeout, pool, lines, snapshots, told_committed }
    }

    /// See [`Node::told_committed`](super::Node::told_committed).
    pub(super) fn told_committed(&self) -> u64 {
        self.told_committed.load(Ordering::Acquire)
    }

    /// A client for one peer. Connects when first used.
    pub(super) fn peer(&self, target: u64, address: &str) -> Peer {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Peer {
            from: self.replica_id,
            target,
            address: address.to_owned(),
            append_timeout: self.append_timeout,
            pool: self.pool.clone(),
            lines: lines.entry((target, address.to_owned())).or_default().clone(),
            snapshots: Arc::clone(&self.snapshots),
            told_committed: Arc::clone(&self.told_committed),
        }
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
    address: String,
    append_timeout: Duration,
    pool: Pool,
    lines: Lines,
    snapshots: Arc<SnapshotDir>,
    told_committed: Arc<AtomicU64>,
}

impl Peer {
    /// A client on one of the peer's connections. It is taken anew for each call: a renewed certificate makes a new one.
    fn client(&self, lane: Lane) -> io::Result<Client> {
        Ok(RaftClient::new(self.carrier(lane)?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    #[cfg(not(test))]
    fn carrier(&self, lane: Lane) -> io::Result<Carrier> {
        self.pool.lazy(Expect::Controller(self.target), &self.address, lane)
    }

    #[cfg(test)]
    fn carrier(&self, lane: Lane) -> io::Result<Carrier> {
        let real = || self.pool.lazy(Expect::Controller(self.target), &self.address, lane);
        Carrier::simulated(self.target, lane).map_or_else(|| real().map(Carrier::Channel), Ok)
    }

    /// Asks the peer who it is, for [`bootstrap`](super::bootstrap).
    pub(super) async fn describe(&self, within: Duration) -> Result<Description, String> {
        let mut client = self.client(Lane::Control).map_err(|error| error.to_string())?;
        let call = client.describe(Payload { bytes: Bytes::new() });
        let answer = tokio::time::timeout(within, call).await.map_err(|_| "no answer in time".to_owned())?;
        let payload = answer.map_err(|status| describe_status(&status))?.into_inner();
        wire::decode(&payload.bytes).map_err(|error| error.to_string())
    }

    /// Holds a call open for as long as the peer's process and this one last. True if it ended because nobody listens there
    /// any more; any other end says nothing about the process.
    pub(super) async fn hold(&self) -> bool {
        let holding = Holding { envelope: Envelope { to: self.target }, from: self.from };
        let (Ok(mut client), Ok(bytes)) = (self.client(Lane::Control), wire::encode(&holding)) else {
            return false;
        };
        let held = async {
            let mut silent = client.hold(Payload { bytes }).await?.into_inner();
            while silent.message().await?.is_some() {}
            Ok::<_, Status>(())
        };
        held.await.is_err_and(|status| was_refused(&status))
    }

    /// Sends a snapshot, from where an earlier attempt ended.
    async fn send_snapshot(&self, sending: &Sending) -> Result<SnapshotResponse<Types>, String> {
        let mut client = self.client(Lane::Snapshots).map_err(|error| error.to_string())?;
        let offer = wire::encode(&sending.offer()).map_err(|error| error.to_string())?;
        let offering = client.offer_snapshot(Payload { bytes: offer });
        let offered = tokio::time::timeout(OFFER_TIMEOUT, offering).await;
        let offered = offered.map_err(|_| "no answer to the offer of a snapshot".to_owned())?;
        let offered = offered.map_err(|status| describe_status(&status))?.into_inner();
        let Offered { have } = wire::decode(&offered.bytes).map_err(|error| error.to_string())?;
        if have == 0 {
            // The other side would find out, too, but not whose disk it was.
            let (snapshots, snapshot) = (Arc::clone(&self.snapshots), sending.snapshot.clone());
            let verified = off_thread(move || snapshots.verify(&snapshot)).await.flatten();
            verified.map_err(|error| error.to_string())?;
        }
        let (pieces, moved) = sending.pieces(have).map_err(|error| error.to_string())?;
        tokio::select! {
            biased;
            why = sending.stalled(&moved) => Err(why.to_owned()),
            answer = client.install_snapshot(pieces) => {
                let answer = answer.map_err(|status| describe_status(&status))?.into_inner();
                sending.installed(&answer.bytes).map_err(|error| error.to_string())
            }
        }
    }

    /// Makes a call and bounds its time.
    async fn call<F>(
        &self,
        action: RPCTypes,
        timeout: Duration,
        lane: Lane,
        body: io::Result<Bytes>,
        call: impl FnOnce(Client, Payload) -> F,
    ) -> Result<Bytes, RpcError>
    where
        F: Future<Output = Result<Response<Payload>, Status>>,
    {
        let client = self.client(lane).map_err(|error| unreachable(&error))?;
        let body = body.map_err(|error| unreachable(&error))?;
        let answer = match tokio::time::timeout(timeout, call(client, Payload { bytes: body })).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().bytes),
            Ok(Err(status)) => Err(unreachable(&describe_status(&status))),
            Err(_) => Err(Timeout { action, id: self.from, target: self.target, timeout }.into()),
        };
        let heard = answer.as_ref().map(|_| ());
        self.lines.silence.lock().unwrap_or_else(PoisonError::into_inner).note(self.target, heard);
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
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        let body = wire::encode_append(self.target, &request);
        let start = request.prev_log_id.map_or(0, |prev| prev.index + 1);
        let sent = Sent { vote: request.vote, start, end: start + request.entries.len() as u64 };
        if let Some(committed) = request.leader_commit {
            self.told_committed.fetch_max(committed.index, Ordering::AcqRel);
        }
        let is_heartbeat = request.entries.is_empty();
        // openraft allows one heartbeat interval, which is for heartbeats. A batch has to cross the line and be
        // fsynced; to give up on it too early would be to send it again, for ever.
        let timeout =
            if is_heartbeat { option.soft_ttl() } else { option.soft_ttl().max(self.append_timeout) };
        let lane = if is_heartbeat { Lane::Control } else { Lane::Entries };
        let answer = self
            .call(RPCTypes::AppendEntries, timeout, lane, body, |mut client, payload| async move {
                client.append_entries(payload).await
            })
            .await?;
        let answer = wire::decode_appended(&answer).map_err(|error| unreachable(&error))?;
        let noted = self.lines.acked.lock().unwrap_or_else(PoisonError::into_inner).note(&sent, &answer);
        noted.map_err(|why| unreachable(&why))?;
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let body = wire::encode_vote(self.target, &request);
        let answer = self
            .call(RPCTypes::Vote, option.hard_ttl(), Lane::Control, body, |mut client, payload| async move {
                client.vote(payload).await
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
            .call(RPCTypes::Vote, option.hard_ttl(), Lane::Control, body, |mut client, payload| async move {
                client.pre_vote(payload).await
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
            .call(
                RPCTypes::TransferLeader,
                option.hard_ttl(),
                Lane::Control,
                body,
                |mut client, payload| async move { client.transfer_leader(payload).await },
            )
            .await?;
        wire::decode_transferred(&answer).map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = Sending { to: self.target, vote, snapshot: snapshot.snapshot };
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(&sending) => {
                sent.map_err(|why| {
                    tracing::warn!(peer = self.target, why, "a snapshot was not taken in; trying again");
                    Unreachable::from_string(why).into()
                })
            }
        }
    }
}
