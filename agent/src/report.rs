//! What is told to the controllers: made from the ledger, the world and the plan, never from memory of intentions.
//!
//! An [`Observation`] is the whole of what there is to say; [`difference`] turns two of them into messages. Since
//! the whole is sent after each connect, and later only the newest of each object, nothing is lost with a session.
//!
//! What never happens: ABSENT is said of anything but an object that was desired ABSENT and is wholly gone; a
//! generation is claimed that is not realised (a report with a failure names the generation that fails); something
//! is said of domains while the hypervisor does not answer; a path or host name stands where a tenant may read it.

use crate::desired::{Object, Presence};
use crate::ledger::power::{Ended, PowerRecord, PowerStep};
use crate::ledger::{Gone, InstanceRecord, Snapshot, VolumeRecord};
use crate::plan::{ObjectPlan, Obstacle, Progress};
use crate::reconcile::agenda::Scope;
use crate::vm::OffCause;
use crate::world::World;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use rempart_proto::agent::v1 as wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

mod everything;
pub mod failure;
#[cfg(test)]
mod tests;

/// Objects per message: keeps a message far below gRPC's limit of 4 MiB.
const OBJECTS_PER_MESSAGE: usize = 500;

/// Everything there is to say about this host at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Volumes of which something can be said.
    pub volumes: OrdMap<Uuid, Arc<wire::VolumeObserved>>,
    /// Instances of which something can be said.
    pub instances: OrdMap<Uuid, Arc<wire::InstanceObserved>>,
    /// Whether the hypervisor service answers.
    pub hypervisor: wire::HypervisorHealth,
    /// Domains nobody asked for.
    pub unexpected: Vec<wire::UnexpectedDomain>,
    /// What lies here of which nothing is desired; none before that was looked for.
    pub leftovers: Option<Vec<wire::Leftover>>,
    /// All that is here, if that was asked for and could be seen.
    pub everything: Option<wire::Everything>,
}

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// What was looked at. Of all else the last word stands.
    pub scope: &'a Scope,
    /// What should be.
    pub ledger: &'a Snapshot,
    /// What is.
    pub world: &'a World,
    /// What is planned.
    pub plans: &'a BTreeMap<Object, ObjectPlan>,
    /// Steps that failed and wait for another try.
    pub failures: &'a BTreeMap<Object, wire::Failure>,
    /// Whether the hypervisor service answers.
    pub hypervisor: &'a wire::HypervisorHealth,
    /// What lies here of which nothing is desired, as of the last look.
    pub leftovers: Option<&'a Vec<wire::Leftover>>,
}

/// Makes the observation that follows `last`: where nothing new can be said, the last word stands.
pub fn observe(last: &Observation, sources: Sources<'_>) -> Observation {
    let mut now = Observation {
        hypervisor: sources.hypervisor.clone(),
        leftovers: sources.leftovers.cloned(),
        ..Observation::default()
    };
    if let Scope::Objects(objects) = sources.scope {
        (now.volumes, now.instances) = (last.volumes.clone(), last.instances.clone());
        now.unexpected.clone_from(&last.unexpected);
        for object in objects {
            match object {
                Object::Volume(uid) => _ = now.volumes.remove(uid),
                Object::Instance(uid) => _ = now.instances.remove(uid),
            }
        }
    }
    for (uid, record) in sources.ledger.volumes.iter().filter(|(_, record)| record.listed) {
        if let Some(observed) = volume(last.volumes.get(uid), *uid, record, sources) {
            now.volumes.insert(*uid, observed);
        }
    }
    for (uid, record) in sources.ledger.instances.iter().filter(|(_, record)| record.listed) {
        let waits_for = |uid: &Uuid| now.volumes.get(uid).and_then(|volume| volume.failure.as_ref());
        let failure = failure_of_instance(*uid, sources, waits_for);
        if let Some(observed) = instance(last.instances.get(uid), *uid, record, failure, sources) {
            now.instances.insert(*uid, observed);
        }
    }
    refusals(&mut now, sources.ledger);
    if !sources.scope.is_everything() {
        return now;
    }
    now.everything = everything::see(sources);
    now.unexpected = match &sources.world.domains {
        None => last.unexpected.clone(),
        Some(domains) => domains
            .values()
            .filter(|domain| !sources.ledger.instances.get(&domain.uuid).is_some_and(|record| record.listed))
            .map(|domain| wire::UnexpectedDomain {
                uuid: domain.uuid.to_string(),
                name: domain.name.clone(),
                running: domain.running,
            })
            .collect(),
    };
    now
}

