//! Whether a sender keeps sending: who is slow on purpose has a turn that another waits for.
//!
//! Only the time in which we wait for the sender counts: it is not to blame for a disk of ours that is behind.

use std::time::Duration;

/// A sender brings so much in every second that it is waited for, over [`Pace::window`].
pub(super) const LEAST_BYTES_PER_S: u64 = 16 << 10;

/// What a sender has brought in the window that runs.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Looks at every `window` of waiting.
    pub(super) fn new(window: Duration) -> Pace {
        Pace { window, waited: Duration::ZERO, bytes: 0 }
    }

    /// `count` bytes came after `waited`. Whether that is enough.
    pub(super) fn keeps(&mut self, waited: Duration, count: usize) -> bool {
        self.waited += waited;
        self.bytes += count as u64;
        if self.waited < self.window {
            return true;
        }
        let enough = self.bytes >= self.least_bytes();
        *self = Pace::new(self.window);
        enough
    }

    /// What has to come in a window.
    pub(super) fn least_bytes(&self) -> u64 {
        LEAST_BYTES_PER_S * self.window.as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_drips_is_too_slow_after_a_window() {
        let mut pace = Pace::new(10 * SECOND);
        let verdicts: Vec<_> = (0..10).map(|_| pace.keeps(SECOND, 8 << 10)).collect();
        assert_eq!(verdicts.iter().position(|keeps| !keeps), Some(9));
    }

    #[test]
    fn who_is_fast_enough_on_average_may_pause() {
        let mut pace = Pace::new(10 * SECOND);
        for _ in 0..100 {
            assert!(pace.keeps(9 * SECOND, 160 << 10) && pace.keeps(SECOND, 0));
        }
    }
}
