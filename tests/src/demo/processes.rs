//! Processes that outlive the command that started them, and their end.
//!
//! A process of the demo is known by a word in the environment it was started with, which the kernel keeps: there is
//! no list that a killed command could have left incomplete, and no pid that somebody else may have by now.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::directory;

/// The word: this variable with `DIRECTORY:NAME`.
const MARK: &str = "REMPART_DEMO_PROCESS";

/// How long processes may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts `command` so that it outlives us.
///
/// # Errors
/// When it does not start.
pub(crate) fn start(dir: &Path, name: &str, mut command: Command) -> anyhow::Result<u32> {
    let log = OpenOptions::new().create(true).append(true).open(dir.join(format!("{name}.log")))?;
    command.env(MARK, format!("{}:{name}", dir.display()));
    // A group of its own: Ctrl-C in the demo's terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("starting {name}"))?;
    fs::write(dir.join(format!("{name}.pid")), format!("{}\n", child.id()))?;
    Ok(child.id())
}

/// Processes of the demo in `dir`; a zombie has no environment and is none.
fn running(dir: &Path) -> Vec<i32> {
    let mark = format!("{MARK}={}:", dir.display());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = processes.filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|word| word.starts_with(mark.as_bytes()))
    });
    ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Ends all that was started, guests included, and removes what was made.
///
/// # Errors
/// When something does not end or go.
pub(crate) fn down(dir: &Path) -> anyhow::Result<()> {
    end(dir);
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
        let output = stop?.wait_with_output()?;
        if !output.status.success() {
            bail!("stopping a hypervisor: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    directory::empty(dir).with_context(|| format!("emptying {}", dir.display()))
}

/// SIGTERM, and SIGKILL for whoever does not heed it. What the processes have started themselves and left goes too.
fn end(dir: &Path) {
    for signal in [Signal::TERM, Signal::KILL] {
        for pid in running(dir).into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !running(dir).is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
