//! openraft's log over [`rempart_wal`].
//!
//! Writing is the business of one thread ([`LogWriter`]). The end of the log is also in memory ([`LogTail`]), so that an entry can be
//! read the moment `append` returns, and so that followers and `apply`, who want the newest entries, never touch the
//! disk.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use futures::{Stream, stream};
use openraft::{LogState, OptionalSend, RaftLogReader, storage::RaftLogStorage};
use rempart_wal::Wal;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Limits,
    engine::{Entry, LogId, Types, Vote},
    log_tail::{Durable, LogTail},
    log_writer::{Done, Flushed, LogWriter, Request},
    workers::Worker,
};

/// How much one request to a follower, or one run of `apply`, holds in bytes; more only if it is a single entry.
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// The log, for openraft to write.
pub(crate) struct LogStore {
    requests: mpsc::UnboundedSender<Request>,
    tail: Arc<LogTail>,
}

/// The log, for openraft to read.
#[derive(Clone)]
pub(crate) struct LogReader(Arc<LogTail>);

impl LogStore {
    /// Opens the log in `dir` and starts the thread that writes it, which ends when the store is dropped. Blocks.
    pub(crate) fn open(dir: &Path, limits: &Limits) -> io::Result<(Self, Worker)> {
        let options = rempart_wal::Options { segment_bytes: limits.segment_bytes };
        let wal = Wal::open(dir, options).map_err(io::Error::other)?;
        let tail = Arc::new(LogTail::load(&wal, limits.tail_bytes)?);
        let (requests, queue) = mpsc::unbounded_channel();
        let writer = LogWriter::new(wal, Arc::clone(&tail));
        #[cfg(test)]
        if super::simulated::is_on() {
            let task = tokio::spawn(writer.run_simulated(queue));
            return Ok((Self { requests, tail }, Worker::Task(task)));
        }
        let worker = Worker::thread("raft-log", move || writer.run(queue))?;
        Ok((Self { requests, tail }, worker))
    }

    /// Follows what is durable.
    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
        self.tail.durable()
    }

    /// For who is not openraft.
    pub(crate) fn tail(&self) -> Arc<LogTail> {
        Arc::clone(&self.tail)
    }

    fn send(&self, request: Request) -> io::Result<()> {
        self.requests.send(request).map_err(|_| io::Error::other("the thread that writes the log is gone"))
    }

    /// Sends a request and waits until it is done.
    async fn ask(&self, request: impl FnOnce(Done) -> Request) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        self.send(request(done))?;
        outcome.await.map_err(|_| io::Error::other("the thread that writes the log died"))?
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let (last_purged_log_id, last_log_id) = self.tail.ends();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader(Arc::clone(&self.tail))
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.ask(|done| Request::SaveVote(vote, done)).await?;
        self.tail.set_vote(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        committed.map_or(Ok(()), |id| self.send(Request::SaveCommitted(id)))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.tail.committed_at_open().await
    }

    async fn append<I>(&mut self, entries: I, callback: Flushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.tail.push(&entries);
        self.send(Request::Append(entries, callback))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.ask(|done| Request::TruncateFrom(from, done)).await?;
        self.tail.cut(last);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.ask(|done| Request::Purge(upto, done)).await?;
        self.tail.purge(upto);
        Ok(())
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let mut wanted = bounds(&range);
        let mut found: Vec<Entry> = Vec::new();
        while !wanted.is_empty() {
            let some = self.0.entries(wanted.clone(), BATCH_BYTES).await?;
            let Some(last) = some.last() else { break };
            wanted.start = last.log_id.index + 1;
            found.extend(some);
        }
        Ok(found)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.0.entries(start..end, BATCH_BYTES).await
    }

    /// What `apply` reads: a batch at a time, however long the range is.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let state = (Arc::clone(&self.0), bounds(&range), Vec::new().into_iter());
        stream::try_unfold(state, |(tail, mut wanted, mut batch)| async move {
            let next = match batch.next() {
                Some(entry) => Some(entry),
                None if wanted.is_empty() => None,
                None => {
                    batch = tail.entries(wanted.clone(), BATCH_BYTES).await?.into_iter();
                    batch.next()
                }
            };
            Ok(next.map(|entry: Entry| {
                wanted.start = entry.log_id.index + 1;
                (entry, (tail, wanted, batch))
            }))
        })
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.vote())
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

#[cfg(test)]
mod tests;
