//! Bytes on their way in: counted, hashed and judged while they are written, by a thread of their own.
//!
//! What always holds: memory does not depend on how many bytes come; what is refused is refused as soon as it can be,
//! by the first 64 KiB if they show it; nothing but the project's own parser has looked at the bytes when they get
//! their name.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest;
use bytes::Bytes;
use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_image_format::{Format, HEADER_WINDOW_BYTES, Unfit, judge, judge_beginning};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::store::{Store, Unfinished};
use super::{BlobError, BlobName};

/// Pieces between whoever receives and the thread that writes.
const PIECES: usize = 4;
/// Written bytes go to the disk this often: the log on the same disk must not wait behind all of them at once.
const SYNC_EVERY_BYTES: u64 = 32 << 20;
/// How much is set aside at a time, as bytes come.
const PROMISE_BYTES: u64 = 64 << 20;

/// What was declared of the bytes.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Digest and format.
    pub name: BlobName,
    /// Their number; none when it shows in the end.
    pub size_bytes: Option<u64>,
    /// Most there may be.
    pub limit_bytes: u64,
    /// Size of the disk in them, if it was declared.
    pub virtual_size_bytes: Option<u64>,
    /// Largest disk there is room for.
    pub virtual_limit_bytes: u64,
}

impl Expected {
    /// Exactly this blob, from another replica.
    pub(super) fn exactly(name: BlobName, blob: &BlobSpec) -> Expected {
        Expected {
            name,
            size_bytes: Some(blob.size_bytes),
            limit_bytes: blob.size_bytes,
            virtual_size_bytes: Some(blob.virtual_size_bytes),
            virtual_limit_bytes: blob.virtual_size_bytes,
        }
    }
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// Takes bytes. Dropped before its end, it leaves nothing.
pub struct Incoming {
    pieces: mpsc::Sender<Piece>,
    writer: JoinHandle<Result<BlobSpec, BlobError>>,
}

impl Incoming {
    pub(super) async fn begin(store: Arc<Store>, expected: Expected) -> Result<Incoming, BlobError> {
        if let Some(size_bytes) = expected.size_bytes
            && size_bytes > expected.limit_bytes
        {
            return Err(BlobError::TooLarge { limit_bytes: expected.limit_bytes });
        }
        let (pieces, mut receiver) = mpsc::channel(PIECES);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let writer = tokio::task::spawn_blocking(move || {
            let (unfinished, file) = match store.begin(expected.size_bytes.unwrap_or(0)) {
                Ok(begun_file) => begun_file,
                Err(error) => {
                    let _ = begun.send(Err(error));
                    return Err(BlobError::CutShort);
                }
            };
            // Whoever asked may have gone: then there are no pieces.
            let _ = begun.send(Ok(()));
            write(&store, unfinished, file, &expected, &mut receiver)
        });
        begins.await.unwrap_or(Err(BlobError::CutShort))?;
        Ok(Incoming { pieces, writer })
    }

    /// Hands over the next bytes; waits while the disk is behind.
    ///
    /// # Errors
    /// What is wrong with the bytes so far. Then there is nothing left to do.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        match self.pieces.send(Piece::Bytes(bytes)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.verdict().await.err().unwrap_or(BlobError::CutShort)),
        }
    }

    /// All bytes have come. Returns once they are verified, on the disk, and have their name.
    ///
    /// # Errors
    /// What is wrong with them.
    pub async fn finish(mut self) -> Result<BlobSpec, BlobError> {
        // A writer that is gone already says why.
        let _ = self.pieces.send(Piece::End).await;
        self.verdict().await
    }

    async fn verdict(&mut self) -> Result<BlobSpec, BlobError> {
        (&mut self.writer).await.unwrap_or_else(|error| {
            Err(BlobError::Io { what: "writing a blob".to_owned(), error: std::io::Error::other(error) })
        })
    }
}

