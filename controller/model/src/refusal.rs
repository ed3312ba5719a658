//! Why the core said no: deterministic, and part of the replicated answer.

use rempart_api::ProblemSource;
use serde::{Deserialize, Serialize};

/// The true class of a refusal. What HTTP status answers it is the edge's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalClass {
    /// The named resource does not exist.
    NotFound,
    /// The parent named in the path does not exist.
    ParentNotFound,
    /// The present state forbids it.
    Conflict,
    /// `if-unmodified-since` differs from the resource's version.
    PreconditionFailed,
    /// A bound, pattern, enumeration, immutability rule or reference.
    Invalid,
    /// More than the caller holds, in what they may do as such.
    Forbidden,
}

/// A deterministic "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Class.
    pub class: RefusalClass,
    /// What, where, why and what to do next.
    pub detail: String,
    /// Fields at fault.
    pub sources: Vec<ProblemSource>,
}

/// Most faults one refusal tells.
const MAX_FAULTS: usize = 32;

impl Refusal {
    pub(crate) fn new(class: RefusalClass, detail: impl Into<String>) -> Refusal {
        Refusal { class, detail: detail.into(), sources: Vec::new() }
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Refusal {
        Refusal::new(RefusalClass::Conflict, detail)
    }

    /// The present state forbids what the field at `pointer` asks for.
    pub(crate) fn conflict_at(pointer: impl Into<String>, why: impl Into<String>) -> Refusal {
        Refusal::of(RefusalClass::Conflict, vec![Fault::new(pointer, why)])
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Refusal {
        Refusal::new(RefusalClass::Forbidden, detail)
    }

    pub(crate) fn invalid(faults: Vec<Fault>) -> Refusal {
        Refusal::of(RefusalClass::Invalid, faults)
    }

    /// One refusal from the faults found in a body. It is kept for retries, so a body full of faults is not told all.
    pub(crate) fn of(class: RefusalClass, mut faults: Vec<Fault>) -> Refusal {
        let untold = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        let mut detail = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.pointer, fault.why))
            .collect::<Vec<_>>()
            .join("; ");
        if untold > 0 {
            detail.push_str(&format!("; and {untold} more"));
        }
        let sources = faults
            .into_iter()
            .map(|fault| ProblemSource {
                parameter: fault
                    .pointer
                    .rsplit('/')
                    .find(|part| part.parse::<usize>().is_err())
                    .unwrap_or_default()
                    .chars()
                    .take(64)
                    .collect(),
                pointer: fault.pointer,
            })
            .collect();
        Refusal { class, detail, sources }
    }
}

/// A field that breaks a rule, or asks for what cannot be now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer into the request body.
    pub pointer: String,
    /// The rule, and what was found.
    pub why: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, why: impl Into<String>) -> Fault {
        Fault { pointer: pointer.into(), why: why.into() }
    }
}
