//! What an agent said and what is on its way into the log.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use tonic::Status;

/// What of one agent may be under way; its next report waits in the stream.
const MAX: usize = 16;

/// Of one session, in the order in which it was said: pieces of reports, and after each report's last its sequence.
#[derive(Default)]
pub(super) struct UnderWay(FuturesOrdered<BoxFuture<'static, Result<Option<u64>, Status>>>);

impl UnderWay {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another report may come.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < MAX
    }

    /// A piece was put into the log.
    pub(super) fn piece(&mut self, proposed: impl Future<Output = Result<(), Status>> + Send + 'static) {
        self.0.push_back(Box::pin(async move { proposed.await.map(|()| None) }));
    }

    /// All of a report was.
    pub(super) fn end(&mut self, sequence: u64) {
        self.0.push_back(Box::pin(std::future::ready(Ok(Some(sequence)))));
    }

    /// Waits until the first of it is applied; for ever if nothing is under way. The sequence is that of a report of which
    /// everything is. Cancelling it takes nothing.
    pub(super) async fn next(&mut self) -> Result<Option<u64>, Status> {
        match self.0.next().await {
            Some(applied) => applied,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_report_is_taken_in_when_all_before_its_end_is_applied() {
        let mut under_way = UnderWay::default();
        let piece = |under_way: &mut UnderWay| {
            let (applied, answer) = oneshot::channel();
            under_way.piece(async move { answer.await.unwrap_or_else(|_| Err(Status::unavailable("lost"))) });
            applied
        };
        let (first, second) = (piece(&mut under_way), piece(&mut under_way));
        under_way.end(1);
        under_way.end(2);
        let lost = piece(&mut under_way);
        second.send(Ok(())).unwrap();
        assert!(under_way.next().now_or_never().is_none(), "the first piece is not applied");
        first.send(Ok(())).unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(under_way.next().await.unwrap());
        }
        assert_eq!(seen, [None, None, Some(1), Some(2)]);
        drop(lost);
        assert!(under_way.next().await.is_err());
        assert!(under_way.is_empty() && under_way.next().now_or_never().is_none());
    }
}
