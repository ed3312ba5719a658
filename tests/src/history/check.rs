//! Whether one object can have given the answers of a history: a search for an order of moments.
//!
//! The search of Wing and Gong (1993), with Lowe's memory of what was tried (2017): from what is done so far, take any operation
//! that nothing undone precedes and that the object would answer as it was answered; go back where none fits. Three things keep
//! it short where thousands of operations and dozens of unknown outcomes meet. Each leaves the verdict as it is
//! (`tests/against_brute_force.rs` compares):
//!
//! - What only looks, and fits now, is taken now: it keeps nothing else from fitting.
//! - A PUT whose value was seen did take effect, before that answer came, and made what was seen: that its own answer is unknown
//!   makes no difference. (Values are unlike each other.)
//! - Unknown operations that nobody has seen, and that ask for the same, differ in nothing but when they may begin: they are used
//!   in that order. So of a set of them it counts how many are used, not which. None makes a version beyond those spoken of.
//!
//! One more takes for granted that no two incarnations have the same `createdAt`, and later ones a later one: what shows the object
//! as it can never be again ends a way. Before a history is called contradictory it is searched once more without that.

use std::collections::{BTreeMap, HashSet};

use super::object::{Object, Step};
use super::{Action, Moment, Operation, Outcome, View};

/// What is done so far, at most, before a history is given up.
const MOST_CONFIGURATIONS: usize = 2_000_000;

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One object can have answered so.
    Linearizable {
        /// Numbers of the operations that took effect, in an order that explains all answers.
        order: Vec<u64>,
        /// How many ways on were looked at.
        configurations: usize,
    },
    /// No object can.
    Contradictory {
        /// How many ways on were looked at.
        configurations: usize,
    },
    /// The search was given up: nothing is known.
    TooHard,
}

/// Judges the operations of one key; in the beginning there was nothing.
///
/// # Panics
/// When an answer is none to such a call.
pub fn check(operations: &[Operation]) -> Verdict {
    let mut problem = Problem::of(operations);
    let verdict = problem.search(Object::Absent, MOST_CONFIGURATIONS);
    if !matches!(verdict, Verdict::Contradictory { .. }) {
        return verdict;
    }
    problem.births_differ = false;
    match problem.search(Object::Absent, MOST_CONFIGURATIONS) {
        // Two creations of a key within a millisecond: SECA promises that there are none.
        Verdict::TooHard => verdict,
        other => other,
    }
}

/// As [`check`], with another beginning, looking at no more ways than `most`, and taking births to differ.
pub(super) fn check_from(beginning: Object, operations: &[Operation], most: usize) -> Verdict {
    Problem::of(operations).search(beginning, most)
}

/// A step that was taken for certain.
struct Required {
    step: Step,
    number: u64,
    from: Moment,
    until: Moment,
    /// It is the second step of its operation: not before the first, which stands just before it.
    second: bool,
}

/// Steps that may have been taken, and that nobody has seen: equal but for the moment from which on, by which they are sorted.
struct Optional {
    step: Step,
    since: Vec<(Moment, u64)>,
}

struct Problem {
    /// By `from`.
    required: Vec<Required>,
    optional: Vec<Optional>,
    /// No later version of an incarnation makes a difference.
    last_version: u64,
    /// No two incarnations have the same `createdAt`, and later ones have a later one.
    births_differ: bool,
}

/// What is done so far, and what that has made of the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Configuration {
    /// All required steps before this one are done.
    next: usize,
    /// Those done beyond it, ascending.
    beyond: Vec<usize>,
    /// How many of each sort of optional steps are done.
    used: Vec<usize>,
    object: Object,
    /// The last `createdAt` of those that were deleted.
    past_ms: i64,
}

#[derive(Clone, Copy)]
enum Choice {
    Required(usize),
    Optional(usize),
}

/// A configuration with the ways on from it that are still to be tried.
struct Frame {
    configuration: Configuration,
    choices: Vec<Choice>,
    /// Length of the order that led here, this configuration's own part aside.
    before: usize,
}

