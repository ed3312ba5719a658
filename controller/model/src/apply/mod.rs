//! Giving an entry its meaning.
//!
//! A command works on a copy of the State (persistent maps: the copy is O(1)), which replaces the State only when it
//! succeeds. So a refusal changes nothing, by construction, and admission is the same code run on a copy that is
//! thrown away.

mod addresses;
mod blocks;
mod capture;
mod check;
mod compare;
mod delete;
mod expire;
mod hosts;
mod orphans;
mod place;
mod power;
mod put;
mod region;
mod replicas;
mod report;
mod rights;
mod tokens;
mod upgrade;
mod wind_down;

pub(crate) use blocks::given;
pub(crate) use check::identity;
pub(crate) use place::is_settled;
pub(crate) use region::zone_of;
use rights::creators_assignment;

use std::collections::BTreeMap;
use std::sync::Arc;

use rempart_api::{Kind, Phase, Status, Timestamp, Urn};
use uuid::Uuid;

use crate::answer::{Answer, Outcome, Recorded};
use crate::command::{Command, ReportCommand};
use crate::envelope::Envelope;
use crate::object::Object;
use crate::planted;
use crate::refusal::{Refusal, RefusalClass};
use crate::state::{State, WINDOW};
use crate::transition::is_current;

/// What applying an entry did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The answer to its caller.
    pub outcome: Outcome,
    /// Objects that differ afterwards, in the order of storage.
    pub changes: Vec<Change>,
    /// Answer to keep for retries.
    pub recorded: Option<Recorded>,
    /// Kept answers of entries up to this index were dropped.
    pub dropped_answers_to: Option<u64>,
    /// It had been applied before: the recorded answer was given again and nothing changed.
    pub repeated: bool,
}

/// An object before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub urn: Arc<Urn>,
    /// None: it was created.
    pub before: Option<Arc<Object>>,
    /// None: it is gone.
    pub after: Option<Arc<Object>>,
}

impl State {
    /// Applies the entry at `index`. Deterministic: equal State and entry, equal result, on every replica.
    pub fn apply(&mut self, index: u64, envelope: &Envelope) -> Applied {
        self.applied_index = index;
        if let Some((_, recorded)) = self.answers.get(&envelope.request_id)
            && !planted("repeated-request-done-again")
        {
            let outcome = self.repeat(recorded);
            return Applied {
                outcome,
                changes: Vec::new(),
                recorded: None,
                dropped_answers_to: None,
                repeated: true,
            };
        }
        let (mut tx, outcome) = self.decide(index, envelope);
        let now = tx.now;
        let mut changes = Vec::new();
        if outcome.is_ok() {
            changes = tx.changes();
            *self = tx.state;
        }
        self.core.clock = now;
        let recorded = Recorded::of(&outcome);
        let mut dropped_answers_to = None;
        if let Some(recorded) = &recorded {
            self.answers.insert(envelope.request_id, (index, recorded.clone()));
            self.answer_order.insert(index, envelope.request_id);
            while self.answers.len() > WINDOW {
                let Some((oldest, request_id)) = self.answer_order.get_min().copied() else { break };
                self.answer_order.remove(&oldest);
                self.answers.remove(&request_id);
                dropped_answers_to = Some(oldest);
            }
        }
        Applied { outcome, changes, recorded, dropped_answers_to, repeated: false }
    }

    /// What the entry would answer now. Nothing changes.
    pub fn admit(&self, envelope: &Envelope) -> Outcome {
        match self.answers.get(&envelope.request_id) {
            Some((_, recorded)) => self.repeat(recorded),
            None => self.decide(self.applied_index + 1, envelope).1,
        }
    }

    /// What the entry at `index` makes of a copy, and what it answers.
    fn decide(&self, index: u64, envelope: &Envelope) -> (Tx, Outcome) {
        // Entries of the control plane itself have no trace, nor have those of before this was kept: the State that an
        // old log leads to stays what it was.
        let request_id = envelope.trace.as_ref().map(|_| envelope.request_id);
        let mut tx = Tx {
            state: State { applied_index: index, ..self.clone() },
            index,
            now: if planted("clock-runs-back") { envelope.time } else { self.core.clock.max(envelope.time) },
            before: BTreeMap::new(),
            request_id,
            actor: envelope.actor.clone(),
        };
        let mut outcome = tx.run(&envelope.command);
        if let (Command::Put(put), Ok(_)) = (&envelope.command, &outcome)
            && let Err(refusal) = tx.state.check_quota(self, &put.urn)
            && !planted("quota-unchecked")
        {
            outcome = Err(refusal);
        }
        (tx, outcome)
    }

    /// Whether the report tells anything that this State does not have yet. What does not needs no entry.
    pub fn report_changes_anything(&self, report: &ReportCommand) -> bool {
        let mut tx = Tx {
            state: self.clone(),
            index: self.applied_index,
            now: self.core.clock,
            before: BTreeMap::new(),
            request_id: None,
            actor: String::new(),
        };
        tx.report(report).is_err() || !tx.before.is_empty()
    }

    /// An entry without a command passed (a leader's first, or a change of membership).
    pub fn skip(&mut self, index: u64) {
        self.applied_index = index;
    }

