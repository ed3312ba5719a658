//! Thousands of operations of twenty clients on one key, with unknown outcomes among them.

use crate::Dice;

use super::simulated::{Shape, Simulated, simulate};
use super::*;

const LARGE: Shape = Shape { clients: 20, operations: 4_000, unknown_in: 80, wrong_in: None };

/// The work grows as the history does, not as the number of its orders.
#[test]
fn a_large_history_is_judged_with_little_work() {
    for seed in 0..6 {
        let Simulated { operations, .. } = simulate(LARGE, &mut Dice::new(seed));
        let unknown = operations.iter().filter(|operation| operation.outcome == Outcome::Unknown).count();
        match check(&operations) {
            Verdict::Linearizable { order, configurations } => {
                walk(&operations, &order);
                assert!(configurations < 50 * LARGE.operations, "seed {seed}: {configurations}");
                eprintln!("seed {seed}: {unknown} unknown, {configurations} configurations");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

/// Position of a GET of `value`, and of a write that took effect after that value was there and was acknowledged.
fn overwritten(history: &Simulated, dice: &mut Dice) -> Option<(usize, usize)> {
    let Simulated { operations, effects } = history;
    let get = dice.roll(operations.len());
    let Outcome::Found(view) = operations[get].outcome else { return None };
    let written = effects[usize::try_from(view.value).expect("it is small")]?;
    let later = (0..operations.len()).find(|position| {
        operations[*position].took_effect() && effects[*position].is_some_and(|effect| effect > written)
    })?;
    Some((get, later))
}

#[test]
fn one_wrong_answer_among_thousands_is_found_and_explained() {
    let (mut stale, mut unheard_of, mut lost) = (0, 0, 0);
    for seed in 0..12 {
        let mut dice = Dice::new(100 + seed);
        let shape = Shape { operations: 1_500, unknown_in: 60, ..LARGE };
        let mut history = simulate(shape, &mut dice);
        let what = seed % 3;
        let place = loop {
            let place = dice.roll(history.operations.len());
            match (what, history.operations[place].outcome) {
                // Asked after something newer was acknowledged.
                (0, _) => {
                    let Some((get, later)) = overwritten(&history, &mut dice) else { continue };
                    let from = history.operations[later].completed + 1;
                    let get = &mut history.operations[get];
                    get.invoked = get.invoked.max(from);
                    get.completed = get.completed.max(from + 10);
                    stale += 1;
                    break usize::try_from(get.number).expect("it is small");
                }
                (1, Outcome::Found(view)) => {
                    let view = View { value: 1_000_000, ..view };
                    history.operations[place].outcome = Outcome::Found(view);
                    unheard_of += 1;
                    break place;
                }
                // Its effect is left out of what all others saw.
                (2, Outcome::Written { created, view }) => {
                    let view = View { version: view.version + 1_000, ..view };
                    history.operations[place].outcome = Outcome::Written { created, view };
                    lost += 1;
                    break place;
                }
                _ => {}
            }
        };
        let why = explain(&history.operations).expect("it is impossible");
        eprintln!("seed {seed}, operation {place}:\n{why}");
        assert!(why.operations.len() <= 6, "{why}");
        assert!(
            why.operations.iter().any(|one| one.number == place as u64),
            "not of operation {place}: {why}"
        );
    }
    assert!(stale > 0 && unheard_of > 0 && lost > 0);
}
