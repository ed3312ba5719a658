//! What one replica makes of the log: State in memory, its rows on the way to Postgres, and who is told of changes.
//!
//! [`Applier`] sits behind Raft and is the only writer of State, Postgres and [`Changes`]. Everyone else holds a
//! [`Replica`] and reads.

use std::io;
use std::sync::Arc;

use rempart_api::Timestamp;
use rempart_model::{
    Agreed, Applied, Command, Core, DigestCommand, Envelope, Outcome, Recorded, State, planted,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::raft::{Committed, Frozen, Machine, Node, Payload, Position, Proposal, ProposeError, Response};
use crate::store::{Batch, Loaded, Whole, Write, projection::Projection};

pub use crate::store::projection::Pressure;

mod changes;
mod digest;
mod quarantine;
mod reached;
mod read;
mod row;
pub(crate) mod whole;

pub use changes::{HostChanges, HostWatch};
pub use digest::{Digest, Noted};
pub use quarantine::Quarantine;
pub use read::{LoadError, Part, read};

use changes::Changes;
use digest::Notes;
use reached::Reached;
use row::{audit_row, key_of, row_of};

/// A replica's State, as of the newest published entry. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    state: watch::Receiver<Arc<State>>,
    changes: Arc<Changes>,
    noted: watch::Receiver<Option<Noted>>,
}

impl Replica {
    /// The State now: a snapshot that does not change any more.
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// Rings whenever State has changed.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    /// What this replica had when all of them noted it last; none if that was not in this life.
    pub fn noted(&self) -> Option<Noted> {
        *self.noted.borrow()
    }

    /// Rings when this host itself has changed: what it is, may and should do. Far rarer than changes of State.
    pub fn watch_host(&self, host: &str) -> HostWatch {
        self.changes.watch(host)
    }

    /// Which objects of a host have changed since they were last asked for.
    pub fn host_changes(&self, host: &str) -> HostChanges {
        self.changes.of(host)
    }
}

/// Applies committed entries; the [`Machine`] behind Raft.
pub struct Applier {
    state: State,
    publisher: watch::Sender<Arc<State>>,
    changes: Arc<Changes>,
    projection: Arc<Projection>,
    resume: Option<Position>,
    /// Applied index the pending batch follows.
    after: Option<u64>,
    pending: Vec<Write>,
    pending_bytes: usize,
    position: Option<Position>,
    /// Of the objects in `state`.
    digest: Digest,
    notes: Notes,
    noted: watch::Sender<Option<Noted>>,
    quarantine: Quarantine,
}

/// A run of entries is handed to Postgres in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

impl Applier {
    /// From what Postgres held, as [`read`] read it.
    ///
    /// # Errors
    /// When a row cannot be read, or they are not those that were written.
    pub fn new(
        loaded: Loaded<Vec<Result<Part, LoadError>>>,
        projection: Arc<Projection>,
        quarantine: Quarantine,
    ) -> Result<(Applier, Replica), LoadError> {
        let parts = loaded.resources.into_iter().collect::<Result<Vec<Part>, LoadError>>()?;
        let digest = parts.iter().fold(Digest::default(), |sum, part| sum.with(part.digest));
        let objects = parts.into_iter().flat_map(|part| part.objects);
        let mut answers = Vec::with_capacity(loaded.answers.len());
        for (request_id, index, text) in loaded.answers {
            if planted("answers-not-loaded") {
                break;
            }
            let recorded: Recorded = serde_json::from_str(&text)
                .map_err(|error| LoadError::Row { what: format!("answer to {request_id}"), error })?;
            answers.push((request_id, index, recorded));
        }
        let mut core = Core::default();
        let mut resume = None;
        let after = loaded.mark.as_ref().map(|mark| mark.applied_index);
        if let Some(mark) = loaded.mark {
            let unreadable = |error| LoadError::Row { what: "of the replica's mark".to_owned(), error };
            core = serde_json::from_value(mark.core).map_err(unreadable)?;
            resume = Some(serde_json::from_value(mark.position).map_err(unreadable)?);
            let found = digest.with_core(&core);
            // None was written before there were digests.
            if let Some(written) = mark.digest
                && written != found.to_string()
            {
                return Err(LoadError::Damaged { index: mark.applied_index, found, written });
            }
        }
        core.version.check_known().map_err(LoadError::Version)?;
        let state = State::load(core, after.unwrap_or(0), objects, answers);
        let (publisher, receiver) = watch::channel(Arc::new(state.clone()));
        let changes = Arc::new(Changes::default());
        let noted = watch::Sender::new(None);
        let replica = Replica { state: receiver, changes: changes.clone(), noted: noted.subscribe() };
        let applier = Applier {
            state,
            publisher,
            changes,
            projection,
            resume,
            after,
            pending: Vec::new(),
            pending_bytes: 0,
            position: None,
            digest,
            notes: Notes::default(),
            noted,
            quarantine,
        };
        Ok((applier, replica))
    }

