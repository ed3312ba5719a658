//! Consoles of this host's guests. The leader asks for one on the session (`OpenConsole`); the agent looks whether there
//! is one to show, and dials a stream of its own for it.
//!
//! ```text
//!   guest's serial.sock ── Port (ring) ──┬── Viewer ──┐
//!                                        └── Viewer ──┤── console::end ── Console.Serve ── leader ── ... ── somebody
//!   guest's screen (a descriptor from libvirt) ───────┤
//!   serial.log ── its end ────────────────────────────┘
//! ```
//!
//! What always holds: a guest is named by its UUID; nothing listens but the sockets of QEMU, in directories that others
//! cannot enter; a console holds up neither its guest nor the session. Deliberately absent: who may see what (the
//! leader knows), and any change to a guest.

mod log;
mod ring;
mod serial;

use crate::identity::Controllers;
use crate::layout::DataDir;
use crate::stop::Stop;
use crate::vm::Hypervisor;
use rempart_proto::agent::v1::{ConsoleKind, OpenConsole};
use rempart_proto::console::v1::console_client::ConsoleClient;
use rempart_proto::console::v1::frame::Frame as Kind;
use rempart_proto::console::v1::{Close, Frame, Reason, Serve};
use rempart_proto::console::{self, CHUNK_BYTES, FRAMES_WAITING, close};
use serial::{Serials, Typist, Viewer};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

/// Consoles at the same time, so that memory is bounded whatever the controllers ask for.
const MOST_CONSOLES: usize = 256;
/// How long the leader may take to answer the dial. It has given up by then itself.
const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of a console may take, at each of its steps.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// How often logs are looked at. A guest writes some MiB in that time, at most.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Shows consoles. Cheap to clone.
#[derive(Clone)]
pub struct Consoles {
    data: DataDir,
    hypervisor: Arc<dyn Hypervisor>,
    controllers: Controllers,
    serials: Serials,
    places: Arc<Semaphore>,
}

/// What comes from a guest.
enum Output {
    Serial(Viewer),
    Screen(OwnedReadHalf),
    /// The whole of it, less what was sent.
    Log(Vec<u8>),
}

/// What goes to a guest.
enum Input {
    Serial(Typist),
    Screen(OwnedWriteHalf),
    None,
}

impl Consoles {
    /// Of the guests in `data`.
    pub fn new(data: DataDir, hypervisor: Arc<dyn Hypervisor>, controllers: Controllers) -> Self {
        let serials = Serials::new(data.clone());
        Self { data, hypervisor, controllers, serials, places: Arc::new(Semaphore::new(MOST_CONSOLES)) }
    }

    /// Dials for a console that the leader asks for. Returns at once.
    pub fn open(&self, asked: OpenConsole) {
        let consoles = self.clone();
        tokio::spawn(async move {
            let instance = asked.instance_uid.clone();
            match consoles.serve(asked).await {
                Ok(why) => {
                    tracing::info!(instance, reason = ?why.reason(), why = why.detail, "console ended")
                }
                Err(error) => {
                    tracing::warn!(instance, %error, "the leader does not take the console it asked for")
                }
            }
        });
    }

