//! A restored cluster: compared with what its hosts have, and opened when that is done.
//!
//! ```text
//!   the host has        State says         and so
//!   a guest that runs   off                on: it was started after the backup
//!   a guest that is off on                 off, if its host knows why: the guest, a stop, a deletion after the backup
//!   it                  bound to no host   bound to this one
//!   it                  bound to another   a conflict
//!   it                  nothing            left alone, and shown
//!   nothing of it       bound to this one  not started, not made anew: deleted after the backup, or lost
//! ```
//!
//! What never happens: a guest is stopped or started for it; an object goes because a host does not have it; anything else
//! changes what is desired before the cluster is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rempart_api::compute::PowerState;
use rempart_api::{Kind, Phase, Urn};

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{Command, CompareCommand, ResumeCommand, Thing, ThingSort};
use crate::kinds::Spec;
use crate::object::{Detail, Failure, Object, Placement, VolumeDetail};
use crate::refusal::Refusal;
use crate::restored::{Compared, Conflict, MOST_NAMED, Restored, Stranger, VOLUME_LOST};

impl Tx {
    /// While a restored cluster is read-only, a command that changes what is wanted is refused.
    pub(super) fn check_open(&self, command: &Command) -> Result<(), Refusal> {
        let Some(restored) = self.state.read_only() else { return Ok(()) };
        match command {
            // Calling tokens back is never wrong; what was called back after the backup has to be called back again.
            Command::Put(put) if matches!(put.spec, Spec::TokenRevocation(_)) => Ok(()),
            Command::Put(_)
            | Command::Delete(_)
            | Command::Power(_)
            | Command::Fill(_)
            | Command::Place(_)
            | Command::Capture(_)
            | Command::WindDown(_)
            | Command::Expire(_)
            | Command::Leftover(_) => Err(self.read_only(restored)),
            // What is observed, what an operator needs to get out of this, and what tokens are used for.
            Command::Found(_)
            | Command::HostSeen(_)
            | Command::HostUnreachable(_)
            | Command::Report(_)
            | Command::Enrol(_)
            | Command::Redeem(_)
            | Command::Host(_)
            | Command::Replica(_)
            | Command::Release(_)
            | Command::Compare(_)
            | Command::Upgrade(_)
            | Command::Digest(_)
            | Command::Resume(_) => Ok(()),
        }
    }

    fn read_only(&self, restored: &Restored) -> Refusal {
        let awaited = self.state.awaited(&[]).unwrap_or_default();
        // A tenant reads this: no names.
        let mut waits = Vec::new();
        if !awaited.hosts.is_empty() {
            let hosts = self.state.of_kind(Kind::Host).count();
            waits.push(format!("{} of {hosts} hosts have not said yet what they have", awaited.hosts.len()));
        }
        if !awaited.conflicts.is_empty() {
            waits.push(format!(
                "{} things are where they should not be, and an operator has to look",
                awaited.conflicts.len()
            ));
        }
        if waits.is_empty() {
            waits.push("it is about to be opened".to_owned());
        }
        Refusal::conflict(format!(
            "this installation was restored from a backup of {} and is read-only until it has been compared with its hosts: {}; \
             try again later (operators: rempart cluster status)",
            restored.taken_at,
            waits.join("; ")
        ))
    }

    /// Takes in all that a host has.
    pub(super) fn compare(&mut self, command: &CompareCommand) -> Outcome {
        let host = &command.host;
        if self.state.read_only().is_none() {
            return Err(Refusal::conflict("this cluster is not waiting to be compared with its hosts"));
        }
        if self.state.host_identity(host).is_some_and(|identity| identity.revoked_at.is_some()) {
            return Err(Refusal::conflict(format!("host {host:?} was revoked; what it says counts no more")));
        }
        self.expect(&Urn::global(Kind::Host, host))?;
        let mut compared = Compared { at: self.now, gone: 0, conflicts: Vec::new(), strangers: Vec::new() };
        let things: BTreeMap<_, _> = command.things.iter().map(|thing| (thing.uid, thing)).collect();
        // Volumes first: an instance is bound where its volumes are.
        for sort in [ThingSort::Volume, ThingSort::Instance] {
            for thing in things.values().filter(|thing| thing.sort == sort) {
                self.compare_thing(host, thing, &mut compared);
            }
        }
        let here: Vec<_> = self.state.on_host(host).cloned().collect();
        for object in here {
            let is_known = things.get(&object.uid).is_some_and(|thing| thing.here || !thing.going);
            if !is_known {
                compared.gone += u64::from(self.is_gone(&object));
            }
        }
        self.mark(|restored| {
            restored.hosts.insert(host.clone(), compared);
        });
        Ok(Answer::Done)
    }

    fn compare_thing(&mut self, host: &str, thing: &Thing, compared: &mut Compared) {
        // Wanted there, or there although it is to go.
        let counts = thing.here || !thing.going;
        let known =
            self.state.by_uid(thing.uid).filter(|object| object.urn.kind == thing.sort.kind()).cloned();
        let Some(object) = known else {
            if thing.here && compared.strangers.len() < MOST_NAMED {
                compared.strangers.push(Stranger { uid: thing.uid, running: thing.running });
            }
            return;
        };
        let bound = object.placement().map(|placement| placement.host.clone());
        let outcome = match bound {
            Some(bound) if bound == host => Ok(()),
            Some(bound) if counts => {
                Err(format!("{} is bound to host {bound}, and {host} has it", object.urn))
            }
            None if counts && !thing.going && !object.is_deleting() => self.adopt(&object, host),
            _ => return,
        };
        if let Err(why) = outcome {
            if compared.conflicts.len() < MOST_NAMED {
                compared.conflicts.push(Conflict { uid: thing.uid, why });
            }
            return;
        }
        if let Some(object) = self.state.by_uid(thing.uid).cloned() {
            self.take_over(&object, thing);
        }
    }

