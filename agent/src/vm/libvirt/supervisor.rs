//! Keeps a link to libvirt open, for as long as somebody wants one.
//!
//! One thread opens links and closes them. It alone may block in there; everyone else is told at once whether there
//! is a link. Losing it is noticed by libvirt's close callback, or by a call; both only leave a note here.

use super::events::Listener;
use super::link::Link;
use crate::vm::{Bell, ChangedDomains};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// How long [`Supervisor::await_first_attempt`] waits.
const FIRST_ATTEMPT_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the first failed attempt; doubled after each further one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// An attempt is a connect() on a local socket: cheap enough for every other second, for days.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The keeper of the link.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    uri: String,
    bell: Bell,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Held here until the supervisor takes it back, also after it was lost: whoever notes the loss may be on
    /// libvirt's event thread, where a link must not be dropped.
    link: Option<Arc<Link>>,
    /// Why `link` carries no more calls, or why there is none.
    trouble: Option<String>,
    /// Nobody wants a link any more.
    ended: bool,
}

impl Supervisor {
    /// Starts the thread. It ends when this is dropped (or, where it is blocked by a libvirtd that hangs, after it).
    pub(super) fn start(uri: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            uri: uri.to_owned(),
            bell: Bell::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("libvirt-link".into()).spawn(move || theirs.supervise())?;
        Ok(Self { shared })
    }

    /// Waits until there was a first attempt, but not for long.
    pub(super) fn await_first_attempt(&self) {
        let unknown = |state: &mut State| state.link.is_none() && state.trouble.is_none();
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout_while(state, FIRST_ATTEMPT_PATIENCE, unknown));
    }

    /// Which libvirt.
    pub(super) fn uri(&self) -> &str {
        &self.shared.uri
    }

    /// The link, or why there is none.
    pub(super) fn link(&self) -> Result<Arc<Link>, String> {
        let state = self.shared.lock();
        match (&state.link, &state.trouble) {
            (_, Some(trouble)) => Err(trouble.clone()),
            (Some(link), None) => Ok(Arc::clone(link)),
            (None, None) => Err("no answer yet".into()),
        }
    }

    /// Notes that the link of `epoch` is of no more use, unless that is known.
    pub(super) fn lose(&self, epoch: u64, reason: &str) {
        self.shared.lose(epoch, reason);
    }

    /// The bell: domain events, loss and return of the link.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.bell.subscribe()
    }

    /// For whom it rang since this was last called.
    pub(super) fn take_changed(&self) -> ChangedDomains {
        self.shared.bell.take_changed()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, epoch: u64, reason: &str) {
        let mut state = self.lock();
        let current = state.link.as_ref().is_some_and(|link| link.epoch() == epoch);
        if !current || state.trouble.is_some() {
            return;
        }
        state.trouble = Some(reason.to_owned());
        drop(state);
        tracing::warn!(uri = self.uri, reason, "lost libvirt");
        self.changed.notify_all();
        self.bell.ring_for_all();
    }

    fn supervise(self: Arc<Self>) {
        let mut pause = SHORTEST_PAUSE;
        for epoch in 1.. {
            let listener: Arc<dyn Listener> = Arc::new(LinkListener { shared: Arc::downgrade(&self), epoch });
            match Link::open(&self.uri, epoch, &listener) {
                Ok(link) => {
                    tracing::info!(uri = self.uri, epoch, "connected to libvirt");
                    pause = SHORTEST_PAUSE;
                    self.hold(Arc::new(link));
                }
                Err(error) => {
                    tracing::debug!(uri = self.uri, error = error.message(), "libvirt cannot be reached");
                    self.lock().trouble = Some(error.message().to_owned());
                    self.changed.notify_all();
                }
            }
            if self.pause(pause) {
                return;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Lends the link out until it is lost or nobody wants it any more.
    fn hold(&self, link: Arc<Link>) {
        let mut state = self.lock();
        state.link = Some(Arc::clone(&link));
        state.trouble = None;
        drop(state);
        self.changed.notify_all();
        self.bell.ring_for_all();
        // Its close callback may have come before there was anything here to be lost.
        if !link.is_alive() {
            self.lose(link.epoch(), "it closed the connection");
        }
        let in_use = |state: &mut State| state.trouble.is_none() && !state.ended;
        let mut state = self.changed.wait_while(self.lock(), in_use).unwrap_or_else(PoisonError::into_inner);
        let held = state.link.take();
        drop(state);
        // Outside of the lock: ending a link may take a moment.
        drop((held, link));
    }

    /// Waits before the next attempt; true if there shall be none.
    fn pause(&self, pause: Duration) -> bool {
        let wanted = |state: &mut State| !state.ended;
        let waited = self.changed.wait_timeout_while(self.lock(), pause, wanted);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

/// What libvirt tells about one link. Holds the shared state weakly: a callback that libvirt forgot to free must
/// not keep it.
struct LinkListener {
    shared: Weak<Shared>,
    epoch: u64,
}

impl Listener for LinkListener {
    fn domain_changed(&self, uuid: Option<Uuid>) {
        if let Some(shared) = self.shared.upgrade() {
            match uuid {
                Some(uuid) => shared.bell.ring_for(uuid),
                None => shared.bell.ring_for_all(),
            }
        }
    }

    fn closed(&self, reason: &'static str) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lose(self.epoch, reason);
        }
    }
}
