//! Proposals on their way to openraft: those that come at about the same time go together.
//!
//! Each run of openraft's task costs an fsync, a run of `apply` and several wake-ups, however many proposals it finds. Woken
//! by the first of many callers it would run at once (tokio runs next what was woken last) and find that one alone. So
//! a task in between lets everybody who is ready to propose do so, and then passes on what there is. Nobody waits for
//! time to pass: a proposal that comes alone goes on at once.

use tokio::{sync::mpsc, task::yield_now};

use super::{
    engine::{Raft, Reply, Types},
    machine::Proposal,
};

/// What a proposal is answered by openraft.
pub(super) type Written = openraft::raft::ClientWriteResult<Types>;

/// A proposal, and where its answer goes.
pub(super) type Proposed = (Proposal, Reply<Written>);

/// Starts the task, which ends with openraft, or when nobody is left who could propose. What waits is bounded by the room
/// that proposals take.
pub(super) fn start(raft: Raft) -> mpsc::UnboundedSender<Proposed> {
    let (proposals, queue) = mpsc::unbounded_channel();
    tokio::spawn(pass_on(queue, move |(proposal, reply)| {
        let raft = raft.clone();
        async move { raft.client_write_ff(proposal, Some(reply)).await.is_ok() }
    }));
    proposals
}

/// Passes on what comes until `send` says that it was in vain: then what is still in the queue is dropped with it.
async fn pass_on<T, F: Future<Output = bool>>(mut queue: mpsc::UnboundedReceiver<T>, send: impl Fn(T) -> F) {
    while let Some(first) = queue.recv().await {
        yield_now().await;
        let mut next = Some(first);
        while let Some(proposed) = next {
            if !send(proposed).await {
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
        tokio::spawn(pass_on(queue, move |number: usize| {
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
    async fn once_it_was_in_vain_the_queue_is_closed() {
        let (proposals, queue) = mpsc::unbounded_channel();
        let passing = tokio::spawn(pass_on(queue, |()| async { false }));
        proposals.send(()).unwrap();
        passing.await.unwrap();
        assert!(proposals.send(()).is_err());
    }
}
