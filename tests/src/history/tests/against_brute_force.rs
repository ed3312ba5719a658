//! The checker against one that tries everything, in every order, and knows no tricks.

use crate::Dice;

use super::simulated::{Shape, simulate};
use super::*;

/// A step that is to be taken once, or may be.
struct Turn {
    step: Step,
    from: Moment,
    until: Moment,
    must: bool,
    /// Not before the turn just before it.
    second: bool,
}

fn turns(operations: &[Operation]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for operation in operations {
        let (from, until) = (operation.invoked, operation.completed);
        for (turn, step) in Step::of(operation).into_iter().flatten().enumerate() {
            turns.push(Turn { step, from, until, must: true, second: turn > 0 });
        }
        let possible = Step::possible(operation);
        turns.extend(possible.map(|step| Turn {
            step,
            from,
            until: Moment::MAX,
            must: false,
            second: false,
        }));
    }
    turns
}

/// Whether some order of what is left follows on `object`.
fn any_order(turns: &[Turn], left: &mut Vec<usize>, object: Object) -> bool {
    if left.iter().all(|turn| !turns[*turn].must) {
        return true;
    }
    for place in 0..left.len() {
        let turn = &turns[left[place]];
        let early = turn.second && left.contains(&(left[place] - 1));
        let preceded =
            early || left.iter().any(|other| turns[*other].must && turns[*other].until < turn.from);
        let Some(after) = object.after(&turn.step).filter(|_| !preceded) else { continue };
        let taken = left.remove(place);
        let possible = any_order(turns, left, after);
        left.insert(place, taken);
        if possible {
            return true;
        }
    }
    false
}

#[test]
fn small_histories_are_judged_as_all_their_orders_say() {
    let mut dice = Dice::new(7);
    let (mut possible_ones, mut impossible_ones) = (0, 0);
    for round in 0..30_000 {
        let shape = Shape {
            clients: 1 + dice.roll(4),
            operations: 3 + dice.roll(5),
            repeated_in: dice.pick(&[3, 9]),
            unknown_in: dice.pick(&[2, 3, 8]),
            wrong_in: dice.pick(&[None, Some(1), Some(2), Some(3)]),
        };
        let history = simulate(shape, &mut dice);
        let turns = turns(&history);
        let expected = any_order(&turns, &mut (0..turns.len()).collect(), Object::Absent);
        assert!(expected || shape.wrong_in.is_some(), "round {round}: the true object contradicts itself");
        let told: Vec<String> = history.iter().map(Operation::to_string).collect();
        assert_eq!(possible(&history), expected, "round {round}: {told:#?}");
        *if expected { &mut possible_ones } else { &mut impossible_ones } += 1;
    }
    assert!(possible_ones > 5_000 && impossible_ones > 5_000, "{possible_ones}, {impossible_ones}");
}

/// An explanation is impossible whatever was before and whatever the others did, and none of it can be left out.
#[test]
fn explanations_are_as_short_as_can_be() {
    let mut dice = Dice::new(11);
    let (mut explained, mut from_the_first) = (0, 0);
    for _ in 0..3_000 {
        let shape = Shape { clients: 3, operations: 9, unknown_in: 4, repeated_in: 8, wrong_in: Some(3) };
        let history = simulate(shape, &mut dice);
        let Some(why) = explain(&history) else { continue };
        explained += 1;
        let known = |one: &Operation| why.operations.iter().any(|other| other.number == one.number);
        let begun: Vec<Operation> = history.iter().filter(|one| one.invoked <= why.until).cloned().collect();
        // What had ended before it began has no part in it; unless that is all that there is.
        let (beginning, part) = if why.from_the_first {
            (Object::Absent, begun)
        } else {
            (Object::Any, explain::since(&begun, why.from))
        };
        let impossible = |left_out: Option<u64>| {
            let kept = part.iter().filter_map(|one| match one.outcome {
                Outcome::Unknown | Outcome::Refused => Some(one.clone()),
                _ if known(one) && left_out != Some(one.number) => Some(one.clone()),
                _ => check::forget(one),
            });
            explain::impossible(beginning, &kept.collect::<Vec<_>>())
        };
        from_the_first += usize::from(why.from_the_first);
        assert!(impossible(None), "{why}");
        for operation in &why.operations {
            assert!(!impossible(Some(operation.number)), "without {operation} as well:\n{why}");
        }
    }
    assert!(explained > 500 && (1..explained).contains(&from_the_first), "{explained}, {from_the_first}");
}
