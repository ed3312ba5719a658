//! Calls that were refused for who asked, or because somebody was faster: lines of log with the target `audit`.
//!
//! Accepted changes are rows of the replicated history; a refusal has no entry there, and must not get one: whoever has
//! no rights could fill everybody's disks. So it is a line of this replica's log, under the request's id and subject. At
//! most [`LINES`] a second are written; what is beyond is counted and said in one line, with the next refusal. These
//! lines are no proof: they are not chained, and who may write to the log can change them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rempart_model::RefusalClass;

use super::problem::Failure;
use crate::service::ServiceError;

/// Refusals that get a line of their own, in a second.
const LINES: u32 = 20;

/// Notes a refusal. Within the request's span.
pub(super) fn note(failure: &Failure) {
    static BUDGET: Mutex<Option<Budget>> = Mutex::new(None);
    let Some(class) = class(failure) else { return };
    metrics::counter!("rempart_refusals_total", "class" => class).increment(1);
    let mut budget = BUDGET.lock().unwrap_or_else(PoisonError::into_inner);
    let budget = budget.get_or_insert_with(|| Budget::new(Instant::now()));
    let (may, left_out) = budget.take(class, Instant::now());
    drop_lines(left_out);
    if may {
        tracing::info!(target: "audit", class, "refused");
    }
}

fn drop_lines(left_out: BTreeMap<&'static str, u64>) {
    for (class, count) in left_out {
        // In nobody's span: these were many requests.
        tracing::info!(target: "audit", parent: None, class, count, "refused without a line of their own");
    }
}

fn class(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::Unauthenticated(_) | Failure::Service(ServiceError::Revoked) => Some("unauthenticated"),
        Failure::Service(ServiceError::Forbidden) | Failure::Said(StatusCode::FORBIDDEN, ..) => {
            Some("forbidden")
        }
        Failure::Service(ServiceError::Refused(refusal)) => match refusal.class {
            RefusalClass::PreconditionFailed => Some("precondition_failed"),
            RefusalClass::Conflict => Some("conflict"),
            _ => None,
        },
        _ => None,
    }
}

/// What may still be written in this second, and what was left out of earlier ones.
struct Budget {
    since: Instant,
    lines: u32,
    left_out: BTreeMap<&'static str, u64>,
}

impl Budget {
    fn new(now: Instant) -> Budget {
        Budget { since: now, lines: 0, left_out: BTreeMap::new() }
    }

    /// Whether there is room for a line; and what was left out of the second before, if that is over.
    fn take(&mut self, class: &'static str, now: Instant) -> (bool, BTreeMap<&'static str, u64>) {
        let mut left_out = BTreeMap::new();
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            left_out = std::mem::take(&mut self.left_out);
            (self.since, self.lines) = (now, 0);
        }
        if self.lines < LINES {
            self.lines += 1;
            return (true, left_out);
        }
        *self.left_out.entry(class).or_default() += 1;
        (false, left_out)
    }
}

#[test]
fn a_flood_of_refusals_is_counted_and_not_written() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let written = (0..1000).filter(|_| budget.take("forbidden", start).0).count();
    assert_eq!(written, LINES as usize);
    let later = start + Duration::from_secs(2);
    assert_eq!(budget.take("forbidden", later), (true, [("forbidden", 1000 - u64::from(LINES))].into()));
    assert_eq!(budget.take("unauthenticated", later), (true, BTreeMap::new()));
}
