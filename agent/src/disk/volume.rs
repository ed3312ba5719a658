//! Volume files: always qcow2, always with an explicit format, made and grown by qemu-img under limits.
//!
//! A guest never writes qcow2 metadata (QEMU does, on its behalf), so a header in a volume file is ours whatever a
//! guest writes on its disk. qemu-img sees only paths made of UUIDs and digests.
//!
//! What never happens: an existing volume file is overwritten; a half-made file has a volume's name; a file a guest
//! may be writing is resized (`plan` sees to it; QEMU's image lock is the last line of defence); a volume file can be
//! read by other users of the host (its path is in QEMU's arguments, for all to see).

use super::DiskError;
use crate::desired::ImageFormat;
use crate::durable;
use rempart_image_format::{HEADER_WINDOW_BYTES, Header};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

const TOOL_ADDRESS_SPACE_BYTES: u64 = 2 << 30;
const TOOL_WORDS_BYTES: u64 = 4096;
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_SLOWEST: Duration = Duration::from_millis(50);

/// What a run of qemu-img may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From start to end.
    pub(super) time: Duration,
    /// Of CPU, in seconds.
    pub(super) cpu_s: u64,
}

impl Bounds {
    /// For work on metadata alone.
    const SHORT: Bounds = Bounds { time: Duration::from_secs(60), cpu_s: 30 };
}

/// A volume file, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Size of the disk a guest sees.
    pub virtual_size_bytes: u64,
    /// The base image underneath, with its format.
    pub base: Option<(PathBuf, String)>,
}

/// Looks at a volume file; none if there is no such file.
pub fn read(path: &Path) -> Result<Option<VolumeFile>, DiskError> {
    let at = DiskError::at(path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let mut window = vec![0; HEADER_WINDOW_BYTES];
    let filled = super::read_at(&file, 0, &mut window).map_err(&at)?;
    let header = Header::parse(&window[..filled]).map_err(|error| at(io::Error::other(error)))?;
    let format = header.backing_format.unwrap_or_default();
    Ok(Some(VolumeFile {
        virtual_size_bytes: header.virtual_size_bytes,
        base: header.backing_file.map(|file| (PathBuf::from(file), format)),
    }))
}

/// Makes a volume file of `size_bytes`, on top of a verified base image or blank.
pub fn create(path: &Path, size_bytes: u64, base: Option<(&Path, ImageFormat)>) -> Result<(), DiskError> {
    let at = DiskError::at(path);
    let unfinished = durable::unfinished(path);
    durable::remove(&unfinished).map_err(&at)?;
    // qemu-img would make it readable for all; a file that is there it empties and keeps the mode of. libvirt gives the
    // file to QEMU's user when the guest starts.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(&at)?;
    let mut command = tool("create");
    command.args(["-f", "qcow2"]);
    if let Some((base, format)) = base {
        command.args(["-F", format.name(), "-b"]).arg(base);
    }
    command.arg(&unfinished).arg(size_bytes.to_string());
    run("create", &mut command, Bounds::SHORT)?;
    sync(&unfinished).map_err(&at)?;
    match renameat_with(CWD, &unfinished, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => path.parent().map_or(Ok(()), durable::sync_directory).map_err(at),
        Err(rustix::io::Errno::EXIST) => Err(DiskError::VolumeExists(path.to_path_buf())),
        Err(errno) => Err(at(errno.into())),
    }
}

/// Makes a volume that no guest has open larger.
pub fn grow(path: &Path, size_bytes: u64) -> Result<(), DiskError> {
    let mut command = tool("resize");
    command.args(["-f", "qcow2"]).arg(path).arg(size_bytes.to_string());
    run("resize", &mut command, Bounds::SHORT)?;
    sync(path).map_err(DiskError::at(path))
}

/// Deletes a volume file; one that is not there is fine.
pub fn delete(path: &Path) -> Result<(), DiskError> {
    durable::remove(path).map_err(DiskError::at(path))
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn tool(verb: &str) -> Command {
    let mut command = Command::new("qemu-img");
    command.arg(verb).arg("-q");
    command
}

/// Runs qemu-img with bounds on time, CPU and memory; what it says on failure is for operators.
pub(super) fn run(verb: &'static str, command: &mut Command, bounds: Bounds) -> Result<(), DiskError> {
    let failed = |cause: String| DiskError::Tool { verb, cause };
    let mut child = command
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let words = child.stderr.take().and_then(|stderr| {
        // Without a listener there are no words, and the tool is told so by its pipe.
        thread::Builder::new().name("tool-words".to_owned()).spawn(move || heard(stderr)).ok()
    });
    let outcome = limit(&child, bounds.cpu_s).and_then(|()| wait(&mut child, bounds.time));
    let status = match outcome {
        Ok(Some(status)) => status,
        Ok(None) => return Err(failed(format!("no end after {} s", bounds.time.as_secs()))),
        Err(error) => {
            // Without limits, or without knowing its state, it must not go on; it may be gone already.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(failed(error.to_string()));
        }
    };
    if status.success() {
        return Ok(());
    }
    let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
    Err(failed(format!("{status}: {}", words.trim())))
}

/// What a tool says before it ends. All is read, since a tool with a full pipe never ends; the beginning is kept.
fn heard(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    // An unreadable rest changes nothing.
    let _ = stderr.by_ref().take(TOOL_WORDS_BYTES).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&words).into_owned()
}

fn limit(child: &Child, cpu_s: u64) -> io::Result<()> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let limits = [(Resource::Cpu, cpu_s), (Resource::As, TOOL_ADDRESS_SPACE_BYTES)];
    for (resource, value) in limits {
        match prlimit(Some(pid), resource, both(value)) {
            // It has ended already.
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other?,
        };
    }
    Ok(())
}

/// Waits for the end; kills and reaps the child if it takes too long.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = POLL_FIRST;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(POLL_SLOWEST);
    }
}
