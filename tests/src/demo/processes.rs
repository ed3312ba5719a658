//! Processes that outlive the command that started them, and their end.
//!
//! A process is known by pid and start time, so that a pid used again by somebody else is never signalled.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

fn list(dir: &Path) -> PathBuf {
    dir.join("processes")
}

/// Start time of a process in clock ticks since boot (proc(5), field 22 of stat).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in parentheses, may hold spaces.
    let rest = &stat[stat.rfind(')')? + 2..];
    let state = rest.split(' ').next()?;
    if state == "Z" { None } else { rest.split(' ').nth(19)?.parse().ok() }
}

/// Starts `command` so that it outlives us, and writes it down.
pub(crate) fn start(dir: &Path, name: &str, mut command: Command) -> anyhow::Result<u32> {
    let log = OpenOptions::new().create(true).append(true).open(dir.join(format!("{name}.log")))?;
    // A group of its own: Ctrl-C in the demo's terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("starting {name}"))?;
    let pid = child.id();
    let started = start_time(pid).unwrap_or_default();
    let mut processes = OpenOptions::new().create(true).append(true).open(list(dir))?;
    writeln!(processes, "{pid} {started} {name}")?;
    Ok(pid)
}

/// Ends all that was started, guests included, and removes the directory.
pub(crate) fn down(dir: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(list(dir)).unwrap_or_default();
    let mut running: Vec<(u32, u64, &str)> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        if let (Some(pid), Some(started), Some(name)) = (fields.next(), fields.next(), fields.next())
            && let (Ok(pid), Ok(started)) = (pid.parse(), started.parse())
        {
            running.push((pid, started, name));
        }
    }
    // The agent first: with the hypervisor gone it would report guests as lost.
    running.reverse();
    for signal in [Signal::TERM, Signal::KILL] {
        running.retain(|(pid, started, _)| start_time(*pid) == Some(*started));
        for (pid, ..) in &running {
            if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline
            && running.iter().any(|(pid, started, _)| start_time(*pid) == Some(*started))
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let hypervisor = dir.join("hv");
    if hypervisor.exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/hypervisor");
        let output = Command::new(script).arg("stop").arg(&hypervisor).output()?;
        if !output.status.success() {
            bail!("stopping the hypervisor: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))
}
