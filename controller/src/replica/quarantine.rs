//! A replica that is wrong serves no more, in this life or a later one.
//!
//! A file in its data directory says so, and why. Nobody but an operator removes it, and with it everything else there: the
//! replica comes back under a new id, with what the others have.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const FILE: &str = "QUARANTINED";

/// Where the file goes.
#[derive(Debug, Clone)]
pub struct Quarantine(PathBuf);

impl Quarantine {
    /// Of the replica whose data is in `data_dir`.
    #[must_use]
    pub fn of(data_dir: &Path) -> Quarantine {
        Quarantine(data_dir.join(FILE))
    }

    /// Whether this replica may run.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check(&self) -> Result<(), String> {
        match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{}: {error}", self.0.display())),
            Ok(why) => Err(format!(
                "this controller is in quarantine: {} ({}); replace it by one of a new id, with its directories empty: \
                 `rempart cluster replace` (docs/operating/cluster.md)",
                why.trim(),
                self.0.display()
            )),
        }
    }

    /// From now on it may not. Returns what to stop with.
    pub(super) fn enter(&self, why: String) -> io::Error {
        let write = || {
            let mut file = File::create(&self.0)?;
            writeln!(file, "{why}")?;
            file.sync_all()?;
            self.0.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        match write() {
            Ok(()) => io::Error::new(io::ErrorKind::InvalidData, why),
            // It stops all the same, and finds out again when it is started again.
            Err(error) => {
                io::Error::new(io::ErrorKind::InvalidData, format!("{why} ({}: {error})", self.0.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
