//! Hosts that were asked to dial back, and who waits for that.
//!
//! An id is 128 random bits, good once and for the host that was asked: another host that learned it would not get to
//! answer in its place. It is forgotten when nobody waits any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// Who waits for what. Cheap to clone.
pub(super) struct Callbacks<T>(Arc<Mutex<HashMap<Uuid, Waiting<T>>>>);

struct Waiting<T> {
    host: String,
    answer: oneshot::Sender<T>,
}

/// Waits for one host to dial back; who drops it waits no more.
pub(super) struct Callback<T> {
    pub(super) id: Uuid,
    pub(super) answer: oneshot::Receiver<T>,
    callbacks: Callbacks<T>,
}

impl<T> Callbacks<T> {
    /// Expects `host` to dial back.
    pub(super) fn expect(&self, host: &str) -> Callback<T> {
        // Version 4: 122 bits from the system's generator.
        let id = Uuid::new_v4();
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(id, Waiting { host: host.to_owned(), answer: sender });
        Callback { id, answer, callbacks: self.clone() }
    }

    /// `host` dials back with `what`. False when nobody waits for that, of this host.
    pub(super) fn answer(&self, host: &str, id: &[u8], what: T) -> bool {
        let Ok(id) = Uuid::from_slice(id) else { return false };
        let mut all = self.waiting();
        if all.get(&id).is_none_or(|waiting| waiting.host != host) {
            return false;
        }
        all.remove(&id).is_some_and(|waiting| waiting.answer.send(what).is_ok())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Callback<T> {
    fn drop(&mut self) {
        self.callbacks.waiting().remove(&self.id);
    }
}

impl<T> Clone for Callbacks<T> {
    fn clone(&self) -> Self {
        Callbacks(self.0.clone())
    }
}

impl<T> Default for Callbacks<T> {
    fn default() -> Self {
        Callbacks(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_host_that_was_asked_answers_and_once() {
        let callbacks = Callbacks::default();
        let mut waiting = callbacks.expect("a");
        let id = *waiting.id.as_bytes();
        assert!(!callbacks.answer("b", &id, 1), "another host");
        assert!(!callbacks.answer("a", Uuid::new_v4().as_bytes(), 2), "another id");
        assert!(!callbacks.answer("a", &id[..15], 3), "no id at all");
        assert!(callbacks.answer("a", &id, 4));
        assert!(!callbacks.answer("a", &id, 5), "used");
        assert_eq!((&mut waiting.answer).await, Ok(4));
        let given_up = callbacks.expect("a");
        let id = *given_up.id.as_bytes();
        drop((waiting, given_up));
        assert!(!callbacks.answer("a", &id, 6), "nobody waits");
        assert!(callbacks.waiting().is_empty());
    }
}
