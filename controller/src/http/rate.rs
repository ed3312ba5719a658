//! How often each caller may ask, so that one does not take the time of the others.
//!
//! A caller may ask so many times a second on average, and twice that at once after a pause. Kept per caller and
//! controller as one moment: that at which all that was asked would have been asked evenly (the generic cell rate
//! algorithm, ITU-T I.371). Who has been quiet for long enough is forgotten: what is kept is what asked lately.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers beyond which those are forgotten who may ask at will again.
const MANY: usize = 10_000;
/// What may be asked at once, as time at the average rate.
const BURST: Duration = Duration::from_secs(2);

/// The rate of every caller.
#[derive(Debug)]
pub struct Rates {
    /// Between two requests, on average. Zero: no limit.
    interval: Duration,
    even: Mutex<HashMap<String, Instant>>,
}

impl Rates {
    /// Of so many requests a second; 0 is no limit.
    pub fn new(per_second: u32) -> Rates {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Rates { interval, even: Mutex::default() }
    }

    /// Takes note of a request. Refused, it tells how long to wait, and counts for nothing.
    pub(super) fn ask(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        if even.len() >= MANY && !even.contains_key(caller) {
            even.retain(|_, at| *at > now);
        }
        let at = even.get(caller).copied().unwrap_or(now).max(now) + self.interval;
        let ahead = at - now;
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        match even.get_mut(caller) {
            Some(known) => *known = at,
            None => _ = even.insert(caller.to_owned(), at),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_and_what_was_saved_up_for_two_seconds() {
        let (rates, start) = (Rates::new(10), Instant::now());
        let asked = |caller: &str, at: Duration| rates.ask(caller, start + at);
        let granted = |caller: &str, at| (0..100).take_while(|_| asked(caller, at).is_ok()).count();
        assert_eq!(granted("alice", Duration::ZERO), 20);
        assert_eq!(granted("bob", Duration::ZERO), 20, "another's requests are his own");
        assert_eq!(asked("alice", Duration::ZERO), Err(Duration::from_millis(100)));
        assert_eq!(granted("alice", Duration::from_millis(99)), 0);
        assert_eq!(granted("alice", Duration::from_millis(300)), 3);
        assert_eq!(granted("alice", Duration::from_secs(3600)), 20, "no more for a longer pause");
    }

    #[test]
    fn none_is_no_limit_and_those_who_are_quiet_are_forgotten() {
        let start = Instant::now();
        let free = Rates::new(0);
        assert!((0..100_000).all(|_| free.ask("alice", start).is_ok()));
        let rates = Rates::new(10);
        for caller in 0..3 * MANY {
            let at = start + Duration::from_millis(caller as u64);
            rates.ask(&caller.to_string(), at).unwrap();
            assert!(rates.even.lock().unwrap().len() <= MANY);
        }
    }
}
