//! What the segment files cannot say about themselves: where the log begins, and which of them must be there.

use crate::{Error, dir::LogDir, slot::Slot};

/// The manifest's file name.
pub(crate) const MANIFEST: &str = "manifest";

/// The facts of the manifest. On disk: a [`Slot`] holding the two as little-endian `u64`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The first index the log may still hold; everything below has been purged.
    pub(crate) start: u64,
    /// The sequence number of a segment that must exist, at or below the newest; 0 when none has to.
    pub(crate) newest: u64,
}

/// The manifest; absent until the first index of the log is known.
#[derive(Debug)]
pub(crate) struct Manifest(Option<(Slot, Facts)>);

impl Manifest {
    /// Reads the manifest, if there is one.
    pub(crate) fn open(dir: &LogDir) -> Result<Self, Error> {
        if !dir.names()?.iter().any(|name| name == MANIFEST) {
            return Ok(Self(None));
        }
        let slot = Slot::open(dir, MANIFEST)?;
        let facts = match slot.value().as_chunks() {
            ([start, newest], []) => {
                Facts { start: u64::from_le_bytes(*start), newest: u64::from_le_bytes(*newest) }
            }
            _ => {
                return Err(Error::corrupt(
                    dir.path().join(MANIFEST),
                    0_u64,
                    "it has not the length of a manifest",
                ));
            }
        };
        Ok(Self(Some((slot, facts))))
    }

    /// The facts, unless the log has never had a record.
    pub(crate) fn facts(&self) -> Option<Facts> {
        self.0.as_ref().map(|(_, facts)| *facts)
    }

    /// Replaces the facts, durably.
    pub(crate) fn put(&mut self, dir: &LogDir, facts: Facts) -> Result<(), Error> {
        let bytes = [facts.start.to_le_bytes(), facts.newest.to_le_bytes()].concat();
        match &mut self.0 {
            Some((slot, known)) => {
                slot.put(&bytes, true)?;
                *known = facts;
            }
            None => self.0 = Some((Slot::create(dir, MANIFEST, &bytes)?, facts)),
        }
        Ok(())
    }
}
