mod model;
mod power_cut;

use std::{fs::File, path::PathBuf, thread};

use super::*;
use crate::testing::{all, append, indices, open, payload, scratch, segments};

#[test]
fn a_new_log_is_empty_and_takes_any_first_index() {
    let dir = scratch();
    let mut wal = open(dir.path());
    assert_eq!((wal.first_index(), wal.last_index(), wal.next_index()), (None, None, None));
    assert_eq!((wal.purged_index(), wal.disk_bytes(), all(&wal)), (None, 0, vec![]));
    wal.sync().unwrap();
    wal.append(0, b"zero").unwrap();
    wal.append(1, b"").unwrap();
    assert_eq!((wal.first_index(), wal.last_index(), wal.next_index()), (Some(0), Some(1), Some(2)));
    drop(wal);
    let mut wal = open(dir.path());
    assert_eq!(all(&wal), [(0, b"zero".to_vec()), (1, vec![])]);
    wal.purge_to(0).unwrap();
    assert_eq!((wal.first_index(), wal.purged_index()), (Some(1), Some(0)));
}

#[test]
fn records_come_back_across_segments_and_openings() {
    let dir = scratch();
    let mut expected = Vec::new();
    for start in [5, 25, 45] {
        let mut wal = open(dir.path());
        for index in start..start + 20 {
            let bytes = payload(index, usize::try_from(index * 37 % 1500).unwrap(), 0);
            wal.append(index, &bytes).unwrap();
            expected.push((index, bytes));
        }
        wal.sync().unwrap();
        assert_eq!(all(&wal), expected);
    }
    assert!(segments(dir.path()).len() > 5);
    let wal = open(dir.path());
    assert_eq!(all(&wal), expected);
    let on_disk: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    let lock = std::fs::metadata(dir.path().join("LOCK")).unwrap().len();
    assert_eq!(wal.disk_bytes(), on_disk - lock);
}

/// So everything in it is durable before the next one exists, and nothing is reserved in it any more.
#[test]
fn a_segment_that_is_left_ends_with_its_seal() {
    let dir = scratch();
    let mut wal = open(dir.path());
    append(&mut wal, 1..=30, 500, 0);
    wal.truncate_after(29).unwrap();
    let mut paths = segments(dir.path());
    assert_eq!(std::fs::metadata(paths.pop().unwrap()).unwrap().len(), 4096, "the newest");
    assert!(paths.len() > 3);
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let head = crate::format::FrameHead::decode(bytes.last_chunk().unwrap());
        assert_eq!(head.map(|head| head.kind), Some(crate::format::Kind::Seal), "{}", path.display());
    }
}

