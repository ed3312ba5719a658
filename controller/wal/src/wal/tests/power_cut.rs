//! A power cut during an fsync: of the sectors being written, any may have reached the disk and any may not.

use std::fs;

use proptest::{collection::vec, prelude::*};

use crate::{
    Options, Wal,
    testing::{all, append, copy, payload, scratch, segments},
};

const SECTOR: usize = 512;
const ONE_SEGMENT: Options = Options { segment_bytes: 128 << 10 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_synced_survives_and_the_rest_is_a_prefix(
        synced in vec(vec(0..1200_usize, 1..5), 1..5),
        unsynced in vec(0..3000_usize, 1..12),
        reached in vec(any::<bool>(), 256),
        kept_seal in any::<bool>(),
    ) {
        let dir = scratch();
        let mut wal = Wal::open(dir.path(), ONE_SEGMENT).unwrap();
        let mut index = 0;
        for batch in synced {
            for length in batch {
                index += 1;
                wal.append(index, &payload(index, length, 0)).unwrap();
            }
            wal.sync().unwrap();
        }
        let last_synced = index;
        let path = segments(dir.path()).remove(0);
        let mut before = fs::read(&path).unwrap();
        if !kept_seal {
            // The seal is written after the fsync, so it may itself be among what is lost.
            let seal = before.iter().rposition(|byte| *byte != 0).unwrap() / 16 * 16;
            before[seal..seal + 16].fill(0);
        }
        for length in unsynced {
            index += 1;
            wal.append(index, &payload(index, length, 0)).unwrap();
        }
        let written = all(&wal);
        let cut = copy(dir.path());
        drop(wal);
        let mut after = fs::read(&path).unwrap();
        for ((new, old), reached) in after.chunks_mut(SECTOR).zip(before.chunks(SECTOR)).zip(reached) {
            if !reached {
                new.copy_from_slice(old);
            }
        }
        fs::write(&segments(cut.path())[0], after).unwrap();

        let mut wal = Wal::open(cut.path(), ONE_SEGMENT).unwrap();
        let found = all(&wal);
        prop_assert!(found.len() as u64 >= last_synced);
        prop_assert!(written.starts_with(&found));
        // The next life writes other records over the same indices; nothing of the old batch comes back.
        let next = wal.next_index().unwrap();
        append(&mut wal, next..=next + 3, 700, 9);
        let records = all(&wal);
        drop(wal);
        prop_assert_eq!(all(&Wal::open(cut.path(), ONE_SEGMENT).unwrap()), records);
    }
}
