//! From one replica to a majority, and from a peer that has a blob to one that lacks it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rempart_api::storage::BlobSpec;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::blob::v1::{HasRequest, PullRequest, ReadRequest};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tonic::Status;

use super::incoming::{Expected, Incoming};
use super::{BlobError, BlobName, Blobs, server};

/// A peer that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(20);
/// Time to reach a majority: this, and one second more per so many bytes.
const SPREAD_LEAST: Duration = Duration::from_secs(20);
const SPREAD_BYTES_PER_SECOND: u64 = 8 << 20;
/// How long a peer may take to say whether it has something.
const HAS_WITHIN: Duration = Duration::from_secs(5);

impl Blobs {
    /// Replicas that make a majority.
    fn needed(&self) -> usize {
        self.inner.peers.others().len().div_ceil(2) + 1
    }

    /// Returns once a majority of the replicas hold a blob that this one holds. Those that were not waited for go on
    /// taking it.
    ///
    /// # Errors
    /// [`BlobError::NoMajority`], within a time that grows with the blob.
    pub async fn spread(&self, blob: &BlobSpec) -> Result<(), BlobError> {
        let needed = self.needed();
        if let Some(name) = BlobName::of(blob) {
            self.want(name);
        }
        let mut held = 1;
        let mut asked = JoinSet::new();
        for id in self.inner.peers.others() {
            let Some(connection) = self.inner.peers.to(id) else { continue };
            let request = PullRequest { blob: Some(server::to_wire(blob)) };
            asked.spawn(async move { (id, BlobsClient::new(connection).pull(request).await) });
        }
        let patience = SPREAD_LEAST + Duration::from_secs(blob.size_bytes / SPREAD_BYTES_PER_SECOND);
        let deadline = tokio::time::Instant::now() + patience;
        let mut trouble = Vec::new();
        while held < needed {
            match timeout_at(deadline, asked.join_next()).await {
                Ok(Some(Ok((_, Ok(_))))) => held += 1,
                Ok(Some(Ok((id, Err(status))))) => {
                    tracing::warn!(peer = id, error = %words(&status), sha256 = blob.sha256, "a peer did not take a blob");
                    trouble.push(format!("controller {id}: {}", words(&status)));
                }
                Ok(Some(Err(error))) => trouble.push(error.to_string()),
                Ok(None) => break,
                Err(_) => {
                    trouble.push(format!("no answer within {} s", patience.as_secs()));
                    break;
                }
            }
        }
        asked.detach_all();
        if held < needed {
            return Err(BlobError::NoMajority { held, needed, why: trouble.join("; ") });
        }
        Ok(())
    }

    /// Whether a majority of the replicas hold a blob.
    pub async fn is_held_by_majority(&self, blob: &BlobSpec) -> bool {
        let Some(name) = BlobName::of(blob) else { return false };
        self.want(name);
        let mut held = usize::from(self.holds(blob));
        let mut asked = JoinSet::new();
        for connection in self.inner.peers.others().into_iter().filter_map(|id| self.inner.peers.to(id)) {
            let request = HasRequest { blob: Some(server::to_wire(blob)) };
            asked.spawn(async move {
                let answer = timeout(HAS_WITHIN, BlobsClient::new(connection).has(request)).await;
                answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.into_inner().held))
            });
        }
        while held < self.needed() {
            match asked.join_next().await {
                Some(answer) => held += usize::from(answer.unwrap_or(false)),
                None => break,
            }
        }
        held >= self.needed()
    }

    /// Takes a blob from peer `id` unless it is here; at most one at a time takes the same.
    pub(super) async fn pull(&self, id: u64, blob: &BlobSpec) -> Result<(), BlobError> {
        let what = || format!("taking a blob from controller {id}");
        let failed = |error: std::io::Error| BlobError::Io { what: what(), error };
        let name = BlobName::of(blob).ok_or_else(|| failed(std::io::Error::other("it is no digest")))?;
        self.want(name);
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        if self.holds(blob) {
            return Ok(());
        }
        let connection = self
            .inner
            .peers
            .to(id)
            .ok_or_else(|| failed(std::io::Error::other("there is no such replica")))?;
        let broken = |status: Status| failed(std::io::Error::other(words(&status)));
        let request = ReadRequest { blob: Some(server::to_wire(blob)), offset: 0 };
        let mut pieces = BlobsClient::new(connection).read(request).await.map_err(broken)?.into_inner();
        let mut incoming = Incoming::begin(self.inner.store.clone(), Expected::exactly(name, blob)).await?;
        loop {
            let next = timeout(SILENCE, pieces.message()).await;
            match next.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(broken)? {
                Some(piece) => incoming.push(piece.bytes).await?,
                None => break,
            }
        }
        incoming.finish().await?;
        tracing::info!(peer = id, sha256 = blob.sha256, bytes = blob.size_bytes, "took a blob from a peer");
        Ok(())
    }

    fn turn(&self, name: BlobName) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulling = self.inner.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        // Those nobody holds any more are only ours.
        pulling.retain(|_, turn| Arc::strong_count(turn) > 1);
        pulling.entry(name).or_default().clone()
    }
}

pub(super) fn words(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => format!("{}: {source}", status.message()),
        None => status.message().to_owned(),
    }
}
