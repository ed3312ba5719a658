//! A disk in a file: its format as stated, its size, its digest.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};
use crate::screen::Screen;

/// How the bytes encode a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// The disk, byte by byte
    Raw,
    /// QEMU copy-on-write
    Qcow2,
}

impl FileFormat {
    pub(super) fn name(self) -> &'static str {
        match self {
            FileFormat::Raw => "raw",
            FileFormat::Qcow2 => "qcow2",
        }
    }
}

/// What a qcow2 begins with.
const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// A disk in a file.
#[derive(Debug)]
pub(crate) struct DiskFile {
    path: PathBuf,
    pub(super) format: FileFormat,
    /// Of the file.
    pub(super) size_bytes: u64,
    /// Of the disk.
    pub(super) virtual_size_bytes: u64,
}

impl DiskFile {
    /// Looks at the file. The server judges it again, and more strictly; this is to spare a hopeless upload.
    pub(super) fn open(screen: &Screen, path: &Path, stated: Option<FileFormat>) -> Result<DiskFile> {
        let fail = |error| Failure::file("read", path, &error);
        let mut file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Err(Failure::usage(format!("{} is no file with a disk in it", path.display()))
                .next("Name a file that is not empty"));
        }
        let mut header = Vec::new();
        file.by_ref().take(32).read_to_end(&mut header).map_err(fail)?;
        let looks_qcow2 = header.starts_with(QCOW2_MAGIC);
        let format = match stated {
            Some(format) => format,
            None => {
                let format = by_name(path)?;
                if format == FileFormat::Raw && looks_qcow2 {
                    return Err(Failure::usage(format!(
                        "{} is called a raw disk, and begins as a qcow2",
                        path.display()
                    ))
                    .next("Say what it is: --format raw or --format qcow2"));
                }
                screen.note(&format!("Format {}, as its name says; --format says otherwise.", format.name()));
                format
            }
        };
        let virtual_size_bytes = match format {
            FileFormat::Raw => metadata.len(),
            FileFormat::Qcow2 => match header.get(24..32).and_then(|field| field.try_into().ok()) {
                Some(field) if looks_qcow2 => u64::from_be_bytes(field),
                _ => {
                    return Err(Failure::usage(format!("{} does not begin as a qcow2 does", path.display()))
                        .next("If it is a disk byte by byte, say --format raw"));
                }
            },
        };
        Ok(DiskFile { path: path.to_owned(), format, size_bytes: metadata.len(), virtual_size_bytes })
    }

    /// SHA-256 of the file, in hexadecimal.
    pub(super) async fn digest(&self, screen: &Screen) -> Result<String> {
        let bar = screen.bytes("reading, for its SHA-256", self.size_bytes);
        let (path, count) = (self.path.clone(), bar.clone());
        let digest = tokio::task::spawn_blocking(move || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(0))?;
            let mut hash = Sha256::new();
            let mut piece = vec![0; 1 << 20];
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok::<_, std::io::Error>(hash.finalize()),
                    length => {
                        hash.update(&piece[..length]);
                        count.inc(length as u64);
                    }
                }
            }
        });
        let digest = digest.await.map_err(|error| Failure::failed(error.to_string()))?;
        screen.clear();
        let digest = digest.map_err(|error| Failure::file("read", &self.path, &error))?;
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Its bytes, from the first.
    pub(super) async fn reader(&self) -> Result<tokio::fs::File> {
        let opened = tokio::fs::File::open(&self.path).await;
        opened.map_err(|error| Failure::file("read", &self.path, &error))
    }
}

fn by_name(path: &Path) -> Result<FileFormat> {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_lowercase);
    match extension.as_deref() {
        Some("qcow2") => Ok(FileFormat::Qcow2),
        Some("raw") => Ok(FileFormat::Raw),
        // ".img" is either of them, as people use it.
        _ => Err(Failure::usage(format!("the name of {} does not say its format", path.display()))
            .next("Say it: --format raw or --format qcow2 (qemu-img info tells which)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, content: &[u8], stated: Option<FileFormat>) -> Result<DiskFile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        DiskFile::open(&Screen::new(), &path, stated)
    }

    #[test]
    fn the_format_is_stated_or_named_and_never_guessed() {
        let mut qcow2 = [0; 64];
        qcow2[..4].copy_from_slice(QCOW2_MAGIC);
        qcow2[24..32].copy_from_slice(&(3_u64 << 30).to_be_bytes());
        let disk = open("a.qcow2", &qcow2, None).unwrap();
        assert_eq!((disk.format, disk.size_bytes, disk.virtual_size_bytes), (FileFormat::Qcow2, 64, 3 << 30));
        assert_eq!(open("a.QCOW2", &qcow2, None).unwrap().format, FileFormat::Qcow2);
        let disk = open("a.raw", b"x", None).unwrap();
        assert_eq!((disk.format, disk.virtual_size_bytes), (FileFormat::Raw, 1));
        // A guest may write anything into its own disk: stated raw is raw.
        assert_eq!(open("a.img", &qcow2, Some(FileFormat::Raw)).unwrap().virtual_size_bytes, 64);
        for (name, content, stated) in [
            ("a.img", &qcow2[..], None),
            ("a", &qcow2[..], None),
            ("a.raw", &qcow2[..], None),
            ("a.qcow2", b"x", None),
            ("a.img", &qcow2[..20], Some(FileFormat::Qcow2)),
            ("a.raw", b"", None),
        ] {
            assert!(open(name, content, stated).is_err(), "{name} {stated:?}");
        }
    }

    #[tokio::test]
    async fn the_digest_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, b"abc").unwrap();
        let screen = Screen::new();
        let disk = DiskFile::open(&screen, &path, None).unwrap();
        let digest = disk.digest(&screen).await.unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
