//! Small JSON records, one per file, each under a header line with a format version and a checksum.
//!
//! A file that is not exactly what was written is set aside as `<name>.damaged` for an operator to look at.

use crate::durable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Raised when stored bytes change their meaning; older formats stay readable.
const FORMAT: u32 = 1;
const EXTENSION: &str = ".json";

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    sha256: String,
}

/// A directory of records.
#[derive(Debug)]
pub(super) struct RecordDirectory {
    path: PathBuf,
}

/// All records of a directory, and the names of those that could not be read.
#[derive(Debug)]
pub(super) struct Loaded<T> {
    pub(super) records: BTreeMap<Uuid, T>,
    pub(super) damaged: Vec<Uuid>,
}

impl RecordDirectory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        durable::sweep_unfinished(path)?;
        Ok(Self { path: path.to_path_buf() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{EXTENSION}"))
    }

    /// Writes durably.
    pub(super) fn write(&self, name: &str, record: &impl Serialize) -> io::Result<()> {
        durable::replace(&self.file(name), &encode(record)?)
    }

    /// Writes; durable after the next [`RecordDirectory::sync`].
    pub(super) fn write_content(&self, name: &str, record: &impl Serialize) -> io::Result<()> {
        durable::replace_content(&self.file(name), &encode(record)?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        durable::sync_directory(&self.path)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        durable::remove(&self.file(name))
    }

    /// Reads one record; a damaged one is set aside and reads as none.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.file(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match decode(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(why) => {
                let aside = path.with_extension("json.damaged");
                tracing::error!(file = %path.display(), aside = %aside.display(), why, "a ledger record is damaged");
                fs::rename(&path, &aside)?;
                self.sync()?;
                Ok(None)
            }
        }
    }

    /// Reads every record named by a UUID.
    pub(super) fn read_all<T: DeserializeOwned>(&self) -> io::Result<Loaded<T>> {
        let mut loaded = Loaded { records: BTreeMap::new(), damaged: Vec::new() };
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(uid) = name.strip_suffix(EXTENSION).and_then(|stem| Uuid::try_parse(stem).ok()) else {
                continue;
            };
            match self.read(&uid.hyphenated().to_string())? {
                Some(record) => _ = loaded.records.insert(uid, record),
                None => loaded.damaged.push(uid),
            }
        }
        Ok(loaded)
    }
}

fn encode(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(record)?;
    let mut bytes = serde_json::to_vec(&Header { format: FORMAT, sha256: checksum(&body) })?;
    bytes.push(b'\n');
    bytes.extend(body);
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    let cut = bytes.iter().position(|byte| *byte == b'\n').ok_or("no header")?;
    let header: Header = serde_json::from_slice(&bytes[..cut]).map_err(|_| "no header")?;
    if header.format != FORMAT {
        return Err("an unknown format");
    }
    let body = bytes[cut + 1..].strip_suffix(b"\n").ok_or("cut short")?;
    if checksum(body) != header.sha256 {
        return Err("the checksum differs");
    }
    // The parser's own words could quote tenant data.
    serde_json::from_slice(body).map_err(|_| "not the expected fields")
}

fn checksum(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}
