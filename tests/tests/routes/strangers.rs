//! What a stranger learns of a tenant: nothing, from no answer and from no clock.

use std::time::Duration;

use serde_json::{Value, json};

use crate::classes::Caller;
use crate::stage::{Operation, Place, Stage, THERE, filled};

/// Where nothing is: another tenant, and less and less of what is missing.
const MISSING: [Place; 4] = [
    Place { tenant: "none", ..THERE },
    Place { workspace: "no", item: false, ..THERE },
    Place { network: "no", item: false, ..THERE },
    Place { item: false, ..THERE },
];

/// Pairs of an operation, for each of [`MISSING`] that is another path.
const PAIRS: usize = 14;

/// Those that are for tenants and their operators, of whatever kind.
fn guarded(operations: &[Operation]) -> impl Iterator<Item = &Operation> {
    let theirs = |operation: &&Operation| !operation.open && !operation.path.contains("/seca.region/");
    operations.iter().filter(theirs)
}

/// Where the operation is another path than where everything is.
fn elsewhere(operation: &Operation) -> impl Iterator<Item = &'static Place> {
    let there = filled(&operation.path, &THERE);
    MISSING.iter().filter(move |place| filled(&operation.path, place) != there)
}

/// Bodies in order, and not; for the right to send one it does not matter.
fn bodies(operation: &Operation) -> Vec<Value> {
    match operation.method.as_str() {
        "put" => vec![json!({ "spec": {} }), json!({ "spec": 5 }), json!([])],
        _ => vec![Value::Null],
    }
}

/// Status, headers and body are the same for each, and for all: but for the path that was asked.
pub(crate) async fn hear_the_same(stage: &Stage, operations: &[Operation]) {
    let token = Caller::Stranger.token(stage);
    let mut asked = 0;
    let mut first = None;
    for operation in guarded(operations) {
        for body in bodies(operation) {
            let there = stage.ask(operation, &THERE, token, &body).await;
            assert_eq!(there.status, 403, "{operation:?}: {there:?}");
            for place in elsewhere(operation) {
                let missing = stage.ask(operation, place, token, &body).await;
                assert_eq!(missing, there, "{operation:?} at {place:?} with {body}");
                asked += 1;
            }
            // Nor does it tell one route from another.
            let first = first.get_or_insert(there.body.clone());
            assert_eq!(there.body, *first, "{operation:?}");
        }
    }
    assert!(asked > 250, "{asked}");
}

/// Times of pairs: of what is there, and of what is not.
#[derive(Default)]
struct Pairs(Vec<(Duration, Duration)>);

impl Pairs {
    /// How far from even it is that one of a pair takes longer, in standard deviations of a fair coin. It knows no
    /// microseconds, and one slow answer is one.
    fn imbalance(&self) -> f64 {
        let longer = self.0.iter().filter(|(there, missing)| there > missing).count();
        let shorter = self.0.iter().filter(|(there, missing)| there < missing).count();
        let total = (longer + shorter) as f64;
        if total == 0.0 { 0.0 } else { (longer as f64 - shorter as f64) / total.sqrt() }
    }
}

/// A fair coin is that uneven once in a billion of times.
const MOST: f64 = 6.0;

/// Each pair is asked at once, one after the other, now this one first and now that one.
pub(crate) async fn wait_the_same(stage: &Stage, operations: &[Operation]) {
    let token = Caller::Stranger.token(stage);
    let mut all = Pairs::default();
    let mut groups = std::collections::BTreeMap::<String, Pairs>::new();
    for round in 0..PAIRS {
        for operation in guarded(operations) {
            let body = bodies(operation)[0].clone();
            for (number, place) in elsewhere(operation).enumerate() {
                let time = async |place| stage.timed(operation, place, token, &body).await.1;
                let pair = if (round + number) % 2 == 0 {
                    let there = time(&THERE).await;
                    (there, time(place).await)
                } else {
                    let missing = time(place).await;
                    (time(&THERE).await, missing)
                };
                let what = if place.tenant == THERE.tenant { "in a tenant" } else { "another tenant" };
                for group in [
                    operation.method.clone(),
                    what.to_owned(),
                    format!("{} {}", operation.method, operation.path),
                ] {
                    groups.entry(group).or_default().0.push(pair);
                }
                all.0.push(pair);
            }
        }
    }
    groups.insert("all".to_owned(), all);
    let told = groups.iter().filter(|(_, pairs)| pairs.imbalance().abs() > MOST);
    let told: Vec<_> = told
        .map(|(group, pairs)| format!("{group}: {:.1} of {}", pairs.imbalance(), pairs.0.len()))
        .collect();
    assert!(told.is_empty(), "how long it takes tells what is there: {told:?}");
    assert!(groups["all"].0.len() > 2000, "{}", groups["all"].0.len());
}
