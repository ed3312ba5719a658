//! What an earlier run may have left: a Postgres still stopping, orphans of a killed postmaster, stale lock files.
//!
//! A process counts only if the kernel says that it runs `postgres` inside exactly this data directory; a number in a
//! file proves nothing. Signals go through pidfds, opened before the proof, so none can reach a stranger that got the
//! number meanwhile. We hold the lock on the directory, so no other controller's Postgres can be in here.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::EmbeddedError;

const POLL: Duration = Duration::from_millis(20);
/// Postgres ends its processes within 5 s of an immediate stop.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A Postgres process in our data directory.
struct Leftover {
    pid: i32,
    handle: OwnedFd,
}

/// Returns once no Postgres process uses `data`, having stopped those that did, and takes stale lock files away.
pub(super) fn clear(data: &Path, socket_dir: &Path, patience: Duration) -> Result<(), EmbeddedError> {
    let (begun, mut asked, mut urged) = (Instant::now(), false, false);
    loop {
        let leftovers = find(data);
        if leftovers.is_empty() {
            break;
        }
        if !asked {
            asked = true;
            let postmaster = postmaster_pid(data);
            for leftover in leftovers.iter().filter(|leftover| Some(leftover.pid) == postmaster) {
                tracing::warn!(
                    pid = leftover.pid,
                    "stopping the Postgres that an earlier controller left running"
                );
                leftover.signal(Signal::INT);
            }
        } else if begun.elapsed() > patience + AT_ONCE {
            let pids =
                leftovers.iter().map(|leftover| leftover.pid.to_string()).collect::<Vec<_>>().join(", ");
            return Err(EmbeddedError::Leftover { data: data.to_owned(), pids });
        } else if begun.elapsed() > patience && !urged {
            urged = true;
            leftovers.iter().for_each(|leftover| leftover.signal(Signal::QUIT));
        }
        sleep(POLL);
    }
    // Postgres believes a lock file as long as any process has the pid in it, for instance another replica's Postgres
    // after a reboot. We know better.
    let socket_files = fs::read_dir(socket_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in std::iter::once(data.join("postmaster.pid")).chain(socket_files) {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(EmbeddedError::File { doing: "remove", path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

impl Leftover {
    fn signal(&self, signal: Signal) {
        // Gone already is what we want.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// All Postgres processes whose working directory is `data`: a postmaster goes there first, and its children stay.
fn find(data: &Path) -> Vec<Leftover> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| {
            let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            runs_postgres_in(pid, data).then_some(Leftover { pid, handle })
        })
        .collect()
}

fn runs_postgres_in(pid: i32, data: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    // After an upgrade of the package the link ends in " (deleted)".
    let is_postgres = |name: &str| matches!(name, "postgres" | "postgres (deleted)");
    link("cwd") == data && link("exe").file_name().is_some_and(|name| is_postgres(&name.to_string_lossy()))
}

fn postmaster_pid(data: &Path) -> Option<i32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
pub(super) fn count(data: &Path) -> usize {
    find(data).len()
}
