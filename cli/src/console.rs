//! `rempart console`: the serial console in this terminal, its log, or the VNC display on a socket of one's own.
//!
//! In the terminal every key goes to the guest, Ctrl-C too; Ctrl-] ends it. The terminal's mode comes back however it
//! ends. When a controller goes away while a console is open, a new one is asked for. What the guest writes reaches
//! the terminal as it is: that is what a console is.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rempart_api::client::Client;
use rempart_api::console::{CloseCode, ConsoleEnd, ConsoleKind, ConsoleReader, ConsoleWriter, MAX_LOG_BYTES};
use rempart_api::{Kind, Urn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::argument;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, Format};
use crate::screen::{Screen, harmless};
use crate::session::{Session, full_name};
use crate::terminal::Mode;

/// `console`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: rempart console web-1                      # Ctrl-] leaves it
          rempart console web-1 --log | tail
          rempart console web-1 --vnc-socket ./vnc   # and a VNC viewer on that socket")]
pub(crate) struct Console {
    /// Which instance
    #[arg(value_parser = argument::target)]
    name: String,
    /// Write the end of the serial log and end
    #[arg(long)]
    log: bool,
    /// With --log: how many bytes of it at most
    #[arg(long, value_name = "BYTES", requires = "log", default_value_t = MAX_LOG_BYTES, value_parser = argument::log_bytes)]
    tail_bytes: u32,
    /// Offer the VNC display on a Unix socket at this path, until Ctrl-C
    #[arg(long, value_name = "PATH", conflicts_with = "log")]
    vnc_socket: Option<PathBuf>,
}

/// Ctrl-].
const ESCAPE: u8 = 0x1d;

/// How long a console is asked for again after it broke.
const PATIENCE: Duration = Duration::from_secs(30);

impl Console {
    /// Whether its result can be written so.
    pub(crate) fn check(&self, format: Format) -> Result<()> {
        if self.log || format == Format::Table {
            return Ok(());
        }
        Err(Failure::usage("a console is no result that JSON or YAML could hold")
            .next("Leave -o away; the log can be had so: rempart console NAME --log -o json"))
    }
}

pub(crate) async fn run(session: &Session<'_>, format: Format, console: &Console) -> Result<()> {
    let urn = session.urn(Kind::Instance, &console.name)?;
    if console.log {
        let log = session.client.serial_log(&urn, console.tail_bytes).await;
        let log = log.map_err(|error| session.failure("read the serial log of", &urn, &error))?;
        return match format {
            Format::Table => session.screen.print(&log),
            _ => output::value(session.screen, format, &serde_json::json!({ "log": log })),
        };
    }
    match &console.vnc_socket {
        Some(path) => vnc(session, &urn, path).await,
        None => serial(session, &urn).await,
    }
}

async fn serial(session: &Session<'_>, urn: &Urn) -> Result<()> {
    let (reader, writer) = open(session, urn, ConsoleKind::Serial).await?;
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        session.screen.note(&format!("This is the serial console of {}. Ctrl-] leaves it.", full_name(urn)));
    }
    let mode = match terminal {
        true => Some(
            Mode::raw().map_err(|error| Failure::failed(format!("cannot change the terminal: {error}")))?,
        ),
        false => None,
    };
    let ended = talk(session, urn, (reader, writer), typed(terminal)).await;
    // Back to lines before anything more is said.
    drop(mode);
    match ended? {
        End::Left => session.screen.note("\nLeft; the guest goes on."),
        End::Closed(words) => session.screen.note(&format!("\nThe console has ended: {}.", harmless(&words))),
    }
    Ok(())
}

/// Why it is over.
enum End {
    /// The person had enough.
    Left,
    /// The other side ended it.
    Closed(String),
}

async fn talk(
    session: &Session<'_>,
    urn: &Urn,
    (mut reader, mut writer): (ConsoleReader, ConsoleWriter),
    mut typed: mpsc::Receiver<Typed>,
) -> Result<End> {
    let mut types = true;
    loop {
        tokio::select! {
            shown = reader.next() => match shown {
                Ok(bytes) => show(&bytes)?,
                Err(end) if asks_again(&end) => {
                    (reader, writer) = reopen(session, urn, &end).await?;
                }
                Err(ConsoleEnd::Closed { reason, .. }) => return Ok(End::Closed(reason)),
                Err(end @ ConsoleEnd::Broken(_)) => return Err(Failure::failed(end.to_string())),
            },
            typed = typed.recv(), if types => match typed {
                // What cannot be sent, the reader will explain.
                Some(Typed::Bytes(bytes)) => { let _ = writer.send(bytes).await; }
                Some(Typed::Escape) => {
                    writer.close().await;
                    return Ok(End::Left);
                }
                None => types = false,
            },
        }
    }
}