impl Problem {
    fn of(operations: &[Operation]) -> Problem {
        // Of each value, the view that showed it and the end of the first answer that did.
        let mut seen: BTreeMap<u64, (View, Moment)> = BTreeMap::new();
        for operation in operations {
            if let Outcome::Found(view) | Outcome::Repeated { view: Some(view), .. } = operation.outcome {
                let (_, until) = seen.entry(view.value).or_insert((view, operation.completed));
                *until = operation.completed.min(*until);
            }
        }
        let mut required = Vec::new();
        let mut optional: BTreeMap<_, Optional> = BTreeMap::new();
        for operation in operations {
            let number = operation.number;
            let (from, until) = (operation.invoked, operation.completed);
            for (turn, step) in Step::of(operation).into_iter().flatten().enumerate() {
                let (step, seen_until) = made_exact(step, &seen);
                let until = from.max(until.min(seen_until.unwrap_or(until)));
                required.push(Required { step, number, from, until, second: turn > 0 });
            }
            let Some(step) = Step::possible(operation) else { continue };
            if let (step, Some(until)) = made_exact(step, &seen) {
                required.push(Required { step, number, from, until: from.max(until), second: false });
                continue;
            }
            let (sort, step) = match step {
                Step::Put { if_version, created, view, later, .. } => {
                    ((0, if_version), Step::Put { value: None, if_version, created, view, later })
                }
                Step::Delete { if_version } => ((1, if_version), step),
                _ => continue,
            };
            let sort = optional.entry(sort).or_insert(Optional { step, since: Vec::new() });
            sort.since.push((from, number));
        }
        // Stable: the steps of one operation stay beside each other.
        required.sort_by_key(|one| one.from);
        let mut optional: Vec<Optional> = optional.into_values().collect();
        for sort in &mut optional {
            sort.since.sort_unstable();
        }
        let steps = required.iter().map(|one| &one.step).chain(optional.iter().map(|sort| &sort.step));
        let last_version = steps.map(last_version).max().unwrap_or(0).max(1);
        Problem { required, optional, last_version, births_differ: true }
    }

    /// Takes what only looks and fits, again and again; then tells what else can be taken, best last.
    fn settle(&self, configuration: &mut Configuration, order: &mut Vec<u64>) -> Vec<Choice> {
        loop {
            let (candidates, until) = self.candidates(configuration);
            let mut looked = false;
            // While nothing is known, everything is seen: then a look is a choice as any other.
            let known = configuration.object != Object::Any;
            for position in candidates.iter().filter(|_| known) {
                let one = &self.required[*position];
                if let Some(object) = configuration.object.after(&one.step).filter(|_| one.step.only_looks())
                {
                    configuration.object = object;
                    configuration.do_required(*position);
                    order.push(one.number);
                    looked = true;
                }
            }
            if looked {
                continue;
            }
            if self.births_differ
                && candidates.iter().any(|one| configuration.is_past(&self.required[*one].step))
            {
                return Vec::new();
            }
            let mut choices = self.optional_choices(configuration, until);
            let mut required: Vec<usize> = candidates;
            required.retain(|position| configuration.object.after(&self.required[*position].step).is_some());
            // Whose version is known fits in one place only.
            let vague = |position: &usize| match self.required[*position].step {
                Step::Put { view: Some(_), .. } => 0,
                Step::Delete { .. } => 1,
                _ => 2,
            };
            // Of those, what has to be done first.
            required
                .sort_by_key(|position| std::cmp::Reverse((vague(position), self.required[*position].until)));
            choices.extend(required.into_iter().map(Choice::Required));
            return choices;
        }
    }

    /// Required steps that no undone one precedes, and the moment before which something has to be taken.
    fn candidates(&self, configuration: &Configuration) -> (Vec<usize>, Moment) {
        let mut beyond = configuration.beyond.iter().peekable();
        let mut until = Moment::MAX;
        let mut candidates = Vec::new();
        let mut before_done = true;
        for (position, one) in self.required.iter().enumerate().skip(configuration.next) {
            if beyond.next_if_eq(&&position).is_some() {
                before_done = true;
                continue;
            }
            if one.from > until {
                break;
            }
            until = until.min(one.until);
            if !one.second || before_done {
                candidates.push(position);
            }
            before_done = false;
        }
        (candidates, until)
    }

    fn optional_choices(&self, configuration: &Configuration, until: Moment) -> Vec<Choice> {
        let fits = |sort: &usize| {
            let optional = &self.optional[*sort];
            let begun = optional.since.get(configuration.used[*sort]).is_some_and(|(from, _)| *from <= until);
            let after = configuration.object.after(&optional.step).filter(|_| begun);
            after.is_some_and(|after| match after {
                Object::Present { version, .. } => version <= self.last_version,
                Object::Any | Object::Absent => true,
            })
        };
        (0..self.optional.len()).filter(fits).map(Choice::Optional).collect()
    }