    fn push(&mut self, write: Write, bytes: usize) {
        self.pending.push(write);
        self.pending_bytes += bytes;
    }

    fn record(&mut self, index: u64, envelope: &Envelope, applied: &Applied) {
        for change in &applied.changes {
            if let Some(object) = change.after.as_deref().or(change.before.as_deref()) {
                self.changes.note(object);
            }
            if planted("change-dropped") && index.is_multiple_of(7) && change.before.is_some() {
                continue;
            }
            if let Some(object) = &change.before {
                self.digest.remove(&to_text(&**object));
            }
            match &change.after {
                Some(object) => {
                    let row = row_of(object);
                    self.digest.add(&row.body);
                    let bytes = row.body.len();
                    self.push(Write::PutResource(row), bytes);
                }
                None if planted("deletion-not-written") => {}
                None => self.push(Write::DeleteResource(key_of(&change.urn)), 64),
            }
        }
        if let Some(recorded) = &applied.recorded
            && !planted("answer-not-written")
        {
            let answer = to_text(recorded);
            let bytes = answer.len();
            self.push(Write::PutAnswer { request_id: envelope.request_id, log_index: index, answer }, bytes);
        }
        if let Some(log_index) = applied.dropped_answers_to {
            self.push(Write::DropAnswersUpTo { log_index }, 16);
        }
        if !applied.repeated
            && let Some(row) = audit_row(index, envelope, &applied.outcome, self.state.core().clock.unix_ms())
        {
            self.push(Write::Audit(row), 256);
        }
    }

    /// Notes what this replica has, and stops it if it had something else than the majority at an earlier such entry.
    fn compare(&mut self, index: u64, command: &DigestCommand) -> io::Result<()> {
        if let Some(Agreed { index: at, digest }) = &command.agreed
            && let Some(own) = self.notes.at(*at)
            && own.to_string() != *digest
        {
            return Err(self.quarantine.enter(format!(
                "at entry {at} the digest of its state was {own}, and that of the majority {digest}"
            )));
        }
        let noted = Noted { index, digest: self.digest.with_core(self.state.core()) };
        self.notes.note(noted);
        self.noted.send_replace(Some(noted));
        Ok(())
    }

