//! What Postgres writes to stderr: into our own log, and the last lines kept for error messages.
//!
//! A pipe and no file: nothing grows, nothing needs rotating, and one place tells the whole story. Should we die, Postgres
//! ignores that nobody listens any more.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

const TAIL_LINES: usize = 30;
/// Longer lines are cut into several.
const LINE_BYTES: u64 = 4096;

/// The log of one run of Postgres.
pub(super) struct Log {
    tail: Arc<Mutex<VecDeque<String>>>,
    end: mpsc::Receiver<()>,
}

impl Log {
    /// Reads `stderr` on a thread of its own until the last process that holds it has ended.
    pub(super) fn read(stderr: impl Read + Send + 'static) -> std::io::Result<Log> {
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (ended, end) = mpsc::channel();
        let lines = Arc::clone(&tail);
        std::thread::Builder::new().name("postgres-log".to_owned()).spawn(move || {
            pass_on(BufReader::new(stderr), &lines);
            // Nobody need be waiting.
            let _ = ended.send(());
        })?;
        Ok(Log { tail, end })
    }

    /// The last lines. Waits a moment for those that are still in the pipe.
    pub(super) fn tail(&self) -> String {
        let _ = self.end.recv_timeout(Duration::from_millis(500));
        let lines = lock(&self.tail);
        if lines.is_empty() {
            "(it wrote nothing)".to_owned()
        } else {
            Vec::from_iter(lines.clone()).join("\n")
        }
    }
}

fn pass_on(mut stderr: impl BufRead, tail: &Mutex<VecDeque<String>>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr).take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        pass_on_line(&text);
        let mut tail = lock(tail);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}

/// Postgres' severities are not ours: it calls "LOG" what only its own administrator would miss, and most of its errors
/// are answers to a statement, which whoever sent it reports.
fn pass_on_line(line: &str) {
    match line.split_once(": ").map(|(severity, _)| severity) {
        Some("PANIC" | "FATAL") => tracing::warn!(target: "postgres", "{line}"),
        Some("ERROR" | "WARNING") => tracing::info!(target: "postgres", "{line}"),
        _ => tracing::debug!(target: "postgres", "{line}"),
    }
}

fn lock(tail: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
