//! What everybody writes down: what was applied where, what was acknowledged, what happened. Whatever contradicts it is a
//! violation, and the run ends there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rempart_model::{Answer, Command, Envelope, Outcome};
use uuid::Uuid;

use super::lots::hash;

/// One for a whole run. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Pages>>);

/// See the module.
#[derive(Default)]
pub(super) struct Pages {
    /// The first thing that must not be.
    violation: Option<String>,
    /// By index: the entry and what it answered, as the first replica that applied it has them.
    applied: BTreeMap<u64, (u64, u64)>,
    /// By index: the State after it.
    states: BTreeMap<u64, (u64, String)>,
    /// By request: where it was first applied and accepted.
    effects: BTreeMap<Uuid, u64>,
    /// Where each replica's machine stands, in this life.
    pub(super) machines: BTreeMap<u64, u64>,
    /// The newest entry that a client was told of, or has read.
    pub(super) acknowledged: u64,
    /// What happened, and how often.
    counts: BTreeMap<&'static str, u64>,
    /// Everything above, folded into a number.
    trace: u64,
    told: Vec<String>,
}

impl Ledger {
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that a run is worth for.
    pub(super) fn count(&self, what: &'static str) {
        *self.pages().counts.entry(what).or_default() += 1;
    }

    /// Something happened: part of the trace.
    pub(super) fn tell(&self, now_ms: u64, what: impl FnOnce() -> String) {
        self.pages().tell(now_ms, what());
    }

    /// Something must not be.
    pub(super) fn violated(&self, what: impl FnOnce() -> String) {
        let mut pages = self.pages();
        if pages.violation.is_none() {
            pages.violation = Some(what());
        }
    }

    /// Says so unless `holds`.
    pub(super) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what);
        }
    }

    pub(super) fn violation(&self) -> Option<String> {
        self.pages().violation.clone()
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.pages().counts.clone()
    }

    pub(super) fn trace(&self) -> u64 {
        self.pages().trace
    }

    /// The last things that happened.
    pub(super) fn story(&self) -> Vec<String> {
        self.pages().told.clone()
    }

    /// Replica `id` has applied an entry: every replica has the same there, and each request one effect.
    pub(super) fn applied(&self, id: u64, index: u64, proposal: Option<&[u8]>, outcome: Option<&Outcome>) {
        let mut pages = self.pages();
        pages.machines.insert(id, index);
        let entry = (hash(proposal), hash(format!("{outcome:?}")));
        let known = *pages.applied.entry(index).or_insert(entry);
        if known != entry {
            let what = if known.0 == entry.0 { "answered something else" } else { "is another entry" };
            pages.violate(format!("entry {index} {what} on replica {id} than where it was applied first"));
        }
        let Some(envelope) = proposal.and_then(|bytes| Envelope::decode(bytes).ok()) else { return };
        let Some(Ok(answer)) = outcome else { return };
        let first = *pages.effects.entry(envelope.request_id).or_insert(index);
        if first == index {
            pages.check_precondition(index, &envelope.command, answer);
        }
    }

    /// A request is about to be answered: the State that readers see has what it did.
    pub(super) fn published(&self, request: Uuid, index: u64) {
        let mut pages = self.pages();
        if let Some(effect) = pages.effects.get(&request).copied().filter(|effect| *effect > index) {
            pages
                .violate(format!("request {request} is answered, and readers see {index}, not yet {effect}"));
        }
    }

    /// A client was answered: so there is an entry with its request that was accepted.
    pub(super) fn acknowledged(&self, request: Uuid) {
        let mut pages = self.pages();
        match pages.effects.get(&request).copied() {
            Some(index) => pages.acknowledged = pages.acknowledged.max(index),
            None => pages.violate(format!("request {request} was acknowledged, and no entry did it")),
        }
    }

    /// The State at `index`, as `who` has it: everybody has the same. False if it had been seen before.
    pub(super) fn state(&self, who: &str, index: u64, digest: u64) -> bool {
        let mut pages = self.pages();
        let Some((known, first)) = pages.states.get(&index).cloned() else {
            pages.states.insert(index, (digest, who.to_owned()));
            pages.fold(&(index, digest));
            if super::is_verbose() {
                eprintln!("            state {index} {digest:x} of {who}");
            }
            return true;
        };
        if known != digest {
            pages.violate(format!("at entry {index} the state of {who} is not that of {first}"));
        }
        false
    }
}

impl Pages {
    fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    fn fold(&mut self, what: &impl std::hash::Hash) {
        self.trace = hash((self.trace, hash(what)));
    }

    fn tell(&mut self, now_ms: u64, what: String) {
        self.fold(&(now_ms, &what));
        if super::is_verbose() {
            eprintln!("{now_ms:>7} ms  {what}");
        }
        self.told.push(format!("{now_ms} ms: {what}"));
        if self.told.len() > 40 {
            self.told.remove(0);
        }
    }

    /// What was to be changed as of some version had that version.
    fn check_precondition(&mut self, index: u64, command: &Command, answer: &Answer) {
        if let (Command::Put(put), Answer::Put { object, .. }) = (command, answer)
            && let Some(expected) = put.if_unmodified_since
            && object.resource_version != expected + 1
        {
            let version = object.resource_version;
            self.violate(format!("entry {index} changed version {expected} of {} into {version}", put.urn));
        }
    }
}
