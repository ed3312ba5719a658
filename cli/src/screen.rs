//! What a person or a script sees. Results go to standard output, everything else to standard error.
//!
//! On a terminal work in progress is one line that changes; elsewhere each change is a line. Colours are on a terminal
//! only, and not where `NO_COLOR` is set.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::{Exit, Failure, Result};

/// The terminal, or what stands in for it.
pub(crate) struct Screen {
    colours: bool,
    lively: bool,
    /// What to say on Ctrl-C: what stands, and how to go on.
    interrupted: Mutex<Option<String>>,
    /// The line that changes, while there is one.
    line: Mutex<Option<ProgressBar>>,
}

/// The colours there are, by what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Screen {
            colours: wanted && std::io::stdout().is_terminal(),
            lively: wanted && std::io::stderr().is_terminal(),
            interrupted: Mutex::new(None),
            line: Mutex::new(None),
        }
    }

    /// Writes a result. Nobody reading it any more ends the command without a word.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| match text.ends_with('\n') {
            true => Ok(()),
            false => out.write_all(b"\n"),
        });
        written.and_then(|()| out.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Failed, ""),
            _ => Failure::failed(format!("cannot write the result: {error}")),
        })
    }

    /// Tells something beside the result.
    pub(crate) fn note(&self, text: &str) {
        let say = || {
            // Who closed standard error does not want to know.
            let _ = writeln!(std::io::stderr(), "{text}");
        };
        match &*self.line() {
            Some(line) => line.suspend(say),
            None => say(),
        }
    }

    /// `text` in the colour of `tone`, where colours are on.
    pub(crate) fn tint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
            Tone::Plain => return text.to_owned(),
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// From now on, Ctrl-C says this.
    pub(crate) fn if_interrupted(&self, text: impl Into<String>) {
        *self.interrupted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(text.into());
    }

    /// What Ctrl-C says.
    pub(crate) fn interrupted(&self) -> Option<String> {
        self.clear();
        self.interrupted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Work that takes time, named by `what`.
    pub(crate) fn work(&self, what: &str) -> Work<'_> {
        if self.lively {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(what.to_owned());
            *self.line() = Some(bar);
        }
        Work { screen: self, what: what.to_owned(), said: Mutex::new(String::new()) }
    }

    /// Bytes on their way, `total` of them.
    pub(crate) fn bytes(&self, what: &str, total: u64) -> ProgressBar {
        if !self.lively {
            self.note(&format!("{what} ({})", crate::quantity::bytes(total)));
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:28}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        *self.line() = Some(bar.clone());
        bar
    }

    /// Takes the line that changes away.
    pub(crate) fn clear(&self) {
        if let Some(line) = self.line().take() {
            line.finish_and_clear();
        }
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Work under way; its line goes with it.
pub(crate) struct Work<'a> {
    screen: &'a Screen,
    what: String,
    said: Mutex<String>,
}

impl Work<'_> {
    /// How it stands. Said again only if it differs.
    pub(crate) fn say(&self, how: &str) {
        let how = harmless(how);
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *said == how {
            return;
        }
        let text = format!("{}: {how}", self.what);
        match &*self.screen.line() {
            Some(line) => line.set_message(text),
            None => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
        *said = how;
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.screen.clear();
    }
}

/// Text from outside, on one line and without what a terminal would obey.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|one| match one {
            '\n' | '\t' | '\r' => ' ',
            // Control characters, and those that turn the direction of reading.
            one if one.is_control() => '\u{fffd}',
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            one => one,
        })
        .collect()
}