fn asks_again(end: &ConsoleEnd) -> bool {
    match end {
        ConsoleEnd::Closed { code, .. } => CloseCode::helps_to_ask_again(*code),
        ConsoleEnd::Broken(_) => true,
    }
}

/// A new console in the place of one that broke.
async fn reopen(
    session: &Session<'_>,
    urn: &Urn,
    end: &ConsoleEnd,
) -> Result<(ConsoleReader, ConsoleWriter)> {
    // A raw terminal does not go back to the left by itself.
    session.screen.note(&format!("\r\n[{}; asking for it again]\r", harmless(&end.to_string())));
    let start = Instant::now();
    loop {
        match open(session, urn, ConsoleKind::Serial).await {
            Ok(opened) => return Ok(opened),
            Err(failure) if failure.may_pass() && start.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn open(session: &Session<'_>, urn: &Urn, kind: ConsoleKind) -> Result<(ConsoleReader, ConsoleWriter)> {
    let opened = async {
        let access = session.client.console(urn, kind).await?;
        session.client.open_console(&access).await
    };
    opened.await.map_err(|error| session.failure("open the console of", urn, &error))
}

fn show(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        // Nobody reads it any more, and nobody is told.
        std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Failed, ""),
        _ => Failure::failed(format!("cannot write what the console shows: {error}")),
    })
}

/// What comes from standard input.
enum Typed {
    Bytes(Vec<u8>),
    Escape,
}

/// Reads standard input in a thread of its own: such a read cannot be taken back, and ends with the process.
fn typed(escape: bool) -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            let mut bytes = buffer[..length].to_vec();
            let left = if escape { bytes.iter().position(|byte| *byte == ESCAPE) } else { None };
            bytes.truncate(left.unwrap_or(length));
            if !bytes.is_empty() && sender.blocking_send(Typed::Bytes(bytes)).is_err() {
                return;
            }
            if left.is_some() {
                let _ = sender.blocking_send(Typed::Escape);
                return;
            }
        }
    });
    receiver
}

/// A socket that goes with us.
struct SocketFile<'a>(&'a Path);

impl Drop for SocketFile<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

async fn vnc(session: &Session<'_>, urn: &Urn, path: &Path) -> Result<()> {
    // One is asked for before anything is offered: who may not, or where nothing runs, hears so now.
    let asked = session.client.console(urn, ConsoleKind::Vnc).await;
    asked.map_err(|error| session.failure("open the display of", urn, &error))?;
    // From its first moment on the socket is its owner's alone.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(|error| Failure::file("offer the display at", path, &error))?;
    let _file = SocketFile(path);
    session.screen.note(&format!(
        "The display of {} is at {}, for VNC viewers on this machine. Ctrl-C ends it.",
        full_name(urn),
        path.display()
    ));
    session.screen.if_interrupted("The display is no longer offered; the guest goes on.");
    let mut viewers = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted
                    .map_err(|error| Failure::failed(format!("cannot take a viewer: {error}")))?;
                viewers.spawn(view(session.client.clone(), urn.clone(), stream));
            }
            Some(ended) = viewers.join_next() => tell(session.screen, ended),
        }
    }
}

fn tell(screen: &Screen, ended: std::result::Result<Option<String>, tokio::task::JoinError>) {
    match ended {
        Ok(Some(why)) => screen.note(&format!("A viewer's display has ended: {}", harmless(&why))),
        Ok(None) => screen.note("A viewer has left."),
        Err(error) => screen.note(&format!("A viewer's display has failed: {error}")),
    }
}

/// One viewer; why it ended, unless the viewer left.
async fn view(client: Client, urn: Urn, stream: UnixStream) -> Option<String> {
    let opened = async { client.open_console(&client.console(&urn, ConsoleKind::Vnc).await?).await };
    let (mut reader, mut writer) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return Some(error.to_string()),
    };
    let (mut from_viewer, mut to_viewer) = stream.into_split();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            shown = reader.next() => match shown {
                Ok(bytes) => {
                    if to_viewer.write_all(&bytes).await.is_err() {
                        writer.close().await;
                        return None;
                    }
                }
                Err(end) => return Some(end.to_string()),
            },
            typed = from_viewer.read(&mut buffer) => match typed {
                Ok(0) | Err(_) => {
                    writer.close().await;
                    return None;
                }
                Ok(length) => {
                    let _ = writer.send(buffer[..length].to_vec()).await;
                }
            },
        }
    }
}
