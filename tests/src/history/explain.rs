//! Why a history cannot be: as few of its operations as contradict one another.
//!
//! A history is made weaker as long as it stays impossible: first by all that came after the moment at which it became so;
//! then by all that had ended before some moment, which may have made of the object whatever it will; then by what is known of
//! operations, one part after the other. A read that is forgotten is as none; a write that is forgotten may have taken effect at
//! any later moment, or never. What is left cannot be explained by anything that the others may have done.

use std::collections::BTreeSet;
use std::fmt;

use super::check::{check_from, forget};
use super::{Moment, Object, Operation, Outcome, Verdict, check};

/// How much is looked at for a weaker history; where that is too little it counts as possible.
const MOST_CONFIGURATIONS: usize = 5_000;

/// How many weaker histories are tried.
const MOST_ATTEMPTS: usize = 4_000;

/// Operations that cannot all have been answered by one object.
#[derive(Debug, Clone)]
pub struct Contradiction {
    /// Which object's.
    pub key: String,
    /// When the first of them was invoked.
    pub from: Moment,
    /// When the last of them was answered.
    pub until: Moment,
    /// They, in the order in which they were invoked.
    pub operations: Vec<Operation>,
    /// Others whose values they show.
    pub named: Vec<Operation>,
    /// Values that they show and nobody was asked to write.
    pub unheard_of: Vec<u64>,
    /// How many more there are of this key.
    pub others: usize,
    /// It matters that there was nothing in the beginning.
    pub from_the_first: bool,
}

/// What contradicts itself in the operations of one key, if anything does.
///
/// # Panics
/// As [`check`], and when the history is too hard to judge: more keys, or fewer unknown outcomes of each, make it easier.
pub fn explain(operations: &[Operation]) -> Option<Contradiction> {
    match check(operations) {
        Verdict::Linearizable { .. } => return None,
        Verdict::Contradictory { .. } => {}
        Verdict::TooHard => panic!(
            "the history of {} ({} operations, {} of unknown outcome) is too hard to judge; use more keys",
            operations.first().map_or("nothing", |operation| &operation.key),
            operations.len(),
            operations.iter().filter(|operation| operation.outcome == Outcome::Unknown).count(),
        ),
    }
    let (beginning, part) = since_possible(until_impossible(operations));
    let mut contradicting = weakest(beginning, part);
    contradicting.retain(is_known);
    contradicting.sort_by_key(|operation| operation.invoked);
    let numbers: BTreeSet<u64> = contradicting.iter().map(|operation| operation.number).collect();
    let values: BTreeSet<u64> = contradicting.iter().filter_map(value).collect();
    let named =
        |operation: &&Operation| values.contains(&operation.number) && !numbers.contains(&operation.number);
    let named: Vec<Operation> = operations.iter().filter(named).cloned().collect();
    let heard_of = |value: &u64| operations.iter().any(|operation| operation.number == *value);
    Some(Contradiction {
        key: operations.first().map_or_else(String::new, |operation| operation.key.clone()),
        from: contradicting.iter().map(|operation| operation.invoked).min().unwrap_or(0),
        until: contradicting.iter().map(|operation| operation.completed).max().unwrap_or(0),
        others: operations.len() - contradicting.len() - named.len(),
        unheard_of: values.into_iter().filter(|value| !heard_of(value)).collect(),
        operations: contradicting,
        named,
        from_the_first: beginning == Object::Absent,
    })
}

/// The value that an answer showed.
fn value(operation: &Operation) -> Option<u64> {
    match operation.outcome {
        Outcome::Written { view, .. } | Outcome::Repeated { view: Some(view), .. } | Outcome::Found(view) => {
            Some(view.value)
        }
        _ => None,
    }
}

/// Whether no object can have answered so, whatever it was in the beginning if `beginning` is [`Object::Any`].
pub(super) fn impossible(beginning: Object, operations: &[Operation]) -> bool {
    matches!(check_from(beginning, operations, MOST_CONFIGURATIONS), Verdict::Contradictory { .. })
}

