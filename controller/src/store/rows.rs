//! What goes into Postgres and comes back: rows, marks, and batches of writes.
//!
//! These types know nothing of SQL and nothing of the model: the model's consumers turn `Change`s into [`Write`]s.
//! JSON travels as text, because the exact bytes matter (the state hash is over them) and only the model reads them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// How far along the Raft log a set of rows is. Stored in the same transaction as the rows, never apart from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Index of the last log entry whose effects are in the rows.
    pub applied_index: u64,
    /// The Raft log id of that entry, as the adapter in `raft` writes it.
    pub position: serde_json::Value,
    /// The last Raft membership at or below that entry.
    pub membership: serde_json::Value,
    /// What State holds beside rows and answers: its clock, the cluster version, ...
    pub core: serde_json::Value,
    /// Of all of State, as `replica` makes it: what is read back has to have it. `None` before there was one.
    pub digest: Option<String>,
}

/// Where a batch leads. Of the batches that share a transaction only the last one's mark is written, so each is put into
/// words when that is known.
pub trait Marked: Send + Sync {
    /// Index of the last log entry whose effects are in the batch.
    fn applied_index(&self) -> u64;
    /// The mark of that entry.
    fn mark(&self) -> Mark;
}

impl Marked for Mark {
    fn applied_index(&self) -> u64 {
        self.applied_index
    }

    fn mark(&self) -> Mark {
        self.clone()
    }
}

/// One effect of a log entry on the tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Insert the row, or replace the one of the same key.
    PutResource(ResourceRow),
    /// Remove the row of this key, if there is one.
    DeleteResource(ResourceKey),
    /// Remember what a request was answered. Log indexes of answers only ever grow.
    PutAnswer {
        /// Request id of the proposal.
        request_id: Uuid,
        /// Log index of the entry that was answered.
        log_index: u64,
        /// The answer, JSON text.
        answer: String,
    },
    /// Forget the answers to entries up to and including this one: the window moved on.
    DropAnswersUpTo {
        /// Log index of the last entry whose answer is forgotten.
        log_index: u64,
    },
    /// Append one row of history. Its key must be new.
    Audit(AuditRow),
    /// Replace every resource and answer by those of another State (a Raft snapshot). History stays.
    Replace(Whole),
    /// History of these entries is missing here, and has to be fetched from another replica.
    AuditGap {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

/// The rows of a whole State, made one after the other when they are written: all at once they could be more than fits
/// into memory beside it.
pub trait Rows: Send + Sync {
    /// Every resource.
    fn resources(&self) -> Box<dyn Iterator<Item = ResourceRow> + Send + '_>;
    /// Every remembered answer, as (request id, log index, JSON text).
    fn answers(&self) -> Box<dyn Iterator<Item = (Uuid, u64, String)> + Send + '_>;
    /// About how much they are, in bytes.
    fn bytes(&self) -> usize;
}

/// A whole State. Equal to itself alone.
#[derive(Clone)]
pub struct Whole(pub Arc<dyn Rows>);

impl PartialEq for Whole {
    fn eq(&self, other: &Whole) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole(about {} bytes)", self.0.bytes())
    }
}

/// Names one resource. A part its kind's scope does not have is the empty string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// Kind, as the model names it.
    pub kind: Cow<'static, str>,
    /// Tenant, or empty.
    pub tenant: String,
    /// Workspace, or empty.
    pub workspace: String,
    /// Network the resource is nested in, or empty.
    pub network: String,
    /// Name within kind and scope.
    pub name: String,
}

/// One resource as it is stored. Times are milliseconds since 1970 UTC by the clock of State.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceRow {
    /// Which resource.
    pub key: ResourceKey,
    /// This incarnation of the name.
    pub uid: Uuid,
    /// SECA resourceVersion: raised by requests only.
    pub resource_version: i64,
    /// Log index of the last change of any sort.
    pub changed_index: i64,
    /// When it was created.
    pub created_at_ms: i64,
    /// When it was last modified.
    pub modified_at_ms: i64,
    /// When its deletion was asked for.
    pub deleted_at_ms: Option<i64>,
    /// Everything else, JSON text; loading gives back these very bytes.
    pub body: String,
}

