//! Whether everything a qcow2 image's tables point at lies inside its file: what was cut short is found here, not by the
//! guest that reads it first.
//!
//! Reads at most as many bytes as the file has, whatever its tables say, one table at a time.

use crate::qcow2::Header;
use crate::{ReadAt, Unfit, refused};

/// Bits of an entry that are an offset; the others are flags or reserved.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// Entries are read in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

pub(crate) fn check(header: &Header, file_bytes: u64, read_at: &mut ReadAt<'_>) -> Result<(), Unfit> {
    let cluster = header.cluster_bytes();
    let inside = |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= file_bytes);
    let (offset, bytes) = header.refcount_table();
    words(offset, bytes, read_at, |entry, _| match entry & OFFSET {
        0 => Ok(()),
        block if inside(block, cluster) && block.is_multiple_of(cluster) => Ok(()),
        _ => refused("a refcount block lies outside the file; is the file complete?"),
    })?;
    let mut l2_tables = 0;
    let (offset, bytes) = header.l1_table();
    words(offset, bytes, read_at, |entry, read_at| {
        let table = entry & OFFSET;
        if table == 0 {
            return Ok(());
        }
        // More tables than fit into the file: some are named twice, to make us read without end.
        l2_tables += 1;
        if l2_tables > file_bytes / cluster || !inside(table, cluster) || !table.is_multiple_of(cluster) {
            return refused("an L2 table lies outside the file; is the file complete?");
        }
        check_l2(header, table, file_bytes, read_at)
    })
}

fn check_l2(header: &Header, table: u64, file_bytes: u64, read_at: &mut ReadAt<'_>) -> Result<(), Unfit> {
    let cluster = header.cluster_bytes();
    let compressed_offset = (1 << header.compressed_offset_bits()) - 1;
    let mut is_entry = false;
    words(table, cluster, read_at, |entry, _| {
        // Extended entries are pairs: the second word is a bitmap of subclusters.
        if header.has_extended_l2() {
            is_entry = !is_entry;
            if !is_entry {
                return Ok(());
            }
        }
        let (data, aligned) = if entry & COMPRESSED != 0 {
            (entry & compressed_offset, true)
        } else {
            (entry & OFFSET, (entry & OFFSET).is_multiple_of(cluster))
        };
        if data == 0 || (data < file_bytes && aligned) {
            return Ok(());
        }
        refused("its data lies outside the file; is the file complete?")
    })
}

/// Visits the words of a table.
fn words(
    offset: u64,
    bytes: u64,
    read_at: &mut ReadAt<'_>,
    mut visit: impl FnMut(u64, &mut ReadAt<'_>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    while done < bytes {
        let wanted = usize::try_from(bytes - done).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if read_at(offset + done, &mut piece[..wanted])? < wanted {
            return refused("a table is cut short; is the file complete?");
        }
        for word in piece[..wanted].chunks_exact(8) {
            let word = word.iter().fold(0, |value: u64, byte| (value << 8) | u64::from(*byte));
            visit(word, read_at)?;
        }
        done += wanted as u64;
    }
    Ok(())
}
