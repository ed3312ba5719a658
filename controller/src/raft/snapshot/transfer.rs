//! A snapshot on its way from the leader to a replica that lacks what the log no longer has.
//!
//! ```text
//!   leader                                    replica
//!   Offer { id, bytes }      ------------->   how much of it is here?     (a part survives a broken line, and a restart)
//!                            <-------------   Offered { have }
//!   Install { vote, id, .. }, piece, piece -> written behind the part; verified at its end; installed
//!                            <-------------   Installed { vote }
//! ```
//!
//! A transfer has no deadline of its own, for its size has no bound: it ends when nothing has moved for [`STALL`].

use std::{
    fmt,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use openraft::{alias::SnapshotOf, raft::SnapshotResponse};
use rempart_proto::raft::v1::Payload;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{SnapshotDir, SnapshotFile};
use crate::raft::{
    engine::{Raft, Types, Vote},
    state_machine::meta,
    wire::{self, Install, Installed, Offer, Offered},
    workers::off_thread,
};

/// Bytes per message.
const PIECE_BYTES: usize = 256 << 10;
/// Messages read ahead of the line.
const PIECES: usize = 4;
/// A transfer on which nothing moved for this long is given up, and begun again where it ended.
const STALL: Duration = Duration::from_secs(15);
/// How long the other side may take to verify and install what it has: its Postgres takes in every row.
const INSTALL_PATIENCE: Duration = Duration::from_secs(1800);

/// The leader's side, for one snapshot.
pub(crate) struct Sending {
    pub(crate) to: u64,
    pub(crate) vote: Vote,
    pub(crate) snapshot: SnapshotFile,
}

impl Sending {
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            envelope: wire::Envelope { to: self.to },
            id: self.snapshot.id(),
            bytes: self.snapshot.bytes(),
        }
    }

    /// The messages from `offset` on, and how far they have come.
    pub(crate) fn pieces(&self, offset: u64) -> io::Result<(ReceiverStream<Payload>, Arc<AtomicU64>)> {
        let header = wire::encode(&Install {
            envelope: wire::Envelope { to: self.to },
            vote: (&self.vote).into(),
            id: self.snapshot.id(),
            bytes: self.snapshot.bytes(),
            offset,
        })?;
        let (sender, pieces) = mpsc::channel(PIECES);
        let (snapshot, moved) = (self.snapshot.clone(), Arc::new(AtomicU64::new(0)));
        let counted = moved.clone();
        tokio::spawn(async move {
            let mut at = offset;
            let mut next = Ok(header);
            while let Ok(bytes) = next {
                // The line is gone, or the transfer was given up.
                if sender.send(Payload { bytes }).await.is_err() {
                    return;
                }
                counted.store(at + 1, Ordering::Relaxed);
                if at >= snapshot.bytes() {
                    return;
                }
                let reading = snapshot.clone();
                next = off_thread(move || reading.piece(at, PIECE_BYTES)).await.flatten();
                at += next.as_ref().map_or(0, |bytes| bytes.len() as u64);
            }
            if let Err(error) = next {
                tracing::error!(%error, "a snapshot cannot be read to be sent");
            }
        });
        Ok((ReceiverStream::new(pieces), moved))
    }

    /// Resolves when nothing has moved for too long.
    pub(crate) async fn stalled(&self, moved: &AtomicU64) -> &'static str {
        let mut before = 0;
        loop {
            if moved.load(Ordering::Relaxed) > self.snapshot.bytes() {
                tokio::time::sleep(INSTALL_PATIENCE).await;
                return "the replica does not install the snapshot it was sent";
            }
            tokio::time::sleep(STALL).await;
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return "the snapshot does not get on";
            }
            before = now;
        }
    }

    pub(crate) fn installed(&self, answer: &[u8]) -> io::Result<SnapshotResponse<Types>> {
        let Installed { vote } = wire::decode(answer)?;
        Ok(SnapshotResponse { vote: vote.into() })
    }
}

/// The replica's side. One snapshot at a time.
pub(crate) struct Incoming {
    dir: Arc<SnapshotDir>,
    turn: Mutex<()>,
}

impl Incoming {
    pub(crate) fn new(dir: Arc<SnapshotDir>) -> Self {
        Self { dir, turn: Mutex::new(()) }
    }

    /// How much of what is offered is here.
    pub(crate) async fn offered(&self, offer: &Offer) -> Result<Offered, Status> {
        let _turn = self.turn()?;
        let (dir, id) = (self.dir.clone(), offer.id);
        let have = blocking(move || dir.arrived_bytes(id)).await?;
        // More than there is: it is another one, and will be found out when it is verified.
        Ok(Offered { have: have.min(offer.bytes) })
    }

    /// Takes in pieces, and installs the snapshot when it is whole.
    pub(crate) async fn take(
        &self,
        install: &Install,
        mut pieces: Streaming<Payload>,
        raft: &Raft,
    ) -> Result<Installed, Status> {
        let _turn = self.turn()?;
        let (dir, id, offset) = (self.dir.clone(), install.id, install.offset);
        let mut part = blocking(move || {
            let part = std::fs::OpenOptions::new().append(true).create(true).open(dir.part(id))?;
            let have = part.metadata()?.len();
            if have != offset {
                let why = format!("{have} bytes of the snapshot are here, not {offset}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            Ok(part)
        })
        .await?;
        let mut have = offset;
        while have < install.bytes {
            let next = tokio::time::timeout(STALL, pieces.message()).await;
            let next = next.map_err(|_| Status::deadline_exceeded("the snapshot does not get on"))??;
            let Some(Payload { bytes }) = next else {
                return Err(Status::data_loss(format!(
                    "the snapshot ends after {have} bytes of {}",
                    install.bytes
                )));
            };
            have += bytes.len() as u64;
            part = blocking(move || {
                part.write_all(&bytes)?;
                Ok(part)
            })
            .await?;
        }
        drop(part);
        let dir = self.dir.clone();
        let snapshot = blocking(move || dir.arrived(id)).await?;
        tracing::info!(
            index = snapshot.position().index(),
            bytes = snapshot.bytes(),
            "a snapshot has arrived"
        );
        let meta = meta(snapshot.position()).map_err(failed)?;
        let vote: Vote = install.vote.into();
        let path = self.dir.part(id);
        let answer =
            raft.install_full_snapshot(vote, SnapshotOf::<Types, SnapshotFile> { meta, snapshot }).await;
        // One that consensus had no use for.
        let _ = std::fs::remove_file(path);
        let answer = answer.map_err(|fatal| Status::unavailable(fatal.to_string()))?;
        Ok(Installed { vote: (&answer.vote).into() })
    }

    fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Status> {
        self.turn
            .try_lock()
            .map_err(|_| Status::unavailable("another snapshot is on its way to this replica"))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    off_thread(work).await.flatten().map_err(failed)
}

fn failed(error: impl fmt::Display) -> Status {
    Status::internal(error.to_string())
}
