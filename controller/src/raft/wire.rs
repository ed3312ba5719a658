//! What replicas say to each other: the bytes inside [`rempart_proto::raft::v1::Payload`].
//!
//! Every message is JSON, except for a request to append, which is
//!
//! ```text
//!   header length u32 | header (JSON) | { record length u32 | record } for each entry      little-endian
//! ```
//!
//! with records as they are in the log ([`record`]). Unknown fields are ignored and new ones optional, so that replicas
//! of two versions understand each other. Every request names the replica it is for: an address that now belongs to
//! another one answers with an error instead of a vote.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    engine::{LeaderId, LogId, Types, Vote, log_id},
    log_store::BATCH_BYTES,
    record,
};

/// The largest message in bytes, sent or taken: a batch, plus the headers of as many empty entries as fit in it, plus
/// room for the envelope.
pub(super) const MAX_MESSAGE_BYTES: usize = BATCH_BYTES + BATCH_BYTES / 2;

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ballot {
    term: u64,
    node: u64,
    committed: bool,
}

/// A place in the log: term and node of the leader that wrote the entry, and its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place(u64, u64, u64);

impl From<&Vote> for Ballot {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<Ballot> for Vote {
    fn from(Ballot { term, node, committed }: Ballot) -> Self {
        Self { leader_id: LeaderId { term, node_id: node }, committed }
    }
}

impl From<LogId> for Place {
    fn from(id: LogId) -> Self {
        Self(id.leader_id.term, id.leader_id.node_id, id.index)
    }
}

impl From<Place> for LogId {
    fn from(Place(term, node, index): Place) -> Self {
        log_id(term, node, index)
    }
}

/// What every request begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The replica that is asked.
    pub(super) to: u64,
}

/// A call that is held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holding {
    #[serde(flatten)]
    pub(super) envelope: Envelope,
    /// Whose process it lasts as long as.
    pub(super) from: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Append {
    #[serde(flatten)]
    envelope: Envelope,
    vote: Ballot,
    prev: Option<Place>,
    commit: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AskVote {
    #[serde(flatten)]
    envelope: Envelope,
    vote: Ballot,
    last: Option<Place>,
    #[serde(default)]
    transfer: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Voted {
    vote: Ballot,
    granted: bool,
    last: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Appended {
    All,
    Upto(Option<Place>),
    Conflict,
    HigherVote(Ballot),
}

#[derive(Debug, Serialize, Deserialize)]
struct Transfer {
    #[serde(flatten)]
    envelope: Envelope,
    leader: Ballot,
    heir: u64,
    last: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Transferred {
    Accepted,
    VoteChanged { expected: Ballot, actual: Ballot },
    LogBehind { expected: Option<Place>, actual: Option<Place> },
}

/// A snapshot is about to be sent: how much of it is there already?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    #[serde(flatten)]
    pub(super) envelope: Envelope,
    pub(super) id: Uuid,
    pub(super) bytes: u64,
}

/// The answer to [`Offer`], in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offered {
    pub(super) have: u64,
}

/// What a stream of a snapshot's bytes begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Install {
    #[serde(flatten)]
    pub(super) envelope: Envelope,
    pub(super) vote: Ballot,
    pub(super) id: Uuid,
    pub(super) bytes: u64,
    /// Of the first byte that is sent.
    pub(super) offset: u64,
}

/// The answer when it is installed, or was not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    pub(super) vote: Ballot,
}

/// How a replica describes itself to the one that would found a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    /// Its id.
    pub(super) replica_id: u64,
    /// Whether it has neither an entry nor a vote.
    pub(super) empty: bool,
    /// Whom it takes for the founder, once it has been told of the members.
    pub(super) founder: Option<u64>,
}

pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Bytes> {
    Ok(serde_json::to_vec(message)?.into())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(bytes)?)
}

pub(super) fn encode_append(to: u64, request: &AppendEntriesRequest<Types>) -> io::Result<Bytes> {
    let header = serde_json::to_vec(&Append {
        envelope: Envelope { to },
        vote: (&request.vote).into(),
        prev: request.prev_log_id.map(Into::into),
        commit: request.leader_commit.map(Into::into),
    })?;
    let entries_bytes: usize = request.entries.iter().map(|entry| 4 + record::entry_bytes(entry)).sum();
    let mut out = Vec::with_capacity(4 + header.len() + entries_bytes);
    out.put_u32_le(length(header.len())?);
    out.put_slice(&header);
    for entry in &request.entries {
        let at = out.len();
        out.put_u32_le(0);
        record::put_entry(entry, &mut out)?;
        let record_bytes = length(out.len() - at - 4)?;
        out[at..at + 4].copy_from_slice(&record_bytes.to_le_bytes());
    }
    Ok(out.into())
}

