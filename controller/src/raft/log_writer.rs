//! The thread that owns the log on disk.
//!
//! ```text
//!   append, append, vote, append, committed, append     (the queue, in the order openraft asked)
//!   '--- group ---'  |    '------- group --------'
//!      one sync      |           one sync, then "committed" is noted
//!                its own sync
//! ```
//!
//! # Invariants
//!
//! - Requests take effect in the order of the queue, and callbacks are called in that order.
//! - A callback says `Ok` only after the fsync that covers its entries, and all before it.
//! - A vote is on disk, durably, before `save_vote` returns, and so is every entry appended before it.
//! - The committed index on disk never names an entry that is not durable itself.
//! - After the first failure nothing more is written and every request is answered with that failure: whoever is told
//!   that a write failed never finds it done after all by a later one.

use std::{io, sync::Arc};

use rempart_model::planted;
use rempart_wal::Wal;
use tokio::sync::{mpsc, oneshot};

use super::{
    engine::{Entry, LogId, Types, Vote},
    log_tail::LogTail,
    record,
};

/// Openraft's callback for one append.
pub(super) type Flushed = openraft::storage::IOFlushed<Types>;
/// Where the outcome of a request other than an append goes.
pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// Slots of the log directory. Their names are part of the format.
pub(super) const VOTE: &str = "vote";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";

/// How much is written before the next fsync, in bytes: enough that the fsync is cheap by comparison, little enough
/// that the first callback of the group does not wait for long.
const GROUP_BYTES: usize = 8 << 20;

/// Where the entry `index` lies in the log on disk. Raft counts from 0, and the log on disk cannot be cut before its 0.
pub(super) fn place(index: u64) -> u64 {
    index + 1
}

/// What openraft asks of the disk.
pub(super) enum Request {
    Append(Vec<Entry>, Flushed),
    SaveVote(Vote, Done),
    /// Needs no answer: losing it costs a few repeated `apply`s after a restart.
    SaveCommitted(LogId),
    /// Everything from this index on.
    TruncateFrom(u64, Done),
    /// Everything up to this entry, which need not be in the log.
    Purge(LogId, Done),
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(entries, _) => entries.iter().map(record::entry_bytes).sum(),
            Self::SaveVote(..) | Self::SaveCommitted(_) | Self::TruncateFrom(..) | Self::Purge(..) => 0,
        }
    }
}

/// The state of the thread.
pub(super) struct LogWriter {
    wal: Wal,
    tail: Arc<LogTail>,
    /// Appended and waiting for the fsync.
    waiting: Vec<Flushed>,
    committed: Option<LogId>,
    failure: Option<Failure>,
    /// Reused from record to record.
    record: Vec<u8>,
}

/// The failure after which nothing is written.
#[derive(Clone)]
struct Failure(io::ErrorKind, String);

impl From<&Failure> for io::Error {
    fn from(Failure(kind, why): &Failure) -> Self {
        Self::new(*kind, why.clone())
    }
}

impl LogWriter {
    pub(super) fn new(wal: Wal, tail: Arc<LogTail>) -> Self {
        Self { wal, tail, waiting: Vec::new(), committed: None, failure: None, record: Vec::new() }
    }

    /// Serves requests until nobody is left who could send one.
    pub(super) fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            self.take(first, &mut requests);
            self.finish();
        }
    }

    /// As [`LogWriter::run`], on the simulated clock.
    #[cfg(test)]
    pub(super) async fn run_simulated(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(first) = requests.recv().await {
            self.take(first, &mut requests);
            super::simulated::pause(super::simulated::Pause::Fsync).await;
            self.finish();
        }
    }

    /// Does what is asked for, up to the size of a group.
    fn take(&mut self, first: Request, requests: &mut mpsc::UnboundedReceiver<Request>) {
        let mut bytes = first.bytes();
        self.handle(first);
        while bytes < GROUP_BYTES {
            let Ok(next) = requests.try_recv() else { break };
            bytes += next.bytes();
            self.handle(next);
        }
    }

    /// Ends a group.
    fn finish(&mut self) {
        self.flush();
        self.note_committed();
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Append(entries, flushed) => {
                self.attempt(|writer| writer.append(&entries));
                if planted("log-answers-before-the-fsync") {
                    return flushed.io_completed(Ok(()));
                }
                self.waiting.push(flushed);
            }
            Request::SaveCommitted(id) => self.committed = Some(id),
            Request::SaveVote(vote, done) => {
                self.attempt_alone(done, |writer| {
                    let durable = !planted("vote-not-durable");
                    writer.wal.put_slot(VOTE, &record::put_vote(&vote), durable).map_err(io::Error::other)
                });
            }
            Request::TruncateFrom(index, done) => {
                self.attempt_alone(done, |writer| writer.truncate_from(index));
            }
            Request::Purge(upto, done) => self.attempt_alone(done, |writer| writer.purge(&upto)),
        }
    }

    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            self.record.clear();
            record::put_entry(entry, &mut self.record)?;
            self.wal.append(place(entry.log_id.index), &self.record).map_err(io::Error::other)?;
        }
        if let Some(last) = entries.last() {
            self.tail.written(last.log_id.index + 1);
            if planted("durable-when-written") {
                self.tail.synced();
            }
        }
        Ok(())
    }

    fn truncate_from(&mut self, index: u64) -> io::Result<()> {
        // After the place before it, which is the place of the entry with its index less one.
        if planted("truncation-skipped") {
            return Ok(());
        }
        self.wal.truncate_after(index).map_err(io::Error::other)?;
        self.tail.truncated(index);
        Ok(())
    }

    /// First the mark, then the deed: a crash between the two leaves entries that are known to be purged, never a log
    /// that begins nobody knows where.
    fn purge(&mut self, upto: &LogId) -> io::Result<()> {
        self.wal.put_slot(PURGED, &record::put_log_id(upto), true).map_err(io::Error::other)?;
        self.wal.purge_to(place(upto.index)).map_err(io::Error::other)
    }

    /// One fsync, then the callbacks in order.
    fn flush(&mut self) {
        if self.waiting.is_empty() && !planted("log-answers-before-the-fsync") {
            return;
        }
        self.attempt(|writer| {
            writer.wal.sync().map_err(io::Error::other)?;
            writer.tail.synced();
            Ok(())
        });
        for flushed in self.waiting.drain(..) {
            flushed.io_completed(self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.into())));
        }
    }

    fn note_committed(&mut self) {
        if let Some(id) = self.committed.take() {
            self.attempt(|writer| {
                writer.wal.put_slot(COMMITTED, &record::put_log_id(&id), false).map_err(io::Error::other)
            });
        }
    }

    /// Does what must not share its fsync with what is queued before it.
    fn attempt_alone(&mut self, done: Done, work: impl FnOnce(&mut Self) -> io::Result<()>) {
        self.flush();
        self.attempt(work);
        // Nobody waits when consensus is being stopped.
        let _ = done.send(self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.into())));
    }

    /// Does some work unless something failed before.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failure.is_some() {
            return;
        }
        if let Err(error) = work(self) {
            tracing::error!(%error, "the log failed; this replica stops");
            self.failure = Some(Failure(error.kind(), error.to_string()));
            self.tail.failed(&error.to_string());
        }
    }
}

impl Drop for LogWriter {
    /// Whoever waits for the disk hears of a panic as of any other failure.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tail.failed("the thread that writes the log panicked");
        }
    }
}
