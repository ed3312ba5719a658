//! Where a secret may have got to: files, command lines and environments, databases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::canary::Canaries;

const CHUNK_BYTES: usize = 1 << 20;

/// What was found in files: by name of the secret, paths below the directory and the files' modes.
pub(crate) type Found = BTreeMap<String, BTreeMap<PathBuf, u32>>;

/// Every regular file below `dir`, and how many bytes that were.
pub(crate) fn files(dir: &Path, canaries: &Canaries) -> (Found, u64) {
    let (mut found, mut bytes, starts) = (Found::new(), 0, canaries.starts());
    let mut to_do = vec![dir.to_owned()];
    while let Some(path) = to_do.pop() {
        // What is gone meanwhile was a file of somebody who still runs, and is in no backup.
        let Some(entries) = still_there(fs::read_dir(&path)) else { continue };
        for entry in entries {
            let Some(entry) = still_there(entry) else { continue };
            let Some(kind) = still_there(entry.file_type()) else { continue };
            if kind.is_dir() {
                to_do.push(entry.path());
            } else if kind.is_file() {
                let Some(file) = still_there(File::open(entry.path())) else { continue };
                let mode = file.metadata().expect("its mode").permissions().mode() & 0o777;
                let (names, length) = file_has(file, canaries, &starts);
                bytes += length;
                for name in names {
                    let below = entry.path().strip_prefix(dir).expect("it is below").to_owned();
                    found.entry(name).or_default().insert(below, mode);
                }
            }
        }
    }
    (found, bytes)
}

fn still_there<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("a file that cannot be read may hold anything: {error}"),
    }
}

fn file_has(mut file: File, canaries: &Canaries, starts: &[bool]) -> (BTreeSet<String>, u64) {
    let (mut found, mut total) = (BTreeSet::new(), 0);
    let zeros = vec![0; CHUNK_BYTES];
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let before = buffer.len();
        let read = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut buffer).expect("it can be read");
        total += read as u64;
        // A secret may lie across two chunks: but for the last one, the end of a chunk is looked at with the next.
        let last = read == 0;
        let looked_at = if last { buffer.len() } else { buffer.len().saturating_sub(canaries.longest()) };
        if buffer[before.min(looked_at)..] != zeros[..buffer.len() - before.min(looked_at)] || before > 0 {
            for at in 0..looked_at.min(buffer.len().saturating_sub(1)) {
                if starts[usize::from(buffer[at]) << 8 | usize::from(buffer[at + 1])] {
                    found.extend(canaries.at(&buffer[at..]).map(str::to_owned));
                }
            }
        }
        if last {
            return (found, total);
        }
        buffer.drain(..looked_at);
    }
}

/// Command lines and environments of every process of this machine but this one; and how many processes that were.
pub(crate) fn processes(canaries: &Canaries) -> (Vec<String>, BTreeSet<u32>) {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        for what in ["cmdline", "environ"] {
            // A process of another account, or one that has just ended.
            let Ok(bytes) = fs::read(entry.path().join(what)) else { continue };
            seen.insert(pid);
            found.extend(
                canaries.within(&bytes).into_iter().map(|name| format!("{name} in /proc/{pid}/{what}")),
            );
        }
    }
    (found, seen)
}

/// All tables of a controller's private Postgres as text: also what is compressed on disk.
pub(crate) fn dump(data_dir: &Path) -> String {
    let mut command = Command::new("pg_dump");
    command.arg("--host").arg(data_dir.join("postgres/socket"));
    command.args(["--port=5432", "--username=rempart", "--no-password", "postgres"]).current_dir("/");
    let output = command.output().expect("pg_dump is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
