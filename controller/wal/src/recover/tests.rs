//! Damage and interruptions, made by editing the files of a closed log.

use std::fs;

use tempfile::TempDir;

use crate::{
    Error, Wal,
    format::tests::{GOLDEN, unhex},
    testing::{SMALL, all, append, copy, edit, find, indices, open, payload, scratch, segments},
};

fn corrupt(dir: &std::path::Path) -> String {
    let before = contents(dir);
    let error = Wal::open(dir, SMALL).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(contents(dir), before, "nothing was changed");
    error.to_string()
}

fn contents(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.retain(|(path, _)| !path.ends_with("LOCK"));
    files.sort();
    files
}

/// A closed log: 1 to 3 synced one by one, then `unsynced` more without a sync, all of 50 bytes.
fn log(unsynced: u64) -> TempDir {
    let dir = scratch();
    let mut wal = open(dir.path());
    for index in 1..=3 {
        append(&mut wal, index..=index, 50, 0);
        wal.sync().unwrap();
    }
    append(&mut wal, 4..=3 + unsynced, 50, 0);
    dir
}

const HEAD: usize = 16;
const FRAME: usize = HEAD + 64;

#[test]
fn a_log_written_long_ago_is_read() {
    let dir = scratch();
    fs::write(dir.path().join("00000000000000000007.wal"), unhex(GOLDEN)).unwrap();
    let mut manifest =
        crate::manifest::Manifest::open(&crate::dir::LogDir::open(dir.path()).unwrap()).unwrap();
    let locked = crate::dir::LogDir::open(dir.path()).unwrap();
    manifest.put(&locked, crate::manifest::Facts { start: 41, newest: 7 }).unwrap();
    drop(locked);
    assert_eq!(all(&open(dir.path())), [(41, b"rempart".to_vec())]);
}

