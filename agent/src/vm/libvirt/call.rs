//! Bounds for calls into libvirt, which has none of its own.
//!
//! The keepalive ends calls when libvirtd as a whole hangs. It does not help when libvirtd's main loop answers while
//! a worker behind it is stuck (on dead storage, say). So a call runs on a thread of its own and is waited for with
//! patience; whoever runs out of it leaves the thread to its fate. The number of threads is bounded, and when all
//! are stuck, calls fail for want of one.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Calls at the same time. libvirtd serves five per client; some more keep it busy while a few are stuck.
const LANES: usize = 8;

/// How long a call may take before its caller gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Reads something. The first one after libvirtd's start may wait for it to probe QEMU: seconds.
    Query,
    /// Starts or ends a QEMU. Longer than libvirt's own waits in there: 30 s for another job on the same domain to
    /// end, 30 s for QEMU's monitor, and 68 s where it probes QEMU anew.
    Change,
}

impl Patience {
    fn duration(self) -> Duration {
        match self {
            Self::Query => Duration::from_secs(60),
            Self::Change => Duration::from_secs(180),
        }
    }
}

/// Threads that may be in libvirt.
#[derive(Debug)]
pub(super) struct Lanes {
    free: Arc<Free>,
}

#[derive(Debug)]
struct Free {
    count: Mutex<usize>,
    one_more: Condvar,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(LANES)
    }
}

impl Lanes {
    fn new(lanes: usize) -> Self {
        Self { free: Arc::new(Free { count: Mutex::new(lanes), one_more: Condvar::new() }) }
    }

    /// Does `work`. `Err` says that it has not ended, and may yet.
    pub(super) fn run<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        self.run_within(patience.duration(), work)
    }

    fn run_within<T: Send + 'static>(
        &self,
        bound: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let deadline = Instant::now() + bound;
        let lane =
            self.free.take(deadline).ok_or_else(|| format!("no call ended within {} s", bound.as_secs()))?;
        let (answer, answered) = mpsc::sync_channel(1);
        let body = move || {
            let outcome = work();
            drop(lane);
            // Nobody may be waiting any more.
            answer.send(outcome).ok();
        };
        thread::Builder::new()
            .name("libvirt-call".into())
            .spawn(body)
            .map_err(|error| format!("no thread for the call: {error}"))?;
        answered.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|error| match error
        {
            mpsc::RecvTimeoutError::Timeout => format!("no answer within {} s", bound.as_secs()),
            mpsc::RecvTimeoutError::Disconnected => "the call ended in a panic".into(),
        })
    }
}

impl Free {
    fn take(self: &Arc<Self>, deadline: Instant) -> Option<Lane> {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut count, waited) = self
            .one_more
            .wait_timeout_while(count, patience, |count| *count == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *count == 0 {
            return None;
        }
        *count -= 1;
        Some(Lane(Arc::clone(self)))
    }
}

/// The right to be in libvirt; given back on drop, also by a panic.
struct Lane(Arc<Free>);

impl Drop for Lane {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.one_more.notify_one();
    }
}