pub(super) fn decode_append(mut bytes: Bytes) -> io::Result<(Envelope, AppendEntriesRequest<Types>)> {
    let header: Append = decode(&take(&mut bytes)?)?;
    let prev_log_id: Option<LogId> = header.prev.map(Into::into);
    let mut entries = Vec::new();
    let mut index = prev_log_id.map_or(0, |prev| prev.index + 1);
    while bytes.has_remaining() {
        entries.push(record::read_entry(index, take(&mut bytes)?)?);
        index += 1;
    }
    let leader_commit = header.commit.map(Into::into);
    Ok((
        header.envelope,
        AppendEntriesRequest { vote: header.vote.into(), prev_log_id, entries, leader_commit },
    ))
}

pub(super) fn encode_appended(answer: AppendEntriesResponse<Types>) -> io::Result<Bytes> {
    encode(&match answer {
        AppendEntriesResponse::Success => Appended::All,
        AppendEntriesResponse::PartialSuccess(upto) => Appended::Upto(upto.map(Into::into)),
        AppendEntriesResponse::Conflict => Appended::Conflict,
        AppendEntriesResponse::HigherVote(vote) => Appended::HigherVote((&vote).into()),
    })
}

pub(super) fn decode_appended(bytes: &[u8]) -> io::Result<AppendEntriesResponse<Types>> {
    Ok(match decode(bytes)? {
        Appended::All => AppendEntriesResponse::Success,
        Appended::Upto(upto) => AppendEntriesResponse::PartialSuccess(upto.map(Into::into)),
        Appended::Conflict => AppendEntriesResponse::Conflict,
        Appended::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
    })
}

pub(super) fn encode_vote(to: u64, request: &VoteRequest<Types>) -> io::Result<Bytes> {
    encode(&AskVote {
        envelope: Envelope { to },
        vote: (&request.vote).into(),
        last: request.last_log_id.map(Into::into),
        transfer: request.leadership_transfer,
    })
}

pub(super) fn decode_vote(bytes: &[u8]) -> io::Result<(Envelope, VoteRequest<Types>)> {
    let AskVote { envelope, vote, last, transfer } = decode(bytes)?;
    let mut request = VoteRequest::new(vote.into(), last.map(Into::into));
    request.leadership_transfer = transfer;
    Ok((envelope, request))
}

pub(super) fn encode_voted(answer: &VoteResponse<Types>) -> io::Result<Bytes> {
    let last = answer.last_log_id.map(Into::into);
    encode(&Voted { vote: (&answer.vote).into(), granted: answer.vote_granted, last })
}

pub(super) fn decode_voted(bytes: &[u8]) -> io::Result<VoteResponse<Types>> {
    let Voted { vote, granted, last } = decode(bytes)?;
    Ok(VoteResponse::new(Vote::from(vote), last.map(Into::into), granted))
}

pub(super) fn encode_transfer(to: u64, request: &TransferLeaderRequest<Types>) -> io::Result<Bytes> {
    encode(&Transfer {
        envelope: Envelope { to },
        leader: request.from_leader().into(),
        heir: *request.to_node_id(),
        last: request.last_log_id().copied().map(Into::into),
    })
}

pub(super) fn decode_transfer(bytes: &[u8]) -> io::Result<(Envelope, TransferLeaderRequest<Types>)> {
    let Transfer { envelope, leader, heir, last } = decode(bytes)?;
    Ok((envelope, TransferLeaderRequest::new(leader.into(), heir, last.map(Into::into))))
}

pub(super) fn encode_transferred(answer: &TransferLeaderResponse<Types>) -> io::Result<Bytes> {
    encode(&match answer {
        Ok(()) => Transferred::Accepted,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Transferred::VoteChanged { expected: expected.into(), actual: actual.into() }
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            Transferred::LogBehind { expected: expected.map(Into::into), actual: actual.map(Into::into) }
        }
    })
}

pub(super) fn decode_transferred(bytes: &[u8]) -> io::Result<TransferLeaderResponse<Types>> {
    Ok(match decode(bytes)? {
        Transferred::Accepted => Ok(()),
        Transferred::VoteChanged { expected, actual } => {
            Err(TransferLeaderError::VoteChanged { expected: expected.into(), actual: actual.into() })
        }
        Transferred::LogBehind { expected, actual } => Err(TransferLeaderError::LogNotFlushed {
            expected: expected.map(Into::into),
            actual: actual.map(Into::into),
        }),
    })
}

/// Splits off a length and as many bytes, without copying them.
fn take(bytes: &mut Bytes) -> io::Result<Bytes> {
    let cut_short = || io::Error::new(io::ErrorKind::UnexpectedEof, "a message is cut short");
    let length = bytes.try_get_u32_le().map_err(|_| cut_short())? as usize;
    if length > bytes.len() {
        return Err(cut_short());
    }
    Ok(bytes.split_to(length))
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
