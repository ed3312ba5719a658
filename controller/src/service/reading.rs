//! What a read sees: everything acknowledged before it was asked, or, on request, what this replica knows.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::accounts::check_proof;
use super::authorise::Caller;
use super::call::{Reply, Request};
use super::error::{Fault, ServiceError};
use super::{Inner, PATIENCE, Service};
use crate::raft::Ballot;

/// A read that may be old is no older than this.
const STALE_AT_MOST: Duration = Duration::from_secs(60);

impl Service {
    /// Answers a read with what this replica knows, and says up to which entry of the log that is. Asks nobody; but who has
    /// heard nothing for long says nothing, for a right that was taken away meanwhile would count for ever.
    ///
    /// # Errors
    /// As [`Service::call`].
    pub async fn read_stale(&self, request: &Request) -> Result<(u64, Reply), ServiceError> {
        let caught_up = *self.inner.caught_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = caught_up.is_some_and(|at| at.elapsed() <= STALE_AT_MOST);
        if !lately && self.inner.node.leads_alone().is_none() {
            return Err(ServiceError::Fault(Fault::Behind));
        }
        let state = self.inner.replica.state();
        let reply = self.read(&state, request, Instant::now() + PATIENCE).await?;
        Ok((state.applied_index(), reply))
    }

    /// Returns once everything acknowledged before this call is in this replica's State, if an operator asks by that State.
    ///
    /// # Errors
    /// A missing right, or a fault of ours.
    pub async fn see_as_operator(&self, caller: &Caller) -> Result<(), ServiceError> {
        self.catch_up(Instant::now() + PATIENCE).await?;
        check_proof(&self.inner.replica.state(), caller)?;
        if caller.operates { Ok(()) } else { Err(ServiceError::Forbidden) }
    }

    /// Returns once everything acknowledged before this call is in this replica's State.
    pub(super) async fn catch_up(&self, deadline: Instant) -> Result<(), ServiceError> {
        let alone = self.inner.node.leads_alone();
        if alone.is_some_and(|term| self.inner.caught_up_term.load(Ordering::Acquire) == term) {
            return self.catch_up_with_learners(deadline).await;
        }
        self.ask_and_catch_up(deadline).await?;
        if let Some(term) = alone {
            self.inner.caught_up_term.store(term, Ordering::Release);
        }
        Ok(())
    }

    /// A replica that does not vote (any more) may be quicker to apply what this one commits alone. Who read it there must not
    /// see less here.
    async fn catch_up_with_learners(&self, deadline: Instant) -> Result<(), ServiceError> {
        let told = self.inner.node.told_committed();
        if self.inner.node.applied_index() >= Some(told) {
            return Ok(());
        }
        self.wait_applied(told, deadline).await
    }

    async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<(), ServiceError> {
        let applied = self.inner.node.wait_applied(index, deadline).await;
        applied.map_err(|_| ServiceError::Fault(Fault::Behind))
    }

    async fn ask_and_catch_up(&self, deadline: Instant) -> Result<(), ServiceError> {
        loop {
            let attempt = self.inner.read_indexes.join(|| {
                let service = self.clone();
                async move { service.read_index().await }.boxed()
            });
            match timeout_at(deadline, attempt).await {
                Err(_) => return Err(ServiceError::Fault(Fault::NoLeader)),
                Ok(Ok(index)) => {
                    self.wait_applied(index, deadline).await?;
                    let mut at = self.inner.caught_up_at.lock().unwrap_or_else(PoisonError::into_inner);
                    *at = Some(Instant::now());
                    return Ok(());
                }
                Ok(Err(ServiceError::Fault(fault)))
                    if fault.helps_to_retry() && Instant::now() < deadline =>
                {
                    let mut leadership = self.inner.node.leadership();
                    let pause = Duration::from_millis(100);
                    let _ = tokio::time::timeout(pause, leadership.changed()).await;
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// The index a linearizable read has to wait for, from the leader, whoever that is now.
    async fn read_index(&self) -> Result<u64, ServiceError> {
        if self.inner.node.is_leader() {
            return self.read_index_as_leader().await;
        }
        let Some((leader, address)) = self.inner.node.leader() else {
            return Err(ServiceError::Fault(Fault::NoLeader));
        };
        self.while_it_leads(
            leader,
            self.inner.forwarder.read_index(leader, &address, self.inner.node.voted()),
        )
        .await
    }

    /// The index a linearizable read has to wait for; only the leader knows.
    pub(crate) async fn read_index_as_leader(&self) -> Result<u64, ServiceError> {
        Ok(self.inner.node.read_index().await?)
    }

    /// The same, for another replica that had `voted` when it asked. The leader and one other of three are a majority: where that
    /// one voted for this leader and for nobody since, there is nobody else to ask. What this replica or the third may have shown
    /// counts, though it were on its way still: who saw it there must not see less at the one that asks.
    pub(crate) async fn read_index_for(&self, asker: u64, voted: Ballot) -> Result<u64, ServiceError> {
        let Inner { node, replica, caught_up_term, .. } = &*self.inner;
        let Some(term) = node.leads_with(asker, voted) else { return self.read_index_as_leader().await };
        if caught_up_term.load(Ordering::Acquire) == term {
            return Ok(replica.state().applied_index().max(node.told_committed()));
        }
        let index = self.read_index_as_leader().await?;
        if node.applied_index() >= Some(index) {
            caught_up_term.store(term, Ordering::Release);
        }
        Ok(index)
    }
}