fn is_known(operation: &Operation) -> bool {
    !matches!(operation.outcome, Outcome::Unknown | Outcome::Refused)
}

/// What was known at `moment`.
fn until(operations: &[Operation], moment: Moment) -> Vec<Operation> {
    let begun = operations.iter().filter(|operation| operation.invoked <= moment);
    let known = begun.map(|one| if one.completed <= moment { Some(one.clone()) } else { forget(one) });
    known.flatten().collect()
}

/// What is known without all that ended before `moment`, but for what that made of the object, which may be anything. What
/// began before and ended later may be part of that, or not.
pub(super) fn since(operations: &[Operation], moment: Moment) -> Vec<Operation> {
    let left = operations.iter().filter(|one| one.completed >= moment || one.outcome == Outcome::Unknown);
    left.filter_map(|one| if one.invoked >= moment { Some(one.clone()) } else { forget(one) }).collect()
}

/// The history up to the first answer with which it is impossible: later ones do not make it possible again.
fn until_impossible(operations: &[Operation]) -> Vec<Operation> {
    let ends: BTreeSet<Moment> = operations.iter().map(|operation| operation.completed).collect();
    let ends: Vec<Moment> = ends.into_iter().collect();
    let first = ends.partition_point(|end| !impossible(Object::Absent, &until(operations, *end)));
    ends.get(first).map_or_else(|| operations.to_vec(), |end| until(operations, *end))
}

/// The shortest end of a history that is impossible whatever was before, if there is one; and what it begins with.
fn since_possible(operations: Vec<Operation>) -> (Object, Vec<Operation>) {
    let begins: BTreeSet<Moment> = operations.iter().map(|operation| operation.invoked).collect();
    let begins: Vec<Moment> = begins.into_iter().collect();
    let beyond = begins.partition_point(|begin| impossible(Object::Any, &since(&operations, *begin)));
    match beyond.checked_sub(1).and_then(|last| begins.get(last)) {
        Some(begin) => (Object::Any, since(&operations, *begin)),
        None => (Object::Absent, operations),
    }
}

/// The history with as little known of its operations as leaves it impossible.
fn weakest(beginning: Object, operations: Vec<Operation>) -> Vec<Operation> {
    let mut kept: Vec<Option<Operation>> = operations.into_iter().map(Some).collect();
    let mut attempts = 0;
    let mut part = kept.len().div_ceil(2).max(1);
    loop {
        let mut weaker = false;
        for start in (0..kept.len()).step_by(part) {
            let range = start..(start + part).min(kept.len());
            let known = |one: &Option<Operation>| one.as_ref().is_some_and(is_known);
            if attempts == MOST_ATTEMPTS || !kept[range.clone()].iter().any(known) {
                continue;
            }
            attempts += 1;
            let mut tried = kept.clone();
            for one in tried[range].iter_mut().filter(|one| known(one)) {
                *one = one.as_ref().and_then(forget);
            }
            let all: Vec<Operation> = tried.iter().flatten().cloned().collect();
            if impossible(beginning, &all) {
                kept = tried;
                weaker = true;
            }
        }
        if part == 1 && !weaker || attempts == MOST_ATTEMPTS {
            return kept.into_iter().flatten().collect();
        }
        part = part.div_ceil(2);
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |moment: Moment| moment as f64 / 1e6;
        writeln!(
            f,
            "{} is not linearizable: from {:.3} to {:.3} ms, these contradict one another, whatever the other {} did:",
            self.key,
            ms(self.from),
            ms(self.until),
            self.others + self.named.len(),
        )?;
        for operation in &self.operations {
            writeln!(f, "  {operation}")?;
        }
        if !self.named.is_empty() {
            writeln!(f, "of which they show:")?;
        }
        for operation in &self.named {
            writeln!(f, "  {operation}")?;
        }
        for value in &self.unheard_of {
            writeln!(f, "nobody was asked to write value {value}")?;
        }
        Ok(())
    }
}
