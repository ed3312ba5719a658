//! Which account Postgres runs as, and handing it what it owns.

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::EmbeddedError;

/// Postgres refuses to run as root, so a controller that is root lends it another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The controller's own.
    Own,
    /// An unprivileged one.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// The account to use: `user`'s if we are root.
    pub(super) fn choose(user: &str) -> Result<Account, EmbeddedError> {
        if !geteuid().is_root() {
            return Ok(Account::Own);
        }
        // The account of a package is always in this file; asking the name service would take unsafe code or a helper.
        let path = Path::new("/etc/passwd");
        let passwd = std::fs::read_to_string(path).map_err(|source| EmbeddedError::File {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        Account::among(&passwd, user)
    }

    fn among(passwd: &str, user: &str) -> Result<Account, EmbeddedError> {
        let wrong = |why| EmbeddedError::Account { user: user.to_owned(), why };
        let entry = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&user))
            .ok_or_else(|| wrong("does not exist"))?;
        let id = |field: usize| entry.get(field).and_then(|id| id.parse::<u32>().ok());
        let (Some(uid), Some(gid)) = (id(2), id(3)) else { return Err(wrong("has no numeric ids")) };
        if uid == 0 {
            return Err(wrong("is root itself"));
        }
        Ok(Account::Other { name: user.to_owned(), uid, gid })
    }

    /// Makes `command` run as this account, with no supplementary groups.
    pub(super) fn apply(&self, command: &mut Command) {
        if let Account::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives `path` to this account.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// The error for a `path` that this account could not get to: names the directory in the way.
    pub(super) fn unreachable(&self, path: &Path) -> EmbeddedError {
        match self {
            Account::Own => {
                EmbeddedError::Unreachable { user: "of this controller".to_owned(), at: path.to_owned() }
            }
            Account::Other { name, uid, gid } => {
                EmbeddedError::Unreachable { user: name.clone(), at: in_the_way(path, *uid, *gid) }
            }
        }
    }
}

/// The outermost directory on the way to `path` whose mode does not let the account pass. A guess, for a message: modes
/// are not all there is.
fn in_the_way(path: &Path, uid: u32, gid: u32) -> PathBuf {
    let mut outermost = path;
    for directory in path.ancestors() {
        let passable = directory.metadata().is_ok_and(|metadata| {
            let execute = match () {
                () if metadata.uid() == uid => 0o100,
                () if metadata.gid() == gid => 0o010,
                () => 0o001,
            };
            metadata.mode() & execute != 0
        });
        if !passable {
            outermost = directory;
        }
    }
    outermost.to_owned()
}

#[cfg(test)]
mod tests;