#[test]
fn the_largest_record_fits_and_one_byte_more_does_not() {
    let dir = scratch();
    let mut wal = open(dir.path());
    let largest = payload(1, MAX_RECORD_BYTES, 0);
    wal.append(1, &largest).unwrap();
    wal.append(2, b"small").unwrap();
    let error = wal.append(3, &vec![0; MAX_RECORD_BYTES + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    wal.sync().unwrap();
    drop(wal);
    assert_eq!(all(&open(dir.path())), [(1, largest), (2, b"small".to_vec())]);
}

#[test]
fn only_the_next_index_is_taken() {
    let dir = scratch();
    let mut wal = open(dir.path());
    assert!(matches!(wal.append(u64::MAX, b""), Err(Error::OutOfOrder { .. })));
    append(&mut wal, 7..=9, 10, 0);
    for wrong in [0, 7, 9, 11] {
        let error = wal.append(wrong, b"").unwrap_err();
        assert!(matches!(error, Error::OutOfOrder { expected: 10, .. }), "{error}");
    }
    append(&mut wal, 10..=10, 10, 0);
}

#[test]
fn a_truncated_log_goes_on_with_other_records() {
    let dir = scratch();
    let mut wal = open(dir.path());
    append(&mut wal, 1..=30, 500, 0);
    wal.truncate_after(30).unwrap();
    wal.truncate_after(99).unwrap();
    assert_eq!(wal.last_index(), Some(30), "nothing to remove");
    // In the newest segment, across segments, twice at the same place, and down to nothing.
    for (life, last) in [(1, 29), (2, 11), (3, 11), (4, 1), (5, 0)] {
        wal.truncate_after(last).unwrap();
        assert_eq!((wal.last_index(), wal.next_index()), ((last > 0).then_some(last), Some(last + 1)));
        drop(wal);
        wal = open(dir.path());
        assert_eq!(wal.next_index(), Some(last + 1), "durable");
        append(&mut wal, last + 1..=last + 3, 500, life);
        drop(wal);
        wal = open(dir.path());
        assert_eq!(wal.last_index(), Some(last + 3));
        let newer = wal.read(last + 1..last + 4, usize::MAX).unwrap();
        assert!(newer.iter().all(|(index, bytes)| *bytes == payload(*index, 500, life)), "life {life}");
    }
    assert_eq!(segments(dir.path()).len(), 1, "void segments are removed");
}

#[test]
fn a_purge_frees_segments_and_moves_the_start_exactly() {
    let dir = scratch();
    let mut wal = open(dir.path());
    append(&mut wal, 1..=30, 500, 0);
    let (files, bytes) = (segments(dir.path()).len(), wal.disk_bytes());
    wal.purge_to(15).unwrap();
    wal.purge_to(3).unwrap();
    assert_eq!((wal.first_index(), wal.purged_index()), (Some(16), Some(15)));
    assert!(segments(dir.path()).len() < files && wal.disk_bytes() < bytes);
    wal.truncate_after(2).unwrap();
    assert_eq!((wal.first_index(), wal.next_index()), (None, Some(16)), "purged indices do not come back");
    drop(wal);
    let mut wal = open(dir.path());
    append(&mut wal, 16..=17, 500, 1);
    wal.purge_to(17).unwrap();
    append(&mut wal, 18..=18, 500, 1);
    assert_eq!(indices(&wal), [18]);
}

#[test]
fn a_purge_beyond_the_end_restarts_the_log_there() {
    let dir = scratch();
    let mut wal = open(dir.path());
    wal.purge_to(99).unwrap();
    assert_eq!((wal.next_index(), wal.last_index()), (Some(100), None));
    append(&mut wal, 100..=110, 500, 0);
    wal.purge_to(1000).unwrap();
    assert_eq!((wal.next_index(), wal.purged_index()), (Some(1001), Some(1000)));
    assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
    drop(wal);
    let mut wal = open(dir.path());
    assert!(matches!(wal.append(111, b""), Err(Error::OutOfOrder { expected: 1001, .. })));
    append(&mut wal, 1001..=1002, 500, 0);
    drop(wal);
    assert_eq!(indices(&open(dir.path())), [1001, 1002]);
}

#[test]
fn slots_are_kept_and_their_names_checked() {
    let dir = scratch();
    let mut wal = open(dir.path());
    assert_eq!(wal.slot("vote").unwrap(), None);
    wal.put_slot("vote", b"term 3", true).unwrap();
    wal.put_slot("committed", b"1", false).unwrap();
    wal.put_slot("committed", b"2", false).unwrap();
    drop(wal);
    std::fs::write(dir.path().join("slot-vote.tmp"), b"left by a crash").unwrap();
    let mut wal = open(dir.path());
    assert_eq!(wal.slot("vote").unwrap().unwrap(), b"term 3");
    assert_eq!(wal.slot("committed").unwrap().unwrap(), b"2");
    assert!(!dir.path().join("slot-vote.tmp").exists());
    for name in ["", "../vote", "Vote", "a.tmp", "a-b", &"x".repeat(65)] {
        assert!(matches!(wal.put_slot(name, b"", true), Err(Error::SlotName { .. })), "{name}");
        assert!(matches!(wal.slot(name), Err(Error::SlotName { .. })), "{name}");
    }
}

#[test]
fn options_out_of_bounds_and_a_second_owner_are_refused() {
    let dir = scratch();
    for segment_bytes in [0, 4095, (1 << 30) + 1, u64::MAX] {
        let error = Wal::open(dir.path(), Options { segment_bytes }).unwrap_err();
        assert!(matches!(error, Error::SegmentBytes { .. }), "{error}");
    }
    let _wal = Wal::open(dir.path(), Options::default()).unwrap();
    assert!(matches!(Wal::open(dir.path(), Options::default()), Err(Error::Locked { .. })));
}

/// Puts another file under the active segment, so that the system refuses to fsync it or to write it.
fn sabotage(wal: &mut Wal, file: File) {
    let active = wal.active.as_mut().unwrap();
    let Segment { path, header, .. } = &*active.segment;
    active.segment = Arc::new(Segment { file, path: path.clone(), header: *header });
}

#[test]
fn after_a_failed_write_or_fsync_nothing_more_is_written() {
    let unsyncable = || File::options().read(true).write(true).open("/dev/null").unwrap();
    let unwritable = || File::open("/dev/zero").unwrap();
    for (file, fails_at_once) in [(unsyncable(), false), (unwritable(), true)] {
        let dir = scratch();
        let mut wal = open(dir.path());
        append(&mut wal, 1..=3, 10, 0);
        wal.sync().unwrap();
        sabotage(&mut wal, file);
        let appended = wal.append(4, b"lost");
        assert_eq!(appended.is_err(), fails_at_once);
        let error = appended.and_then(|()| wal.sync()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");

        let next = wal.next_index().unwrap();
        let later = [
            wal.append(next, b""),
            wal.sync(),
            wal.truncate_after(1),
            wal.purge_to(1),
            wal.put_slot("vote", b"", true),
        ];
        for result in later {
            let poisoned = result.unwrap_err();
            assert!(matches!(poisoned, Error::Poisoned { .. }), "{poisoned}");
            assert!(poisoned.to_string().contains(&error.to_string()), "{poisoned}");
        }
        assert_eq!(wal.read(1..4, usize::MAX).unwrap().len(), 3, "reading goes on");
        drop(wal);
        assert_eq!(indices(&open(dir.path())), [1, 2, 3], "and opening finds out");
    }
}

#[test]
fn a_record_damaged_while_the_log_is_open_is_noticed_by_the_reader() {
    let dir = scratch();
    let mut wal = open(dir.path());
    append(&mut wal, 1..=3, 50, 0);
    crate::testing::edit(&segments(dir.path())[0], |bytes| bytes[100] ^= 1);
    assert!(matches!(wal.read(1..4, usize::MAX), Err(Error::Corrupt { .. })));
    assert_eq!(wal.read(2..4, usize::MAX).unwrap().len(), 2);
}

/// Readers see whole records and no gaps while the log grows, is truncated and purged.
#[test]
fn readers_are_never_confused() {
    let dir = scratch();
    let mut wal = open(dir.path());
    append(&mut wal, 1..=10, 300, 0);
    thread::scope(|scope| {
        for _ in 0..2 {
            let reader = wal.reader();
            scope.spawn(move || {
                while reader.last_index().is_none_or(|last| last < 500) {
                    let records = reader.read(0..u64::MAX, 20_000).unwrap();
                    for pair in records.windows(2) {
                        assert_eq!(pair[0].0 + 1, pair[1].0);
                    }
                    for (index, bytes) in records {
                        assert!((0..3).any(|life| bytes == payload(index, 300, life)), "record {index}");
                    }
                }
            });
        }
        for round in 1..=50 {
            let next = wal.next_index().unwrap();
            append(&mut wal, next..=next + 14, 300, round % 3);
            wal.sync().unwrap();
            wal.truncate_after(next + 9).unwrap();
            wal.purge_to(next.saturating_sub(5)).unwrap();
        }
        assert!(wal.last_index().unwrap() >= 500);
    });
}
