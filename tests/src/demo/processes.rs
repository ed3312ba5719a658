//! Processes that outlive the command that started them, and their end.
//!
//! A process of the demo is known by a word in the environment it was started with, which the kernel keeps: there is
//! no list that a killed command could have left incomplete, and no pid that somebody else may have by now. `up` itself
//! carries the word, so whatever it starts does as well, also what it was just about to wait for when it was killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::directory;

/// The word: this variable with `DIRECTORY:NAME`.
const MARK: &str = "REMPART_DEMO_PROCESS";

/// How long processes may take to end by themselves, and then by SIGKILL.
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's own name among its processes.
const OWN_NAME: &str = "demo";

/// What a user's settings are kept for; others are meant for a Rempart of his own, not for the demo's.
const SETTINGS_KEPT: [&str; 3] = ["REMPART_DEMO_", "REMPART_IMAGE_CACHE", "REMPART_CAPABILITIES_CACHE"];

/// Whether this process carries the word, and with it all that it starts.
pub(crate) fn are_ours_from_here(dir: &Path) -> bool {
    std::env::var(MARK).is_ok_and(|mark| mark == value(dir, OWN_NAME))
}

/// Becomes the same command anew, with the word and without settings of the user's that would reach what it starts
/// (the CLI and the controller both know `REMPART_CONFIG`). Returns only what prevented it.
pub(crate) fn mark_from_here(dir: &Path) -> io::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut command = Command::new(own);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("REMPART_") && !SETTINGS_KEPT.iter().any(|kept| text.starts_with(kept)) {
            command.env_remove(&name);
        }
    }
    command.args(std::env::args_os().skip(1)).env(MARK, value(dir, OWN_NAME)).exec()
}

fn value(dir: &Path, name: &str) -> String {
    format!("{}:{name}", dir.display())
}

/// Starts `command` so that it outlives us.
///
/// # Errors
/// When it does not start.
pub(crate) fn start(dir: &Path, name: &str, mut command: Command) -> anyhow::Result<u32> {
    let log = OpenOptions::new().create(true).append(true).open(log(dir, name))?;
    command.env(MARK, value(dir, name));
    // A group of its own: Ctrl-C in the demo's terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    fs::write(dir.join(format!("{name}.pid")), format!("{}\n", child.id()))?;
    // `spawn` returns when the kernel has closed the old descriptors, which is a moment before it shows the new
    // environment (fs/exec.c, `begin_new_exec`): who looked for the word in that moment would take it for gone.
    while pid(dir, name).is_none() && child.try_wait()?.is_none() {
        std::thread::yield_now();
    }
    Ok(child.id())
}

/// Where a process writes what it says.
pub(crate) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

/// The pid of the process that was started by this name, while it runs.
pub(crate) fn pid(dir: &Path, name: &str) -> Option<u32> {
    let pid = fs::read_to_string(dir.join(format!("{name}.pid"))).ok()?.trim().parse().ok()?;
    // The number may be somebody else's by now; the word is not.
    has_word(Path::new(&format!("/proc/{pid}")), &value(dir, name)).then_some(pid)
}

/// The end of one of these processes, with its last words: what it was waited for will not come.
pub(crate) async fn ended(dir: &Path, names: &[&str]) -> String {
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        look.tick().await;
        if let Some(name) = names.iter().find(|name| pid(dir, name).is_none()) {
            let log = log(dir, name);
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last = said.lines().last().unwrap_or_default();
            return format!("{name} has ended; the end of its log {}: {last}", log.display());
        }
    }
}

/// Whether the environment of this process has the word with a value that begins so; a zombie's has nothing.
fn has_word(process: &Path, value: &str) -> bool {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    let start = format!("{MARK}={value}");
    environment.split(|byte| *byte == 0).any(|word| word.starts_with(start.as_bytes()))
}

/// Processes of the demo in `dir`, but for this one.
fn running(dir: &Path) -> Vec<i32> {
    let value = value(dir, "");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = processes.filter(|entry| has_word(&entry.path(), &value));
    let pids = ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| u32::try_from(*pid) != Ok(std::process::id())).collect()
}

/// Ends all that was started, guests included, and removes what was made.
///
/// # Errors
/// When something does not end or go.
pub(crate) fn down(dir: &Path) -> anyhow::Result<()> {
    end(dir)?;
    let hypervisors: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("host-uuid").exists() || path.join(".lock").exists())
        .collect();
    let stops: Vec<_> = hypervisors
        .iter()
        .map(|path| {
            let mut command =
                Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/hypervisor"));
            command.arg("stop").arg(path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
        })
        .collect();
    for stop in stops {
        let output = stop.context("running scripts/hypervisor")?.wait_with_output()?;
        if !output.status.success() {
            bail!("stopping a hypervisor: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    directory::empty(dir).with_context(|| format!("emptying {}", dir.display()))
}

/// SIGTERM, and SIGKILL for whoever does not heed it; looked at anew each time, for what one has started meanwhile.
fn end(dir: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut asked = Vec::new();
    loop {
        let running = running(dir);
        if running.is_empty() {
            return Ok(());
        }
        let late = begin.elapsed() > PATIENCE;
        if begin.elapsed() > 2 * PATIENCE {
            bail!(
                "these processes do not end, even by SIGKILL: {running:?}. They wait inside the kernel: see /proc/PID/stack"
            );
        }
        for pid in running {
            if late || !asked.contains(&pid) {
                let signal = if late { Signal::KILL } else { Signal::TERM };
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
                asked.push(pid);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_started_runs() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        // More of them at a time than there are cores, so that some are halfway through `exec` when they are looked at.
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let mut command = Command::new("sleep");
                        command.arg("60");
                        let started = start(dir, name, command).expect("it starts");
                        assert_eq!(pid(dir, name), Some(started));
                    }
                });
            }
        });
        end(dir).expect("they end");
    }
}