fn write(
    store: &Store,
    mut unfinished: Unfinished<'_>,
    mut file: File,
    expected: &Expected,
    pieces: &mut mpsc::Receiver<Piece>,
) -> Result<BlobSpec, BlobError> {
    let format = judged(expected.name.format());
    let mut hasher = digest::Context::new(&digest::SHA256);
    let mut beginning = Some(Vec::with_capacity(HEADER_WINDOW_BYTES));
    let (mut size_bytes, mut promised, mut synced) = (0, 0, 0);
    let mut syncing = Syncing::default();
    loop {
        let bytes = match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => bytes,
            Some(Piece::End) => break,
            None => return Err(BlobError::CutShort),
        };
        if let Some(window) = &mut beginning {
            let more = bytes.len().min(HEADER_WINDOW_BYTES - window.len());
            window.extend_from_slice(&bytes[..more]);
            if window.len() == HEADER_WINDOW_BYTES {
                judge_beginning(format, window).map_err(unfit)?;
                beginning = None;
            }
        }
        let count = bytes.len() as u64;
        size_bytes += count;
        if size_bytes > expected.size_bytes.unwrap_or(expected.limit_bytes) {
            return Err(BlobError::TooLarge { limit_bytes: expected.limit_bytes });
        }
        if size_bytes > promised {
            let left = expected.size_bytes.map_or(u64::MAX, |all| all - promised);
            let more = count.max(PROMISE_BYTES).min(left);
            unfinished.promise(more)?;
            promised += more;
        }
        hasher.update(&bytes);
        file.write_all(&bytes).map_err(|error| store.failed(error))?;
        unfinished.written(count);
        if size_bytes - synced >= SYNC_EVERY_BYTES {
            syncing.start(&file).map_err(|error| store.failed(error))?;
            synced = size_bytes;
        }
    }
    if expected.size_bytes.is_some_and(|expected| expected != size_bytes) {
        return Err(BlobError::CutShort);
    }
    let found = hasher.finish();
    if !expected.name.is_digest(found.as_ref()) {
        let found: String = found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let why = format!("the {size_bytes} bytes that came have the digest {found}, not the declared one");
        return Err(BlobError::Refused { parameter: "sha256", why });
    }
    let virtual_size_bytes = disk_size(&file, format, size_bytes, expected)?;
    syncing.end().and_then(|()| file.sync_all()).map_err(|error| store.failed(error))?;
    unfinished.finish(expected.name)?;
    Ok(BlobSpec {
        sha256: expected.name.sha256(),
        format: expected.name.format(),
        size_bytes,
        virtual_size_bytes,
    })
}

/// Written bytes on their way to the disk while the next ones come: one stretch at a time, so that no more than two are in
/// memory.
#[derive(Default)]
struct Syncing(Option<thread::JoinHandle<std::io::Result<()>>>);

impl Syncing {
    /// Waits for the stretch before, and begins with all that has been written since.
    fn start(&mut self, file: &File) -> std::io::Result<()> {
        self.end()?;
        let file = file.try_clone()?;
        let work = thread::Builder::new().name("blob-sync".to_owned());
        self.0 = Some(work.spawn(move || file.sync_data())?);
        Ok(())
    }

    /// Waits for the stretch under way. An error of the disk is told once, so it must not be lost here.
    fn end(&mut self) -> std::io::Result<()> {
        let panicked = |_| Err(std::io::Error::other("the thread that syncs a blob panicked"));
        self.0.take().map_or(Ok(()), |work| work.join().unwrap_or_else(panicked))
    }
}

/// Judges the whole, and compares the disk in it with what was declared and what there is room for.
fn disk_size(file: &File, format: Format, size_bytes: u64, expected: &Expected) -> Result<u64, BlobError> {
    let mut read_at = |offset: u64, buffer: &mut [u8]| {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    };
    let virtual_size_bytes = judge(format, size_bytes, &mut read_at).map_err(unfit)?;
    let refused = |why| Err(BlobError::Refused { parameter: "virtualSizeBytes", why });
    match expected.virtual_size_bytes {
        Some(declared) if declared != virtual_size_bytes => {
            refused(format!("the disk in it has {virtual_size_bytes} bytes, {declared} were declared"))
        }
        _ if virtual_size_bytes > expected.virtual_limit_bytes => refused(format!(
            "the disk in it has {virtual_size_bytes} bytes, more than the volume's {}; make the volume larger",
            expected.virtual_limit_bytes
        )),
        _ => Ok(virtual_size_bytes),
    }
}

fn judged(format: BlobFormat) -> Format {
    match format {
        BlobFormat::Raw => Format::Raw,
        BlobFormat::Qcow2 => Format::Qcow2,
    }
}

fn unfit(unfit: Unfit) -> BlobError {
    match unfit {
        Unfit::Refused(why) => {
            BlobError::Refused { parameter: "format", why: format!("the image is refused: {why}") }
        }
        Unfit::Io(error) => BlobError::Io { what: "reading a blob".to_owned(), error },
    }
}
