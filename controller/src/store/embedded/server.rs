//! The Postgres process itself: its settings, its launch, and when it is ready.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use super::binaries::Binaries;
use super::home::Home;
use super::{EmbeddedError, PORT};

/// All settings, on the command line: there they win over every file, and a controller that is upgraded brings its own.
const SETTINGS: [(&str, &str); 36] = [
    // Safety first. What was committed is on disk, and a torn page can be restored.
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    // The socket is the only way in.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // Small. The State is in the controller's memory; Postgres writes it down and reads it once, at start.
    ("shared_buffers", "16MB"),
    ("huge_pages", "off"),
    ("work_mem", "4MB"),
    ("maintenance_work_mem", "16MB"),
    ("autovacuum_work_mem", "16MB"),
    ("temp_buffers", "1MB"),
    ("max_connections", "20"),
    ("max_locks_per_transaction", "32"),
    ("max_pred_locks_per_transaction", "16"),
    ("max_files_per_process", "256"),
    // Few processes: no helpers for parallel queries, no replication (Raft does that).
    ("max_worker_processes", "0"),
    ("max_parallel_workers", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("max_parallel_maintenance_workers", "0"),
    ("max_logical_replication_workers", "0"),
    ("max_wal_senders", "0"),
    ("max_replication_slots", "0"),
    ("wal_level", "minimal"),
    ("autovacuum_max_workers", "1"),
    ("jit", "off"),
    // Disk for the write-ahead log, between checkpoints.
    ("min_wal_size", "64MB"),
    ("max_wal_size", "256MB"),
    // stderr is our pipe. No statements and no values in it: they are tenants' data.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("log_checkpoints", "off"),
    ("lc_messages", "C"),
    ("timezone", "UTC"),
    ("cluster_name", "rempart"),
];

/// Starts the postmaster. The calling thread must live as long as it shall.
pub(super) fn launch(home: &Home, binaries: &Binaries) -> Result<Child, EmbeddedError> {
    let mut command = home.command(binaries.postgres());
    command.arg("-D").arg(home.data()).arg("-p").arg(PORT.to_string());
    for (name, value) in SETTINGS {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.arg("-c").arg(socket_setting(&home.socket_dir()));
    // A group of its own: Ctrl-C at a terminal is for the controller, which stops Postgres last.
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
    // Should we be killed, it stops in good order by itself.
    die_with_this_thread(&mut command, Signal::INT);
    command.spawn().map_err(|source| home.cannot_run(binaries.postgres(), source))
}

/// Whether the postmaster `pid` accepts connections. It says so in its pid file, which is how `pg_ctl` knows as well.
pub(super) fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}

/// Makes the kernel send `signal` to the process when the thread that starts it ends, for whatever reason.
#[allow(unsafe_code)]
pub(super) fn die_with_this_thread(command: &mut Command, signal: Signal) {
    let parent = getpid();
    let in_child = move || -> io::Result<()> {
        // After the change of account, which would have cleared it: `pre_exec` comes last.
        set_parent_process_death_signal(Some(signal))?;
        // Had we died before that line, nobody would ever send the signal.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec of a program with threads, only what is async-signal-safe is allowed. The closure makes
    // two system calls; it allocates nothing, takes no lock and cannot panic.
    unsafe { command.pre_exec(in_child) };
}

/// The setting is a list of quoted names.
fn socket_setting(dir: &Path) -> OsString {
    let mut setting = OsString::from("unix_socket_directories=\"");
    setting.push(dir);
    setting.push("\"");
    setting
}
