//! Why there is no private Postgres.

use std::io;
use std::path::PathBuf;

/// Why the private Postgres could not be set up or started. Messages say what, where, why and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No server binaries.
    #[error(
        "no Postgres server of version {minimum} or later was found in {looked_in}: install the package `postgresql` \
         (Debian, Ubuntu) or `postgresql-server` (Fedora, RHEL), say where it is, or give a database_url"
    )]
    NotInstalled {
        /// The oldest major version that would do.
        minimum: u32,
        /// Where it was looked for.
        looked_in: String,
    },

    /// The data was made by another major version than those installed.
    #[error(
        "the data in {} was made by Postgres {data_major}, and installed is only {installed}: install the package \
         `postgresql-{data_major}` again (a newer version cannot read it without pg_upgrade)", data.display()
    )]
    OtherMajor {
        /// The data directory.
        data: PathBuf,
        /// Major version that made it.
        data_major: u32,
        /// Major versions that are installed.
        installed: String,
    },

    /// The account does not exist, or is no good.
    #[error(
        "Postgres cannot run as root, and the account {user} for it {why} (looked in /etc/passwd): install the package \
         `postgresql`, which makes the account `postgres`, or name another account"
    )]
    Account {
        /// Name of the account.
        user: String,
        /// What is wrong with it.
        why: &'static str,
    },

    /// The account cannot get to the data directory.
    #[error(
        "the account {user}, which Postgres runs as, may not pass through {}: `chmod o+x` it (it still may not list or \
         read it), or move the controller's data directory", at.display()
    )]
    Unreachable {
        /// Name of the account.
        user: String,
        /// The directory that is in the way.
        at: PathBuf,
    },

    /// A Unix socket's path has to fit into 107 bytes.
    #[error(
        "the path {} has {} bytes, and a Unix socket's may have at most {limit}: choose a data directory whose path is \
         shorter by {}", path.display(), path.as_os_str().len(), path.as_os_str().len() - limit
    )]
    PathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// The most bytes it may have.
        limit: usize,
    },

    /// Another controller uses this data directory.
    #[error(
        "another controller holds {}: two cannot share a data directory; stop that one, or give this one its own",
        path.display()
    )]
    InUse {
        /// The lock file.
        path: PathBuf,
    },

    /// A file or directory could not be made, read or changed.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was to be done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program could not be started at all.
    #[error("cannot run {}: {source}", program.display())]
    Run {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// `initdb` said no. Nothing is left of its attempt.
    #[error("initdb could not make a data directory in {}; it said:\n{said}", at.display())]
    Init {
        /// Where.
        at: PathBuf,
        /// The end of what it printed.
        said: String,
    },

    /// Processes of an earlier run do not go away.
    #[error(
        "Postgres processes of an earlier run still use {} and do not stop (pids {pids}): look at what holds them up \
         (a hanging disk?), and start again", data.display()
    )]
    Leftover {
        /// The data directory.
        data: PathBuf,
        /// Their process ids.
        pids: String,
    },

    /// It ended before it accepted connections, or later.
    #[error("Postgres ended ({how}); the end of its log:\n{log}")]
    Ended {
        /// Exit status or signal.
        how: String,
        /// Its last lines.
        log: String,
    },

    /// It did not come up in time.
    #[error("Postgres did not accept connections within {waited_s} s; the end of its log:\n{log}")]
    NotReady {
        /// How long it was given, in seconds.
        waited_s: u64,
        /// Its last lines.
        log: String,
    },

    /// The system gave us no thread.
    #[error("cannot start the thread that supervises Postgres: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },

    /// It was stopped while it started.
    #[error("Postgres was stopped while it started")]
    Stopped,

    /// The thread that supervises it panicked.
    #[error(
        "the thread that supervises Postgres panicked; this is a bug in the controller, please report it"
    )]
    Panicked,
}
