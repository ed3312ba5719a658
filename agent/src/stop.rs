//! Tells every part of the agent that it is time to end.

use tokio::sync::watch;

/// Rings once, for everyone; dropping it rings too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears a [`Stopper`].
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A bell and an ear.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Rings.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it has rung.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once it has rung.
    pub async fn wait(&self) {
        // An error means that the stopper is gone, which is the same.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}
