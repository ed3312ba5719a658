//! Random operations against a map in memory. Every reopening is what `kill -9` leaves: nothing is flushed
//! first.

use std::{collections::BTreeMap, ops::Range};

use proptest::{collection::vec, prelude::*};

use crate::{
    Wal,
    testing::{all, open, payload, scratch},
};

#[derive(Debug, Clone)]
enum Op {
    Append {
        sizes: Vec<usize>,
    },
    Sync,
    /// Back from the last index by so many.
    Truncate {
        back: u64,
    },
    /// Forward from the first index by so many.
    Purge {
        forward: u64,
    },
    Read {
        from: u64,
        length: u64,
        max_bytes: usize,
    },
    Put {
        slot: bool,
        value: Vec<u8>,
        durable: bool,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => vec(prop_oneof![0..40_usize, 0..1500_usize, 3900..5000_usize], 1..8)
            .prop_map(|sizes| Op::Append { sizes }),
        2 => Just(Op::Sync),
        2 => (0..30_u64).prop_map(|back| Op::Truncate { back }),
        2 => (0..30_u64).prop_map(|forward| Op::Purge { forward }),
        2 => (0..40_u64, 0..20_u64, 0..6000_usize)
            .prop_map(|(from, length, max_bytes)| Op::Read { from, length, max_bytes }),
        1 => (any::<bool>(), vec(any::<u8>(), 0..50), any::<bool>())
            .prop_map(|(slot, value, durable)| Op::Put { slot, value, durable }),
        2 => Just(Op::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Model {
    start: Option<u64>,
    next: u64,
    records: BTreeMap<u64, Vec<u8>>,
    slots: BTreeMap<&'static str, Vec<u8>>,
    /// Makes the payloads of an index differ each time it is written.
    life: u8,
}

impl Model {
    /// Does the same to both.
    fn apply(&mut self, wal: &mut Wal, op: Op) {
        match op {
            Op::Append { sizes } => {
                for size in sizes {
                    self.life = self.life.wrapping_add(1);
                    let bytes = payload(self.next, size, self.life);
                    wal.append(self.next, &bytes).unwrap();
                    self.start = self.start.or(Some(self.next));
                    self.records.insert(self.next, bytes);
                    self.next += 1;
                }
            }
            Op::Sync => wal.sync().unwrap(),
            Op::Truncate { back } => {
                let last = self.next.saturating_sub(1 + back);
                wal.truncate_after(last).unwrap();
                self.records.retain(|index, _| *index <= last);
                if let Some(start) = self.start {
                    self.next = self.next.min(last + 1).max(start);
                }
            }
            Op::Purge { forward } => {
                let index = self.start.unwrap_or(0) + forward;
                wal.purge_to(index).unwrap();
                self.records.retain(|at, _| *at > index);
                // A log that has never had a record is no longer free to choose its first index.
                self.next = if self.start.is_some() { self.next.max(index + 1) } else { index + 1 };
                self.start = Some(index + 1);
            }
            Op::Read { from, length, max_bytes } => {
                let from = self.start.unwrap_or(0).saturating_sub(5) + from;
                let range = from..from + length;
                check_same(&wal.read(range.clone(), max_bytes).unwrap(), &self.read(range, max_bytes));
            }
            Op::Put { slot, value, durable } => {
                let name = if slot { "vote" } else { "committed" };
                wal.put_slot(name, &value, durable).unwrap();
                self.slots.insert(name, value);
            }
            Op::Reopen => {}
        }
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Vec<(u64, Vec<u8>)> {
        let mut bytes = 0;
        let mut records = Vec::new();
        for (index, payload) in self.records.range(range) {
            bytes += payload.len();
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push((*index, payload.clone()));
        }
        records
    }

    fn check(&self, wal: &Wal) {
        let records: Vec<_> = self.records.clone().into_iter().collect();
        assert_eq!(wal.first_index(), records.first().map(|(index, _)| *index));
        assert_eq!(wal.last_index(), records.last().map(|(index, _)| *index));
        assert_eq!(wal.next_index(), self.start.map(|_| self.next));
        check_same(&all(wal), &records);
        for name in ["vote", "committed"] {
            assert_eq!(wal.slot(name).unwrap().as_ref(), self.slots.get(name));
        }
    }
}

/// Equal, or a message that does not list every byte.
fn check_same(found: &[(u64, Vec<u8>)], expected: &[(u64, Vec<u8>)]) {
    let brief = |records: &[(u64, Vec<u8>)]| -> Vec<_> {
        records.iter().map(|(index, bytes)| (*index, bytes.len(), crc32fast::hash(bytes))).collect()
    };
    assert_eq!(brief(found), brief(expected), "(index, length, crc32)");
    assert!(found == expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_map_of_consecutive_records(ops in vec(op(), 1..40), first in 0..3_u64) {
        let dir = scratch();
        let mut wal = open(dir.path());
        let mut model = Model { next: first, ..Model::default() };
        for op in ops {
            if matches!(op, Op::Reopen) {
                drop(wal);
                wal = open(dir.path());
            }
            model.apply(&mut wal, op);
            model.check(&wal);
        }
        drop(wal);
        model.check(&open(dir.path()));
    }
}
