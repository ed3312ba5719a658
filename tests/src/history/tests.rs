mod against_brute_force;
mod known;
mod large;
mod simulated;

use super::object::Step;
use super::*;

/// Whether the history is possible, by the checker; an order that it gives is walked again.
fn possible(operations: &[Operation]) -> bool {
    match check(operations) {
        Verdict::Linearizable { order, .. } => {
            walk(operations, &order);
            true
        }
        Verdict::Contradictory { .. } => false,
        Verdict::TooHard => panic!("too hard"),
    }
}

/// Does what an order says, one operation after the other, and holds each against what was answered and when.
fn walk(operations: &[Operation], order: &[u64]) {
    let mut object = Object::Absent;
    let mut last_began = 0;
    let mut done: Vec<(u64, usize)> = Vec::new();
    for number in order {
        let operation = operations.iter().find(|operation| operation.number == *number).expect("it is one");
        let turn = done.iter().filter(|(other, _)| other == number).count();
        done.push((*number, turn));
        let step = Step::of(operation)[turn.min(1)].or_else(|| Step::possible(operation));
        let step = step.expect("it did something");
        object =
            object.after(&step).unwrap_or_else(|| panic!("{operation}\n  does not follow on {object:?}"));
        // What is known to have ended before one began that stands before it, stands wrong.
        let ended = if operation.outcome == Outcome::Unknown { Moment::MAX } else { operation.completed };
        assert!(ended >= last_began, "{operation}\n  ended before one began that stands before it");
        last_began = last_began.max(operation.invoked);
    }
    for operation in operations {
        let steps = Step::of(operation).iter().flatten().count();
        let turns = done.iter().filter(|(number, _)| *number == operation.number).count();
        let most = usize::from(Step::possible(operation).is_some()).max(steps);
        assert!((steps..=most).contains(&turns), "{turns} turns of {operation}");
    }
}
