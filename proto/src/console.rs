//! The two ends of a console's stream (`console/v1/console.proto`): who may send how much, and who hears what.
//!
//! Each end grants the other [`WINDOW_BYTES`], and grants again what it has really passed on. So a console that stands
//! still (a browser that does not read, a guest that does not listen) keeps at most that much in each direction, wherever
//! frames wait, and holds up nothing else on the same connection. What always holds: an end that takes more than it was
//! granted ends the console. Deliberately absent: what the bytes mean, and who may see them.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use prost::bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tonic::Status;

#[cfg(test)]
mod tests;

/// What may be under way in one direction, in bytes.
pub const WINDOW_BYTES: usize = 64 * 1024;
/// The most one frame carries, in bytes.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// What a frame costs of the window beside its data, in bytes: so that small ones are bounded, too.
pub const FRAME_COST_BYTES: usize = 64;
/// Frames for the other end that wait here.
pub const FRAMES_WAITING: usize = 32;

use v1::frame::Frame as Kind;
use v1::{Close, Frame, Reason};

/// Version 1.
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("rempart.console.v1");
}

/// Sends data to the other end, no faster than it takes it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    frames: mpsc::Sender<Frame>,
    window: Arc<Semaphore>,
}

/// Data from the other end.
#[derive(Debug)]
pub struct Receiver {
    data: mpsc::Receiver<Bytes>,
    frames: mpsc::Sender<Frame>,
    granted: Arc<Semaphore>,
    /// Cost of what was handed out last; passed on once somebody asks for more.
    handed_out: usize,
    /// Passed on, and not yet granted again.
    owed: usize,
}

/// Makes an end of what goes out and what comes in. The future has to be polled for as long as the console lasts; it
/// ends with why the other end did, or with nothing when that went without a word. It gives the stream back: whoever
/// dialled has to read it to its end, or what it sent last may never arrive.
pub fn end<S>(
    frames: mpsc::Sender<Frame>,
    incoming: S,
) -> (Sender, Receiver, impl Future<Output = (Option<Close>, S)> + Send)
where
    S: Stream<Item = Result<Frame, Status>> + Send + Unpin,
{
    let window = Arc::new(Semaphore::new(WINDOW_BYTES));
    let granted = Arc::new(Semaphore::new(WINDOW_BYTES));
    // No frame is cheaper, so no more of them fit into the window.
    let (data, received) = mpsc::channel(WINDOW_BYTES / FRAME_COST_BYTES);
    let sender = Sender { frames: frames.clone(), window: window.clone() };
    let receiver = Receiver { data: received, frames, granted: granted.clone(), handed_out: 0, owed: 0 };
    (sender, receiver, hear(incoming, window, granted, data))
}

async fn hear<S>(
    mut incoming: S,
    window: Arc<Semaphore>,
    granted: Arc<Semaphore>,
    data: mpsc::Sender<Bytes>,
) -> (Option<Close>, S)
where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    loop {
        let Some(Ok(frame)) = incoming.next().await else { return (None, incoming) };
        let overdrawn =
            |incoming| (Some(close(Reason::Failed, "the other end sent more than it may")), incoming);
        match frame.frame {
            Some(Kind::Data(bytes)) => {
                let Ok(permits) = u32::try_from(cost(&bytes))
                    .map_or(Err(()), |cost| granted.try_acquire_many(cost).map_err(|_| ()))
                else {
                    return overdrawn(incoming);
                };
                permits.forget();
                match data.try_send(bytes) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => return overdrawn(incoming),
                    // Nobody wants to see it any more; whoever owns this end sees to its end.
                    Err(mpsc::error::TrySendError::Closed(_)) => {}
                }
            }
            Some(Kind::Credit(more)) => {
                let more = more as usize;
                if more > WINDOW_BYTES || window.available_permits() + more > WINDOW_BYTES {
                    return overdrawn(incoming);
                }
                window.add_permits(more);
            }
            Some(Kind::Close(why)) => return (Some(why), incoming),
            // Of a later version, or not in its place: nothing that this end could do about it.
            Some(Kind::Serve(_) | Kind::Attach(_)) | None => {}
        }
    }
}

fn cost(bytes: &Bytes) -> usize {
    bytes.len() + FRAME_COST_BYTES
}

impl Sender {
    /// Sends, as soon as the other end takes it. False when nobody is there any more.
    pub async fn send(&self, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
            let Ok(cost) = u32::try_from(cost(&chunk)) else { return false };
            match self.window.acquire_many(cost).await {
                Ok(permits) => permits.forget(),
                Err(_) => return false,
            }
            if self.frames.send(Frame { frame: Some(Kind::Data(chunk)) }).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says that and why this end has ended.
    pub async fn close(&self, why: Close) {
        // Who is gone needs no words.
        let _ = self.frames.send(Frame { frame: Some(Kind::Close(why)) }).await;
    }
}

impl Receiver {
    /// The next data; what was returned before is taken for passed on. None when there will be no more. May be given
    /// up at any time without losing anything.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.owed += std::mem::take(&mut self.handed_out);
        if self.owed >= WINDOW_BYTES / 4 {
            // Whoever gives up waiting here has lost nothing: it is still owed.
            let place = self.frames.reserve().await.ok()?;
            let credit = u32::try_from(self.owed).ok()?;
            // Before the other end can know of it.
            self.granted.add_permits(std::mem::take(&mut self.owed));
            place.send(Frame { frame: Some(Kind::Credit(credit)) });
        }
        let bytes = self.data.recv().await?;
        self.handed_out = cost(&bytes);
        Some(bytes)
    }
}

/// A last frame's words.
pub fn close(reason: Reason, detail: impl Into<String>) -> Close {
    Close { reason: reason.into(), detail: detail.into() }
}