    fn repeat(&self, recorded: &Recorded) -> Outcome {
        match recorded {
            Recorded::Accepted => Ok(Answer::Accepted),
            Recorded::Refused(refusal) => Err(refusal.clone()),
            Recorded::Put { created, urn, uid } => match self.get(urn) {
                Some(object) if object.uid == *uid => {
                    Ok(Answer::Put { created: *created, object: object.clone() })
                }
                _ => Err(Refusal::conflict(format!(
                    "{urn} was written by this request and has been deleted since"
                ))),
            },
        }
    }
}

/// The state that work on a failed object resumes in: creating if it was never created, else updating.
pub(crate) fn resumed(status: &Status) -> Phase {
    match status.conditions.iter().map(|entry| entry.state).find(|state| *state != Phase::Error) {
        Some(Phase::Pending | Phase::Creating) => Phase::Creating,
        _ => Phase::Updating,
    }
}

/// One command at work on its copy of the State.
pub(crate) struct Tx {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) now: Timestamp,
    before: BTreeMap<Arc<Urn>, Option<Arc<Object>>>,
    /// Of the request at work, to be noted on what it gives hosts to do.
    request_id: Option<Uuid>,
    /// Who asks.
    pub(crate) actor: String,
}

impl Tx {
    fn run(&mut self, command: &Command) -> Outcome {
        self.check_switched_on(command)?;
        self.check_open(command)?;
        match command {
            Command::Found(founding) => self.found(founding),
            Command::Put(put) => self.put(put),
            Command::Delete(delete) => self.delete(delete),
            Command::Power(power) => self.power(power),
            Command::Fill(fill) => self.fill(fill),
            Command::Place(place) => self.place(place),
            Command::HostSeen(seen) => self.host_seen(seen),
            Command::HostUnreachable(host) => self.host_unreachable(host),
            Command::Report(report) => self.report(report),
            Command::Enrol(enrol) => self.enrol(enrol),
            Command::Redeem(redeem) => self.redeem(redeem),
            Command::Capture(capture) => self.capture(capture),
            Command::Host(host) => self.host_action(host),
            Command::WindDown(command) => self.wind_down(command),
            Command::Replica(command) => self.replica(command),
            Command::Expire(command) => self.expire(command),
            Command::Leftover(command) => self.leftover(command),
            Command::Release(command) => self.release_from_host(command),
            Command::Upgrade(command) => self.upgrade(command),
            // What is compared is what the replica has, not what is in State.
            Command::Digest(_) => Ok(Answer::Done),
            Command::Compare(command) => self.compare(command),
            Command::Resume(command) => self.reopen(command),
        }
    }

    /// Of the request at work; none for what the control plane does by itself.
    pub(crate) fn request_id(&self) -> Option<Uuid> {
        self.request_id
    }

    /// Writes an object.
    pub(crate) fn write(&mut self, mut object: Object) -> Arc<Object> {
        object.changed_index = self.index;
        if let Some(overdue) = &object.overdue
            && !is_current(&self.state, &object, overdue)
        {
            object.overdue = None;
        }
        let old = self.state.get(&object.urn).cloned();
        if let Some(request_id) = self.request_id
            && object.task() != old.as_deref().and_then(Object::task)
        {
            object.set_request_id(request_id);
        }
        let object = Arc::new(object);
        self.before.entry(object.urn.clone()).or_insert(old);
        self.state.insert(object.clone());
        object
    }

    /// Removes an object, and finishes what waited for it to go: its parent, and what it used.
    pub(crate) fn remove(&mut self, urn: &Urn) {
        let Some(old) = self.state.get(urn).cloned() else { return };
        let targets = self.state.strong_targets(&old);
        self.before.entry(old.urn.clone()).or_insert(Some(old.clone()));
        self.state.remove(urn);
        if urn.kind == Kind::Workspace {
            self.remove(&creators_assignment(&old));
        }
        for next in targets.into_iter().chain(old.urn.parent()) {
            self.finish_deletion(&next);
            self.release(&next);
        }
    }

    /// A deleted volume whose last user has gone is from now on to go from its host as well. Nothing in its row says
    /// so, but who tells its host what to do listens to changes, so there has to be one.
    fn release(&mut self, urn: &Urn) {
        if let Some(object) = self.state.get(urn).cloned()
            && object.is_deleting()
            && object.placement().is_some()
            && self.state.referrers(urn).next().is_none()
        {
            self.write((*object).clone());
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.before)
            .into_iter()
            .map(|(urn, before)| Change { after: self.state.get(&urn).cloned(), urn, before })
            .filter(|change| change.before.is_some() || change.after.is_some())
            .collect()
    }

    /// The object a request names.
    pub(crate) fn expect(&self, urn: &Urn) -> Result<Arc<Object>, Refusal> {
        self.state
            .get(urn)
            .cloned()
            .ok_or_else(|| Refusal::new(RefusalClass::NotFound, format!("{urn} does not exist")))
    }

    /// A new incarnation cannot take a uid that is in use.
    pub(crate) fn check_fresh(&self, uid: Uuid) -> Result<(), Refusal> {
        match self.state.by_uid(uid) {
            None => Ok(()),
            Some(_) => Err(Refusal::conflict("the identifier minted for this resource is in use; try again")),
        }
    }
}

/// `if-unmodified-since`: in SECA a version, not a date.
pub(crate) fn check_version(object: &Object, expected: Option<u64>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != object.resource_version && !planted("precondition-skipped") => {
            Err(Refusal::new(
                RefusalClass::PreconditionFailed,
                format!(
                    "{} has version {}, the request expects {expected}; read it again and repeat your change",
                    object.urn, object.resource_version
                ),
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
