//! Histories that anybody can judge.

use super::*;

/// Everything in these was created at this time, unless it says otherwise.
const BORN: i64 = 1_000;

fn view(version: u64, value: u64) -> View {
    View { version, value, created_ms: BORN }
}

fn operation(number: u64, action: Action, (invoked, completed): (u64, u64), outcome: Outcome) -> Operation {
    let (key, request_id) = ("k".to_owned(), None);
    Operation { number, client: 1, replica: 1, key, action, invoked, completed, outcome, request_id }
}

fn put(number: u64, time: (u64, u64), outcome: Outcome) -> Operation {
    operation(number, Action::Put { if_version: None }, time, outcome)
}

fn put_if(number: u64, version: u64, time: (u64, u64), outcome: Outcome) -> Operation {
    operation(number, Action::Put { if_version: Some(version) }, time, outcome)
}

fn get(number: u64, time: (u64, u64), outcome: Outcome) -> Operation {
    operation(number, Action::Get, time, outcome)
}

fn delete(number: u64, time: (u64, u64), outcome: Outcome) -> Operation {
    operation(number, Action::Delete { if_version: None }, time, outcome)
}

fn delete_if(number: u64, version: u64, time: (u64, u64), outcome: Outcome) -> Operation {
    operation(number, Action::Delete { if_version: Some(version) }, time, outcome)
}

/// A PUT's answer: it made version `version` (the first: it created).
fn wrote(version: u64, value: u64) -> Outcome {
    Outcome::Written { created: version == 1, view: view(version, value) }
}

fn found(version: u64, value: u64) -> Outcome {
    Outcome::Found(view(version, value))
}

use Outcome::{ConditionFailed, Deleted, Missing, Refused, Unknown};

#[test]
fn what_one_object_can_have_answered_is_possible() {
    let later = |outcome: Outcome| match outcome {
        Outcome::Written { created, view } => {
            Outcome::Written { created, view: View { created_ms: BORN + 5, ..view } }
        }
        other => other,
    };
    let cases: Vec<(&str, Vec<Operation>)> = vec![
        ("nothing", vec![]),
        (
            "one after the other",
            vec![
                get(1, (0, 1), Missing),
                put(2, (2, 3), wrote(1, 2)),
                put_if(3, 1, (4, 5), wrote(2, 3)),
                get(4, (6, 7), found(2, 3)),
                delete_if(5, 2, (8, 9), Deleted),
                delete(6, (10, 11), Missing),
                put(7, (12, 13), later(wrote(1, 7))),
            ],
        ),
        (
            "two at once, the one that began later first",
            vec![put(1, (0, 10), wrote(2, 1)), put(2, (1, 9), wrote(1, 2))],
        ),
        (
            "a read beside a write sees it or not",
            vec![
                put(1, (0, 1), wrote(1, 1)),
                put(2, (2, 9), wrote(2, 2)),
                get(3, (3, 4), found(2, 2)),
                get(4, (3, 8), found(1, 1)),
            ],
        ),
        ("unknown, and never seen", vec![put(1, (0, 1), Unknown), get(2, (2, 3), Missing)]),
        ("unknown, and seen", vec![put(1, (0, 1), Unknown), get(2, (2, 3), found(1, 1))]),
        (
            "unknown, and in effect long after its client gave up",
            vec![
                put(1, (0, 1), Unknown),
                put(2, (2, 3), wrote(1, 2)),
                get(3, (4, 5), found(1, 2)),
                get(4, (6, 7), found(2, 1)),
            ],
        ),
        (
            "a version that only an unknown write explains",
            vec![put(1, (0, 1), wrote(1, 1)), put(2, (0, 1), Unknown), put(3, (2, 3), wrote(3, 3))],
        ),
        (
            "an unknown deletion, late",
            vec![
                put(1, (0, 1), wrote(1, 1)),
                delete(2, (2, 3), Unknown),
                get(3, (4, 5), found(1, 1)),
                get(4, (6, 7), Missing),
            ],
        ),
        (
            "a condition that another's write made fail",
            vec![
                put(1, (0, 1), wrote(1, 1)),
                put(2, (2, 9), wrote(2, 2)),
                put_if(3, 1, (3, 8), ConditionFailed),
                delete_if(4, 1, (10, 11), ConditionFailed),
            ],
        ),
        (
            "repeated by the cluster after another wrote",
            vec![
                put(1, (0, 20), Outcome::Repeated { created: Some(true), view: Some(view(2, 2)) }),
                put(2, (5, 6), wrote(2, 2)),
            ],
        ),
        (
            "repeated by the cluster after it was deleted",
            vec![
                put(1, (0, 20), Outcome::Repeated { created: None, view: None }),
                delete(2, (5, 6), Deleted),
                get(3, (21, 22), Missing),
            ],
        ),
        (
            "created by an unknown write, and told of later",
            vec![put(1, (0, 1), Unknown), put(2, (2, 3), wrote(2, 2)), get(3, (4, 5), found(2, 2))],
        ),
    ];
    for (what, history) in cases {
        assert!(possible(&history), "{what}: {}", explain(&history).expect("why"));
        assert!(explain(&history).is_none());
    }
}

