//! Refused calls: a record of each that an auditor can find, and bounded whoever calls how often.
//!
//! Accepted changes are rows of the replicated history; a refusal has no entry there, and must not get one: whoever has
//! no rights could fill everybody's disks. So it is a line of this replica's journal ([`journal`]), and a line of its log
//! with the target `audit`, which can be shipped away. Of each class at most [`LINES`] a second are written, so that much
//! of one hides nothing of another; what is beyond is counted, and the count is written with the next refusal.
//!
//! Absent on purpose: bodies, queries and words of the refusal (they may hold a secret), and reads of what is not there.

mod journal;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rempart_model::RefusalClass;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Failure;
use crate::blob::BlobError;
use crate::service::ServiceError;
use journal::Journal;

/// Refusals of a class that are written, in a second.
const LINES: u32 = 20;
/// Of a path or a subject, in characters.
const LONGEST: usize = 256;

/// What was refused to whom.
pub(super) struct Refused<'a> {
    /// Why, as a class.
    pub(super) class: &'static str,
    /// What was answered.
    pub(super) status: u16,
    pub(super) request_id: Uuid,
    /// Empty: nobody known.
    pub(super) subject: &'a str,
    pub(super) method: &'a str,
    /// Without its query.
    pub(super) path: &'a str,
}

/// The refusals of a replica.
pub struct Refusals(Mutex<(Budget, Journal)>);

impl Refusals {
    /// With their journal in `dir`, which is made if need be.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn open(dir: &Path) -> io::Result<Refusals> {
        Ok(Refusals(Mutex::new((Budget::new(Instant::now()), Journal::open(dir)?))))
    }

    /// Notes one. Within the request's span.
    pub(super) fn note(&self, refused: &Refused<'_>) {
        let class = refused.class;
        metrics::counter!("rempart_refusals_total", "class" => class).increment(1);
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, journal) = &mut *guard;
        let (may, left_out) = budget.take(class, Instant::now());
        let mut written = Ok(());
        for (class, count) in left_out {
            // In nobody's span: these were many requests.
            tracing::info!(target: "audit", parent: None, class, count, "refused without a line of their own");
            written = written.and(journal.write(LeftOut { at_ms: now_ms(), class, count }));
        }
        if may {
            tracing::info!(target: "audit", class, status = refused.status, "refused");
            written = written.and(journal.write(Line {
                at_ms: now_ms(),
                class,
                status: refused.status,
                request_id: refused.request_id,
                subject: beginning(refused.subject),
                method: beginning(refused.method),
                path: beginning(refused.path),
            }));
        }
        if let Err(error) = written {
            tracing::warn!(%error, "a refused call could not be written to the journal of refusals");
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at_ms: u64,
    class: &'static str,
    status: u16,
    request_id: Uuid,
    subject: &'a str,
    method: &'a str,
    path: &'a str,
}

/// So many of a class, of an earlier second, have no line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    at_ms: u64,
    class: &'static str,
    count: u64,
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn beginning(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

impl Failure {
    /// Its class, if it is a refusal and no accident: who asked, or what for.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        match self {
            Failure::Unauthenticated(_) | Failure::Service(ServiceError::Revoked) => Some("unauthenticated"),
            Failure::Service(ServiceError::Forbidden) => Some("forbidden"),
            Failure::Said(status, ..) => match status.as_u16() {
                401 => Some("unauthenticated"),
                403 => Some("forbidden"),
                409 => Some("conflict"),
                _ => None,
            },
            Failure::Service(ServiceError::Refused(refusal)) => match refusal.class {
                RefusalClass::PreconditionFailed => Some("precondition_failed"),
                RefusalClass::Conflict => Some("conflict"),
                RefusalClass::Forbidden => Some("forbidden"),
                RefusalClass::Invalid | RefusalClass::ParentNotFound => Some("invalid"),
                RefusalClass::NotFound => None,
            },
            Failure::BadRequest(_)
            | Failure::Malformed(..)
            | Failure::Parameter(..)
            | Failure::MediaType(_)
            | Failure::TooLarge
            | Failure::Invalid(..)
            | Failure::Service(ServiceError::Parameter { .. })
            | Failure::Blob(BlobError::Refused { .. } | BlobError::TooLarge { .. }) => Some("invalid"),
            Failure::NoRoute(_)
            | Failure::Method(_)
            | Failure::NotAcceptable
            | Failure::Slow
            | Failure::TooOften(_)
            | Failure::Blob(_)
            | Failure::Service(ServiceError::Fault(_)) => None,
        }
    }
}

/// What may still be written in this second, and what was left out of earlier ones.
struct Budget {
    since: Instant,
    lines: BTreeMap<&'static str, u32>,
    left_out: BTreeMap<&'static str, u64>,
}

impl Budget {
    fn new(now: Instant) -> Budget {
        Budget { since: now, lines: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    /// Whether there is room for a line; and what was left out of the second before, if that is over.
    fn take(&mut self, class: &'static str, now: Instant) -> (bool, BTreeMap<&'static str, u64>) {
        let mut left_out = BTreeMap::new();
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            left_out = std::mem::take(&mut self.left_out);
            self.since = now;
            self.lines.clear();
        }
        let lines = self.lines.entry(class).or_default();
        if *lines < LINES {
            *lines += 1;
            return (true, left_out);
        }
        *self.left_out.entry(class).or_default() += 1;
        (false, left_out)
    }
}

#[cfg(test)]
mod tests;
