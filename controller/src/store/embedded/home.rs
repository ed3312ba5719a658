//! `<data_dir>/postgres`: its layout, the lock on it, and the data directory's birth.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::account::Account;
use super::binaries::Binaries;
use super::server::die_with_this_thread;
use super::{DATABASE_USER, EmbeddedError, PORT};

/// `sun_path` has 108 bytes, the last of which is a NUL.
const LONGEST_SOCKET_PATH: usize = 107;
const INIT_PREFIX: &str = "initdb-";
/// How long what a killed controller had started may still be in the way.
const AFTERMATH: Duration = Duration::from_secs(2);

/// The directory, held: while this lives, no other controller uses it.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    account: Account,
    _lock: File,
}

impl Home {
    /// Makes the directories that are missing and takes the lock.
    pub(super) fn take(data_dir: &Path, account: Account) -> Result<Home, EmbeddedError> {
        let root = data_dir.join("postgres");
        fs::create_dir_all(data_dir).map_err(failed("make", data_dir))?;
        // The account has to pass through, but must own nothing but its own two directories: who can rename things in
        // here could lead a controller that is root astray.
        let mode = if account == Account::Own { 0o700 } else { 0o711 };
        make_dir(&root, mode)?;
        // The kernel shows paths without links and dots, and we compare with those.
        let root = root.canonicalize().map_err(failed("resolve", &root))?;
        let lock = lock(&root.join("lock"))?;
        let home = Home { root, account, _lock: lock };
        let socket = home.socket_dir().join(format!(".s.PGSQL.{PORT}"));
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(EmbeddedError::PathTooLong { path: socket, limit: LONGEST_SOCKET_PATH });
        }
        home.make_own_dir(&home.socket_dir())?;
        Ok(home)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn socket_dir(&self) -> PathBuf {
        self.root.join("socket")
    }

    /// A command that runs as the account, in this directory, with nothing of our environment: `PGPORT` and its kind
    /// have no say here.
    pub(super) fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env_clear().env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        self.account.apply(&mut command);
        command
    }

    /// Makes the data directory if there is none. Whole or not at all: `initdb` works beside it, and renaming is last.
    pub(super) fn init(&self, binaries: &Binaries) -> Result<(), EmbeddedError> {
        self.sweep()?;
        let data = self.data();
        if data.exists() {
            return Ok(());
        }
        let unfinished = self.root.join(format!("{INIT_PREFIX}{}", std::process::id()));
        self.make_own_dir(&unfinished)?;
        tracing::info!(at = %data.display(), major = binaries.major, "making a data directory for Postgres");
        let mut initdb = self.command(binaries.initdb());
        initdb
            .arg("-D")
            .arg(&unfinished)
            .args(["--username", DATABASE_USER])
            // Whoever may enter the socket's directory is in; there is no other way to come.
            .args(["--auth-local=trust", "--auth-host=reject"])
            // Byte order needs no locale installed and no C library upgrade changes it.
            .args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]);
        die_with_this_thread(&mut initdb, Signal::KILL);
        let output = initdb.output().map_err(|source| self.cannot_run(binaries.initdb(), source))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = tail(&String::from_utf8_lossy(&said), 20);
            self.sweep()?;
            return Err(EmbeddedError::Init { at: unfinished, said });
        }
        fs::rename(&unfinished, &data).map_err(failed("rename", &unfinished))?;
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(failed("sync", &self.root))
    }

    /// The error for a program that did not start: usually the account cannot get here.
    pub(super) fn cannot_run(&self, program: PathBuf, source: io::Error) -> EmbeddedError {
        if source.kind() == io::ErrorKind::PermissionDenied {
            self.account.unreachable(&self.root)
        } else {
            EmbeddedError::Run { program, source }
        }
    }

    /// Removes what interrupted `initdb`s left.
    fn sweep(&self) -> Result<(), EmbeddedError> {
        for entry in fs::read_dir(&self.root).map_err(failed("list", &self.root))? {
            let entry = entry.map_err(failed("list", &self.root))?;
            if entry.file_name().to_string_lossy().starts_with(INIT_PREFIX) {
                let path = entry.path();
                // The `postgres` that a killed `initdb` had started may go on making files in there for a moment.
                insist(|| fs::remove_dir_all(&path)).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn make_own_dir(&self, path: &Path) -> Result<(), EmbeddedError> {
        make_dir(path, 0o700)?;
        self.account.give(path).map_err(failed("change the owner of", path))
    }
}

/// Makes `path`, or sets the mode of what is there, whatever the umask.
fn make_dir(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", path)(error)),
        _ => fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path)),
    }
}

fn lock(path: &Path) -> Result<File, EmbeddedError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))?;
    // A controller killed between fork and exec leaves a child that holds the lock until it gets to its exec.
    match insist(|| Ok(flock(&file, FlockOperation::NonBlockingLockExclusive)?)) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(EmbeddedError::InUse { path: path.to_owned() })
        }
        Err(error) => Err(failed("lock", path)(error)),
    }
}

/// Tries until it works, or [`AFTERMATH`] is over.
fn insist(attempt: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < AFTERMATH => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::File { doing, path, source }
}

/// The last lines of a text.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests;
