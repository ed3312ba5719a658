//! What the next round looks at: what may have changed, or all that is here.
//!
//! ```text
//!   ledger changed, domain rang, step ended, wait is over ──> objects ──> with all that hangs together with them
//!   start, every `look_every`, hypervisor came back, ──────> everything
//!   whole message, unknown domain, a look that failed
//! ```
//!
//! A round about objects takes as long as they are many, however much else is on the host; a look at everything finds what
//! nobody told of.
//!
//! What never happens: something changes and is not looked at before the next look at everything; an object is left out that
//! depends on one that is looked at.

use crate::desired::Object;
use crate::execute::Executor;
use crate::ledger::Snapshot;
use crate::plan::Claim;
use crate::vm::HypervisorError;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// What a round is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that is here.
    Everything,
    /// These objects, some of which may be no more.
    Objects(BTreeSet<Object>),
}

impl Scope {
    /// Whether it is about everything.
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// Whether it is about this object.
    pub fn has(&self, object: &Object) -> bool {
        match self {
            Self::Everything => true,
            Self::Objects(objects) => objects.contains(object),
        }
    }
}

/// What was seen.
pub(super) struct Sight {
    pub(super) scope: Scope,
    /// The ledger, as far as the scope goes.
    pub(super) ledger: Snapshot,
    /// The host, as far as the scope goes.
    pub(super) world: World,
    /// Why domains are unknown, if they are.
    pub(super) error: Option<HypervisorError>,
    /// Domains of ours of which the ledger knows nothing. They might use any volume.
    pub(super) strangers: bool,
}

/// What has to be looked at, and when.
#[derive(Debug)]
pub(super) struct Agenda {
    look_every: Duration,
    everything: bool,
    everything_at: Instant,
    stirred: BTreeSet<Object>,
    /// Their steps wait until others let go of what they need.
    waiting: BTreeSet<Object>,
    /// They are planned anew then: a grace or a wait runs.
    due: BTreeMap<Object, Instant>,
    strangers: bool,
}

impl Agenda {
    pub(super) fn new(look_every: Duration) -> Self {
        Self {
            look_every,
            everything: true,
            everything_at: Instant::now(),
            stirred: BTreeSet::new(),
            waiting: BTreeSet::new(),
            due: BTreeMap::new(),
            strangers: false,
        }
    }

    /// The next round looks at everything.
    pub(super) fn look_at_everything(&mut self) {
        self.everything = true;
    }

    /// Steps of `object` ended and let go of `claims`.
    pub(super) fn ended(&mut self, object: Object, claims: &BTreeSet<Claim>) {
        self.stirred.insert(object);
        self.stirred.extend(claims.iter().filter_map(|claim| match claim {
            Claim::Instance(uid) => Some(Object::Instance(*uid)),
            Claim::Volume(uid) | Claim::Captures(uid) => Some(Object::Volume(*uid)),
            Claim::Image(_) => None,
        }));
        self.stirred.append(&mut self.waiting);
    }

    /// What is known to have changed. It is not known any more afterwards.
    pub(super) fn take(&mut self, now: Instant) -> Scope {
        if self.everything || self.strangers || self.everything_at <= now {
            self.everything = false;
            self.everything_at = now + self.look_every;
            (self.stirred, self.waiting, self.due) = Default::default();
            return Scope::Everything;
        }
        self.due.retain(|object, at| {
            let over = *at <= now;
            if over {
                self.stirred.insert(*object);
            }
            !over
        });
        Scope::Objects(std::mem::take(&mut self.stirred))
    }

    /// What came of a look.
    pub(super) fn looked(&mut self, sight: &Sight, now: Instant) {
        match &sight.scope {
            Scope::Everything => {
                self.everything_at = now + self.look_every;
                self.strangers = sight.strangers;
                (self.waiting, self.due) = Default::default();
            }
            Scope::Objects(objects) => {
                for object in objects {
                    self.waiting.remove(object);
                    self.due.remove(object);
                }
            }
        }
        // Of what was not seen nothing is known; once the hypervisor is back it rings for all.
        self.everything |= sight.error.is_some();
    }

    /// The object's steps wait for others'.
    pub(super) fn waits(&mut self, object: Object) {
        self.waiting.insert(object);
    }

    /// The object is planned again at this time.
    pub(super) fn due_at(&mut self, object: Object, at: Instant) {
        self.due.insert(object, at);
    }

    /// How long nothing needs to be done unless something rings.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let next = self.due.values().copied().chain([self.everything_at]).min();
        next.map_or(self.look_every, |next| next.saturating_duration_since(now))
    }
}

/// Looks at what is on the agenda, and at what the ledger and the hypervisor say has changed; not at all if that is nothing. What
/// steps are at work on is left out: their end puts it on the agenda. Blocks.
pub(super) fn look(executor: &Executor, asked: Scope, claimed: &BTreeSet<Claim>) -> Option<Sight> {
    let (changed, ledger) = {
        let mut ledger = executor.ledger.lock();
        (ledger.take_changed(), ledger.snapshot())
    };
    let domains = executor.hypervisor.take_changed();
    let unknown = domains.uuids.iter().any(|uuid| !ledger.instances.contains_key(uuid));
    let scope = match asked {
        Scope::Objects(mut objects)
            if !(changed.everything || domains.all || unknown || ledger.asked.is_some()) =>
        {
            let at_work = |object: &Object| claimed.contains(&Claim::on(*object));
            let news = domains.uuids.into_iter().map(Object::Instance).chain(changed.objects);
            objects.extend(news.filter(|object| !at_work(object)));
            if objects.is_empty() {
                return None;
            }
            Scope::Objects(ledger.together(objects))
        }
        _ => Scope::Everything,
    };
    let ledger = match &scope {
        Scope::Everything => ledger,
        Scope::Objects(objects) => ledger.only(objects),
    };
    let (world, error) = executor.look(&ledger, scope.is_everything());
    let strangers = scope.is_everything()
        && world
            .domains
            .iter()
            .flatten()
            .any(|(uuid, domain)| domain.definition.is_some() && !ledger.instances.contains_key(uuid));
    Some(Sight { scope, ledger, world, error, strangers })
}
