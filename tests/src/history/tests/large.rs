//! Thousands of operations of twenty clients on one key, with unknown outcomes among them.

use crate::Dice;

use super::simulated::{Shape, simulate};
use super::*;

const LARGE: Shape =
    Shape { clients: 20, operations: 4_000, unknown_in: 80, repeated_in: 100, wrong_in: None };

/// The work grows as the history does, not as the number of its orders.
#[test]
fn a_large_history_is_judged_with_little_work() {
    for seed in 0..3 {
        let operations = simulate(LARGE, &mut Dice::new(seed));
        let unknown = operations.iter().filter(|operation| operation.outcome == Outcome::Unknown).count();
        match check(&operations) {
            Verdict::Linearizable { order, configurations } => {
                walk(&operations, &order);
                eprintln!("seed {seed}: {unknown} unknown, {configurations} configurations");
                assert!(configurations < 50 * LARGE.operations, "seed {seed}: {configurations}");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}