    /// Cuts logs that have grown beyond `max_bytes`, until the agent stops.
    pub async fn keep_logs_small(self, max_bytes: u64, stop: Stop) {
        let mut ticks = tokio::time::interval(LOG_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.wait() => return,
            }
            let data = self.data.clone();
            // A panic in there was reported by its hook, and the next look is a new one.
            let _ = tokio::task::spawn_blocking(move || log::keep_small(&data, max_bytes)).await;
        }
    }

    async fn serve(&self, asked: OpenConsole) -> std::io::Result<Close> {
        let _place = self.places.clone().try_acquire_owned();
        let found = match &_place {
            Ok(_) => self.find(&asked).await,
            Err(_) => Err(close(Reason::Busy, "too many consoles are open on the instance's host")),
        };
        let (outgoing, frames) = mpsc::channel(FRAMES_WAITING);
        let refused = found.as_ref().err().cloned();
        let first = Frame { frame: Some(Kind::Serve(Serve { id: asked.id, refused })) };
        // The channel is empty.
        outgoing.send(first).await.map_err(std::io::Error::other)?;
        let dial = async {
            let connection = self.controllers.leader().await?;
            let answer = ConsoleClient::new(connection).serve(ReceiverStream::new(frames)).await;
            answer.map(tonic::Response::into_inner).map_err(std::io::Error::other)
        };
        let incoming = timeout(DIAL_WITHIN, dial).await.map_err(std::io::Error::other)??;
        match found {
            Ok((output, input)) => Ok(carry(output, input, outgoing, incoming).await),
            Err(refused) => Ok(refused),
        }
    }

    async fn find(&self, asked: &OpenConsole) -> Result<(Output, Input), Close> {
        let off = || close(Reason::GuestOff, "the instance is off; start it first");
        let guest = Uuid::parse_str(&asked.instance_uid)
            .map_err(|_| close(Reason::Failed, "the instance is named by something else than a UUID"))?;
        match asked.kind() {
            ConsoleKind::Serial => {
                let viewer = self.serials.watch(guest).await.map_err(|_| off())?;
                let typist = viewer.typist();
                Ok((Output::Serial(viewer), Input::Serial(typist)))
            }
            ConsoleKind::Vnc => {
                let hypervisor = self.hypervisor.clone();
                let screen = tokio::task::spawn_blocking(move || hypervisor.open_screen(guest)).await;
                let failed = |error: &dyn std::fmt::Display| {
                    tracing::warn!(instance = %guest, %error, "its screen cannot be shown");
                    close(Reason::Failed, "the screen of the instance cannot be shown just now")
                };
                let screen = screen.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
                let screen = screen.ok_or_else(off)?;
                let screen = screen.set_nonblocking(true).and_then(|()| UnixStream::from_std(screen));
                let (from_guest, to_guest) = screen.map_err(|error| failed(&error))?.into_split();
                Ok((Output::Screen(from_guest), Input::Screen(to_guest)))
            }
            ConsoleKind::SerialLog => {
                let run_dir = self.data.run_dir(guest);
                let bytes = usize::try_from(asked.tail_bytes).unwrap_or(usize::MAX);
                let tail = tokio::task::spawn_blocking(move || log::tail(&run_dir, bytes)).await;
                match tail.map_err(std::io::Error::other).and_then(|tail| tail) {
                    Ok(tail) => Ok((Output::Log(tail), Input::None)),
                    Err(error) => {
                        tracing::warn!(instance = %guest, %error, "its serial log cannot be read");
                        Err(close(Reason::Failed, "the serial log cannot be read just now"))
                    }
                }
            }
            ConsoleKind::Unspecified => {
                Err(close(Reason::Failed, "the instance's host does not know this kind of console"))
            }
        }
    }
}

/// Carries bytes until either end ends; returns why. Both ends say so, and this one, which dialled, hangs up last.
async fn carry(
    mut output: Output,
    mut input: Input,
    outgoing: mpsc::Sender<Frame>,
    incoming: tonic::Streaming<Frame>,
) -> Close {
    let (sender, mut receiver, hearing) = console::end(outgoing, incoming);
    let mut typing = tokio::spawn(async move {
        while let Some(bytes) = receiver.next().await {
            if !input.take(&bytes).await {
                return;
            }
        }
    });
    let showing = async {
        while let Some(bytes) = output.next().await {
            if !sender.send(bytes.into()).await {
                break;
            }
        }
        match output {
            Output::Log(_) => close(Reason::Done, "that is all of it"),
            _ => close(Reason::GuestOff, "the instance was turned off or restarted"),
        }
    };
    tokio::pin!(hearing);
    let (why, rest) = tokio::select! {
        why = showing => (why, None),
        (why, rest) = &mut hearing => match why {
            Some(why) => (why, Some(rest)),
            None => {
                typing.abort();
                return close(Reason::LeaderChanged, "the leader has hung up");
            }
        },
    };
    if rest.is_some() {
        // What was typed last may be the command that matters.
        let _ = timeout(LAST_WORDS_WITHIN, &mut typing).await;
    }
    typing.abort();
    sender.close(why.clone()).await;
    drop(sender);
    let _ = timeout(LAST_WORDS_WITHIN, async {
        let mut rest = match rest {
            Some(rest) => rest,
            None => hearing.await.1,
        };
        while let Ok(Some(_)) = rest.message().await {}
    })
    .await;
    why
}

impl Output {
    async fn next(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Serial(viewer) => viewer.next().await,
            Self::Screen(from_guest) => {
                let mut chunk = vec![0; CHUNK_BYTES];
                match from_guest.read(&mut chunk).await {
                    Ok(count) if count > 0 => {
                        chunk.truncate(count);
                        Some(chunk)
                    }
                    _ => None,
                }
            }
            Self::Log(rest) if rest.is_empty() => None,
            Self::Log(rest) => Some(std::mem::take(rest)),
        }
    }
}

impl Input {
    /// False when the guest takes no more.
    async fn take(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Serial(typist) => typist.type_in(bytes.to_vec()).await,
            Self::Screen(to_guest) => to_guest.write_all(bytes).await.is_ok(),
            Self::None => true,
        }
    }
}
