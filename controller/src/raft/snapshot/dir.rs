//! The directory of a replica's snapshots: the current one, and one that is on its way here.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufReader, BufWriter, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rempart_model::planted;
use uuid::Uuid;

use super::file::{Header, Reader, Writer};
use crate::raft::{Position, machine::Frozen, workers::off_thread};

/// Endings of names.
const WHOLE: &str = ".snapshot";
const PART: &str = ".part";
const UNFINISHED: &str = ".tmp";

/// How much is read or written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A snapshot, open. Cheap to clone; it can be read for as long as it is held, whatever becomes of its name.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    file: Arc<File>,
    header: Arc<Header>,
    bytes: u64,
}

impl SnapshotFile {
    /// Opens a file and reads its header. Whether the rest is whole, only reading it tells.
    fn open(path: &Path) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        let bytes = file.metadata()?.len();
        let header = Reader::begin(BufReader::new(At { file: file.clone(), offset: 0 }))?.header().clone();
        Ok(Self { path: path.to_owned(), file, header: Arc::new(header), bytes })
    }

    /// Of the last entry in it.
    pub(crate) fn position(&self) -> &Position {
        &self.header.position
    }

    pub(super) fn id(&self) -> Uuid {
        self.header.id
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its content, verified while it is read.
    pub(crate) fn content(&self) -> io::Result<Reader<impl Read + use<>>> {
        Reader::begin(BufReader::with_capacity(BUFFER_BYTES, At { file: self.file.clone(), offset: 0 }))
    }

    /// Reads all of it, to know that it is whole.
    pub(super) fn verify(&self) -> io::Result<()> {
        self.content()?.verify()
    }

    /// Up to `count` of its bytes from `offset` on; fewer only at its end.
    pub(super) fn piece(&self, offset: u64, count: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.min(left)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// Reads a shared file from a place of its own.
struct At {
    file: Arc<File>,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(out, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// A replica's snapshots. Its calls block on the disk, but for [`SnapshotDir::build`].
#[derive(Debug)]
pub(crate) struct SnapshotDir {
    path: PathBuf,
    current: Mutex<Option<SnapshotFile>>,
}

impl SnapshotDir {
    /// Opens the directory, or makes it, and removes what unfinished work left behind.
    ///
    /// # Errors
    /// When it cannot be read or written. A snapshot that is damaged is set aside, with a word in the log.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // The owner's alone: a snapshot holds what tenants confided.
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        let mut current: Option<SnapshotFile> = None;
        for name in names.iter().rev() {
            let file = path.join(name);
            if name.ends_with(UNFINISHED) || (name.ends_with(WHOLE) && current.is_some()) {
                fs::remove_file(&file)?;
            } else if name.ends_with(WHOLE) {
                match SnapshotFile::open(&file) {
                    Ok(snapshot) => current = Some(snapshot),
                    Err(error) => {
                        tracing::error!(snapshot = %file.display(), %error, "set aside a snapshot that cannot be read");
                        fs::rename(&file, file.with_extension("damaged"))?;
                    }
                }
            }
        }
        Ok(Self { path: path.to_owned(), current: Mutex::new(current) })
    }

    /// The newest one.
    pub(crate) fn current(&self) -> Option<SnapshotFile> {
        self.lock().clone()
    }

    /// Makes a snapshot of `frozen`, which is the state at `position`, and makes it the current one. Resolves only when the
    /// log up to there is needed no more.
    pub(crate) async fn build(
        self: &Arc<Self>,
        position: Position,
        frozen: &Arc<dyn Frozen>,
    ) -> io::Result<SnapshotFile> {
        let (dir, content) = (Arc::clone(self), Arc::clone(frozen));
        let unfinished = off_thread(move || dir.write(position, &*content)).await??;
        if !planted("snapshot-before-postgres")
            && let Err(error) = frozen.wait_durable().await
        {
            off_thread(move || drop(fs::remove_file(&unfinished.path))).await?;
            return Err(error);
        }
        let dir = Arc::clone(self);
        off_thread(move || dir.adopt(&unfinished)).await?
    }

    /// Writes a snapshot, complete and durable, under a name that a restart removes.
    fn write(&self, position: Position, frozen: &dyn Frozen) -> io::Result<SnapshotFile> {
        let id = Uuid::now_v7();
        let path = self.path.join(format!("{id}{UNFINISHED}"));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = (|| {
            let out = BufWriter::with_capacity(BUFFER_BYTES, file);
            let mut writer = Writer::begin(out, id, position)?;
            frozen.write(&mut writer)?;
            let file = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            SnapshotFile::open(&path)
        })();
        written.inspect_err(|_| drop(fs::remove_file(&path)))
    }

    /// Makes `snapshot` the current one, unless a newer one is.
    pub(crate) fn adopt(&self, snapshot: &SnapshotFile) -> io::Result<SnapshotFile> {
        let mut current = self.lock();
        let index = snapshot.position().index();
        let name = format!("{index:020}-{}{WHOLE}", snapshot.id());
        let path = self.path.join(name);
        if snapshot.path == path {
            return Ok(snapshot.clone());
        }
        if current.as_ref().is_some_and(|current| current.position().index() >= index) {
            fs::remove_file(&snapshot.path)?;
            return Ok(snapshot.clone());
        }
        fs::rename(&snapshot.path, &path)?;
        File::open(&self.path)?.sync_all()?;
        let adopted = SnapshotFile { path, ..snapshot.clone() };
        if let Some(older) = current.replace(adopted.clone()) {
            fs::remove_file(older.path)?;
        }
        Ok(adopted)
    }

    /// Reads all of `snapshot`, to know that it is whole. One that is not is set aside, and another has to be built.
    pub(crate) fn verify(&self, snapshot: &SnapshotFile) -> io::Result<()> {
        let verified = snapshot.verify();
        if let Err(error) = &verified {
            let mut current = self.lock();
            if current.as_ref().is_some_and(|current| current.id() == snapshot.id()) {
                tracing::error!(snapshot = %snapshot.path.display(), %error, "set aside a snapshot; another is made");
                *current = None;
                fs::rename(&snapshot.path, snapshot.path.with_extension("damaged"))?;
            }
        }
        verified
    }

    /// How much of the snapshot `id` has arrived. What is here of others is removed.
    pub(super) fn arrived_bytes(&self, id: Uuid) -> io::Result<u64> {
        let part = self.part(id);
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path != part && path.to_string_lossy().ends_with(PART) {
                fs::remove_file(path)?;
            }
        }
        match fs::metadata(part) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Where the bytes of the snapshot `id` are collected.
    pub(super) fn part(&self, id: Uuid) -> PathBuf {
        self.path.join(format!("{id}{PART}"))
    }

    /// All of the snapshot `id` has arrived: it is made durable and verified. If it is damaged, it goes.
    pub(super) fn arrived(&self, id: Uuid) -> io::Result<SnapshotFile> {
        let part = self.part(id);
        let verified = (|| {
            File::open(&part)?.sync_all()?;
            let snapshot = SnapshotFile::open(&part)?;
            if snapshot.id() != id {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is another snapshot than was offered",
                ));
            }
            snapshot.verify()?;
            Ok(snapshot)
        })();
        verified.inspect_err(|_| drop(fs::remove_file(&part)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<SnapshotFile>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
