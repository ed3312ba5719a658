//! The terminal's modes: unseen typing, raw mode, and questions. Whatever happens, the old mode comes back.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Mutex;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, Result};
use crate::screen::Screen;

/// The mode to come back to, while another one is in force. Global, for a panic has nothing else to find it by.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Another mode of the terminal on standard input; the old one comes back when this goes.
pub(crate) struct Mode(());

impl Mode {
    /// What is typed is not shown.
    pub(crate) fn unseen() -> std::io::Result<Mode> {
        Mode::enter(|mode| {
            mode.local_modes.remove(LocalModes::ECHO);
            mode.local_modes.insert(LocalModes::ECHONL);
        })
    }

    /// Every byte is handed over as it is typed, Ctrl-C too.
    pub(crate) fn raw() -> std::io::Result<Mode> {
        Mode::enter(Termios::make_raw)
    }

    fn enter(change: impl FnOnce(&mut Termios)) -> std::io::Result<Mode> {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let other = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                other(panic);
            }));
        });
        let mut mode = tcgetattr(std::io::stdin())?;
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(mode.clone());
        change(&mut mode);
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &mode)?;
        Ok(Mode(()))
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(before) = before {
        // Nothing better can be done than to try.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &before);
    }
}

/// A line typed unseen; `None` where there is no terminal to ask on.
pub(crate) async fn ask_secret(screen: &Screen, question: &str) -> Result<Option<String>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    // Held here and not by the thread that reads: Ctrl-C ends this, and that not.
    let _unseen =
        Mode::unseen().map_err(|error| Failure::failed(format!("cannot hide what is typed: {error}")))?;
    read_line(screen, question).await.map(Some)
}

/// Goes on with what cannot be undone if `yes` was said, or is answered to `question` on the terminal.
pub(crate) async fn agree(screen: &Screen, yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask on: {question}"))
            .next("Nothing was changed; --yes does it without asking"));
    }
    let answer = read_line(screen, &format!("{question} [y/N] ")).await?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}

async fn read_line(screen: &Screen, question: &str) -> Result<String> {
    screen.clear();
    let mut err = std::io::stderr();
    let _ = write!(err, "{question}").and_then(|()| err.flush());
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    match read.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(Failure::failed(format!("cannot read the answer: {error}"))),
        Err(error) => Err(Failure::failed(format!("cannot read the answer: {error}"))),
    }
}
