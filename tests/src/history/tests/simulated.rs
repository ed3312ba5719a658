//! Histories as clients of one true object would have them, and of one that errs.

use crate::Dice;

use super::*;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) clients: usize,
    pub(super) operations: usize,
    /// One in so many has an unknown outcome.
    pub(super) unknown_in: usize,
    /// One in so many PUTs is repeated by the cluster.
    pub(super) repeated_in: usize,
    /// One in so many answers is wrong; none: all are right.
    pub(super) wrong_in: Option<usize>,
}

/// What comes to an object: an operation takes effect, or a repeated PUT looks what has become of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Effect,
    Look,
}

/// Clients call one after the other, each for itself.
pub(super) fn simulate(shape: Shape, dice: &mut Dice) -> Vec<Operation> {
    let any = |dice: &mut Dice, from: Moment, until: Moment| {
        from + dice.roll(usize::try_from(until - from + 1).expect("it is short")) as Moment
    };
    let mut clocks = vec![0; shape.clients];
    let mut operations = Vec::new();
    let mut events = Vec::new();
    for place in 0..shape.operations {
        let client = dice.roll(shape.clients);
        let invoked = any(dice, clocks[client], clocks[client] + 20);
        let completed = any(dice, invoked, invoked + 60);
        clocks[client] = completed + 1;
        let unknown = dice.once_in(shape.unknown_in);
        let effect = match (unknown, dice.roll(3)) {
            (true, 0) => None,
            (true, 1) => Some(any(dice, completed, completed + 2000)),
            _ => Some(any(dice, invoked, completed)),
        };
        let action = dice.weighed(&[
            (4, Action::Get),
            (4, Action::Put { if_version: None }),
            (2, Action::Put { if_version: Some(0) }),
            (1, Action::Delete { if_version: None }),
            (1, Action::Delete { if_version: Some(0) }),
        ]);
        let outcome = if unknown { Outcome::Unknown } else { Outcome::Refused };
        let (key, number, request_id) = ("k".to_owned(), place as u64, None);
        operations.push(Operation {
            number,
            client,
            replica: 1,
            key,
            action,
            invoked,
            completed,
            outcome,
            request_id,
        });
        if let Some(effect) = effect {
            events.push((effect, place, Event::Effect));
            let repeated =
                !unknown && matches!(action, Action::Put { .. }) && dice.once_in(shape.repeated_in);
            if repeated {
                events.push((any(dice, effect, completed), place, Event::Look));
            }
        } else if let Action::Put { if_version: Some(version) }
        | Action::Delete { if_version: Some(version) } = &mut operations[place].action
        {
            *version = dice.roll(4) as u64;
        }
    }
    events.sort_unstable();
    let mut object = Object::Absent;
    let mut earlier = vec![object];
    for (now, place, event) in events {
        let operation = &mut operations[place];
        if event == Event::Look {
            look(operation, object);
            continue;
        }
        // Whoever sets a condition knows a version, and rarely one that is not the last.
        let current = version(object);
        let wanted = if dice.once_in(4) { dice.roll(4) as u64 } else { current };
        if let Action::Put { if_version: Some(version) } | Action::Delete { if_version: Some(version) } =
            &mut operation.action
        {
            *version = wanted;
        }
        let wrong = shape.wrong_in.is_some_and(|times| dice.once_in(times));
        let seen = if wrong { dice.pick(&earlier) } else { object };
        let (outcome, after) = answer(operation, seen, i64::try_from(now).expect("it is short"));
        if operation.outcome != Outcome::Unknown {
            operation.outcome = outcome;
        }
        // What errs forgets a write, or makes one of an old state.
        if !wrong || dice.once_in(2) {
            object = after;
            earlier.push(object);
        }
    }
    operations
}

fn version(object: Object) -> u64 {
    match object {
        Object::Any | Object::Absent => 0,
        Object::Present { version, .. } => version,
    }
}

fn shown(object: Object) -> Option<View> {
    match object {
        Object::Any | Object::Absent => None,
        Object::Present { version, value, created_ms } => Some(View {
            version,
            value: value.expect("all of them are known"),
            created_ms: created_ms.expect("it is known"),
        }),
    }
}

/// What `object` answers, and what becomes of it: written by hand, not with the specification under test.
fn answer(operation: &Operation, object: Object, now: i64) -> (Outcome, Object) {
    let there = object != Object::Absent;
    match operation.action {
        Action::Get => (shown(object).map_or(Outcome::Missing, Outcome::Found), object),
        Action::Put { if_version: Some(wanted) } if !there || version(object) != wanted => {
            (Outcome::ConditionFailed, object)
        }
        Action::Put { .. } => {
            let created_ms = shown(object).map_or(now, |view| view.created_ms);
            let view = View { version: version(object) + 1, value: operation.number, created_ms };
            let after = Object::Present {
                version: view.version,
                value: Some(view.value),
                created_ms: Some(created_ms),
            };
            (Outcome::Written { created: !there, view }, after)
        }
        Action::Delete { .. } if !there => (Outcome::Missing, object),
        Action::Delete { if_version: Some(wanted) } if version(object) != wanted => {
            (Outcome::ConditionFailed, object)
        }
        Action::Delete { .. } => (Outcome::Deleted, Object::Absent),
    }
}

/// The answer to a PUT that was repeated is of the object as it is by now.
fn look(operation: &mut Operation, object: Object) {
    if let Outcome::Written { created, view } = operation.outcome {
        let now = shown(object).filter(|now| now.created_ms == view.created_ms);
        if now != Some(view) {
            // Who finds it gone is not told whether it was new.
            operation.outcome = Outcome::Repeated { created: now.map(|_| created), view: now };
        }
    }
}
