//! The one thread that makes, starts, watches and restarts Postgres.
//!
//! ```text
//!             prepare (lock, initdb)          ready                    stop()
//!   start() ─────────────────────> Starting ────────> Running ──────────────────────> Stopped
//!      │ error                       ^   │ ended          │ died
//!      v                             │   v                v
//!   given up (first start only)      └── Down, back-off <─┘
//! ```
//!
//! It is one thread and not a task because the kernel ties "die with your parent" to the *thread* that started a process:
//! one of the async runtime's could end at any time and take Postgres with it. This one lives exactly as long as Postgres
//! should; were it to panic, Postgres would stop in good order.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::{oneshot, watch};

use super::account::Account;
use super::binaries::Binaries;
use super::home::Home;
use super::log::Log;
use super::{EmbeddedError, Settings, Status, leftovers, server};

const READY_POLL: Duration = Duration::from_millis(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A Postgres that ran this long was healthy: its death is news, and the next start need not wait.
const HEALTHY: Duration = Duration::from_secs(60);

/// What other threads tell the supervisor, and it them.
#[derive(Default)]
pub(super) struct Control {
    state: Mutex<ControlState>,
    changed: Condvar,
}

#[derive(Default)]
struct ControlState {
    stopping: bool,
    /// The running postmaster. A pidfd means it and nobody else, for ever.
    server: Option<OwnedFd>,
    ended: bool,
}

impl Control {
    /// Asks for an orderly stop (Postgres calls it "fast"): sessions end, a checkpoint is made.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.signal(Signal::INT);
        self.changed.notify_all();
    }

    /// Asks for an immediate stop: nothing committed is lost, but the next start has to recover.
    pub(super) fn stop_at_once(&self) {
        self.lock().signal(Signal::QUIT);
    }

    /// True if the supervisor ended in time.
    pub(super) fn wait_ended(&self, patience: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), patience, |state| !state.ended);
        waiting.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Sleeps, but not through a stop.
    fn pause(&self, length: Duration) {
        // Whether time or a stop ended it, the caller looks for itself.
        let _ = self.changed.wait_timeout_while(self.lock(), length, |state| !state.stopping);
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlState {
    fn signal(&self, signal: Signal) {
        if let Some(server) = &self.server {
            // Gone already is what we want.
            let _ = pidfd_send_signal(server, signal);
        }
    }
}

pub(super) struct Supervisor {
    settings: Settings,
    control: Arc<Control>,
    status: watch::Sender<Status>,
    starts: u32,
}

/// Tells those who wait, even if the thread panics.
struct EndNotice(Arc<Control>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.server = None;
        self.0.changed.notify_all();
    }
}

impl Supervisor {
    pub(super) fn new(
        settings: Settings,
        control: Arc<Control>,
        status: watch::Sender<Status>,
    ) -> Supervisor {
        Supervisor { settings, control, status, starts: 0 }
    }