    /// What was bound after the backup is bound where it is.
    fn adopt(&mut self, object: &Arc<Object>, host: &str) -> Result<(), String> {
        let mut object = (**object).clone();
        let epoch = self.state.first_epoch();
        match &mut object.detail {
            Detail::Volume(volume) => {
                volume.placement = Some(Placement { host: host.to_owned(), epoch });
                self.write(object);
                return Ok(());
            }
            Detail::Instance(_) => {}
            _ => return Ok(()),
        }
        // Not half of it.
        let before = (self.state.clone(), self.before.clone());
        if let Err(refusal) = self.bind(&mut object, host) {
            (self.state, self.before) = before;
            return Err(format!("{host} has {}: {}", object.urn, refusal.detail));
        }
        object.status.enter(Phase::Creating, self.now);
        self.write(object);
        Ok(())
    }

    /// State takes over what is real.
    fn take_over(&mut self, object: &Object, thing: &Thing) {
        let mut changed = object.clone();
        match &mut changed.detail {
            Detail::Instance(instance) => {
                instance.power.restart = false;
                if thing.running {
                    instance.power.on = true;
                    instance.off_cause = None;
                } else if thing.off_cause.is_some() || thing.going {
                    if instance.power.on {
                        instance.off_cause = thing.off_cause;
                    }
                    instance.power.on = false;
                }
                let seen = if thing.running { PowerState::On } else { PowerState::Off };
                if seen != instance.power_state {
                    (instance.power_state, instance.power_state_since) = (seen, Some(self.now));
                }
                if changed.is_deleting() {
                    if let Detail::Instance(instance) = &mut changed.detail {
                        instance.power.on = false;
                    }
                } else {
                    self.transition(&mut changed);
                }
            }
            Detail::Volume(volume) if thing.here && volume.gone => {
                volume.gone = false;
                volume.realised.failure = None;
            }
            _ => {}
        }
        if changed != *object {
            self.write(changed);
        }
    }

    /// The host has nothing of what it had realised. True if that is news.
    fn is_gone(&mut self, object: &Object) -> bool {
        let mut changed = object.clone();
        match &mut changed.detail {
            Detail::Volume(volume) if volume.realised.generation > 0 => {
                volume.gone = true;
                if let Some(capture) = volume.capture.take() {
                    // It is lost to whoever wanted it, and if it is to go, its host may be told so.
                    volume.raise_generation(object.resource_version);
                    self.lose_copy(capture.image);
                }
                volume.realised.failure = Some(Box::new(Failure {
                    reason: VOLUME_LOST.to_owned(),
                    message: "Its bytes were not there any more when the installation was restored from a backup: it was \
                              deleted after that, or lost. It is not made anew; delete it."
                        .to_owned(),
                    detail: String::new(),
                }));
                self.end_growth(&mut changed);
            }
            Detail::Instance(instance) if instance.realised.generation > 0 => {
                instance.power.on = false;
                if !object.is_deleting() {
                    self.transition(&mut changed);
                }
            }
            _ => return false,
        }
        if changed != *object {
            self.write(changed);
        }
        true
    }

    /// Lets changes in again.
    pub(super) fn reopen(&mut self, command: &ResumeCommand) -> Outcome {
        let Some(awaited) = self.state.awaited(&command.without) else {
            return match &self.state.core.restored {
                Some(_) => Ok(Answer::Accepted),
                None => Err(Refusal::conflict("this cluster was not restored from a backup: it is open")),
            };
        };
        let known: BTreeSet<&str> =
            self.state.of_kind(Kind::Host).map(|host| host.urn.name.as_str()).collect();
        if let Some(unknown) = command.without.iter().find(|host| !known.contains(host.as_str())) {
            return Err(Refusal::conflict(format!("there is no host {unknown:?}")));
        }
        let some = |all: Vec<String>| {
            let rest = all.len().saturating_sub(5);
            let some = all.into_iter().take(5).collect::<Vec<_>>().join("; ");
            if rest > 0 { format!("{some}; and {rest} more") } else { some }
        };
        if !awaited.hosts.is_empty() {
            return Err(Refusal::conflict(format!(
                "these hosts have not said yet what they have: {}; if they will not come back, name them with --without, or revoke \
                 them",
                some(awaited.hosts)
            )));
        }
        if !awaited.conflicts.is_empty() {
            let conflicts = awaited.conflicts.into_iter().map(|(_, conflict)| conflict.why).collect();
            return Err(Refusal::conflict(format!(
                "what hosts have contradicts what is known: {}; put it right there, or open without the hosts that are wrong \
                 (--without)",
                some(conflicts)
            )));
        }
        let now = self.now;
        self.mark(|restored| {
            restored.opened_at = Some(now);
            restored.hosts.clear();
        });
        Ok(Answer::Accepted)
    }

    fn mark(&mut self, change: impl FnOnce(&mut Restored)) {
        if let Some(restored) = &mut self.state.core.restored {
            change(Arc::make_mut(restored));
        }
    }
}

/// Nothing is done any more with a volume whose bytes were not there when the cluster was restored.
pub(super) fn check_there(urn: &Urn, volume: &VolumeDetail) -> Result<(), Refusal> {
    if volume.gone {
        return Err(Refusal::conflict(format!(
            "{urn} had no bytes any more when the installation was restored from a backup; delete it, and make it anew"
        )));
    }
    Ok(())
}

impl ThingSort {
    /// The kind of its rows.
    fn kind(self) -> Kind {
        match self {
            ThingSort::Volume => Kind::BlockStorage,
            ThingSort::Instance => Kind::Instance,
        }
    }
}
