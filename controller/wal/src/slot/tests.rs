use std::fs;

use tempfile::TempDir;

use super::*;
use crate::testing::{edit, scratch};

const NAME: &str = "slot-vote";

fn fresh(value: &[u8]) -> (TempDir, LogDir, Slot) {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let slot = Slot::create(&dir, NAME, value).unwrap();
    (scratch, dir, slot)
}

fn reopened(dir: &LogDir) -> Vec<u8> {
    Slot::open(dir, NAME).unwrap().value().to_vec()
}

#[test]
fn golden_bytes() {
    let cell = encode(NAME, 3, b"term 9").unwrap();
    let hex: String = cell.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "52454d50534c4f5414ef22e00600000003000000000000005c9c2b07000000007465726d2039");
}

#[test]
fn the_last_put_wins_durable_or_not() {
    let (_scratch, dir, mut slot) = fresh(b"first");
    assert_eq!(reopened(&dir), b"first");
    for (value, durable) in [
        (&b"a"[..], true),
        (b"b", false),
        (b"c", false),
        (b"d", true),
        (b"", true),
        (&[7; MAX_SLOT_BYTES], false),
    ] {
        slot.put(value, durable).unwrap();
        assert_eq!(slot.value(), value);
        let copy = crate::testing::copy(dir.path());
        assert_eq!(reopened(&LogDir::open(copy.path()).unwrap()), value);
    }
}

#[test]
fn a_value_over_the_limit_is_refused_and_changes_nothing() {
    let (_scratch, dir, mut slot) = fresh(b"kept");
    let error = slot.put(&[0; MAX_SLOT_BYTES + 1], true).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 4065, limit: 4064, .. }), "{error}");
    assert_eq!((slot.value(), reopened(&dir)), (&b"kept"[..], b"kept".to_vec()));
}

/// A durable put that stops after any byte of either copy leaves the value before or the value after.
#[test]
fn a_torn_durable_put_leaves_one_of_the_two_values() {
    let (scratch, dir, mut slot) = fresh(b"before");
    let path = scratch.path().join(NAME);
    let before = fs::read(&path).unwrap();
    slot.put(b"after!", true).unwrap();
    let after = fs::read(&path).unwrap();
    let cell = HEAD_BYTES + b"after!".len();
    for stop in (0..=cell).chain(CELL_BYTES..=CELL_BYTES + cell) {
        fs::write(&path, [&after[..stop], &before[stop..]].concat()).unwrap();
        let expected: &[u8] = if stop < cell { b"before" } else { b"after!" };
        assert_eq!(reopened(&dir), expected, "stopped after {stop} bytes");
    }
}

#[test]
fn a_torn_lazy_put_falls_back_to_the_durable_value() {
    let (scratch, dir, mut slot) = fresh(b"old");
    slot.put(b"durable", true).unwrap();
    slot.put(b"lazy", false).unwrap();
    assert_eq!(
        reopened(&crate::dir::LogDir::open(crate::testing::copy(dir.path()).path()).unwrap()),
        b"lazy"
    );
    edit(&scratch.path().join(NAME), |bytes| bytes[2 * CELL_BYTES + HEAD_BYTES] ^= 1);
    assert_eq!(reopened(&dir), b"durable");
}

/// Not only detected but healed, so that the next damage finds two good copies again.
#[test]
fn one_damaged_copy_never_brings_back_an_older_value() {
    let (scratch, dir, mut slot) = fresh(b"older");
    slot.put(b"newest", true).unwrap();
    for copy in [0, CELL_BYTES, 0, CELL_BYTES] {
        edit(&scratch.path().join(NAME), |bytes| bytes[copy + 20] ^= 0x10);
        assert_eq!(reopened(&dir), b"newest");
    }
}

#[test]
fn damage_to_both_copies_and_a_file_of_another_name_are_corrupt() {
    let (scratch, dir, mut slot) = fresh(b"value");
    slot.put(b"lazy", false).unwrap();
    fs::copy(scratch.path().join(NAME), scratch.path().join("slot-other")).unwrap();
    let error = Slot::open(&dir, "slot-other").unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    edit(&scratch.path().join(NAME), |bytes| {
        bytes[HEAD_BYTES] ^= 1;
        bytes[CELL_BYTES + HEAD_BYTES] ^= 1;
    });
    let error = Slot::open(&dir, NAME).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "a draft alone does not stand in: {error}");
}
