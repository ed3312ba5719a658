//! The queue alone: bounds in bytes, merging, and its ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::queue::Queue;
use super::super::{Limits, Pressure, PushError};
use crate::store::testing::{batch, row};
use crate::store::{Batch, Write};

fn sized(index: u64, bytes: usize) -> Batch {
    let batch = batch(index, vec![Write::PutResource(row("vm", &"x".repeat(bytes)))]);
    assert!(batch.bytes() >= bytes && batch.bytes() < bytes + 1000);
    batch
}

fn queue(full_bytes: usize, transaction_bytes: usize) -> Queue {
    lingering(full_bytes, transaction_bytes, Duration::ZERO)
}

fn lingering(full_bytes: usize, transaction_bytes: usize, linger: Duration) -> Queue {
    Queue::new(None, Limits { soft_bytes: 20_000, hard_bytes: 40_000, full_bytes, transaction_bytes, linger })
}

#[tokio::test]
async fn neighbours_share_a_transaction_up_to_its_size() {
    let queue = queue(1 << 20, 25_000);
    for (index, bytes) in [(0, 10_000), (1, 10_000), (2, 10_000), (3, 90_000), (4, 10)] {
        queue.push(sized(index, bytes)).unwrap();
    }
    let mut taken = Vec::new();
    for _ in 0..4 {
        let batch = queue.next().await.unwrap();
        taken.push((batch.after(), batch.applied_index(), batch.writes().len()));
        queue.written(batch.bytes());
    }
    assert_eq!(taken, [(None, 1, 2), (Some(1), 2, 1), (Some(2), 3, 1), (Some(3), 4, 1)]);
    assert_eq!(queue.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_others_and_not_for_ever() {
    let linger = Duration::from_millis(100);
    let queue = Arc::new(lingering(1 << 20, 50_000, linger));
    let begin = Instant::now();
    let taking = Arc::clone(&queue);
    let taker = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Some(batch) = taking.next().await {
            taken.push((batch.applied_index(), begin.elapsed().as_millis()));
        }
        taken
    });
    let push = |index, bytes| queue.push(sized(index, bytes)).unwrap();
    push(0, 10);
    sleep(linger / 2).await;
    push(1, 10);
    sleep(linger).await;
    // 150 ms: enough for a transaction, in two pieces.
    push(2, 30_000);
    push(3, 30_000);
    push(4, 10);
    sleep(linger / 4).await;
    queue.close();
    assert_eq!(taker.await.unwrap(), [(1, 100), (2, 150), (4, 175)]);
}

#[tokio::test]
async fn pressure_follows_what_is_not_yet_durable() {
    let queue = queue(1 << 20, 1);
    let pressure = queue.pressure();
    let mut seen = Vec::new();
    for index in 0..5 {
        queue.push(sized(index, 10_000)).unwrap();
        seen.push(*pressure.borrow());
    }
    use Pressure::{Hard, Low, Soft};
    assert_eq!(seen, [Low, Soft, Soft, Hard, Hard]);
    seen.clear();
    for _ in 0..5 {
        let batch = queue.next().await.unwrap();
        // Taken is not written.
        let before = *pressure.borrow();
        queue.written(batch.bytes());
        seen.extend([before, *pressure.borrow()]);
    }
    assert_eq!(seen, [Hard, Hard, Hard, Soft, Soft, Soft, Soft, Low, Low, Low]);
}

#[tokio::test]
async fn a_full_queue_blocks_the_pusher_and_bounds_memory() {
    let (full, each) = (60_000, 10_000);
    let queue = Arc::new(queue(full, 1));
    let pushed = Arc::new(AtomicU64::new(0));
    let (pushing, counter) = (Arc::clone(&queue), Arc::clone(&pushed));
    let pusher = std::thread::spawn(move || {
        for index in 0..100 {
            pushing.push(sized(index, each)).unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(queue.bytes() < full + each + 1000, "{}", queue.bytes());
        let batch = queue.next().await.unwrap();
        queue.written(batch.bytes());
    }
    pusher.join().unwrap();
    assert_eq!(pushed.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn one_batch_larger_than_every_limit_goes_through() {
    let queue = queue(60_000, 1);
    queue.push(sized(0, 1 << 20)).unwrap();
    let batch = queue.next().await.unwrap();
    assert_eq!(batch.applied_index(), 0);
    queue.written(batch.bytes());
    queue.push(sized(1, 10)).unwrap();
}

#[tokio::test]
async fn a_closed_queue_is_emptied_first() {
    let queue = queue(1 << 20, 1);
    queue.push(sized(0, 10)).unwrap();
    queue.close();
    assert_eq!(queue.push(sized(1, 10)), Err(PushError::Ended));
    assert!(queue.next().await.is_some());
    assert!(queue.next().await.is_none());
}

#[tokio::test]
async fn an_end_frees_whoever_waits() {
    let queue = Arc::new(queue(10, 1));
    queue.push(sized(0, 100)).unwrap();
    let pushing = Arc::clone(&queue);
    let pusher = std::thread::spawn(move || pushing.push(sized(1, 10)));
    std::thread::sleep(Duration::from_millis(20));
    queue.end();
    assert_eq!(pusher.join().unwrap(), Err(PushError::Ended));
    assert!(queue.next().await.is_none(), "nothing is written after the end");
}

#[test]
fn a_gap_is_refused() {
    let queue = queue(1 << 20, 1);
    queue.push(sized(0, 10)).unwrap();
    assert_eq!(queue.push(sized(2, 10)), Err(PushError::Gap { expected: Some(0), found: Some(1) }));
    queue.push(sized(1, 10)).unwrap();
}
