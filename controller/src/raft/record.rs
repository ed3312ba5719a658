//! How entries, votes and log ids lie on disk, and how entries travel. Frozen: a change is a new format byte, and the
//! old one stays readable for ever.
//!
//! ```text
//!   entry   format=1 | term u64 | node u64 | kind u8 | bytes        kind: 0 blank, 1 proposal, 2 membership (JSON)
//!   vote    format=1 | term u64 | node u64 | committed u8
//!   log id  format=1 | term u64 | node u64 | index u64
//! ```
//!
//! Integers are little-endian. An entry does not hold its index: its place in the log, or in a request, says it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes};
use openraft::BasicNode;
use serde::{Deserialize, Serialize};

use super::{
    engine::{Entry, EntryPayload, LeaderId, LogId, Membership, StoredMembership, Vote, log_id},
    machine::{Members, Proposal},
};

const FORMAT: u8 = 1;
const KIND_BLANK: u8 = 0;
const KIND_PROPOSAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// What an entry adds to its bytes.
pub(crate) const ENTRY_HEADER_BYTES: usize = 18;

/// Members as an entry and a request hold them.
#[derive(Serialize, Deserialize)]
struct MembersJson {
    voters: Vec<BTreeSet<u64>>,
    addresses: BTreeMap<u64, String>,
}

/// Appends the record of `entry` to `out`.
pub(crate) fn put_entry(entry: &Entry, out: &mut Vec<u8>) -> io::Result<()> {
    out.put_u8(FORMAT);
    out.put_u64_le(entry.log_id.leader_id.term);
    out.put_u64_le(entry.log_id.leader_id.node_id);
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(KIND_BLANK),
        EntryPayload::Normal(Proposal(bytes)) => {
            out.put_u8(KIND_PROPOSAL);
            out.put_slice(bytes);
        }
        EntryPayload::Membership(membership) => {
            out.put_u8(KIND_MEMBERSHIP);
            let Members { voters, addresses, .. } = members(None, membership);
            serde_json::to_writer(&mut *out, &MembersJson { voters, addresses })?;
        }
    }
    Ok(())
}

/// The size of the record of `entry` in bytes, near enough for limits.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(Proposal(bytes)) => bytes.len(),
        EntryPayload::Membership(membership) => 64 + 64 * membership.nodes().count(),
    };
    ENTRY_HEADER_BYTES + payload
}

/// Reads back what [`put_entry`] wrote. The entry's bytes are a slice of `record`, not a copy.
pub(crate) fn read_entry(index: u64, mut record: Bytes) -> io::Result<Entry> {
    check_format(&mut record, ENTRY_HEADER_BYTES, "entry")?;
    let (term, node, kind) = (record.get_u64_le(), record.get_u64_le(), record.get_u8());
    let payload = match kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_PROPOSAL => EntryPayload::Normal(Proposal(record)),
        KIND_MEMBERSHIP => {
            let MembersJson { voters, addresses } = serde_json::from_slice(&record)?;
            EntryPayload::Membership(membership(voters, &addresses)?)
        }
        other => return Err(invalid(format!("entry {index} is of the unknown kind {other}"))),
    };
    Ok(Entry { log_id: log_id(term, node, index), payload })
}

pub(crate) fn put_vote(vote: &Vote) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
    out
}

pub(crate) fn read_vote(bytes: &[u8]) -> io::Result<Vote> {
    let mut bytes = bytes;
    check_format(&mut bytes, 18, "vote")?;
    let leader_id = LeaderId { term: bytes.get_u64_le(), node_id: bytes.get_u64_le() };
    Ok(Vote { leader_id, committed: bytes.get_u8() != 0 })
}

pub(crate) fn put_log_id(id: &LogId) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.put_u64_le(id.leader_id.term);
    out.put_u64_le(id.leader_id.node_id);
    out.put_u64_le(id.index);
    out
}

pub(crate) fn read_log_id(bytes: &[u8]) -> io::Result<LogId> {
    let mut bytes = bytes;
    check_format(&mut bytes, 25, "log id")?;
    Ok(log_id(bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u64_le()))
}

/// openraft's membership in our words.
pub(crate) fn members(entry: Option<LogId>, membership: &Membership) -> Members {
    Members {
        entry: entry.map(|id| (id.leader_id.term, id.leader_id.node_id, id.index)),
        voters: membership.get_joint_config().clone(),
        addresses: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
    }
}

/// Our members in openraft's words.
pub(crate) fn stored_membership(members: &Arc<Members>) -> io::Result<StoredMembership> {
    let entry = members.entry.map(|(term, node, index)| log_id(term, node, index));
    Ok(StoredMembership::new(entry, membership(members.voters.clone(), &members.addresses)?))
}

fn membership(voters: Vec<BTreeSet<u64>>, addresses: &BTreeMap<u64, String>) -> io::Result<Membership> {
    let nodes: BTreeMap<_, _> =
        addresses.iter().map(|(id, address)| (*id, BasicNode::new(address))).collect();
    Membership::new(voters, nodes).map_err(|error| invalid(error.to_string()))
}

fn check_format(bytes: &mut impl Buf, needed_bytes: usize, what: &str) -> io::Result<()> {
    if bytes.remaining() < needed_bytes {
        return Err(invalid(format!("{what} of {} bytes is cut short", bytes.remaining())));
    }
    match bytes.get_u8() {
        FORMAT => Ok(()),
        other => Err(invalid(format!("{what} has format {other}, this program reads {FORMAT}"))),
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
