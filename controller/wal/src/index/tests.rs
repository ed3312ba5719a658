use super::*;
use crate::{dir::LogDir, testing::scratch};

/// Segments that begin at `firsts` and together hold records of ten bytes up to `last`.
fn index(dir: &LogDir, firsts: &[u64], last: u64) -> Index {
    let mut index = Index { start: firsts.first().copied(), ..Index::default() };
    for (sequence, first) in (1..).zip(firsts) {
        index.supersede(Arc::new(Segment::create(dir, sequence, *first, 4096).unwrap()), 4096);
        let next = firsts.get(usize::try_from(sequence).unwrap()).copied().unwrap_or(last + 1);
        (*first..next).for_each(|at| index.push(Entry { offset: u32::try_from(at).unwrap(), length: 10 }));
    }
    index
}

fn planned(index: &Index, range: Range<u64>, max_bytes: usize) -> Vec<Vec<u64>> {
    let spans = index.plan(range, max_bytes);
    spans
        .iter()
        .map(|span| {
            let indices: Vec<u64> = (span.first_index..).take(span.entries.len()).collect();
            let offsets: Vec<u64> = span.entries.iter().map(|entry| u64::from(entry.offset)).collect();
            assert_eq!(indices, offsets, "the right entries");
            indices
        })
        .collect()
}

#[test]
fn a_plan_keeps_to_the_range_the_live_records_and_the_bytes() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let mut index = index(&dir, &[1, 4, 6], 8);
    let none: [Vec<u64>; 0] = [];
    assert_eq!(planned(&index, 0..100, 1000), [vec![1, 2, 3], vec![4, 5], vec![6, 7, 8]]);
    assert_eq!(planned(&index, 3..5, 1000), [vec![3], vec![4]]);
    assert_eq!(planned(&index, 2..8, 30), [vec![2, 3], vec![4]], "exactly full");
    assert_eq!(planned(&index, 2..8, 29), [vec![2, 3]]);
    assert_eq!(planned(&index, 5..8, 0), [vec![5]], "never nothing");
    assert_eq!(planned(&index, 5..5, 1000), none);
    assert_eq!(planned(&index, 9..100, 1000), none);
    index.purge(5);
    assert_eq!(planned(&index, 0..7, 1000), [vec![5], vec![6]], "purged records are not read");
}

/// A first record over the limit uses all of it up: not even an empty one follows.
#[test]
fn nothing_follows_a_record_over_the_limit() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let mut index = index(&dir, &[1], 0);
    index.push(Entry { offset: 1, length: 10 });
    index.push(Entry { offset: 2, length: 0 });
    assert_eq!(planned(&index, 1..3, 9), [vec![1]]);
    assert_eq!(planned(&index, 1..3, 10), [vec![1, 2]]);
}

#[test]
fn a_new_segment_voids_what_is_at_or_after_its_first_index() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let mut index = index(&dir, &[1, 4, 6], 8);
    let void = index.supersede(Arc::new(Segment::create(&dir, 9, 5, 4096).unwrap()), 4096);
    assert_eq!(void.iter().map(|segment| segment.header.first_index).collect::<Vec<_>>(), [6]);
    assert_eq!((index.live(), index.next()), (1..5, Some(5)));
    let void = index.supersede(Arc::new(Segment::create(&dir, 10, 5, 4096).unwrap()), 4096);
    assert_eq!(void.len(), 1, "an empty segment is replaced");
    assert_eq!(planned(&index, 0..100, 1000), [vec![1, 2, 3], vec![4]]);
}

#[test]
fn a_purge_keeps_the_newest_segment_while_it_can_take_the_next_record() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    let mut index = index(&dir, &[1, 4, 6], 8);
    assert_eq!(index.purge(4).len(), 1);
    assert_eq!(index.purge(9).len(), 1);
    assert_eq!((index.segments.len(), index.live(), index.next()), (1, 9..9, Some(9)));
    assert_eq!(index.purge(20).len(), 1);
    assert_eq!((index.segments.len(), index.live(), index.next()), (0, 20..20, Some(20)));
}
