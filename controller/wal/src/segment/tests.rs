use super::*;
use crate::testing::scratch;

#[test]
fn names_sort_like_sequences_and_foreign_names_are_not_ours() {
    assert_eq!(file_name(7), "00000000000000000007.wal");
    assert_eq!(sequence_in(&file_name(u64::MAX)), Some(u64::MAX));
    for foreign in
        ["7.wal", "00000000000000000007.wal.tmp", "0000000000000000000x.wal", "+0000000000000000007.wal"]
    {
        assert_eq!(sequence_in(foreign), None, "{foreign}");
    }
}

#[test]
fn every_segment_has_its_own_salt() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let salt = |sequence| Segment::create(&dir, sequence, 1, 4096).unwrap().header.salt;
    assert_ne!(salt(1), salt(2));
}

#[test]
fn a_renamed_or_cut_off_segment_is_corrupt() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    Segment::create(&dir, 1, 1, 4096).unwrap();
    Segment::open(scratch.path(), 1).unwrap();
    std::fs::rename(scratch.path().join(file_name(1)), scratch.path().join(file_name(2))).unwrap();
    let error = Segment::open(scratch.path(), 2).unwrap_err();
    assert!(error.to_string().contains("it is segment 1"), "{error}");
    std::fs::write(scratch.path().join(file_name(2)), [0; 63]).unwrap();
    let error = Segment::open(scratch.path(), 2).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

/// An fsync is fast only where zeros were really written before: the tail must never run out of them.
#[test]
fn zeros_are_always_ahead_of_the_tail() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let capacity = 5 * ZERO_AHEAD_BYTES / 2;
    let mut active =
        Active::new(Arc::new(Segment::create(&dir, 1, 1, capacity).unwrap()), HEADER_BYTES, capacity);
    let payload = [1; 50_000];
    for index in 1.. {
        if !active.fits(50_000) {
            break;
        }
        active.append(index, &payload, 50_000).unwrap();
        assert!(active.end + FRAME_HEAD_BYTES <= active.zeroed, "room for the seal");
        assert!(active.zeroed <= capacity);
        active.sync().unwrap();
        assert_eq!(active.segment.length().unwrap(), capacity, "the file never grows");
    }
    assert_eq!(active.zeroed, capacity);
}

#[test]
fn a_record_over_the_segment_size_gets_a_segment_it_fits() {
    for length in [0, 4000, 4016, 4017, 1 << 22] {
        let capacity = capacity_for(4096, length);
        assert!(HEADER_BYTES + frame_bytes(length) + FRAME_HEAD_BYTES <= capacity);
    }
    assert_eq!(capacity_for(4096, 4000), 4096);
}
