//! Proposals on their way to openraft: those that come at about the same time go together.
//!
//! Each run of openraft's task costs an fsync, a run of `apply` and several wake-ups, however many proposals it finds. Woken
//! by the first of many callers it would run at once (tokio runs next what was woken last) and find that one alone. So
//! a task in between lets everybody who is ready to propose do so, and then passes on what there is. Nobody waits for
//! time to pass: a proposal that comes alone goes on at once.
//!
//! What comes while [`RUNS_UNDER_WAY`] runs are not answered yet waits for the first of them, and goes on as one run. So
//! runs grow with the load by themselves, and what a run costs each replica (messages, an fsync, a wake-up of each of its
//! threads) is shared by more the busier they are.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::yield_now,
};

use super::{
    engine::{Raft, Reply, Types},
    machine::Proposal,
};

/// What a proposal is answered by openraft.
pub(super) type Written = openraft::raft::ClientWriteResult<Types>;

/// A proposal, and where its answer goes.
pub(super) type Proposed = (Proposal, Reply<Written>);

/// How many runs may be under way: while one is on its way to the others' disks, the next one is written here.
const RUNS_UNDER_WAY: usize = 2;

/// A run that is under way for as long as a proposal in it has not been answered.
pub(super) type Run = Arc<OwnedSemaphorePermit>;

/// Starts the task, which ends with openraft, or when nobody is left who could propose. What waits is bounded by the room
/// that proposals take.
pub(super) fn start(raft: Raft) -> mpsc::UnboundedSender<Proposed> {
    let (proposals, queue) = mpsc::unbounded_channel();
    tokio::spawn(pass_on(queue, move |(proposal, reply): Proposed, run| {
        let raft = raft.clone();
        async move {
            // Nobody waits for it any more, and what its proposer does next must not be undone by it.
            reply.is_abandoned() || raft.client_write_ff(proposal, Some(reply.in_run(run))).await.is_ok()
        }
    }));
    proposals
}

/// Passes on what comes until `send` says that it was in vain: then what is still in the queue is dropped with it.
async fn pass_on<T, F: Future<Output = bool>>(
    mut queue: mpsc::UnboundedReceiver<T>,
    send: impl Fn(T, Run) -> F,
) {
    let turns = Arc::new(Semaphore::new(RUNS_UNDER_WAY));
    while let Some(first) = queue.recv().await {
        yield_now().await;
        // It is never closed.
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let run = Arc::new(turn);
        let mut next = Some(first);
        while let Some(proposed) = next {
            if !send(proposed, run.clone()).await {
                return;
            }
            next = queue.try_recv().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn all_who_are_ready_go_together_and_one_alone_goes_at_once() {
        let (proposals, queue) = mpsc::unbounded_channel();
        let proposed = Arc::new(AtomicUsize::new(0));
        let (passed, mut seen) = mpsc::unbounded_channel();
        let known = proposed.clone();
        tokio::spawn(pass_on(queue, move |number: usize, _| {
            // How many had proposed when the first of them went on.
            let sent = passed.send((number, known.load(Ordering::SeqCst)));
            async move { sent.is_ok() }
        }));
        let spawning = proposals.clone();
        let all = async move {
            for number in 0..30 {
                let (proposals, proposed) = (spawning.clone(), proposed.clone());
                tokio::spawn(async move {
                    proposed.fetch_add(1, Ordering::SeqCst);
                    proposals.send(number).unwrap();
                });
            }
        };
        tokio::spawn(all).await.unwrap();
        assert_eq!(seen.recv().await.unwrap().1, 30);
        for _ in 1..30 {
            seen.recv().await.unwrap();
        }
        proposals.send(30).unwrap();
        assert_eq!(seen.recv().await.unwrap().0, 30);
    }

    #[tokio::test]
    async fn those_who_come_while_others_are_under_way_go_together() {
        let (proposals, queue) = mpsc::unbounded_channel();
        let (passed, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(queue, move |number: usize, run| {
            let sent = passed.send((number, run));
            async move { sent.is_ok() }
        }));
        let mut under_way = Vec::new();
        for number in 0..RUNS_UNDER_WAY {
            proposals.send(number).unwrap();
            under_way.push(seen.recv().await.unwrap());
        }
        for number in 10..15 {
            proposals.send(number).unwrap();
            yield_now().await;
        }
        assert!(seen.try_recv().is_err(), "they wait");
        drop(under_way.pop());
        let (first, run) = seen.recv().await.unwrap();
        assert_eq!(first, 10);
        for number in 11..15 {
            let (next, with) = seen.recv().await.unwrap();
            assert_eq!(next, number);
            assert!(Arc::ptr_eq(&run, &with));
        }
    }

    #[tokio::test]
    async fn once_it_was_in_vain_the_queue_is_closed() {
        let (proposals, queue) = mpsc::unbounded_channel();
        let passing = tokio::spawn(pass_on(queue, |(), _| async { false }));
        proposals.send(()).unwrap();
        passing.await.unwrap();
        assert!(proposals.send(()).is_err());
    }
}
