//! Writes wait for Postgres when it does not keep up: the more slowly it takes rows, the more slowly new ones are accepted.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::error::Fault;
use crate::replica::Pressure;

/// How long one write waits at most. So many callers at once cannot fill what is left above the soft limit before Postgres is
/// back from a pause of some seconds, and one alone is not held up for long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns when a write may go on: at once, as a rule.
///
/// # Errors
/// [`Fault::StoreBehind`] when so much waits already that nothing more is accepted.
pub(super) async fn ease(mut pressure: watch::Receiver<Pressure>) -> Result<(), Fault> {
    let eased = timeout(PATIENCE, pressure.wait_for(|now| *now != Pressure::Soft)).await;
    match eased {
        Ok(Ok(now)) if *now == Pressure::Hard => Err(Fault::StoreBehind),
        // Who waited for long enough goes on; and if nobody writes rows any more, the log says so.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_write_waits_for_postgres_and_is_refused_when_too_much_does() {
        let behind = || Err(Fault::StoreBehind);
        let (sender, pressure) = watch::channel(Pressure::Low);
        assert_eq!(ease(pressure.clone()).now_or_never(), Some(Ok(())));
        sender.send_replace(Pressure::Hard);
        assert_eq!(ease(pressure.clone()).now_or_never(), Some(behind()));
        sender.send_replace(Pressure::Soft);
        let mut waiting = std::pin::pin!(ease(pressure.clone()));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        sender.send_replace(Pressure::Low);
        assert_eq!(waiting.await, Ok(()));
        sender.send_replace(Pressure::Soft);
        let mut waiting = std::pin::pin!(ease(pressure.clone()));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        sender.send_replace(Pressure::Hard);
        assert_eq!(waiting.await, behind());
    }

    #[tokio::test]
    async fn a_write_does_not_wait_for_ever() {
        let (_sender, pressure) = watch::channel(Pressure::Soft);
        assert_eq!(ease(pressure).await, Ok(()));
    }
}
