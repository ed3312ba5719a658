//! The journal's files: `refused.jsonl`, and `refused.1.jsonl` with what came before, when the first was full.
//!
//! ```text
//! {"previous":"<SHA-256 of the line before>","atMs":..., ...}
//! ```
//!
//! What always holds: each line names the one before it, over restarts and over both files, so a line that was changed or
//! taken out shows in the next. Who may write the file can still write all of it anew, or cut its end: against that, lines
//! are shipped away. A process that dies loses nothing; a machine that loses power may lose the last seconds.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rempart_identity::certificate::sha256_hex;
use serde::Serialize;

/// Of a file, in bytes. At the most that is written in a second it takes an hour to fill.
const LARGEST: u64 = 64 << 20;
/// A line is shorter than this, in bytes: a path and a subject of 256 characters each, escaped, and some words.
const LONGEST_LINE: u64 = 8 << 10;

const CURRENT: &str = "refused.jsonl";
const EARLIER: &str = "refused.1.jsonl";

/// The journal, open at its end.
pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    bytes: u64,
    largest: u64,
    /// Digest of the last line.
    previous: String,
}

#[derive(Serialize)]
struct Chained<'a, T> {
    previous: &'a str,
    #[serde(flatten)]
    line: T,
}

impl Journal {
    /// Goes on where the last line is, or begins.
    pub(super) fn open(dir: &Path) -> io::Result<Journal> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = current(dir)?;
        let mut bytes = file.metadata()?.len();
        // Renamed, and then nothing was written: the chain goes on from the earlier one.
        let last = match bytes {
            0 => match File::open(dir.join(EARLIER)) {
                Ok(mut earlier) => last_line(&mut earlier)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            },
            _ => last_line(&mut file)?,
        };
        if bytes > 0 && last.last() != Some(&b'\n') {
            // Cut off by a loss of power: it stays, as a line that says nothing.
            file.write_all(b"\n")?;
            bytes += 1;
        }
        let previous = sha256_hex(last.strip_suffix(b"\n").unwrap_or(&last));
        Ok(Journal { dir: dir.to_owned(), file, bytes, largest: LARGEST, previous })
    }

    /// Appends a line.
    pub(super) fn write(&mut self, line: impl Serialize) -> io::Result<()> {
        if self.bytes >= self.largest {
            fs::rename(self.dir.join(CURRENT), self.dir.join(EARLIER))?;
            self.file = current(&self.dir)?;
            self.bytes = 0;
        }
        let mut line = serde_json::to_vec(&Chained { previous: &self.previous, line })?;
        let digest = sha256_hex(&line);
        line.push(b'\n');
        let written = self.file.write_all(&line);
        if written.is_err() {
            // A disk that is full took a part of it: the chain goes on behind whole lines.
            let _ = self.file.set_len(self.bytes);
        } else {
            self.bytes += line.len() as u64;
            self.previous = digest;
        }
        written
    }
}

fn current(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(dir.join(CURRENT))
}

/// With its line feed, if it has one.
fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LONGEST_LINE)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let whole = end.strip_suffix(b"\n").unwrap_or(&end);
    let from = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(end.split_off(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which lines do not name the one before them.
    fn breaks(dir: &Path) -> Vec<usize> {
        let mut previous = sha256_hex(b"");
        let read = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let all = read(EARLIER) + &read(CURRENT);
        let follows = |(number, line): (usize, &str)| {
            let good = line.contains(&format!("\"previous\":\"{previous}\""));
            previous = sha256_hex(line.as_bytes());
            (!good).then_some(number)
        };
        all.lines().enumerate().filter_map(follows).collect()
    }

    fn filled() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        for start in 0..3 {
            let mut journal = Journal::open(&path).unwrap();
            for line in 0..4 {
                journal.write(serde_json::json!({ "line": start * 4 + line })).unwrap();
            }
        }
        (dir, path)
    }

    #[test]
    fn a_line_that_was_changed_or_taken_out_shows() {
        let (_dir, path) = filled();
        assert_eq!(breaks(&path), [0; 0]);
        let text = fs::read_to_string(path.join(CURRENT)).unwrap();
        assert_eq!(text.lines().count(), 12);
        fs::write(path.join(CURRENT), text.replace("\"line\":5", "\"line\":55")).unwrap();
        assert_eq!(breaks(&path), [6]);
        let without: Vec<&str> = text.lines().filter(|line| !line.contains("\"line\":7")).collect();
        fs::write(path.join(CURRENT), without.join("\n") + "\n").unwrap();
        assert_eq!(breaks(&path), [7]);
    }

    #[test]
    fn it_is_bounded_and_the_chain_goes_over_both_files() {
        let (_dir, path) = filled();
        let mut journal = Journal::open(&path).unwrap();
        journal.largest = 3000;
        for line in 0..30 {
            journal.write(serde_json::json!({ "line": 12 + line })).unwrap();
        }
        let bytes = |name| fs::metadata(path.join(name)).unwrap().len();
        assert!(bytes(EARLIER) < 3200 && bytes(CURRENT) < 3200);
        assert_eq!(breaks(&path), [0; 0]);
        for line in 0..200 {
            journal.write(serde_json::json!({ "line": line })).unwrap();
        }
        assert!(bytes(EARLIER) < 3200 && bytes(CURRENT) < 3200);
        assert_eq!(breaks(&path), [0], "only what the first line follows is gone");
        // A start between the renaming and the next line.
        fs::rename(path.join(CURRENT), path.join(EARLIER)).unwrap();
        Journal::open(&path).unwrap().write(serde_json::json!({})).unwrap();
        assert_eq!(breaks(&path), [0]);
    }

    #[test]
    fn a_line_that_was_cut_off_ends_nothing() {
        let (_dir, path) = filled();
        let file = OpenOptions::new().write(true).open(path.join(CURRENT)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 5).unwrap();
        Journal::open(&path).unwrap().write(serde_json::json!({ "after": true })).unwrap();
        assert_eq!(breaks(&path), [0; 0]);
    }
}
