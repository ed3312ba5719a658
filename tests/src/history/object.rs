//! One object, as anybody would describe it who had it alone: the sequential specification.
//!
//! ```text
//!   absent ── PUT ──> version 1 ── PUT ──> version 2 ── ... ── DELETE ──> absent
//! ```
//!
//! It says nothing of hosts, parents and states: the kind in the histories has none of them that would hold it up, so that a
//! deletion is done when it is accepted.

use super::{Action, Operation, Outcome, View};

/// What an operation did at the moment at which it took effect, and what was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Create or replace.
    Put {
        /// Its value; none: nobody has ever seen it.
        value: Option<u64>,
        if_version: Option<u64>,
        /// Whether it was said to have created the object, if that was said.
        created: Option<bool>,
        /// What it was said to have made, if that was said.
        view: Option<View>,
        /// What others had made of the same incarnation by the end of it.
        later: Option<View>,
    },
    /// A GET that found this.
    Found(View),
    /// A GET or DELETE that found nothing.
    Missing,
    /// A PUT whose condition did not hold.
    PutRefused { version: u64 },
    /// A DELETE whose condition did not hold.
    DeleteRefused { version: u64 },
    /// Remove.
    Delete { if_version: Option<u64> },
}

impl Step {
    /// Whether it leaves the object as it is.
    pub(super) fn only_looks(&self) -> bool {
        !matches!(self, Step::Put { .. } | Step::Delete { .. })
    }

    /// What an operation has to have done at one moment, or at two (between which others may come). Nothing: it need not
    /// have done anything.
    pub(super) fn of(operation: &Operation) -> [Option<Step>; 2] {
        let step = match (operation.action, operation.outcome) {
            (_, Outcome::Refused | Outcome::Unknown) => return [None, None],
            (Action::Put { if_version }, Outcome::Written { created, view }) => Step::Put {
                value: Some(operation.number),
                if_version,
                created: Some(created),
                view: Some(view),
                later: None,
            },
            (Action::Put { if_version }, Outcome::Repeated { created, view }) => {
                let value = Some(operation.number);
                let put = Step::Put { value, if_version, created, view: None, later: view };
                return [Some(put), view.map(Step::Found)];
            }
            (Action::Put { if_version: Some(version) }, Outcome::ConditionFailed) => {
                Step::PutRefused { version }
            }
            (Action::Delete { if_version: Some(version) }, Outcome::ConditionFailed) => {
                Step::DeleteRefused { version }
            }
            (Action::Get, Outcome::Found(view)) => Step::Found(view),
            (Action::Get | Action::Delete { .. }, Outcome::Missing) => Step::Missing,
            (Action::Delete { if_version }, Outcome::Deleted) => Step::Delete { if_version },
            (_, _) => panic!("no answer to such a call: {operation}"),
        };
        [Some(step), None]
    }

    /// What an operation of unknown outcome does if it takes effect.
    pub(super) fn possible(operation: &Operation) -> Option<Step> {
        if operation.outcome != Outcome::Unknown {
            return None;
        }
        match operation.action {
            Action::Put { if_version } => {
                let value = Some(operation.number);
                Some(Step::Put { value, if_version, created: None, view: None, later: None })
            }
            Action::Delete { if_version } => Some(Step::Delete { if_version }),
            Action::Get => None,
        }
    }
}

/// An object between two operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// Nothing is known of it: what a part of a history begins with.
    Any,
    /// It is not there.
    Absent,
    /// It is.
    Present {
        /// Its version.
        version: u64,
        /// Who wrote it last; none: an operation that nobody has seen the value of.
        value: Option<u64>,
        /// When it was created, as far as an answer has told.
        created_ms: Option<i64>,
    },
}

impl Object {
    /// The object after a step, or none if it would not have answered so.
    pub(super) fn after(self, step: &Step) -> Option<Object> {
        if self == Object::Any {
            return after_anything(step);
        }
        match *step {
            Step::Put { value, if_version, created, view, later } => {
                let (version, known_ms) = match self {
                    Object::Any | Object::Absent => (1, None),
                    Object::Present { version, created_ms, .. } => (version + 1, created_ms),
                };
                let condition =
                    if_version.is_none_or(|wanted| wanted + 1 == version && self != Object::Absent);
                let told = created.is_none_or(|created| created == (self == Object::Absent));
                let shown = view.is_none_or(|view| {
                    view.version == version
                        && Some(view.value) == value
                        && known_ms.is_none_or(|known| known == view.created_ms)
                });
                let lasted = later.is_none_or(|later| {
                    version < later.version && known_ms.is_none_or(|known| known == later.created_ms)
                });
                let created_ms = view.or(later).map(|view| view.created_ms).or(known_ms);
                (condition && told && shown && lasted).then_some(Object::Present {
                    version,
                    value,
                    created_ms,
                })
            }
            Step::Delete { if_version } => match self {
                Object::Present { version, .. } if if_version.is_none_or(|wanted| wanted == version) => {
                    Some(Object::Absent)
                }
                _ => None,
            },
            Step::Found(view) => match self {
                Object::Present { version, value, created_ms }
                    if version == view.version
                        && value == Some(view.value)
                        && created_ms.is_none_or(|known| known == view.created_ms) =>
                {
                    Some(Object::Present { version, value, created_ms: Some(view.created_ms) })
                }
                _ => None,
            },
            Step::Missing => (self == Object::Absent).then_some(self),
            Step::PutRefused { version: wanted } => match self {
                Object::Present { version, .. } if version == wanted => None,
                _ => Some(self),
            },
            Step::DeleteRefused { version: wanted } => match self {
                Object::Present { version, .. } if version != wanted => Some(self),
                _ => None,
            },
        }
    }
}

/// What is known of an object after a step, of which nothing was known before.
fn after_anything(step: &Step) -> Option<Object> {
    match *step {
        Step::Put { value, if_version, created, view, .. } => {
            let Some(view) = view else {
                let new = Object::Present { version: 1, value, created_ms: None };
                return Some(if created == Some(true) { new } else { Object::Any });
            };
            let condition = if_version.is_none_or(|wanted| wanted + 1 == view.version);
            let told = created.is_none_or(|created| created == (view.version == 1));
            let after = Object::Present { version: view.version, value, created_ms: Some(view.created_ms) };
            (condition && told && Some(view.value) == value).then_some(after)
        }
        Step::Found(View { version, value, created_ms }) => {
            Some(Object::Present { version, value: Some(value), created_ms: Some(created_ms) })
        }
        Step::Missing | Step::Delete { .. } => Some(Object::Absent),
        Step::PutRefused { .. } | Step::DeleteRefused { .. } => Some(Object::Any),
    }
}