/// However much of the last record reached the disk, and whatever is there instead, the log is sound without
/// it and goes on.
#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let original = log(1);
    let segment = segments(original.path()).remove(0);
    let at = find(&segment, &payload(4, 50, 0)) - HEAD;
    for torn in 0..FRAME {
        for instead in [Some(0x00), Some(0xaa), None] {
            let dir = copy(original.path());
            let whole = fs::read(&segment).unwrap();
            edit(&segments(dir.path())[0], |bytes| match instead {
                Some(byte) => bytes[at + torn..at + FRAME].fill(byte),
                None => bytes.truncate(at + torn),
            });
            // Padding is zeros: without some of it that was written, the record is whole.
            let survived = fs::read(&segments(dir.path())[0]).unwrap().starts_with(&whole[..at + FRAME]);
            let expected: &[u64] = if survived { &[1, 2, 3, 4] } else { &[1, 2, 3] };
            let mut wal = open(dir.path());
            assert_eq!(indices(&wal), expected, "torn at {torn}, {instead:?}");
            wal.append(wal.next_index().unwrap(), b"after").unwrap();
            let records = all(&wal);
            drop(wal);
            assert_eq!(all(&open(dir.path())), records, "torn at {torn}, {instead:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_anything_sealed_is_corrupt() {
    let original = log(0);
    let segment = segments(original.path()).remove(0);
    let end = find(&segment, &payload(3, 50, 0)) - HEAD + FRAME;
    for byte in 0..end {
        let dir = copy(original.path());
        edit(&segments(dir.path())[0], |bytes| bytes[byte] ^= 1 << (byte % 8));
        corrupt(dir.path());
    }
}

#[test]
fn the_error_names_the_file_the_place_and_what_to_do() {
    let dir = log(0);
    let segment = segments(dir.path()).remove(0);
    let at = find(&segment, &payload(2, 50, 0));
    edit(&segment, |bytes| bytes[at] ^= 1);
    let error = corrupt(dir.path());
    for part in
        [segment.to_str().unwrap(), &format!("byte {}", at - HEAD), "record 2", "seal", "empty directory"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn damage_in_a_segment_that_is_not_the_newest_is_corrupt() {
    let dir = scratch();
    append(&mut open(dir.path()), 1..=30, 500, 0);
    let [oldest, .., newest] = &segments(dir.path())[..] else { panic!("too few segments") };
    let damaged = copy(dir.path());
    let at = find(oldest, &payload(6, 500, 0));
    edit(&damaged.path().join(oldest.file_name().unwrap()), |bytes| bytes.truncate(at + 499));
    assert!(corrupt(damaged.path()).contains("record"));
    for missing in [oldest, newest] {
        let damaged = copy(dir.path());
        fs::remove_file(damaged.path().join(missing.file_name().unwrap())).unwrap();
        assert!(corrupt(damaged.path()).contains("missing"));
    }
    fs::remove_file(dir.path().join("manifest")).unwrap();
    assert!(corrupt(dir.path()).contains("manifest"));
}

/// The pages of a batch reach the disk in any order: its end may be there and its beginning not. What came
/// after is then void, and stays void when the gap is filled with a record of the same size.
#[test]
fn a_hole_in_an_unfinished_batch_voids_what_is_behind_it() {
    let dir = log(3);
    let segment = segments(dir.path()).remove(0);
    let at = find(&segment, &payload(4, 50, 0)) - HEAD;
    edit(&segment, |bytes| bytes[at..at + FRAME].fill(0));
    let mut wal = open(dir.path());
    assert_eq!(indices(&wal), [1, 2, 3]);
    assert_eq!(segments(dir.path()).len(), 2, "nothing is ever written over what a crash left");
    append(&mut wal, 4..=4, 50, 1);
    drop(wal);
    let wal = open(dir.path());
    assert_eq!(indices(&wal), [1, 2, 3, 4]);
    assert_eq!(wal.read(4..5, 0).unwrap()[0].1, payload(4, 50, 1));
}

/// Bytes of another segment, and of another place in this one, have valid frames in them but are not ours.
#[test]
fn stale_frames_are_never_live() {
    let (dir, other) = (log(0), log(3));
    let (segment, stranger) = (segments(dir.path()).remove(0), segments(other.path()).remove(0));
    let bytes = fs::read(&stranger).unwrap();
    let at = find(&stranger, &payload(4, 50, 0)) - HEAD;
    for (stale, what) in
        [(&bytes[at..at + 3 * FRAME], "of another segment"), (&fs::read(&segment).unwrap()[64..at], "moved")]
    {
        let copied = copy(dir.path());
        edit(&segments(copied.path())[0], |bytes| bytes[at..at + stale.len()].copy_from_slice(stale));
        let wal = open(copied.path());
        assert_eq!(indices(&wal), [1, 2, 3], "{what}");
        drop(wal);
        assert_eq!(indices(&open(copied.path())), [1, 2, 3], "{what}, again");
    }
}

/// Killed after an append, before its sync: what the page cache has is made durable by opening, and from then
/// on damage to it is no torn tail any more.
#[test]
fn opening_makes_durable_what_it_found() {
    let dir = log(3);
    assert_eq!(indices(&open(dir.path())), [1, 2, 3, 4, 5, 6]);
    let segment = segments(dir.path()).remove(0);
    let at = find(&segment, &payload(6, 50, 0));
    edit(&segment, |bytes| bytes[at] ^= 1);
    assert!(corrupt(dir.path()).contains("record 6"));
}

/// Stops a truncation after each of its steps: a segment half made, published, noted, the void ones removed.
#[test]
fn an_interrupted_truncation_happened_or_did_not() {
    let before = scratch();
    append(&mut open(before.path()), 1..=30, 500, 0);
    let after = copy(before.path());
    let mut wal = open(after.path());
    wal.truncate_after(9).unwrap();
    drop(wal);
    let new = segments(after.path()).pop().unwrap();
    let name = new.file_name().unwrap().to_owned();
    assert!(segments(after.path()).len() < segments(before.path()).len());

    let half_made = copy(before.path());
    fs::write(half_made.path().join(&name).with_extension("wal.tmp"), b"half").unwrap();
    assert_eq!(indices(&open(half_made.path())), (1..=30).collect::<Vec<_>>());

    let published = copy(before.path());
    fs::copy(&new, published.path().join(&name)).unwrap();
    let noted = copy(published.path());
    fs::copy(after.path().join("manifest"), noted.path().join("manifest")).unwrap();
    for dir in [published, noted, after] {
        let mut wal = open(dir.path());
        assert_eq!(indices(&wal), (1..=9).collect::<Vec<_>>());
        append(&mut wal, 10..=12, 500, 1);
        let records = all(&wal);
        drop(wal);
        assert_eq!(all(&open(dir.path())), records);
        assert_eq!(records[10].1, payload(11, 500, 1), "not the removed one");
    }
}

#[test]
fn an_interrupted_purge_happened() {
    for (index, left) in [(20, 10), (30, 0), (40, 0)] {
        let before = scratch();
        let mut wal = open(before.path());
        append(&mut wal, 1..=30, 500, 0);
        wal.sync().unwrap();
        drop(wal);
        let after = copy(before.path());
        open(after.path()).purge_to(index).unwrap();
        fs::copy(after.path().join("manifest"), before.path().join("manifest")).unwrap();
        if index > 30 {
            // Nobody needs these records any more, so their damage keeps nobody from going on.
            segments(before.path()).iter().for_each(|path| edit(path, |bytes| bytes[100] ^= 1));
        }
        let wal = open(before.path());
        assert_eq!((all(&wal).len(), wal.next_index()), (left, Some(index.max(30) + 1)));
        assert_eq!(
            segments(before.path()).len(),
            segments(after.path()).len(),
            "the purged segments are gone"
        );
    }
}
