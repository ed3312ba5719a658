//! Guests' serial ports, shared by everybody who watches one.
//!
//! QEMU's end is a Unix socket that takes one client. That is the agent, for as long as somebody watches: what the guest
//! says goes into a [`Ring`] that all viewers read, what any viewer types goes to the guest. Who comes later is shown
//! the end of what was said before. While nobody watches QEMU drops what the socket would carry; the log has it anyway.
//!
//! What always holds: a guest's output is read as fast as it comes, however slow a viewer is (a serial port that is not
//! read would stall the guest); memory per watched guest is the ring and one chunk. What is typed waits until the guest
//! takes it. Deliberately absent: whose turn it is to type.

use super::log;
use super::ring::Ring;
use crate::layout::DataDir;
use rempart_proto::console::CHUNK_BYTES;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// What a viewer may be behind by before it misses something, in bytes.
const RING_BYTES: usize = 256 * 1024;
/// What is shown of the past to who comes, in bytes.
const REPLAY_BYTES: usize = 16 * 1024;
/// Pieces of what is typed that wait for the guest.
const TYPED_WAITING: usize = 4;

/// The serial ports that somebody watches. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Serials {
    data: DataDir,
    open: Arc<AsyncMutex<HashMap<Uuid, Weak<Port>>>>,
}

/// One guest's port. Closed when its last viewer goes.
#[derive(Debug)]
struct Port {
    shown: Arc<Shown>,
    typed: mpsc::Sender<Vec<u8>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shown {
    ring: Mutex<Ring>,
    /// Rings when there is more; true once there will be no more.
    ended: watch::Sender<bool>,
}

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Viewer {
    port: Arc<Port>,
    position: u64,
    ended: watch::Receiver<bool>,
}

/// Where a viewer's typing goes.
#[derive(Debug, Clone)]
pub(super) struct Typist(mpsc::Sender<Vec<u8>>);

impl Serials {
    pub(super) fn new(data: DataDir) -> Self {
        Self { data, open: Arc::default() }
    }

    /// A new viewer of a guest's port. An error says that nobody listens at its socket: the guest is off.
    pub(super) async fn watch(&self, guest: Uuid) -> io::Result<Viewer> {
        let mut open = self.open.lock().await;
        open.retain(|_, port| port.strong_count() > 0);
        let known = open.get(&guest).and_then(Weak::upgrade).filter(|port| !*port.shown.ended.borrow());
        let port = match known {
            Some(port) => port,
            None => {
                let port = Arc::new(self.connect(guest).await?);
                open.insert(guest, Arc::downgrade(&port));
                port
            }
        };
        let (position, ended) = (port.shown.ring().before_end(REPLAY_BYTES), port.shown.ended.subscribe());
        Ok(Viewer { port, position, ended })
    }

    async fn connect(&self, guest: Uuid) -> io::Result<Port> {
        let run_dir = self.data.run_dir(guest);
        let socket = UnixStream::connect(run_dir.join("serial.sock")).await?;
        // After connecting: what the guest says in between is then shown twice rather than not at all.
        let past = tokio::task::spawn_blocking(move || log::tail(&run_dir, REPLAY_BYTES)).await;
        let past = past.map_err(io::Error::other)?.unwrap_or_default();
        let mut ring = Ring::new(RING_BYTES);
        ring.push(&past);
        let shown = Arc::new(Shown { ring: Mutex::new(ring), ended: watch::Sender::new(false) });
        let (typed, typing) = mpsc::channel(TYPED_WAITING);
        let (from_guest, to_guest) = socket.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(show(from_guest, shown.clone()));
        tasks.spawn(take_typing(to_guest, typing));
        Ok(Port { shown, typed, _tasks: tasks })
    }
}

async fn show(mut from_guest: OwnedReadHalf, shown: Arc<Shown>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from_guest.read(&mut chunk).await {
            Ok(count) if count > 0 => {
                shown.ring().push(&chunk[..count]);
                // The same value; what counts is that it was sent.
                shown.ended.send_replace(false);
            }
            _ => break,
        }
    }
    shown.ended.send_replace(true);
}

async fn take_typing(mut to_guest: OwnedWriteHalf, mut typing: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = typing.recv().await {
        if to_guest.write_all(&bytes).await.is_err() {
            // The reading half hears the same.
            return;
        }
    }
}

impl Shown {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Viewer {
    /// Where to type.
    pub(super) fn typist(&self) -> Typist {
        Typist(self.port.typed.clone())
    }

    /// What the guest says next. None when it is off.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            // Before looking, so that nothing is missed in between.
            let ended = *self.ended.borrow_and_update();
            let piece = self.port.shown.ring().read(self.position, CHUNK_BYTES);
            if piece.missed > 0 {
                self.position += piece.missed;
                let words = format!("\r\n[{} bytes of output left out]\r\n", piece.missed);
                return Some(words.into_bytes());
            }
            self.position = piece.next;
            if !piece.bytes.is_empty() {
                return Some(piece.bytes);
            }
            if ended || self.ended.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl Typist {
    /// Types, as soon as the guest takes it. False when it is off.
    pub(super) async fn type_in(&self, bytes: Vec<u8>) -> bool {
        self.0.send(bytes).await.is_ok()
    }
}
