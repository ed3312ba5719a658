//! Many who need the same answer, and each as of a moment behind their question: they share rounds.
//!
//! ```text
//!   a round under way ── may be older than a question: nobody joins it
//!   the next round    ── begins when it ends; all who ask until then share its answer
//! ```
//!
//! So that a thousand reads at once cost two looks at who leads, and none is answered from before it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

type Round<T> = Shared<BoxFuture<'static, T>>;

/// Rounds of one kind. Nothing runs unless somebody waits for it.
pub(super) struct Rounds<T: Clone> {
    /// The one that has not begun.
    next: Arc<Mutex<Option<Round<T>>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<T: Clone + Send + Sync + 'static> Rounds<T> {
    pub(super) fn new() -> Rounds<T> {
        Rounds { next: Arc::default(), turn: Arc::default() }
    }

    /// A round that has not begun yet: the next one, or one that is made now.
    pub(super) fn join(&self, round: impl FnOnce() -> BoxFuture<'static, T>) -> Round<T> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = &*next {
            return next.clone();
        }
        let (slot, turn, round) = (self.next.clone(), self.turn.clone(), round());
        let begins = async move {
            let _turn = turn.lock_owned().await;
            // From here on it is too late to join.
            slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            round.await
        };
        next.insert(begins.boxed().shared()).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Rounds that end when the gate lets them, and tell which they were.
    struct Counted {
        rounds: Rounds<u64>,
        begun: Arc<AtomicU64>,
        gate: Arc<Semaphore>,
    }

    impl Counted {
        fn new() -> Counted {
            Counted { rounds: Rounds::new(), begun: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
        }

        fn ask(&self) -> tokio::task::JoinHandle<u64> {
            let (begun, gate) = (self.begun.clone(), self.gate.clone());
            let round = self.rounds.join(|| {
                async move {
                    let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    number
                }
                .boxed()
            });
            tokio::spawn(round)
        }

        async fn begun(&self, count: u64) {
            while self.begun.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn nobody_joins_a_round_that_has_begun_and_all_share_the_next() {
        let counted = Counted::new();
        let first = counted.ask();
        counted.begun(1).await;
        let later: Vec<_> = (0..100).map(|_| counted.ask()).collect();
        counted.gate.add_permits(1);
        assert_eq!(first.await.unwrap(), 1);
        counted.begun(2).await;
        let last = counted.ask();
        counted.gate.add_permits(2);
        for answer in later {
            assert_eq!(answer.await.unwrap(), 2, "one round for all who asked while the first was under way");
        }
        assert_eq!(last.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_up() {
        let counted = Counted::new();
        let first = counted.ask();
        counted.begun(1).await;
        let second = counted.ask();
        tokio::task::yield_now().await;
        first.abort();
        second.abort();
        let _ = (first.await, second.await);
        counted.gate.add_permits(1);
        assert!(counted.ask().await.unwrap() >= 2);
    }
}
