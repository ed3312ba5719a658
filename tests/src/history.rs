//! Histories: what clients asked of one object, what they were told and when, and whether one object can have told it.
//!
//! ```text
//!   Operation: invoked ──────────── completed     on one monotonic clock, the harness's
//!                 └─ took effect at one moment in between: for all operations of a key there is an order of such
//!                    moments by which one object ([`Object`]) answers what was answered, or [`check`] says why not
//! ```
//!
//! Objects are independent of each other, so each is judged by itself; a history of many is linearizable if each of them is
//! (Herlihy and Wing 1990). An operation whose outcome is unknown may take effect at any moment after it was invoked, also long
//! after its client gave up, or never. One that was refused for certain never does: its value in an answer is a contradiction.
//!
//! Deliberately absent: HTTP, processes, and where histories come from.

use std::fmt;

use uuid::Uuid;

mod check;
mod explain;
mod object;
#[cfg(test)]
mod tests;

pub use check::{Verdict, check};
pub use explain::{Contradiction, explain};
pub use object::Object;

/// Nanoseconds on the harness's monotonic clock.
pub type Moment = u64;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create or replace; the value written is the operation's number.
    Put {
        /// Only if the version is this one.
        if_version: Option<u64>,
    },
    /// A linearizable read.
    Get,
    /// Remove.
    Delete {
        /// Only if the version is this one.
        if_version: Option<u64>,
    },
}

/// An object as an answer showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// Its `resourceVersion`.
    pub version: u64,
    /// Number of the operation that wrote it.
    pub value: u64,
    /// Its `createdAt`, in milliseconds: the same for all of one incarnation.
    pub created_ms: i64,
}

/// What is known of an operation's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A PUT was accepted, and this is what it made.
    Written {
        /// Whether it made a new object.
        created: bool,
        /// The object as it left it.
        view: View,
    },
    /// A PUT was accepted under an earlier attempt of the cluster's own, and the answer shows the object as it was when the
    /// attempt was repeated: another may have written since.
    Repeated {
        /// Whether it made a new object, if that was said.
        created: Option<bool>,
        /// The object at some later moment; none: it was gone by then.
        view: Option<View>,
    },
    /// A GET found this.
    Found(View),
    /// There was nothing (404).
    Missing,
    /// The condition did not hold (412).
    ConditionFailed,
    /// A DELETE was accepted.
    Deleted,
    /// It was not done, and never will be.
    Refused,
    /// Nobody can tell.
    Unknown,
}

/// One call of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Unlike that of any other in the run; what a PUT writes.
    pub number: u64,
    /// Which client.
    pub client: usize,
    /// Which replica it asked.
    pub replica: usize,
    /// Which object.
    pub key: String,
    /// What it asked.
    pub action: Action,
    /// Just before it was sent.
    pub invoked: Moment,
    /// When its end was known, or the client gave up.
    pub completed: Moment,
    /// What became of it.
    pub outcome: Outcome,
    /// `x-request-id` of the answer.
    pub request_id: Option<Uuid>,
}

impl Operation {
    /// Whether it may have changed the object.
    pub fn is_write(&self) -> bool {
        self.action != Action::Get
    }

    /// Whether it is certain that it changed the object.
    pub fn took_effect(&self) -> bool {
        matches!(self.outcome, Outcome::Written { .. } | Outcome::Repeated { .. } | Outcome::Deleted)
    }

    /// Whether it was under way at `moment`.
    pub fn overlaps(&self, moment: Moment) -> bool {
        self.invoked <= moment && moment <= self.completed
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |moment: Moment| moment as f64 / 1e6;
        let (verb, condition) = match self.action {
            Action::Put { if_version } => (format!("PUT value {}", self.number), if_version),
            Action::Get => ("GET".to_owned(), None),
            Action::Delete { if_version } => ("DELETE".to_owned(), if_version),
        };
        write!(f, "#{} client {} at replica {}: {verb}", self.number, self.client, self.replica)?;
        if let Some(version) = condition {
            write!(f, " if version {version}")?;
        }
        write!(f, ", {:.3} to {:.3} ms: ", ms(self.invoked), ms(self.completed))?;
        let show = |view: &View| {
            format!("version {}, value {}, created at {}", view.version, view.value, view.created_ms)
        };
        match &self.outcome {
            Outcome::Written { created, view } => {
                write!(f, "{} ({})", if *created { "created" } else { "replaced" }, show(view))
            }
            Outcome::Repeated { created, view } => {
                let what = created.map_or("written", |created| if created { "created" } else { "replaced" });
                let then = view.as_ref().map_or_else(|| "gone".to_owned(), show);
                write!(f, "{what} by an earlier attempt, then ({then})")
            }
            Outcome::Found(view) => write!(f, "found ({})", show(view)),
            Outcome::Missing => write!(f, "nothing is there"),
            Outcome::ConditionFailed => write!(f, "the condition did not hold"),
            Outcome::Deleted => write!(f, "deleted"),
            Outcome::Refused => write!(f, "refused for certain"),
            Outcome::Unknown => write!(f, "outcome unknown"),
        }?;
        self.request_id.map_or(Ok(()), |id| write!(f, ", request {id}"))
    }
}
