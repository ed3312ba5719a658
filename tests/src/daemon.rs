//! A process of the lab.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A binary of this workspace, built by `cargo build --workspace` into the same directory as this one.
///
/// # Errors
/// When it is not there, or its sources have changed since: a test would judge yesterday's program.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.parent().context("the path of this executable has no directory")?;
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    let path = dir.join(name);
    if !path.exists() {
        bail!("{} is not built; run `cargo build --workspace` (or `make build`) first", path.display());
    }
    if let Some(changed) = newer_source(&path)? {
        bail!(
            "{} is older than {changed}; run `cargo build --workspace` (or `make build`) first",
            path.display()
        );
    }
    Ok(path)
}

/// A source that changed after `binary` was built, by the list that cargo leaves beside it.
fn newer_source(binary: &Path) -> anyhow::Result<Option<String>> {
    let list = binary.with_extension("d");
    let Ok(list) = fs::read_to_string(&list) else { return Ok(None) };
    let built = fs::metadata(binary)?.modified()?;
    // "binary: source source", blanks within a path being escaped.
    let sources = list.split_once(':').map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    let newer = sources.split_whitespace().map(|source| source.replace('\0', " ")).find(|source| {
        let changed = fs::metadata(source).and_then(|file| file.modified());
        changed.is_ok_and(|changed| changed > built)
    });
    Ok(newer)
}

/// A process and all below it.
pub fn family(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let mut position = 0;
    while position < family.len() {
        // Children belong to the thread that started them.
        let tasks = fs::read_dir(format!("/proc/{}/task", family[position])).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        position += 1;
    }
    family
}

/// A running process with its log in a file. Killed when dropped.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Daemon {
    /// Starts `command`; what it says goes to `log`, after what is there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Daemon> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Daemon { name: name.to_owned(), child, log: log.to_owned(), ended: false })
    }

    /// As [`Daemon::spawn`], with pipes to its standard input and from its standard output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with_pipes(
        name: &str,
        mut command: Command,
        log: &Path,
    ) -> anyhow::Result<(Daemon, ChildStdin, ChildStdout)> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let daemon = Daemon { name: name.to_owned(), child, log: log.to_owned(), ended: false };
        let (input, output) = pipes.context("pipes were asked for")?;
        Ok((daemon, input, output))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its exit status, if it has ended by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.ended |= status.is_some();
        status
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The child is not reaped before this Daemon goes, so the pid is its own.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL, and gone.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.ended = true;
        self.child.wait().ok()
    }

    fn end(&mut self, signal: Signal) {
        if !self.ended {
            self.signal(signal);
            let _ = self.child.wait();
            self.ended = true;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("---- end of the log of {} ----\n{}", self.name, tail.join("\n"));
        }
    }
}
