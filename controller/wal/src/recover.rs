//! Opening: which segments count, what is in them, and whether all of it can be believed.
//!
//! ```text
//!   newest to oldest   what does each segment own?      from its first index to where a newer one begins
//!                      nothing left, or all purged?     void: a truncation or purge was cut short; remove it
//!   oldest to newest   is everything owned there?       no: Corrupt, it was durable before the next began
//!   the newest         what is behind its last record?  zeros: the end | a seal: Corrupt | else: a torn tail
//! ```
//!
//! No segment is touched before all of them have been believed.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    Error,
    dir::LogDir,
    format::FRAME_HEAD_BYTES,
    index::{Index, Indexed},
    manifest::{Facts, MANIFEST, Manifest},
    scan::{Scan, Tail, scan, tail},
    segment::{Active, Segment, file_name, sequence_in},
};

/// The log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) active: Option<Active>,
    /// Whether unfinished writes are behind the end of the active segment, so that nothing may follow there.
    pub(crate) torn: bool,
    /// The sequence number for the next segment.
    pub(crate) next_sequence: u64,
}

/// Finds out what the log holds, and makes all of it durable.
pub(crate) fn recover(dir: &LogDir, manifest: &Manifest) -> Result<Recovered, Error> {
    let mut sequences: Vec<u64> = dir.names()?.iter().filter_map(|name| sequence_in(name)).collect();
    sequences.sort_unstable();
    let newest = sequences.last().copied().unwrap_or(0);
    let facts = expected(dir, manifest, newest)?;
    let segments = sequences
        .iter()
        .map(|sequence| Segment::open(dir.path(), *sequence))
        .collect::<Result<Vec<_>, _>>()?;
    let (owners, mut void) = owners(segments, facts);
    let mut index = Index { start: manifest.facts().map(|facts| facts.start), segments: VecDeque::new() };
    let (mut active, mut torn) = (None, false);
    if let Some((oldest, _)) = owners.front()
        && oldest.header.first_index > facts.start
    {
        let why =
            format!("records {} to {} are missing before it", facts.start, oldest.header.first_index - 1);
        return Err(Error::corrupt(&oldest.path, 0_u64, why));
    }
    let last = owners.len().saturating_sub(1);
    for (position, (segment, limit)) in owners.into_iter().enumerate() {
        let mut found = scan(&segment, limit)?;
        let bytes = segment.length()?;
        let segment = Arc::new(segment);
        let entries = std::mem::take(&mut found.entries);
        let indexed = Indexed { segment: Arc::clone(&segment), entries, bytes };
        if position < last && indexed.next() < limit {
            let why = format!(
                "records {} to {} are unreadable ({})",
                indexed.next(),
                limit - 1,
                found.flaw.unwrap_or("nothing was written here")
            );
            return Err(Error::corrupt(&segment.path, found.end, why));
        }
        if position == last {
            torn = is_torn(&indexed, &found)?;
            if indexed.next() < facts.start {
                // Purged beyond its end; the next record would leave a gap in it.
                void.push(segment);
                torn = false;
                continue;
            }
            active = Some(settle(segment, &found, indexed.next(), bytes, torn)?);
        }
        index.segments.push_back(indexed);
    }
    for segment in &void {
        dir.remove(&segment.path)?;
    }
    if !void.is_empty() {
        dir.sync()?;
    }
    Ok(Recovered { index, active, torn, next_sequence: newest + 1 })
}

/// What the manifest says, if the segments there are do not contradict it.
fn expected(dir: &LogDir, manifest: &Manifest, newest: u64) -> Result<Facts, Error> {
    match manifest.facts() {
        Some(facts) if newest < facts.newest => {
            let path = dir.path().join(file_name(facts.newest));
            Err(Error::corrupt(path, 0_u64, "the newest segment is missing"))
        }
        Some(facts) => Ok(facts),
        None if newest == 0 => Ok(Facts { start: 0, newest }),
        None => {
            let path = dir.path().join(MANIFEST);
            Err(Error::corrupt(path, 0_u64, "it is missing, yet there are segments"))
        }
    }
}

/// The segments that own live records, oldest first, with the first index each does not own; and the rest.
fn owners(segments: Vec<Segment>, facts: Facts) -> (VecDeque<(Segment, u64)>, Vec<Arc<Segment>>) {
    let (mut owners, mut void) = (VecDeque::new(), Vec::new());
    let mut limit = u64::MAX;
    for segment in segments.into_iter().rev() {
        let first = segment.header.first_index;
        let superseded = first >= limit;
        let purged = limit <= facts.start || (facts.newest == 0 && first < facts.start);
        if superseded || purged {
            void.push(Arc::new(segment));
        } else {
            owners.push_front((segment, limit));
        }
        limit = limit.min(first);
    }
    (owners, void)
}

/// Whether unfinished writes are behind the end of the newest segment.
fn is_torn(indexed: &Indexed, found: &Scan) -> Result<bool, Error> {
    let segment = &indexed.segment;
    let flaw = found.flaw.unwrap_or("nothing is written here");
    match tail(segment, found.end)? {
        Tail::Blank => Ok(false),
        Tail::Unfinished => {
            tracing::warn!(
                segment = %segment.path.display(),
                offset = found.end,
                next_index = indexed.next(),
                why = flaw,
                "cut a torn tail off the log: a batch was being written when the machine or the process \
                 stopped; it was never reported as durable"
            );
            Ok(true)
        }
        Tail::Sealed(seal) => {
            let why = format!(
                "record {} is unreadable ({flaw}), yet the seal at byte {seal} proves that it was durable",
                indexed.next()
            );
            Err(Error::corrupt(&segment.path, found.end, why))
        }
    }
}

/// Makes the newest segment durable up to its end.
fn settle(segment: Arc<Segment>, found: &Scan, next: u64, bytes: u32, torn: bool) -> Result<Active, Error> {
    let mut active = Active::new(segment, found.end, bytes);
    if found.sealed < found.end {
        let room = !torn && bytes - found.end >= FRAME_HEAD_BYTES;
        active.rewrite(found.sealed, next.saturating_sub(1), room)?;
    }
    Ok(active)
}

#[cfg(test)]
mod tests;