    /// Runs until asked to stop, or until the first start has failed. `started` gets the socket's directory.
    pub(super) fn run(mut self, started: oneshot::Sender<Result<PathBuf, EmbeddedError>>) {
        let _notice = EndNotice(Arc::clone(&self.control));
        let (home, binaries) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => {
                // Who no longer waits for the answer needs none.
                let _ = started.send(Err(error));
                return;
            }
        };
        let mut first = Some(started);
        let mut pause = FIRST_PAUSE;
        while !self.control.is_stopping() {
            let begun = Instant::now();
            let error = match self.run_once(&home, &binaries, &mut first) {
                Ok(()) => break,
                Err(error) => error,
            };
            if let Some(started) = first.take() {
                let _ = started.send(Err(error));
                return;
            }
            if begun.elapsed() >= HEALTHY {
                pause = FIRST_PAUSE;
            }
            tracing::error!(%error, pause_ms = pause.as_millis(), "Postgres is down; starting it again");
            self.status.send_replace(Status::Down { why: error.to_string() });
            self.control.pause(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.status.send_replace(Status::Stopped);
        if let Some(started) = first.take() {
            let _ = started.send(Err(EmbeddedError::Stopped));
        }
    }

    fn prepare(&self) -> Result<(Home, Binaries), EmbeddedError> {
        let Settings { data_dir, bin_dir, os_user, .. } = &self.settings;
        let home = Home::take(data_dir, Account::choose(os_user)?)?;
        let binaries = Binaries::find(bin_dir.as_deref(), &home.data())?;
        home.init(&binaries)?;
        Ok((home, binaries))
    }

    /// From launch to end. `Ok` if it ended because it was asked to.
    fn run_once(
        &mut self,
        home: &Home,
        binaries: &Binaries,
        first: &mut Option<oneshot::Sender<Result<PathBuf, EmbeddedError>>>,
    ) -> Result<(), EmbeddedError> {
        if first.is_none() {
            self.status.send_replace(Status::Starting);
        }
        leftovers::clear(&home.data(), &home.socket_dir(), self.settings.stop_patience)?;
        let Some(mut child) = self.launch(home, binaries)? else { return Ok(()) };
        let stderr = child.stderr.take().ok_or(EmbeddedError::Panicked)?;
        let log = Log::read(stderr).map_err(|source| EmbeddedError::Thread { source });
        let outcome = log.and_then(|log| {
            self.await_ready(&mut child, home, &log)?;
            self.starts += 1;
            tracing::info!(pid = child.id(), starts = self.starts, "Postgres accepts connections");
            self.status.send_replace(Status::Running { pid: child.id(), starts: self.starts });
            if let Some(started) = first.take() {
                let _ = started.send(Ok(home.socket_dir()));
            }
            let status = wait(&mut child, &home.data())?;
            Err(EmbeddedError::Ended { how: status.to_string(), log: log.tail() })
        });
        self.retire(&mut child);
        if self.control.is_stopping() { Ok(()) } else { outcome }
    }

    /// Starts the process, unless it is to stop: under the lock, so that a stop cannot slip in between.
    fn launch(&self, home: &Home, binaries: &Binaries) -> Result<Option<Child>, EmbeddedError> {
        let mut state = self.control.lock();
        if state.stopping {
            return Ok(None);
        }
        let mut child = server::launch(home, binaries)?;
        let handle = Pid::from_raw(child.id().cast_signed())
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        match handle {
            Ok(handle) => {
                state.server = Some(handle);
                Ok(Some(child))
            }
            Err(error) => {
                // Without a handle it could not be stopped later. It has not done anything yet.
                let _ = child.kill();
                let _ = child.wait();
                Err(EmbeddedError::Run { program: binaries.postgres(), source: error.into() })
            }
        }
    }

    fn await_ready(&self, child: &mut Child, home: &Home, log: &Log) -> Result<(), EmbeddedError> {
        let begun = Instant::now();
        let data = home.data();
        while !server::is_ready(&data, child.id()) {
            let ended = child.try_wait().map_err(|source| EmbeddedError::File {
                doing: "wait for the Postgres of",
                path: data.clone(),
                source,
            })?;
            if let Some(status) = ended {
                return Err(EmbeddedError::Ended { how: status.to_string(), log: log.tail() });
            }
            if begun.elapsed() > self.settings.start_patience {
                let waited_s = self.settings.start_patience.as_secs();
                return Err(EmbeddedError::NotReady { waited_s, log: log.tail() });
            }
            std::thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// Makes sure that the process has ended and been reaped, whatever came before.
    fn retire(&self, child: &mut Child) {
        if let Ok(None) = child.try_wait() {
            self.control.lock().signal(Signal::QUIT);
            let _ = child.wait();
        }
        self.control.lock().server = None;
    }
}

fn wait(child: &mut Child, data: &std::path::Path) -> Result<ExitStatus, EmbeddedError> {
    child.wait().map_err(|source| EmbeddedError::File {
        doing: "wait for the Postgres of",
        path: data.to_owned(),
        source,
    })
}