/// One row of history, keyed by (log index, ordinal), the same on every replica.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Log index of the entry this row tells of.
    pub log_index: i64,
    /// Position among the rows of that entry.
    pub ordinal: i32,
    /// Milliseconds since 1970 UTC by the clock of State.
    pub at_ms: i64,
    /// Request id of the proposal.
    pub request_id: Uuid,
    /// Who asked.
    pub actor: String,
    /// What was asked.
    pub action: String,
    /// What it was asked of.
    pub subject: String,
    /// What came of it, JSON text.
    pub outcome: String,
}

/// The effects of one log entry, or of several consecutive ones: committed whole or not at all.
///
/// A batch says which applied index it follows, so that one that is sent twice (a connection may die between COMMIT and
/// its answer) is recognised and never takes effect twice, and one that would leave a gap is refused.
#[derive(Clone)]
pub struct Batch {
    after: Option<u64>,
    leads_to: Arc<dyn Marked>,
    writes: Vec<Write>,
    bytes: usize,
}

/// What a batch and each write weigh beyond their text: the structs themselves and their share of the collections.
const OVERHEAD_BYTES: usize = 256;

impl Batch {
    /// A batch that follows `after` (`None`: nothing was ever applied; 0 is a real entry) and ends where `leads_to` says.
    #[must_use]
    pub fn new(after: Option<u64>, leads_to: impl Marked + 'static, writes: Vec<Write>) -> Batch {
        let bytes = OVERHEAD_BYTES + writes.iter().map(Write::bytes).sum::<usize>();
        Batch { after, leads_to: Arc::new(leads_to), writes, bytes }
    }

    /// The applied index this batch follows; `None` when it is the first.
    #[must_use]
    pub fn after(&self) -> Option<u64> {
        self.after
    }

    /// The applied index in the database once this batch is committed.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.leads_to.applied_index()
    }

    /// Where the database is once this batch is committed.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.leads_to.mark()
    }

    /// The effects, in order.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// About how much memory this batch holds, in bytes. What the projection's queue is bounded by.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends `next`, which must follow this batch directly: both are then one transaction.
    pub(super) fn append(&mut self, next: Batch) {
        debug_assert_eq!(
            next.after,
            Some(self.applied_index()),
            "batches are merged in order, without a gap"
        );
        self.leads_to = next.leads_to;
        self.writes.extend(next.writes);
        self.bytes += next.bytes;
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, leads_to) = (self.after, self.applied_index());
        write!(f, "Batch({after:?} to {leads_to}, {} writes)", self.writes.len())
    }
}

impl Write {
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                Write::PutResource(row) => row.key.bytes() + row.body.len(),
                Write::DeleteResource(key) => key.bytes(),
                Write::PutAnswer { answer, .. } => answer.len(),
                Write::Audit(row) => {
                    row.actor.len() + row.action.len() + row.subject.len() + row.outcome.len()
                }
                Write::Replace(whole) => whole.0.bytes(),
                Write::DropAnswersUpTo { .. } | Write::AuditGap { .. } => 0,
            }
    }
}

impl ResourceKey {
    fn bytes(&self) -> usize {
        self.kind.len() + self.tenant.len() + self.workspace.len() + self.network.len() + self.name.len()
    }
}

/// All that a replica needs to go on from where its database is, read in one consistent transaction.
#[derive(Debug, Default)]
pub struct Loaded<R = Vec<ResourceRow>> {
    /// Where the rows are; `None` when nothing was ever applied.
    pub mark: Option<Mark>,
    /// Every resource, in no particular order.
    pub resources: R,
    /// Every remembered answer as (request id, log index, JSON text), in the order of their log indexes.
    pub answers: Vec<(Uuid, u64, String)>,
}

impl Loaded {
    /// The same, and what `read` makes of the resources.
    pub fn read<T>(self, read: impl FnOnce(Vec<ResourceRow>) -> T) -> Loaded<Vec<T>> {
        Loaded { mark: self.mark, resources: vec![read(self.resources)], answers: self.answers }
    }
}
