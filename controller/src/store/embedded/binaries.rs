//! Finding the server programs that the system's packages installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The oldest major version we accept; older ones get no fixes any more.
const OLDEST_MAJOR: u32 = 14;

/// Debian keeps every major version in a directory of its own below this one.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where others put the only version they have.
const ELSEWHERE: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin"];

/// One installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) major: u32,
    dir: PathBuf,
}

impl Binaries {
    /// The newest version that can serve `data`: any, if there is no data yet, and otherwise only the one that made it.
    pub(super) fn find(bin_dir: Option<&Path>, data: &Path) -> Result<Binaries, EmbeddedError> {
        let dirs = bin_dir.map_or_else(usual_dirs, |dir| vec![dir.to_owned()]);
        let installed: Vec<Binaries> = dirs.iter().filter_map(|dir| Binaries::in_dir(dir)).collect();
        choose(installed, data_major(data)?, data).map_err(|error| match error {
            EmbeddedError::NotInstalled { minimum, .. } => {
                let looked_in =
                    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
                EmbeddedError::NotInstalled { minimum, looked_in }
            }
            other => other,
        })
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    fn in_dir(dir: &Path) -> Option<Binaries> {
        if !dir.join("initdb").exists() {
            return None;
        }
        let output = Command::new(dir.join("postgres")).arg("-V").output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Binaries { major, dir: dir.to_owned() })
    }
}

fn usual_dirs() -> Vec<PathBuf> {
    // Listed even when absent, so that the error can say where it was looked for.
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    if dirs.is_empty() {
        dirs.push(Path::new(DEBIAN).join("*/bin"));
    }
    dirs.sort();
    dirs.extend(ELSEWHERE.map(PathBuf::from));
    dirs
}

/// "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)" is 15; so is "postgres (PostgreSQL) 15rc1".
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

fn data_major(data: &Path) -> Result<Option<u32>, EmbeddedError> {
    let path = data.join("PG_VERSION");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| EmbeddedError::File {
            doing: "understand",
            path,
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EmbeddedError::File { doing: "read", path, source }),
    }
}

fn choose(installed: Vec<Binaries>, data_major: Option<u32>, data: &Path) -> Result<Binaries, EmbeddedError> {
    let majors = installed.iter().map(|binaries| binaries.major.to_string()).collect::<Vec<_>>().join(", ");
    let none_installed = || EmbeddedError::NotInstalled { minimum: OLDEST_MAJOR, looked_in: String::new() };
    let mut usable = installed.into_iter().filter(|binaries| binaries.major >= OLDEST_MAJOR);
    match data_major {
        // Of equals the first: a package's own directory comes before links to it.
        None => usable.reduce(|a, b| if b.major > a.major { b } else { a }).ok_or_else(none_installed),
        Some(data_major) => usable.find(|binaries| binaries.major == data_major).ok_or_else(|| {
            if majors.is_empty() {
                return none_installed();
            }
            EmbeddedError::OtherMajor { data: data.to_owned(), data_major, installed: majors }
        }),
    }
}

#[cfg(test)]
mod tests;