    /// Hands what is pending to the projection. Waits while its queue is full: this holds up this replica alone.
    fn hand_over(&mut self) -> io::Result<()> {
        let Some(position) = self.position.take() else { return Ok(()) };
        let index = position.index();
        let reached = Reached { position, core: self.state.core().clone(), digest: self.digest };
        let batch = Batch::new(self.after, reached, std::mem::take(&mut self.pending));
        self.pending_bytes = 0;
        self.after = Some(index);
        // Blocks while its queue is full.
        self.projection.push(batch).map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Machine for Applier {
    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }

    fn apply(&mut self, entry: Committed<'_>) -> io::Result<Response> {
        let response = match entry.payload {
            Payload::Blank | Payload::Membership(_) => {
                self.state.skip(entry.index);
                Response(None)
            }
            Payload::Proposal(bytes) => {
                let envelope = Envelope::decode(bytes).map_err(io::Error::other)?;
                let applied = self.state.apply(entry.index, &envelope);
                tracing::debug!(
                    request_id = %envelope.request_id,
                    index = entry.index,
                    accepted = applied.outcome.is_ok(),
                    repeated = applied.repeated,
                    "applied"
                );
                self.record(entry.index, &envelope, &applied);
                if applied.outcome.is_ok() {
                    match &envelope.command {
                        Command::Digest(command) => self.compare(entry.index, command)?,
                        Command::Upgrade(_) => {
                            self.state.core().version.check_known().map_err(io::Error::other)?;
                        }
                        _ => {}
                    }
                }
                Response(Some(Arc::new(applied.outcome)))
            }
        };
        self.position = Some(entry.position.clone());
        if self.pending_bytes > PIECE_BYTES {
            self.hand_over()?;
        }
        Ok(response)
    }

    fn freeze(&mut self) -> Box<dyn Frozen> {
        let flushed = self.projection.flushed();
        Box::new(whole::Copy { state: self.state.clone(), digest: self.digest, flushed })
    }

    async fn install(&mut self, position: &Position, content: &mut (dyn io::Read + Send)) -> io::Result<()> {
        let (state, digest) = whole::read(content)?;
        state.core().version.check_known().map_err(io::Error::other)?;
        if state.applied_index() != position.index() {
            let why =
                format!("the snapshot of {} holds the state of {}", position.index(), state.applied_index());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        // How this State came to be is not in it. The entries before are in the audit trail already.
        let first = self.after.map_or(0, |after| after + 1);
        let rows = Whole(Arc::new(whole::AsRows(state.clone())));
        self.pending = vec![Write::Replace(rows), Write::AuditGap { first, last: position.index() }];
        self.state = state;
        self.digest = digest;
        self.position = Some(position.clone());
        self.hand_over()?;
        let mut flushed = self.projection.flushed();
        // In Postgres first: what is shown is never ahead of what a restart would find.
        if !planted("install-does-not-wait-for-postgres") {
            let durable = flushed.wait_for(|flushed| *flushed >= self.after).await.map(drop);
            durable.map_err(|_| io::Error::other("Postgres takes no more rows"))?;
        }
        self.publisher.send_replace(Arc::new(self.state.clone()));
        self.changes.all(&self.state);
        Ok(())
    }

    fn batch_applied(&mut self) {
        self.publisher.send_replace(Arc::new(self.state.clone()));
        self.changes.ring();
        if let Err(error) = self.hand_over() {
            // The projection has failed for good; main watches its health and ends the process.
            tracing::error!(%error, "changes could not be handed to Postgres");
        }
    }
}

/// This replica's clock. It enters the core with entries only.
pub fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(now) = crate::raft::simulated::now() {
        return now;
    }
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A new identifier, of a request or an incarnation. It enters the core with entries only.
pub(crate) fn mint() -> Uuid {
    #[cfg(test)]
    if let Some(minted) = crate::raft::simulated::mint() {
        return minted;
    }
    Uuid::now_v7()
}

/// Puts a command of the control plane itself into the log; see [`Node::propose`].
pub(crate) fn propose_as_system(
    node: &Node,
    command: Command,
) -> impl Future<Output = Result<Arc<Outcome>, ProposeError>> + Send + use<> {
    let envelope = Envelope {
        format: rempart_model::ENVELOPE_FORMAT,
        request_id: mint(),
        actor: "system".to_owned(),
        trace: None,
        time: now(),
        command,
    };
    node.propose(Proposal(envelope.encode().into()))
}

fn to_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("stored types are plain data: {error}"))
}