    fn take(&self, from: &Configuration, choice: Choice, order: &mut Vec<u64>) -> Configuration {
        let mut taken = from.clone();
        let (step, number) = match choice {
            Choice::Required(position) => {
                taken.do_required(position);
                (&self.required[position].step, self.required[position].number)
            }
            Choice::Optional(sort) => {
                let (_, number) = self.optional[sort].since[taken.used[sort]];
                taken.used[sort] += 1;
                (&self.optional[sort].step, number)
            }
        };
        let before = taken.object;
        taken.object = before.after(step).expect("it was looked at before");
        if let (Object::Present { created_ms: Some(ms), .. }, Object::Absent) = (before, taken.object) {
            taken.past_ms = taken.past_ms.max(ms);
        }
        order.push(number);
        taken
    }

    fn search(&self, beginning: Object, most: usize) -> Verdict {
        let mut seen = HashSet::new();
        let mut order = Vec::new();
        let mut first = Configuration {
            next: 0,
            beyond: Vec::new(),
            used: vec![0; self.optional.len()],
            object: beginning,
            past_ms: i64::MIN,
        };
        let choices = self.settle(&mut first, &mut order);
        let mut frames = vec![Frame { configuration: first, choices, before: 0 }];
        while let Some(frame) = frames.last_mut() {
            if frame.configuration.next == self.required.len() {
                return Verdict::Linearizable { order, configurations: seen.len() };
            }
            if seen.len() > most {
                return Verdict::TooHard;
            }
            let Some(choice) = frame.choices.pop() else {
                order.truncate(frame.before);
                frames.pop();
                continue;
            };
            let before = order.len();
            let mut configuration = self.take(&frame.configuration, choice, &mut order);
            let choices = self.settle(&mut configuration, &mut order);
            if seen.insert(configuration.clone()) {
                frames.push(Frame { configuration, choices, before });
            } else {
                order.truncate(before);
            }
        }
        Verdict::Contradictory { configurations: seen.len() }
    }
}

impl Configuration {
    fn do_required(&mut self, position: usize) {
        let place = self.beyond.partition_point(|other| *other < position);
        self.beyond.insert(place, position);
        let done = self.beyond.iter().zip(self.next..).take_while(|(one, next)| **one == *next).count();
        self.beyond.drain(..done);
        self.next += done;
    }

    /// Whether a step shows the object as it was before it became what it is now.
    fn is_past(&self, step: &Step) -> bool {
        let (view, least) = match step {
            Step::Put { view: Some(view), .. } => (view, 1),
            Step::Put { later: Some(later), .. } => (later, 2),
            Step::Found(view) => (view, 0),
            _ => return false,
        };
        if view.created_ms <= self.past_ms {
            return true;
        }
        match self.object {
            Object::Present { version, created_ms: Some(ms), value } => {
                let older = view.created_ms == ms && view.version < version + least;
                // A look at this very version that fits has been taken.
                let other = view.created_ms == ms && view.version == version && value != Some(view.value);
                view.created_ms < ms || older || other
            }
            _ => false,
        }
    }
}

/// A PUT whose own answer does not tell what it made, as others have seen it; and when the first of them had.
fn made_exact(step: Step, seen: &BTreeMap<u64, (View, Moment)>) -> (Step, Option<Moment>) {
    if let Step::Put { value: Some(value), if_version, created, view: None, later } = step
        && let Some((view, until)) = seen.get(&value)
    {
        let exact = Step::Put { value: Some(value), if_version, created, view: Some(*view), later };
        return (exact, Some(*until));
    }
    (step, None)
}

/// The last version at which a step makes a difference.
fn last_version(step: &Step) -> u64 {
    match *step {
        Step::Put { if_version, view, later, .. } => {
            let condition = if_version.map_or(0, |version| version + 1);
            [view, later].into_iter().flatten().map(|view| view.version).max().unwrap_or(0).max(condition)
        }
        Step::Found(view) => view.version,
        Step::PutRefused { version } | Step::DeleteRefused { version } => version + 1,
        Step::Delete { if_version } => if_version.unwrap_or(0),
        Step::Missing => 0,
    }
}

/// What is known of an operation's end is forgotten: a weaker history, which every order of the former explains. Of what only
/// looked nothing is left.
pub(super) fn forget(operation: &Operation) -> Option<Operation> {
    match operation.outcome {
        Outcome::Refused => Some(operation.clone()),
        // It changed nothing.
        Outcome::Found(_) | Outcome::Missing | Outcome::ConditionFailed => None,
        _ if operation.action == Action::Get => None,
        _ => Some(Operation { outcome: Outcome::Unknown, ..operation.clone() }),
    }
}