fn volume(
    last: Option<&Arc<wire::VolumeObserved>>,
    uid: Uuid,
    record: &VolumeRecord,
    sources: Sources<'_>,
) -> Option<Arc<wire::VolumeObserved>> {
    let object = Object::Volume(uid);
    let desired = &record.volume;
    let progress = &sources.plans.get(&object)?.progress;
    let mut failure = sources.failures.get(&object).cloned().or_else(|| match progress {
        Progress::Blocked(obstacle) => Some(failure::of_obstacle(obstacle)),
        _ => None,
    });
    // The volume is what it should be: what failed is its copy.
    let copy = desired.presence == Presence::Present && *progress == Progress::Reached;
    let capture_failure = if copy { failure.take() } else { None };
    let presence = presence(desired.presence, progress, failure.is_some());
    match presence {
        None => last.cloned(),
        Some(presence) => Some(Arc::new(wire::VolumeObserved {
            uid: uid.to_string(),
            generation: desired.generation,
            epoch: desired.epoch,
            presence: presence.into(),
            failure,
            capture_failure,
        })),
    }
}

fn failure_of_instance<'a>(
    uid: Uuid,
    sources: Sources<'_>,
    volume_failure: impl Fn(&Uuid) -> Option<&'a wire::Failure>,
) -> Option<wire::Failure> {
    let object = Object::Instance(uid);
    if let Some(failure) = sources.failures.get(&object) {
        return Some(failure.clone());
    }
    let Progress::Blocked(obstacle) = &sources.plans.get(&object)?.progress else { return None };
    let Obstacle::Volumes(volumes) = obstacle else { return Some(failure::of_obstacle(obstacle)) };
    // A volume that is being made is no failure; one that failed, or that nobody sent, is.
    let usable = |uid: &Uuid| {
        let record = sources.ledger.volumes.get(uid);
        record.is_some_and(|record| record.listed && record.volume.presence == Presence::Present)
    };
    if let Some(missing) = volumes.iter().find(|uid| !usable(uid)) {
        return Some(failure::volume_not_desired(*missing));
    }
    volumes.iter().find_map(&volume_failure).map(failure::volume_unavailable)
}

fn instance(
    last: Option<&Arc<wire::InstanceObserved>>,
    uid: Uuid,
    record: &InstanceRecord,
    failure: Option<wire::Failure>,
    sources: Sources<'_>,
) -> Option<Arc<wire::InstanceObserved>> {
    let desired = &record.instance;
    let progress = &sources.plans.get(&Object::Instance(uid))?.progress;
    let Some(domains) = &sources.world.domains else { return last.cloned() };
    let domain = domains.get(&uid);
    let running = domain.is_some_and(|domain| domain.running);
    let power = sources.ledger.power.get(&uid);
    let mut observed = match presence(desired.presence, progress, failure.is_some()) {
        None => wire::InstanceObserved::clone(last?),
        Some(presence) => wire::InstanceObserved {
            uid: uid.to_string(),
            generation: desired.generation,
            epoch: desired.epoch,
            presence: presence.into(),
            failure,
            ..wire::InstanceObserved::default()
        },
    };
    observed.running = running;
    observed.power_generation = power.map_or(0, |power| power.settled_generation);
    observed.boot_id.clone_from(&sources.world.boot_id);
    let off_cause = domain.and_then(|domain| domain.off_cause);
    observed.set_off_cause(self::off_cause(record, power, running, off_cause, &sources.world.boot_id));
    Some(Arc::new(observed))
}

/// What may be said about an object's presence; none where the last word stands.
fn presence(desired: Presence, progress: &Progress, failed: bool) -> Option<wire::Presence> {
    match (desired, progress) {
        (Presence::Present, Progress::Reached) => Some(wire::Presence::Present),
        (Presence::Absent, Progress::Reached) => Some(wire::Presence::Absent),
        (Presence::Present, _) if failed => Some(wire::Presence::Unspecified),
        (Presence::Absent, _) if failed => Some(wire::Presence::Present),
        _ => None,
    }
}

fn off_cause(
    record: &InstanceRecord,
    power: Option<&PowerRecord>,
    running: bool,
    seen: Option<OffCause>,
    boot_id: &str,
) -> wire::PowerOffCause {
    let Some(power) = power.filter(|power| !running && power.step == PowerStep::Settled) else {
        return wire::PowerOffCause::Unspecified;
    };
    if power.generation != record.instance.power.generation {
        return wire::PowerOffCause::Unspecified;
    }
    if !record.instance.power.on {
        return wire::PowerOffCause::Requested;
    }
    let seen = seen.filter(|_| power.boot_id == boot_id);
    match power.ended.or_else(|| Ended::from_cause(seen)) {
        Some(Ended::ByGuest) => wire::PowerOffCause::Guest,
        Some(Ended::Crashed) => wire::PowerOffCause::Crashed,
        None => wire::PowerOffCause::Unspecified,
    }
}