#[test]
fn what_no_object_can_have_answered_is_not() {
    let born = |outcome: Outcome, created_ms| match outcome {
        Outcome::Found(view) => Outcome::Found(View { created_ms, ..view }),
        Outcome::Written { created, view } => Outcome::Written { created, view: View { created_ms, ..view } },
        other => other,
    };
    let first = || put(1, (0, 1), wrote(1, 1));
    // What, and which of its operations have to be told of.
    let cases: Vec<(&str, Vec<Operation>, &[u64])> = vec![
        (
            "a lost update: two replace version 1",
            vec![first(), put_if(2, 1, (2, 9), wrote(2, 2)), put_if(3, 1, (2, 9), wrote(2, 3))],
            &[2, 3],
        ),
        (
            "a lost update under one condition, of which nobody tells the version",
            vec![
                first(),
                put_if(2, 1, (2, 9), Outcome::Repeated { created: Some(false), view: None }),
                put_if(3, 1, (2, 9), Outcome::Repeated { created: Some(false), view: None }),
            ],
            &[2, 3],
        ),
        ("a stale read", vec![first(), put(2, (2, 3), wrote(2, 2)), get(3, (4, 5), found(1, 1))], &[2, 3]),
        (
            "a read that is older than an earlier one",
            vec![
                first(),
                put(2, (2, 99), wrote(2, 2)),
                get(3, (4, 5), found(2, 2)),
                get(4, (6, 7), found(1, 1)),
            ],
            &[3, 4],
        ),
        ("a value that nobody wrote", vec![first(), get(2, (2, 3), found(2, 77))], &[2]),
        (
            "a value that was refused for certain",
            vec![first(), put(2, (2, 3), Refused), get(3, (4, 5), found(2, 2))],
            &[3],
        ),
        (
            "a value from before it was written",
            vec![get(1, (0, 1), found(1, 2)), put(2, (2, 3), Unknown)],
            &[1],
        ),
        ("an acknowledged creation that is lost", vec![first(), get(2, (2, 3), Missing)], &[1, 2]),
        (
            "an acknowledged change that is lost",
            vec![first(), put(2, (2, 3), wrote(2, 2)), put(3, (4, 5), wrote(2, 3))],
            &[2, 3],
        ),
        ("two creations at once", vec![put(1, (0, 9), wrote(1, 1)), put(2, (0, 9), wrote(1, 2))], &[1, 2]),
        (
            "a deletion that is undone",
            vec![first(), delete(2, (2, 3), Deleted), get(3, (4, 5), found(1, 1))],
            &[2, 3],
        ),
        (
            "two deletions of one object",
            vec![first(), delete(2, (2, 9), Deleted), delete(3, (2, 9), Deleted)],
            &[2, 3],
        ),
        (
            "a deletion that was not there, and was",
            vec![first(), put(2, (2, 3), wrote(2, 2)), delete(3, (4, 5), Missing)],
            &[3],
        ),
        (
            "a version that goes back",
            vec![
                first(),
                put(2, (2, 3), wrote(2, 2)),
                put(3, (4, 5), wrote(3, 3)),
                put(4, (6, 7), wrote(3, 4)),
            ],
            &[3, 4],
        ),
        ("a version that leaps", vec![first(), put(2, (2, 3), wrote(3, 2))], &[2]),
        (
            "an unknown write that takes effect twice",
            vec![
                first(),
                put(2, (2, 3), Unknown),
                get(3, (4, 5), found(2, 2)),
                put(4, (6, 7), wrote(3, 4)),
                put(6, (6, 7), Unknown),
                get(5, (8, 9), found(4, 2)),
            ],
            &[3, 5],
        ),
        (
            "a repeated write that takes effect twice",
            vec![
                put(1, (0, 20), Outcome::Repeated { created: Some(true), view: Some(view(3, 1)) }),
                put(2, (5, 6), wrote(2, 2)),
            ],
            &[1],
        ),
        (
            "an unknown deletion that takes effect twice",
            vec![
                first(),
                delete(2, (2, 3), Unknown),
                get(3, (4, 5), Missing),
                put(4, (6, 7), born(wrote(1, 4), BORN + 5)),
                get(5, (8, 9), Missing),
            ],
            &[4, 5],
        ),
        (
            "a condition that held all the time",
            vec![first(), put_if(2, 1, (2, 3), ConditionFailed), get(3, (4, 5), found(1, 1))],
            &[1, 2],
        ),
        (
            "a condition that did not hold",
            vec![first(), put(2, (2, 3), wrote(2, 2)), put_if(3, 1, (4, 5), wrote(3, 3))],
            &[3],
        ),
        (
            "a deletion whose condition did not hold",
            vec![first(), put(2, (2, 3), wrote(2, 2)), delete_if(3, 1, (4, 5), Deleted)],
            &[3],
        ),
        (
            "replaced where nothing was",
            vec![put(1, (0, 1), Outcome::Written { created: false, view: view(1, 1) })],
            &[1],
        ),
        (
            "an object whose birth changes",
            vec![first(), get(2, (2, 3), born(found(1, 1), BORN + 1))],
            &[1, 2],
        ),
    ];
    for (what, history, told) in cases {
        assert!(!possible(&history), "{what} passed");
        let why = explain(&history).expect("why");
        let numbers: Vec<u64> = why.operations.iter().map(|operation| operation.number).collect();
        assert!(told.iter().all(|number| numbers.contains(number)), "{what}: {told:?} are not all in\n{why}");
        assert!(numbers.len() <= told.len().max(3), "{what}: {told:?} would do:\n{why}");
        assert!(why.to_string().contains("k is not linearizable: from "), "{why}");
    }
}

#[test]
fn an_explanation_names_what_it_shows() {
    let history = [put(1, (0, 1), wrote(1, 1)), put(2, (2, 3), Refused), get(3, (4, 5), found(2, 2))];
    let why = explain(&history).expect("why");
    assert_eq!(why.named, [history[1].clone()], "{why}");
    let history = [put(1, (0, 1), wrote(1, 1)), get(2, (2, 3), found(2, 77))];
    let why = explain(&history).expect("why");
    assert_eq!(why.unheard_of, [77]);
    assert!(why.to_string().contains("nobody was asked to write value 77"), "{why}");
}
