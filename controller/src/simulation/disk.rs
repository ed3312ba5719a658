//! The disks of the controllers: real files, and beside each what a power cut would leave of it.
//!
//! A crash keeps of every sector that was written and not synced either the old or the new bytes, as the seed has it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rempart_wal::disk::{self, Event};
use tempfile::TempDir;

use super::ledger::Ledger;
use super::lots::Lots;

const SECTOR_BYTES: usize = 512;

/// See the module.
pub(super) struct Disks {
    dir: TempDir,
    kept: Rc<RefCell<Kept>>,
    ledger: Ledger,
}

#[derive(Default)]
struct Kept {
    /// What each file held when it was last synced.
    synced: BTreeMap<PathBuf, Vec<u8>>,
    /// Directories whose disks are full.
    full: Vec<PathBuf>,
}

impl Disks {
    pub(super) fn new(ledger: Ledger) -> io::Result<Disks> {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? };
        let kept = Rc::new(RefCell::new(Kept::default()));
        let (keeping, counting) = (Rc::clone(&kept), ledger.clone());
        disk::watch(Some(Box::new(move |event: Event<'_>| keeping.borrow_mut().note(event, &counting))));
        Ok(Disks { dir, kept, ledger })
    }

    pub(super) fn log_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    /// From now on nothing can be written; or it can again.
    pub(super) fn fill(&self, id: u64, is_full: bool) {
        let dir = self.log_dir(id);
        let mut kept = self.kept.borrow_mut();
        kept.full.retain(|full| *full != dir);
        if is_full {
            kept.full.push(dir);
        }
    }

    pub(super) fn is_full(&self, id: u64) -> bool {
        self.kept.borrow().full.contains(&self.log_dir(id))
    }

    /// The power goes: what was not synced is lost, or torn, or there by luck. Files that were not complete yet go.
    pub(super) fn crash(&self, id: u64, lots: &mut Lots) -> io::Result<()> {
        let kept = self.kept.borrow();
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(self.log_dir(id))? {
            names.push(entry?.path());
        }
        names.sort();
        for path in names.into_iter().filter(|path| path.is_file()) {
            let Some(synced) = kept.synced.get(&path) else { continue };
            let written = fs::read(&path)?;
            if written == *synced {
                continue;
            }
            self.ledger.count("unsynced bytes at a crash");
            let mut left = written.clone();
            // All of it, none of it, or each sector by itself.
            let luck = lots.below(3);
            for (number, sector) in left.chunks_mut(SECTOR_BYTES).enumerate() {
                let at = number * SECTOR_BYTES;
                let lost = luck == 0 || (luck == 1 && lots.permille(500));
                if lost && let Some(old) = synced.get(at..at + sector.len()) {
                    sector.copy_from_slice(old);
                }
            }
            fs::write(&path, left)?;
        }
        self.cut_parts(id, lots)
    }

    /// What has come of a snapshot is not synced before all of it is there.
    fn cut_parts(&self, id: u64, lots: &mut Lots) -> io::Result<()> {
        let dir = self.log_dir(id).join("snapshots");
        if !dir.is_dir() {
            return Ok(());
        }
        let mut parts: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(dir)? {
            parts.push(entry?.path());
        }
        parts.sort();
        for part in parts.iter().filter(|path| path.extension().is_some_and(|ending| ending == "part")) {
            let length = fs::metadata(part)?.len();
            fs::File::options().write(true).open(part)?.set_len(lots.between(0, length))?;
        }
        Ok(())
    }
}

impl Kept {
    fn note(&mut self, event: Event<'_>, ledger: &Ledger) -> io::Result<()> {
        match event {
            Event::Write(path) => {
                if self.full.iter().any(|dir| path.starts_with(dir)) {
                    ledger.count("disk full");
                    return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left (simulated)"));
                }
            }
            Event::Synced(path) => {
                self.synced.insert(path.to_owned(), fs::read(path)?);
            }
        }
        Ok(())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        disk::watch(None);
    }
}