/// Objects the door refused, and objects whose record was lost: said with the generation they concern.
fn refusals(now: &mut Observation, ledger: &Snapshot) {
    let damaged = ledger.damaged.iter().map(|object| (*object, 0, 0, failure::ledger_damaged()));
    let invalid = ledger.invalid.iter().map(|(object, invalid)| {
        (*object, invalid.generation, invalid.epoch, failure::desired_invalid(invalid))
    });
    for (object, generation, epoch, failure) in damaged.chain(invalid) {
        match object {
            Object::Volume(uid) => {
                let observed = wire::VolumeObserved {
                    uid: uid.to_string(),
                    generation,
                    epoch,
                    failure: Some(failure),
                    ..wire::VolumeObserved::default()
                };
                now.volumes.insert(uid, Arc::new(observed));
            }
            Object::Instance(uid) => {
                let observed = Arc::make_mut(now.instances.entry(uid).or_default());
                observed.uid = uid.to_string();
                observed.generation = generation;
                observed.epoch = epoch;
                observed.set_presence(wire::Presence::Unspecified);
                observed.failure = Some(failure);
            }
        }
    }
}

/// What to send to a controller that knows `known` (none: nothing yet) so that it knows `now`. Sequence numbers are
/// the sender's business.
pub fn difference(known: Option<&Observation>, now: &Observation) -> Vec<wire::Observed> {
    let nothing = Observation::default();
    let base = known.unwrap_or(&nothing);
    let mut volumes = changed(&base.volumes, &now.volumes).peekable();
    let mut instances = changed(&base.instances, &now.instances).peekable();
    let mut messages = Vec::new();
    let mut first = wire::Observed::default();
    if known.is_none() || base.hypervisor != now.hypervisor {
        first.hypervisor = Some(now.hypervisor.clone());
    }
    if known.is_none() || base.unexpected != now.unexpected {
        first.unexpected = Some(wire::UnexpectedDomains { domains: now.unexpected.clone() });
    }
    if let Some(leftovers) = &now.leftovers
        && base.leftovers != now.leftovers
    {
        first.leftovers = Some(wire::Leftovers { leftovers: leftovers.clone() });
    }
    if let Some(everything) = &now.everything
        && base.everything != now.everything
    {
        first.everything = Some(everything.clone());
    }
    loop {
        let mut message = std::mem::take(&mut first);
        message.volumes = volumes.by_ref().take(OBJECTS_PER_MESSAGE).collect();
        let room = OBJECTS_PER_MESSAGE - message.volumes.len();
        message.instances = instances.by_ref().take(room).collect();
        if message != wire::Observed::default() {
            messages.push(message);
        }
        if volumes.peek().is_none() && instances.peek().is_none() {
            return messages;
        }
    }
}

/// Whether nobody waits for what is to be said to a controller that knows `known`: that volumes are there of which it was told
/// nothing before. A volume is made for an instance, and that one's own news comes next.
pub fn can_wait(known: &Observation, now: &Observation) -> bool {
    let was_made = |volume: &wire::VolumeObserved| {
        volume.presence() == wire::Presence::Present
            && volume.failure.is_none()
            && volume.capture_failure.is_none()
    };
    // All of them are named: what is added has to be thought of here.
    let Observation { volumes, instances, hypervisor, unexpected, leftovers, everything } = now;
    *instances == known.instances
        && *hypervisor == known.hypervisor
        && *unexpected == known.unexpected
        && *leftovers == known.leftovers
        && *everything == known.everything
        && known
            .volumes
            .diff(volumes)
            .all(|item| matches!(item, DiffItem::Add(_, volume) if was_made(volume)))
}

/// What a message says to be gone.
pub fn gone(observed: &wire::Observed) -> Vec<Gone> {
    let absent = i32::from(wire::Presence::Absent);
    let volumes = observed.volumes.iter().filter(|volume| volume.presence == absent);
    let volumes =
        volumes.map(|volume| (&volume.uid, volume.epoch, volume.generation, Object::Volume as Named));
    let instances = observed.instances.iter().filter(|instance| instance.presence == absent);
    let instances = instances
        .map(|instance| (&instance.uid, instance.epoch, instance.generation, Object::Instance as Named));
    let known = volumes.chain(instances).filter_map(|(uid, epoch, generation, named)| {
        Some(Gone { object: named(Uuid::parse_str(uid).ok()?), epoch, generation })
    });
    known.collect()
}

type Named = fn(Uuid) -> Object;

fn changed<'a, T: PartialEq + Clone>(
    known: &'a OrdMap<Uuid, Arc<T>>,
    now: &'a OrdMap<Uuid, Arc<T>>,
) -> impl Iterator<Item = T> + 'a {
    known.diff(now).filter_map(|item| match item {
        DiffItem::Add(_, observed) | DiffItem::Update { new: (_, observed), .. } => Some(T::clone(observed)),
        DiffItem::Remove(..) => None,
    })
}
