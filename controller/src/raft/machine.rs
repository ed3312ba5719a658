//! The border to what is replicated: proposals go in, committed entries come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::Arc,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rempart_model::Outcome;
use serde::{Deserialize, Serialize};

/// The bytes of one encoded command envelope.
///
/// Its proposer encodes it once; the log, the wire and [`Machine::apply`] carry the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    /// The size only: an envelope may hold what does not belong in a log file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answered. `None` for entries that Raft wrote for itself. It never leaves the process.
#[derive(Clone)]
pub struct Response(pub Option<Arc<Outcome>>);

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Response(Some)" } else { "Response(None)" })
    }
}

/// What a committed entry holds.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// Nothing: a new leader's first entry.
    Blank,
    /// A command envelope, as it was proposed.
    Proposal(&'a Bytes),
    /// New members. Also part of the entry's [`Position`], which is what has to be kept.
    Membership(&'a Members),
}

/// One committed entry, on its way into the [`Machine`].
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// Its place in the log. Entries arrive in order and without gaps.
    pub index: u64,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// What [`Machine::resume`] has to answer once this entry is durably applied.
    pub position: &'a Position,
    /// What it holds.
    pub payload: Payload<'a>,
}

/// What is replicated, seen from the log.
///
/// All calls come from one thread of the adapter's own, one at a time.
pub trait Machine: Send + 'static {
    /// The position of the last entry that survived the restart, `None` when there is nothing. Called once, before any
    /// `apply`. Entries after it are applied again, so it may be behind what was once applied, and it must not be ahead
    /// of what is there.
    fn resume(&self) -> Option<Position>;

    /// Applies the next entry. May block for as long as it takes to keep a bound on what is not yet durable; it holds
    /// up this replica's `apply` alone, neither heartbeats nor replication.
    ///
    /// # Errors
    ///
    /// An error is a replica that cannot go on (an unknown command, a broken database), never a refusal of a command.
    /// Consensus stops here and [`Node::failed`](super::Node::failed) resolves.
    fn apply(&mut self, entry: Committed<'_>) -> io::Result<Response>;

    /// Ends a run of `apply` calls: publish the new state and wake who watches it. Only after it returns are the
    /// proposers of the run answered.
    fn batch_applied(&mut self);

    /// The state as it is now, in constant time: what [`Frozen`] says of it stays so while `apply` goes on.
    fn freeze(&mut self) -> Box<dyn Frozen>;

    /// Becomes the state that `content` is of: what [`Frozen::write`] wrote, on another replica or in another life. Reads
    /// `content` to its end, which tells whether it is whole, before it changes anything; resolves when all of it is durable
    /// and published. Meanwhile the machine does nothing else, and it may block while it reads.
    ///
    /// # Errors
    ///
    /// As for [`Machine::apply`]. The machine is then as it was.
    fn install(
        &mut self,
        position: &Position,
        content: &mut (dyn io::Read + Send),
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// The state of one moment, for a snapshot.
pub trait Frozen: Send + Sync + 'static {
    /// Writes all of it. May block.
    ///
    /// # Errors
    ///
    /// Those of `out`, after which it may be tried again. `InvalidData` if it is not what was applied: this replica cannot go
    /// on.
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()>;

    /// Resolves when the [`Machine`] would resume at this moment or later after a power cut: then the log up to there is
    /// needed no more.
    ///
    /// # Errors
    ///
    /// When that will not happen in this life.
    fn wait_durable(&self) -> BoxFuture<'static, io::Result<()>>;
}

/// A place in the log together with the members in force there: all that a replica must keep beside its state to
/// take up the log again. To the [`Machine`] it is opaque; its JSON is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub(crate) term: u64,
    pub(crate) node: u64,
    pub(crate) index: u64,
    pub(crate) members: Arc<Members>,
}

impl Position {
    /// The index of the entry.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The members in force after it.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }
}

/// Who takes part, and the entry that said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Term, node and index of the entry that set them; `None` before the first.
    pub(crate) entry: Option<(u64, u64, u64)>,
    /// The sets of voters. More than one while a change is under way: each of them has to agree.
    pub voters: Vec<BTreeSet<u64>>,
    /// Where each member listens for its peers, as `host:port`. Members who are in no set of voters only listen.
    pub addresses: BTreeMap<u64, String>,
}
